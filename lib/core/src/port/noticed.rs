//! When a diagnostic is reported, and how often.

use super::{Counter, Notice, Output, Port, State};
use crate::time::{Duration, Raw, Timestamp};
use crate::wire::WireError;

/// So long a leader may keep itself waiting before others who are heard are told of.
const PUZZLED: Duration = Duration::from_secs(4);
/// What is of one kind is said once in so long, whatever it says: names in it come from the network, and are many if
/// somebody wants them to be.
const SILENCE: Duration = Duration::from_secs(60);

/// What was last noticed of each kind.
#[derive(Debug, Default)]
pub(super) struct Noticed([Option<Seen>; Notice::KINDS]);

/// A notice, when it was last true, and when it was last said.
#[derive(Debug, Clone, Copy)]
struct Seen {
    notice: Notice,
    at: Timestamp<Raw>,
    said: Timestamp<Raw>,
}

impl Port {
    /// Says it, unless it was said lately, or explains what needs no explanation.
    pub(super) fn notice(&mut self, now: Timestamp<Raw>, notice: Notice) {
        if notice.explains() && !self.misses_a_leader(now) {
            return;
        }
        let Some(place) = self.noticed.0.get_mut(notice.kind()) else { return };
        let said = place.map(|seen| seen.said).filter(|said| now - *said < SILENCE);
        *place = Some(Seen { notice, at: now, said: said.unwrap_or(now) });
        if said.is_none() {
            self.outputs.push(Output::Notice(notice));
        }
    }

    /// What was noticed so far, the last of each kind, and when it was last true.
    pub fn notices(&self) -> impl Iterator<Item = (Notice, Timestamp<Raw>)> {
        self.noticed.0.iter().flatten().map(|seen| (seen.notice, seen.at))
    }

    pub(super) fn malformed(&mut self, now: Timestamp<Raw>, error: WireError) {
        let counter = Counter::of_error(error);
        self.counters.add(counter);
        match error {
            WireError::Version2 => self.notice(now, Notice::OnlyPtpV2),
            WireError::Version(version) => self.notice(now, Notice::UnknownVersion(version)),
            _ if counter == Counter::WrongLength => self.notice(now, Notice::WrongLength),
            _ => {}
        }
    }

    /// Long enough without a leader that there is something to explain.
    fn misses_a_leader(&self, now: Timestamp<Raw>) -> bool {
        self.state == State::Listening && self.listening_since.is_some_and(|since| now - since >= PUZZLED)
    }
}
