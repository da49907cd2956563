//! One input for all followers, drawn from a seed, and the truth to hold them against.

use dante_core::time::{Dante, Duration, Raw, Timestamp, VirtualClock};
use dante_sim::link::Profile;
use dante_sim::oscillator::{Model, Path};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Syncs of a Dante leader are so far apart.
pub const INTERVAL: Duration = Duration::from_ms(250);
/// The same, s.
pub const T: f64 = 0.25;
/// Syncs in a second.
pub const PER_SECOND: usize = 4;
/// When the host's CLOCK_MONOTONIC_RAW begins.
pub const BEGIN: Timestamp<Raw> = Timestamp::from_ns(1_000_000_000_000);
/// The leader's time minus CLOCK_MONOTONIC_RAW there.
pub const BASE: Duration = Duration::from_secs(86_400);
/// A leader's timer is not exact; its stamps are.
const JITTER: Duration = Duration::from_us(50);

/// A link, and how it is called.
#[derive(Debug, Clone, Copy)]
pub struct LinkProfile {
    /// As tables and plots call it.
    pub name: &'static str,
    /// What it does to packets.
    pub profile: Profile,
}

/// All that are measured on.
pub const NETWORKS: [LinkProfile; 3] = [
    LinkProfile { name: "veth", profile: Profile::VETH },
    LinkProfile { name: "dante", profile: Profile::DANTE },
    LinkProfile { name: "busy", profile: Profile::BUSY },
];

impl LinkProfile {
    /// Standard deviation of the time that a packet needs, ns, and its mean: by a long draw, so that a change of the
    /// profile cannot be forgotten here.
    pub fn noise_ns(&self) -> (f64, f64) {
        let mut rng = Pcg64Mcg::seed_from_u64(1);
        let draws = 400_000;
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..draws {
            let ns = self.profile.transit(&mut rng, BEGIN).ns() as f64;
            sum += ns;
            squares += ns * ns;
        }
        let mean = sum / f64::from(draws);
        ((squares / f64::from(draws) - mean * mean).sqrt(), mean)
    }
}

/// A Sync as followers see it, and the truth at the instant at which it was sent.
#[derive(Debug, Clone, Copy)]
pub struct Sync {
    /// When it left.
    pub sent: Timestamp<Raw>,
    /// When it arrived.
    pub arrived: Timestamp<Raw>,
    /// When it left, by the leader.
    pub stated: Timestamp<Dante>,
    /// What an exchange of Delay_Req measures now, by the mean of both ways; once a second.
    pub delay: Option<Duration>,
    /// The leader's gain on the raw clock since the begin, ns.
    pub gained_ns: f64,
    /// The leader's rate without its white noise, ppb.
    pub slow_ppb: f64,
}

impl Sync {
    /// Seconds since the first one could be sent.
    pub fn at_s(&self) -> f64 {
        (self.sent - BEGIN).secs_f64()
    }

    /// A clock minus the leader's true time, at the instant at which this one was sent, ns.
    pub fn phase_ns(&self, clock: &VirtualClock) -> f64 {
        let line = clock.line();
        let apart = line.at0.ns() - line.raw0.ns() - BASE.ns();
        apart as f64 + line.rate.fraction() * (self.sent - line.raw0).ns() as f64 - self.gained_ns
    }
}

/// All Syncs of one seed, without end.
pub struct Trace {
    profile: Profile,
    path: Path,
    rng: Pcg64Mcg,
    count: i64,
}

impl Trace {
    /// The leader runs `ppm` off the host.
    pub fn new(network: &LinkProfile, model: Model, ppm: f64, seed: u64) -> Self {
        let start = Timestamp::from_ns(BEGIN.ns()) + BASE;
        let path = Path::new(model.at_ppm(ppm), BEGIN, start, seed);
        Self { profile: network.profile, path, rng: Pcg64Mcg::seed_from_u64(!seed), count: 0 }
    }

    /// The leader's rate is drawn, too: up to `ppm` to either side.
    pub fn drawn(network: &LinkProfile, model: Model, ppm: f64, seed: u64) -> Self {
        let drawn = Pcg64Mcg::seed_from_u64(seed ^ 0x5eed).random_range(-ppm..=ppm);
        Self::new(network, model, drawn, seed)
    }
}

impl Iterator for Trace {
    type Item = Sync;

    fn next(&mut self) -> Option<Sync> {
        let late = Duration::from_ns(self.rng.random_range(0..JITTER.ns()));
        let sent = BEGIN + INTERVAL * self.count + late;
        let exchange = self.count % 4 == 0;
        self.count += 1;
        let transit = self.profile.transit(&mut self.rng, sent);
        let back = self.profile.transit_back(&mut self.rng, sent);
        Some(Sync {
            sent,
            arrived: sent + transit,
            stated: self.path.at(sent),
            delay: exchange.then_some((transit + back) / 2),
            gained_ns: self.path.offset_ns(sent),
            slow_ppb: self.path.slow_rate_at(sent).ppb(),
        })
    }
}
