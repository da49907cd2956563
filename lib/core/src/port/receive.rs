//! What becomes of a packet: read, held against the rules, and handed on or counted.

use super::leaders::{Heard, Sender};
use super::pairing::{Pair, Paired};
use super::{Channel, Counter, NoStamp, Notice, Port, Stamp};
use crate::time::{Raw, Timestamp};
use crate::wire::{DelayResp, FollowUp, Header, Message, Packet, PortIdentity, SyncBody};
use std::net::SocketAddrV4;

/// So many Syncs in a row that cannot be used are worth a word.
const UNUSABLE: u32 = 8;
/// So many measurements of another time, with others between them that fit, and it is said.
const CONTRADICTIONS: u32 = 3;

impl Port {
    pub(super) fn packet(
        &mut self,
        now: Timestamp<Raw>,
        channel: Channel,
        bytes: &[u8],
        source: SocketAddrV4,
        arrived: Result<Stamp, NoStamp>,
    ) {
        let packet = match Packet::parse(bytes) {
            Ok(packet) => packet,
            Err(error) => return self.malformed(now, error),
        };
        if self.identity.is_some_and(|own| own.uuid == packet.header.source.uuid) {
            self.counters.add(Counter::Own);
            return self.notice(now, Notice::OnlyOwn);
        }
        if packet.header.subdomain != self.subdomain {
            self.counters.add(Counter::OtherSubdomain);
            if matches!(packet.message, Message::Sync(_)) {
                self.notice(now, Notice::OtherSubdomain(packet.header.subdomain));
            }
            return;
        }
        let expected = match packet.message {
            Message::Sync(_) | Message::DelayReq(_) => Channel::Event,
            Message::FollowUp(_) | Message::DelayResp(_) | Message::Management(_) => Channel::General,
        };
        if channel != expected {
            return self.counters.add(Counter::WrongPort);
        }
        let sender = Sender { identity: packet.header.source, address: *source.ip() };
        match packet.message {
            Message::Sync(_) | Message::FollowUp(_) if !self.rules.permits(sender) => {
                self.counters.add(Counter::NotPermitted);
                self.notice(now, Notice::NotPermitted(sender.identity, sender.address));
            }
            Message::Sync(body) => self.sync(now, &packet.header, &body, sender, arrived),
            Message::FollowUp(body) => self.follow_up(now, sender, body),
            Message::DelayResp(body) => self.delay_resp(sender, body),
            Message::DelayReq(_) => self.counters.add(Counter::DelayReq),
            Message::Management(_) => self.counters.add(Counter::Management),
        }
    }

    fn sync(
        &mut self,
        now: Timestamp<Raw>,
        header: &Header,
        body: &SyncBody,
        sender: Sender,
        arrived: Result<Stamp, NoStamp>,
    ) {
        self.counters.add(Counter::Sync);
        if !self.state.is_open() {
            return;
        }
        let preferred = self.rules.prefers(sender);
        match self.leaders.heard(now, header, body, sender, preferred, self.parent) {
            Heard::Taken => {}
            Heard::Repeated => return self.counters.add(Counter::Repeated),
            heard => {
                self.counters.add(Counter::TooManyLeaders);
                self.notice(now, Notice::TooManyLeaders);
                if heard == Heard::NoRoom {
                    return;
                }
            }
        }
        self.choose(now);
        if let Err(why) = arrived {
            self.counters.add(match why {
                NoStamp::Missing => Counter::RxStampMissing,
                NoStamp::ClockStepped => Counter::ClockStepped,
            });
        }
        if self.parent != Some(sender) {
            if self.leaders.is_claimed_elsewhere(sender) {
                self.claimed_twice(now, sender);
            }
            return;
        }
        let stamp = match arrived {
            Ok(stamp) => stamp,
            Err(why) => {
                self.unstamped = self.unstamped.saturating_add(1);
                if self.unstamped == UNUSABLE {
                    self.notice(
                        now,
                        match why {
                            NoStamp::Missing => Notice::NoStamps,
                            NoStamp::ClockStepped => Notice::ClockDisturbed,
                        },
                    );
                }
                return;
            }
        };
        self.unstamped = 0;
        if header.flags.assist() {
            self.unpaired = self.unpaired.saturating_add(1);
            if self.unpaired == UNUSABLE {
                self.notice(now, Notice::NoFollowUp);
            }
            let paired = self.pairing.sync(now, header.sequence_id, stamp);
            self.paired(now, sender, paired);
        } else {
            self.measure(now, Pair { arrived: stamp, origin: body.origin });
        }
    }

    fn follow_up(&mut self, now: Timestamp<Raw>, sender: Sender, body: FollowUp) {
        self.counters.add(Counter::FollowUp);
        match self.parent {
            Some(parent) if parent == sender => {
                let paired = self.pairing.follow_up(now, body.associated_sequence_id, body.precise_origin);
                self.paired(now, sender, paired);
            }
            Some(parent) if parent.identity == sender.identity => self.claimed_twice(now, sender),
            Some(_) => {}
            None => self.notice(now, Notice::NoSync),
        }
    }

    fn paired(&mut self, now: Timestamp<Raw>, sender: Sender, paired: Paired) {
        let [syncs, follow_ups] = self.pairing.take_in_vain();
        self.counters.add_many(Counter::SyncUnpaired, syncs);
        self.counters.add_many(Counter::FollowUpUnpaired, follow_ups);
        match paired {
            Paired::Pair(pair) => self.measure(now, pair),
            Paired::Waiting => {}
            Paired::Repeated => self.counters.add(Counter::Repeated),
            Paired::Contradicting => self.contradicted(now, sender.identity, 1),
        }
    }

    /// Somebody else claims to be a leader that is heard.
    fn claimed_twice(&mut self, now: Timestamp<Raw>, sender: Sender) {
        self.counters.add(Counter::SecondAddress);
        self.notice(now, Notice::SecondAddress(sender.identity, sender.address));
    }

    pub(super) fn contradicted(&mut self, now: Timestamp<Raw>, leader: PortIdentity, times: u32) {
        self.counters.add_many(Counter::Contradicting, u64::from(times));
        self.contradictions = self.contradictions.saturating_add(times);
        if self.contradictions >= CONTRADICTIONS {
            self.notice(now, Notice::Contradicting(leader));
        }
    }

    fn delay_resp(&mut self, sender: Sender, body: DelayResp) {
        self.counters.add(Counter::DelayResp);
        if Some(body.requesting) == self.identity && Some(sender) == self.parent {
            let map = self.estimator.map();
            self.delay.answered(body.requesting_sequence_id, body.received, map.as_ref());
        }
    }
}
