//! Measured values of a check, and their limits.

use super::{Judgement, Service};
use crate::args::CheckArgs;
use crate::pages::{Pages, fresh_body};
use dante_core::steer::State;
use dante_core::time::{Duration, Ratio};
use dante_core::track::KernelSync;
use dante_os::quantity::Span;

/// Greatest rate error that counts as known, ppm: the clock runs at up to twice its speed. The guidelines permit no exponent.
const MAX_RATE_ERROR_PPM: f64 = 1e6;

/// One measured value.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// Label in the performance data.
    label: &'static str,
    /// Name in the text.
    what: &'static str,
    unit: Unit,
    /// In `unit`; `None` if unknown.
    value: Option<f64>,
    /// The value has a sign, and the limit applies to its magnitude.
    is_signed: bool,
    limit: Limit,
    /// State if the value has a limit but is unknown.
    missing: Service,
}

/// Largest permitted magnitudes of a figure, in its unit.
#[derive(Debug, Clone, Copy, Default)]
struct Limit {
    warning: Option<f64>,
    critical: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Seconds,
    Ppm,
}

/// Returns all figures, known or not.
pub fn of(pages: &Pages, limits: &CheckArgs) -> [Figure; 5] {
    let steered = fresh_body(&pages.dante2sys);
    let observed = fresh_body(&pages.dante4l);
    let secs = |ns| Duration::from_ns(ns).secs_f64();
    let offset = Limit::of_spans(limits.warn_offset, limits.max_offset);
    // Without a leader the phase is not measured: the limit applies to its uncertainty, which grows.
    let in_holdover = steered.is_some_and(|body| body.state() == Some(State::Holdover));
    let (phase, sigma) = if in_holdover { (Limit::default(), offset) } else { (offset, Limit::default()) };
    let bound = steered.and_then(|body| body.utc()).map(|utc| utc.bound_ns);
    let kernel_bound = || match observed?.kernel_sync()? {
        KernelSync::Synchronised(max_error) => Some(max_error.ns()),
        KernelSync::Unsynchronised => None,
    };
    let sample = pages.selected().and_then(|port| port.last_sample());
    let figure = |label, what, value, limit| {
        let (unit, is_signed, missing) = (Unit::Seconds, false, Service::Unknown);
        Figure { label, what, unit, value, is_signed, limit, missing }
    };
    [
        Figure {
            is_signed: true,
            ..figure(
                "phase",
                "the phase error",
                steered.and_then(|body| body.phase_error()).map(|error| secs(error.ns())),
                phase,
            )
        },
        figure(
            "phase_uncertainty",
            "the phase uncertainty",
            steered.filter(|body| body.epoch().is_some()).map(|body| secs(body.phase_sigma_ns)),
            sigma,
        ),
        Figure {
            unit: Unit::Ppm,
            is_signed: true,
            ..figure(
                "rate_error_ppm",
                "the rate error",
                steered
                    .and_then(|body| body.rate_error())
                    .map(Ratio::ppm)
                    .filter(|ppm| ppm.abs() <= MAX_RATE_ERROR_PPM),
                Limit { warning: limits.warn_rate_error, critical: limits.max_rate_error },
            )
        },
        Figure {
            missing: Service::Critical,
            ..figure(
                "utc_error",
                "the bound on the UTC error",
                bound.or_else(kernel_bound).map(secs),
                Limit::of_spans(limits.warn_utc_error, limits.max_utc_error),
            )
        },
        Figure {
            missing: Service::Critical,
            ..figure(
                "sync_age",
                "the age of the last Sync",
                sample.map(|sample| (pages.now - sample.arrived.raw).secs_f64()),
                Limit::of_spans(limits.warn_age, limits.max_age),
            )
        },
    ]
}

/// Checks that each warning limit is below its critical limit.
///
/// # Errors
/// A message, if a warning could never be reported.
pub fn check(limits: &CheckArgs) -> Result<(), String> {
    let all = [
        ("offset", Limit::of_spans(limits.warn_offset, limits.max_offset)),
        ("rate-error", Limit { warning: limits.warn_rate_error, critical: limits.max_rate_error }),
        ("utc-error", Limit::of_spans(limits.warn_utc_error, limits.max_utc_error)),
        ("age", Limit::of_spans(limits.warn_age, limits.max_age)),
    ];
    let is_wrong = |limit: &Limit| limit.warning.zip(limit.critical).is_some_and(|(warn, max)| warn >= max);
    match all.iter().find(|(_, limit)| is_wrong(limit)) {
        Some((name, _)) => Err(format!("--warn-{name} must be below --max-{name}")),
        None => Ok(()),
    }
}

impl Limit {
    fn of_spans(warning: Option<Span>, critical: Option<Span>) -> Self {
        let secs = |span: Option<Span>| span.map(|span| span.0.secs_f64());
        Self { warning: secs(warning), critical: secs(critical) }
    }
}

impl Figure {
    /// Whether the value is known.
    pub fn is_known(&self) -> bool {
        self.value.is_some()
    }

    /// Returns the state and its reason if the value is above a limit, or has a limit and is unknown.
    pub fn judged(&self) -> Option<Judgement> {
        let Limit { warning, critical } = self.limit;
        let Some(value) = self.value else {
            let has_limit = warning.or(critical).is_some();
            return has_limit.then(|| (self.missing, format!("{} is unknown", self.what)));
        };
        let exceeded = |limit: Option<f64>| limit.filter(|limit| value.abs() > *limit);
        let (service, limit) = match (exceeded(critical), exceeded(warning)) {
            (Some(limit), _) => (Service::Critical, limit),
            (None, Some(limit)) => (Service::Warning, limit),
            (None, None) => return None,
        };
        let (value, limit) = (self.unit.text(value), self.unit.text(limit));
        Some((service, format!("{} is {value}, limit {limit}", self.what)))
    }

    /// Formats `label=value[unit];[warning];[critical]`, each limit as the range of permitted values.
    pub fn value(&self) -> String {
        let unit = if self.unit == Unit::Seconds { "s" } else { "" };
        let range = |limit: Option<f64>| match limit.map(|limit| self.unit.digits(limit)) {
            Some(limit) if self.is_signed => format!("-{limit}:{limit}"),
            Some(limit) => limit,
            None => String::new(),
        };
        let value = match self.value {
            Some(value) => self.unit.digits(value) + unit,
            None => "U".into(),
        };
        let limits = format!(";{};{}", range(self.limit.warning), range(self.limit.critical));
        format!("{}={value}{}", self.label, limits.trim_end_matches(';'))
    }
}

impl Unit {
    /// Formats digits without an exponent, as the guidelines require.
    fn digits(self, value: f64) -> String {
        match self {
            Self::Seconds => format!("{value:.9}"),
            Self::Ppm => format!("{value:.6}"),
        }
    }

    fn text(self, value: f64) -> String {
        if self == Self::Ppm {
            return format!("{value:.4} ppm");
        }
        let (scale, unit) = match value.abs() {
            s if s < 1e-6 => (1e9, "ns"),
            s if s < 1e-3 => (1e6, "us"),
            s if s < 1.0 => (1e3, "ms"),
            _ => (1.0, "s"),
        };
        let digits = format!("{:.3}", value * scale);
        format!("{} {unit}", digits.trim_end_matches('0').trim_end_matches('.'))
    }
}
