//! The law: the frequency that brings a clock to Dante + K and keeps it there.

use crate::time::{ClockMap, Duration, Offset, Ratio};

/// Bounds of every law.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// No frequency beyond this is ever set. The kernel's own bound is 500 ppm (MAXFREQ in linux/timex.h); some room
    /// is left so that it never clips.
    pub frequency: Ratio,
    /// The phase term stays within this of the leader's rate, so that the clock runs sanely on if the program dies.
    pub phase_term: Ratio,
}

impl Default for Limits {
    fn default() -> Self {
        Self { frequency: Ratio::from_ppm(490.0), phase_term: Ratio::from_ppm(5.0) }
    }
}

/// What a law decides by.
#[derive(Debug, Clone, Copy)]
pub struct Aim<'a> {
    /// The leader's clock map.
    pub map: &'a ClockMap,
    /// The clock minus (Dante + K), now.
    pub error: Offset,
    /// What the UTC policy adds to the leader's rate.
    pub utc_rate: Ratio,
    /// The correction before this one, since the lock.
    pub before: Option<Corrected>,
    /// The bounds.
    pub limits: Limits,
}

/// A correction that the clock took.
#[derive(Debug, Clone, Copy)]
pub struct Corrected {
    /// The error that it answered.
    pub error: Offset,
    /// The frequency that the clock took.
    pub frequency: Ratio,
    /// How long ago that was.
    pub ago: Duration,
}

/// From what is known to a frequency: +10 ppb, the clock gains 10 ns a second on CLOCK_MONOTONIC_RAW. The steerer holds
/// the result within [`Limits::frequency`].
pub type Law = fn(&Aim<'_>) -> Ratio;

/// Bounds of the phase's time constant, s: where a map seems perfect the readings of the clock still err by some tens of
/// ns, and where it seems hopeless a phase error must fade within minutes.
const PHASE_TIME: (f64, f64) = (2.0, 120.0);

/// The law of dante2sys: the clock is *synthesised*. Its frequency is the leader's rate plus a small, bounded term that
/// brings the phase error to zero. The rate comes from a free-running measurement, so no loop filter stands between it
/// and the clock; the phase is bounded, so the clock does not wander off in a random walk.
pub fn synthesis(aim: &Aim<'_>) -> Ratio {
    let term = (-aim.error.span() / phase_time(aim.map)).clamp(aim.limits.phase_term);
    aim.map.line.rate + aim.utc_rate + term
}

/// The time constant with which the phase error is brought to zero: the map's uncertainty of offset over that of rate.
/// Shorter, and the noise of the map's offset goes into the clock's rate; longer, and the noise of its rate builds up
/// phase. At this ratio both are within 1.4 times what the map itself has (measured over 2000 s and 20 seeds, on software
/// timestamps of veth and of real devices). It opens from 2 s at lock to 16 s and 58 s there.
fn phase_time(map: &ClockMap) -> Duration {
    let seconds = map.sigma.offset.secs_f64() / map.sigma.rate.fraction();
    Duration::from_secs_f64(seconds.clamp(PHASE_TIME.0, PHASE_TIME.1))
}
