//! When a diagnostic is reported, and how often.

use super::{Counter, Diagnostic, Output, Port, State};
use crate::time::{Duration, Raw, Timestamp};
use crate::wire::WireError;

/// So long a leader may keep itself waiting before others who are heard are told of.
const PUZZLED: Duration = Duration::from_secs(4);
/// What is of one kind is said once in so long, whatever it says: names in it come from the network, and are many if
/// somebody wants them to be.
const SILENCE: Duration = Duration::from_secs(60);

/// What was last noticed of each kind.
#[derive(Debug, Default)]
pub(super) struct Diagnostics([Option<Seen>; Diagnostic::KINDS]);

/// A diagnostic, when it was last true, and when it was last said.
#[derive(Debug, Clone, Copy)]
struct Seen {
    diagnostic: Diagnostic,
    at: Timestamp<Raw>,
    said: Timestamp<Raw>,
}

impl Port {
    /// Says it, unless it was said lately, or explains what needs no explanation.
    pub(super) fn diagnose(&mut self, now: Timestamp<Raw>, diagnostic: Diagnostic) {
        if diagnostic.explains() && !self.misses_a_leader(now) {
            return;
        }
        let Some(place) = self.diagnostics.0.get_mut(diagnostic.kind()) else { return };
        let said = place.map(|seen| seen.said).filter(|said| now - *said < SILENCE);
        *place = Some(Seen { diagnostic, at: now, said: said.unwrap_or(now) });
        if said.is_none() {
            self.outputs.push(Output::Diagnostic(diagnostic));
        }
    }

    /// What was noticed so far, the last of each kind, and when it was last true.
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

    /// Long enough without a leader that there is something to explain.
    fn misses_a_leader(&self, now: Timestamp<Raw>) -> bool {
        self.state == State::Listening && self.listening_since.is_some_and(|since| now - since >= PUZZLED)
    }
}
