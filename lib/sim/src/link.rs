//! The way between a leader and the host: what delays, loses, doubles and reorders packets.

use dante_core::time::{Duration, Raw, Timestamp};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, Exp1, StandardNormal};

/// How long packets queue. A queue is never early.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Queue {
    /// |normal| of this scale: its standard deviation is 0.603 of it, its mean 0.798.
    HalfNormal(Duration),
    /// Exponential of this mean, which is also its standard deviation.
    Exponential(Duration),
}

/// Some packets wait for longer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bursts {
    /// Share of the packets, 0..1.
    pub share: f64,
    /// They wait at least so much more.
    pub shortest: Duration,
    /// And at most so much more; uniform in between.
    pub longest: Duration,
}

/// For a while all packets wait for longer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// From then on.
    pub at: Timestamp<Raw>,
    /// For so long.
    pub span: Duration,
    /// Each packet waits so much more.
    pub more: Duration,
}

/// The way from the leader to the host becomes longer, or shorter, for good; the way back stays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detour {
    /// From then on.
    pub at: Timestamp<Raw>,
    /// By so much.
    pub more: Duration,
}

/// A link, the same in both directions but for a [`Detour`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    /// What every packet needs.
    pub delay: Duration,
    /// And in addition this.
    pub queue: Queue,
    /// Some wait for longer.
    pub bursts: Option<Bursts>,
    /// A load episode.
    pub load: Option<Load>,
    /// A change of one way only.
    pub detour: Option<Detour>,
    /// Share of packets lost, 0..1.
    pub loss: f64,
    /// Share of packets that come twice, 0..1.
    pub duplication: f64,
    /// Share of packets held back so that later ones may overtake them, 0..1: for 50 us to 0.6 s, each order of
    /// magnitude as likely as any other. A Sync comes after its Follow_Up then, or even after the next Sync.
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
    /// A veth pair: 0.5 us of standard deviation.
    pub const VETH: Self =
        Self { delay: Duration::from_us(5), queue: Queue::HalfNormal(Duration::from_ns(829)), ..Self::PLAIN };
    /// Real Dante devices as plain software stamps see them: 6.8 us of standard deviation, a tail to one side.
    pub const DANTE: Self = Self {
        delay: Duration::from_us(30),
        queue: Queue::HalfNormal(Duration::from_ns(11_300)),
        ..Self::PLAIN
    };
    /// The same in a network that has other things to do, too.
    pub const BUSY: Self = Self {
        bursts: Some(Bursts { share: 0.1, shortest: Duration::from_us(50), longest: Duration::from_us(300) }),
        ..Self::DANTE
    };

    /// How long a packet needs that leaves the leader at `at`.
    pub fn transit(&self, rng: &mut (impl Rng + ?Sized), at: Timestamp<Raw>) -> Duration {
        let detour = self.detour.filter(|detour| at >= detour.at);
        self.transit_back(rng, at) + detour.map_or(Duration::ZERO, |detour| detour.more)
    }

    /// How long a packet needs that leaves the host at `at`.
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

    /// How many copies of a packet arrive.
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
    fn the_profiles_have_the_noise_that_they_are_named_for() {
        for (link, mean, sigma) in [
            (Profile::VETH, 5_661.0, 500.0),
            (Profile::DANTE, 39_016.0, 6_812.0),
            // A tenth of the packets 175 us later on average.
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
    fn load_and_detour_come_when_they_are_due() {
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
    fn losses_and_doubles_have_their_share() {
        let mut rng = Pcg64Mcg::seed_from_u64(2);
        let link = Profile { loss: 0.1, duplication: 0.2, ..Profile::VETH };
        let copies: usize = (0..100_000).map(|_| link.copies(&mut rng)).sum();
        assert!((106_500..109_500).contains(&copies), "{copies} instead of 108,000");
    }
}
