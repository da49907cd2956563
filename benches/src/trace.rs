//! The input of all followers, drawn from a seed, with the true times.

use dante_core::time::{Dante, Duration, Raw, Timestamp, VirtualClock};
use dante_sim::link::{Link, Profile, Recording};
use dante_sim::oscillator::{self, Model};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::path::Path;

/// Sync interval of a Dante leader.
pub const INTERVAL: Duration = Duration::from_ms(250);
/// Sync interval, s.
pub const T: f64 = 0.25;
/// Syncs per second.
pub const PER_SECOND: usize = 4;
/// CLOCK_MONOTONIC_RAW of the host at the start.
pub const BEGIN: Timestamp<Raw> = Timestamp::from_ns(1_000_000_000_000);
/// The leader's time minus CLOCK_MONOTONIC_RAW at the start.
pub const BASE: Duration = Duration::from_secs(86_400);
/// Largest delay of a leader's Sync timer. The leader's timestamps are exact.
const JITTER: Duration = Duration::from_us(50);

/// A network link.
#[derive(Debug, Clone, Copy)]
pub struct LinkProfile {
    /// Name in tables and plots.
    pub name: &'static str,
    /// Packet delays.
    pub profile: Profile,
}

/// The links of the experiments.
pub const NETWORKS: [LinkProfile; 3] = [
    LinkProfile { name: "veth", profile: Profile::VETH },
    LinkProfile { name: "dante", profile: Profile::DANTE },
    LinkProfile { name: "busy", profile: Profile::BUSY },
];

/// The links whose delays change slowly.
pub const SLOW_NETWORKS: [LinkProfile; 4] = [
    LinkProfile { name: "ar1", profile: Profile::AR1 },
    LinkProfile { name: "ar5", profile: Profile::AR5 },
    LinkProfile { name: "ar20", profile: Profile::AR20 },
    LinkProfile { name: "bridge", profile: Profile::BRIDGE },
];

/// Reads one of the recordings of a Linux bridge, by its name without extension. The leader's true rate was +12 ppm.
///
/// # Errors
/// If the file cannot be read.
pub fn recorded(name: &str) -> anyhow::Result<Recording> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lib/sim/recordings").join(name);
    let text = std::fs::read_to_string(path.with_extension("csv"))?;
    Ok(Recording::parse(&text)?)
}

impl LinkProfile {
    /// Returns standard deviation and mean of the packet delay, ns. Both are drawn from the profile, so that they follow its
    /// changes.
    pub fn noise_ns(&self) -> (f64, f64) {
        let (mut link, mut rng) = (Link::from(self.profile), Pcg64Mcg::seed_from_u64(1));
        let draws = 400_000;
        let (mut sum, mut squares) = (0.0, 0.0);
        for n in 0..draws {
            let ns = link.transit(&mut rng, BEGIN + INTERVAL * n).ns() as f64;
            sum += ns;
            squares += ns * ns;
        }
        let mean = sum / draws as f64;
        ((squares / draws as f64 - mean * mean).sqrt(), mean)
    }
}

/// A Sync as a follower receives it, with the true times of its departure.
#[derive(Debug, Clone, Copy)]
pub struct Sync {
    /// Departure, by CLOCK_MONOTONIC_RAW.
    pub sent: Timestamp<Raw>,
    /// Arrival, by CLOCK_MONOTONIC_RAW.
    pub arrived: Timestamp<Raw>,
    /// Departure, by the leader's clock.
    pub origin: Timestamp<Dante>,
    /// Mean path delay by a Delay_Req, once a second.
    pub delay: Option<Duration>,
    /// The leader's gain over CLOCK_MONOTONIC_RAW since the start, ns.
    pub gained_ns: f64,
    /// The leader's rate without its white noise, ppb.
    pub slow_ppb: f64,
}

impl Sync {
    /// Returns the seconds from the start to the departure.
    pub fn at_s(&self) -> f64 {
        (self.sent - BEGIN).secs_f64()
    }

    /// Returns `clock` minus the leader's true time at the departure, ns.
    pub fn phase_ns(&self, clock: &VirtualClock) -> f64 {
        let line = clock.line();
        let apart = line.at0.ns() - line.raw0.ns() - BASE.ns();
        apart as f64 + line.rate.fraction() * (self.sent - line.raw0).ns() as f64 - self.gained_ns
    }
}

/// The endless sequence of Syncs of one seed.
pub struct Trace {
    link: Link,
    interval: Duration,
    path: oscillator::Path,
    rng: Pcg64Mcg,
    count: i64,
}

impl Trace {
    /// Makes the Syncs of a leader whose rate is `ppm` relative to the host.
    pub fn new(network: &LinkProfile, model: Model, ppm: f64, seed: u64) -> Self {
        Self::through(network.profile, model, ppm, seed)
    }

    /// Makes the Syncs of a leader behind this link.
    pub fn through(link: impl Into<Link>, model: Model, ppm: f64, seed: u64) -> Self {
        let start = Timestamp::from_ns(BEGIN.ns()) + BASE;
        let path = oscillator::Path::new(model.at_ppm(ppm), BEGIN, start, seed);
        Self { link: link.into(), interval: INTERVAL, path, rng: Pcg64Mcg::seed_from_u64(!seed), count: 0 }
    }

    /// Sets the Sync interval.
    pub fn every(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// Sets the level of the link's delays from now on, as a factor of their deviations from the mean.
    pub fn set_level(&mut self, factor: f64) {
        self.link.set_level(factor);
    }

    /// Makes the Syncs of a leader whose rate is drawn from +-`ppm`.
    pub fn drawn(network: &LinkProfile, model: Model, ppm: f64, seed: u64) -> Self {
        let drawn = Pcg64Mcg::seed_from_u64(seed ^ 0x5eed).random_range(-ppm..=ppm);
        Self::new(network, model, drawn, seed)
    }
}

impl Iterator for Trace {
    type Item = Sync;

    fn next(&mut self) -> Option<Sync> {
        let jitter = Duration::from_ns(self.rng.random_range(0..JITTER.ns()));
        let sent = BEGIN + self.interval * self.count + jitter;
        let exchange = self.count % 4 == 0;
        self.count += 1;
        let transit = self.link.transit(&mut self.rng, sent);
        let back = self.link.transit_back(&mut self.rng, sent);
        Some(Sync {
            sent,
            arrived: sent + transit,
            origin: self.path.at(sent),
            delay: exchange.then_some((transit + back) / 2),
            gained_ns: self.path.offset_ns(sent),
            slow_ppb: self.path.slow_rate_at(sent).ppb(),
        })
    }
}
