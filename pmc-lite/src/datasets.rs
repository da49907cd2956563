//! `pmc-lite 'GET CURRENT_DATA_SET'` and its like: dante4l's data sets as linuxptp's pmc prints those of ptp4l.
//!
//! They are those of PTPv2. What PTPv1 has in their place is mapped as IEEE 1588-2008, clause 18, does. Nothing is sent: dante4l's
//! page answers.

mod mapping;

use crate::args::{Args, What};
use crate::outcome::{Ended, Outcome};
use crate::pages::{Pages, said};
use crate::print;
use clap::{CommandFactory, Subcommand};
use dante_core::named;
use dante_core::page::{Dante4l, LeaderRecord, PortRecord, StampSource};
use dante_core::port::{Counter, State};
use dante_core::wire::{PortIdentity, Subdomain, Uuid};
use dante_os::daemon::{Exit, Failure};
use dante_os::page::Instance;
use mapping::{
    ClockIdentity, clock_accuracy, clock_class, domain_number, offset_scaled_log_variance, priority,
};
use std::fmt::{self, Write};

#[cfg(test)]
mod tests;

named! {
    /// What can be asked for.
    enum DataSet {
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
    /// Each port answers for itself.
    const fn is_of_a_port(self) -> bool {
        matches!(self, Self::Port | Self::PortProperties | Self::PortStats)
    }
}

/// What was typed is no question.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum CommandError {
    #[error("{0} would change something, which pmc-lite never does")]
    Changes(String),
    #[error("{typed:?}: did you mean `pmc-lite {meant}`?")]
    Meant { typed: String, meant: String },
    #[error("{0:?}: a command is GET and one of {names}", names = DataSet::ALL.map(DataSet::name).join(", "))]
    Unknown(String),
}

/// Answers each of `commands`. The answer is yes where dante4l runs.
///
/// # Errors
/// Exit status 2 where a command is none.
pub fn ask(commands: &[String], instance: Option<&Instance>) -> Ended {
    let parsed: Result<Vec<DataSet>, CommandError> =
        joined(commands).iter().map(|command| parse(command)).collect();
    let sets = parsed.map_err(|error| Failure::new(Exit::Usage, error))?;
    let pages = Pages::read(instance);
    print(&answers(&sets, &pages));
    Ok(match pages.silence(": nobody answers") {
        None => Outcome::Yes,
        reason => Outcome::No(reason),
    })
}

/// The shell may have split `GET X` in two words.
fn joined(words: &[String]) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for word in words {
        match commands.last_mut() {
            Some(last) if !last.contains(' ') => *last = format!("{last} {word}"),
            _ => commands.push(word.trim().to_owned()),
        }
    }
    commands
}

fn parse(command: &str) -> Result<DataSet, CommandError> {
    let mut words = command.split_whitespace();
    let (verb, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if ["SET", "CMD", "COMMAND"].iter().any(|changing| verb.eq_ignore_ascii_case(changing)) {
        return Err(CommandError::Changes(command.into()));
    }
    let is_get = verb.eq_ignore_ascii_case("GET");
    if is_get
        && words.next().is_none()
        && let Some(set) = DataSet::ALL.into_iter().find(|set| set.name().eq_ignore_ascii_case(name))
    {
        return Ok(set);
    }
    Err(match meant(if is_get { name } else { verb }) {
        Some(meant) => CommandError::Meant { typed: command.into(), meant },
        None => CommandError::Unknown(command.into()),
    })
}

/// The command that looks like this word.
fn meant(word: &str) -> Option<String> {
    let word = word.to_lowercase();
    let likeness = |name: &str| strsim::jaro(&word, name);
    let parts = What::augment_subcommands(clap::Command::new("get"));
    let parts =
        parts.get_subcommands().map(|part| (likeness(part.get_name()), format!("get {}", part.get_name())));
    let all = Args::command();
    let all = all.get_subcommands().map(|one| (likeness(one.get_name()), one.get_name().to_owned()));
    let (likeness, name) = parts.chain(all).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (likeness > 0.85).then_some(name)
}

fn answers(sets: &[DataSet], pages: &Pages) -> String {
    let mut out = String::new();
    for set in sets {
        // Writing to a String cannot fail.
        _ = writeln!(out, "sending: GET {}", set.name());
        if let Some(body) = said(&pages.dante4l) {
            _ = answer(&mut out, *set, body);
        }
    }
    out
}

fn answer(out: &mut String, set: DataSet, body: &Dante4l) -> fmt::Result {
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

/// One clock with the identity of its first port, as ptp4l has it.
fn clock_identity(body: &Dante4l) -> ClockIdentity {
    let first = body.ports().iter().find_map(PortRecord::identity);
    ClockIdentity(first.map_or(Uuid([0; 6]), |identity| identity.uuid))
}

/// The fields, one below the other, their names padded to the longest.
macro_rules! fields {
    ($out:ident, $width:literal: $($name:literal => $value:expr,)+) => {{
        $(writeln!($out, "\t\t{:<1$} {2}", $name, $width, $value)?;)+
        Ok(())
    }};
}

/// clockAccuracy and variance of a clock that never leads: unknown.
const UNKNOWN_ACCURACY: u8 = 0xfe;
const UNKNOWN_VARIANCE: u16 = 0xffff;
/// clockClass of a clock that never leads (IEEE 1588-2008, 7.6.2.4).
const SLAVE_ONLY: u8 = 255;

fn of_the_clock(out: &mut String, set: DataSet, clock: ClockIdentity, body: &Dante4l) -> fmt::Result {
    let port = body.selected();
    let leader = port.and_then(PortRecord::leader);
    match set {
        // Whole ns, as pmc prints a TimeInterval.
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

/// Without a leader a clock is its own parent (IEEE 1588-2008, 8.2.3).
fn parent(out: &mut String, clock: ClockIdentity, leader: Option<&LeaderRecord>) -> fmt::Result {
    let identity = leader.map_or((clock, 0), |leader| identity_of(leader.identity()));
    let grandmaster = leader.map_or(clock, |leader| identity_of(leader.grandmaster()).0);
    let class = leader.map_or(SLAVE_ONLY, |leader| clock_class(leader.stratum));
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

/// gmTimeBaseIndicator counts the discontinuities of the leader's time, which is what dante4l's timeline does.
fn time_status(out: &mut String, port: Option<&PortRecord>, leader: Option<&LeaderRecord>) -> fmt::Result {
    let sample = port.and_then(PortRecord::last_sample);
    let rate = port.and_then(PortRecord::map).map_or(0.0, |map| map.line.rate.fraction());
    let nobody = ClockIdentity(Uuid([0; 6]));
    fields! { out, 26:
        "master_offset" => sample.map_or(0, |sample| sample.residual.ns()),
        "ingress_time" => sample.map_or(0, |sample| sample.arrived.real.ns()),
        "cumulativeScaledRateOffset" => format_args!("{rate:+.9}"),
        "scaledLastGmPhaseChange" => 0,
        "gmTimeBaseIndicator" => port.map_or(0, |port| port.timeline & 0xffff),
        "lastGmPhaseChange" => "0x0000'0000000000000000.0000",
        "gmPresent" => leader.is_some(),
        "gmIdentity" => leader.map_or(nobody, |leader| identity_of(leader.grandmaster()).0),
    }
}

/// A Sync carries what an Announce does in PTPv2, and is due for ten intervals.
const RECEIPT_TIMEOUT: u8 = 10;
/// delayMechanism (IEEE 1588-2008, table 9): the delay is measured end to end, or not.
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
            let stamps = match StampSource::from_number(port.stamp_source) {
                Some(StampSource::Hardware) => "HARDWARE",
                _ => "SOFTWARE",
            };
            fields! { out, 23:
                "portIdentity" => identity,
                "portState" => state,
                "timestamping" => stamps,
                "interface" => port.interface,
            }
        }
        _ => stats(out, &identity, port),
    }
}

/// The messages of the subdomain that is followed.
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

/// The interval as a power of two of a second.
fn log2_s(interval_ns: i64) -> i32 {
    const SECOND: i64 = 1_000_000_000;
    (-7..=7_i32)
        .find(|log2| if *log2 < 0 { SECOND >> -log2 } else { SECOND << log2 } >= interval_ns)
        .unwrap_or(7)
}
