//! What the clock is held on: Dante + K, and the phase against it.

use super::Config;
use super::law::{Aim, Corrected};
use crate::time::{ClockMap, Duration, Offset, Ratio, Raw, Reading, Timestamp};
use crate::timescale::{EpochChange, Timescale};
use crate::track::TimelineKey;

/// Until the rate is known to this, the map's offset moves by microseconds as it is found, and K with it.
const SETTLED: Ratio = Ratio::from_ppb(200.0);

/// A phase term stays in force no longer than this without a fresh look at the clock.
pub(super) const REVIEW: Duration = Duration::from_secs(1);

/// The time scale, from the first lock on.
#[derive(Debug)]
pub(super) struct Hold {
    pub scale: Timescale,
    /// K stands. While a timeline is new and its map still moves by microseconds, K moves with it.
    settled: bool,
    /// When the clock's phase was last looked at, while it is locked, and what it was.
    phase: Option<(Timestamp<Raw>, Offset)>,
}

impl Hold {
    /// K is fixed such that the scale shows what the clock shows.
    pub fn begin(key: TimelineKey, map: ClockMap, now: &Reading) -> Self {
        Self { scale: Timescale::fixed_at(key, map, now.raw, now.real), settled: false, phase: None }
    }

    /// Goes on with a newer map.
    pub fn follow(&mut self, key: TimelineKey, map: ClockMap, now: &Reading) -> Option<EpochChange> {
        let change = self.scale.follow(key, map, now.raw);
        self.settled &= change.is_none();
        change
    }

    /// The host was suspended: K is fixed again where the clock is.
    pub fn unsettle(&mut self) {
        self.settled = false;
    }

    /// Another program has the clock: K is fixed again once it is taken back.
    pub fn give_up(&mut self) {
        (self.settled, self.phase) = (false, None);
    }

    /// While the offset estimate converges, moves K instead of the clock. Whether K stands.
    pub fn settle(&mut self, now: &Reading) -> bool {
        if !self.settled {
            self.scale.refix(now.raw, now.real);
            self.settled = self.scale.map().uncertainty_at(now.raw).rate < SETTLED;
        }
        self.settled
    }

    /// The frequency that the law wants for a clock that runs at `frequency`, within the bounds.
    pub fn correction(&mut self, now: &Reading, utc_rate: Ratio, frequency: Ratio, config: &Config) -> Ratio {
        self.settle(now);
        let error = Offset::between(now.real, self.scale.utc_at(now.raw));
        let before = self.phase.replace((now.raw, error));
        let before = before.map(|(at, error)| Corrected { error, frequency, ago: now.raw - at });
        let aim = Aim { map: self.scale.map(), error, utc_rate, before, limits: config.limits };
        (config.law)(&aim).clamp(config.limits.frequency)
    }

    /// The leader's rate and this much more, within the bounds.
    pub fn rate_with(&self, slew: Ratio, config: &Config) -> Ratio {
        (self.scale.map().line.rate + slew).clamp(config.limits.frequency)
    }

    /// Nobody looks at the phase any more.
    pub fn let_go(&mut self) {
        self.phase = None;
    }

    /// The clock minus (Dante + K), when it was last looked at.
    pub fn phase_error(&self) -> Option<Offset> {
        self.phase.map(|(_, error)| error)
    }
}
