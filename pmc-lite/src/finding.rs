//! Findings: problems that the pages show, with their remedies. `get status`, `watch`, `check` and `doctor` show them.

mod candidates;
mod output;
mod unusable;

pub use candidates::{joined, search};

use crate::pages::{Pages, Read, configuration, fresh_body, freshness, unit};
use crate::verdict::{chrony_relay, large_phase_error, steered_clock};
use dante_core::explain::Explain;
use dante_core::named;
use dante_core::page::{
    Body, Dante2sysStatus, Dante4lStatus, DanteshmStatus, Freshness, PortRecord, STATUS_UTC_BY_HAND,
    STATUS_UTC_SYNCHRONISED,
};
use dante_core::port::{self, Diagnostic};
use dante_core::printable::{printable, printable_lines};
use dante_core::relay::{Delivery, OutputKind, Undelivered, Waiting};
use dante_core::steer;
use dante_core::steer::{Limits, SteeredClock, UtcSource};
use dante_core::time::{Duration, Raw, Timestamp};
use dante_core::wire::Subdomain;
use serde::{Serialize, Serializer};
use std::collections::BTreeSet;
pub use unusable::cause;
use unusable::unusable;

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Level {
    /// No problem.
    Ok,
    /// Needs attention.
    Warning,
    /// A part of the chain from the leader to the clock does not work.
    Failure,
}

named! {
    /// Kind of a finding: the stable name for programs.
    pub enum Kind {
        /// A check by `pmc-lite doctor` without a kind of its own.
        Check "check",
        /// The program was not started, or has ended.
        NotRunning "not_running",
        /// The program crashed, was killed or hangs, or its page is inconsistent.
        StalePage "stale_page",
        /// The page is not trusted: wrong owner, writable by group or others, not a regular file, or unreadable.
        ForeignPage "foreign_page",
        /// The page is of another version, or damaged.
        OtherLayout "other_layout",
        /// dante4l is running, but neither dante2sys nor danteshm was started.
        NoFollower "no_follower",
        /// dante4l cannot use the network interface: it is absent, down, without carrier or address, a UDP port is in use, a permission
        /// is missing, or the kernel refused a request.
        InterfaceUnusable "interface_unusable",
        /// No permitted leader is received.
        NoLeader "no_leader",
        /// The leader's rate is not known well enough yet.
        Calibrating "calibrating",
        /// Another diagnostic of a network port.
        Diagnostic "diagnostic",
        /// The last Sync is old.
        LateSync "late_sync",
        /// Several leaders send at the same time.
        SeveralLeaders "several_leaders",
        /// The primary and the secondary network are one network.
        OneNetwork "one_network",
        /// Different clocks are received on several interfaces (`interface = "auto"`): an error while none of them is used.
        SeveralClocks "several_clocks",
        /// The leader is in a pull-up subdomain, which dante2sys does not follow.
        PullUp "pull_up",
        /// The program waits for dante4l to follow a leader.
        WaitingForLeader "waiting_for_leader",
        /// dante4l follows a leader that dante2sys has not started to follow.
        LeaderNotTaken "leader_not_taken",
        /// dante2sys measures the leader's rate before it steers the clock, or corrects a large phase error.
        Acquiring "acquiring",
        /// No leader is received, or its rate is not known well enough yet; the clock keeps its last rate.
        Holdover "holdover",
        /// The kernel refuses corrections of the clock.
        ClockRefused "clock_refused",
        /// Another program steers the same clock, or its frequency was set by hand.
        CompetingProgram "competing_program",
        /// UTC is not known yet.
        UtcUnknown "utc_unknown",
        /// The clock may be further from UTC than permitted.
        UtcError "utc_error",
        /// danteshm waits until the system clock is synchronised.
        WaitingForUtc "waiting_for_utc",
        /// An output of danteshm cannot be written to, or no program reads it.
        OutputNotReady "output_not_ready",
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One problem, or one result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    /// Kind, for programs. More kinds may be added within the schema.
    #[cfg_attr(test, schemars(with = "String"))]
    pub kind: Kind,
    /// The program concerned; null if none or several.
    pub program: Option<&'static str>,
    /// Severity.
    pub level: Level,
    /// Text for users; it may change.
    what: String,
    /// What to do; several ways on one line each; null if there is nothing to do, or `what` contains it.
    pub remedy: Option<String>,
    /// If `remedy` refers to the doctor: the remedy that the doctor shows if it finds no cause.
    #[serde(skip)]
    pub otherwise: Option<String>,
    /// The output of danteshm that it is about.
    #[serde(skip)]
    pub output: Option<OutputKind>,
}

impl Finding {
    /// Makes a finding of an error or a diagnostic of another part of the suite.
    pub fn explained(level: Level, explained: &impl Explain) -> Self {
        let found = Self { level, ..Self::ok(explained.what()) };
        explained.remedy().into_iter().fold(found, Self::remedy)
    }

    /// Makes a finding without a problem. A name of a process, unit or file in `what` cannot begin another line, which could look
    /// like a finding of its own.
    pub fn ok(what: impl AsRef<str>) -> Self {
        let (kind, level, what) = (Kind::Check, Level::Ok, printable(what.as_ref()).into_owned());
        Self { kind, program: None, level, what, remedy: None, otherwise: None, output: None }
    }

    /// Replaces the text.
    pub fn reworded(self, what: impl AsRef<str>) -> Self {
        Self { what: printable(what.as_ref()).into_owned(), ..self }
    }

    /// The text, without line breaks.
    pub fn what(&self) -> &str {
        &self.what
    }

    pub fn warning(what: impl AsRef<str>) -> Self {
        Self { level: Level::Warning, ..Self::ok(what) }
    }

    pub fn failure(what: impl AsRef<str>) -> Self {
        Self { level: Level::Failure, ..Self::ok(what) }
    }

    pub fn kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    pub fn of_program(self, program: &'static str) -> Self {
        Self { program: Some(program), ..self }
    }

    /// Sets the remedy: one way or several, on one line each. Names of others in it must be [`printable`].
    pub fn remedy(self, remedy: impl AsRef<str>) -> Self {
        Self { remedy: Some(printable_lines(remedy.as_ref()).into_owned()), ..self }
    }

    /// The ways of the remedy, one by one.
    pub fn ways(&self) -> impl Iterator<Item = &str> {
        self.remedy.iter().flat_map(|remedy| remedy.lines())
    }

    /// Adds remedies to a finding whose cause the pages do not contain: `remedy` refers to the doctor, which shows `otherwise` if
    /// it finds no cause.
    fn unexplained(self, remedy: impl AsRef<str>, otherwise: impl Into<String>) -> Self {
        Self { otherwise: Some(otherwise.into()), ..self.remedy(remedy) }
    }
}

/// Returns all findings, in the order from the leader to the clock.
pub fn of(pages: &Pages) -> Vec<Finding> {
    let mut found = observer(pages);
    found.extend(steerer(pages));
    found.extend(relay(pages));
    found.extend(followers(pages));
    found
}

/// Warns if dante4l runs, but no program that uses its time was started.
pub fn followers(pages: &Pages) -> Option<Finding> {
    let all = (freshness(&pages.dante4l), freshness(&pages.dante2sys), freshness(&pages.danteshm));
    (all == (Freshness::Fresh, Freshness::Absent, Freshness::Absent)).then(|| {
        let what = "neither dante2sys nor danteshm was started since boot: no clock follows the leader";
        Finding::warning(what).kind(Kind::NoFollower).unexplained(
            "start dante2sys (steers the system clock) or danteshm (feeds chrony); if it ends: pmc-lite doctor",
            "systemctl enable --now dante2sys (steers the system clock)\nsystemctl enable --now danteshm (feeds chrony)",
        )
    })
}

/// Whether a daemon has to be running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// It has to run on every host.
    Always,
    /// It has to run if it was started since boot.
    OnceStarted,
    /// It need not run if it was stopped: another daemon replaces it.
    Replaced,
}

impl Need {
    /// Of a daemon that another one of this freshness replaces.
    fn beside(other: Freshness) -> Self {
        if other == Freshness::Fresh { Self::Replaced } else { Self::OnceStarted }
    }
}

/// Returns the remedy that configures the interface of dante4l: `file` and `unit` are dante4l's.
pub fn naming(interface: &str, file: &str, unit: &str) -> String {
    let (interface, file) = (printable(interface), printable(file));
    format!(
        "set interface = \"{interface}\" in section [dante4l] of {file} (or -i {interface}), then systemctl restart {unit}"
    )
}

/// Returns the finding of a page whose writer is not running, or that cannot be used.
fn life<B: Body>(read: &Read<B>, pages: &Pages, need: Need) -> Option<Finding> {
    let (name, unit) = (B::PROGRAM, unit(B::PROGRAM, pages.instance.as_ref()));
    let start = |again: &str| {
        format!("start it: systemctl start {unit}; if it ends again: {again}journalctl -u {unit} -n 20")
    };
    let not_running = |what| {
        Finding::failure(what).kind(Kind::NotRunning).unexplained(start("pmc-lite doctor; "), start(""))
    };
    let found = match (read, freshness(read)) {
        (_, Freshness::Fresh) => return None,
        (Err(_), Freshness::Absent) if need != Need::Always => return None,
        (Ok(_), Freshness::Stopped) if need == Need::Replaced => return None,
        (Err(error), Freshness::Absent) => not_running(error.what()),
        (Err(error), freshness) => Finding::explained(Level::Failure, error).kind(match freshness {
            Freshness::Foreign => Kind::ForeignPage,
            Freshness::Layout => Kind::OtherLayout,
            _ => Kind::StalePage,
        }),
        (Ok(view), Freshness::Stopped) => not_running(format!(
            "{name} is not running: it was stopped, or ended with an error (process {})",
            view.pid
        )),
        (Ok(view), _) => {
            let what = format!(
                "{name} crashed, was killed or hangs (process {}): the values shown are old",
                view.pid
            );
            let remedy =
                format!("restart it: systemctl restart {unit}; for the cause: journalctl -u {unit} -n 20");
            Finding::failure(what).kind(Kind::StalePage).remedy(remedy)
        }
    };
    Some(found.of_program(B::PROGRAM))
}

/// Returns the findings of dante4l's pages.
pub fn observer(pages: &Pages) -> Vec<Finding> {
    let body = fresh_body::<Dante4lStatus>(&pages.dante4l);
    let life = life(&pages.dante4l, pages, Need::Always);
    let ports = body.map(Dante4lStatus::ports).unwrap_or_default();
    let mut networks: Vec<Finding> = ports.iter().flat_map(|port| network(port, pages)).collect();
    match pages.searched() {
        Some(searched) => networks.extend(candidates::searching(searched, pages)),
        None => networks.extend(body.and_then(Dante4lStatus::candidates).and_then(candidates::others)),
    }
    if networks.iter().any(|found| found.kind == Kind::OneNetwork) {
        // It explains why each interface receives the leaders of both networks.
        networks.retain(|found| found.kind != Kind::SeveralLeaders);
        networks.sort_by_key(|found| found.kind != Kind::OneNetwork);
    }
    let networks = networks.into_iter().map(|found| found.of_program(Dante4lStatus::PROGRAM));
    life.into_iter().chain(networks).collect()
}

/// Returns the command that shows the log of dante4l.
fn log_of_dante4l(pages: &Pages) -> String {
    format!("journalctl -u {} -n 40", unit(Dante4lStatus::PROGRAM, pages.instance.as_ref()))
}

fn network(port: &PortRecord, pages: &Pages) -> Vec<Finding> {
    let mut found = Vec::new();
    let now = pages.now;
    let interface = port.interface;
    let state = port.state().unwrap_or(port::State::Initializing);
    let shown = port.diagnostics().filter(|(diagnostic, at)| diagnostic.is_shown(state, now - *at));
    let is_explained = port.diagnostics().any(|(diagnostic, at)| diagnostic.explains_state(state, now - at));
    match port.state() {
        Some(port::State::Initializing | port::State::Faulty) => {
            found.push(unusable(&interface.to_string(), port.fault(), pages));
        }
        Some(port::State::Listening) if !port.foreign_leaders().is_empty() => found.extend(candidate(port)),
        // Another finding names the reason for which the state lasts.
        Some(port::State::Listening | port::State::Uncalibrated) if is_explained => {}
        Some(port::State::Listening) => {
            let subdomain = Subdomain(port.subdomain);
            found.push(
                Finding::failure(format!(
                    "no leader is received on {interface} in subdomain {subdomain} ({})",
                    subdomain.group()
                ))
                .kind(Kind::NoLeader)
                .unexplained(
                    "sudo pmc-lite doctor finds the cause: the wrong interface, no cable, no leader, another subdomain (devices with a \
                     pull-up of the sample rate), a VLAN tag, IGMP snooping or a firewall",
                    log_of_dante4l(pages),
                ),
            );
        }
        Some(port::State::Uncalibrated) => {
            let what = format!(
                "dante4l receives a leader on {interface}, but does not know its rate well enough yet: this takes some seconds"
            );
            found.push(Finding::warning(what).kind(Kind::Calibrating));
        }
        Some(port::State::Slave) => found.extend(late(port, now)),
        None => {}
    }
    for (diagnostic, _) in shown {
        let (level, kind) = match diagnostic {
            Diagnostic::OneNetwork(..) => (Level::Warning, Kind::OneNetwork),
            _ if diagnostic.explains() => (Level::Failure, Kind::NoLeader),
            _ => (Level::Warning, Kind::Diagnostic),
        };
        let finding = Finding::explained(level, &diagnostic).kind(kind);
        // Their remedies refer to the doctor.
        let is_unexplained = matches!(diagnostic, Diagnostic::NoFollowUp | Diagnostic::NoSync);
        let finding = Finding { otherwise: is_unexplained.then(|| log_of_dante4l(pages)), ..finding };
        let what = format!("{interface}: {}", finding.what);
        found.push(finding.reworded(what));
    }
    found.extend(several_leaders(port));
    found
}

/// Returns the finding that a leader is received and not followed yet.
fn candidate(port: &PortRecord) -> Option<Finding> {
    let leaders = port.foreign_leaders();
    let foreign = leaders.iter().find(|foreign| foreign.qualified != 0).or(leaders.first())?;
    let why = if foreign.qualified == 0 {
        "its second Sync was not received yet"
    } else {
        "it is followed after some seconds, because the leader changed within the last five minutes"
    };
    let (identity, address) = (foreign.leader.identity(), foreign.leader.address());
    let what = format!(
        "{}: leader {identity} at {address} is received, but not followed yet: {why}",
        port.interface
    );
    Some(Finding::warning(what).kind(Kind::Calibrating))
}

/// Age of the last Sync, in Sync intervals, from which it is late: half of the receipt timeout.
const LATE_INTERVALS: i64 = 5;

fn late(port: &PortRecord, now: Timestamp<Raw>) -> Option<Finding> {
    let leader = port.leader()?;
    let age = now - port.last_sample()?.arrived.raw;
    (age > Duration::from_ns(leader.sync_interval_ns) * LATE_INTERVALS).then(|| {
        let (leader, age) = (leader.identity(), age.secs_f64());
        Finding::warning(format!("the last Sync of leader {leader} is {age:.1} s old"))
            .kind(Kind::LateSync)
            .remedy("check the cable, the switch and the leader")
    })
}

/// Returns the finding that several qualified leaders send on one network. Normally all but the best stop within some seconds.
fn several_leaders(port: &PortRecord) -> Option<Finding> {
    let leaders: BTreeSet<String> = port
        .foreign_leaders()
        .iter()
        .filter(|foreign| foreign.qualified != 0)
        .map(|foreign| format!("{} at {}", foreign.leader.identity(), foreign.leader.address()))
        .collect();
    (leaders.len() > 1).then(|| {
        let (count, names) = (leaders.len(), leaders.into_iter().collect::<Vec<_>>().join(", "));
        let what = format!("{count} leaders send on {}: {names}", port.interface);
        Finding::warning(what).kind(Kind::SeveralLeaders).remedy(
            "if this lasts, two networks are joined, or a device does not receive the others; dante4l follows the best leader",
        )
    })
}

/// Returns the findings of dante2sys' pages.
pub fn steerer(pages: &Pages) -> Vec<Finding> {
    let life = life(&pages.dante2sys, pages, Need::beside(chrony_relay(pages)));
    let Some(body) = fresh_body::<Dante2sysStatus>(&pages.dante2sys) else {
        return life.into_iter().collect();
    };
    let state = match body.state() {
        Some(steer::State::Waiting) => Some(pulled_up(pages).unwrap_or_else(|| waiting(pages))),
        Some(steer::State::Acquiring) => {
            let what = "dante2sys synchronises the clock to the leader: this takes some seconds";
            Some(Finding::warning(what).kind(Kind::Acquiring))
        }
        Some(steer::State::Holdover) => Some(pulled_up(pages).unwrap_or_else(|| holdover(pages))),
        Some(steer::State::Refused) => Some(
            Finding::failure("dante2sys cannot correct the clock")
                .kind(Kind::ClockRefused)
                .remedy("for the cause: journalctl -u dante2sys -n 20"),
        ),
        Some(steer::State::Yielded) => Some(
            Finding::failure(
                "another program steers the same clock, or its frequency was set by hand: dante2sys does not steer it for now",
            )
            .kind(Kind::CompetingProgram)
            .unexplained("find that program with pmc-lite doctor, and stop it", "journalctl -u dante2sys -n 40"),
        ),
        Some(steer::State::Locked) => large_phase_error(body).map(|error| {
            let minutes = error.abs().secs_f64() / Limits::default().phase_term.fraction() / 60.0;
            let what = format!(
                "the clock is {:+.3} ms off Dante time + epoch offset (K): dante2sys corrects that by 5 ppm, which takes {minutes:.0} minutes",
                error.secs_f64() * 1e3
            );
            Finding::warning(what).kind(Kind::Acquiring)
        }),
        None => None,
    };
    let found = state.into_iter().chain(utc(body)).map(|found| found.of_program(Dante2sysStatus::PROGRAM));
    life.into_iter().chain(found).collect()
}

/// Returns the finding that dante4l follows a leader in a pull-up subdomain, which dante2sys does not follow. Nominal pull-ups are
/// +-0.1 % (_ALT2, _ALT3) and about +-4 % (_ALT1, _ALT4), beyond the 500 ppm that --max-frequency permits.
fn pulled_up(pages: &Pages) -> Option<Finding> {
    let port = pages.selected().filter(|port| port.state() == Some(port::State::Slave))?;
    let subdomain = Subdomain(port.subdomain);
    let configuration = configuration(pages.instance.as_ref());
    subdomain.is_pull_up().then(|| {
        Finding::failure(format!(
            "dante4l follows a leader in pull-up subdomain {subdomain}, nominally 0.1 % or about 4 % off in rate: \
             dante2sys does not follow it"
        ))
        .kind(Kind::PullUp)
        .remedy(format!(
            "set the devices' pull-up to none in Dante Controller, and subdomain = \"_DFLT\" in section [dante4l] of \
             {configuration}\n\
             or, only if this leader's rate is within max-frequency (at most 500 ppm): allow-pull-up = true in section \
             [dante2sys], and systemctl restart dante2sys"
        ))
    })
}

fn waiting(pages: &Pages) -> Finding {
    match pages.state() {
        Some(port::State::Slave) => Finding::warning("dante2sys does not follow the leader of dante4l yet")
            .kind(Kind::LeaderNotTaken)
            .remedy("wait some seconds; if it does not change: journalctl -u dante2sys -n 20"),
        _ => Finding::warning(
            "dante2sys waits until dante4l follows a leader: the clock's frequency is left as it is",
        )
        .kind(Kind::WaitingForLeader),
    }
}

fn holdover(pages: &Pages) -> Finding {
    let drifts = "the clock keeps its last rate and drifts slowly";
    let found = match pages.state() {
        None => Finding::warning(format!("no data from dante4l: {drifts}"))
            .remedy("see dante4l above; its return does not step the clock"),
        Some(port::State::Slave | port::State::Uncalibrated) => Finding::warning(format!(
            "a leader is received, but its rate is not known well enough yet (some seconds): {drifts}"
        )),
        Some(_) => Finding::warning(format!("no leader is received: {drifts}"))
            .remedy("switch on a leader; its return does not step the clock"),
    };
    found.kind(Kind::Holdover)
}

fn utc(body: &Dante2sysStatus) -> Option<Finding> {
    if body.utc_source == UtcSource::None as u8
        || body.flags & (STATUS_UTC_SYNCHRONISED | STATUS_UTC_BY_HAND) != 0
    {
        return None;
    }
    Some(match body.utc() {
        None => Finding::warning("UTC is not known yet")
            .kind(Kind::UtcUnknown)
            .remedy(
                "check that the UTC source answers (--ntp-server or --utc leader); for the cause: journalctl -u dante2sys -n 20",
            ),
        Some(_) => Finding::warning(
            "the clock may be further from UTC than --max-utc-error permits: it does not count as synchronised to UTC",
        )
        .kind(Kind::UtcError)
        .remedy(
            "check that the NTP servers answer, and that --utc-policy lets the clock follow UTC (man dante2sys)",
        ),
    })
}

/// Returns the findings of danteshm's pages.
pub fn relay(pages: &Pages) -> Vec<Finding> {
    let life = life(&pages.danteshm, pages, Need::beside(freshness(&pages.dante2sys)));
    let Some(body) = fresh_body::<DanteshmStatus>(&pages.danteshm) else { return life.into_iter().collect() };
    // Clients of a usrvclock need neither chrony nor UTC.
    let feeds_chrony = body.chrony_delivery().is_some();
    let waiting = match body.waiting() {
        Some(Waiting::Leader) => {
            let what = match feeds_chrony {
                true => "danteshm writes no samples: dante4l is not locked to a leader",
                false => "danteshm gets no new Dante time for its clients: dante4l is not locked to a leader",
            };
            Some(Finding::warning(what).kind(Kind::WaitingForLeader))
        }
        Some(Waiting::Utc) if feeds_chrony => Some(
            Finding::warning(
                "danteshm writes no samples: the system clock is not synchronised, so UTC is unknown",
            )
            .kind(Kind::WaitingForUtc)
            .remedy("configure an NTP server in chrony in addition to Dante, or set --epoch (man danteshm)"),
        ),
        _ => None,
    };
    // Where dante2sys steers the system clock, no chronyd runs, and nobody reads the samples.
    let is_steered = steered_clock(pages) == Some(SteeredClock::Realtime);
    let is_idle = |fault: &Undelivered<'_>| is_steered && fault.delivery() != Delivery::Unavailable;
    // With one output that is delivered chrony has what it needs.
    let is_failure = !is_steered && Delivery::reaches_none(body.outputs());
    let level = if is_failure { Level::Failure } else { Level::Warning };
    let not_ready = body.outputs().iter().filter_map(|record| {
        let fault = Undelivered::of(record).filter(|fault| !is_idle(fault))?;
        let found = match record.kind() {
            Some(OutputKind::Usrvclock) => output::unserved(record, &fault, pages),
            _ => Finding::explained(level, &fault),
        };
        Some(Finding { output: record.kind(), ..found })
    });
    let not_ready = not_ready.map(|found| found.kind(Kind::OutputNotReady));
    let found = waiting.into_iter().chain(not_ready).map(|found| found.of_program(DanteshmStatus::PROGRAM));
    life.into_iter().chain(found).collect()
}

#[cfg(test)]
mod tests;
