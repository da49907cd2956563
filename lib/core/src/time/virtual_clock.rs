//! A clock that takes frequencies and steps as the kernel's does, but is only arithmetic over CLOCK_MONOTONIC_RAW.

use super::{Affine, Duration, Ratio, Raw, Reading, Real, Timestamp};

/// What `--clock virtual` and the simulator steer in place of CLOCK_REALTIME.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VirtualClock {
    line: Affine<Real>,
}

impl VirtualClock {
    /// A clock that shows what was read, and runs at the oscillator's own rate from there.
    pub fn new(start: Reading) -> Self {
        Self { line: Affine { raw0: start.raw, at0: start.real, rate: Ratio::ZERO } }
    }

    /// What the clock shows at `raw`.
    pub fn at(&self, raw: Timestamp<Raw>) -> Timestamp<Real> {
        self.line.at(raw)
    }

    /// From `now` on the clock gains `rate` on the oscillator. Its phase does not jump: the line is re-anchored at
    /// `now`, which rounds by half a ns at most.
    pub fn set_frequency(&mut self, now: Timestamp<Raw>, rate: Ratio) {
        self.line = Affine { rate, ..self.line.anchored_at(now) };
    }

    /// Moves the clock by `by`, forwards if positive.
    pub fn step(&mut self, by: Duration) {
        self.line.at0 = self.line.at0 + by;
    }

    /// The clock itself, as a line: what a test compares with the truth.
    pub fn line(&self) -> Affine<Real> {
        self.line
    }
}

#[cfg(test)]
mod tests;
