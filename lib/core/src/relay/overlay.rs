//! Dante time as a clock over CLOCK_MONOTONIC_RAW, for programs that keep a clock of their own: `--usrvclock`.

use crate::time::{Affine, ClockMap, Dante, Duration, Ratio, Raw, Timestamp};

/// `overlay(t) = t + shift + round((t - last_sync) * freq_scale)`, where t is CLOCK_MONOTONIC_RAW. The result is Dante time, not
/// UTC.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overlay {
    /// Time of the last measurement of the leader.
    pub last_sync: Timestamp<Raw>,
    /// Dante time minus CLOCK_MONOTONIC_RAW at `last_sync`.
    pub shift: Duration,
    /// The leader's rate minus the rate of this host's oscillator: +10 ppb, the leader gains 10 ns a second.
    pub freq_scale: Ratio,
}

impl From<Affine<Dante>> for Overlay {
    fn from(line: Affine<Dante>) -> Self {
        let shift = Duration::from_ns(line.at0.ns().saturating_sub(line.raw0.ns()));
        Self { last_sync: line.raw0, shift, freq_scale: line.rate }
    }
}

/// Interval at which an unchanged overlay is sent again, also in holdover: clients expect one at least once a second.
const REPEAT: Duration = Duration::from_ms(900);

/// The overlay of the last leader that dante4l was locked to, and when it is sent. It is kept in holdover, and until dante4l is
/// locked to another leader.
#[derive(Debug)]
pub(super) struct OverlayKeeper {
    overlay: Option<Overlay>,
    /// When `overlay` is sent next.
    due: Timestamp<Raw>,
    /// Clock maps last measured up to this time are void: the host was suspended.
    void_until: Option<Timestamp<Raw>>,
}

impl OverlayKeeper {
    pub const fn new() -> Self {
        Self { overlay: None, due: Timestamp::ZERO, void_until: None }
    }

    /// Takes the clock map of the leader that is followed now, if there is one. Returns the overlay if it is to be sent now: a new
    /// one at once, an unchanged one every [`REPEAT`].
    pub fn follow(&mut self, now: Timestamp<Raw>, map: Option<&ClockMap>) -> Option<Overlay> {
        let line = map.map(|map| map.line);
        let newer =
            line.filter(|line| self.void_until.is_none_or(|until| line.raw0 > until)).map(Overlay::from);
        if newer.is_some() && newer != self.overlay {
            self.overlay = newer;
            self.due = now;
        }
        let overlay = self.overlay.filter(|_| now >= self.due)?;
        self.due = now + REPEAT;
        Some(overlay)
    }

    /// Discards the overlay: the host was suspended until `now`. CLOCK_MONOTONIC_RAW stood still meanwhile, the leader did not.
    pub fn slept(&mut self, now: Timestamp<Raw>) {
        *self = Self { void_until: Some(now), ..Self::new() };
    }

    /// The current overlay; `None` before the first lock to a leader, and after a suspend.
    pub fn overlay(&self) -> Option<Overlay> {
        self.overlay
    }

    /// When the overlay is to be sent again.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        self.overlay.map(|_| self.due)
    }
}
