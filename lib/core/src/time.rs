//! Times, typed by the clock that they were read from.
//!
//! A time is a whole number of nanoseconds. The types keep times of different clocks apart: only an [`Offset`], an [`Affine`] map
//! or an [`Epoch`] relates two clocks.

mod affine;
mod bridge;
mod civil;
mod units;

pub use affine::{Affine, ClockMap, Epoch, Uncertainty, VirtualClock};
pub use bridge::{Bridge, Reading, SleepDetector, TimestampTranslator, Untranslatable};
pub use civil::Civil;
pub use units::{Correlation, Duration, Offset, Ratio, Wander};

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Add, Sub};

/// Dante time: the leader's PTP time. On a Dante network it is zero at the leader's start, not in 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dante {}

/// CLOCK_MONOTONIC_RAW of this host: the free-running oscillator, which no program steers. It stops in suspend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Raw {}

/// CLOCK_REALTIME of this host, or the virtual clock in its place (`--clock virtual`): ns since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Real {}

/// An instant on clock `C`, in ns since that clock's zero.
///
/// Arithmetic saturates at 2^63 ns (292 years), so that no packet can cause an overflow.
///
/// Times of two clocks cannot be subtracted:
/// ```compile_fail
/// use dante_core::time::{Dante, Raw, Timestamp};
/// let _ = Timestamp::<Dante>::from_ns(5) - Timestamp::<Raw>::from_ns(3);
/// ```
/// Times of one clock can:
/// ```
/// use dante_core::time::{Duration, Raw, Timestamp};
/// assert_eq!(Timestamp::<Raw>::from_ns(5) - Timestamp::<Raw>::from_ns(3), Duration::from_ns(2));
/// ```
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp<C> {
    ns: i64,
    clock: PhantomData<C>,
}

// Not derived: a derive would require that C is Copy.
impl<C> Clone for Timestamp<C> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<C> Copy for Timestamp<C> {}

impl<C> Timestamp<C> {
    /// The clock's zero.
    pub const ZERO: Self = Self::from_ns(0);

    /// `ns` nanoseconds after the clock's zero.
    pub const fn from_ns(ns: i64) -> Self {
        Self { ns, clock: PhantomData }
    }

    /// Nanoseconds since the clock's zero.
    pub const fn ns(self) -> i64 {
        self.ns
    }

    /// Whole seconds (rounded towards the past) and the nanoseconds, 0..10^9, that follow them.
    pub const fn split(self) -> (i64, i64) {
        (self.ns.div_euclid(1_000_000_000), self.ns.rem_euclid(1_000_000_000))
    }
}

impl<C> Sub for Timestamp<C> {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_ns(self.ns.saturating_sub(earlier.ns))
    }
}

impl<C> Add<Duration> for Timestamp<C> {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self::from_ns(self.ns.saturating_add(span.ns()))
    }
}

impl<C> Sub<Duration> for Timestamp<C> {
    type Output = Self;
    fn sub(self, span: Duration) -> Self {
        Self::from_ns(self.ns.saturating_sub(span.ns()))
    }
}

impl<C> fmt::Debug for Timestamp<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (s, ns) = self.split();
        let clock = std::any::type_name::<C>().rsplit("::").next().unwrap_or("?");
        write!(f, "{clock}({s}.{ns:09})")
    }
}

/// An arbitrary UTC for tests: 2026-11-18 11:06:40, ns since 1970.
#[cfg(test)]
pub(crate) const TEST_UTC_NS: i64 = 1_795_000_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(ns: i64) -> Timestamp<Raw> {
        Timestamp::from_ns(ns)
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!((raw(i64::MAX) - raw(i64::MIN)).ns(), i64::MAX);
        assert_eq!((raw(i64::MAX) + Duration::from_secs(1)).ns(), i64::MAX);
        assert_eq!(Duration::from_secs(i64::MAX), Duration::MAX);
        assert_eq!(Duration::from_secs_f64(f64::NAN), Duration::ZERO);
    }

    #[test]
    fn powers_of_two_seconds_are_exact_and_bounded() {
        let of = Duration::from_log2_secs;
        assert_eq!([-2, 0, 4].map(of), [250, 1_000, 16_000].map(Duration::from_ms));
        assert_eq!((of(-29).ns(), of(33).ns()), (1, 8_589_934_592_000_000_000));
        assert_eq!((of(i8::MIN), of(i8::MAX)), (of(-29), of(33)));
    }

    #[test]
    fn split_keeps_the_nanoseconds_positive_before_zero() {
        assert_eq!(raw(-1).split(), (-1, 999_999_999));
        assert_eq!(Offset::from_ns(-1_500_000_000).split(), (-1, -500_000_000));
    }
}
