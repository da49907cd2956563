//! What the two oscillators do to one another.

use crate::*;

const STEPPED: i64 = 100;

fn stepped(ppm: f64) -> Model {
    Model { steps: vec![(s(STEPPED), Ratio::from_ppm(ppm))], ..pc() }
}

scenario! {
    plain_veth, 120, VETH, |seed| Trial::new(seed, Profile::VETH, pc());
    plain_dante, 300, DANTE, |seed| Trial::new(seed, Profile::DANTE, pc());
    good_oscillator, 300, DANTE, |seed| Trial::new(seed, Profile::DANTE, Model::GOOD.at_ppm(12.0));
    // A servo that only holds the rate walks off in phase, by microseconds a minute.
    phase_does_not_walk_off_over_hours, 4 * 3600, DANTE, |seed| Trial::new(seed, Profile::DANTE, pc());
    leader_200_ppm_fast, 120, VETH, |seed| Trial::new(seed, Profile::VETH, Model::PC.at_ppm(200.0));
    leader_200_ppm_slow, 120, VETH, |seed| Trial::new(seed, Profile::VETH, Model::PC.at_ppm(-200.0));
    // 50 ppb over 300 s: the rate moves by up to 1 ppb a second, which a filter for the random walk follows
    // late.
    slow_sine_of_temperature, 900, Figures { rate_left_ppb: 90.0, ..DANTE }, |seed| {
        let sine = Some(Sine { amplitude: Ratio::from_ppb(50.0), period: s(300) });
        Trial::new(seed, Profile::DANTE, Model { sine, ..pc() })
    };
    // Where a step of the rate is noticed within 4 s, no more than 4 us of phase come of it; then a new fit
    // takes as long as the first, and it is caught up. Until a step of 1 ppm is told from a path that shifts by some us, it
    // takes the longest.
    frequency_step_of_1_ppm_veth, 220,
        Figures { unlocked_s: 3.0, excess_ppm: 7.0, phase_us: 9.0, excursion_us: 9.0, ..VETH },
        |seed| {
            Trial::new(seed, Profile::VETH, stepped(1.0))
        };
    // On this noise it takes 12 s until a new fit tells a step of 1 ppm from none, and as long until that is
    // caught up.
    frequency_step_of_1_ppm_dante, 300, Figures { phase_us: 50.0, excursion_us: 60.0, ..DANTE }, |seed| {
        Trial::new(seed, Profile::DANTE, stepped(1.0))
    };
}
