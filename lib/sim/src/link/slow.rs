//! Delays that are not independent from packet to packet: slow changes, spells and regimes.

use super::Profile;
use dante_core::time::{Duration, Raw, Timestamp};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, Exp1, StandardNormal};

/// A Gauss-Markov delay: sampled at a constant interval it is an AR(1) process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slow {
    /// Standard deviation.
    pub sigma: Duration,
    /// Time after which the autocorrelation is 1/e.
    pub time_constant: Duration,
}

impl Slow {
    /// No slow delay.
    pub const NONE: Self = Self { sigma: Duration::ZERO, time_constant: Duration::ZERO };
}

/// Spells in which every packet has the same additional delay, drawn once for each spell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spells {
    /// Mean time between two spells; exponentially distributed.
    pub every: Duration,
    /// Length of a spell.
    pub length: Duration,
    /// Smallest additional delay.
    pub shortest: Duration,
    /// Largest additional delay; uniform between the two.
    pub longest: Duration,
}

/// Two regimes, between which the path changes as a Markov process: in the second, the deviations of the delays from their mean are
/// larger by a factor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Regimes {
    /// The factor.
    pub factor: f64,
    /// Mean time in each regime.
    pub dwell: Duration,
}

/// State of the slow delays in one direction.
#[derive(Debug, Clone)]
pub(super) struct SlowDelay {
    at: Option<Timestamp<Raw>>,
    ns: [f64; 2],
    /// End of the current spell or start of the next one.
    spell: Option<Timestamp<Raw>>,
    /// Additional delay of the current spell, ns.
    spell_ns: Option<f64>,
    /// End of the regime.
    regime: Option<Timestamp<Raw>>,
    is_loud: bool,
    /// Factor set from outside.
    level: f64,
}

impl Default for SlowDelay {
    fn default() -> Self {
        Self { at: None, ns: [0.0; 2], spell: None, spell_ns: None, regime: None, is_loud: false, level: 1.0 }
    }
}

impl SlowDelay {
    pub(super) fn set_level(&mut self, factor: f64) {
        self.level = factor;
    }

    /// Advances to `at`. Returns the slow delay, ns, and the factor of all deviations from the mean delay.
    pub(super) fn advance(
        &mut self,
        profile: &Profile,
        rng: &mut (impl Rng + ?Sized),
        at: Timestamp<Raw>,
    ) -> (f64, f64) {
        let passed = self.at.map(|before| (at - before).secs_f64().max(0.0));
        self.at = Some(self.at.map_or(at, |before| before.max(at)));
        for (ns, slow) in self.ns.iter_mut().zip(profile.slow) {
            if slow.sigma > Duration::ZERO {
                let keep = passed.map_or(0.0, |s| (-s / slow.time_constant.secs_f64()).exp());
                let normal: f64 = StandardNormal.sample(rng);
                *ns = *ns * keep + slow.sigma.ns_f64() * (1.0 - keep * keep).sqrt() * normal;
            }
        }
        if let Some(spells) = profile.spells {
            let mut next = self.spell.unwrap_or_else(|| at + after(spells.every, rng));
            while next <= at {
                self.spell_ns = match self.spell_ns {
                    None => Some(rng.random_range(spells.shortest.ns_f64()..=spells.longest.ns_f64())),
                    Some(_) => None,
                };
                next = next + if self.spell_ns.is_some() { spells.length } else { after(spells.every, rng) };
            }
            self.spell = Some(next);
        }
        if let Some(regimes) = profile.regimes {
            let mut next = self.regime.unwrap_or_else(|| at + after(regimes.dwell, rng));
            while next <= at {
                self.is_loud = !self.is_loud;
                next = next + after(regimes.dwell, rng);
            }
            self.regime = Some(next);
        }
        let factor = profile.regimes.filter(|_| self.is_loud).map_or(1.0, |regimes| regimes.factor);
        (self.ns.iter().sum::<f64>() + self.spell_ns.unwrap_or(0.0), factor * self.level)
    }
}

/// Draws an exponentially distributed time with this mean.
fn after(mean: Duration, rng: &mut (impl Rng + ?Sized)) -> Duration {
    Duration::from_secs_f64(mean.secs_f64() * Distribution::<f64>::sample(&Exp1, rng))
}
