//! The status for people: from top to bottom as the data flows.

mod network;

pub use network::{counters, leaders, ports, quality, samples};

use crate::finding::{Finding, Level};
use crate::shown::Named;
use crate::status::{Output, Page, Relaying, SplitOffset, Status, Steering, Utc};
use crate::verdict::Verdict;
use anstyle::{AnsiColor, Style};
use dante_core::page::Freshness;
use dante_core::relay::Waiting;
use dante_core::steer::{RtcMode, SteeredClock, UtcSource};
use dante_core::time::{Civil, Duration};
use std::fmt::{self, Write};

#[cfg(test)]
mod tests;

/// Those lines of a block that there is something for.
macro_rules! rows {
    ($out:ident, $($name:literal => $value:expr,)+) => {
        $(if let Some(value) = Option::<String>::from($value) { row($out, $name, &value)?; })+
    };
}
use rows;

/// What a block is about.
pub const HEADING: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const DOUBTFUL: Style = AnsiColor::Yellow.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// One screen, with colours, which whoever prints it takes out where they are of no use.
pub fn screen(status: &Status) -> String {
    written(|out| {
        verdict(out, status)?;
        if let Some(said) = &status.dante4l.said {
            network::leader(out, said)?;
        }
        program(out, "dante4l", &status.dante4l.life, status.dante4l.said.as_ref(), network::following)?;
        program(out, "dante2sys", &status.dante2sys.life, status.dante2sys.said.as_ref(), steering)?;
        program(out, "danteshm", &status.danteshm.life, status.danteshm.said.as_ref(), relaying)?;
        status.findings.iter().try_for_each(|each| finding(out, each))
    })
}

pub fn written(write: impl FnOnce(&mut String) -> fmt::Result) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    _ = write(&mut out);
    out
}

/// How a finding of this level is shown.
pub fn style(level: Level) -> Style {
    match level {
        Level::Ok => GOOD,
        Level::Warning => DOUBTFUL,
        Level::Failure => BAD,
    }
}

/// The answer to "is it synchronised?", in words; `more` says where to find what else there is to know.
pub fn headline(status: &Status, more: &str) -> (String, Level) {
    let worst = status.findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
    let mut words = status.verdict.words().to_owned();
    if status.verdict != Verdict::Synchronised {
        return (words, status.verdict.level().max(worst));
    }
    let steered = status.dante2sys.said.as_ref().filter(|_| status.dante2sys.life.running);
    if steered.is_some_and(|steered| steered.clock.is(SteeredClock::Virtual)) {
        words += " (virtual clock)";
    }
    if worst > Level::Ok {
        words += more;
    }
    (words, worst.min(Level::Warning))
}

fn verdict(out: &mut String, status: &Status) -> fmt::Result {
    let (words, level) = headline(status, "; look at what is marked below");
    let style = style(level);
    writeln!(out, "{style}{words}{style:#}")
}

fn finding(out: &mut String, finding: &Finding) -> fmt::Result {
    let style = style(finding.level);
    writeln!(out, "{style}!{style:#} {}", finding.what)?;
    finding.ways().try_for_each(|way| writeln!(out, "  -> {way}"))
}

/// Whether a program runs, in words.
pub fn life_of(page: &Page) -> (&'static str, Level) {
    match page.page.0 {
        Freshness::Fresh => ("running", Level::Ok),
        Freshness::Stale => ("not running: its page is stale", Level::Failure),
        Freshness::Stopped => ("stopped", Level::Warning),
        Freshness::Absent => ("not running", Level::Warning),
        Freshness::Foreign => ("its page is not to be believed", Level::Failure),
        Freshness::Layout => ("its page is of another version", Level::Failure),
    }
}

/// Whether it runs, and what it says.
fn program<S>(
    out: &mut String,
    name: &str,
    page: &Page,
    said: Option<&S>,
    tell: fn(&mut String, &S) -> fmt::Result,
) -> fmt::Result {
    let (life, level) = life_of(page);
    let style = style(level);
    writeln!(out, "{HEADING}{name:<10}{HEADING:#} {style}{life}{style:#}")?;
    said.map_or(Ok(()), |said| tell(out, said))
}

fn steering(out: &mut String, said: &Steering) -> fmt::Result {
    let date_of =
        |epoch: &SplitOffset| format!("{}.{:09} s, the date of the leader's zero", epoch.s, epoch.ns.abs());
    rows! { out,
        "state" => format!("{}, clock {}", said.state, said.clock),
        "frequency" => format!("{:+.1} ppb", said.frequency_ppb),
        "phase" => said.phase_error_ns.map(|error| format!("{error:+} ns, clock against Dante + K")),
        "rate" => said.rate_error_ppb.map(|error| format!("{error:+.1} ppb, clock against leader")),
        "K" => said.epoch.as_ref().map(date_of),
    }
    date(out, &said.utc)?;
    let rtc = match (said.rtc.mode.0, said.rtc.written_utc_s) {
        (Some(RtcMode::Device), Some(at)) => format!("written last at {} UTC", Civil::at(at)),
        (Some(RtcMode::Device), None) => "not written yet".into(),
        _ => said.rtc.mode.to_string(),
    };
    let times = match said.interference {
        0 => None,
        1 => Some("once".into()),
        count => Some(format!("{count} times")),
    };
    rows! { out,
        "RTC" => rtc,
        "others" => times.map(|times| format!("another program was seen to steer the clock {times}")),
    }
    Ok(())
}

fn date(out: &mut String, utc: &Utc) -> fmt::Result {
    if utc.source.is(UtcSource::None) {
        return row(out, "date from", "none: the rate alone is steered");
    }
    let servers = match utc.servers_agreeing {
        0 => String::new(),
        count => format!(", {count} agreeing"),
    };
    row(out, "date from", &format!("{}{servers}, policy {}", utc.source, utc.policy))?;
    let (Some(offset), Some(sigma), Some(age)) = (utc.error_ns, utc.uncertainty_ns, utc.age_s) else {
        return row(out, "date", "not known yet");
    };
    let worth = match (utc.synchronised, utc.set_by_hand) {
        (_, true) => "set by hand, left as it is",
        (true, _) => "good",
        (false, _) => "not good",
    };
    let us = |ns: i64| Duration::from_ns(ns).secs_f64() * 1e6;
    let measured =
        format!("{worth}: {:+.1} us off UTC +/- {:.1}, measured {age:.0} s ago", us(offset), us(sigma));
    row(out, "date", &measured)?;
    if let (Some(rate), Some(sigma), Some(drift)) =
        (utc.leader_rate_ppb, utc.leader_rate_uncertainty_ppb, utc.drift_ppb)
    {
        let (rate, sigma, a_day) = (rate / 1e3, sigma / 1e3, drift * 1e-9 * 86_400.0);
        let (slew, steps) = (utc.slew_ppb / 1e3, utc.steps);
        rows! { out,
            "leader" => format!(
                "{rate:+.3} ppm against UTC +/- {sigma:.3}; the date drifts {a_day:+.3} s a day (slewed {slew:+.3} ppm, {steps} steps)"
            ),
        }
    }
    Ok(())
}

fn relaying(out: &mut String, said: &Relaying) -> fmt::Result {
    let waiting = match said.waiting_for.and_then(|waiting| waiting.0) {
        Some(Waiting::Leader) => ": dante4l has no leader that it knows well",
        Some(Waiting::Utc) => ": the system clock is not known to be synchronised (--epoch)",
        Some(Waiting::Pause) => ": silent for 4 s, so that chrony sees no jump",
        Some(Waiting::Nothing) | None => "",
    };
    row(out, "state", &format!("{}{waiting}", said.state))?;
    if let (Some(epoch), Some(Named(source))) = (&said.epoch, said.epoch_source) {
        row(out, "K", &format!("{}.{:09} s, from {source}", epoch.s, epoch.ns.abs()))?;
    }
    said.outputs.iter().try_for_each(|each| output(out, each))
}

fn output(out: &mut String, said: &Output) -> fmt::Result {
    let mut words = Vec::new();
    words.extend(said.unit.map(|unit| format!("unit {unit}")));
    words.extend(said.path.clone());
    words.extend((!said.ready).then(|| "nobody there".into()));
    words.extend(said.clients.map(|clients| format!("{clients} clients")));
    words.push(format!("{} samples", said.samples));
    words.extend((said.lost > 0).then(|| format!("{} lost", said.lost)));
    words.push(said.last_sample_age_s.map_or("none yet".into(), |age| format!("the last {age:.2} s ago")));
    row(out, &said.kind.to_string(), &words.join(", "))
}

/// One line of a block.
pub fn row(out: &mut String, name: &str, value: &str) -> fmt::Result {
    writeln!(out, "  {name:<11} {value}")
}
