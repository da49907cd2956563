//! Spans, offsets between clocks, and ratios of rates.

use super::Timestamp;
use std::fmt;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A signed span of time, ns. [`std::time::Duration`] has no sign and is used only for system calls.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(i64);

impl Duration {
    /// A span of 0 ns.
    pub const ZERO: Self = Self(0);
    /// The longest span: 292 years.
    pub const MAX: Self = Self(i64::MAX);

    /// A span of `ns` nanoseconds.
    pub const fn from_ns(ns: i64) -> Self {
        Self(ns)
    }

    /// A span of `us` microseconds.
    pub const fn from_us(us: i64) -> Self {
        Self(us.saturating_mul(1_000))
    }

    /// A span of `ms` milliseconds.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }

    /// A span of `s` seconds.
    pub const fn from_secs(s: i64) -> Self {
        Self(s.saturating_mul(1_000_000_000))
    }

    /// A span of 2^`log2` seconds, the form of intervals in PTP; limited to 2^-29..2^33 s.
    pub const fn from_log2_secs(log2: i8) -> Self {
        match log2 {
            ..=-30 => Self(1_000_000_000 >> 29),
            -29..=-1 => Self(1_000_000_000 >> log2.unsigned_abs()),
            0..=33 => Self(1_000_000_000 << log2.unsigned_abs()),
            34.. => Self(1_000_000_000 << 33),
        }
    }

    /// A span of `s` seconds, rounded to whole ns. NaN gives zero; a value that is too large saturates.
    pub fn from_secs_f64(s: f64) -> Self {
        Self::from_ns_f64(s * 1e9)
    }

    /// A span of `ns` nanoseconds, rounded. NaN gives zero; a value that is too large saturates.
    #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates, and NaN becomes 0")]
    pub fn from_ns_f64(ns: f64) -> Self {
        Self(ns.round() as i64)
    }

    /// Returns the span in ns.
    pub const fn ns(self) -> i64 {
        self.0
    }

    /// Returns the span in whole ms, rounded towards zero.
    pub const fn ms(self) -> i64 {
        self.0 / 1_000_000
    }

    /// Returns the span in ns as a float: beyond 2^53 ns (104 days) not exactly.
    pub fn ns_f64(self) -> f64 {
        self.0 as f64
    }

    /// Returns the span in seconds.
    pub fn secs_f64(self) -> f64 {
        self.ns_f64() / 1e9
    }

    /// Returns the absolute value.
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }

    /// Converts the span for system calls; a negative span gives zero.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }
}

impl Add for Duration {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Duration {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Duration {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl Mul<i64> for Duration {
    type Output = Self;
    fn mul(self, times: i64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

impl Div<i64> for Duration {
    type Output = Self;
    /// Division by zero gives zero, so that it moves no clock.
    fn div(self, by: i64) -> Self {
        if by == 0 { Self::ZERO } else { Self(self.0.saturating_div(by)) }
    }
}

/// Returns the gain of a clock over the span, if its rate differs by `ratio`.
impl Mul<Ratio> for Duration {
    type Output = Self;
    fn mul(self, ratio: Ratio) -> Self {
        Self::from_ns_f64(self.ns_f64() * ratio.0)
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ns", self.0)
    }
}

/// Offset of a clock: **local minus reference**, ns. Positive: the local clock is ahead.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(i64);

impl Offset {
    /// An offset of 0 ns.
    pub const ZERO: Self = Self(0);

    /// Returns `local - reference`, both read at the same instant.
    pub const fn between<L, R>(local: Timestamp<L>, reference: Timestamp<R>) -> Self {
        Self(local.ns().saturating_sub(reference.ns()))
    }

    /// An offset of `ns` nanoseconds.
    pub const fn from_ns(ns: i64) -> Self {
        Self(ns)
    }

    /// Returns the offset in ns.
    pub const fn ns(self) -> i64 {
        self.0
    }

    /// Returns whole seconds, rounded towards zero, and the remaining ns, of the same sign.
    pub const fn split(self) -> (i64, i64) {
        (self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }

    /// Returns the offset as a span. The correction of a clock is its negative.
    pub const fn span(self) -> Duration {
        Duration(self.0)
    }
}

impl fmt::Debug for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+} ns", self.0)
    }
}

/// Correlation of the errors of offset and rate of a clock map: -1..=1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Correlation(f64);

impl Correlation {
    /// Independent errors.
    pub const ZERO: Self = Self(0.0);

    /// Makes a correlation, limited to -1..=1. NaN gives zero.
    pub fn new(value: f64) -> Self {
        if value.is_nan() { Self::ZERO } else { Self(value.clamp(-1.0, 1.0)) }
    }

    /// Returns the value, -1..=1.
    pub const fn value(self) -> f64 {
        self.0
    }
}

/// Random-walk frequency noise: the standard deviation of the change of a rate over one second. It grows with the square root of
/// the time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Wander(f64);

impl Wander {
    /// A constant rate.
    pub const ZERO: Self = Self(0.0);

    /// A wander of `ppb` ppb per root second.
    pub const fn from_ppb(ppb: f64) -> Self {
        Self(ppb * 1e-9)
    }

    /// A wander as a fraction per root second, the unit on a clock page.
    pub const fn new(fraction: f64) -> Self {
        Self(fraction)
    }

    /// Returns the wander as a fraction per root second.
    pub const fn fraction(self) -> f64 {
        self.0
    }

    /// Returns the wander in ppb per root second.
    pub const fn ppb(self) -> f64 {
        self.0 * 1e9
    }

    /// Whether the value is neither NaN nor infinite.
    pub const fn is_finite(self) -> bool {
        self.0.is_finite()
    }
}

/// A small difference of rates as a fraction: 1e-6 is 1 ppm.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Ratio(f64);

impl Ratio {
    /// A difference of zero.
    pub const ZERO: Self = Self(0.0);

    /// A ratio from a fraction.
    pub const fn new(fraction: f64) -> Self {
        Self(fraction)
    }

    /// A ratio of `ppb` parts per billion, which is ns/s.
    pub const fn from_ppb(ppb: f64) -> Self {
        Self(ppb * 1e-9)
    }

    /// A ratio of `ppm` parts per million.
    pub const fn from_ppm(ppm: f64) -> Self {
        Self(ppm * 1e-6)
    }

    /// Returns the fraction.
    pub const fn fraction(self) -> f64 {
        self.0
    }

    /// Returns the ratio in parts per billion.
    pub const fn ppb(self) -> f64 {
        self.0 * 1e9
    }

    /// Returns the ratio in parts per million.
    pub const fn ppm(self) -> f64 {
        self.0 * 1e6
    }

    /// Returns the absolute value.
    pub const fn abs(self) -> Self {
        Self(self.0.abs())
    }

    /// Limits the ratio to `-bound..=bound`. NaN gives zero.
    pub fn clamp(self, bound: Self) -> Self {
        if self.0.is_nan() { Self::ZERO } else { Self(self.0.clamp(-bound.0.abs(), bound.0.abs())) }
    }

    /// Whether the value is neither NaN nor infinite.
    pub const fn is_finite(self) -> bool {
        self.0.is_finite()
    }
}

impl Add for Ratio {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Ratio {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Neg for Ratio {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

/// Returns the rate that corrects the span within `over`: a phase of 10 us over 2 s is 5 ppm. `over` of zero gives zero.
impl Div for Duration {
    type Output = Ratio;
    fn div(self, over: Self) -> Ratio {
        if over.0 == 0 { Ratio::ZERO } else { Ratio(self.ns_f64() / over.ns_f64()) }
    }
}
