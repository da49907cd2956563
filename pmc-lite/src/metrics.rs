//! `pmc-lite metrics`: the state of the daemons as metrics for Prometheus and compatible systems.

mod exporter;
mod families;
mod request;
mod sheet;

use crate::args::MetricsArgs;
use crate::output;
use crate::pages::Pages;
use anyhow::Result;
use dante_os::page::Instance;
use dante_os::statefile;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

pub use crate::args::Format;

#[cfg(test)]
mod tests;

/// Prints, writes or serves the metrics.
///
/// # Errors
/// The address cannot be bound, or the file or standard output cannot be written.
pub fn run(args: &MetricsArgs, instance: Option<&Instance>) -> Result<()> {
    if let Some(address) = args.listen {
        return exporter::serve(address, instance);
    }
    let pages = Pages::read(instance);
    match &args.output {
        Some(file) => {
            let text = of(&pages, args.format.unwrap_or(Format::Prometheus));
            Ok(statefile::replace(file, text.as_bytes())?)
        }
        None => crate::print(&of(&pages, args.format.unwrap_or(Format::Openmetrics))),
    }
}

/// Returns the metrics as text.
pub fn of(pages: &Pages, format: Format) -> String {
    let sheet = families::of(pages);
    let counters = sheet.counters();
    let mut registry = Registry::default();
    registry.register_collector(Box::new(sheet));
    let mut out = String::new();
    // Writing to a String cannot fail.
    _ = text::encode(&mut out, &registry);
    match format {
        Format::Openmetrics => output::lines(&out).into_owned(),
        Format::Prometheus => {
            output::lines(&out).lines().filter_map(|line| prometheus(line, &counters)).collect()
        }
    }
}

/// Converts a line of OpenMetrics to Prometheus' text format 0.0.4, which declares counters by their full name and has neither UNIT
/// nor EOF; `None`: the line is left out.
fn prometheus(line: &str, counters: &[&str]) -> Option<String> {
    let Some(comment) = line.strip_prefix("# ") else { return Some(format!("{line}\n")) };
    let (word, rest) = comment.split_once(' ')?;
    let (name, rest) = rest.split_once(' ')?;
    let total = if counters.contains(&name) { "_total" } else { "" };
    ["HELP", "TYPE"].contains(&word).then(|| format!("# {word} {name}{total} {rest}\n"))
}
