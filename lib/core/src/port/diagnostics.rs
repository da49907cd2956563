//! When and how often diagnostics are reported.

use super::diagnostic::DIAGNOSTIC_SHOWN;
use super::{Counter, Diagnostic, Output, Port, Route, State};
use crate::time::{Duration, Raw, Timestamp};
use crate::wire::WireError;

/// Time in LISTENING before other traffic is reported.
const EXPLAIN_AFTER: Duration = Duration::from_secs(4);
/// The same for traffic that was already there while a leader was followed: it is not why that leader ended, which may be rebooting.
const EXPLAIN_KNOWN_AFTER: Duration = Duration::from_secs(60);
/// Time for which a received packet shows that packets of its kind arrive.
const TRAFFIC_MEMORY: Duration = Duration::from_secs(10);
/// Rate limit per kind of diagnostic: the arguments contain identities that a sender controls, so their number is unlimited. While the
/// same is still true, each wait for the next report is twice the one before.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// Upper bound of that wait.
const MAX_REPORT_INTERVAL: Duration = Duration::from_secs(3_600);

/// The last diagnostic of each kind, and what its rules depend on.
#[derive(Debug, Default)]
pub(super) struct Diagnostics {
    seen: [Option<Seen>; Diagnostic::KINDS],
    /// Traffic of each kind that may explain a missing leader, reported or not.
    traffic: [Option<Traffic>; Diagnostic::KINDS],
    /// When a PTPv1 leader other than this host was last received, in any subdomain, followed or not.
    leader_at: Option<Timestamp<Raw>>,
    /// When a packet of another host was last received on the event port.
    event_at: Option<Timestamp<Raw>>,
    /// The last Sync of the leader that was followed last, if it ended by silence.
    leader_until: Option<Timestamp<Raw>>,
}

/// A diagnostic, when its condition was last seen, and the last report of its kind.
#[derive(Debug, Clone, Copy)]
struct Seen {
    diagnostic: Diagnostic,
    at: Timestamp<Raw>,
    report: Report,
}

/// A diagnostic that was reported.
#[derive(Debug, Clone, Copy)]
struct Report {
    diagnostic: Diagnostic,
    at: Timestamp<Raw>,
    /// Time until the same is reported again.
    wait: Duration,
}

impl Seen {
    /// A diagnostic that is true now, and whether it is to be reported.
    fn next(before: Option<Self>, now: Timestamp<Raw>, diagnostic: Diagnostic) -> (Self, bool) {
        let lasting =
            before.filter(|seen| seen.report.diagnostic == diagnostic && now - seen.at <= DIAGNOSTIC_SHOWN);
        let wait = lasting.map_or(REPORT_INTERVAL, |seen| seen.report.wait);
        let recent = before.map(|seen| seen.report).filter(|report| now - report.at < wait);
        let report = recent.unwrap_or(Report {
            diagnostic,
            at: now,
            wait: lasting.map_or(REPORT_INTERVAL, |_| (wait * 2).min(MAX_REPORT_INTERVAL)),
        });
        (Self { diagnostic, at: now, report }, recent.is_none())
    }
}

/// Traffic that may explain a missing leader, received at least once in each [`TRAFFIC_MEMORY`].
#[derive(Debug, Clone, Copy)]
struct Traffic {
    diagnostic: Diagnostic,
    since: Timestamp<Raw>,
    at: Timestamp<Raw>,
}

impl Diagnostics {
    /// A leader's packet was received, whether or not it may be followed.
    pub(super) fn leader_received(&mut self, now: Timestamp<Raw>) {
        self.leader_at = Some(now);
    }

    /// Another host's packet was received on the event port.
    pub(super) fn event_received(&mut self, now: Timestamp<Raw>) {
        self.event_at = Some(now);
    }

    /// The leader that was followed was lost. `until`: its last Sync, if it is silent.
    pub(super) fn leader_lost(&mut self, until: Option<Timestamp<Raw>>) {
        self.leader_until = until;
    }

    /// A diagnostic that was reported is still true; it is not reported again.
    pub(super) fn renew(&mut self, now: Timestamp<Raw>, diagnostic: Diagnostic) {
        if let Some(seen) = self.seen.get_mut(diagnostic.kind()).and_then(Option::as_mut) {
            seen.at = now;
        }
    }

    fn add_traffic(&mut self, now: Timestamp<Raw>, diagnostic: Diagnostic) {
        let Some(place) = self.traffic.get_mut(diagnostic.kind()) else { return };
        let continued =
            place.filter(|before| before.diagnostic == diagnostic && now - before.at <= TRAFFIC_MEMORY);
        let since = continued.map_or(now, |before| before.since);
        *place = Some(Traffic { diagnostic, since, at: now });
    }

    /// Whether traffic of this kind began before the last Sync of the leader that is missing now.
    fn precedes_loss(&self, diagnostic: Diagnostic) -> bool {
        let traffic = self.traffic.get(diagnostic.kind()).copied().flatten();
        traffic.zip(self.leader_until).is_some_and(|(traffic, until)| traffic.since <= until)
    }

    /// Whether other packets that are received contradict what the diagnostic states.
    fn is_contradicted(&self, now: Timestamp<Raw>, diagnostic: Diagnostic) -> bool {
        let is_recent = |at: Option<Timestamp<Raw>>| at.is_some_and(|at| now - at <= TRAFFIC_MEMORY);
        let mut others =
            self.traffic.iter().flatten().filter(|other| other.diagnostic.kind() != diagnostic.kind());
        match diagnostic {
            Diagnostic::OnlyPtpV2 => is_recent(self.leader_at),
            Diagnostic::OnlyOwn => is_recent(self.leader_at) || others.any(|other| is_recent(Some(other.at))),
            Diagnostic::NoSync => is_recent(self.event_at),
            _ => false,
        }
    }
}

impl Port {
    /// Reports a diagnostic, unless its kind was reported within [`REPORT_INTERVAL`] or the same lasts, or it explains a missing leader
    /// and none is missing, or for another reason.
    pub(super) fn diagnose(&mut self, now: Timestamp<Raw>, diagnostic: Diagnostic) {
        if diagnostic.explains() {
            self.diagnostics.add_traffic(now, diagnostic);
            let is_known = self.diagnostics.precedes_loss(diagnostic);
            let wait = if is_known { EXPLAIN_KNOWN_AFTER } else { EXPLAIN_AFTER };
            if !self.lacks_leader(now, wait) || self.diagnostics.is_contradicted(now, diagnostic) {
                return;
            }
        }
        let Some(place) = self.diagnostics.seen.get_mut(diagnostic.kind()) else { return };
        let (seen, is_due) = Seen::next(*place, now, diagnostic);
        *place = Some(seen);
        if is_due {
            self.outputs.push(Output::Diagnostic(diagnostic));
        }
    }

    /// Reports that the leader is received on the other network, too.
    pub(crate) fn report_one_network(&mut self, now: Timestamp<Raw>) {
        if let Some(leader) = self.leader() {
            self.diagnose(now, Diagnostic::OneNetwork(leader.identity, leader.address));
        }
    }

    /// The last diagnostic of each kind that was seen, and when.
    pub fn diagnostics(&self) -> impl Iterator<Item = (Diagnostic, Timestamp<Raw>)> {
        self.diagnostics.seen.iter().flatten().map(|seen| (seen.diagnostic, seen.at))
    }

    /// The first of those that are still to be shown, and when it was last true: one that explains the state precedes others. It does
    /// not alternate while several are true.
    pub fn first_diagnostic(&self, now: Timestamp<Raw>) -> Option<(Diagnostic, Timestamp<Raw>)> {
        let state = self.state();
        let shown = self.diagnostics().filter(|(found, at)| found.is_shown(state, now - *at));
        shown.min_by_key(|(found, at)| (!found.explains_state(state, now - *at), found.kind()))
    }

    pub(super) fn malformed(&mut self, now: Timestamp<Raw>, route: Route, error: WireError) {
        let counter = Counter::of_error(error);
        self.counters.add(counter);
        // What a program on this host sends says nothing about the network.
        if route == Route::OwnHost {
            return;
        }
        if counter == Counter::WrongLength {
            self.diagnostics.leader_received(now);
        }
        match error {
            WireError::Version2 => self.diagnose(now, Diagnostic::OnlyPtpV2),
            WireError::Version(version) => self.diagnose(now, Diagnostic::UnknownVersion(version)),
            _ if counter == Counter::WrongLength => self.diagnose(now, Diagnostic::WrongLength),
            _ => {}
        }
    }

    /// Whether the port has been in LISTENING for this time, and receives no Sync that it may use. After a first Sync the second may
    /// take a while.
    fn lacks_leader(&self, now: Timestamp<Raw>, wait: Duration) -> bool {
        self.state == State::Listening
            && self.foreign_leaders.is_empty()
            && self.listening_since.is_some_and(|since| now - since >= wait)
    }
}
