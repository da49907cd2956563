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
mod tests {
    use super::*;

    fn raw(ns: i64) -> Timestamp<Raw> {
        Timestamp::from_ns(ns)
    }

    fn clock() -> VirtualClock {
        let real = Timestamp::from_ns(1_795_000_000_000_000_000);
        VirtualClock::new(Reading { raw: raw(5_000_000_000), real, width: Duration::from_ns(40) })
    }

    #[test]
    fn starts_at_what_was_read_and_runs_at_the_oscillators_rate() {
        let clock = clock();
        assert_eq!(clock.at(raw(5_000_000_000)).ns(), 1_795_000_000_000_000_000);
        assert_eq!(clock.at(raw(8_000_000_000)).ns(), 1_795_000_003_000_000_000);
    }

    #[test]
    fn a_change_of_frequency_makes_no_jump_of_phase() {
        let mut clock = clock();
        for second in 6..100 {
            let now = raw(second * 1_000_000_000 + 123_457);
            let before = clock.at(now);
            clock.set_frequency(now, Ratio::from_ppm(if second % 2 == 0 { 37.3 } else { -12.9 }));
            assert_eq!(clock.at(now), before);
        }
    }

    #[test]
    fn a_step_moves_the_phase_and_leaves_the_rate() {
        let mut clock = clock();
        clock.set_frequency(raw(5_000_000_000), Ratio::from_ppm(10.0));
        let before = clock.at(raw(7_000_000_000));
        clock.step(Duration::from_ns(-250));
        assert_eq!(clock.at(raw(7_000_000_000)) - before, Duration::from_ns(-250));
        assert_eq!(clock.line().rate, Ratio::from_ppm(10.0));
        assert_eq!(clock.line().at(raw(7_000_000_000)), clock.at(raw(7_000_000_000)));
    }
}
