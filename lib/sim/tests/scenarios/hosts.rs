//! Faults of the host and its clock.

use crate::*;

fn veth(seed: u64) -> Trial {
    Trial::new(seed, Profile::VETH, pc())
}

/// Timestamps of an emulated guest: scale of the noise 330 us.
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

/// Timestamps are late for 1 or 2 s every 10 s, from 60 s on.
fn late(trial: Trial, times: i64, least: Duration, most: Duration) -> Trial {
    (0..times).fold(trial, |trial, n| trial.then(60 + 10 * n, Act::DelayKernel(s(1 + n % 2), [least, most])))
}

scenario! {
    stepped_forward_by_another_program, 120, VETH, |seed| veth(seed).then(60, Act::Step(s(3600)));
    stepped_back_by_another_program, 120, VETH, |seed| veth(seed).then(60, Act::Step(-s(3600)));
    // A step that cannot be distinguished from a reading error is a phase error, corrected at 5 ppm at most.
    stepped_by_100_us, 240,
        Figures { phase_us: 102.0, excursion_us: 104.0, excess_ppm: 5.1, ..VETH },
        |seed| {
            veth(seed).then(60, Act::Step(Duration::from_us(100)))
        };
    // The steerer answers none of the steps with a step of its own.
    repeated_steps, 180, VETH, |seed| {
        (0..20).fold(veth(seed), |trial, n| {
            trial.then(60 + 2 * n, Act::Step(Duration::from_ms(if n % 2 == 0 { 700 } else { -700 })))
        })
    };
    // adjtime moves the clock by 1 ms in 2 s. dante2sys detects it, leaves the clock to that program for 16 s, and then keeps the clock
    // where it is.
    slewed_by_another_program, 400,
        Figures { unlocked_s: 16.5, phase_us: 100.0, excursion_us: 1_004.0, ..VETH },
        |seed| {
            veth(seed).then(60, Act::Slew(Ratio::from_ppm(500.0), s(2)))
        };
    // A competing clock daemon sets the frequency 50 ppm off, once a second for 10 s. dante2sys leaves the clock to it for 16 s, in
    // which the clock moves by 0.8 ms, and then keeps the clock where it is.
    frequency_set_by_competing_clock_daemon, 240, Figures { unlocked_s: 16.5, phase_us: 14.0, excursion_us: 815.0, ..VETH }, |seed| {
        veth(seed).then(60, Act::Compete(Ratio::from_ppm(62.0), s(10)))
    };
    // The errors of two clock maps add up, as at a change of leader.
    suspend_of_an_hour, 180, Figures { unlocked_s: 5.0, phase_us: 2.5, timelines: 2, ..VETH }, |seed| {
        veth(seed).then(60, Act::Suspend(s(3600)))
    };
    suspend_of_5_s, 180, Figures { unlocked_s: 5.0, phase_us: 2.5, timelines: 2, ..VETH }, |seed| {
        veth(seed).then(60, Act::Suspend(s(5)))
    };
    no_timestamps_for_20_s, 180,
        Figures { unlocked_s: 20.0, ..VETH },
        |seed| veth(seed).then(60, Act::NoTimestamps(s(20)));
    timestamps_missing_for_400_ms_every_3_s, 180, VETH, |seed| {
        (0..40).fold(veth(seed), |trial, n| trial.then(10 + 3 * n, Act::NoTimestamps(Duration::from_ms(400))))
    };
    // Shorter than the ten Sync intervals after which a leader counts as gone, and the packets wait in the sockets: lock and samples
    // stay.
    stall_of_2_s, 180, VETH, |seed| veth(seed).then(60, Act::Stall(s(2)));
    stall_of_2_s_every_10_s, 300, DANTE, |seed| {
        let trial = Trial::new(seed, Profile::DANTE, pc());
        (0..20).fold(trial, |trial, n| trial.then(60 + 10 * n, Act::Stall(s(2))))
    };
    // A guest of a busy machine: for 1 or 2 s each timestamp is 5 to 30 ms late. That is not taken for a jump of the leader, and the
    // clock continues at the known rate.
    late_timestamps_every_10_s, 600, Figures { phase_us: 30.0, ..DANTE }, |seed| {
        late(Trial::new(seed, Profile::DANTE, pc()), 50, ms(5), ms(30))
    };
    // Without delays the standard deviation of its timestamps is 0.2 ms. With delays of ten times that, three in a row often agree.
    late_timestamps_of_a_guest, 600, GUEST, |seed| late(Trial::new(seed, EMULATED, pc()), 50, ms(1), ms(20));
    // The same from the start on, half of the time.
    late_timestamps_from_the_start, 300, Figures { rate_left_ppb: 600.0, ..GUEST }, |seed| {
        (0..60).fold(Trial::new(seed, EMULATED, pc()), |trial, n| {
            trial.then(3 * n, Act::DelayKernel(s(1) + ms(n % 2 * 1_000), [ms(1), ms(20)]))
        })
    };
    // Longer than in the other scenarios.
    late_timestamps_for_20_s, 300, Figures { phase_us: 30.0, ..DANTE }, |seed| {
        Trial::new(seed, Profile::DANTE, pc()).then(100, Act::DelayKernel(s(20), [ms(1), ms(25)]))
    };
    // Before the lock.
    stall_at_the_start, 120, Figures { lock_s: 6.0, ..VETH }, |seed| veth(seed).then(1, Act::Stall(s(2)));
    // A frequency of -300 ppm that an earlier program left in the kernel is kept until the lock.
    wrong_frequency_at_the_start, 120, Figures { excess_ppm: 5.0, ..VETH }, |seed| {
        veth(seed)
            .then(0, Act::Compete(Ratio::from_ppm(-300.0), Duration::ZERO))
            .then(0, Act::RestartSteerer(Duration::ZERO))
    };
    observer_restarts, 180,
        Figures { unlocked_s: 6.0, ..VETH },
        |seed| veth(seed).then(60, Act::RestartObserver(s(1)));
    // The new run sets the epoch offset (K) from the clock, which does not move.
    steerer_restarts, 180,
        Figures { unlocked_s: 3.0, ..VETH },
        |seed| veth(seed).then(60, Act::RestartSteerer(s(1)));
    // No sample is relayed twice and the reference does not jump: danteshm reads K from the page of the run before.
    relay_restarts_every_5_s, 180, VETH, |seed| {
        (0..10).fold(veth(seed), |trial, n| trial.then(60 + 5 * n, Act::RestartRelay(s(1))))
    };
    steerer_restarts_every_5_s, 180, Figures { unlocked_s: 30.0, excursion_us: 10.0, ..VETH }, |seed| {
        (0..10).fold(veth(seed), |trial, n| trial.then(60 + 5 * n, Act::RestartSteerer(s(1))))
    };
}
