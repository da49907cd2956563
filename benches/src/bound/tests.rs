use super::*;
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64Mcg;

const VETH: Noise = Noise { packet_ns: 500.0, white_ppb: 1.0, walk_ppb: 1.0 };

#[test]
fn riccati_agrees_with_the_closed_form_of_continuous_time() {
    // For random walk q and measurement noise r per second: P00 = sqrt2 q^(1/4) r^(3/4), P11 = sqrt2 q^(3/4) r^(1/4).
    let optimal = Optimal::new(&Noise { packet_ns: 6_800.0, white_ppb: 0.0, walk_ppb: 1.0 });
    let r = 6_800.0_f64.powi(2) * T;
    let (phase, rate) = (2_f64.sqrt() * r.powf(0.75), 2_f64.sqrt() * r.powf(0.25));
    assert!((optimal.riccati().phase_ns / phase.sqrt() - 1.0).abs() < 0.02);
    assert!((optimal.rate_ppb() / rate.sqrt() - 1.0).abs() < 0.02);
}

/// Runs the controller on drawn noise.
fn simulated(noise: &Noise, optimal: &Optimal, law: &[f64; PHASES], seed: u64) -> Point {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
    let (mut phase, mut rate) = ([0.0; PHASES], 0.0);
    let (mut guess, mut guessed_rate) = ([0.0; PHASES], 0.0);
    let (mut squares, mut moves) = (0.0, 0.0);
    let rounds = 1_000_000;
    for _ in 0..rounds {
        let innovation = phase[0] + noise.packet_ns * normal() - guess[0];
        for (guess, gain) in guess.iter_mut().zip(optimal.gain()) {
            *guess += gain * innovation;
        }
        guessed_rate += optimal.gain()[RATE] * innovation;
        let term: f64 = law.iter().zip(&guess).map(|(l, g)| l * g).sum();
        let frequency = guessed_rate - term;
        let kick = noise.walk_ppb * T.sqrt();
        let (a, b) = (normal(), normal());
        let walked = kick * a * T / 2.0 + kick * T / 12_f64.sqrt() * b;
        let now = phase[0] + T * (frequency - rate) - walked - noise.white_ppb * T.sqrt() * normal();
        rate += kick * a;
        phase.copy_within(0..PHASES - 1, 1);
        phase[0] = now;
        let shown = guess[0] + T * (frequency - guessed_rate);
        guess.copy_within(0..PHASES - 1, 1);
        guess[0] = shown;
        squares += now * now;
        moves += (now - phase[PHASES - 1]).powi(2);
    }
    let rounds = f64::from(rounds);
    Point { phase_ns: (squares / rounds).sqrt(), rate_ppb: (moves / rounds).sqrt() }
}

#[test]
fn closed_loop_covariance_agrees_with_a_simulation() {
    let optimal = Optimal::new(&VETH);
    for weight in [1.0, 100.0, 1_000.0] {
        let law = regulator(weight);
        let (computed, measured) = (optimal.steered(&law), simulated(&VETH, &optimal, &law, 5));
        assert!(
            (measured.phase_ns / computed.phase_ns - 1.0).abs() < 0.03,
            "{weight}: {measured:?} {computed:?}"
        );
        assert!(
            (measured.rate_ppb / computed.rate_ppb - 1.0).abs() < 0.03,
            "{weight}: {measured:?} {computed:?}"
        );
    }
}

#[test]
fn no_law_with_a_time_constant_beats_the_frontier() {
    let optimal = Optimal::new(&VETH);
    let frontier = optimal.frontier();
    for tau_s in [1.0, 4.0, 16.0, 64.0] {
        let factor = factor_to(&frontier, optimal.with_phase_time(tau_s));
        assert!(factor > 0.998, "{tau_s} s: {factor}");
    }
    assert!((factor_to(&frontier, frontier[20]) - 1.0).abs() < 1e-3);
}
