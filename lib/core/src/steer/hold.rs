//! The target of the steered clock: Dante time plus the epoch offset (K), and the phase error against it.

use super::Config;
use super::law::{Aim, Corrected};
use crate::time::{ClockMap, Duration, Offset, Ratio, Raw, Reading, Timestamp};
use crate::timescale::{EpochChange, Timescale};
use crate::track::TimelineKey;

/// K is final once the uncertainty of the leader's rate is below this. Before that the offset of the clock map still moves by
/// microseconds, and K moves with it.
const SETTLED_RATE_SIGMA: Ratio = Ratio::from_ppb(200.0);

/// Longest time for which a phase term stays in force before the clock is read again.
pub(super) const REVIEW_INTERVAL: Duration = Duration::from_secs(1);

/// The time scale and the phase error, from the first lock on.
#[derive(Debug)]
pub(super) struct Hold {
    pub scale: Timescale,
    /// K is final. While the clock map of a new timeline still moves by microseconds, K moves with it.
    settled: bool,
    /// While locked: when the phase error was last measured, and its value.
    phase: Option<(Timestamp<Raw>, Offset)>,
}

impl Hold {
    /// Sets K so that the time scale shows what the clock shows.
    pub fn begin(key: TimelineKey, map: ClockMap, now: &Reading) -> Self {
        Self { scale: Timescale::fixed_at(key, map, now.raw, now.real), settled: false, phase: None }
    }

    /// Adopts a newer clock map.
    pub fn follow(&mut self, key: TimelineKey, map: ClockMap, now: &Reading) -> Option<EpochChange> {
        let change = self.scale.follow(key, map, now.raw);
        self.settled &= change.is_none();
        change
    }

    /// The host was suspended: K will be set again from the clock.
    pub fn unsettle(&mut self) {
        self.settled = false;
    }

    /// Another program steers the clock: K will be set again when control of the clock is taken again.
    pub fn give_up(&mut self) {
        (self.settled, self.phase) = (false, None);
    }

    /// While the offset estimate converges, moves K instead of the clock. Returns whether K is final.
    pub fn settle(&mut self, now: &Reading) -> bool {
        if !self.settled {
            self.scale.refix(now.raw, now.real);
            self.settled = self.scale.map().uncertainty_at(now.raw).rate < SETTLED_RATE_SIGMA;
        }
        self.settled
    }

    /// Returns the frequency that the law computes for a clock running at `frequency`, within the bounds.
    pub fn correction(&mut self, now: &Reading, utc_rate: Ratio, frequency: Ratio, config: &Config) -> Ratio {
        self.settle(now);
        let error = Offset::between(now.real, self.scale.utc_at(now.raw));
        let before = self.phase.replace((now.raw, error));
        let before = before.map(|(at, error)| Corrected { error, frequency, ago: now.raw - at });
        let aim = Aim { map: self.scale.map(), error, utc_rate, before, limits: config.limits };
        (config.law)(&aim).clamp(config.limits.frequency)
    }

    /// Returns the leader's rate plus `slew`, within the bounds.
    pub fn rate_with(&self, slew: Ratio, config: &Config) -> Ratio {
        (self.scale.map().line.rate + slew).clamp(config.limits.frequency)
    }

    /// The phase error is no longer measured.
    pub fn clear_phase(&mut self) {
        self.phase = None;
    }

    /// The clock minus (Dante time + K), when it was last measured.
    pub fn phase_error(&self) -> Option<Offset> {
        self.phase.map(|(_, error)| error)
    }
}
