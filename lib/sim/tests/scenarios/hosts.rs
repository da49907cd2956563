//! What becomes of the host and its clock.

use crate::*;

fn veth(seed: u64) -> Trial {
    Trial::new(seed, Profile::VETH, pc())
}

/// As the stamps of an emulated guest scatter.
const EMULATED: Profile = Profile { queue: Queue::HalfNormal(Duration::from_us(330)), ..Profile::DANTE };
const GUEST: Figures = Figures {
    lock_s: 120.0,
    unlocked_s: 0.0,
    phase_us: 400.0,
    phase_left_us: 120.0,
    excursion_us: 500.0,
    excess_ppm: 15.0,
    rate_left_ppb: 300.0,
    timelines: 1,
};

fn ms(ms: i64) -> Duration {
    Duration::from_ms(ms)
}

/// Every 10 s from the 60th on, one or two seconds of late stamps.
fn late(trial: Trial, times: i64, least: Duration, most: Duration) -> Trial {
    (0..times).fold(trial, |trial, n| trial.then(60 + 10 * n, Act::Late(s(1 + n % 2), [least, most])))
}

scenario! {
    stepped_forward_by_another_program, 120, VETH, |seed| veth(seed).then(60, Act::Step(s(3600)));
    stepped_back_by_another_program, 120, VETH, |seed| veth(seed).then(60, Act::Step(-s(3600)));
    // A step too small to be told from a reading's error is a phase, made good by 5 ppm at most.
    stepped_by_100_us, 240,
        Figures { phase_us: 102.0, excursion_us: 104.0, excess_ppm: 5.1, ..VETH },
        |seed| {
            veth(seed).then(60, Act::Step(Duration::from_us(100)))
        };
    // Step upon step: none of them may be answered by another.
    step_storm, 180, VETH, |seed| {
        (0..20).fold(veth(seed), |trial, n| {
            trial.then(60 + 2 * n, Act::Step(Duration::from_ms(if n % 2 == 0 { 700 } else { -700 })))
        })
    };
    // adjtime moves the clock by 1 ms in 2 s. dante2sys sees it at its next look, leaves the clock to that program for
    // 16 s, and keeps it where it finds it then.
    slewed_by_another_program, 400,
        Figures { unlocked_s: 16.5, phase_us: 100.0, excursion_us: 1_004.0, ..VETH },
        |seed| {
            veth(seed).then(60, Act::Slew(Ratio::from_ppm(500.0), s(2)))
        };
    // Another program sets the frequency 50 ppm off, once a second for 10 s. The clock is left to it for 16 s, in which it
    // moves by 0.8 ms, and is kept where it is found then.
    fought_over_the_frequency, 240, Figures { unlocked_s: 16.5, phase_us: 14.0, excursion_us: 815.0, ..VETH }, |seed| {
        veth(seed).then(60, Act::Fight(Ratio::from_ppm(62.0), s(10)))
    };
    // Two maps' errors meet, as at a change of leader.
    suspend_of_an_hour, 180, Figures { unlocked_s: 5.0, phase_us: 2.5, timelines: 2, ..VETH }, |seed| {
        veth(seed).then(60, Act::Suspend(s(3600)))
    };
    suspend_of_5_s, 180, Figures { unlocked_s: 5.0, phase_us: 2.5, timelines: 2, ..VETH }, |seed| {
        veth(seed).then(60, Act::Suspend(s(5)))
    };
    no_stamps_for_20_s, 180,
        Figures { unlocked_s: 20.0, ..VETH },
        |seed| veth(seed).then(60, Act::NoTimestamps(s(20)));
    some_stamps_missing, 180, VETH, |seed| {
        (0..40).fold(veth(seed), |trial, n| trial.then(10 + 3 * n, Act::NoTimestamps(Duration::from_ms(400))))
    };
    // Ten intervals are allowed, and the packets were not lost: no lock is lost, nor is a sample wrong.
    stall_of_2_s, 180, VETH, |seed| veth(seed).then(60, Act::Stall(s(2)));
    stalls_again_and_again, 300, DANTE, |seed| {
        let trial = Trial::new(seed, Profile::DANTE, pc());
        (0..20).fold(trial, |trial, n| trial.then(60 + 10 * n, Act::Stall(s(2))))
    };
    // A busy machine's guest: for one or two seconds each packet is stamped 5 to 30 ms late. That is no jump of the
    // leader's, and the clock goes on at the rate that is known.
    late_stamps_again_and_again, 600, Figures { phase_us: 30.0, ..DANTE }, |seed| {
        late(Trial::new(seed, Profile::DANTE, pc()), 50, ms(5), ms(30))
    };
    // Its stamps scatter by 0.2 ms at the best of times: among ten times as much, three alike are no rarity.
    late_stamps_of_a_guest, 600, GUEST, |seed| late(Trial::new(seed, EMULATED, pc()), 50, ms(1), ms(20));
    // And from the very start, half of the time.
    late_stamps_from_the_start, 300, Figures { rate_left_ppb: 600.0, ..GUEST }, |seed| {
        (0..60).fold(Trial::new(seed, EMULATED, pc()), |trial, n| {
            trial.then(3 * n, Act::Late(s(1) + ms(n % 2 * 1_000), [ms(1), ms(20)]))
        })
    };
    // For longer than anything is waited for elsewhere.
    late_stamps_for_20_s, 300, Figures { phase_us: 30.0, ..DANTE }, |seed| {
        Trial::new(seed, Profile::DANTE, pc()).then(100, Act::Late(s(20), [ms(1), ms(25)]))
    };
    // While locking, too.
    stall_at_the_start, 120, Figures { lock_s: 6.0, ..VETH }, |seed| veth(seed).then(1, Act::Stall(s(2)));
    // What is left in the kernel from before says nothing: the clock runs 300 ppm off until the lock.
    wrong_frequency_at_the_start, 120, Figures { excess_ppm: 5.0, ..VETH }, |seed| {
        veth(seed)
            .then(0, Act::Fight(Ratio::from_ppm(-300.0), Duration::ZERO))
            .then(0, Act::RestartSteerer(Duration::ZERO))
    };
    observer_restarts, 180,
        Figures { unlocked_s: 6.0, ..VETH },
        |seed| veth(seed).then(60, Act::RestartObserver(s(1)));
    // The new one fixes K to where the clock is.
    steerer_restarts, 180,
        Figures { unlocked_s: 3.0, ..VETH },
        |seed| veth(seed).then(60, Act::RestartSteerer(s(1)));
    // Neither a sample twice nor a jump of the reference: K stands on its page.
    relay_restarts_over_and_over, 180, VETH, |seed| {
        (0..10).fold(veth(seed), |trial, n| trial.then(60 + 5 * n, Act::RestartRelay(s(1))))
    };
    steerer_restarts_over_and_over, 180, Figures { unlocked_s: 30.0, excursion_us: 10.0, ..VETH }, |seed| {
        (0..10).fold(veth(seed), |trial, n| trial.then(60 + 5 * n, Act::RestartSteerer(s(1))))
    };
}
