//! Spans, offsets between clocks, and ratios of rates.

use super::Timestamp;
use std::fmt;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A signed span of time, ns. [`std::time::Duration`] has no sign and appears only where the kernel is called.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(i64);

impl Duration {
    /// No time at all.
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

    /// 2^`log2` seconds, as PTP tells intervals; what is beyond 2^-29 or 2^33 s is held there.
    pub const fn from_log2_secs(log2: i8) -> Self {
        match log2 {
            ..=-30 => Self(1_000_000_000 >> 29),
            -29..=-1 => Self(1_000_000_000 >> log2.unsigned_abs()),
            0..=33 => Self(1_000_000_000 << log2.unsigned_abs()),
            34.. => Self(1_000_000_000 << 33),
        }
    }

    /// The nearest whole number of ns; NaN is zero, what does not fit saturates.
    pub fn from_secs_f64(s: f64) -> Self {
        Self::from_ns_f64(s * 1e9)
    }

    #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates, and NaN becomes 0")]
    pub(crate) fn from_ns_f64(ns: f64) -> Self {
        Self(ns.round() as i64)
    }

    /// The span in ns.
    pub const fn ns(self) -> i64 {
        self.0
    }

    /// The span in whole ms, rounded towards zero.
    pub const fn ms(self) -> i64 {
        self.0 / 1_000_000
    }

    pub(crate) fn ns_f64(self) -> f64 {
        self.0 as f64
    }

    /// The span in seconds.
    pub fn secs_f64(self) -> f64 {
        self.ns_f64() / 1e9
    }

    /// Its size without its sign.
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }

    /// For the kernel's calls: what is negative is zero there.
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
    /// Division by zero gives zero, as everywhere in this crate: what cannot be computed moves nothing.
    fn div(self, by: i64) -> Self {
        if by == 0 { Self::ZERO } else { Self(self.0.saturating_div(by)) }
    }
}

/// What a rate that differs by `Ratio` makes of the span.
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

/// How far a clock is from its reference: **local minus reference**, ns. Positive: the local clock is ahead.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(i64);

impl Offset {
    /// No difference.
    pub const ZERO: Self = Self(0);

    /// `local - reference`, both read at one instant.
    pub const fn between<L, R>(local: Timestamp<L>, reference: Timestamp<R>) -> Self {
        Self(local.ns().saturating_sub(reference.ns()))
    }

    /// An offset of `ns` nanoseconds.
    pub const fn from_ns(ns: i64) -> Self {
        Self(ns)
    }

    /// The offset in ns.
    pub const fn ns(self) -> i64 {
        self.0
    }

    /// Whole seconds, rounded towards zero, and the ns that remain, of the same sign.
    pub const fn split(self) -> (i64, i64) {
        (self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }

    /// The span by which a clock has to be moved to undo the offset is the negative of this one.
    pub const fn span(self) -> Duration {
        Duration(self.0)
    }
}

impl fmt::Debug for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+} ns", self.0)
    }
}

/// Correlation of the errors of offset and rate of a clock map: -1..1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Correlation(f64);

impl Correlation {
    /// Independent errors.
    pub const ZERO: Self = Self(0.0);

    /// Held within -1..=1; NaN is zero.
    pub fn new(value: f64) -> Self {
        if value.is_nan() { Self::ZERO } else { Self(value.clamp(-1.0, 1.0)) }
    }

    /// -1..=1.
    pub const fn value(self) -> f64 {
        self.0
    }
}

/// Random-walk frequency noise: the standard deviation of the change of a rate over one second. It grows with the root
/// of time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Wander(f64);

impl Wander {
    /// A rate that stays what it is.
    pub const ZERO: Self = Self(0.0);

    /// ppb per root second.
    pub const fn from_ppb(ppb: f64) -> Self {
        Self(ppb * 1e-9)
    }

    /// A fraction per root second, as a page holds it.
    pub const fn new(fraction: f64) -> Self {
        Self(fraction)
    }

    /// As a fraction per root second.
    pub const fn fraction(self) -> f64 {
        self.0
    }

    /// ppb per root second.
    pub const fn ppb(self) -> f64 {
        self.0 * 1e9
    }

    /// Neither NaN nor infinite.
    pub const fn is_finite(self) -> bool {
        self.0.is_finite()
    }
}

/// A small difference of rates as a fraction: 1e-6 is 1 ppm. Beside [`Correlation`] and [`Wander`] the only float that
/// leaves this crate.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Ratio(f64);

impl Ratio {
    /// No difference.
    pub const ZERO: Self = Self(0.0);

    /// A plain fraction.
    pub const fn new(fraction: f64) -> Self {
        Self(fraction)
    }

    /// Parts per billion, which is also ns per s.
    pub const fn from_ppb(ppb: f64) -> Self {
        Self(ppb * 1e-9)
    }

    /// Parts per million.
    pub const fn from_ppm(ppm: f64) -> Self {
        Self(ppm * 1e-6)
    }

    /// The plain fraction.
    pub const fn fraction(self) -> f64 {
        self.0
    }

    /// In parts per billion.
    pub const fn ppb(self) -> f64 {
        self.0 * 1e9
    }

    /// In parts per million.
    pub const fn ppm(self) -> f64 {
        self.0 * 1e6
    }

    /// Its size without its sign.
    pub const fn abs(self) -> Self {
        Self(self.0.abs())
    }

    /// Held within `-bound..=bound`; NaN becomes zero.
    pub fn clamp(self, bound: Self) -> Self {
        if self.0.is_nan() { Self::ZERO } else { Self(self.0.clamp(-bound.0.abs(), bound.0.abs())) }
    }

    /// Neither NaN nor infinite.
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

/// The rate at which a span is made good within another: a phase of 10 us over 2 s is 5 ppm. Over no time at all it is
/// zero.
impl Div for Duration {
    type Output = Ratio;
    fn div(self, over: Self) -> Ratio {
        if over.0 == 0 { Ratio::ZERO } else { Ratio(self.ns_f64() / over.ns_f64()) }
    }
}
