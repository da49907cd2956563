//! Families of metrics, in the order of their definition.
//!
//! A family without a series is left out: an unknown value has no sample.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use std::fmt;

/// Names and values of labels.
pub type Labels = Vec<(&'static str, String)>;

/// The families.
#[derive(Debug, Default)]
pub struct Sheet(Vec<Family>);

#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    series: Series,
}

#[derive(Debug)]
enum Series {
    Gauges(Vec<(Labels, f64)>),
    Counters(Vec<(Labels, u64)>),
}

/// No unit.
pub const NUMBER: Option<Unit> = None;
/// The base unit of time.
pub const SECONDS: Option<Unit> = Some(Unit::Seconds);

/// A fraction, not ppm: the base unit of Prometheus, in the singular.
pub fn ratio() -> Option<Unit> {
    Some(Unit::Other("ratio".into()))
}

/// Declares gauges: name, unit, help, and the value from which `$series` makes the series.
macro_rules! gauges {
    ($sheet:ident, $series:ident: $($name:literal, $unit:expr, $help:literal => $value:expr;)+) => {
        $($sheet.gauge($name, $unit, $help, $series($value));)+
    };
}
pub(super) use gauges;

/// The only series of a gauge; none without a value.
pub fn one(value: Option<f64>) -> Option<(Labels, f64)> {
    Some((Labels::new(), value?))
}

/// A series for each of `records` that has a value.
pub fn each_of<R, V>(records: &[(Labels, R)], value: impl Fn(&R) -> Option<V>) -> Vec<(Labels, V)> {
    records.iter().filter_map(|(labels, record)| Some((labels.clone(), value(record)?))).collect()
}

impl Sheet {
    /// Adds a gauge. The unit is appended to the name. Values that are not finite are unknown: a page is damaged.
    pub fn gauge(
        &mut self,
        name: &'static str,
        unit: Option<Unit>,
        help: &'static str,
        series: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        let series = Series::Gauges(series.into_iter().filter(|(_, value)| value.is_finite()).collect());
        self.0.push(Family { name, help, unit, series });
    }

    /// Adds a counter, which only rises while its program is running. `_total` is appended to the name.
    pub fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        series: impl IntoIterator<Item = (Labels, u64)>,
    ) {
        let series = Series::Counters(series.into_iter().collect());
        self.0.push(Family { name, help, unit: None, series });
    }

    /// Adds a counter with a single series.
    pub fn count(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.counter(name, help, [(Labels::new(), value)]);
    }

    /// Adds words as labels of a gauge with the value 1. OpenMetrics has the type `info` for that, but node_exporter and other
    /// parsers of Prometheus' older text reject the whole file because of it.
    pub fn info(&mut self, name: &'static str, help: &'static str, series: impl IntoIterator<Item = Labels>) {
        self.gauge(name, NUMBER, help, series.into_iter().map(|labels| (labels, 1.0)));
    }

    /// Adds a state as a gauge with one series per state: 1 for the present state, 0 for the others. A gauge for the same reason as
    /// [`info`](Self::info).
    pub fn states<S: fmt::Display + PartialEq>(
        &mut self,
        name: &'static str,
        help: &'static str,
        all: &[S],
        series: impl IntoIterator<Item = (Labels, Option<S>)>,
    ) {
        let each = |(labels, now): (Labels, Option<S>)| {
            all.iter()
                .map(|state| {
                    let labels = [&labels[..], &[("state", state.to_string())]].concat();
                    (labels, f64::from(now.as_ref() == Some(state)))
                })
                .collect::<Vec<_>>()
        };
        self.gauge(name, NUMBER, help, series.into_iter().flat_map(each));
    }

    /// Returns the names of the counters as declared in OpenMetrics, without `_total`.
    pub fn counters(&self) -> Vec<&'static str> {
        let counters = self.0.iter().filter(|family| matches!(family.series, Series::Counters(_)));
        counters.map(|family| family.name).collect()
    }
}

impl Collector for Sheet {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|family| match &family.series {
            Series::Gauges(all) => family.encode(&mut encoder, all, ConstGauge::new),
            Series::Counters(all) => family.encode(&mut encoder, all, ConstCounter::new),
        })
    }
}

impl Family {
    fn encode<V: Copy, M: EncodeMetric>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        series: &[(Labels, V)],
        metric: fn(V) -> M,
    ) -> fmt::Result {
        let Some((_, first)) = series.first() else { return Ok(()) };
        let kind = metric(*first).metric_type();
        let mut family = encoder.encode_descriptor(self.name, self.help, self.unit.as_ref(), kind)?;
        for (labels, value) in series {
            match labels[..] {
                // Without empty braces.
                [] => return metric(*value).encode(family),
                _ => metric(*value).encode(family.encode_family(labels)?)?,
            }
        }
        Ok(())
    }
}
