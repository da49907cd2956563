//! The target of the steered clock: Dante time plus the epoch offset (K), and the phase error against it.

use super::Config;
use super::law::{Aim, Corrected};
use crate::time::{ClockMap, Duration, Offset, Ratio, Raw, Reading, Timestamp, Uncertainty};
use crate::timescale::{EpochChange, MAX_RESUMED_ERROR, Piece, Replaced, Timescale};
use crate::track::TimelineKey;

/// K is final once the uncertainty of the clock map is below this. Before that the map's offset still moves by microseconds, and K
/// moves with it. Where Syncs scatter by milliseconds K never becomes final: the clock follows the leader's rate alone.
const SETTLED: Uncertainty = Uncertainty { offset: Duration::from_us(20), rate: Ratio::from_ppb(200.0) };
/// Longest time for which K is kept while the clock map is not settled. A network on which it takes longer may never settle it, and the
/// phase error, which is not corrected meanwhile, grows.
const KEPT_TIME: Duration = Duration::from_secs(600);

/// Longest time for which a phase term stays in force before the clock is read again.
pub(super) const REVIEW_INTERVAL: Duration = Duration::from_secs(1);

/// K of an earlier run of dante2sys, as its clock page shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlierEpoch {
    /// The piece of K in force at the end.
    pub piece: Piece,
    /// Leap seconds since K was first set, in that run or in one that it continued.
    pub leap_seconds: i32,
}

/// How K relates to the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Epoch {
    /// The clock map is not settled: K moves with it, and not the clock.
    Moving,
    /// The clock map is not settled, but K was final with the map before: since this time the phase error is not corrected yet.
    Kept(Timestamp<Raw>),
    /// The clock is steered to Dante time + K.
    Final,
}

/// The time scale and the phase error, from the first lock on.
#[derive(Debug)]
pub(super) struct Hold {
    pub scale: Timescale,
    epoch: Epoch,
    /// While locked: when the phase error was last measured, and its value.
    phase: Option<(Timestamp<Raw>, Offset)>,
}

impl Hold {
    /// Resumes K of an earlier run if the clock agrees with it; otherwise sets K so that the time scale shows what the clock shows.
    pub fn begin(key: TimelineKey, map: ClockMap, now: &Reading, earlier: Option<EarlierEpoch>) -> Self {
        let resumed = earlier.map(|it| Timescale::with_piece(key, map, it.piece, it.leap_seconds));
        let resumed = resumed.filter(|scale| (now.real - scale.utc_at(now.raw)).abs() <= MAX_RESUMED_ERROR);
        let (scale, epoch) = match resumed {
            Some(scale) => (scale, Epoch::Kept(now.raw)),
            None => (Timescale::fixed_at(key, map, now.raw, now.real), Epoch::Moving),
        };
        Self { scale, epoch, phase: None }
    }

    /// Adopts a newer clock map. Returns what it replaces if it does not continue the previous map, and the change of a K that was
    /// final, or that belongs to another timeline.
    pub fn follow(
        &mut self,
        key: TimelineKey,
        map: ClockMap,
        now: &Reading,
    ) -> (Option<Replaced>, Option<EpochChange>) {
        let was_final = self.epoch != Epoch::Moving;
        let is_restarted = key != self.scale.key();
        match self.scale.follow(key, map, now.raw) {
            Some(change) => {
                self.epoch = Epoch::Moving;
                let is_reported = was_final || change.replaced == Replaced::Timeline;
                (Some(change.replaced), Some(change).filter(|_| is_reported))
            }
            None => {
                if was_final && is_restarted {
                    self.epoch = Epoch::Kept(now.raw);
                }
                (None, None)
            }
        }
    }

    /// The host was suspended: K will be set again from the clock.
    pub fn unsettle(&mut self) {
        self.epoch = Epoch::Moving;
    }

    /// Another program steers the clock: K will be set again when control of the clock is taken again.
    pub fn give_up(&mut self) {
        (self.epoch, self.phase) = (Epoch::Moving, None);
    }

    /// While the clock map is not settled, moves K instead of the clock. Returns whether K is final.
    pub fn settle(&mut self, now: &Reading) -> bool {
        if matches!(self.epoch, Epoch::Kept(since) if now.raw - since >= KEPT_TIME) {
            self.epoch = Epoch::Moving;
        }
        if self.epoch == Epoch::Moving {
            self.scale.refix(now.raw, now.real);
        }
        let sigma = self.scale.map().uncertainty_at(now.raw);
        if sigma.rate < SETTLED.rate && sigma.offset < SETTLED.offset {
            self.epoch = Epoch::Final;
        }
        self.epoch == Epoch::Final
    }

    /// Returns the frequency that the law computes for a clock running at `frequency`, within the bounds.
    pub fn correction(&mut self, now: &Reading, utc_rate: Ratio, frequency: Ratio, config: &Config) -> Ratio {
        let is_final = self.settle(now);
        let error = Offset::between(now.real, self.scale.utc_at(now.raw));
        let before = self.phase.replace((now.raw, error));
        if !is_final {
            return self.rate_with(utc_rate, config);
        }
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
