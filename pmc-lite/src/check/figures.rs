//! The numbers of a check, and their limits.

use super::{Judgement, Service};
use crate::args::CheckArgs;
use crate::pages::{Pages, said};
use dante_core::steer::State;
use dante_core::time::{Duration, Ratio};
use dante_core::track::KernelSync;
use dante_os::quantity::Span;

/// One number that is measured.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// As the monitoring system calls it.
    label: &'static str,
    /// In words.
    what: &'static str,
    unit: Unit,
    /// In that unit; `None` where it is not known.
    value: Option<f64>,
    /// Whether it may be below zero, as far as above.
    is_signed: bool,
    limit: Limit,
    /// What it means that it is not known although there is a limit.
    missing: Service,
}

/// What a figure may not pass, in its unit.
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

/// All of them, known or not.
pub fn of(pages: &Pages, limits: &CheckArgs) -> [Figure; 5] {
    let steered = said(&pages.dante2sys);
    let observed = said(&pages.dante4l);
    let secs = |ns| Duration::from_ns(ns).secs_f64();
    let offset = Limit::of_spans(limits.warn_offset, limits.max_offset);
    // While there is no leader the phase is not measured, and its uncertainty grows.
    let in_holdover = steered.is_some_and(|body| body.state() == Some(State::Holdover));
    let (phase, sigma) = if in_holdover { (Limit::default(), offset) } else { (offset, Limit::default()) };
    let bound = steered.and_then(|body| body.utc()).map(|date| date.bound_ns);
    let kernels = || match observed?.kernel_sync()? {
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
            "the phase's uncertainty",
            steered.filter(|body| body.epoch().is_some()).map(|body| secs(body.phase_sigma_ns)),
            sigma,
        ),
        Figure {
            unit: Unit::Ppm,
            is_signed: true,
            ..figure(
                "rate_error_ppm",
                "the rate error",
                steered.and_then(|body| body.rate_error()).map(Ratio::ppm),
                Limit { warning: limits.warn_rate_error, critical: limits.max_rate_error },
            )
        },
        Figure {
            missing: Service::Critical,
            ..figure(
                "utc_error",
                "the date's possible error",
                bound.or_else(kernels).map(secs),
                Limit::of_spans(limits.warn_utc_error, limits.max_utc_error),
            )
        },
        Figure {
            missing: Service::Critical,
            ..figure(
                "sync_age",
                "the last Sync's age",
                sample.map(|sample| (pages.now - sample.arrived.raw).secs_f64()),
                Limit::of_spans(limits.warn_age, limits.max_age),
            )
        },
    ]
}

/// Whether the limits fit together.
///
/// # Errors
/// In words, when one could never be told.
pub fn check(limits: &CheckArgs) -> Result<(), String> {
    let all = [
        ("offset", Limit::of_spans(limits.warn_offset, limits.max_offset)),
        ("rate-error", Limit { warning: limits.warn_rate_error, critical: limits.max_rate_error }),
        ("utc-error", Limit::of_spans(limits.warn_utc_error, limits.max_utc_error)),
        ("age", Limit::of_spans(limits.warn_age, limits.max_age)),
    ];
    let is_wrong = |limit: &Limit| limit.warning.zip(limit.critical).is_some_and(|(warn, max)| warn >= max);
    match all.iter().find(|(_, limit)| is_wrong(limit)) {
        Some((name, _)) => Err(format!("--warn-{name} has to be below --max-{name}")),
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
    /// Whether there is a value.
    pub fn is_known(&self) -> bool {
        self.value.is_some()
    }

    /// What is to be said of it, if anything.
    pub fn judged(&self) -> Option<Judgement> {
        let Limit { warning, critical } = self.limit;
        let Some(value) = self.value else {
            let is_wanted = warning.or(critical).is_some();
            return is_wanted.then(|| (self.missing, format!("{} is not known", self.what)));
        };
        let beyond = |limit: Option<f64>| limit.filter(|limit| value.abs() > *limit);
        let (service, limit) = match (beyond(critical), beyond(warning)) {
            (Some(limit), _) => (Service::Critical, limit),
            (None, Some(limit)) => (Service::Warning, limit),
            (None, None) => return None,
        };
        let (value, limit) = (self.unit.words(value), self.unit.words(limit));
        Some((service, format!("{} is {value}, beyond {limit}", self.what)))
    }

    /// `label=value[unit];[warning];[critical]`, each limit as a range in which all is well.
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
    /// Digits alone, as the guidelines want it: no exponent.
    fn digits(self, value: f64) -> String {
        match self {
            Self::Seconds => format!("{value:.9}"),
            Self::Ppm => format!("{value:.6}"),
        }
    }

    fn words(self, value: f64) -> String {
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
