//! What the metrics are: of programs that run alone, since what a dead one said last is no longer true.

use super::sheet::{Labels, NUMBER, SECONDS, Sheet, ratio};
use crate::finding::{self, Level};
use crate::pages::{Pages, freshness, said};
use dante_core::page::{
    Body, Dante2sys, Dante4l, Danteshm, Freshness, LeaderRecord, OutputKind, OutputRecord, PortRecord,
    RtcMode, STEER_DATE_GOOD, STEER_DATE_LEFT, StampSource, SteeredClock, UtcSource,
};
use dante_core::time::{Duration, Offset, Raw, Timestamp};
use dante_core::timescale::KernelWord;
use dante_core::wire::{ClockIdentifier, Subdomain, Uuid};
use dante_core::{port, relay, steer};

const UNKNOWN: &str = "unknown";

/// All of them.
pub fn of(pages: &Pages) -> Sheet {
    let mut sheet = Sheet::default();
    programs(&mut sheet, pages);
    if let Some(body) = said(&pages.dante4l) {
        network(&mut sheet, body, pages.now);
    }
    if let Some(body) = said(&pages.dante2sys) {
        clock(&mut sheet, body);
        date(&mut sheet, body, pages.now);
    }
    if let Some(body) = said(&pages.danteshm) {
        relay(&mut sheet, body, pages.now);
    }
    sheet
}

fn programs(sheet: &mut Sheet, pages: &Pages) {
    let all = [
        (Dante4l::NAME, freshness(&pages.dante4l)),
        (Dante2sys::NAME, freshness(&pages.dante2sys)),
        (Danteshm::NAME, freshness(&pages.danteshm)),
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

fn secs(duration: Duration) -> f64 {
    duration.secs_f64()
}

fn offset_secs(offset: Offset) -> f64 {
    Duration::from_ns(offset.ns()).secs_f64()
}

fn network(sheet: &mut Sheet, body: &Dante4l, now: Timestamp<Raw>) {
    let ports: Vec<(Labels, &PortRecord)> =
        body.ports().iter().map(|port| (vec![("interface", port.interface.to_string())], port)).collect();
    let each = |value: &dyn Fn(&PortRecord) -> Option<f64>| -> Vec<(Labels, f64)> {
        ports.iter().filter_map(|(labels, port)| Some((labels.clone(), value(port)?))).collect()
    };
    sheet.info(
        "dante_port_info",
        "The networks that dante4l listens to",
        ports.iter().map(|(labels, port)| {
            let stamps = StampSource::from_number(port.stamp_source).map_or(UNKNOWN, StampSource::name);
            let mut labels = labels.clone();
            labels.push(("subdomain", Subdomain(port.subdomain).to_string()));
            labels.push(("timestamping", stamps.to_owned()));
            labels.extend(port.identity().map(|own| ("uuid", own.uuid.to_string())));
            labels
        }),
    );
    sheet.states(
        "dante_port_state",
        "1 for the state that dante4l's port is in: IEEE 1588-2002, 7.3; SLAVE follows a leader",
        &port::State::ALL,
        ports.iter().map(|(labels, port)| (labels.clone(), port.state())),
    );
    let selected = body.selected().map(|port| port.interface);
    sheet.gauge(
        "dante_port_selected",
        NUMBER,
        "1 for the network that the clock follows",
        each(&|port| Some(f64::from(selected == Some(port.interface)))),
    );
    leaders(sheet, &ports);
    sheet.gauge(
        "dante_leaders_heard",
        NUMBER,
        "How many leaders are heard and may be followed; more than 1 for long: two networks are joined",
        each(&|port| Some(port.heard().iter().filter(|heard| heard.qualified != 0).count() as f64)),
    );
    sheet.gauge(
        "dante_timeline",
        NUMBER,
        "Rises with each discontinuity of Dante time: another leader, a reboot, a jump; 0 before the first leader",
        each(&|port| Some(port.timeline as f64)),
    );
    let line = |port: &PortRecord| port.map().map(|map| map.line.rate.fraction());
    sheet.gauge(
        "dante_rate",
        ratio(),
        "The leader's rate against CLOCK_MONOTONIC_RAW, less one; 1e-6: the leader gains 1 us a second",
        each(&line),
    );
    sheet.gauge(
        "dante_rate_uncertainty",
        ratio(),
        "One standard deviation of dante_rate_ratio, now",
        each(&|port| Some(port.map()?.uncertainty_at(now).rate.fraction())),
    );
    sheet.gauge(
        "dante_offset_uncertainty",
        SECONDS,
        "One standard deviation of Dante time as it is known here, now; without the path delay unless that was measured",
        each(&|port| Some(secs(port.map()?.uncertainty_at(now).offset))),
    );
    sheet.gauge(
        "dante_residual",
        SECONDS,
        "The last Sync against the map, local minus leader: positive when it was late",
        each(&|port| Some(secs(port.last_sample()?.residual))),
    );
    sheet.gauge(
        "dante_sync_age",
        SECONDS,
        "Time since the last Sync that was measured",
        each(&|port| Some(secs(now - port.last_sample()?.arrived.raw))),
    );
    sheet.gauge(
        "dante_sync_interval",
        SECONDS,
        "Time between Syncs, as the leader advertises it",
        each(&|port| Some(secs(Duration::from_ns(port.leader()?.sync_interval_ns)))),
    );
    sheet.gauge(
        "dante_path_delay",
        SECONDS,
        "Path delay from the leader to here, where it is measured or given",
        each(&|port| Some(secs(port.path_delay()?))),
    );
    sheet.counter(
        "dante_port_events",
        "What the port heard, sent and noticed, by kind: docs/status.md tells what each counts",
        ports.iter().flat_map(|(labels, port)| {
            let counters = port.counters();
            let event =
                |(name, count): (&str, u64)| ([&labels[..], &[("event", name.to_owned())]].concat(), count);
            counters.by_name().map(event).collect::<Vec<_>>()
        }),
    );
    sheet.counter(
        "dante_samples",
        "Measurements on the network that the clock follows, believed or not",
        [(Labels::new(), body.samples)],
    );
    kernel(sheet, body);
}

fn leaders(sheet: &mut Sheet, ports: &[(Labels, &PortRecord)]) {
    let followed: Vec<(&Labels, &LeaderRecord)> =
        ports.iter().filter_map(|(labels, port)| Some((labels, port.leader()?))).collect();
    sheet.info(
        "dante_leader_info",
        "The leader that is followed; identifier and preference are its grandmaster's",
        followed.iter().map(|(labels, leader)| {
            let mut labels = (*labels).clone();
            labels.push(("uuid", Uuid(leader.uuid).to_string()));
            labels.push(("port_id", leader.port_id.to_string()));
            labels.push(("address", leader.address().to_string()));
            labels.push(("identifier", ClockIdentifier(leader.identifier).to_string()));
            labels.push(("preferred", (leader.preferred != 0).to_string()));
            labels
        }),
    );
    let each = |value: fn(&LeaderRecord) -> f64| {
        followed.iter().map(move |(labels, leader)| ((*labels).clone(), value(leader))).collect::<Vec<_>>()
    };
    sheet.gauge(
        "dante_leader_stratum",
        NUMBER,
        "The stratum of the leader's grandmaster: the lower, the better",
        each(|leader| leader.stratum.into()),
    );
    sheet.gauge(
        "dante_leader_steps_removed",
        NUMBER,
        "Boundary clocks between the grandmaster and here",
        each(|leader| leader.steps_removed.into()),
    );
}

fn kernel(sheet: &mut Sheet, body: &Dante4l) {
    let word = body.kernel_word();
    let synchronised = match word {
        Some(KernelWord::Synchronised(_)) => Some(1.0),
        Some(KernelWord::Unsynchronised) => Some(0.0),
        None => None,
    };
    sheet.gauge(
        "dante_kernel_clock_synchronised",
        NUMBER,
        "1: the kernel says that somebody keeps CLOCK_REALTIME right",
        synchronised.map(|value| (Labels::new(), value)),
    );
    let max_error = match word {
        Some(KernelWord::Synchronised(max_error)) => Some(secs(max_error)),
        _ => None,
    };
    sheet.gauge(
        "dante_kernel_clock_max_error",
        SECONDS,
        "CLOCK_REALTIME is not further off UTC, says the kernel",
        max_error.map(|value| (Labels::new(), value)),
    );
}

fn clock(sheet: &mut Sheet, body: &Dante2sys) {
    let name = |name: Option<&'static str>| name.unwrap_or(UNKNOWN).to_owned();
    sheet.info(
        "dante_clock_info",
        "What dante2sys steers, where the date comes from, what gives way where leader and UTC differ, who writes the RTC",
        [vec![
            ("clock", name(SteeredClock::from_number(body.clock).map(SteeredClock::name))),
            ("utc_source", name(UtcSource::from_number(body.utc_source).map(UtcSource::name))),
            ("policy", body.policy().map_or(UNKNOWN.into(), |policy| policy.to_string())),
            ("rtc", name(RtcMode::from_number(body.rtc).map(RtcMode::name))),
        ]],
    );
    sheet.states(
        "dante_clock_state",
        "1 for the state that dante2sys is in; LOCKED: the clock is held on Dante",
        &steer::State::ALL,
        [(Labels::new(), body.state())],
    );
    let mut gauge = |name, unit, help, value: Option<f64>| {
        sheet.gauge(name, unit, help, value.map(|value| (Labels::new(), value)));
    };
    let scale = body.epoch();
    gauge(
        "dante_clock_frequency",
        ratio(),
        "What the steered clock was given; 1e-6: it gains 1 us a second on CLOCK_MONOTONIC_RAW",
        Some(body.frequency),
    );
    gauge(
        "dante_clock_rate_error",
        ratio(),
        "The steered clock's rate minus the leader's",
        body.rate_error().map(|rate| rate.fraction()),
    );
    gauge(
        "dante_clock_phase_error",
        SECONDS,
        "The steered clock minus (Dante + K); none while there is no leader",
        body.phase_error().map(offset_secs),
    );
    gauge(
        "dante_clock_phase_uncertainty",
        SECONDS,
        "One standard deviation of Dante + K, now; it grows in holdover",
        scale.map(|_| secs(Duration::from_ns(body.phase_sigma_ns))),
    );
    gauge(
        "dante_clock_rate_uncertainty",
        ratio(),
        "One standard deviation of the leader's rate, now; it grows in holdover",
        scale.map(|_| body.rate_sigma),
    );
    sheet.counter(
        "dante_clock_corrections",
        "Frequencies that were set",
        [(Labels::new(), body.corrections)],
    );
    sheet.counter(
        "dante_clock_interference",
        "How often another program was seen to steer the clock",
        [(Labels::new(), body.disturbances)],
    );
}

fn date(sheet: &mut Sheet, body: &Dante2sys, now: Timestamp<Raw>) {
    if body.utc_source == UtcSource::None as u8 {
        return;
    }
    let mut gauge = |name, unit, help, value: Option<f64>| {
        sheet.gauge(name, unit, help, value.map(|value| (Labels::new(), value)));
    };
    let flag = |flag| Some(f64::from(body.flags & flag != 0));
    gauge("dante_date_good", NUMBER, "1: the kernel is told that the date is right", flag(STEER_DATE_GOOD));
    gauge(
        "dante_date_set_by_hand",
        NUMBER,
        "1: somebody set another date, which is left as it is",
        flag(STEER_DATE_LEFT),
    );
    let date = body.date();
    let ns = |ns| secs(Duration::from_ns(ns));
    gauge(
        "dante_date_offset",
        SECONDS,
        "The clock minus UTC, as estimated",
        date.map(|date| ns(date.error_ns)),
    );
    gauge(
        "dante_date_uncertainty",
        SECONDS,
        "One standard deviation of dante_date_offset_seconds",
        date.map(|date| ns(date.sigma_ns)),
    );
    gauge(
        "dante_date_bound",
        SECONDS,
        "The date is not further off, if the servers are right",
        date.map(|date| ns(date.bound_ns)),
    );
    gauge(
        "dante_date_age",
        SECONDS,
        "Time since the date was last measured",
        date.map(|date| secs(now - Timestamp::from_ns(date.measured_raw_ns))),
    );
    gauge(
        "dante_date_leader_rate",
        ratio(),
        "The leader's rate against UTC, less one; 12e-6: its seconds gain a second a day",
        date.map(|date| date.leader_rate),
    );
    gauge(
        "dante_date_leader_rate_uncertainty",
        ratio(),
        "One standard deviation of dante_date_leader_rate_ratio",
        date.map(|date| date.leader_rate_sigma),
    );
    gauge("dante_date_slew", ratio(), "What the date policy adds to the leader's rate", Some(body.slew));
    gauge(
        "dante_date_servers_agreeing",
        NUMBER,
        "Time servers that agreed the last time",
        Some(body.agreeing.into()),
    );
    gauge(
        "dante_date_interval",
        SECONDS,
        "How far apart the time servers are asked",
        Some(ns(body.interval_ns)),
    );
    gauge(
        "dante_date_leap",
        NUMBER,
        "Leap second at the end of the UTC day, as the servers announce it: 1 inserted, -1 deleted, 0 none",
        Some(match body.leap {
            1 => 1.0,
            2 => -1.0,
            _ => 0.0,
        }),
    );
    gauge(
        "dante_rtc_written_timestamp",
        SECONDS,
        "The date that dante2sys last wrote to the RTC, since 1970",
        (body.rtc_written_ns != 0).then(|| ns(body.rtc_written_ns)),
    );
    sheet.counter(
        "dante_date_steps",
        "Steps of the clock for the date's sake",
        [(Labels::new(), body.date_steps)],
    );
}

fn relay(sheet: &mut Sheet, body: &Danteshm, now: Timestamp<Raw>) {
    sheet.states(
        "dante_relay_state",
        "1 for the state that danteshm is in; FEEDING: chrony is told",
        &[relay::State::Waiting, relay::State::Feeding],
        [(Labels::new(), body.state())],
    );
    let outputs: Vec<(Labels, &OutputRecord)> =
        body.outputs().iter().map(|output| (output_labels(output), output)).collect();
    let each = |value: &dyn Fn(&OutputRecord) -> Option<f64>| -> Vec<(Labels, f64)> {
        outputs.iter().filter_map(|(labels, output)| Some((labels.clone(), value(output)?))).collect()
    };
    sheet.gauge(
        "dante_output_ready",
        NUMBER,
        "1: what is sent there arrives, as far as can be told",
        each(&|output| Some(f64::from(output.ready != 0))),
    );
    sheet.gauge(
        "dante_output_clients",
        NUMBER,
        "Programs that read a usrvclock",
        each(&|output| (output.kind == OutputKind::Usrvclock as u8).then_some(output.clients as f64)),
    );
    sheet.gauge(
        "dante_output_sample_age",
        SECONDS,
        "Time since the last sample that was written or sent",
        each(&|output| {
            let at = output.last_sample_raw_ns;
            (at != 0).then(|| secs(now - Timestamp::from_ns(at)))
        }),
    );
    let count = |value: fn(&OutputRecord) -> u64| {
        outputs.iter().map(move |(labels, output)| (labels.clone(), value(output))).collect::<Vec<_>>()
    };
    sheet.counter("dante_output_samples", "Samples written or sent", count(|output| output.samples));
    sheet.counter(
        "dante_output_lost",
        "Samples that could not be written or sent",
        count(|output| output.lost),
    );
}

fn output_labels(output: &OutputRecord) -> Labels {
    let kind = OutputKind::from_number(output.kind);
    let place = match kind {
        Some(OutputKind::Shm) => ("unit", output.unit.to_string()),
        _ => ("path", output.path.to_string()),
    };
    vec![("kind", kind.map_or(UNKNOWN, OutputKind::name).to_owned()), place]
}
