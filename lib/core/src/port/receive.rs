//! Processing of a packet: it is decoded, checked against the rules, and passed on or counted.

use super::foreign_leaders::{Sender, SyncOutcome};
use super::pairing::{Pair, Paired};
use super::{Channel, Content, Counter, Decoded, Diagnostic, Head, NoTimestamp, PacketTimestamp, Port};
use crate::announcement::Announcement;
use crate::time::{Dante, Raw, Timestamp};
use crate::wire::PortIdentity;
use std::net::SocketAddrV4;

/// Unusable Syncs in a row (no timestamp, or no Follow_Up) after which that is reported.
const UNUSABLE_SYNCS: u32 = 8;
/// Contradictory packets of the leader that is followed after which that is reported.
const CONTRADICTIONS: u32 = 3;

impl Port {
    pub(super) fn packet(
        &mut self,
        now: Timestamp<Raw>,
        channel: Channel,
        bytes: &[u8],
        source: SocketAddrV4,
        arrived: Result<PacketTimestamp, NoTimestamp>,
    ) {
        let Decoded { head, channel: expected, content } = match (self.protocol.decode)(bytes) {
            Ok(decoded) => decoded,
            Err(error) => return self.malformed(now, error),
        };
        if self.identity.is_some_and(|own| own.uuid == head.source.uuid) {
            self.counters.add(Counter::Own);
            return self.diagnose(now, Diagnostic::OnlyOwn);
        }
        if head.domain != self.subdomain {
            self.counters.add(Counter::OtherSubdomain);
            if matches!(content, Content::Sync { .. } | Content::Announce(_)) {
                self.diagnose(now, Diagnostic::OtherSubdomain(head.domain));
            }
            return;
        }
        if channel != expected {
            return self.counters.add(Counter::WrongPort);
        }
        let sender = Sender { identity: head.source, address: *source.ip() };
        match content {
            Content::Announce(_) | Content::Sync { .. } | Content::FollowUp { .. }
                if !self.rules.permits(sender) =>
            {
                self.counters.add(Counter::NotPermitted);
                self.diagnose(now, Diagnostic::NotPermitted(sender.identity, sender.address));
            }
            Content::Announce(announcement) => {
                self.announced(now, &head, &announcement, sender);
            }
            Content::Sync { announcement, origin } => {
                self.counters.add(Counter::Sync);
                if announcement.is_none_or(|announcement| self.announced(now, &head, &announcement, sender)) {
                    self.sync(now, head.sequence_id, origin, sender, arrived);
                }
            }
            Content::FollowUp { sync, origin } => self.follow_up(now, sender, sync, origin),
            Content::DelayResp { requesting, request, received } => {
                self.counters.add(Counter::DelayResp);
                if Some(requesting) == self.identity && Some(sender) == self.parent() {
                    self.delay_resp(now, request, received);
                }
            }
            Content::DelayReq => self.counters.add(Counter::DelayReq),
            Content::Management => self.counters.add(Counter::Management),
        }
    }

    /// Enters an announcement in the table of foreign leaders and selects again. Returns `false` if the message must not be used.
    fn announced(
        &mut self,
        now: Timestamp<Raw>,
        head: &Head,
        announcement: &Announcement,
        sender: Sender,
    ) -> bool {
        if !self.state.is_open() {
            return false;
        }
        let (preferred, parent) = (self.rules.prefers(sender), self.parent());
        match self.foreign_leaders.sync_received(now, head, announcement, sender, preferred, parent) {
            SyncOutcome::Accepted => {}
            SyncOutcome::Repeated => {
                self.counters.add(Counter::Repeated);
                return false;
            }
            outcome @ (SyncOutcome::Displacing | SyncOutcome::NoRoom) => {
                self.counters.add(Counter::TooManyLeaders);
                self.diagnose(now, Diagnostic::TooManyLeaders);
                if outcome == SyncOutcome::NoRoom {
                    return false;
                }
            }
        }
        self.choose(now);
        true
    }

    fn sync(
        &mut self,
        now: Timestamp<Raw>,
        sequence_id: u16,
        origin: Option<Timestamp<Dante>>,
        sender: Sender,
        arrived: Result<PacketTimestamp, NoTimestamp>,
    ) {
        if let Err(why) = arrived {
            self.counters.add(match why {
                NoTimestamp::Missing => Counter::RxTimestampMissing,
                NoTimestamp::ClockStepped => Counter::ClockStepped,
            });
        }
        let Some(session) = self.session.as_mut().filter(|session| session.parent == sender) else {
            if self.foreign_leaders.is_claimed_elsewhere(sender) {
                self.second_address(now, sender);
            }
            return;
        };
        let timestamp = match arrived {
            Ok(timestamp) => timestamp,
            Err(why) => {
                session.without_timestamp = session.without_timestamp.saturating_add(1);
                if session.without_timestamp >= UNUSABLE_SYNCS {
                    self.diagnose(
                        now,
                        match why {
                            NoTimestamp::Missing => Diagnostic::NoTimestamps,
                            NoTimestamp::ClockStepped => Diagnostic::ClockDisturbed,
                        },
                    );
                }
                return;
            }
        };
        session.without_timestamp = 0;
        if let Some(origin) = origin {
            return self.measure(now, Pair { arrived: timestamp, origin });
        }
        session.unpaired = session.unpaired.saturating_add(1);
        let is_unpaired = session.unpaired >= UNUSABLE_SYNCS;
        let paired = session.pairing.sync(now, sequence_id, timestamp);
        if is_unpaired {
            self.diagnose(now, Diagnostic::NoFollowUp);
        }
        self.paired(now, sender, paired);
    }

    fn follow_up(&mut self, now: Timestamp<Raw>, sender: Sender, sync: u16, origin: Timestamp<Dante>) {
        self.counters.add(Counter::FollowUp);
        match &mut self.session {
            Some(session) if session.parent == sender => {
                let paired = session.pairing.follow_up(now, sync, origin);
                self.paired(now, sender, paired);
            }
            Some(session) if session.parent.identity == sender.identity => self.second_address(now, sender),
            Some(_) => {}
            None => self.diagnose(now, Diagnostic::NoSync),
        }
    }

    fn paired(&mut self, now: Timestamp<Raw>, sender: Sender, paired: Paired) {
        if let Some(session) = &mut self.session {
            let [syncs, follow_ups] = session.pairing.take_unpaired();
            self.counters.add_many(Counter::SyncUnpaired, syncs);
            self.counters.add_many(Counter::FollowUpUnpaired, follow_ups);
        }
        match paired {
            Paired::Pair(pair) => self.measure(now, pair),
            Paired::Waiting => {}
            Paired::Repeated => self.counters.add(Counter::Repeated),
            Paired::Contradicting => self.contradicted(now, sender.identity, 1),
        }
    }

    /// Reports a sender that uses the identity of a foreign leader at another address.
    fn second_address(&mut self, now: Timestamp<Raw>, sender: Sender) {
        self.counters.add(Counter::SecondAddress);
        self.diagnose(now, Diagnostic::SecondAddress(sender.identity, sender.address));
    }

    pub(super) fn contradicted(&mut self, now: Timestamp<Raw>, leader: PortIdentity, times: u32) {
        self.counters.add_many(Counter::Contradicting, u64::from(times));
        let Some(session) = &mut self.session else { return };
        session.contradictions = session.contradictions.saturating_add(times);
        if session.contradictions >= CONTRADICTIONS {
            self.diagnose(now, Diagnostic::Contradicting(leader));
        }
    }
}
