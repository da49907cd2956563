//! Findings: what is wrong according to the pages, and what to do next. `get status`, `watch`, `check` and `doctor` show them.

use crate::pages::{Pages, Read, configuration, freshness, said, unit};
use crate::shown::Word;
use dante_core::explain::Explain;
use dante_core::named;
use dante_core::page::{
    Body, Dante2sysStatus, Dante4lStatus, DanteshmStatus, Freshness, OutputRecord, PortRecord,
    STATUS_UTC_BY_HAND, STATUS_UTC_SYNCHRONISED,
};
use dante_core::port::{self, Diagnostic};
use dante_core::relay::Waiting;
use dante_core::steer;
use dante_core::steer::UtcSource;
use dante_core::time::{Duration, Raw, Timestamp};
use dante_core::wire::Subdomain;
use serde::{Serialize, Serializer};
use std::collections::BTreeSet;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth a look.
    Warning,
    /// A part of the way to the clock does not work.
    Failure,
}

named! {
    /// What a finding is about: the stable word for programs.
    pub enum Kind {
        /// Result of a check of the doctor that has no kind of its own.
        Check "check",
        /// The program was not started, or ended.
        NotRunning "not_running",
        /// The program was killed or hangs: its page is no longer renewed.
        StalePage "stale_page",
        /// The page belongs to a user who must not write it.
        ForeignPage "foreign_page",
        /// The page has the layout of another version.
        OtherLayout "other_layout",
        /// dante4l runs, and neither dante2sys nor danteshm does.
        NoFollower "no_follower",
        /// The network interface is absent, down or has no address.
        InterfaceUnusable "interface_unusable",
        /// No leader is received that could be followed.
        NoLeader "no_leader",
        /// The leader's rate is not known well enough yet.
        Calibrating "calibrating",
        /// A diagnostic of a network port.
        Diagnostic "diagnostic",
        /// The last Sync is old.
        LateSync "late_sync",
        /// Several leaders send at the same time.
        SeveralLeaders "several_leaders",
        /// The leader is in a pull-up subdomain, which dante2sys does not follow.
        PullUp "pull_up",
        /// The program waits for dante4l to follow a leader.
        WaitingForLeader "waiting_for_leader",
        /// dante4l follows a leader that dante2sys has not started to follow.
        LeaderNotTaken "leader_not_taken",
        /// The clock is being brought to the leader's time.
        Acquiring "acquiring",
        /// There is no leader; the clock keeps its last rate.
        Holdover "holdover",
        /// The kernel refuses corrections of the clock.
        ClockRefused "clock_refused",
        /// Another program steers the same clock.
        CompetingProgram "competing_program",
        /// UTC is not known yet.
        UtcUnknown "utc_unknown",
        /// The clock is further from UTC than permitted.
        UtcError "utc_error",
        /// danteshm waits until the system clock is synchronised.
        WaitingForUtc "waiting_for_utc",
        /// An output of danteshm cannot be written to, or nobody reads it.
        OutputNotReady "output_not_ready",
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    /// What it is about, for programs. More kinds may be added within the schema.
    #[cfg_attr(test, schemars(with = "String"))]
    pub kind: Kind,
    /// The program that it is about; null where it is about none or several.
    pub program: Option<&'static str>,
    /// How bad it is.
    pub level: Level,
    /// In words, for people: they may change.
    pub what: String,
    /// What to do about it; where there is more than one way out, each on a line.
    pub remedy: Option<String>,
    /// Where `remedy` names the doctor: the remedy that the doctor shows if it found no cause.
    #[serde(skip)]
    pub otherwise: Option<String>,
}

impl Finding {
    /// An error or a diagnostic from elsewhere.
    pub fn explained(level: Level, explained: &impl Explain) -> Self {
        Self { level, remedy: explained.remedy(), ..Self::ok(explained.what()) }
    }

    pub fn ok(what: impl Into<String>) -> Self {
        let (kind, level) = (Kind::Check, Level::Ok);
        Self { kind, program: None, level, what: what.into(), remedy: None, otherwise: None }
    }

    pub fn warning(what: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::ok(what) }
    }

    pub fn failure(what: impl Into<String>) -> Self {
        Self { level: Level::Failure, ..Self::ok(what) }
    }

    pub fn kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    pub fn of_program(self, program: &'static str) -> Self {
        Self { program: Some(program), ..self }
    }

    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    /// The ways out, one by one.
    pub fn ways(&self) -> impl Iterator<Item = &str> {
        self.remedy.iter().flat_map(|remedy| remedy.lines())
    }

    /// A finding whose cause the pages do not contain: `remedy` names the doctor, which shows `otherwise` if it finds no cause.
    fn unexplained(self, remedy: impl Into<String>, otherwise: impl Into<String>) -> Self {
        Self { otherwise: Some(otherwise.into()), ..self.remedy(remedy) }
    }
}

/// A diagnostic that explains a missing leader is shown until this long after it was last true.
const EXPLANATION: Duration = Duration::from_secs(10);
/// Any other diagnostic is shown until this long after it was last true.
const MEMORY: Duration = Duration::from_secs(60);

/// All findings of the pages, from the leader to the clock.
pub fn of(pages: &Pages) -> Vec<Finding> {
    let mut found = observer(pages);
    found.extend(steerer(pages));
    found.extend(relay(pages));
    found.extend(followers(pages));
    found
}

/// dante4l runs, and no program that steers a clock by it was started.
pub fn followers(pages: &Pages) -> Option<Finding> {
    let all = (freshness(&pages.dante4l), freshness(&pages.dante2sys), freshness(&pages.danteshm));
    let start = "dante2sys, which steers the system clock; or danteshm, which feeds chrony";
    (all == (Freshness::Fresh, Freshness::Absent, Freshness::Absent)).then(|| {
        let what = "neither dante2sys nor danteshm runs: no clock follows Dante";
        Finding::warning(what).kind(Kind::NoFollower).unexplained(
            format!("start {start}; where one of them will not start: pmc-lite doctor"),
            format!("systemctl enable --now {start}"),
        )
    })
}

/// Whether a daemon has to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// On every host.
    Always,
    /// Where it was started since boot.
    OnceStarted,
    /// Not necessarily: another daemon does its work.
    Replaced,
}

impl Need {
    fn beside<B: Body>(other: &Read<B>) -> Self {
        if freshness(other) == Freshness::Fresh { Self::Replaced } else { Self::OnceStarted }
    }
}

/// The finding of a page whose writer does not run, or that cannot be used.
fn life<B: Body>(read: &Read<B>, pages: &Pages, need: Need) -> Option<Finding> {
    let (name, unit) = (B::PROGRAM, unit(B::PROGRAM, pages.instance.as_ref()));
    let start = |again: &str| {
        format!("start it: systemctl start {unit}; if it ends again: {again}journalctl -u {unit} -n 20")
    };
    let not_there = |what| {
        Finding::failure(what).kind(Kind::NotRunning).unexplained(start("pmc-lite doctor; "), start(""))
    };
    let found = match (read, freshness(read)) {
        (_, Freshness::Fresh) => return None,
        (Err(_), Freshness::Absent) if need != Need::Always => return None,
        (Ok(_), Freshness::Stopped) if need == Need::Replaced => return None,
        (Err(error), Freshness::Absent) => not_there(error.what()),
        (Err(error), freshness) => Finding::explained(Level::Failure, error).kind(match freshness {
            Freshness::Foreign => Kind::ForeignPage,
            Freshness::Layout => Kind::OtherLayout,
            _ => Kind::StalePage,
        }),
        (Ok(view), Freshness::Stopped) => not_there(format!(
            "{name} does not run: it was stopped, or refused to go on (process {})",
            view.pid
        )),
        (Ok(view), _) => {
            let what = format!("{name} died or hangs (process {}); what is shown of it is old", view.pid);
            let remedy = format!("restart it: systemctl restart {unit}; why: journalctl -u {unit} -n 20");
            Finding::failure(what).kind(Kind::StalePage).remedy(remedy)
        }
    };
    Some(found.of_program(B::PROGRAM))
}

/// Findings of dante4l's page.
pub fn observer(pages: &Pages) -> Vec<Finding> {
    let ports = said::<Dante4lStatus>(&pages.dante4l).map(Dante4lStatus::ports).unwrap_or_default();
    let life = life(&pages.dante4l, pages, Need::Always);
    let networks = ports.iter().flat_map(|port| network(port, pages));
    life.into_iter().chain(networks.map(|found| found.of_program(Dante4lStatus::PROGRAM))).collect()
}

fn network(port: &PortRecord, pages: &Pages) -> Vec<Finding> {
    let mut found = Vec::new();
    let now = pages.now;
    let interface = port.interface;
    let diagnostics: Vec<Diagnostic> = port
        .diagnostics()
        .filter(|(diagnostic, at)| now - *at <= if diagnostic.explains() { EXPLANATION } else { MEMORY })
        .map(|(diagnostic, _)| diagnostic)
        .collect();
    let listens = port.state() == Some(port::State::Listening);
    let told = diagnostics.iter().filter(|diagnostic| listens || !diagnostic.explains());
    match port.state() {
        Some(port::State::Initializing | port::State::Faulty) => found.push(
            Finding::failure(format!(
                "dante4l cannot use {interface}: it is not there, down, or has no address"
            ))
            .kind(Kind::InterfaceUnusable)
            .remedy(format!("ip -br addr show {interface}; dante4l takes it as soon as it comes up")),
        ),
        Some(port::State::Listening) if !diagnostics.iter().any(|diagnostic| diagnostic.explains()) => {
            let subdomain = Subdomain(port.subdomain);
            found.push(
                Finding::failure(format!(
                    "no leader is heard on {interface} in subdomain {subdomain} ({})",
                    subdomain.group()
                ))
                .kind(Kind::NoLeader)
                .unexplained(
                    "is it the interface of the Dante network (-i), and does a Dante device run there, without pull-up? \
                     pmc-lite doctor finds that out, and looks at cable, multicast and firewall",
                    format!("journalctl -u {} -n 40", unit(Dante4lStatus::PROGRAM, pages.instance.as_ref())),
                ),
            );
        }
        Some(port::State::Listening) => {}
        Some(port::State::Uncalibrated) => {
            let what = format!(
                "dante4l hears a leader on {interface} and does not know its rate well yet: that takes some seconds"
            );
            found.push(Finding::warning(what).kind(Kind::Calibrating));
        }
        Some(port::State::Slave) => found.extend(late(port, now)),
        None => {}
    }
    for diagnostic in told {
        let (level, kind) = match diagnostic.explains() {
            true => (Level::Failure, Kind::NoLeader),
            false => (Level::Warning, Kind::Diagnostic),
        };
        let finding = Finding::explained(level, diagnostic).kind(kind);
        found.push(Finding { what: format!("{interface}: {}", finding.what), ..finding });
    }
    found.extend(several_leaders(port));
    found
}

/// A Sync is late after this many intervals: half of the receipt timeout.
const LATE_INTERVALS: i64 = 5;

fn late(port: &PortRecord, now: Timestamp<Raw>) -> Option<Finding> {
    let leader = port.leader()?;
    let age = now - port.last_sample()?.arrived.raw;
    (age > Duration::from_ns(leader.sync_interval_ns) * LATE_INTERVALS).then(|| {
        let (who, age) = (leader.identity(), age.secs_f64());
        Finding::warning(format!("the last Sync of {who} is {age:.1} s old"))
            .kind(Kind::LateSync)
            .remedy("look at the cable, the switch and the leader")
    })
}

/// Several qualified leaders on one network: all but the best stop within some seconds.
fn several_leaders(port: &PortRecord) -> Option<Finding> {
    let leaders: BTreeSet<String> = port
        .foreign_leaders()
        .iter()
        .filter(|heard| heard.qualified != 0)
        .map(|heard| format!("{} at {}", heard.leader.identity(), heard.leader.address()))
        .collect();
    (leaders.len() > 1).then(|| {
        let (count, names) = (leaders.len(), leaders.into_iter().collect::<Vec<_>>().join(", "));
        let what = format!("{count} leaders are heard on {}: {names}", port.interface);
        Finding::warning(what).kind(Kind::SeveralLeaders).remedy(
            "if that lasts, two networks are joined or a device does not hear the others; dante4l follows the best",
        )
    })
}

/// Findings of dante2sys' page.
pub fn steerer(pages: &Pages) -> Vec<Finding> {
    let life = life(&pages.dante2sys, pages, Need::beside(&pages.danteshm));
    let Some(body) = said::<Dante2sysStatus>(&pages.dante2sys) else { return life.into_iter().collect() };
    let state = match body.state() {
        Some(steer::State::Waiting) => Some(pulled_up(pages).unwrap_or_else(|| waiting(pages))),
        Some(steer::State::Acquiring) => {
            let what = "dante2sys takes the clock in hand: that needs some seconds";
            Some(Finding::warning(what).kind(Kind::Acquiring))
        }
        Some(steer::State::Holdover) => Some(pulled_up(pages).unwrap_or_else(|| holdover(pages))),
        Some(steer::State::Refused) => Some(
            Finding::failure("dante2sys cannot correct the clock")
                .kind(Kind::ClockRefused)
                .remedy("why: journalctl -u dante2sys -n 20"),
        ),
        Some(steer::State::Yielded) => Some(
            Finding::failure("another program steers the same clock: dante2sys leaves it alone meanwhile")
                .kind(Kind::CompetingProgram)
                .unexplained("pmc-lite doctor finds it: stop it", "journalctl -u dante2sys -n 40"),
        ),
        Some(steer::State::Locked) | None => None,
    };
    let said = state.into_iter().chain(date(body)).map(|found| found.of_program(Dante2sysStatus::PROGRAM));
    life.into_iter().chain(said).collect()
}

/// dante4l follows a leader in a pull-up subdomain, which dante2sys does not follow.
fn pulled_up(pages: &Pages) -> Option<Finding> {
    let port = pages.selected().filter(|port| port.state() == Some(port::State::Slave))?;
    let subdomain = Subdomain(port.subdomain);
    let configuration = configuration(pages.instance.as_ref());
    subdomain.is_pull_up().then(|| {
        Finding::failure(format!(
            "dante4l follows {subdomain}, a pull-up domain, whose rate is per cents off: dante2sys does not"
        ))
        .kind(Kind::PullUp)
        .remedy(format!(
            "set the devices' pull-up back to none in Dante Controller, and subdomain = \"_DFLT\" in section [dante4l] of {configuration}\n\
             or, for a clock that is per cents off UTC: allow-pull-up = true in section [dante2sys], and systemctl restart dante2sys"
        ))
    })
}

fn waiting(pages: &Pages) -> Finding {
    match pages.selected().map(PortRecord::state) {
        Some(Some(port::State::Slave)) => Finding::warning("dante2sys has not taken up the leader yet")
            .kind(Kind::LeaderNotTaken)
            .remedy("that needs a moment; if it stays so: journalctl -u dante2sys -n 20"),
        _ => Finding::warning("dante2sys waits for dante4l to follow a leader: the clock is left as it is")
            .kind(Kind::WaitingForLeader),
    }
}

fn holdover(pages: &Pages) -> Finding {
    let drifts = "the clock keeps the rate that it had, and drifts slowly";
    let found = match pages.selected().map(PortRecord::state) {
        None => Finding::warning(format!("dante4l tells nothing of a leader: {drifts}"))
            .remedy("see dante4l above; no step follows when it is back"),
        Some(Some(port::State::Slave | port::State::Uncalibrated)) => Finding::warning(format!(
            "{drifts}, until the leader that is heard again is known well enough: some seconds"
        )),
        Some(_) => Finding::warning(format!("the leader is gone: {drifts}"))
            .remedy("bring a leader back; no step follows"),
    };
    found.kind(Kind::Holdover)
}

fn date(body: &Dante2sysStatus) -> Option<Finding> {
    if body.utc_source == UtcSource::None as u8
        || body.flags & (STATUS_UTC_SYNCHRONISED | STATUS_UTC_BY_HAND) != 0
    {
        return None;
    }
    Some(match body.utc() {
        None => Finding::warning("the date is not known yet")
            .kind(Kind::UtcUnknown)
            .remedy("it needs answers of a time server; are they reachable? journalctl -u dante2sys -n 20"),
        Some(_) => Finding::warning(
            "the date is further off than --max-utc-error allows: the kernel is told so",
        )
        .kind(Kind::UtcError)
        .remedy(
            "are the time servers reachable? and does --utc-policy let the clock follow them? man dante2sys",
        ),
    })
}

/// Findings of danteshm's page.
pub fn relay(pages: &Pages) -> Vec<Finding> {
    let life = life(&pages.danteshm, pages, Need::beside(&pages.dante2sys));
    let Some(body) = said::<DanteshmStatus>(&pages.danteshm) else { return life.into_iter().collect() };
    let silent = match body.waiting() {
        Some(Waiting::Leader) => {
            let what = "danteshm is silent: dante4l has no leader that it knows well";
            Some(Finding::warning(what).kind(Kind::WaitingForLeader))
        }
        Some(Waiting::Utc) => Some(
            Finding::warning(
                "danteshm is silent: the system clock is not synchronised, so nobody knows the date",
            )
            .kind(Kind::WaitingForUtc)
            .remedy("give chrony a time server beside Dante; or --epoch: man danteshm"),
        ),
        _ => None,
    };
    let unready = body.outputs().iter().filter(|output| output.ready == 0).map(unready);
    let said = silent.into_iter().chain(unready).map(|found| found.of_program(DanteshmStatus::PROGRAM));
    life.into_iter().chain(said).collect()
}

/// An output that samples do not get to.
fn unready(output: &OutputRecord) -> Finding {
    let kind = Word(output.kind());
    let found = match (output.unit(), output.path()) {
        (_, Some(path)) => Finding::warning(format!("danteshm: nobody is at {path} ({kind})")).remedy(
            "is the program that reads it (chronyd) running, and does its configuration name this path? man danteshm",
        ),
        (Some(unit), None) => Finding::warning(format!("danteshm: {kind} unit {unit} cannot be written to"))
            .remedy("why: journalctl -u danteshm -n 20"),
        (None, None) => Finding::warning(format!("danteshm: output {kind} is not ready"))
            .remedy("why: journalctl -u danteshm -n 20"),
    };
    found.kind(Kind::OutputNotReady)
}
