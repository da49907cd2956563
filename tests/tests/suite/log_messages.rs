//! The section LOG MESSAGES of each man page explains every line that the program writes, and no other line.
//!
//! Lines are found in three ways. Every text of three words or more in the sources is compared with the entries, and so is every
//! text in a call that writes a line; texts that are not lines are listed here. And the events and errors that lines are made of are
//! listed here by a `match` without a wildcard, so that a new one breaks the build of this test until it is listed.

mod source;

use dante_core::explain::Explain;
use dante_core::page::Form;
use dante_core::port::{self, Channel, Defect, Diagnostic, Discontinuity, SyncInterval};
use dante_core::redundancy::NetworkChange;
use dante_core::relay::{EpochSource, Fixed, PauseReason};
use dante_core::steer::{self, Disturbance, Leftover};
use dante_core::time::{Duration, Epoch, Offset, Ratio, Raw, Real, Timestamp};
use dante_core::timescale::{EpochChange, Replaced};
use dante_core::track::Loss;
use dante_core::utc::servers::{NoMeasurement, Smear};
use dante_core::utc::{Refusal, SavedUtcUse, UtcEvent};
use dante_core::wire::{PortIdentity, Subdomain, Uuid};
use dante_os::clock::{ClockError, PhcError};
use dante_os::competing_daemons::CompetingDaemon;
use dante_os::net::{CardError, Filter, NetError};
use dante_os::ntpshm::ShmError;
use dante_os::page::{Fault, Obstacle, ReadError, WriteError};
use dante_os::poll::PollError;
use dante_os::process::ProcessError;
use dante_os::rtc::RtcError;
use dante_os::socket::SocketError;
use dante_os::statefile::StateError;
use dante_os::usrvclock::ServeError;
use dante_tests::package::sources;
use dante_tests::stage::DAEMONS;
use nix::errno::Errno;
use source::{code_of, enclosed, texts_of, without_other_texts};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

/// The sources, and the pages with the lines that they write. A line of a library is explained in one of the pages at least.
const SOURCES: [(&str, &[&str]); 5] = [
    ("dante4l/src", &["dante4l"]),
    ("dante2sys/src", &["dante2sys"]),
    ("danteshm/src", &["danteshm"]),
    ("lib/os/src", &DAEMONS),
    ("lib/core/src", &DAEMONS),
];

/// Files whose texts are not log lines.
const FILES_WITHOUT_LINES: [&str; 21] = [
    // Errors in flags and configuration: exit status 2.
    "dante4l/src/args.rs",
    "dante2sys/src/args.rs",
    "danteshm/src/args.rs",
    "lib/os/src/daemon/config.rs",
    "lib/os/src/daemon/config/words.rs",
    "lib/os/src/quantity.rs",
    "lib/os/src/page.rs",
    "lib/core/src/port/rules.rs",
    "lib/core/src/wire/identity.rs",
    // The status line for the service manager.
    "dante4l/src/observer/status.rs",
    "dante2sys/src/discipline/status.rs",
    // Errors that are counted, or turned into another one.
    "lib/core/src/lib.rs",
    "lib/core/src/wire.rs",
    "lib/core/src/wire/management.rs",
    "lib/core/src/page/seqlock.rs",
    "lib/core/src/time/bridge.rs",
    // Helpers of tests.
    "lib/os/src/exhausted.rs",
    "lib/os/src/namespaces.rs",
    "lib/os/src/sandbox.rs",
    "lib/os/src/scratch.rs",
    // Only pmc-lite uses it.
    "lib/os/src/tap.rs",
];

/// Files whose texts stand in a line for which the page has this entry.
const PARTS_IN_FILES: [(&str, &str); 20] = [
    (
        "lib/core/src/candidates.rs",
        "interface auto: *IFACE* receives leader *LEADER*, which is another clock and differs by *DIFFERENCE*: this interface is not used",
    ),
    (
        "lib/core/src/port/measurability.rs",
        "leader *IDENTITY* at *ADDRESS* sends *DEFECT*: it is passed over, and the next best leader is followed",
    ),
    ("lib/os/src/chronysock.rs", "SOCK *PATH*: *REASON*"),
    ("lib/core/src/utc/server_clock.rs", "NTP server *NAME*: *WHAT*"),
    ("lib/os/src/ntp/exchange.rs", "NTP server *NAME*: *WHAT*"),
    ("lib/os/src/ntp/server.rs", "NTP server *NAME*: *WHAT*"),
    ("lib/os/src/ntp.rs", "NTP server *NAME*: *WHAT*"),
    ("lib/os/src/statefile.rs", "*WHY*: state for the next start not saved; retrying every minute"),
    ("lib/os/src/statefile/place.rs", "*WHY*: state for the next start not saved; retrying every minute"),
    ("lib/os/src/statefile/saver.rs", "*WHY*: state for the next start not saved; retrying every minute"),
    ("lib/os/src/usrvclock.rs", "usrvclock *PATH*: *REASON*"),
    ("lib/os/src/usrvclock/bound.rs", "usrvclock *PATH*: *REASON*"),
    ("lib/os/src/usrvclock/clients.rs", "usrvclock *PATH*: *REASON*"),
    ("lib/os/src/clock/realtime.rs", "setting the frequency of CLOCK_REALTIME: *WHY*"),
    ("lib/os/src/clock/phc.rs", "setting the frequency of the PTP hardware clock: *WHY*"),
    ("lib/os/src/clock/phc/reading.rs", "setting the frequency of the PTP hardware clock: *WHY*"),
    ("lib/os/src/ntpshm/segment.rs", "*ACTION* NTP SHM unit *N*: *WHY*"),
    ("lib/os/src/page/writer.rs", "cannot *ACTION* *PAGE*: *WHY*"),
    ("lib/os/src/socket/error.rs", "cannot set up a PTP socket on *IFACE* (*CALL*): *WHY*"),
    ("lib/os/src/socket/options.rs", "cannot set up a PTP socket on *IFACE* (*CALL*): *WHY*"),
];

/// Texts that stand in a line for which the page has this entry.
const PARTS: [(&str, &str); 7] = [
    (
        "the card accepted the filter but does not timestamp PTPv1 (as the igb emulated by QEMU)",
        "port *IFACE*: *N* Syncs without a hardware timestamp: *REASON*; using software timestamps from now on",
    ),
    (
        "another program changed the card's filter",
        "port *IFACE*: *N* Syncs without a hardware timestamp: *REASON*; using software timestamps from now on",
    ),
    (
        "by a leap second",
        "clock was stepped by *S* s *HOW*: not reverted, epoch offset (K, UTC minus Dante time) adjusted",
    ),
    ("clock page of dante4l", "*SUBJECT*: *N* more lines within a minute were suppressed"),
    ("clock page version", "*PAGE* has *KIND* *N*, this program reads *M*"),
    (
        "the synchronised system clock",
        "epoch offset (K) *K* ns set from *SOURCE*; reference minus system clock *S* s",
    ),
    (
        "the system clock (not known to be synchronised)",
        "epoch offset (K) *K* ns set from *SOURCE*; reference minus system clock *S* s",
    ),
];

/// Texts that no daemon writes to its log.
const NOT_WRITTEN: [&str; 11] = [
    // The status line for the service manager.
    "dante4l has no port yet",
    "dante4l has no leader yet (it is {port})",
    // dante2sys logs the failure of each server instead.
    "no NTP server replied with a time",
    // --check-config and --help.
    "{}: the flags are valid",
    "Exit status: 0 ended on request, 1 failed, 2 wrong flags or configuration, 3 refused \
     (already running, port in use, page of another user), 4 missing permission, 5 no such interface.",
    // Only of a program that reads a segment: shm-reader.
    "NTP SHM unit {unit} does not exist: no program has created it yet (or PrivateIPC= hides it)",
    // These calls fail on no working system.
    "cannot wait for {0} descriptors: the maximum is {MAX_FDS}",
    "blocking SIGTERM, SIGINT and SIGHUP",
    "opening a descriptor for signals",
    // What to do.
    "CAP_SYS_NICE; in a service unit, set the priority with CPUSchedulingPolicy=",
    "CAP_IPC_LOCK, or LimitMEMLOCK=infinity in the service unit",
];

/// Error types whose texts are listed below, or found as texts of the sources only: their cases cannot be made here.
const ERRORS: [&str; 17] = [
    "CardError",
    "ClockError",
    "NetError",
    "PhcError",
    "PollError",
    "ProcessError",
    "ReadError",
    "RtcError",
    "ServeError",
    "ShmError",
    "SocketError",
    "StateError",
    "WriteError",
    // One of NetError, CardError and SocketError.
    "LinkError",
    // Errors in flags and configuration: exit status 2.
    "ConfigError",
    // Fields that are private, or types of another crate.
    "SeccompError",
    "SockError",
];

/// Calls that write a line, or make the error with which a program ends.
const CALLS: [&str; 10] = [
    "log::info!(",
    "log::warn!(",
    "log::error!(",
    "format_args!(",
    ".info(",
    ".warn(",
    ".warn_as(",
    "anyhow!(",
    "Error::msg(",
    "std::io::stderr(),",
];

/// The entries of the section LOG MESSAGES; what varies stands in italics, as `*NAME*`.
fn entries_of(page: &str) -> Vec<String> {
    let path = sources().join("files/man").join(format!("{page}.8.md"));
    let text = fs::read_to_string(path).expect(page);
    let (_, rest) = text.split_once("# LOG MESSAGES\n").expect("the section");
    let section = rest.split("\n# ").next().expect("its text").replace('`', "");
    let lines: Vec<&str> = section.lines().collect();
    lines.windows(2).filter(|pair| pair[1].starts_with(": ")).map(|pair| pair[0].to_owned()).collect()
}

/// What dante4l writes before the lines of a port.
const PORT: &str = "port *IFACE*: ";

/// Whether an entry stands for this line: `*NAME*` for any text.
fn matches(entry: &str, line: &str) -> bool {
    let fixed: Vec<&str> = entry.split('*').step_by(2).collect();
    if !fixed.concat().contains(|c: char| c.is_alphabetic()) {
        return false;
    }
    let [first, rest @ ..] = fixed.as_slice() else { return false };
    let Some(mut line) = line.strip_prefix(first) else { return false };
    let [middle @ .., last] = rest else { return line.is_empty() };
    for part in middle {
        let Some(at) = line.find(part) else { return false };
        line = &line[at + part.len()..];
    }
    line.ends_with(last)
}

/// Whether a page explains this line, with or without the name of the port before it.
fn is_explained(page: &str, line: &str) -> bool {
    entries_of(page).iter().any(|entry| {
        matches(entry, line) || entry.strip_prefix(PORT).is_some_and(|entry| matches(entry, line))
    })
}

#[track_caller]
fn assert_explained(page: &str, line: &str) {
    assert!(is_explained(page, line), "{page}.8.md does not explain: {line}");
}

/// A text of the sources with `X` for what varies (`{name:+}`).
fn sample_of(text: &str) -> String {
    let mut parts = text.split('{');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |line, part| line + "X" + part.split_once('}').map_or(part, |(_, rest)| rest))
}

/// The parts of a text that do not vary.
fn fixed_parts(text: &str) -> Vec<&str> {
    let parts = text.split('{').enumerate().map(|(place, part)| match place {
        0 => part,
        _ => part.split_once('}').map_or(part, |(_, rest)| rest),
    });
    parts.map(str::trim).filter(|part| part.contains(char::is_alphabetic)).collect()
}

/// Whether an entry is the line that a text of the sources makes, or has it as a part. An entry with only one word that does not vary
/// (`cannot *ACTION* *PAGE*: *WHY*`) would stand for too many texts.
fn has_text(entry: &str, text: &str) -> bool {
    // On the standard error, the name of the program stands before it.
    let text = text.strip_prefix("{program}: ").unwrap_or(text);
    let line = sample_of(text);
    let words: String = entry.split('*').step_by(2).collect();
    let is_specific = words.split_whitespace().filter(|word| word.contains(char::is_alphabetic)).count() > 1;
    let is_line =
        matches(entry, &line) || entry.strip_prefix(PORT).is_some_and(|entry| matches(entry, &line));
    is_specific && is_line || have_in_order(entry, &fixed_parts(text))
}

fn is_worded(text: &str) -> bool {
    let words = fixed_parts(text).join(" ");
    words.split_whitespace().filter(|word| word.contains(char::is_alphabetic)).count() >= 3
}

#[test]
fn every_text_in_the_sources_is_explained() {
    let mut used: Vec<&str> = Vec::new();
    let mut count = 0;
    for (folder, pages) in SOURCES {
        let entries: Vec<String> = pages.iter().flat_map(|page| entries_of(page)).collect();
        for (file, code) in code_of(folder) {
            let mut texts = texts_of(&without_other_texts(&code));
            texts.retain(|text| is_worded(text));
            texts.extend(texts_of_calls(&code));
            if let Some(known) = FILES_WITHOUT_LINES.iter().find(|known| **known == file) {
                used.push(known);
                continue;
            }
            for text in texts.into_iter().filter(|text| !fixed_parts(text).is_empty()) {
                let not_written = NOT_WRITTEN.iter().find(|known| **known == text);
                let part = PARTS.iter().find(|(part, _)| *part == text);
                let in_file = PARTS_IN_FILES.iter().find(|(name, _)| *name == file);
                let as_part = |(key, entry): &(&'static str, &'static str)| {
                    assert!(
                        entries.iter().any(|of| of == &entry.replace('`', "")),
                        "{pages:?}: no entry {entry}"
                    );
                    *key
                };
                if entries.iter().any(|entry| has_text(entry, &text)) {
                    count += 1;
                } else if let Some(key) = not_written.copied().or(part.map(as_part)).or(in_file.map(as_part))
                {
                    used.push(key);
                } else {
                    panic!("{file}: {pages:?} explain no line with the text {text:?}");
                }
            }
        }
    }
    assert!(count > 150, "{count} texts");
    let known = FILES_WITHOUT_LINES.iter().chain(&NOT_WRITTEN);
    let known = known.chain(PARTS.iter().chain(&PARTS_IN_FILES).map(|(key, _)| key));
    for key in known {
        assert!(used.contains(key), "{key:?} is not in the sources any more: remove it from this test");
    }
}

#[test]
fn every_entry_is_a_line_that_the_program_writes() {
    for page in DAEMONS {
        let folders = [&format!("{page}/src"), "lib/core/src", "lib/os/src"];
        let code: Vec<String> =
            folders.iter().flat_map(|folder| code_of(folder)).map(|(_, code)| code).collect();
        let texts = texts_of(&code.concat());
        let is_written = |fixed: &[&str]| {
            texts.iter().any(|text| have_in_order(text, fixed)) || is_put_together(&texts, fixed)
        };
        assert!(page != "dante4l" || is_written(&["port ", ": {what}"]), "the prefix of a port's lines");
        let entries = entries_of(page);
        for entry in &entries {
            let entry = entry.strip_prefix(PORT).unwrap_or(entry);
            let parts = entry.split('*').step_by(2).map(|part| part.trim_end_matches(": "));
            let fixed: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
            assert!(is_written(&fixed), "{page}: no text of the program has {fixed:?} of {entry:?}");
        }
        assert!(entries.len() > 20, "{page}: {} entries", entries.len());
    }
}

/// Whether these are parts of two texts, the second of which begins with the first text as a value: `{what}; waiting for it`.
fn is_put_together(texts: &[String], parts: &[&str]) -> bool {
    (1..parts.len()).any(|joint| {
        let (first, second) = parts.split_at(joint);
        let follows = |text: &String| {
            let rest = text.strip_prefix('{').and_then(|text| Some(text.split_once('}')?.1));
            rest.is_some_and(|text| {
                text.starts_with(second[0].trim_start()) && have_in_order(text, &second[1..])
            })
        };
        texts.iter().any(|text| have_in_order(text, first)) && texts.iter().any(follows)
    })
}

/// Whether the text has all of these, in this order.
fn have_in_order(text: &str, parts: &[&str]) -> bool {
    let mut rest = text;
    parts.iter().all(|part| rest.find(part).map(|at| rest = &rest[at + part.len()..]).is_some())
}

/// The texts that are given to a call that writes a line, of any number of words.
fn texts_of_calls(code: &str) -> Vec<String> {
    let code = without_other_texts(code);
    let arguments = CALLS.iter().flat_map(|call| code.split(call).skip(1));
    arguments.flat_map(|rest| texts_of(&rest[..enclosed(rest, 1) - 1])).collect()
}

/// Each error type of the suite is listed in this test, so that its texts are checked.
#[test]
fn every_error_type_is_listed() {
    let mut found = Vec::new();
    for (folder, _) in SOURCES.iter().filter(|(folder, _)| *folder != "lib/core/src") {
        for (_, code) in code_of(folder) {
            for rest in code.split("thiserror::Error").skip(1) {
                let declared =
                    ["pub enum ", "pub struct "].map(|kind| rest.find(kind).map(|at| at + kind.len()));
                let at = declared.into_iter().flatten().min().expect("a type with this derive");
                found.push(rest[at..].chars().take_while(|c| c.is_alphanumeric()).collect::<String>());
            }
        }
    }
    found.sort_unstable();
    let mut listed = ERRORS.map(String::from).to_vec();
    listed.sort_unstable();
    assert_eq!(found, listed);
}

/// Makes a function that returns a value for each case of a type. A new case breaks the build.
macro_rules! every_case {
    ($name:ident -> $type:ty { $($pattern:pat => $value:expr,)+ }) => {
        fn $name() -> Vec<$type> {
            let is_listed = |case: &$type| match case { $($pattern => true,)+ };
            let mut all = Vec::new();
            $(
                let case: $type = $value;
                assert!(is_listed(&case) && matches!(&case, $pattern), "not {}", stringify!($pattern));
                all.push(case);
            )+
            all
        }
    };
}

const SECOND: Duration = Duration::from_secs(1);
const OTHER: Errno = Errno::EIO;

fn path() -> PathBuf {
    "/dev/other".into()
}

fn name() -> String {
    "eth0".into()
}

fn cause() -> io::Error {
    OTHER.into()
}

fn leader() -> PortIdentity {
    PortIdentity { technology: 1, uuid: Uuid([0, 0x1d, 0xc1, 0, 0, 1]), port_id: 1 }
}

fn address() -> Ipv4Addr {
    Ipv4Addr::new(169, 254, 1, 1)
}

fn offset() -> Offset {
    Offset::between(Timestamp::<Real>::from_ns(1), Timestamp::<Raw>::from_ns(0))
}

every_case!(faults -> Fault {
    Fault::Absent => Fault::Absent,
    Fault::Reserved => Fault::Reserved,
    Fault::BeingMade => Fault::BeingMade,
    Fault::Unreadable(_) => Fault::Unreadable(Errno::EACCES),
    Fault::Owner(_) => Fault::Owner(1000),
    Fault::Writable(_) => Fault::Writable(0o666),
    Fault::NoFile => Fault::NoFile,
    Fault::Garbage => Fault::Garbage,
    Fault::Kind(_) => Fault::Kind(7),
    Fault::Version { form: Form::Clock, .. } => Fault::Version { form: Form::Clock, found: 2, wanted: 1 },
    Fault::Version { form: Form::Status, .. } => Fault::Version { form: Form::Status, found: 2, wanted: 1 },
    Fault::Size { .. } => Fault::Size { found: 8, wanted: 4096 },
    Fault::Torn => Fault::Torn,
});

every_case!(obstacles -> Obstacle {
    Obstacle::NoFile => Obstacle::NoFile,
    Obstacle::Owner { .. } => Obstacle::Owner { owner: 1000, us: 0 },
    Obstacle::Writable(_) => Obstacle::Writable(0o666),
    Obstacle::Replaced => Obstacle::Replaced,
});

every_case!(write_errors -> WriteError {
    WriteError::Running { .. } => WriteError::Running { program: "dante4l", pid: 812 },
    WriteError::InTheWay { .. } => WriteError::InTheWay { path: path(), obstacle: Obstacle::NoFile },
    WriteError::Os { .. } => WriteError::Os { action: "open", path: path(), cause: cause() },
});

every_case!(diagnostics -> Diagnostic {
    Diagnostic::OnlyPtpV2 => Diagnostic::OnlyPtpV2,
    Diagnostic::OtherSubdomain(_) => Diagnostic::OtherSubdomain(Subdomain::DFLT),
    Diagnostic::NoFollowUp => Diagnostic::NoFollowUp,
    Diagnostic::NoSync => Diagnostic::NoSync,
    Diagnostic::NoTimestamps => Diagnostic::NoTimestamps,
    Diagnostic::ClockDisturbed => Diagnostic::ClockDisturbed,
    Diagnostic::OnlyOwn => Diagnostic::OnlyOwn,
    Diagnostic::WrongLength => Diagnostic::WrongLength,
    Diagnostic::UnknownVersion(_) => Diagnostic::UnknownVersion(3),
    Diagnostic::NotPermitted(..) => Diagnostic::NotPermitted(leader(), address()),
    Diagnostic::NoTransmitTimestamps => Diagnostic::NoTransmitTimestamps,
    Diagnostic::NoDelayResp => Diagnostic::NoDelayResp,
    Diagnostic::Dropped => Diagnostic::Dropped,
    Diagnostic::SecondAddress(..) => Diagnostic::SecondAddress(leader(), address()),
    Diagnostic::Contradicting(_) => Diagnostic::Contradicting(leader()),
    Diagnostic::TooManyLeaders => Diagnostic::TooManyLeaders,
    Diagnostic::Scattering(_) => Diagnostic::Scattering(58),
    Diagnostic::PathDrift(_) => Diagnostic::PathDrift(40),
    Diagnostic::PassedOver(..) => Diagnostic::PassedOver(leader(), address(), Defect::NoFollowUp),
    Diagnostic::Interval(..) => Diagnostic::Interval(leader(), address(), SyncInterval::from_log2(-2), SyncInterval::from_log2(1)),
    Diagnostic::OwnHost(..) => Diagnostic::OwnHost(leader(), address()),
    Diagnostic::Unicast(..) => Diagnostic::Unicast(leader(), address()),
    Diagnostic::OneNetwork(..) => Diagnostic::OneNetwork(leader(), address()),
});

every_case!(port_reasons -> port::Reason {
    port::Reason::Opened => port::Reason::Opened,
    port::Reason::Failed => port::Reason::Failed,
    port::Reason::ForeignLeader(_) => port::Reason::ForeignLeader(leader()),
    port::Reason::Converged => port::Reason::Converged,
    port::Reason::Jumped => port::Reason::Jumped,
    port::Reason::Returned(_) => port::Reason::Returned(SECOND),
    port::Reason::Unmeasured(_) => port::Reason::Unmeasured(SECOND),
    port::Reason::Refitted => port::Reason::Refitted,
    port::Reason::Scattered(_) => port::Reason::Scattered(SECOND),
    port::Reason::Silence(_) => port::Reason::Silence(SECOND),
});

every_case!(discontinuities -> Discontinuity {
    Discontinuity::First(_) => Discontinuity::First(leader()),
    Discontinuity::AnotherLeader(_) => Discontinuity::AnotherLeader(leader()),
    Discontinuity::Reboot(_) => Discontinuity::Reboot(SECOND),
    Discontinuity::Jump(_) => Discontinuity::Jump(SECOND),
    Discontinuity::Absence(_) => Discontinuity::Absence(SECOND),
});

every_case!(network_changes -> NetworkChange {
    NetworkChange::Selected { moved: None, .. } => {
        NetworkChange::Selected { to: 1, moved: None, continues: false }
    },
    NetworkChange::Selected { moved: Some(_), continues: true, .. } => {
        NetworkChange::Selected { to: 1, moved: Some(SECOND), continues: true }
    },
    NetworkChange::Selected { moved: Some(_), continues: false, .. } => {
        NetworkChange::Selected { to: 1, moved: Some(SECOND), continues: false }
    },
    NetworkChange::TwoClocks(_) => NetworkChange::TwoClocks(SECOND),
    NetworkChange::OneClock => NetworkChange::OneClock,
});

every_case!(net_errors -> NetError {
    NetError::NotFound { .. } => NetError::NotFound { name: name(), present: vec!["lo".into()] },
    NetError::Port { .. } => NetError::Port { name: name(), kind: "bridge".into(), master: "br0".into() },
    NetError::Down { .. } => NetError::Down { name: name() },
    NetError::NoAddress { .. } => NetError::NoAddress { name: name() },
    NetError::Failed { .. } => NetError::Failed { name: name(), cause: OTHER },
});

every_case!(socket_errors -> SocketError {
    SocketError::PortInUse { .. } => SocketError::PortInUse { port: 319, channel: Channel::Event },
    SocketError::PortRefused { .. } => {
        SocketError::PortRefused { port: 319, channel: Channel::Event, interface: name() }
    },
    SocketError::Join { .. } => SocketError::Join { group: address(), interface: name(), cause: cause() },
    SocketError::NoTimestamps { .. } => SocketError::NoTimestamps { interface: name(), cause: cause() },
    SocketError::Setup { .. } => SocketError::Setup { tried: "SO_RCVBUF", interface: name(), cause: cause() },
    SocketError::Receive { .. } => SocketError::Receive { interface: name(), cause: OTHER },
    SocketError::Send { .. } => {
        SocketError::Send { to: SocketAddrV4::new(address(), 319), interface: name(), cause: cause() }
    },
});

every_case!(card_errors -> CardError {
    CardError::Unknown { .. } => CardError::Unknown { interface: name(), cause: OTHER },
    CardError::NoTimestamps { .. } => CardError::NoTimestamps { interface: name() },
    CardError::NoTransmitTimestamps { .. } => CardError::NoTransmitTimestamps { interface: name() },
    CardError::NoClock { .. } => CardError::NoClock { interface: name() },
    CardError::ClockRemoved { .. } => CardError::ClockRemoved { interface: name() },
    CardError::Clock { .. } => {
        CardError::Clock { interface: name(), cause: PhcError::NotReadable { path: path() } }
    },
    CardError::NotPermitted { .. } => CardError::NotPermitted { interface: name() },
    CardError::Taken { .. } => CardError::Taken { interface: name(), filter: Filter::V1_SYNC, cause: OTHER },
    CardError::Refused { .. } => {
        CardError::Refused { interface: name(), refusals: vec![(Filter::V1_SYNC, OTHER)] }
    },
});

every_case!(clock_errors -> ClockError {
    ClockError::Refused { .. } => ClockError::Refused { tried: "setting the frequency of CLOCK_REALTIME" },
    ClockError::Removed { .. } => ClockError::Removed { tried: "reading the frequency of the PTP hardware clock" },
    ClockError::Failed { .. } => {
        ClockError::Failed { tried: "setting the frequency of CLOCK_REALTIME", cause: OTHER }
    },
    ClockError::NotFinite => ClockError::NotFinite,
});

every_case!(phc_errors -> PhcError {
    PhcError::NotAClock { .. } => PhcError::NotAClock { path: path() },
    PhcError::NotPermitted { .. } => PhcError::NotPermitted { path: path() },
    PhcError::NotReadable { .. } => PhcError::NotReadable { path: path() },
    PhcError::Absent { .. } => PhcError::Absent { path: path() },
    PhcError::Failed { .. } => PhcError::Failed { tried: "open", path: path(), cause: cause() },
});

every_case!(process_errors -> ProcessError {
    ProcessError::Refused { .. } => ProcessError::Refused { tried: "locking memory", need: "CAP_IPC_LOCK" },
    ProcessError::Failed { .. } => ProcessError::Failed { tried: "locking memory", cause: OTHER },
});

every_case!(poll_errors -> PollError {
    // Not written: see NOT_WRITTEN.
    PollError::TooMany(_) => PollError::TooMany(99),
    PollError::Failed { .. } => PollError::Failed { tried: "waiting for packets", cause: OTHER },
});

every_case!(rtc_errors -> RtcError {
    RtcError::Absent { .. } => RtcError::Absent { path: path() },
    RtcError::Busy { .. } => RtcError::Busy { path: path() },
    RtcError::NotPermitted { .. } => RtcError::NotPermitted { tried: "set", path: path() },
    RtcError::NotAClock { .. } => RtcError::NotAClock { path: path() },
    RtcError::NoDate { .. } => RtcError::NoDate { path: path() },
    RtcError::Failed { .. } => RtcError::Failed { tried: "set", path: path(), cause: cause() },
});

every_case!(state_errors -> StateError {
    StateError::Read { .. } => StateError::Read { path: path(), cause: cause() },
    StateError::Write { .. } => StateError::Write { path: path(), cause: cause() },
    StateError::NotDurable { .. } => StateError::NotDurable { path: path(), cause: cause() },
    StateError::TooLong { .. } => StateError::TooLong { path: path() },
    StateError::NotText { .. } => StateError::NotText { path: path() },
});

every_case!(shm_errors -> ShmError {
    ShmError::NoSuchUnit { .. } => ShmError::NoSuchUnit { unit: 2 },
    ShmError::Refused { .. } => ShmError::Refused { unit: 2 },
    ShmError::WrongSize { .. } => ShmError::WrongSize { unit: 2 },
    // Not written: see NOT_WRITTEN.
    ShmError::Missing { .. } => ShmError::Missing { unit: 2 },
    ShmError::Foreign { .. } => ShmError::Foreign { unit: 2, owner: 1000 },
    ShmError::Failed { .. } => ShmError::Failed { tried: "creating", unit: 2, cause: OTHER },
});

every_case!(serve_errors -> ServeError {
    ServeError::InTheWay { .. } => ServeError::InTheWay { path: path(), what: "a file has this name".into() },
    ServeError::Taken { .. } => ServeError::Taken { path: path() },
    ServeError::NoDirectory { .. } => ServeError::NoDirectory { path: path() },
    ServeError::Denied { .. } => ServeError::Denied { path: path() },
    ServeError::Failed { .. } => ServeError::Failed { path: path(), tried: "cannot bind", cause: cause() },
});

every_case!(steer_reasons -> steer::Reason {
    steer::Reason::Leader => steer::Reason::Leader,
    steer::Reason::RateKnown => steer::Reason::RateKnown,
    // Each loss is listed below.
    steer::Reason::Lost(_) => steer::Reason::Lost(Loss::NoLeader),
    steer::Reason::Uncertain => steer::Reason::Uncertain,
    steer::Reason::OtherTimeline => steer::Reason::OtherTimeline,
    steer::Reason::Refused => steer::Reason::Refused,
    steer::Reason::Accepted => steer::Reason::Accepted,
    steer::Reason::Disturbed => steer::Reason::Disturbed,
    steer::Reason::Taken => steer::Reason::Taken,
});

every_case!(leftovers -> Leftover {
    Leftover::Tick(_) => Leftover::Tick(10_010),
    Leftover::SelfSteering(_) => Leftover::SelfSteering(1),
    Leftover::Slew(_) => Leftover::Slew(SECOND),
});

every_case!(disturbances -> Disturbance {
    Disturbance::Frequency { .. } => Disturbance::Frequency { left: Ratio::ZERO, found: Ratio::ZERO },
    Disturbance::Tick(_) => Disturbance::Tick(10_010),
    Disturbance::SelfSteering(_) => Disturbance::SelfSteering(1),
    Disturbance::Slew(_) => Disturbance::Slew(SECOND),
});

every_case!(utc_events -> UtcEvent {
    UtcEvent::Implausible(_) => UtcEvent::Implausible(Timestamp::from_ns(0)),
    UtcEvent::Outlier(_) => UtcEvent::Outlier(SECOND),
    UtcEvent::Restarted(_) => UtcEvent::Restarted(SECOND),
    UtcEvent::Initialised(_) => UtcEvent::Initialised(offset()),
    UtcEvent::Drifts(_) => UtcEvent::Drifts(Ratio::ZERO),
    UtcEvent::Holds => UtcEvent::Holds,
    UtcEvent::SetByHand => UtcEvent::SetByHand,
    UtcEvent::Resumed => UtcEvent::Resumed,
});

every_case!(refusals -> Refusal {
    Refusal::Kiss(_) => Refusal::Kiss(*b"DENY"),
    Refusal::NotSynchronised => Refusal::NotSynchronised,
    Refusal::NoTimestamps => Refusal::NoTimestamps,
    Refusal::RoundTrip { .. } => Refusal::RoundTrip { round_trip: SECOND, elapsed: SECOND },
    Refusal::Early => Refusal::Early,
    Refusal::ReferenceAhead(_) => Refusal::ReferenceAhead(SECOND),
    Refusal::ReferenceOld(_) => Refusal::ReferenceOld(SECOND),
    Refusal::Distance(_) => Refusal::Distance(SECOND),
});

every_case!(no_measurements -> NoMeasurement {
    // Not written: see NOT_WRITTEN.
    NoMeasurement::NoAnswer => NoMeasurement::NoAnswer,
    NoMeasurement::NoMajority(_) => NoMeasurement::NoMajority(2),
    NoMeasurement::Smear(..) => NoMeasurement::Smear(2, Smear { difference: SECOND }),
});

every_case!(pause_reasons -> PauseReason {
    PauseReason::Stepped(_) => PauseReason::Stepped(SECOND),
    PauseReason::Jump(_) => PauseReason::Jump(SECOND),
    PauseReason::Uncertain(_) => PauseReason::Uncertain(SECOND),
    PauseReason::Forgotten => PauseReason::Forgotten,
});

every_case!(replacements -> Replaced {
    Replaced::Timeline => Replaced::Timeline,
    Replaced::Map(_) => Replaced::Map(SECOND),
});

every_case!(saved_utc_uses -> SavedUtcUse {
    SavedUtcUse::Used { .. } => SavedUtcUse::Used { age: SECOND, off: offset(), bound: SECOND },
    SavedUtcUse::LeapPossible => SavedUtcUse::LeapPossible,
    SavedUtcUse::OtherLeader => SavedUtcUse::OtherLeader,
    SavedUtcUse::NotContinued(_) => SavedUtcUse::NotContinued(SECOND),
    SavedUtcUse::Uncertain(_) => SavedUtcUse::Uncertain(SECOND),
    SavedUtcUse::OtherRate(_) => SavedUtcUse::OtherRate(Ratio::ZERO),
});

fn epoch_changes() -> Vec<EpochChange> {
    let change =
        |replaced| EpochChange { replaced, from: Epoch::from_ns(1), to: Epoch::from_ns(2), gap: SECOND };
    replacements().into_iter().map(change).collect()
}

#[test]
fn every_event_and_error_of_dante4l_is_explained() {
    let explained = |line: String| assert_explained("dante4l", &line);
    diagnostics().iter().for_each(|diagnostic| explained(diagnostic.what()));
    port_reasons().iter().for_each(|reason| explained(reason.to_string()));
    for reason in discontinuities() {
        explained(reason.to_string());
        explained(format!("timeline 3 of Dante time starts: {reason}"));
    }
    network_changes().iter().for_each(|change| explained(change.to_string()));
    for error in net_errors().iter().map(Explain::what).chain(socket_errors().iter().map(Explain::what)) {
        explained(format!("{error}; waiting for it"));
        explained(format!("{error}; checking again in 1 s"));
        explained(error);
    }
    for error in card_errors().iter().map(Explain::what) {
        explained(format!("{error}; using software timestamps"));
        explained(error);
    }
    for error in state_errors() {
        explained(format!("{}: starting without saved leader rates", error.what()));
        explained(format!("{}: leader rates not saved; retrying every minute", error.what()));
    }
}

#[test]
fn every_event_and_error_of_dante2sys_is_explained() {
    let explained = |line: String| assert_explained("dante2sys", &line);
    for fault in faults() {
        explained(ReadError { page: "/dev/shm/dante4l".into(), program: "dante4l", fault }.what());
    }
    steer_reasons().iter().for_each(|reason| explained(reason.to_string()));
    Loss::ALL.iter().for_each(|loss| explained(loss.to_string()));
    leftovers().iter().for_each(|leftover| explained(leftover.to_string()));
    disturbances().iter().for_each(|disturbance| explained(disturbance.to_string()));
    utc_events().iter().for_each(|event| explained(event.to_string()));
    saved_utc_uses().iter().for_each(|used| explained(used.to_string()));
    let written = |none: &&NoMeasurement| !NOT_WRITTEN.contains(&none.to_string().as_str());
    no_measurements().iter().filter(written).for_each(|none| explained(none.to_string()));
    explained(Smear { difference: SECOND }.to_string());
    for refusal in refusals() {
        explained(format!("NTP server ntp1: 192.0.2.1:123 {refusal}"));
    }
    epoch_changes().iter().for_each(|change| explained(change.to_string()));
    clock_errors().iter().for_each(|error| explained(error.what()));
    phc_errors().iter().for_each(|error| explained(error.what()));
    process_errors().iter().for_each(|error| explained(error.what()));
    for error in rtc_errors() {
        explained(format!("{error}; retrying every minute"));
        explained(error.to_string());
    }
    for error in state_errors() {
        explained(format!("{}: starting without the frequency of the last run", error.what()));
        explained(format!("{}: state for the next start not saved; retrying every minute", error.what()));
    }
    for unit in [None, Some("chrony.service".to_owned())] {
        let competitor =
            CompetingDaemon { pid: 1, name: "chronyd".into(), unit }.to_string().replace('`', "");
        explained(competitor.clone());
        explained(format!(
            "{competitor} (--force starts anyway; to use chrony, run danteshm instead of dante2sys)"
        ));
        explained(format!("{competitor}: clock frequency not changed"));
    }
}

#[test]
fn every_event_and_error_of_danteshm_is_explained() {
    let explained = |line: String| assert_explained("danteshm", &line);
    Loss::ALL.iter().for_each(|loss| explained(format!("samples stopped: {loss}")));
    pause_reasons().iter().for_each(|reason| explained(reason.to_string()));
    for source in EpochSource::ALL {
        for (is_resumed, moved) in [(true, None), (false, None), (false, Some(SECOND))] {
            let epoch = Epoch::from_ns(1);
            explained(Fixed { epoch, source, is_resumed, moved, ahead: SECOND }.to_string());
        }
    }
    epoch_changes().iter().for_each(|change| explained(change.to_string()));
    let written = |error: &&ShmError| !matches!(error, ShmError::Missing { .. });
    shm_errors().iter().filter(written).for_each(|error| explained(error.what()));
    serve_errors().iter().for_each(|error| explained(error.what()));
    // The other reasons stand in dante2sys(8).
    for fault in [Fault::Absent, Fault::Owner(1000), Fault::Writable(0o666), Fault::NoFile] {
        explained(ReadError { page: "/dev/shm/dante4l".into(), program: "dante4l", fault }.what());
    }
}

#[test]
fn errors_of_every_daemon_are_explained_in_each_page() {
    let in_the_way = |obstacle| WriteError::InTheWay { path: path(), obstacle };
    let errors: Vec<WriteError> =
        write_errors().into_iter().chain(obstacles().into_iter().map(in_the_way)).collect();
    for page in DAEMONS {
        for error in &errors {
            assert_explained(page, &error.what());
            assert_explained(page, &format!("other programs cannot read this program's state: {error}"));
        }
        let written = |error: &&PollError| !matches!(error, PollError::TooMany(_));
        poll_errors().iter().filter(written).for_each(|error| assert_explained(page, &error.to_string()));
        for line in [
            "cannot open syslog (Connection refused); -m writes messages to stdout",
            "cannot write messages to stdout (Resource temporarily unavailable)",
            "lines of this log lost, as syslog did not accept them: 7",
            "lines of this log lost, as stdout did not accept them: 7",
            "port eth0: 7 more lines within a minute were suppressed",
        ] {
            assert_explained(page, line);
        }
    }
}

#[test]
fn entry_matches_only_the_whole_line() {
    assert!(matches("rates of *N* leaders read from *FILE*", "rates of 3 leaders read from /var/x"));
    assert!(matches("*REASON*; waiting for it", "it is down; waiting for it"));
    assert!(!matches("*REASON*; waiting for it", "it is down; waiting for it again"));
    assert!(!matches("another program *WHAT*", "UDP port 319: another program steers"));
    assert!(!matches("*A*: *B*", "any: line"));
    assert!(matches("ended by a signal", "ended by a signal"));
    assert!(!matches("ended by a signal", "ended by a signal 9"));
}
