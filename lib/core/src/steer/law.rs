//! The control law: computes the frequency that moves a clock to Dante time + the epoch offset (K) and keeps it there.

use crate::time::{ClockMap, Duration, Offset, Ratio};

/// Bounds of every law.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest frequency that is ever set. The kernel's own limit is 500 ppm (MAXFREQ in linux/timex.h); the margin keeps the
    /// kernel from clipping.
    pub frequency: Ratio,
    /// Largest phase term, so that the clock runs on near the leader's rate if the program dies.
    pub phase_term: Ratio,
}

impl Default for Limits {
    fn default() -> Self {
        Self { frequency: Ratio::from_ppm(490.0), phase_term: Ratio::from_ppm(5.0) }
    }
}

/// The input of a law.
#[derive(Debug, Clone, Copy)]
pub struct Aim<'a> {
    /// The leader's clock map.
    pub map: &'a ClockMap,
    /// The clock minus (Dante time + K), now.
    pub error: Offset,
    /// The rate that the UTC policy adds to the leader's.
    pub utc_rate: Ratio,
    /// The previous correction since the lock.
    pub before: Option<Corrected>,
    /// The bounds.
    pub limits: Limits,
}

/// A correction that the clock accepted.
#[derive(Debug, Clone, Copy)]
pub struct Corrected {
    /// The phase error that it corrected.
    pub error: Offset,
    /// The frequency that the clock accepted.
    pub frequency: Ratio,
    /// Its age.
    pub ago: Duration,
}

/// Computes a frequency: +10 ppb, the clock gains 10 ns a second on CLOCK_MONOTONIC_RAW. The steerer clamps the result to
/// [`Limits::frequency`].
pub type Law = fn(&Aim<'_>) -> Ratio;

/// Bounds of the time constant for the phase error, s. Lower bound: readings of the clock have errors of some tens of ns even
/// where the map seems perfect. Upper bound: a phase error must decay within minutes even where the map is poor.
const PHASE_TIME: (f64, f64) = (2.0, 120.0);

/// The law of dante2sys: the clock is *synthesised*. Its frequency is the leader's rate plus a small, bounded term that reduces
/// the phase error to zero. The rate is measured against the free-running CLOCK_MONOTONIC_RAW, so there is no loop filter between
/// it and the clock. The phase error is bounded, so the clock does not drift away in a random walk.
pub fn synthesis(aim: &Aim<'_>) -> Ratio {
    let term = (-aim.error.span() / phase_time(aim.map)).clamp(aim.limits.phase_term);
    aim.map.line.rate + aim.utc_rate + term
}

/// The time constant of the phase term: the map's uncertainty of offset divided by its uncertainty of rate. A shorter one passes
/// the noise of the map's offset to the clock's rate; with a longer one the noise of the map's rate accumulates as phase. At this
/// ratio both are within 1.4 times those of the map itself (measured over 2000 s and 20 seeds, on software timestamps of veth and
/// of real devices). There it grows from 2 s at lock to 16 s and 58 s.
fn phase_time(map: &ClockMap) -> Duration {
    let seconds = map.sigma.offset.secs_f64() / map.sigma.rate.fraction();
    Duration::from_secs_f64(seconds.clamp(PHASE_TIME.0, PHASE_TIME.1))
}
