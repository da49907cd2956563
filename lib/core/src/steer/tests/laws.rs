//! A second law: a plain PI controller.

use super::law::Aim;
use super::*;

/// Proportional and integral gains for a damping of 0.7 and a time constant of about 8 s.
const KP: f64 = 0.17;
const KI: f64 = 0.015;

/// In velocity form, which needs only the previous correction as memory.
fn pi(aim: &Aim<'_>) -> Ratio {
    let error = aim.error.span().secs_f64();
    match aim.before {
        None => aim.map.line.rate,
        Some(before) => {
            let change = KP * (error - before.error.span().secs_f64()) + KI * error * before.ago.secs_f64();
            before.frequency - Ratio::new(change)
        }
    }
}

#[test]
fn another_law_is_held_to_the_same_bounds() {
    let mut bench = Bench::with(Config { law: pi, ..Config::default() }, 12.0);
    bench.syncs(8);
    bench.line.at0 = bench.line.at0 + Duration::from_us(8);
    bench.sync();
    let first = bench.last_set();
    assert!((first - 12.0 - 1.36 - 0.03).abs() < 0.01, "8 us: {first}");
    bench.syncs(400);
    assert!(bench.error().abs() < Duration::from_ns(100), "{:?}", bench.error());
    let overshoots = bench.clock.set.iter().any(|set| set.ppm() < 11.99);
    assert!(overshoots, "unlike the law of dante2sys, a PI controller overshoots");
    let mut fast = Bench::with(Config { law: |_| Ratio::from_ppm(5_000.0), ..Config::default() }, 12.0);
    fast.syncs(4);
    assert_eq!(fast.last_set(), 490.0, "no law sets a frequency beyond the bound");
}
