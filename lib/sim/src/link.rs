//! The network path between a leader and a host: delay, loss, duplication and reordering of packets.
//!
//! A [`Profile`] describes a path, a [`Link`] is one: it has the state of delays that change slowly, or replays a recording.

mod recording;
mod slow;

pub use recording::{Delays, Recording, RecordingError};
pub use slow::{Regimes, Slow, Spells};

use dante_core::time::{Duration, Ratio, Raw, Timestamp};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, Exp1, StandardNormal};
use slow::SlowDelay;

/// Distribution of the queueing delay of a packet, independent of the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Queue {
    /// Absolute value of a normal variable with this standard deviation. It has 0.798 of it as mean and 0.603 of it as standard
    /// deviation.
    HalfNormal(Duration),
    /// Normal with this standard deviation, about [`Profile::delay`]. A delay below zero is drawn as zero.
    Normal(Duration),
    /// Exponential with this mean, which is also its standard deviation.
    Exponential(Duration),
}

/// Additional delay of some packets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bursts {
    /// Fraction of the packets, 0 to 1.
    pub share: f64,
    /// Smallest additional delay.
    pub shortest: Duration,
    /// Largest additional delay; uniform between the two.
    pub longest: Duration,
}

/// Additional delay of all packets for some time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Start.
    pub at: Timestamp<Raw>,
    /// Length.
    pub span: Duration,
    /// Additional delay of each packet.
    pub more: Duration,
}

/// Permanent change of the delay from the leader to the host; the delay in the other direction stays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detour {
    /// Start.
    pub at: Timestamp<Raw>,
    /// Time over which the delay changes linearly; zero: at once.
    pub over: Duration,
    /// Additional delay.
    pub more: Duration,
}

impl Detour {
    /// Returns the additional delay at this time.
    fn more_at(&self, at: Timestamp<Raw>) -> Duration {
        let passed = at - self.at;
        if passed < Duration::ZERO {
            Duration::ZERO
        } else if passed >= self.over {
            self.more
        } else {
            self.more * Ratio::new(passed.secs_f64() / self.over.secs_f64())
        }
    }
}

/// Properties of a path, the same in both directions except for the [`Detour`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    /// Smallest delay.
    pub delay: Duration,
    /// Queueing delay, added to it.
    pub queue: Queue,
    /// Delays that change slowly, added to it.
    pub slow: [Slow; 2],
    /// Additional delay of all packets during random spells.
    pub spells: Option<Spells>,
    /// Changes of the level of all these.
    pub regimes: Option<Regimes>,
    /// Additional delay of some packets.
    pub bursts: Option<Bursts>,
    /// Packets are held until the next multiple of this time, as an access point holds multicast until the next DTIM beacon.
    pub held: Option<Duration>,
    /// Additional delay of all packets for some time.
    pub load: Option<Load>,
    /// Permanent change in one direction.
    pub detour: Option<Detour>,
    /// Fraction of lost packets, 0 to 1.
    pub loss: f64,
    /// Fraction of packets that are received twice, 0 to 1.
    pub duplication: f64,
    /// Fraction of packets that are delayed by 50 us to 0.6 s (log-uniform), 0 to 1, so that later packets may overtake them: a
    /// Sync may be received after its Follow_Up or after the next Sync.
    pub reordering: f64,
}

impl Profile {
    const PLAIN: Self = Self {
        delay: Duration::ZERO,
        queue: Queue::HalfNormal(Duration::ZERO),
        slow: [Slow::NONE; 2],
        spells: None,
        regimes: None,
        bursts: None,
        held: None,
        load: None,
        detour: None,
        loss: 0.0,
        duplication: 0.0,
        reordering: 0.0,
    };
    /// A veth pair: standard deviation 0.5 us.
    pub const VETH: Self =
        Self { delay: Duration::from_us(5), queue: Queue::HalfNormal(Duration::from_ns(829)), ..Self::PLAIN };
    /// Real Dante devices with software timestamps: standard deviation 6.8 us, with a one-sided tail.
    pub const DANTE: Self = Self {
        delay: Duration::from_us(30),
        queue: Queue::HalfNormal(Duration::from_ns(11_300)),
        ..Self::PLAIN
    };
    /// [`Self::DANTE`] on a busy network: 10 % of the packets are 50 to 300 us late.
    pub const BUSY: Self = Self {
        bursts: Some(Bursts { share: 0.1, shortest: Duration::from_us(50), longest: Duration::from_us(300) }),
        ..Self::DANTE
    };

    /// A delay that changes slowly, as on the forwarding path of a Linux bridge: standard deviation 2.5 us and this time constant
    /// (an AR(1) process at any Sync interval), over white noise of 1 us.
    const fn autoregressive(time_constant: Duration) -> Self {
        Self {
            delay: Duration::from_us(60),
            queue: Queue::Normal(Duration::from_us(1)),
            slow: [Slow { sigma: Duration::from_ns(2_500), time_constant }, Slow::NONE],
            ..Self::PLAIN
        }
    }
    /// Slow delays with a time constant of 1 s.
    pub const AR1: Self = Self::autoregressive(Duration::from_secs(1));
    /// Slow delays with a time constant of 5 s.
    pub const AR5: Self = Self::autoregressive(Duration::from_secs(5));
    /// Slow delays with a time constant of 20 s.
    pub const AR20: Self = Self::autoregressive(Duration::from_secs(20));
    /// A path through a Linux bridge on a busy host: two slow delays, and spells of 1 s in which every packet takes 10 to 16 us
    /// longer.
    pub const BRIDGE: Self = Self {
        queue: Queue::Normal(Duration::from_ns(1_500)),
        slow: [
            Slow { sigma: Duration::from_ns(1500), time_constant: Duration::from_ms(500) },
            Slow { sigma: Duration::from_ns(1500), time_constant: Duration::from_secs(4) },
        ],
        spells: Some(Spells {
            every: Duration::from_secs(60),
            length: Duration::from_secs(1),
            shortest: Duration::from_us(10),
            longest: Duration::from_us(16),
        }),
        ..Self::AR1
    };

    /// Mean of the queueing delay, ns.
    fn mean_queue_ns(&self) -> f64 {
        match self.queue {
            Queue::HalfNormal(scale) => scale.ns_f64() * (2.0 / std::f64::consts::PI).sqrt(),
            Queue::Normal(_) => 0.0,
            Queue::Exponential(mean) => mean.ns_f64(),
        }
    }

    /// Draws the queueing delay of a packet, ns.
    fn queued_ns(&self, rng: &mut (impl Rng + ?Sized)) -> f64 {
        match self.queue {
            Queue::HalfNormal(scale) => scale.ns_f64() * f64::abs(StandardNormal.sample(rng)),
            Queue::Normal(sigma) => sigma.ns_f64() * Distribution::<f64>::sample(&StandardNormal, rng),
            Queue::Exponential(mean) => mean.ns_f64() * Distribution::<f64>::sample(&Exp1, rng),
        }
    }

    /// Draws the number of copies of a packet that are received.
    pub fn copies(&self, rng: &mut (impl Rng + ?Sized)) -> usize {
        let sent = 1 + usize::from(self.duplication > 0.0 && rng.random_bool(self.duplication));
        (0..sent).filter(|_| self.loss == 0.0 || !rng.random_bool(self.loss)).count()
    }
}

/// A path between a leader and the hosts.
#[derive(Debug, Clone)]
pub struct Link {
    profile: Profile,
    /// To the host, and back to the leader.
    slow: [SlowDelay; 2],
    /// Delays of the packets to the host, instead of those of the profile.
    recorded: Option<Delays>,
}

impl From<Profile> for Link {
    fn from(profile: Profile) -> Self {
        Self { profile, slow: Default::default(), recorded: None }
    }
}

impl From<Delays> for Link {
    /// Makes a link on which packets to the host have the recorded delays, and those back are without noise.
    fn from(delays: Delays) -> Self {
        let profile = Profile { delay: delays.mean(), ..Profile::PLAIN };
        Self { recorded: Some(delays), ..Self::from(profile) }
    }
}

impl Link {
    /// Properties of the path.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The recorded delays that it replays.
    pub fn recorded(&self) -> Option<&Delays> {
        self.recorded.as_ref()
    }

    /// Multiplies the deviations of the profile's delays from their mean by `factor`, from now on.
    pub fn set_level(&mut self, factor: f64) {
        self.slow.iter_mut().for_each(|slow| slow.set_level(factor));
    }

    /// Draws the delay of a packet that leaves the leader at `at`. The times of the calls must not decrease much: a slow delay has
    /// no memory of earlier ones.
    pub fn transit(&mut self, rng: &mut (impl Rng + ?Sized), at: Timestamp<Raw>) -> Duration {
        if let Some(delays) = &self.recorded {
            return delays.at(at);
        }
        let detour = self.profile.detour.map_or(Duration::ZERO, |detour| detour.more_at(at));
        self.draw(0, rng, at) + detour
    }

    /// Draws the delay of a packet that leaves the host at `at`.
    pub fn transit_back(&mut self, rng: &mut (impl Rng + ?Sized), at: Timestamp<Raw>) -> Duration {
        self.draw(1, rng, at)
    }

    fn draw(&mut self, direction: usize, rng: &mut (impl Rng + ?Sized), at: Timestamp<Raw>) -> Duration {
        let profile = self.profile;
        let mean = profile.mean_queue_ns();
        let (slow, level) = match self.slow.get_mut(direction) {
            Some(slow) => slow.advance(&profile, rng, at),
            None => (0.0, 1.0),
        };
        let scattered = mean + level * (profile.queued_ns(rng) - mean + slow);
        let mut transit = (profile.delay + Duration::from_ns_f64(scattered)).max(Duration::ZERO);
        if let Some(bursts) = profile.bursts
            && rng.random_bool(bursts.share)
        {
            let ns = rng.random_range(bursts.shortest.ns()..=bursts.longest.ns());
            transit = transit + Duration::from_ns(ns);
        }
        if let Some(held) = profile.held {
            let sent = (at + transit).ns();
            transit = transit + Duration::from_ns(held.ns() - sent.rem_euclid(held.ns()));
        }
        if let Some(load) = profile.load
            && (load.at..load.at + load.span).contains(&at)
        {
            transit = transit + load.more;
        }
        if profile.reordering > 0.0 && rng.random_bool(profile.reordering) {
            transit = transit + Duration::from_secs_f64(50e-6 * 12_000_f64.powf(rng.random()));
        }
        transit
    }

    /// Draws the number of copies of a packet that are received.
    pub fn copies(&self, rng: &mut (impl Rng + ?Sized)) -> usize {
        self.profile.copies(rng)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_pcg::Pcg64Mcg;

    fn moments(profile: Profile, at: Timestamp<Raw>) -> (f64, f64) {
        let (mut link, mut rng) = (Link::from(profile), Pcg64Mcg::seed_from_u64(1));
        let n = 100_000;
        let ns: Vec<f64> = (0..n).map(|_| link.transit(&mut rng, at).ns() as f64).collect();
        let mean = ns.iter().sum::<f64>() / f64::from(n);
        let variance = ns.iter().map(|ns| (ns - mean).powi(2)).sum::<f64>() / f64::from(n);
        (mean, variance.sqrt())
    }

    #[test]
    fn profiles_have_their_mean_and_standard_deviation() {
        for (link, mean, sigma) in [
            (Profile::VETH, 5_661.0, 500.0),
            (Profile::DANTE, 39_016.0, 6_812.0),
            // 10 % of the packets are late by 175 us on average.
            (Profile::BUSY, 56_516.0, 57_800.0),
            (
                Profile { queue: Queue::Exponential(Duration::from_us(10)), ..Profile::VETH },
                15_000.0,
                10_000.0,
            ),
        ] {
            let (found_mean, found_sigma) = moments(link, Timestamp::ZERO);
            assert!((found_mean / mean - 1.0).abs() < 0.02, "{link:?}: mean {found_mean} ns");
            assert!((found_sigma / sigma - 1.0).abs() < 0.02, "{link:?}: sigma {found_sigma} ns");
        }
    }

    #[test]
    fn load_and_detour_start_and_end_in_time() {
        let at = Timestamp::from_ns(10_000_000_000);
        let load = Load { at, span: Duration::from_secs(20), more: Duration::from_us(100) };
        let detour = Detour { at, over: Duration::ZERO, more: Duration::from_us(20) };
        let link = Profile { load: Some(load), detour: Some(detour), ..Profile::VETH };
        let mean_us = |s| (moments(link, Timestamp::ZERO + Duration::from_secs(s)).0 / 1e3).round();
        assert_eq!([9, 10, 29, 30].map(mean_us), [6.0, 126.0, 126.0, 26.0]);
        let back =
            Link::from(link).transit_back(&mut Pcg64Mcg::seed_from_u64(1), at + Duration::from_secs(30));
        assert!(back < Duration::from_us(12), "{back:?}");
    }

    /// Delays of packets at 4 Hz, us.
    fn series(profile: Profile, count: i64) -> Vec<f64> {
        let (mut link, mut rng) = (Link::from(profile), Pcg64Mcg::seed_from_u64(3));
        let delay = |n| link.transit(&mut rng, Timestamp::from_ns(250_000_000 * n)).ns_f64() / 1e3;
        (0..count).map(delay).collect()
    }

    /// Standard deviation, and autocorrelation after `lag`.
    fn scatter(values: &[f64], lag: usize) -> (f64, f64) {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let product = |lag: usize| {
            let pairs = values.iter().zip(&values[lag..]);
            pairs.map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / (values.len() - lag) as f64
        };
        (product(0).sqrt(), product(lag) / product(0))
    }

    #[test]
    fn slow_delay_has_its_level_and_time_constant() {
        for (profile, time_constant_s) in [(Profile::AR1, 1), (Profile::AR5, 5), (Profile::AR20, 20)] {
            let lag = 4 * time_constant_s;
            let (sigma, autocorrelation) = scatter(&series(profile, 400_000), lag);
            assert!((sigma - 2.5_f64.hypot(1.0)).abs() < 0.1, "{sigma} us");
            // 1/e, of the slow delay alone.
            let expected = (-1.0_f64).exp() * 6.25 / 7.25;
            assert!((autocorrelation - expected).abs() < 0.04, "{autocorrelation} after {time_constant_s} s");
        }
    }

    #[test]
    fn spells_have_their_rate_and_delay() {
        let spells = Spells {
            every: Duration::from_secs(60),
            length: Duration::from_secs(1),
            shortest: Duration::from_us(100),
            longest: Duration::from_us(160),
        };
        let delays = series(Profile { spells: Some(spells), ..Profile::AR1 }, 400_000);
        let late = |delay: &&f64| **delay > 130.0;
        let (count, starts) = (
            delays.iter().filter(late).count(),
            delays.windows(2).filter(|pair| !late(&&pair[0]) && late(&&pair[1])).count(),
        );
        // 100,000 s hold 1640 spells of 1 s, each of four packets.
        assert!(
            (1_450..1_800).contains(&starts) && (3.8..4.2).contains(&(count as f64 / starts as f64)),
            "{starts}, {count}"
        );
        assert!(delays.iter().all(|delay| *delay < 240.0));
    }

    #[test]
    fn regimes_change_the_level() {
        let regimes = Some(Regimes { factor: 10.0, dwell: Duration::from_secs(100) });
        let delays = series(Profile { regimes, delay: Duration::from_ms(1), ..Profile::AR1 }, 400_000);
        let mut sigmas: Vec<f64> = delays.chunks(80).map(|of_20_s| scatter(of_20_s, 1).0).collect();
        sigmas.sort_unstable_by(f64::total_cmp);
        let [quiet, loud] = [1, 9].map(|tenths| sigmas[tenths * sigmas.len() / 10]);
        assert!((1.5..3.0).contains(&quiet) && (20.0..32.0).contains(&loud), "{quiet} us, {loud} us");
    }

    #[test]
    fn held_packets_arrive_at_multiples_of_the_beacon() {
        let held = Some(Duration::from_ns(102_400_000));
        let (mut link, mut rng) =
            (Link::from(Profile { held, ..Profile::DANTE }), Pcg64Mcg::seed_from_u64(1));
        for n in 1..1000 {
            let sent = Timestamp::from_ns(250_000_000 * n);
            let delay = link.transit(&mut rng, sent);
            assert_eq!((sent + delay).ns() % 102_400_000, 0);
            assert!(delay <= Duration::from_us(102_500), "{delay:?}");
        }
    }

    #[test]
    fn detour_rises_over_its_time_in_one_direction() {
        let detour = Detour {
            at: Timestamp::from_ns(10_000_000_000),
            over: Duration::from_secs(100),
            more: Duration::from_us(200),
        };
        let more = [9, 10, 60, 110, 500].map(|at| detour.more_at(Timestamp::from_ns(at * 1_000_000_000)));
        assert_eq!(more, [0, 0, 100, 200, 200].map(Duration::from_us));
    }

    #[test]
    fn loss_and_duplication_have_their_fraction() {
        let mut rng = Pcg64Mcg::seed_from_u64(2);
        let link = Profile { loss: 0.1, duplication: 0.2, ..Profile::VETH };
        let copies: usize = (0..100_000).map(|_| link.copies(&mut rng)).sum();
        assert!((106_500..109_500).contains(&copies), "{copies} instead of 108,000");
    }
}
