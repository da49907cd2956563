//! What dante4l tells: networks, leaders, the leader's time.

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

/// `samples`: the number of measurements since the start.
pub fn tell(sheet: &mut Sheet, body: &Dante4lStatus, samples: u64, now: Timestamp<Raw>) {
    let ports: Vec<(Labels, PortRecord)> =
        body.ports().iter().map(|port| (vec![("interface", port.interface.to_string())], *port)).collect();
    let each = |value: &dyn Fn(&PortRecord) -> Option<f64>| each_of(&ports, value);
    sheet.info(
        "dante_port_info",
        "The networks that dante4l listens to",
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
        "1 for the state that dante4l's port is in: IEEE 1588-2002, 7.3; SLAVE follows a leader",
        &port::State::ALL,
        ports.iter().map(|(labels, port)| (labels.clone(), port.state())),
    );
    let selected = body.selected().map(|port| port.interface);
    gauges! { sheet, each:
        "dante_port_selected", NUMBER, "1 for the network that the clock follows" =>
            &|port| Some(f64::from(selected == Some(port.interface)));
    }
    leaders(sheet, &ports);
    gauges! { sheet, each:
        "dante_foreign_leaders", NUMBER,
        "How many leaders are heard and may be followed; more than 1 for long: two networks are joined" =>
            &|port| Some(port.foreign_leaders().iter().filter(|heard| heard.qualified != 0).count() as f64);
        "dante_timeline", NUMBER,
        "Rises with each discontinuity of Dante time: another leader, a reboot, a jump; 0 before the first leader" =>
            &|port| Some(port.timeline as f64);
    }
    let line = |port: &PortRecord| port.map().map(|map| map.line.rate.fraction());
    gauges! { sheet, each:
        "dante_rate", ratio(), "The leader's rate against CLOCK_MONOTONIC_RAW, less one; 1e-6: the leader gains 1 us a second" =>
            &line;
        "dante_rate_uncertainty", ratio(), "One standard deviation of dante_rate_ratio, now" =>
            &|port| Some(port.map()?.uncertainty_at(now).rate.fraction());
        "dante_offset_uncertainty", SECONDS,
        "One standard deviation of Dante time as it is known here, now; without the path delay unless that was measured" =>
            &|port| Some(secs(port.map()?.uncertainty_at(now).offset));
        "dante_residual", SECONDS, "The last Sync against the map, local minus leader: positive when it was late" =>
            &|port| Some(secs(port.last_sample()?.residual));
        "dante_sync_age", SECONDS, "Time since the last Sync that was measured" =>
            &|port| Some(secs(now - port.last_sample()?.arrived.raw));
        "dante_sync_interval", SECONDS, "Time between Syncs, as the leader advertises it" =>
            &|port| Some(secs(Duration::from_ns(port.leader()?.sync_interval_ns)));
        "dante_path_delay", SECONDS, "Path delay from the leader to here, where it is measured or given" =>
            &|port| Some(secs(port.path_delay()?));
    }
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
    let help = "Measurements on the network that the clock follows, believed or not";
    sheet.count("dante_samples", help, samples);
    kernel(sheet, body);
}

fn leaders(sheet: &mut Sheet, ports: &[(Labels, PortRecord)]) {
    let followed = each_of(ports, |port| Some(Leader::of(port.leader()?, Subdomain(port.subdomain))));
    sheet.info(
        "dante_leader_info",
        "The leader that is followed; identifier and preference are its grandmaster's, where its protocol has them",
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
        "dante_leader_stratum", NUMBER, "The stratum of the leader's grandmaster, lower is better; PTPv1 only" =>
            |leader| leader.stratum.map(f64::from);
        "dante_leader_clock_class", NUMBER, "clockClass of the leader's grandmaster, lower is better; PTPv2 only" =>
            |leader| leader.clock_class.map(f64::from);
        "dante_leader_steps_removed", NUMBER, "Boundary clocks between the grandmaster and here" =>
            |leader| Some(leader.steps_removed.into());
    }
}

fn kernel(sheet: &mut Sheet, body: &Dante4lStatus) {
    let word = body.kernel_sync();
    let synchronised = word.map(|word| f64::from(word != KernelSync::Unsynchronised));
    let max_error = match word {
        Some(KernelSync::Synchronised(max_error)) => Some(secs(max_error)),
        _ => None,
    };
    gauges! { sheet, one:
        "dante_kernel_clock_synchronised", NUMBER, "1: the kernel says that somebody keeps CLOCK_REALTIME right" =>
            synchronised;
        "dante_kernel_clock_max_error", SECONDS, "CLOCK_REALTIME is not further off UTC, says the kernel" => max_error;
    }
}
