//! The part of dante4l: networks, leaders, and the clock map.

use super::SplitOffset;
use crate::shown::{Key, Word, shown};
use dante_core::announcement::PtpVersion;
use dante_core::candidates::{PassedOver, Role};
use dante_core::page::{
    CandidateRecord, Dante4lStatus, ForeignLeaderRecord, LeaderRecord, PortRecord, SampleRecord,
};
use dante_core::port::TimestampSource;
use dante_core::port::{Counters, InterfaceFault, State};
use dante_core::time::{Offset, Raw, Timestamp};
use dante_core::wire::{ClockIdentifier, PortIdentity, Subdomain};
use serde::Serializer;

shown! {
    Following of (body: &Dante4lStatus, now: Timestamp<Raw>) let (
        port = body.selected(),
        sample = port.and_then(PortRecord::last_sample),
        map = port.and_then(PortRecord::map),
        sigma = map.map(|map| map.uncertainty_at(now)),
        leader = port.and_then(PortRecord::leader),
    ) {
        /// Port state by IEEE 1588-2002, 7.3; SLAVE: it follows a leader; LISTENING also while no network is used yet.
        state: Word<State> = Word(body.state()),
        /// Index into `ports`.
        selected: u32 = body.selected,
        /// Number of the timeline, which rises at each discontinuity of Dante time; 0 before the first leader.
        timeline: u64 = port.map_or(0, |port| port.timeline),
        /// The followed leader.
        leader: Option<Leader> = port.and_then(|port| Some(Leader::of(port.leader()?, Subdomain(port.subdomain)))),
        /// CLOCK_REALTIME minus Dante time at the last Sync.
        offset: Option<SplitOffset> = sample.map(|sample| SplitOffset::of(Offset::between(sample.arrived.real, sample.origin))),
        /// Residual of the last Sync against the clock map, local minus leader, ns; positive if the Sync was late.
        residual_ns: Option<i64> = sample.map(|sample| sample.residual.ns()),
        /// Rate of the leader against CLOCK_MONOTONIC_RAW; +10: the leader gains 10 ns a second.
        rate_ppb: Option<f64> = map.map(|map| map.line.rate.ppb()),
        /// One standard deviation of that, now.
        rate_uncertainty_ppb: Option<f64> = sigma.map(|sigma| sigma.rate.ppb()),
        /// One standard deviation of the clock map, now, ns; the error of the path delay is never part of it.
        offset_uncertainty_ns: Option<i64> = sigma.map(|sigma| sigma.offset.ns()),
        /// Path delay from the leader to this host including asymmetry, ns; null unless measured or given.
        path_delay_ns: Option<i64> = port.and_then(PortRecord::path_delay).map(|delay| delay.ns()),
        /// Sync interval of the leader as measured, the nearest power of two of a second, ms.
        sync_interval_ms: Option<i64> = leader.map(|leader| leader.sync_interval_ns / 1_000_000),
        /// Sync interval that the leader advertises, ms; limited to 62 to 16000.
        advertised_sync_interval_ms: Option<i64> = leader.map(|leader| leader.advertised_interval().duration().ns() / 1_000_000),
        /// Time since the last measured Sync, s.
        last_sync_age_s: Option<f64> = sample.map(|sample| (now - sample.arrived.raw).secs_f64()),
        /// Ports, one for each network.
        ports: Vec<Port> = body.ports().iter().map(|port| Port::of(port, now)).collect(),
        /// The interfaces among which dante4l chooses its networks, and those that it passes over; null if the networks were named.
        candidates: Option<Vec<Candidate>> =
            body.candidates().map(|candidates| candidates.iter().map(Candidate::of).collect()),
    }

    /// An interface that dante4l may use, or passes over (`interface = "auto"`).
    Candidate of (candidate: &CandidateRecord) let (
        is_eligible = candidate.passed_over == 0,
        difference = candidate.difference(),
        differs = is_eligible && (candidate.difference_ns != 0 || candidate.rate_difference != 0.0),
    ) {
        /// Network interface.
        interface: String = candidate.interface.to_string(),
        /// What it is used for: `primary`, `secondary`, `compared` (with another one), `another_clock` (not used), `spare`, `no_leader`;
        /// null if it is passed over.
        #[cfg_attr(test, schemars(with = "Option<String>"))]
        role: Option<Key<Role>> = candidate.role().filter(|_| is_eligible).map(Key),
        /// Why it is passed over: `loopback`, `wi_fi`, `container_bridge`, `port_of_a_bridge_or_bond`, `tunnel`, `virtual`,
        /// `too_many_interfaces`; null if it is not.
        #[cfg_attr(test, schemars(with = "Option<String>"))]
        passed_over: Option<Key<PassedOver>> = candidate.passed_over().map(Key),
        /// Why it cannot be used: `absent`, `down`, `no_carrier`, `no_address`, `port_in_use`, `not_permitted`, `card`, `system`,
        /// `bridge_port`; null if it can.
        #[cfg_attr(test, schemars(with = "Option<String>"))]
        fault: Option<Key<InterfaceFault>> = candidate.fault().filter(|fault| *fault != InterfaceFault::None).map(Key),
        /// The leader that it receives.
        leader: Option<Sender> = candidate.leader().map(Sender::of),
        /// Dante time of its leader minus that of the interface with which it is compared, ns; null if it is not compared.
        difference_ns: Option<i64> = differs.then_some(difference.time.ns()),
        /// The same of the rates.
        rate_difference_ppb: Option<f64> = differs.then_some(difference.rate.ppb()),
    }

    /// The leader of a candidate.
    Sender of (leader: &LeaderRecord) {
        /// Identity of the sender.
        id: String = leader.identity().uuid.to_string(),
        /// Port of the sender.
        port_id: u16 = leader.port_id,
        /// IPv4 address of the sender.
        address: String = leader.address().to_string(),
    }

    /// A leader: the port that sends the Syncs, and its grandmaster as it advertises it.
    Leader of (leader: &LeaderRecord, subdomain: Subdomain) let (
        protocol = leader.protocol(),
        is_v1 = protocol == Some(PtpVersion::V1),
        is_v2 = protocol == Some(PtpVersion::V2),
    ) {
        /// PTP version: `ptpv1` is IEEE 1588-2002, `ptpv2` IEEE 1588-2008 and later.
        protocol: Word<PtpVersion> = Word(protocol),
        /// Identity of the sender: its UUID with ptpv1.
        id: String = leader.identity().uuid.to_string(),
        /// Port of the sender.
        port_id: u16 = leader.port_id,
        /// IPv4 address of the sender.
        address: String = leader.address().to_string(),
        /// The clock at the root of the tree.
        grandmaster: Grandmaster = Grandmaster::of(leader.grandmaster()),
        /// Domain; null with ptpv1.
        domain: Option<u8> = is_v2.then_some(leader.domain),
        /// Subdomain; null with ptpv2.
        subdomain: Option<String> = is_v1.then(|| subdomain.to_string()),
        /// priority1 of the grandmaster; null with ptpv1.
        priority1: Option<u8> = is_v2.then_some(leader.priority1),
        /// priority2 of the grandmaster; null with ptpv1.
        priority2: Option<u8> = is_v2.then_some(leader.priority2),
        /// clockClass of the grandmaster; null with ptpv1.
        clock_class: Option<u8> = is_v2.then_some(leader.class),
        /// clockAccuracy of the grandmaster; null with ptpv1.
        clock_accuracy: Option<u8> = is_v2.then_some(leader.accuracy),
        /// Stratum of the grandmaster; null with ptpv2.
        stratum: Option<u8> = is_v1.then_some(leader.class),
        /// Source of the grandmaster's time; null with ptpv2.
        identifier: Option<String> = is_v1.then(|| ClockIdentifier(leader.identifier).to_string()),
        /// Whether the grandmaster is a Preferred Leader; null with ptpv2.
        preferred: Option<bool> = is_v1.then_some(leader.preferred != 0),
        /// Variance of the grandmaster: 256 times the logarithm to base 2 of s^2.
        variance: i16 = leader.variance,
        /// Boundary clocks between the grandmaster and the sender.
        steps_removed: u16 = leader.steps_removed,
        /// The leader's time minus UTC as it advertises it, s; 0 if it does not know it.
        utc_offset_s: i16 = leader.utc_offset_s,
    }

    /// A grandmaster.
    Grandmaster of (identity: PortIdentity) {
        /// Identity.
        id: String = identity.uuid.to_string(),
        /// Port.
        port_id: u16 = identity.port_id,
    }

    /// One port of dante4l.
    Port of (port: &PortRecord, now: Timestamp<Raw>) let (subdomain = Subdomain(port.subdomain)) {
        /// Network interface.
        interface: String = port.interface.to_string(),
        /// Followed PTP subdomain.
        subdomain: String = subdomain.to_string(),
        /// Port state by IEEE 1588-2002, 7.3.
        state: Word<State> = Word(port.state()),
        /// Source of the timestamps.
        timestamping: Word<TimestampSource> = Word(TimestampSource::from_number(port.timestamp_source)),
        /// UUID of this port in its packets; null while it has no sockets.
        uuid: Option<String> = port.identity().map(|identity| identity.uuid.to_string()),
        /// Permitted foreign leaders of the subdomain, up to eight, including the followed one.
        leaders: Vec<ForeignLeader> =
            port.foreign_leaders().iter().map(|foreign| ForeignLeader::of(foreign, subdomain, now)).collect(),
        /// Counters since the start.
        #[serde(serialize_with = "by_name")]
        #[cfg_attr(test, schemars(schema_with = "super::tests::counters"))]
        counters: Counters = port.counters(),
    }

    /// A foreign leader, followed or not.
    ForeignLeader of (foreign: &ForeignLeaderRecord, subdomain: Subdomain, now: Timestamp<Raw>) {
        #[serde(flatten)]
        leader: Leader = Leader::of(&foreign.leader, subdomain),
        /// It has sent two Syncs in a row, and may be followed.
        qualified: bool = foreign.qualified != 0,
        /// What it sends that cannot be measured, while another leader is measured, so that it is passed over; null if there is nothing.
        /// Text for users.
        defect: Option<String> = foreign.defect().map(|defect| defect.to_string()),
        /// Time since its last Sync, s.
        last_sync_age_s: f64 = (now - Timestamp::from_ns(foreign.last_sync_raw_ns)).secs_f64(),
    }

    /// One measured Sync.
    Sample of (record: &SampleRecord, now: Timestamp<Raw>) {
        number: u64 = record.number,
        timeline: u64 = record.timeline,
        port: u32 = record.port,
        age_s: f64 = (now - Timestamp::from_ns(record.arrived_raw_ns)).secs_f64(),
        arrived_raw_ns: i64 = record.arrived_raw_ns,
        arrived_real_ns: i64 = record.arrived_real_ns,
        origin_ns: i64 = record.origin_ns,
        residual_ns: i64 = record.residual_ns,
        accepted: bool = record.accepted != 0,
    }
}

fn by_name<S: Serializer>(counters: &Counters, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counters.by_name())
}
