//! Metrics of dante4l: networks, leaders, the leader's time.

use super::secs;
use crate::metrics::sheet::{Labels, NUMBER, SECONDS, Sheet, each_of, gauges, one, ratio};
use crate::shown::Word;
use crate::status::Leader;
use dante_core::page::{Dante4lStatus, PortRecord};
use dante_core::port;
use dante_core::port::TimestampSource;
use dante_core::time::{Duration, Raw, Timestamp};
use dante_core::track::KernelSync;
use dante_core::wire::Subdomain;

/// Adds the metrics. `samples`: number of measurements since the start.
pub fn add(sheet: &mut Sheet, body: &Dante4lStatus, samples: u64, now: Timestamp<Raw>) {
    let ports: Vec<(Labels, PortRecord)> =
        body.ports().iter().map(|port| (vec![("interface", port.interface.to_string())], *port)).collect();
    let each = |value: &dyn Fn(&PortRecord) -> Option<f64>| each_of(&ports, value);
    sheet.info(
        "dante_port_info",
        "The network interfaces of dante4l",
        ports.iter().map(|(labels, port)| {
            let mut labels = labels.clone();
            labels.push(("subdomain", Subdomain(port.subdomain).to_string()));
            labels.push((
                "timestamping",
                Word(TimestampSource::from_number(port.timestamp_source)).to_string(),
            ));
            labels.extend(port.identity().map(|own| ("uuid", own.uuid.to_string())));
            labels
        }),
    );
    sheet.states(
        "dante_port_state",
        "1 for the state of dante4l's port (IEEE 1588-2002, 7.3); SLAVE: it follows a leader",
        &port::State::ALL,
        ports.iter().map(|(labels, port)| (labels.clone(), port.state())),
    );
    let selected = body.selected().map(|port| port.interface);
    gauges! { sheet, each:
        "dante_port_selected", NUMBER, "1 for the network whose leader the clock follows" =>
            &|port| Some(f64::from(selected == Some(port.interface)));
    }
    leaders(sheet, &ports);
    gauges! { sheet, each:
        "dante_foreign_leaders", NUMBER,
        "Number of qualified foreign leaders; more than 1 for long: two networks are joined" =>
            &|port| Some(port.foreign_leaders().iter().filter(|foreign| foreign.qualified != 0).count() as f64);
        "dante_timeline", NUMBER,
        "Number that rises with each discontinuity of Dante time: another leader, a reboot, a jump; 0 before the first leader" =>
            &|port| Some(port.timeline as f64);
    }
    let line = |port: &PortRecord| port.map().map(|map| map.line.rate.fraction());
    gauges! { sheet, each:
        "dante_rate", ratio(), "The leader's rate relative to CLOCK_MONOTONIC_RAW, minus 1; 1e-6: the leader gains 1 us a second" =>
            &line;
        "dante_rate_uncertainty", ratio(), "One standard deviation of dante_rate_ratio, now" =>
            &|port| Some(port.map()?.uncertainty_at(now).rate.fraction());
        "dante_offset_uncertainty", SECONDS,
        "One standard deviation of the clock map (Dante time over CLOCK_MONOTONIC_RAW), now; without the error of the path delay" =>
            &|port| Some(secs(port.map()?.uncertainty_at(now).offset));
        "dante_residual", SECONDS, "The last Sync minus the clock map, local minus leader; positive: the Sync was late" =>
            &|port| Some(secs(port.last_sample()?.residual));
        "dante_sync_age", SECONDS, "Time since the last measured Sync" =>
            &|port| Some(secs(now - port.last_sample()?.arrived.raw));
        "dante_sync_interval", SECONDS, "Sync interval of the leader, measured" =>
            &|port| Some(secs(Duration::from_ns(port.leader()?.sync_interval_ns)));
        "dante_path_delay", SECONDS, "Path delay from the leader to this host, if measured or given (--path-delay)" =>
            &|port| Some(secs(port.path_delay()?));
    }
    sheet.counter(
        "dante_port_events",
        "Number of packets received, sent and rejected and of other events, by kind; docs/status.md describes each",
        ports.iter().flat_map(|(labels, port)| {
            let counters = port.counters();
            let event =
                |(name, count): (&str, u64)| ([&labels[..], &[("event", name.to_owned())]].concat(), count);
            counters.by_name().map(event).collect::<Vec<_>>()
        }),
    );
    let help = "Number of measurements on the network whose leader the clock follows, accepted or rejected";
    sheet.count("dante_samples", help, samples);
    kernel(sheet, body);
}

fn leaders(sheet: &mut Sheet, ports: &[(Labels, PortRecord)]) {
    let followed = each_of(ports, |port| Some(Leader::of(port.leader()?, Subdomain(port.subdomain))));
    sheet.info(
        "dante_leader_info",
        "The followed leader; identifier and preferred are those of its grandmaster, if its protocol has them",
        followed.iter().map(|(labels, leader)| {
            let always = [
                ("protocol", leader.protocol.to_string()),
                ("id", leader.id.clone()),
                ("port_id", leader.port_id.to_string()),
                ("address", leader.address.clone()),
                ("grandmaster", leader.grandmaster.id.clone()),
            ];
            let identifier = leader.identifier.clone().map(|identifier| ("identifier", identifier));
            let preferred = leader.preferred.map(|preferred| ("preferred", preferred.to_string()));
            labels.iter().cloned().chain(always).chain(identifier).chain(preferred).collect()
        }),
    );
    let each = |value: fn(&Leader) -> Option<f64>| each_of(&followed, value);
    gauges! { sheet, each:
        "dante_leader_stratum", NUMBER, "Stratum of the leader's grandmaster, lower is better; PTPv1 only" =>
            |leader| leader.stratum.map(f64::from);
        "dante_leader_clock_class", NUMBER, "clockClass of the leader's grandmaster, lower is better; PTPv2 only" =>
            |leader| leader.clock_class.map(f64::from);
        "dante_leader_steps_removed", NUMBER, "Number of boundary clocks between the grandmaster and the leader" =>
            |leader| Some(leader.steps_removed.into());
    }
}

fn kernel(sheet: &mut Sheet, body: &Dante4lStatus) {
    let sync = body.kernel_sync();
    let synchronised = sync.map(|sync| f64::from(sync != KernelSync::Unsynchronised));
    let max_error = match sync {
        Some(KernelSync::Synchronised(max_error)) => Some(secs(max_error)),
        _ => None,
    };
    gauges! { sheet, one:
        "dante_kernel_clock_synchronised", NUMBER, "1: the kernel reports CLOCK_REALTIME as synchronised (STA_UNSYNC is clear)" =>
            synchronised;
        "dante_kernel_clock_max_error", SECONDS,
        "Maximum error of CLOCK_REALTIME relative to UTC, according to the kernel (maxerror)" => max_error;
    }
}
