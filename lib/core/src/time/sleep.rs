//! Detection of a suspend of the host.

use super::Duration;

/// A longer growth of CLOCK_BOOTTIME - CLOCK_MONOTONIC is a suspend. The difference is read to some hundred ns; a clock
/// that moves by more than this against CLOCK_MONOTONIC_RAW counts as stepped
/// ([`was_stepped`](crate::timescale::was_stepped)), so a shorter suspend needs no explanation.
const LEAST: Duration = Duration::from_ms(1);

/// Detects that the host was suspended: CLOCK_MONOTONIC_RAW stood still, so every clock map from before is void.
#[derive(Debug, Clone, Copy)]
pub struct SleepDetector {
    suspended: Duration,
}

impl SleepDetector {
    /// `suspended`: CLOCK_BOOTTIME - CLOCK_MONOTONIC, the time spent in suspend since boot.
    pub const fn new(suspended: Duration) -> Self {
        Self { suspended }
    }

    /// Takes the next reading of that difference. The length of the suspend, if there was one since the last.
    pub fn look(&mut self, suspended: Duration) -> Option<Duration> {
        let slept = suspended - std::mem::replace(&mut self.suspended, suspended);
        (slept > LEAST).then_some(slept)
    }
}
