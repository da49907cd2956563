//! Processing of a packet: it is decoded, checked against the rules, and passed on or counted.

use super::foreign_leaders::{Announced, Sender, SyncOutcome};
use super::pairing::{Pair, Paired, Pairing};
use super::rules::Standing;
use super::select::is_better;
use super::{
    Channel, Content, Counter, Decoded, Diagnostic, Head, NoTimestamp, PacketTimestamp, Port, Route,
};
use crate::announcement::Announcement;
use crate::time::{Dante, Raw, Timestamp};
use crate::wire::PortIdentity;
use std::net::SocketAddrV4;

/// Unusable Syncs in a row (no timestamp, or no Follow_Up), or Follow_Ups without a Sync, after which that is reported. The first
/// Follow_Up of a leader that appears may be received without its Sync.
const UNUSABLE_SYNCS: u32 = 8;
/// Contradictory packets of the leader that is followed after which that is reported.
const CONTRADICTIONS: u32 = 3;

/// Why a leader may not be followed.
fn refusal(Sender { identity, address }: Sender, standing: Standing, route: Route) -> Option<Diagnostic> {
    match (standing, route) {
        (Standing::Denied, _) => Some(Diagnostic::NotPermitted(identity, address)),
        (Standing::Named, _) => None,
        (_, Route::OwnHost) => Some(Diagnostic::OwnHost(identity, address)),
        (Standing::NotListed, _) => Some(Diagnostic::NotPermitted(identity, address)),
        (Standing::Permitted, Route::Unicast) => Some(Diagnostic::Unicast(identity, address)),
        (Standing::Permitted, Route::Multicast) => None,
    }
}

impl Port {
    pub(super) fn packet(
        &mut self,
        now: Timestamp<Raw>,
        channel: Channel,
        bytes: &[u8],
        (source, route): (SocketAddrV4, Route),
        arrived: Result<PacketTimestamp, NoTimestamp>,
    ) {
        let decoded = (self.protocol.decode)(bytes);
        let has_own_uuid =
            |decoded: &Decoded| self.identity.is_some_and(|own| own.uuid == decoded.head.source.uuid);
        let has_own_uuid = decoded.as_ref().is_ok_and(has_own_uuid);
        let is_of_this_host = route == Route::OwnHost;
        if channel == Channel::Event && !has_own_uuid && !is_of_this_host {
            self.diagnostics.event_received(now);
        }
        let Decoded { head, channel: expected, content } = match decoded {
            Ok(decoded) => decoded,
            Err(error) => return self.malformed(now, route, error),
        };
        let sender = Sender { identity: head.source, address: *source.ip() };
        let standing = self.rules.standing(sender);
        let is_of_leader =
            matches!(content, Content::Announce(_) | Content::Sync { .. } | Content::FollowUp { .. });
        if has_own_uuid && !is_of_this_host {
            self.counters.add(Counter::Own);
            return self.diagnose(now, Diagnostic::OnlyOwn);
        }
        // A leader on this host may have the UUID of the interface, too.
        if has_own_uuid && !is_of_leader && standing != Standing::Named {
            return self.counters.add(Counter::Own);
        }
        if is_of_leader {
            self.diagnostics.leader_received(now);
        }
        let refusal = refusal(sender, standing, route).filter(|_| is_of_leader);
        if let Some(why @ Diagnostic::OwnHost(..)) = refusal {
            // Whatever else keeps it from being followed.
            self.counters.add(Counter::NotPermitted);
            return self.diagnose(now, why);
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
        if let Some(why) = refusal {
            self.counters.add(Counter::NotPermitted);
            return self.diagnose(now, why);
        }
        match content {
            Content::Announce(announcement) => {
                self.announced(now, &head, &announcement, sender, now);
            }
            Content::Sync { announcement, origin } => {
                self.counters.add(Counter::Sync);
                self.lone_follow_ups = 0;
                let at = arrived.map_or(now, |timestamp| timestamp.raw);
                if announcement.is_none_or(|one| self.announced(now, &head, &one, sender, at)) {
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
        arrived: Timestamp<Raw>,
    ) -> bool {
        if !self.state.is_open() {
            return false;
        }
        let (preference, parent) = (self.rules.preference(sender), self.parent());
        let sync = Announced { sender, sequence_id: head.sequence_id, announcement, arrived, preference };
        match self.foreign_leaders.sync_received(now, &sync, parent) {
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
        self.report_leader(now, sender);
        true
    }

    /// Reports a leader that is passed over because it cannot be measured, and a followed one that misstates its Sync interval.
    fn report_leader(&mut self, now: Timestamp<Raw>, sender: Sender) {
        let (Some(leader), Some(followed)) = (self.foreign_leaders.get(sender), self.leader()) else {
            return;
        };
        let Sender { identity, address } = sender;
        if leader.sender() != followed.sender() {
            if let Some(defect) = leader.defect().filter(|_| is_better(leader, followed)) {
                self.diagnose(now, Diagnostic::PassedOver(identity, address, defect));
            }
        } else if leader.misstates_interval() {
            let (advertised, measured) = (leader.advertised_interval(), leader.interval());
            self.diagnose(now, Diagnostic::Interval(identity, address, advertised, measured));
        }
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
                NoTimestamp::Missing | NoTimestamp::TooOld => Counter::RxTimestampMissing,
                NoTimestamp::ClockStepped => Counter::ClockStepped,
            });
        }
        if self.parent() != Some(sender) {
            self.second_address(now, sender);
        }
        if let Some(session) = self.session.as_mut().filter(|session| session.parent == sender) {
            session.unmeasured = session.unmeasured.saturating_add(1);
        }
        let timestamp = match arrived {
            Ok(timestamp) => timestamp,
            Err(why) => return self.sync_without_timestamp(now, sender, why),
        };
        let session = self.session.as_mut().filter(|session| session.parent == sender);
        let (is_unpaired, is_unmatched) = session.map_or((false, false), |session| {
            session.without_timestamp = 0;
            session.unpaired = session.unpaired.saturating_add(u32::from(origin.is_none()));
            let is_unpaired = origin.is_none() && session.unpaired >= UNUSABLE_SYNCS;
            (is_unpaired, session.unmatched >= CONTRADICTIONS)
        });
        // If the Follow_Ups of another leader are received, the cause is not this host.
        if is_unpaired && !self.is_another_measured(now, sender) {
            // If its own Follow_Ups are received, they belong to other Syncs.
            self.diagnose(
                now,
                if is_unmatched {
                    Diagnostic::Contradicting(sender.identity)
                } else {
                    Diagnostic::NoFollowUp
                },
            );
        }
        let paired = match origin {
            Some(origin) => Some(Paired::Pair(Pair { arrived: timestamp, origin })),
            None => {
                self.foreign_leaders.pairing(sender).map(|pairing| pairing.sync(now, sequence_id, timestamp))
            }
        };
        self.paired(now, sender, paired);
    }

    fn sync_without_timestamp(&mut self, now: Timestamp<Raw>, sender: Sender, why: NoTimestamp) {
        self.foreign_leaders.without_timestamp(sender);
        let Some(session) = self.session.as_mut().filter(|session| session.parent == sender) else { return };
        // Only the kernel's or the driver's fault is a fault that stays.
        if why == NoTimestamp::TooOld {
            return;
        }
        session.without_timestamp = session.without_timestamp.saturating_add(1);
        if session.without_timestamp >= UNUSABLE_SYNCS && !self.is_another_measured(now, sender) {
            self.diagnose(
                now,
                match why {
                    NoTimestamp::ClockStepped => Diagnostic::ClockDisturbed,
                    NoTimestamp::Missing | NoTimestamp::TooOld => Diagnostic::NoTimestamps,
                },
            );
        }
    }

    /// Whether another leader was measured within the receipt timeout of the leader that is followed.
    fn is_another_measured(&self, now: Timestamp<Raw>, sender: Sender) -> bool {
        let leader = self.foreign_leaders.get(sender);
        leader.is_some_and(|leader| {
            self.foreign_leaders.is_another_measured(sender, now - leader.receipt_timeout())
        })
    }

    fn follow_up(&mut self, now: Timestamp<Raw>, sender: Sender, sync: u16, origin: Timestamp<Dante>) {
        self.counters.add(Counter::FollowUp);
        match self.parent() {
            Some(parent) if parent != sender && parent.identity == sender.identity => {
                self.second_address(now, sender);
            }
            Some(_) => {}
            None => self.lone_follow_ups = self.lone_follow_ups.saturating_add(1),
        }
        let paired = self.foreign_leaders.pairing(sender).map(|pairing| pairing.follow_up(now, sync, origin));
        if paired.is_none() && (self.session.is_some() || self.lone_follow_ups >= UNUSABLE_SYNCS) {
            self.diagnose(now, Diagnostic::NoSync);
        }
        if let Some(session) = self.session.as_mut().filter(|session| session.parent == sender) {
            session.unmatched = session.unmatched.saturating_add(1);
        }
        self.paired(now, sender, paired);
    }

    /// Handles the result of a sender's pairing; `None`: no Sync of this sender was received.
    fn paired(&mut self, now: Timestamp<Raw>, sender: Sender, paired: Option<Paired>) {
        let unpaired = self.foreign_leaders.pairing(sender).map(Pairing::take_unpaired).unwrap_or_default();
        if let Some(Paired::Pair(pair)) = &paired {
            self.foreign_leaders.paired(now, sender, pair);
            if self.parent() != Some(sender) {
                // It may have become measurable.
                self.choose(now);
            }
        }
        if self.parent() != Some(sender) {
            return;
        }
        let [syncs, follow_ups] = unpaired;
        self.counters.add_many(Counter::SyncUnpaired, syncs);
        self.counters.add_many(Counter::FollowUpUnpaired, follow_ups);
        match paired {
            Some(Paired::Pair(pair)) => self.measure(now, pair),
            Some(Paired::Waiting) | None => {}
            Some(Paired::Repeated) => self.counters.add(Counter::Repeated),
            Some(Paired::Contradicting) => self.contradicted(now, sender.identity, 1),
        }
    }

    /// Reports a sender that uses the identity of a foreign leader at another address, if that one still sends: the address of one
    /// device may change.
    fn second_address(&mut self, now: Timestamp<Raw>, sender: Sender) {
        let Some(is_contested) = self.foreign_leaders.contest(now, sender) else { return };
        self.counters.add(Counter::SecondAddress);
        if is_contested {
            self.diagnose(now, Diagnostic::SecondAddress(sender.identity, sender.address));
        }
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
