//! What networks do to packets.

use crate::*;

fn at(after_s: i64) -> Timestamp<dante_core::time::Raw> {
    World::BEGIN + s(after_s)
}

scenario! {
    // Three of the first ten packets may be late here. What is found then is uncertain, is locked to later, and is
    // let go again if it turns out worse than thought.
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
    // All packets 100 us late for 20 s: the clock may follow by as much, for no longer, and its rate stays.
    load_episode, 300, Figures { phase_us: 127.0, excursion_us: 154.0, ..DANTE }, |seed| {
        let load = Some(Load { at: at(100), span: s(20), more: Duration::from_us(100) });
        Trial::new(seed, Profile { load, ..Profile::DANTE }, pc())
    };
    // A change that nobody can tell from the leader's time being another: followed, and no more than that.
    asymmetry_of_50_us, 300,
        Figures { phase_us: 77.0, phase_left_us: 60.0, excursion_us: 104.0, ..DANTE },
        |seed| {
            let detour = Some(Detour { at: at(100), more: Duration::from_us(50) });
            Trial::new(seed, Profile { detour, ..Profile::DANTE }, pc())
        };
    // As one and the same software stamps a busy host and an idle one. It is no change of rate, and none is seen in it.
    asymmetry_of_3_us_veth, 180,
        Figures { phase_us: 5.0, phase_left_us: 4.5, excursion_us: 5.5, excess_ppm: 1.0, ..VETH },
        |seed| {
            let detour = Some(Detour { at: at(60), more: Duration::from_us(3) });
            Trial::new(seed, Profile { detour, ..Profile::VETH }, pc())
        };
    asymmetry_of_50_us_veth, 180,
        Figures { phase_us: 52.0, phase_left_us: 51.0, excursion_us: 54.0, ..VETH },
        |seed| {
            let detour = Some(Detour { at: at(60), more: Duration::from_us(50) });
            Trial::new(seed, Profile { detour, ..Profile::VETH }, pc())
        };
    one_percent_lost, 120, Figures { lock_s: 4.0, ..VETH }, |seed| {
        Trial::new(seed, Profile { loss: 0.01, ..Profile::VETH }, pc())
    };
    ten_percent_lost, 300, Figures { lock_s: 10.0, ..DANTE }, |seed| {
        Trial::new(seed, Profile { loss: 0.1, ..Profile::DANTE }, pc())
    };
    packets_come_twice, 120, VETH, |seed| {
        Trial::new(seed, Profile { duplication: 0.1, ..Profile::VETH }, pc())
    };
    packets_overtake_each_other, 120, Figures { lock_s: 5.0, ..VETH }, |seed| {
        Trial::new(seed, Profile { reordering: 0.05, ..Profile::VETH }, pc())
    };
    // As the busy network, but more of it; and an exchange through a held packet makes the path seem longer for a while.
    all_at_once_and_the_path_measured, 300,
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
