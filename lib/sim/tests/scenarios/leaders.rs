//! What leaders do.

use crate::*;

fn faulty(seed: u64, faults: Faults) -> Trial {
    Trial::led(seed, Role { faults, ..role(0, seed, Profile::VETH, pc(), 699) })
}

/// Another leader, of another uptime and rate.
fn other(number: u8, seed: u64, ppm: f64) -> Role {
    role(number, seed, Profile::VETH, Model::PC.at_ppm(ppm), 541_867)
}

/// A change of leader: ten intervals until the old one counts as gone, then as at the start. The old rate is carried
/// on meanwhile; at 25 ppm of difference the first guess of the new one may be as far off, but what is set is not.
/// The errors of two maps meet where K is carried over.
const CHANGE: Figures = Figures { unlocked_s: 6.0, phase_us: 2.5, timelines: 2, ..VETH };

scenario! {
    late_follow_ups, 120,
        Figures { lock_s: 4.0, ..VETH },
        |seed| faulty(seed, Faults { late: 0.1, ..Faults::default() });
    lost_follow_ups, 120,
        Figures { lock_s: 5.0, ..VETH },
        |seed| faulty(seed, Faults { lost: 0.1, ..Faults::default() });
    // Two wrong ones in a row agree with one another, and must not be taken for a jump.
    mispaired_follow_ups, 120, Figures { lock_s: 5.0, ..VETH }, |seed| {
        faulty(seed, Faults { mispaired: 0.01, ..Faults::default() })
    };
    // Whoever takes the last sender's word steers between two uptimes, and jumps with each Sync.
    two_leaders_alternate, 120, VETH, |seed| {
        let mut trial = Trial::new(seed, Profile::VETH, pc());
        trial.world.plan(Duration::from_ms(125), Act::Lead(Box::new(other(1, seed, -13.0))));
        trial
    };
    better_leader_comes, 180, Figures { unlocked_s: 3.5, ..CHANGE }, |seed| {
        let worse = role(1, seed, Profile::VETH, pc(), 699);
        Trial::led(seed, worse).then(60, Act::Lead(Box::new(other(0, seed, -13.0))))
    };
    leader_change_25_ppm_up, 180, CHANGE, |seed| {
        Trial::new(seed, Profile::VETH, pc()).then(60, Act::Stop(first()))
            .then(60, Act::Lead(Box::new(other(1, seed, 37.0))))
    };
    leader_change_25_ppm_down, 180, CHANGE, |seed| {
        Trial::new(seed, Profile::VETH, pc()).then(60, Act::Stop(first()))
            .then(60, Act::Lead(Box::new(other(1, seed, -13.0))))
    };
    // A leader that has the role to and fro every 20 s: ten locks, ten chances for a phase of five standard
    // deviations.
    leaders_take_turns, 300,
        Figures { unlocked_s: 60.0, phase_us: 2.5, excursion_us: 30.0, timelines: 11, ..VETH },
        |seed| {
            let trial = Trial::new(seed, Profile::VETH, pc()).then(10, Act::Lead(Box::new(other(1, seed, -13.0))));
            (1..=5).fold(trial, |trial, turn| {
                trial.then(40 * turn, Act::Stop(first())).then(40 * turn + 20, Act::Resume(first()))
            })
        };
    reboot, 180, Figures { unlocked_s: 35.0, ..CHANGE }, |seed| {
        Trial::new(seed, Profile::VETH, pc()).then(60, Act::Reboot(first(), s(30)))
    };
    // So short that nothing is missed but the continuity of its time.
    reboot_within_a_second, 180, Figures { unlocked_s: 5.0, ..CHANGE }, |seed| {
        Trial::new(seed, Profile::VETH, pc()).then(60, Act::Reboot(first(), s(1)))
    };
    // In holdover the last rate is held: its error and the random walk make 0.3 us and 0.3 us in 60 s, 1
    // sigma.
    silence_of_60_s, 240, Figures { unlocked_s: 62.0, phase_us: 4.0, excursion_us: 5.0, ..VETH }, |seed| {
        Trial::new(seed, Profile::VETH, pc()).then(100, Act::Silence(first(), s(60)))
    };
    // And 1.4 us and 3 us in 300 s.
    silence_of_300_s, 600, Figures { unlocked_s: 302.0, phase_us: 15.0, excursion_us: 16.0, ..VETH }, |seed| {
        Trial::new(seed, Profile::VETH, pc()).then(100, Act::Silence(first(), s(300)))
    };
    seconds_pass_the_sign, 120, VETH, |seed| {
        Trial::led(seed, role(0, seed, Profile::VETH, pc(), (1 << 31) - 60))
    };
    // Dante time jumps back by 136 years: another timeline, and the clock feels nothing.
    seconds_run_over, 120, Figures { unlocked_s: 5.0, ..CHANGE }, |seed| {
        Trial::led(seed, role(0, seed, Profile::VETH, pc(), (1 << 32) - 60))
    };
    sequence_runs_over, 120, VETH, |seed| {
        Trial::led(seed, Role { sequence: 65_300, ..role(0, seed, Profile::VETH, pc(), 699) })
    };
    leader_begins_before_zero, 120, VETH, |seed| Trial::led(seed, role(0, seed, Profile::VETH, pc(), -30));
    // As at the start on this noise, and two maps' errors; two locks at 2 ppm, where one errs by two standard
    // deviations.
    leader_change_dante, 300,
        Figures { unlocked_s: 8.0, phase_us: 38.0, excess_ppm: 9.0, timelines: 2, ..DANTE },
        |seed| {
            let other = role(1, seed, Profile::DANTE, Model::PC.at_ppm(-13.0), 541_867);
            Trial::new(seed, Profile::DANTE, pc()).then(100, Act::Stop(first())).then(100, Act::Lead(Box::new(other)))
        };
    reboot_dante, 300,
        Figures { unlocked_s: 38.0, phase_us: 38.0, excess_ppm: 9.0, timelines: 2, ..DANTE },
        |seed| {
            Trial::new(seed, Profile::DANTE, pc()).then(100, Act::Reboot(first(), s(30)))
        };
    // 9 ppb of rate error and the random walk make 2.7 us and 3 us in 300 s, 1 sigma.
    silence_of_300_s_dante, 700, Figures { unlocked_s: 302.0, ..DANTE }, |seed| {
        Trial::new(seed, Profile::DANTE, pc()).then(200, Act::Silence(first(), s(300)))
    };
}
