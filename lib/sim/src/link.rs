//! The network path between a leader and a host: delay, loss, duplication and reordering of packets.

use dante_core::time::{Duration, Raw, Timestamp};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, Exp1, StandardNormal};

/// Distribution of the queueing delay, which is never negative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Queue {
    /// Absolute value of a normal variable with this standard deviation. It has 0.798 of it as mean and 0.603 of it as standard
    /// deviation.
    HalfNormal(Duration),
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
    /// Additional delay.
    pub more: Duration,
}

/// Properties of a path, the same in both directions except for the [`Detour`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    /// Smallest delay.
    pub delay: Duration,
    /// Queueing delay, added to it.
    pub queue: Queue,
    /// Additional delay of some packets.
    pub bursts: Option<Bursts>,
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
        bursts: None,
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

    /// Draws the delay of a packet that leaves the leader at `at`.
    pub fn transit(&self, rng: &mut (impl Rng + ?Sized), at: Timestamp<Raw>) -> Duration {
        let detour = self.detour.filter(|detour| at >= detour.at);
        self.transit_back(rng, at) + detour.map_or(Duration::ZERO, |detour| detour.more)
    }

    /// Draws the delay of a packet that leaves the host at `at`.
    pub fn transit_back(&self, rng: &mut (impl Rng + ?Sized), at: Timestamp<Raw>) -> Duration {
        let queued = match self.queue {
            Queue::HalfNormal(scale) => scale.secs_f64() * f64::abs(StandardNormal.sample(rng)),
            Queue::Exponential(mean) => mean.secs_f64() * Distribution::<f64>::sample(&Exp1, rng),
        };
        let mut transit = self.delay + Duration::from_secs_f64(queued);
        if let Some(bursts) = self.bursts
            && rng.random_bool(bursts.share)
        {
            let ns = rng.random_range(bursts.shortest.ns()..=bursts.longest.ns());
            transit = transit + Duration::from_ns(ns);
        }
        if let Some(load) = self.load
            && (load.at..load.at + load.span).contains(&at)
        {
            transit = transit + load.more;
        }
        if self.reordering > 0.0 && rng.random_bool(self.reordering) {
            transit = transit + Duration::from_secs_f64(50e-6 * 12_000_f64.powf(rng.random()));
        }
        transit
    }

    /// Draws the number of copies of a packet that are received.
    pub fn copies(&self, rng: &mut (impl Rng + ?Sized)) -> usize {
        let sent = 1 + usize::from(self.duplication > 0.0 && rng.random_bool(self.duplication));
        (0..sent).filter(|_| self.loss == 0.0 || !rng.random_bool(self.loss)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_pcg::Pcg64Mcg;

    fn moments(link: Profile, at: Timestamp<Raw>) -> (f64, f64) {
        let mut rng = Pcg64Mcg::seed_from_u64(1);
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
        let detour = Detour { at, more: Duration::from_us(20) };
        let link = Profile { load: Some(load), detour: Some(detour), ..Profile::VETH };
        let mean_us = |s| (moments(link, Timestamp::ZERO + Duration::from_secs(s)).0 / 1e3).round();
        assert_eq!([9, 10, 29, 30].map(mean_us), [6.0, 126.0, 126.0, 26.0]);
        let back = link.transit_back(&mut Pcg64Mcg::seed_from_u64(1), at + Duration::from_secs(30));
        assert!(back < Duration::from_us(12), "{back:?}");
    }

    #[test]
    fn loss_and_duplication_have_their_fraction() {
        let mut rng = Pcg64Mcg::seed_from_u64(2);
        let link = Profile { loss: 0.1, duplication: 0.2, ..Profile::VETH };
        let copies: usize = (0..100_000).map(|_| link.copies(&mut rng)).sum();
        assert!((106_500..109_500).contains(&copies), "{copies} instead of 108,000");
    }
}
