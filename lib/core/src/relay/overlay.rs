//! Dante's time as a clock over CLOCK_MONOTONIC_RAW, for programs that keep their own: `--usrvclock`.

use crate::time::{Affine, Dante, Duration, Ratio, Raw, Timestamp};
use crate::track::Track;

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

/// The overlay that is told: that of the last leader that was known well, through holdover and until the next one is.
#[derive(Debug, Default)]
pub struct OverlayKeeper {
    overlay: Option<Overlay>,
    /// Maps that were measured before are void.
    void_until: Option<Timestamp<Raw>>,
}

impl OverlayKeeper {
    /// Looks at the leader. The overlay, if that is a newer one.
    pub fn follow(&mut self, track: &Track) -> Option<Overlay> {
        let line = track.live_map()?.line;
        if self.void_until.is_some_and(|until| line.raw0 <= until) {
            return None;
        }
        let overlay = Overlay::from(line);
        (self.overlay.replace(overlay) != Some(overlay)).then_some(overlay)
    }

    /// The host slept until now. CLOCK_MONOTONIC_RAW stood still, the leader did not: nothing is known.
    pub fn slept(&mut self, now: Timestamp<Raw>) {
        *self = Self { overlay: None, void_until: Some(now) };
    }

    /// What is to be told, once anything was known.
    pub fn overlay(&self) -> Option<Overlay> {
        self.overlay
    }
}
