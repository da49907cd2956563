//! One leader and one host: changes of the oscillators, and faults of the network.

use crate::*;

const STEPPED: i64 = 100;

fn stepped(ppm: f64) -> Model {
    Model { steps: vec![(s(STEPPED), Ratio::from_ppm(ppm))], ..pc() }
}

fn at(after_s: i64) -> Timestamp<dante_core::time::Raw> {
    World::BEGIN + s(after_s)
}

/// Recorded delays behind a Linux bridge.
fn recorded(name: &str) -> Link {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings").join(name);
    let recording = Recording::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    recording.delays(Ratio::from_ppm(12.0), Duration::from_us(30)).into()
}

/// Delays that change slowly: the lock as on `DANTE`; phase errors within four standard deviations of the delay, rate errors within
/// six times the 17 ppb that the estimator reaches.
const SLOW: Figures = Figures {
    lock_s: 12.0,
    phase_us: 40.0,
    phase_left_us: 15.0,
    excursion_us: 60.0,
    excess_ppm: 12.0,
    rate_left_ppb: 100.0,
    ..DANTE
};

/// No lock.
const UNLOCKED: Figures = Figures {
    lock_s: f64::INFINITY,
    phase_us: f64::INFINITY,
    phase_left_us: f64::INFINITY,
    rate_left_ppb: f64::INFINITY,
    ..VETH
};

scenario! {
    slow_delay_of_1_s, 900, SLOW, |seed| Trial::new(seed, Profile::AR1, pc());
    slow_delay_of_5_s, 900, SLOW, |seed| Trial::new(seed, Profile::AR5, pc());
    slow_delay_of_20_s, 900, SLOW, |seed| Trial::new(seed, Profile::AR20, pc());
    linux_bridge, 900, SLOW, |seed| Trial::new(seed, Profile::BRIDGE, pc());
    recorded_mild_bridge, 900, SLOW, |seed| Trial::new(seed, recorded("bridge-mild-25min.csv"), pc());
    recorded_rough_bridge, 900, SLOW, |seed| Trial::new(seed, recorded("bridge-rough-12min.csv"), pc());
    rate_step_behind_linux_bridge, 500, SLOW, |seed| Trial::new(seed, Profile::BRIDGE, stepped(1.0));
    noise_level_that_changes_tenfold, 900,
        Figures { phase_us: 200.0, phase_left_us: 60.0, excursion_us: 250.0, rate_left_ppb: 300.0, ..SLOW }, |seed| {
            let regimes = Some(Regimes { factor: 10.0, dwell: s(120) });
            Trial::new(seed, Profile { regimes, delay: Duration::from_us(300), ..Profile::AR1 }, pc())
        };
    /// An access point holds Syncs until its next beacon: they scatter by 60 ms, which is no jump of the leader's time, and never a
    /// lock.
    wifi_beacons, 300, UNLOCKED, |seed| {
        Trial::new(seed, Profile { held: Some(Duration::from_ns(102_400_000)), ..Profile::DANTE }, pc())
    };
    plain_veth, 120, VETH, |seed| Trial::new(seed, Profile::VETH, pc());
    plain_dante, 300, DANTE, |seed| Trial::new(seed, Profile::DANTE, pc());
    good_oscillator, 300, DANTE, |seed| Trial::new(seed, Profile::DANTE, Model::GOOD.at_ppm(12.0));
    // The phase of a servo that corrects only the rate drifts by microseconds a minute.
    phase_does_not_drift_over_hours, 4 * 3600, DANTE, |seed| Trial::new(seed, Profile::DANTE, pc());
    leader_200_ppm_fast, 120, VETH, |seed| Trial::new(seed, Profile::VETH, Model::PC.at_ppm(200.0));
    leader_200_ppm_slow, 120, VETH, |seed| Trial::new(seed, Profile::VETH, Model::PC.at_ppm(-200.0));
    // 50 ppb in 300 s: the rate changes by up to 1 ppb a second, which a filter for the random walk follows with a delay.
    slow_sine_of_temperature, 900, Figures { rate_left_ppb: 90.0, ..DANTE }, |seed| {
        let sine = Some(Sine { amplitude: Ratio::from_ppb(50.0), period: s(300) });
        Trial::new(seed, Profile::DANTE, Model { sine, ..pc() })
    };
    // A step of the rate that is detected within 4 s causes a phase error of 4 us at most; then a new fit takes as long as the first.
    // Detection of a step of 1 ppm takes longest, because it resembles a shift of the path by some us at first.
    frequency_step_of_1_ppm_veth, 220,
        Figures { unlocked_s: 3.0, excess_ppm: 7.0, phase_us: 9.0, excursion_us: 9.0, ..VETH },
        |seed| {
            Trial::new(seed, Profile::VETH, stepped(1.0))
        };
    // With this noise a new fit detects a step of 1 ppm after 12 s, and the correction takes as long.
    frequency_step_of_1_ppm_dante, 300, Figures { phase_us: 50.0, excursion_us: 60.0, ..DANTE }, |seed| {
        Trial::new(seed, Profile::DANTE, stepped(1.0))
    };
}

scenario! {
    // Three of the first ten packets may be late. The first estimate is uncertain then, so the lock comes later, and is lost if the
    // estimate turns out to be worse.
    busy_network, 300,
        Figures {
            lock_s: 16.0, unlocked_s: 8.0, phase_us: 110.0, phase_left_us: 15.0, excursion_us: 130.0,
            rate_left_ppb: 90.0,
            ..DANTE
        },
        |seed| {
            Trial::new(seed, Profile::BUSY, pc())
        };
    exponential_queue, 300,
        Figures { phase_us: 40.0, excursion_us: 80.0, rate_left_ppb: 75.0, ..DANTE },
        |seed| {
            let link = Profile { queue: Queue::Exponential(Duration::from_us(10)), ..Profile::DANTE };
            Trial::new(seed, link, pc())
        };
    // All packets are 100 us late for 20 s: the clock may follow by as much for that time, and its rate stays.
    load_of_20_s, 300, Figures { phase_us: 127.0, excursion_us: 154.0, ..DANTE }, |seed| {
        let load = Some(Load { at: at(100), span: s(20), more: Duration::from_us(100) });
        Trial::new(seed, Profile { load, ..Profile::DANTE }, pc())
    };
    // Indistinguishable from a change of the leader's time: the clock follows by as much, and by no more.
    asymmetry_of_50_us, 300,
        Figures { phase_us: 77.0, phase_left_us: 60.0, excursion_us: 104.0, ..DANTE },
        |seed| {
            let detour = Some(Detour { at: at(100), over: Duration::ZERO, more: Duration::from_us(50) });
            Trial::new(seed, Profile { detour, ..Profile::DANTE }, pc())
        };
    // The difference of software timestamps between an idle and a busy host. It must not be taken for a change of the rate.
    asymmetry_of_3_us_veth, 180,
        Figures { phase_us: 5.0, phase_left_us: 4.5, excursion_us: 5.5, excess_ppm: 1.0, ..VETH },
        |seed| {
            let detour = Some(Detour { at: at(60), over: Duration::ZERO, more: Duration::from_us(3) });
            Trial::new(seed, Profile { detour, ..Profile::VETH }, pc())
        };
    asymmetry_of_50_us_veth, 180,
        Figures { phase_us: 52.0, phase_left_us: 51.0, excursion_us: 54.0, ..VETH },
        |seed| {
            let detour = Some(Detour { at: at(60), over: Duration::ZERO, more: Duration::from_us(50) });
            Trial::new(seed, Profile { detour, ..Profile::VETH }, pc())
        };
    one_percent_lost, 120, Figures { lock_s: 4.0, ..VETH }, |seed| {
        Trial::new(seed, Profile { loss: 0.01, ..Profile::VETH }, pc())
    };
    ten_percent_lost, 300, Figures { lock_s: 10.0, ..DANTE }, |seed| {
        Trial::new(seed, Profile { loss: 0.1, ..Profile::DANTE }, pc())
    };
    duplicated_packets, 120, VETH, |seed| {
        Trial::new(seed, Profile { duplication: 0.1, ..Profile::VETH }, pc())
    };
    reordered_packets, 120, Figures { lock_s: 5.0, ..VETH }, |seed| {
        Trial::new(seed, Profile { reordering: 0.05, ..Profile::VETH }, pc())
    };
    // A worse network than the busy one; and an exchange with a delayed packet makes the measured path longer for some time.
    all_network_faults_with_measured_path, 300,
        Figures {
            lock_s: 20.0, unlocked_s: 8.0, phase_us: 130.0, phase_left_us: 75.0, excursion_us: 130.0,
            rate_left_ppb: 120.0,
            ..DANTE
        },
        |seed| {
            let link = Profile { loss: 0.05, duplication: 0.05, reordering: 0.01, ..Profile::BUSY };
            Trial::measuring(seed, role(0, seed, link, pc(), 699), DelayMechanism::E2e)
        };
}
