//! The data sets. Values of PTPv1 are mapped by IEEE 1588-2008, 18.3.

use crate::pages::{Pages, fresh_body};
use dante_core::named;
use dante_core::page::{Dante4lStatus, LeaderRecord, PortRecord};
use dante_core::port::TimestampSource;
use dante_core::port::{Counter, State};
use dante_core::wire::{PortIdentity, Subdomain, Uuid};
use std::fmt::{self, Write};

named! {
    /// Data sets of a GET command.
    pub enum DataSet {
        Default "DEFAULT_DATA_SET",
        Current "CURRENT_DATA_SET",
        Parent "PARENT_DATA_SET",
        Port "PORT_DATA_SET",
        TimeStatus "TIME_STATUS_NP",
        PortProperties "PORT_PROPERTIES_NP",
        PortStats "PORT_STATS_NP",
    }
}

impl DataSet {
    /// Whether each port has its own.
    const fn is_of_a_port(self) -> bool {
        matches!(self, Self::Port | Self::PortProperties | Self::PortStats)
    }
}

/// Formats the answers one below the other, as pmc prints them.
pub fn answers(sets: &[DataSet], pages: &Pages) -> String {
    let mut out = String::new();
    for set in sets {
        // Writing to a String cannot fail.
        _ = writeln!(out, "sending: GET {}", set.name());
        if let Some(body) = fresh_body(&pages.dante4l) {
            _ = answer(&mut out, *set, body);
        }
    }
    out
}

fn answer(out: &mut String, set: DataSet, body: &Dante4lStatus) -> fmt::Result {
    let clock = clock_identity(body);
    if !set.is_of_a_port() {
        head(out, set, clock, 0)?;
        return of_the_clock(out, set, clock, body);
    }
    body.ports().iter().zip(1_u16..).try_for_each(|(port, number)| {
        head(out, set, clock, number)?;
        of_a_port(out, set, clock, number, port)
    })
}

fn head(out: &mut String, set: DataSet, clock: ClockIdentity, port: u16) -> fmt::Result {
    writeln!(out, "\t{clock}-{port} seq 0 RESPONSE MANAGEMENT {} ", set.name())
}

/// Returns the identity of the first port, which ptp4l too uses as that of the clock.
fn clock_identity(body: &Dante4lStatus) -> ClockIdentity {
    let first = body.ports().iter().find_map(PortRecord::identity);
    ClockIdentity(first.map_or(Uuid([0; 6]), |identity| identity.uuid))
}

/// Writes one field per line, names padded to `$width`.
macro_rules! fields {
    ($out:ident, $width:literal: $($name:literal => $value:expr,)+) => {{
        $(writeln!($out, "\t\t{:<1$} {2}", $name, $width, $value)?;)+
        Ok(())
    }};
}

/// clockAccuracy and offsetScaledLogVariance of a slave-only clock: unknown.
const UNKNOWN_ACCURACY: u8 = 0xfe;
const UNKNOWN_VARIANCE: u16 = 0xffff;
/// clockClass of a slave-only clock (IEEE 1588-2008, 7.6.2.4).
const SLAVE_ONLY: u8 = 255;

fn of_the_clock(out: &mut String, set: DataSet, clock: ClockIdentity, body: &Dante4lStatus) -> fmt::Result {
    let port = body.selected();
    let leader = port.and_then(PortRecord::leader);
    match set {
        // In ns with a decimal, as pmc prints a TimeInterval.
        DataSet::Current => {
            let sample = port.and_then(PortRecord::last_sample);
            let delay = port.and_then(PortRecord::path_delay).unwrap_or_default();
            fields! { out, 16:
                "stepsRemoved" => leader.map_or(0, |leader| u32::from(leader.steps_removed) + 1),
                "offsetFromMaster" => format_args!("{}.0", sample.map_or(0, |sample| sample.residual.ns())),
                "meanPathDelay" => format_args!("{}.0", delay.ns()),
            }
        }
        DataSet::Parent => parent(out, clock, leader),
        DataSet::TimeStatus => time_status(out, port, leader),
        _ => fields! { out, 23:
            "twoStepFlag" => 1,
            "slaveOnly" => 1,
            "numberPorts" => body.ports().len(),
            "priority1" => priority(false),
            "clockClass" => SLAVE_ONLY,
            "clockAccuracy" => format_args!("{UNKNOWN_ACCURACY:#04x}"),
            "offsetScaledLogVariance" => format_args!("{UNKNOWN_VARIANCE:#06x}"),
            "priority2" => priority(false),
            "clockIdentity" => clock,
            "domainNumber" => domain_number(Subdomain(port.map_or([0; 16], |port| port.subdomain))),
        },
    }
}

/// Writes PARENT_DATA_SET. Without a leader a clock is its own parent (IEEE 1588-2008, 8.2.3).
fn parent(out: &mut String, clock: ClockIdentity, leader: Option<&LeaderRecord>) -> fmt::Result {
    let identity = leader.map_or((clock, 0), |leader| identity_of(leader.identity()));
    let grandmaster = leader.map_or(clock, |leader| identity_of(leader.grandmaster()).0);
    let class = leader.map_or(SLAVE_ONLY, |leader| clock_class(leader.class));
    let accuracy = leader.map_or(UNKNOWN_ACCURACY, |leader| clock_accuracy(leader.identifier));
    let variance = leader.map_or(UNKNOWN_VARIANCE, |leader| offset_scaled_log_variance(leader.variance));
    fields! { out, 37:
        "parentPortIdentity" => format_args!("{}-{}", identity.0, identity.1),
        "parentStats" => 0,
        "observedParentOffsetScaledLogVariance" => "0xffff",
        "observedParentClockPhaseChangeRate" => "0x7fffffff",
        "grandmasterPriority1" => priority(leader.is_some_and(|leader| leader.preferred != 0)),
        "gm.ClockClass" => class,
        "gm.ClockAccuracy" => format_args!("{accuracy:#04x}"),
        "gm.OffsetScaledLogVariance" => format_args!("{variance:#06x}"),
        "grandmasterPriority2" => priority(leader.is_some_and(|leader| leader.boundary_clock != 0)),
        "grandmasterIdentity" => grandmaster,
    }
}

/// Writes TIME_STATUS_NP. gmTimeBaseIndicator counts discontinuities of the leader's time: it is dante4l's timeline.
fn time_status(out: &mut String, port: Option<&PortRecord>, leader: Option<&LeaderRecord>) -> fmt::Result {
    let sample = port.and_then(PortRecord::last_sample);
    // The field is a 32-bit integer in units of 2^-41.
    let rate = port
        .and_then(PortRecord::map)
        .map_or(0.0, |map| map.line.rate.fraction().clamp(-1.0 / 1024.0, 1.0 / 1024.0));
    let no_clock = ClockIdentity(Uuid([0; 6]));
    fields! { out, 26:
        "master_offset" => sample.map_or(0, |sample| sample.residual.ns()),
        "ingress_time" => sample.map_or(0, |sample| sample.arrived.real.ns()),
        "cumulativeScaledRateOffset" => format_args!("{rate:+.9}"),
        "scaledLastGmPhaseChange" => 0,
        "gmTimeBaseIndicator" => port.map_or(0, |port| port.timeline & 0xffff),
        "lastGmPhaseChange" => "0x0000'0000000000000000.0000",
        "gmPresent" => leader.is_some(),
        "gmIdentity" => leader.map_or(no_clock, |leader| identity_of(leader.grandmaster()).0),
    }
}

/// Receipt timeout in Sync intervals: in PTPv1 a Sync carries the content of PTPv2's Announce, and a leader without a Sync for ten
/// intervals is gone.
const RECEIPT_TIMEOUT: u8 = 10;
/// delayMechanism (IEEE 1588-2008, table 9): end to end, or disabled.
const E2E: u8 = 1;
const DISABLED: u8 = 0xfe;

fn of_a_port(
    out: &mut String,
    set: DataSet,
    clock: ClockIdentity,
    number: u16,
    port: &PortRecord,
) -> fmt::Result {
    let identity = format!("{clock}-{number}");
    let state = port.state().unwrap_or(State::Faulty).to_string();
    match set {
        DataSet::Port => {
            let interval = port.leader().map_or(0, |leader| log2_s(leader.sync_interval_ns));
            let mechanism = if port.path_delay().is_some() { E2E } else { DISABLED };
            fields! { out, 23:
                "portIdentity" => identity,
                "portState" => state,
                "logMinDelayReqInterval" => interval,
                "peerMeanPathDelay" => 0,
                "logAnnounceInterval" => interval,
                "announceReceiptTimeout" => RECEIPT_TIMEOUT,
                "logSyncInterval" => interval,
                "delayMechanism" => mechanism,
                "logMinPdelayReqInterval" => 0,
                "versionNumber" => 1,
            }
        }
        DataSet::PortProperties => {
            let timestamping = match TimestampSource::from_number(port.timestamp_source) {
                Some(TimestampSource::Hardware) => "HARDWARE",
                _ => "SOFTWARE",
            };
            fields! { out, 23:
                "portIdentity" => identity,
                "portState" => state,
                "timestamping" => timestamping,
                "interface" => port.interface,
            }
        }
        _ => stats(out, &identity, port),
    }
}

/// Writes PORT_STATS_NP: messages of the followed subdomain.
fn stats(out: &mut String, identity: &str, port: &PortRecord) -> fmt::Result {
    const NAMES: [(&str, Option<Counter>); 10] = [
        ("Sync", Some(Counter::Sync)),
        ("Delay_Req", Some(Counter::DelayReq)),
        ("Pdelay_Req", None),
        ("Pdelay_Resp", None),
        ("Follow_Up", Some(Counter::FollowUp)),
        ("Delay_Resp", Some(Counter::DelayResp)),
        ("Pdelay_Resp_Follow_Up", None),
        ("Announce", None),
        ("Signaling", None),
        ("Management", Some(Counter::Management)),
    ];
    let counters = port.counters();
    let mut field = |name: &str, value: &dyn fmt::Display| writeln!(out, "\t\t{name:<25} {value}");
    field("portIdentity", &identity)?;
    for (name, received) in NAMES {
        field(&format!("rx_{name}"), &received.map_or(0, |counter| counters.get(counter)))?;
    }
    for (name, received) in NAMES {
        let is_sent = received == Some(Counter::DelayReq);
        let count = if is_sent { counters.get(Counter::DelayReqSent) } else { 0 };
        field(&format!("tx_{name}"), &count)?;
    }
    Ok(())
}

fn identity_of(port: PortIdentity) -> (ClockIdentity, u16) {
    (ClockIdentity(port.uuid), port.port_id)
}

/// Returns the interval as the binary logarithm of seconds, rounded up.
pub fn log2_s(interval_ns: i64) -> i32 {
    const SECOND: i64 = 1_000_000_000;
    (-7..=7_i32)
        .find(|log2| if *log2 < 0 { SECOND >> -log2 } else { SECOND << log2 } >= interval_ns)
        .unwrap_or(7)
}

/// PTPv2 clockIdentity: an EUI-64 made of the UUID (7.5.2.2.2). Displayed as by linuxptp: `001dc1.fffe.a1723c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockIdentity(pub Uuid);

impl fmt::Display for ClockIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0.0;
        let middle = if self.0.0 == [0; 6] { "0000" } else { "fffe" };
        write!(f, "{a:02x}{b:02x}{c:02x}.{middle}.{d:02x}{e:02x}{g:02x}")
    }
}

/// Maps a grandmaster's stratum to clockClass (table 96). Dante's 0x99 and 0x79 are not in the table: 248, the default.
pub const fn clock_class(stratum: u8) -> u8 {
    match stratum {
        0 => 6,
        1 => 9,
        2 => 10,
        4 => 251,
        255 => 255,
        _ => 248,
    }
}

/// Maps Preferred Leader to priority1 (table 98), and being a boundary clock to priority2 (table 103).
pub const fn priority(is_set: bool) -> u8 {
    if is_set { 127 } else { 128 }
}

/// Maps a clock identifier to clockAccuracy (table 100).
pub const fn clock_accuracy(identifier: [u8; 4]) -> u8 {
    match &identifier {
        b"ATOM" | b"GPS\0" => 0x22,
        b"NTP\0" => 0x2f,
        b"HAND" => 0x30,
        b"INIT" => 0xfd,
        _ => 0xfe,
    }
}

/// Maps a PTPv1 variance, which lacks the offset of 0x8000 (7.6.3.3).
pub const fn offset_scaled_log_variance(variance: i16) -> u16 {
    variance.cast_unsigned().wrapping_add(0x8000)
}

/// Maps a subdomain to domainNumber: 0 to 3 for the four with a name and group of their own, 255 for any other.
pub fn domain_number(subdomain: Subdomain) -> u8 {
    let named = [Subdomain::DFLT, Subdomain::ALT1, Subdomain::ALT2, Subdomain::ALT3];
    named.iter().zip(0..).find(|(name, _)| **name == subdomain).map_or(255, |(_, number)| number)
}
