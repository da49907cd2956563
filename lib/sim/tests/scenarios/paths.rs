//! Path drift, alone and with another path by which it can be measured; scatter of the Syncs.

use crate::*;
use dante_core::port::{Diagnostic, Port};
use dante_core::steer::State;

/// The path by which the drift can be measured.
#[derive(Debug, Clone, Copy, PartialEq)]
enum OtherPath {
    None,
    DelayReq,
    Network,
}

/// Start of the drift.
const START_S: i64 = 300;
/// Delay of a Sync: it rises for 300 s by 100 ns per second.
const RISE: Detour = Detour {
    at: Timestamp::from_ns(World::BEGIN.ns() + START_S * 1_000_000_000),
    over: Duration::from_secs(300),
    more: Duration::from_us(30),
};
const SEEDS: std::ops::RangeInclusive<u64> = 1..=4;

fn trial(seed: u64, link: Profile, other: OtherPath, detour: Option<Detour>) -> Trial {
    let primary = role(0, seed, Profile { detour, ..link }, pc(), 699);
    match other {
        OtherPath::None => Trial::led(seed, primary),
        OtherPath::DelayReq => Trial::measuring(seed, primary, DelayMechanism::E2e),
        OtherPath::Network => {
            let secondary = Role { path: primary.path.clone(), ..role(1, seed, link, pc(), 699) };
            Trial::redundant(seed, primary, secondary)
        }
    }
}

/// Shares of the seconds in which the error was within two stated standard deviations, and in which a path drift was reported, %.
#[derive(Debug, Default)]
struct Shares {
    rate: f64,
    offset: f64,
    reported: f64,
}

fn shares(link: Profile, other: OtherPath, detour: Option<Detour>, seconds: std::ops::Range<i64>) -> Shares {
    let mut shares = Shares::default();
    let percent = 100.0 / ((seconds.end - seconds.start) as f64 * SEEDS.count() as f64);
    for seed in SEEDS {
        let Trial { mut world, path, .. } = trial(seed, link, other, detour);
        world.run(s(seconds.start));
        for _ in seconds.clone() {
            world.run(s(1));
            let now = world.now();
            let (rate, truth) = (world.true_rate(first()).unwrap(), world.true_time(first()).unwrap());
            let port = world.host().port().unwrap();
            let (map, raw) = (port.map().unwrap(), world.host().clock().raw_at(now));
            let sigma = map.uncertainty_at(raw);
            let unknown = if port.path_delay().is_some() { Duration::ZERO } else { path };
            let offset = map.dante_at(raw) - truth + unknown;
            let is_reported = |port: &Port| {
                port.diagnostics()
                    .any(|(one, at)| matches!(one, Diagnostic::PathDrift(_)) && raw - at < s(10))
            };
            let add = |to: &mut f64, is: bool| *to += if is { percent } else { 0.0 };
            add(&mut shares.rate, (map.line.rate - rate).abs().ppb() <= 2.0 * sigma.rate.ppb());
            add(&mut shares.offset, offset.abs() <= sigma.offset * 2);
            add(&mut shares.reported, is_reported(port));
        }
    }
    println!("{other:?}: {shares:.1?}");
    shares
}

/// From 100 s after its start on, when the windows contain enough of it.
const DURING_RISE: std::ops::Range<i64> = START_S + 100..START_S + 300;
/// From 600 s after its end on, when no window contains it.
const AFTER_RISE: std::ops::Range<i64> = START_S + 900..START_S + 1500;

#[test]
fn path_drift_is_in_the_uncertainty_where_another_path_is_measured() {
    for (name, link, least) in [
        ("veth", Profile::VETH, [80.0, 90.0]),
        ("dante", Profile::DANTE, [30.0, 50.0]),
        ("bridge", Profile::BRIDGE, [15.0, 15.0]),
    ] {
        println!("{name}");
        let alone = shares(link, OtherPath::None, Some(RISE), DURING_RISE);
        assert!(alone.rate < 10.0, "the drift is as large as errors of the rate: {alone:?}");
        for (other, least) in [OtherPath::DelayReq, OtherPath::Network].into_iter().zip(least) {
            let during = shares(link, other, Some(RISE), DURING_RISE);
            let is_seen = [during.rate, during.offset, during.reported].iter().all(|share| *share > least);
            assert!(is_seen, "{other:?}: {during:?}");
            let after = shares(link, other, Some(RISE), AFTER_RISE);
            assert!(after.reported < 2.0 && after.rate > 80.0, "{other:?}, after it: {after:?}");
        }
    }
}

#[test]
fn noise_is_no_path_drift() {
    for link in [Profile::VETH, Profile::DANTE, Profile::BUSY, Profile::AR5, Profile::AR20, Profile::BRIDGE] {
        for other in [OtherPath::DelayReq, OtherPath::Network] {
            let seen = shares(link, other, None, 30..1800);
            assert!(seen.reported < 2.0, "{other:?}: {seen:?}");
            assert!(seen.rate > 85.0 && seen.offset > 85.0, "{other:?}: {seen:?}");
        }
    }
}

#[test]
fn scatter_of_wifi_is_reported_and_that_of_other_networks_is_not() {
    let scatter = |link: Profile| {
        let Trial { mut world, .. } = Trial::new(1, link, pc());
        world.run(s(120));
        let port = world.host().port().unwrap();
        let found = port.diagnostics().find_map(|(one, _)| match one {
            Diagnostic::Scattering(ms) => Some(ms),
            _ => None,
        });
        (found, world.host().key().number, world.host().steerer().state())
    };
    let wifi = Profile { held: Some(Duration::from_ns(102_400_000)), ..Profile::DANTE };
    let (ms, timelines, state) = scatter(wifi);
    assert!(
        ms.is_some_and(|ms| (15..=90).contains(&ms)) && timelines <= 1,
        "{ms:?} ms, {timelines} timelines"
    );
    assert_ne!(state, State::Locked);
    for link in [Profile::BUSY, Profile::BRIDGE, Profile { reordering: 0.05, ..Profile::DANTE }] {
        assert_eq!(scatter(link).0, None, "{link:?}");
    }
}
