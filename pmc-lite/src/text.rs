//! The status as text, from the leader to the clock.

mod network;

pub use network::{counters, leaders, ports, quality, samples};

use crate::finding::{Finding, Level};
use crate::scale::{fixed, plus};
use crate::shown::Named;
use crate::status::{Output, Page, Relaying, SplitOffset, Status, Steering, Utc};
use crate::verdict::{REHEARSAL, Verdict};
use anstyle::{AnsiColor, Style};
use dante_core::page::Freshness;
use dante_core::relay::{Delivery, Waiting};
use dante_core::steer::{RtcMode, SteeredClock, UtcSource};
use dante_core::time::{Civil, Duration};
use std::fmt::{self, Write};

#[cfg(test)]
mod tests;

/// Writes the rows of a block that have a value.
macro_rules! rows {
    ($out:ident, $($name:literal => $value:expr,)+) => {
        $(if let Some(value) = Option::<String>::from($value) { row($out, $name, &value)?; })+
    };
}
use rows;

/// Style of the headings of blocks.
pub const HEADING: Style = Style::new().bold();
const OK: Style = AnsiColor::Green.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const FAILURE: Style = AnsiColor::Red.on_default().bold();

/// Formats one screen with colours, which [`crate::print`] removes if standard output is not a terminal.
pub fn screen(status: &Status) -> String {
    written(|out| {
        verdict(out, status)?;
        if let Some(dante4l) = &status.dante4l.published {
            network::leader(out, dante4l)?;
        }
        program(out, "dante4l", &status.dante4l.life, status.dante4l.published.as_ref(), network::following)?;
        program(out, "dante2sys", &status.dante2sys.life, status.dante2sys.published.as_ref(), steering)?;
        program(out, "danteshm", &status.danteshm.life, status.danteshm.published.as_ref(), relaying)?;
        status.findings.iter().try_for_each(|each| finding(out, each))
    })
}

/// Returns what `write` writes.
pub fn written(write: impl FnOnce(&mut String) -> fmt::Result) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    _ = write(&mut out);
    out
}

/// Returns the style of findings of this level.
pub fn style(level: Level) -> Style {
    match level {
        Level::Ok => OK,
        Level::Warning => WARNING,
        Level::Failure => FAILURE,
    }
}

/// Returns the verdict as text. If the clock is synchronised but there are findings, `more` is appended: where to find them.
pub fn headline(status: &Status, more: &str) -> (String, Level) {
    let worst = status.findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
    let mut words = status.verdict.words().to_owned();
    if status.verdict != Verdict::Synchronised {
        return (words, status.verdict.level().max(worst));
    }
    let steered = status.dante2sys.published.as_ref().filter(|_| status.dante2sys.life.running);
    if steered.is_some_and(|steered| steered.clock.is(SteeredClock::Virtual)) {
        words += &format!(" (virtual clock): {REHEARSAL}");
    }
    if worst > Level::Ok {
        words += more;
    }
    (words, worst.min(Level::Warning))
}

fn verdict(out: &mut String, status: &Status) -> fmt::Result {
    let (words, level) = headline(status, "; see the findings below");
    let style = style(level);
    writeln!(out, "{style}{words}{style:#}")
}

fn finding(out: &mut String, finding: &Finding) -> fmt::Result {
    let style = style(finding.level);
    writeln!(out, "{style}!{style:#} {}", finding.what())?;
    finding.ways().try_for_each(|way| writeln!(out, "  -> {way}"))
}

/// Returns the state of a page as text.
pub fn life_of(page: &Page) -> (&'static str, Level) {
    match page.page.0 {
        Freshness::Fresh => ("running", Level::Ok),
        Freshness::Stale => ("not running: its data in /dev/shm is old", Level::Failure),
        Freshness::Stopped => ("stopped", Level::Warning),
        Freshness::Absent => ("not running", Level::Warning),
        Freshness::Foreign => ("its data in /dev/shm is not trusted", Level::Failure),
        Freshness::Layout => ("its data in /dev/shm is of another version, or damaged", Level::Failure),
    }
}

/// Writes the state of a page, and what its program published.
fn program<S>(
    out: &mut String,
    name: &str,
    page: &Page,
    published: Option<&S>,
    rows: fn(&mut String, &S) -> fmt::Result,
) -> fmt::Result {
    let (life, level) = life_of(page);
    let style = style(level);
    writeln!(out, "{HEADING}{name:<10}{HEADING:#} {style}{life}{style:#}")?;
    published.map_or(Ok(()), |published| rows(out, published))
}

/// An epoch offset with all its digits.
fn seconds(epoch: &SplitOffset) -> String {
    format!("{}.{:09} s", epoch.s, epoch.ns.abs())
}

fn steering(out: &mut String, dante2sys: &Steering) -> fmt::Result {
    let epoch_offset =
        |epoch: &SplitOffset| format!("{}, epoch offset: UTC minus Dante time", seconds(epoch));
    rows! { out,
        "state" => format!("{}, clock {}", dante2sys.state, dante2sys.clock),
        "frequency" => format!("{} ppb", plus(dante2sys.frequency_ppb, 1)),
        "phase" => dante2sys.phase_error_ns.map(|error| format!("{error:+} ns, clock minus (Dante time + K)")),
        "rate" => dante2sys.rate_error_ppb.map(|error| format!("{} ppb, clock minus leader", plus(error, 1))),
        "K" => dante2sys.epoch.as_ref().map(epoch_offset),
    }
    utc(out, &dante2sys.utc)?;
    let rtc = match (dante2sys.rtc.mode.0, dante2sys.rtc.written_utc_s) {
        (Some(RtcMode::Device), Some(at)) => format!("last written at {} UTC", Civil::at(at)),
        (Some(RtcMode::Device), None) => "not written yet".into(),
        _ => dante2sys.rtc.mode.to_string(),
    };
    let times = match dante2sys.interference {
        0 => None,
        1 => Some("once".into()),
        count => Some(format!("{count} times")),
    };
    rows! { out,
        "RTC" => rtc,
        "others" => times.map(|times| format!("the clock was steered by another program or set by hand {times}")),
    }
    Ok(())
}

fn utc(out: &mut String, utc: &Utc) -> fmt::Result {
    if utc.source.is(UtcSource::None) {
        return row(out, "UTC from", "none: only the rate is steered");
    }
    let servers = match utc.servers_agreeing {
        0 => String::new(),
        count => format!(", {count} agreeing"),
    };
    row(out, "UTC from", &format!("{}{servers}, policy {}", utc.source, utc.policy))?;
    let (Some(error), Some(sigma), Some(age)) = (utc.error_ns, utc.uncertainty_ns, utc.age_s) else {
        return row(out, "UTC", "not known yet");
    };
    let state = match (utc.synchronised, utc.set_by_hand) {
        (_, true) => "set by hand, not corrected",
        (true, _) => "synchronised",
        (false, _) => "not synchronised",
    };
    let us = |ns: i64| Duration::from_ns(ns).secs_f64() * 1e6;
    let measured =
        format!("{state}: error {:+.1} us +/- {:.1}, measured {age:.0} s ago", us(error), us(sigma));
    row(out, "UTC", &measured)?;
    if let (Some(rate), Some(sigma), Some(drift)) =
        (utc.leader_rate_ppb, utc.leader_rate_uncertainty_ppb, utc.drift_ppb)
    {
        let (rate, sigma, a_day) = (rate / 1e3, sigma / 1e3, drift * 1e-9 * 86_400.0);
        let (slew, steps) = (utc.slew_ppb / 1e3, utc.steps);
        rows! { out,
            "leader" => format!(
                "{} ppm against UTC +/- {}; the clock drifts from UTC by {} s a day (slewed {} ppm, {steps} steps)",
                plus(rate, 3),
                fixed(sigma, 3),
                plus(a_day, 3),
                plus(slew, 3)
            ),
        }
    }
    Ok(())
}

fn relaying(out: &mut String, danteshm: &Relaying) -> fmt::Result {
    let waiting = match danteshm.waiting_for.and_then(|waiting| waiting.0) {
        Some(Waiting::Leader) => ": dante4l is not locked to a leader",
        Some(Waiting::Utc) => ": the system clock is not synchronised (--epoch)",
        Some(Waiting::Pause) => ": no samples for 4 s, so that chrony does not follow a jump",
        Some(Waiting::Nothing) | None => "",
    };
    row(out, "state", &format!("{}{waiting}", danteshm.state))?;
    if let (Some(epoch), Some(Named(source))) = (&danteshm.epoch, danteshm.epoch_source) {
        row(out, "K", &format!("{}, epoch offset (UTC minus Dante time) from {source}", seconds(epoch)))?;
    }
    danteshm.outputs.iter().try_for_each(|each| output(out, each))
}

fn output(out: &mut String, output: &Output) -> fmt::Result {
    let mut parts = Vec::new();
    parts.extend(output.unit.map(|unit| format!("unit {unit}")));
    parts.extend(output.path.clone());
    parts.extend(fault_of(output).map(str::to_owned));
    parts.extend(output.clients.map(|clients| format!("{clients} clients")));
    parts.push(format!("{} samples", output.samples));
    parts.extend((output.lost > 0).then(|| format!("{} lost", output.lost)));
    let rejected = output.clients_rejected.unwrap_or(0);
    parts.extend((rejected > 0).then(|| format!("{rejected} clients rejected")));
    parts.extend(output.last_sample_age_s.map(|age| format!("last {age:.2} s ago")));
    row(out, &output.kind.to_string(), &parts.join(", "))
}

/// Why no program gets the samples of an output. A usrvclock without clients has no fault.
pub fn fault_of(output: &Output) -> Option<&'static str> {
    let is_idle = output.clients == Some(0) && output.ready;
    let fault = output.delivery.0.and_then(Delivery::fault).filter(|_| !is_idle);
    fault.or((!output.ready).then_some("not ready"))
}

/// Writes one row of a block.
pub fn row(out: &mut String, name: &str, value: &str) -> fmt::Result {
    writeln!(out, "  {name:<11} {value}")
}
