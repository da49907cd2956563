//! The metrics. Values are published only for running programs: those of a dead program are out of date.

mod network;

use super::sheet::{Labels, NUMBER, SECONDS, Sheet, each_of, gauges, one, ratio};
use crate::finding::{self, Level};
use crate::pages::{Pages, fresh_body, freshness};
use crate::shown::Word;
use crate::verdict::{self, Verdict};
use dante_core::page::{
    Body, Dante2sysStatus, Dante4lStatus, DanteshmStatus, Freshness, OutputRecord, STATUS_UTC_BY_HAND,
    STATUS_UTC_SYNCHRONISED,
};
use dante_core::relay::Delivery;
use dante_core::steer::{RtcMode, SteeredClock, UtcSource};
use dante_core::time::{Duration, Offset, Raw, Timestamp};
use dante_core::utc::Leap;
use dante_core::{relay, steer};

/// Returns all metrics.
pub fn of(pages: &Pages) -> Sheet {
    let mut sheet = Sheet::default();
    programs(&mut sheet, pages);
    if let Some(body) = fresh_body(&pages.dante4l) {
        let samples = pages.clock.as_ref().map_or(0, |view| view.body.samples);
        network::add(&mut sheet, body, samples, pages.now);
    }
    if let Some(body) = fresh_body(&pages.dante2sys) {
        clock(&mut sheet, body);
        utc(&mut sheet, body, pages.now);
    }
    if let Some(body) = fresh_body(&pages.danteshm) {
        outputs(&mut sheet, body, pages.now);
    }
    sheet
}

fn programs(sheet: &mut Sheet, pages: &Pages) {
    let all = [
        (Dante4lStatus::PROGRAM, freshness(&pages.dante4l)),
        (Dante2sysStatus::PROGRAM, freshness(&pages.dante2sys)),
        (DanteshmStatus::PROGRAM, freshness(&pages.danteshm)),
    ];
    let program = |name: &str| ("program", name.to_owned());
    sheet.gauge(
        "dante_up",
        NUMBER,
        "1: the program is running; 0: it is not, or its page (shared memory) cannot be used",
        all.map(|(name, page)| (vec![program(name)], f64::from(page == Freshness::Fresh))),
    );
    sheet.info(
        "dante_page_info",
        "State of the program's page (shared memory): fresh, stale (the program died or hangs), stopped, absent, foreign (not \
         trusted), layout (another version or damaged)",
        all.map(|(name, page)| vec![program(name), ("page", page.name().to_owned())]),
    );
    sheet.states(
        "dante_verdict",
        "1 for the verdict of `pmc-lite get status`; if dante_clock_info has clock=\"virtual\", it is a rehearsal and does not describe the system \
         clock",
        &Verdict::ALL,
        [(Vec::new(), Some(verdict::of(pages).verdict))],
    );
    let found = finding::of(pages);
    sheet.gauge(
        "dante_findings",
        NUMBER,
        "Number of warnings and failures; `pmc-lite get status` describes them",
        [(Level::Warning, "warning"), (Level::Failure, "failure")].map(|(level, name)| {
            let count = found.iter().filter(|one| one.level == level).count();
            (vec![("level", name.to_owned())], count as f64)
        }),
    );
}

/// Adds the metrics of the clock that dante2sys steers.
fn clock(sheet: &mut Sheet, body: &Dante2sysStatus) {
    sheet.info(
        "dante_clock_info",
        "Steered clock, UTC source, UTC policy (what is corrected if leader and UTC differ in rate), writer of the RTC",
        [vec![
            ("clock", Word(SteeredClock::from_number(body.clock)).to_string()),
            ("utc_source", Word(UtcSource::from_number(body.utc_source)).to_string()),
            ("policy", Word(body.policy()).to_string()),
            ("rtc", Word(RtcMode::from_number(body.rtc)).to_string()),
        ]],
    );
    sheet.states(
        "dante_clock_state",
        "1 for the state of dante2sys; LOCKED: the clock is synchronised to the leader",
        &steer::State::ALL,
        [(Labels::new(), body.state())],
    );
    let epoch = body.epoch();
    gauges! { sheet, one:
        "dante_clock_frequency", ratio(),
        "Frequency correction set on the steered clock; 1e-6: it gains 1 us a second on CLOCK_MONOTONIC_RAW" =>
            Some(body.frequency);
        "dante_clock_rate_error", ratio(), "The steered clock's rate minus the leader's" =>
            body.rate_error().map(|rate| rate.fraction());
        "dante_clock_phase_error", SECONDS, "Steered clock minus (Dante time + epoch offset K); absent without a leader" =>
            body.phase_error().map(offset_secs);
        "dante_clock_phase_uncertainty", SECONDS,
        "One standard deviation of Dante time + epoch offset K, now; it grows in holdover" =>
            epoch.map(|_| secs(Duration::from_ns(body.phase_sigma_ns)));
        "dante_clock_rate_uncertainty", ratio(), "One standard deviation of the leader's rate, now; it grows in holdover" =>
            epoch.map(|_| body.rate_sigma);
    }
    sheet.count("dante_clock_corrections", "Frequency corrections that were set", body.corrections);
    let help = "Number of times that another program steered the clock, or that it was set by hand";
    sheet.count("dante_clock_interference", help, body.disturbances);
}

/// Adds the metrics of UTC, if there is a UTC source.
fn utc(sheet: &mut Sheet, body: &Dante2sysStatus, now: Timestamp<Raw>) {
    if body.utc_source == UtcSource::None as u8 {
        return;
    }
    let flag = |flag| Some(f64::from(body.flags & flag != 0));
    let utc = body.utc();
    let ns = |ns| secs(Duration::from_ns(ns));
    gauges! { sheet, one:
        "dante_utc_synchronised", NUMBER,
        "1: UTC is synchronised: the UTC bound is below --max-utc-error, and the clock was not set by hand" =>
            flag(STATUS_UTC_SYNCHRONISED);
        "dante_utc_set_by_hand", NUMBER, "1: the clock was set by hand to another time, which dante2sys does not correct" =>
            flag(STATUS_UTC_BY_HAND);
        "dante_utc_error", SECONDS, "UTC error: the clock minus UTC, as estimated" => utc.map(|utc| ns(utc.error_ns));
        "dante_utc_uncertainty", SECONDS, "One standard deviation of dante_utc_error_seconds" =>
            utc.map(|utc| ns(utc.sigma_ns));
        "dante_utc_bound", SECONDS, "The UTC error is smaller than this, if the servers are right" =>
            utc.map(|utc| ns(utc.bound_ns));
        "dante_utc_age", SECONDS, "Time since the last measurement of UTC" =>
            utc.map(|utc| secs(now - Timestamp::from_ns(utc.measured_raw_ns)));
        "dante_utc_leader_rate", ratio(), "The leader's rate relative to UTC, minus 1; 12e-6: the leader gains a second a day" =>
            utc.map(|utc| utc.leader_rate);
        "dante_utc_leader_rate_uncertainty", ratio(), "One standard deviation of dante_utc_leader_rate_ratio" =>
            utc.map(|utc| utc.leader_rate_sigma);
        "dante_utc_slew", ratio(), "Rate that the UTC policy adds to the leader's rate" => Some(body.slew);
        "dante_utc_servers_agreeing", NUMBER, "Number of NTP servers that agreed at the last query" => Some(body.agreeing.into());
        "dante_utc_interval", SECONDS, "Interval between queries of the NTP servers" => Some(ns(body.interval_ns));
        "dante_utc_leap", NUMBER,
        "Leap second at the end of the UTC day that the servers announce: 1 inserted, -1 deleted, 0 none" =>
            Leap::from_number(body.leap).map(|leap| match leap {
                Leap::None => 0.0,
                Leap::Insert => 1.0,
                Leap::Delete => -1.0,
            });
        "dante_rtc_written_timestamp", SECONDS, "UTC that dante2sys last wrote to the RTC, since 1970" =>
            (body.rtc_written_ns != 0).then(|| ns(body.rtc_written_ns));
    }
    sheet.count("dante_utc_steps", "Steps of the clock to correct the UTC error", body.utc_steps);
}

/// Adds the metrics of danteshm and its outputs.
fn outputs(sheet: &mut Sheet, body: &DanteshmStatus, now: Timestamp<Raw>) {
    sheet.states(
        "dante_relay_state",
        "1 for the state of danteshm; FEEDING: it writes samples; dante_output_delivered shows whether they are read",
        &relay::State::ALL,
        [(Labels::new(), body.state())],
    );
    let outputs: Vec<(Labels, OutputRecord)> =
        body.outputs().iter().map(|output| (output_labels(output), *output)).collect();
    let each = |value: &dyn Fn(&OutputRecord) -> Option<f64>| each_of(&outputs, value);
    gauges! { sheet, each:
        "dante_output_ready", NUMBER, "1: the segment or socket is open and accepts samples" =>
            &|output| Some(f64::from(output.ready != 0));
        "dante_output_delivered", NUMBER, "1: a program reads the samples, or a usrvclock has a client" =>
            &|output| Some(f64::from(output.delivery() == Some(Delivery::Delivered)));
        "dante_output_clients", NUMBER, "Number of programs that read the output; absent where danteshm cannot count them" =>
            &|output| output.clients().map(|clients| clients as f64);
        "dante_output_sample_age", SECONDS, "Time since the last sample was written or sent" =>
            &|output| {
                let at = output.last_sample_raw_ns;
                (at != 0).then(|| secs(now - Timestamp::from_ns(at)))
            };
        "dante_output_read_age", SECONDS, "Time since a program last took a sample, or the socket last accepted one" =>
            &|output| {
                let at = output.last_read_raw_ns;
                (at != 0).then(|| secs(now - Timestamp::from_ns(at)))
            };
    }
    let count = |value: fn(&OutputRecord) -> u64| each_of(&outputs, |output| Some(value(output)));
    sheet.counter("dante_output_samples", "Samples written or sent", count(|output| output.samples));
    sheet.counter(
        "dante_output_lost",
        "Samples that could not be written or sent",
        count(|output| output.lost),
    );
    sheet.counter(
        "dante_output_recreated",
        "Number of times that another process removed or replaced the segment or socket",
        count(|output| output.recreated),
    );
    sheet.counter(
        "dante_output_clients_rejected",
        "Clients of a usrvclock that were rejected, or removed for a client of another user",
        each_of(&outputs, |output| output.clients().map(|_| output.rejected)),
    );
}

/// Returns the kind of the output, with its unit or path if it has one.
fn output_labels(output: &OutputRecord) -> Labels {
    let kind = Some(("kind", Word(output.kind()).to_string()));
    let unit = output.unit().map(|unit| ("unit", unit.to_string()));
    let path = output.path().map(|path| ("path", path.to_string()));
    [kind, unit, path].into_iter().flatten().collect()
}

fn secs(duration: Duration) -> f64 {
    duration.secs_f64()
}

fn offset_secs(offset: Offset) -> f64 {
    Duration::from_ns(offset.ns()).secs_f64()
}
