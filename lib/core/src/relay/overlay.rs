//! Dante's time as a clock over CLOCK_MONOTONIC_RAW, for programs that keep their own: `--usrvclock`.

use crate::time::{Affine, ClockMap, Dante, Duration, Ratio, Raw, Timestamp};

/// A clock laid over another: `overlay(t) = t + shift + round((t - last_sync) * freq_scale)`, where t is
/// CLOCK_MONOTONIC_RAW and the result is the leader's own time, not a date.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overlay {
    /// When the leader was last measured.
    pub last_sync: Timestamp<Raw>,
    /// The leader's time minus CLOCK_MONOTONIC_RAW, then.
    pub shift: Duration,
    /// The leader's rate minus ours: +10 ppb, the leader gains 10 ns a second.
    pub freq_scale: Ratio,
}

impl From<Affine<Dante>> for Overlay {
    fn from(line: Affine<Dante>) -> Self {
        let shift = Duration::from_ns(line.at0.ns().saturating_sub(line.raw0.ns()));
        Self { last_sync: line.raw0, shift, freq_scale: line.rate }
    }
}

/// Interval at which the overlay is sent again while it does not change, also in holdover: clients expect one at least
/// once a second.
const REPEAT: Duration = Duration::from_ms(900);

/// The overlay of the last leader that was known well, kept through holdover and until the next one is, and when it is
/// sent.
#[derive(Debug)]
pub(super) struct OverlayKeeper {
    overlay: Option<Overlay>,
    /// When it is sent next.
    due: Timestamp<Raw>,
    /// Maps that were measured before are void.
    void_until: Option<Timestamp<Raw>>,
}

impl OverlayKeeper {
    pub const fn new() -> Self {
        Self { overlay: None, due: Timestamp::ZERO, void_until: None }
    }

    /// Takes the map of the leader followed now, if there is one. The overlay, if it is to be sent: a newer one at once.
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

    /// The host slept until now. CLOCK_MONOTONIC_RAW stood still, the leader did not: nothing is known.
    pub fn slept(&mut self, now: Timestamp<Raw>) {
        *self = Self { void_until: Some(now), ..Self::new() };
    }

    /// The present overlay, once anything was known.
    pub fn overlay(&self) -> Option<Overlay> {
        self.overlay
    }

    /// When it is to be sent again.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        self.overlay.map(|_| self.due)
    }
}
