//! What the metrics are: of programs that run alone, since what a dead one published last is no longer true.

mod network;

use super::sheet::{Labels, NUMBER, SECONDS, Sheet, each_of, gauges, one, ratio};
use crate::finding::{self, Level};
use crate::pages::{Pages, freshness, said};
use crate::shown::Word;
use crate::verdict::{self, Verdict};
use dante_core::page::{
    Body, Dante2sysStatus, Dante4lStatus, DanteshmStatus, Freshness, OutputRecord, STATUS_UTC_BY_HAND,
    STATUS_UTC_SYNCHRONISED,
};
use dante_core::steer::{RtcMode, SteeredClock, UtcSource};
use dante_core::time::{Duration, Offset, Raw, Timestamp};
use dante_core::utc::Leap;
use dante_core::{relay, steer};

/// All of them.
pub fn of(pages: &Pages) -> Sheet {
    let mut sheet = Sheet::default();
    programs(&mut sheet, pages);
    if let Some(body) = said(&pages.dante4l) {
        let samples = pages.clock.as_ref().map_or(0, |view| view.body.samples);
        network::tell(&mut sheet, body, samples, pages.now);
    }
    if let Some(body) = said(&pages.dante2sys) {
        clock(&mut sheet, body);
        utc(&mut sheet, body, pages.now);
    }
    if let Some(body) = said(&pages.danteshm) {
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
        "1 while the program runs; 0: it does not, or its page is not to be believed",
        all.map(|(name, page)| (vec![program(name)], f64::from(page == Freshness::Fresh))),
    );
    sheet.info(
        "dante_page_info",
        "How the program's page looks: fresh, stale (its writer died or hangs), stopped, absent, foreign, layout (another version)",
        all.map(|(name, page)| vec![program(name), ("page", page.name().to_owned())]),
    );
    sheet.states(
        "dante_verdict",
        "1 for how this host's clock stands to Dante's, as `pmc-lite get status` says it",
        &Verdict::ALL,
        [(Vec::new(), Some(verdict::of(pages).verdict))],
    );
    let found = finding::of(pages);
    sheet.gauge(
        "dante_findings",
        NUMBER,
        "How many things are not as they should be; `pmc-lite get status` tells them in words",
        [(Level::Warning, "warning"), (Level::Failure, "failure")].map(|(level, name)| {
            let count = found.iter().filter(|one| one.level == level).count();
            (vec![("level", name.to_owned())], count as f64)
        }),
    );
}

/// The clock that dante2sys steers.
fn clock(sheet: &mut Sheet, body: &Dante2sysStatus) {
    sheet.info(
        "dante_clock_info",
        "What dante2sys steers, where the date comes from, what gives way where leader and UTC differ, who writes the RTC",
        [vec![
            ("clock", Word(SteeredClock::from_number(body.clock)).to_string()),
            ("utc_source", Word(UtcSource::from_number(body.utc_source)).to_string()),
            ("policy", Word(body.policy()).to_string()),
            ("rtc", Word(RtcMode::from_number(body.rtc)).to_string()),
        ]],
    );
    sheet.states(
        "dante_clock_state",
        "1 for the state that dante2sys is in; LOCKED: the clock is held on Dante",
        &steer::State::ALL,
        [(Labels::new(), body.state())],
    );
    let scale = body.epoch();
    gauges! { sheet, one:
        "dante_clock_frequency", ratio(), "What the steered clock was given; 1e-6: it gains 1 us a second on CLOCK_MONOTONIC_RAW" =>
            Some(body.frequency);
        "dante_clock_rate_error", ratio(), "The steered clock's rate minus the leader's" =>
            body.rate_error().map(|rate| rate.fraction());
        "dante_clock_phase_error", SECONDS, "The steered clock minus (Dante + K); none while there is no leader" =>
            body.phase_error().map(offset_secs);
        "dante_clock_phase_uncertainty", SECONDS, "One standard deviation of Dante + K, now; it grows in holdover" =>
            scale.map(|_| secs(Duration::from_ns(body.phase_sigma_ns)));
        "dante_clock_rate_uncertainty", ratio(), "One standard deviation of the leader's rate, now; it grows in holdover" =>
            scale.map(|_| body.rate_sigma);
    }
    sheet.count("dante_clock_corrections", "Frequencies that were set", body.corrections);
    let help = "How often another program was seen to steer the clock";
    sheet.count("dante_clock_interference", help, body.disturbances);
}

/// Where the date comes from somewhere.
fn utc(sheet: &mut Sheet, body: &Dante2sysStatus, now: Timestamp<Raw>) {
    if body.utc_source == UtcSource::None as u8 {
        return;
    }
    let flag = |flag| Some(f64::from(body.flags & flag != 0));
    let date = body.utc();
    let ns = |ns| secs(Duration::from_ns(ns));
    gauges! { sheet, one:
        "dante_utc_synchronised", NUMBER, "1: the kernel is told that the date is right" => flag(STATUS_UTC_SYNCHRONISED);
        "dante_utc_set_by_hand", NUMBER, "1: somebody set another date, which is left as it is" =>
            flag(STATUS_UTC_BY_HAND);
        "dante_utc_error", SECONDS, "The clock minus UTC, as estimated" => date.map(|date| ns(date.error_ns));
        "dante_utc_uncertainty", SECONDS, "One standard deviation of dante_utc_error_seconds" =>
            date.map(|date| ns(date.sigma_ns));
        "dante_utc_bound", SECONDS, "The date is not further off, if the servers are right" =>
            date.map(|date| ns(date.bound_ns));
        "dante_utc_age", SECONDS, "Time since the date was last measured" =>
            date.map(|date| secs(now - Timestamp::from_ns(date.measured_raw_ns)));
        "dante_utc_leader_rate", ratio(), "The leader's rate against UTC, less one; 12e-6: its seconds gain a second a day" =>
            date.map(|date| date.leader_rate);
        "dante_utc_leader_rate_uncertainty", ratio(), "One standard deviation of dante_utc_leader_rate_ratio" =>
            date.map(|date| date.leader_rate_sigma);
        "dante_utc_slew", ratio(), "What the date policy adds to the leader's rate" => Some(body.slew);
        "dante_utc_servers_agreeing", NUMBER, "Time servers that agreed the last time" => Some(body.agreeing.into());
        "dante_utc_interval", SECONDS, "How far apart the time servers are asked" => Some(ns(body.interval_ns));
        "dante_utc_leap", NUMBER,
        "Leap second at the end of the UTC day, as the servers announce it: 1 inserted, -1 deleted, 0 none" =>
            Leap::from_number(body.leap).map(|leap| match leap {
                Leap::None => 0.0,
                Leap::Insert => 1.0,
                Leap::Delete => -1.0,
            });
        "dante_rtc_written_timestamp", SECONDS, "The date that dante2sys last wrote to the RTC, since 1970" =>
            (body.rtc_written_ns != 0).then(|| ns(body.rtc_written_ns));
    }
    sheet.count("dante_utc_steps", "Steps of the clock for the date's sake", body.date_steps);
}

/// What danteshm does, and where its samples go.
fn outputs(sheet: &mut Sheet, body: &DanteshmStatus, now: Timestamp<Raw>) {
    sheet.states(
        "dante_relay_state",
        "1 for the state that danteshm is in; FEEDING: chrony is told",
        &relay::State::ALL,
        [(Labels::new(), body.state())],
    );
    let outputs: Vec<(Labels, OutputRecord)> =
        body.outputs().iter().map(|output| (output_labels(output), *output)).collect();
    let each = |value: &dyn Fn(&OutputRecord) -> Option<f64>| each_of(&outputs, value);
    gauges! { sheet, each:
        "dante_output_ready", NUMBER, "1: what is sent there arrives, as far as can be told" =>
            &|output| Some(f64::from(output.ready != 0));
        "dante_output_clients", NUMBER, "Programs that read the output, where they are counted" =>
            &|output| output.clients().map(|clients| clients as f64);
        "dante_output_sample_age", SECONDS, "Time since the last sample that was written or sent" =>
            &|output| {
                let at = output.last_sample_raw_ns;
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
}

/// Its kind, with the unit or the path if it has one.
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
