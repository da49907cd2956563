//! When and how often diagnostics are reported.

use super::{Counter, Diagnostic, Output, Port, State};
use crate::time::{Duration, Raw, Timestamp};
use crate::wire::WireError;

/// Time in LISTENING before other traffic is reported.
const EXPLAIN_AFTER: Duration = Duration::from_secs(4);
/// Rate limit per kind of diagnostic: the arguments contain identities that a sender controls, so their number is unlimited.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// The last diagnostic of each kind.
#[derive(Debug, Default)]
pub(super) struct Diagnostics([Option<Seen>; Diagnostic::KINDS]);

/// A diagnostic, when its condition was last seen, and when its kind was last reported.
#[derive(Debug, Clone, Copy)]
struct Seen {
    diagnostic: Diagnostic,
    at: Timestamp<Raw>,
    reported: Timestamp<Raw>,
}

impl Port {
    /// Reports a diagnostic, unless its kind was reported within [`REPORT_INTERVAL`], or it explains a missing leader and none
    /// is missing.
    pub(super) fn diagnose(&mut self, now: Timestamp<Raw>, diagnostic: Diagnostic) {
        if diagnostic.explains() && !self.lacks_leader(now) {
            return;
        }
        let Some(place) = self.diagnostics.0.get_mut(diagnostic.kind()) else { return };
        let reported = place.map(|seen| seen.reported).filter(|reported| now - *reported < REPORT_INTERVAL);
        *place = Some(Seen { diagnostic, at: now, reported: reported.unwrap_or(now) });
        if reported.is_none() {
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
        self.diagnostics.0.iter().flatten().map(|seen| (seen.diagnostic, seen.at))
    }

    pub(super) fn malformed(&mut self, now: Timestamp<Raw>, error: WireError) {
        let counter = Counter::of_error(error);
        self.counters.add(counter);
        match error {
            WireError::Version2 => self.diagnose(now, Diagnostic::OnlyPtpV2),
            WireError::Version(version) => self.diagnose(now, Diagnostic::UnknownVersion(version)),
            _ if counter == Counter::WrongLength => self.diagnose(now, Diagnostic::WrongLength),
            _ => {}
        }
    }

    /// Whether the port has been in LISTENING for [`EXPLAIN_AFTER`], and receives no Sync that it may use. After a first Sync the second
    /// may take a while.
    fn lacks_leader(&self, now: Timestamp<Raw>) -> bool {
        self.state == State::Listening
            && self.foreign_leaders.is_empty()
            && self.listening_since.is_some_and(|since| now - since >= EXPLAIN_AFTER)
    }
}
