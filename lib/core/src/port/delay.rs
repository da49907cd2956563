//! The path delay by Delay_Req and Delay_Resp (IEEE 1588-2002, 6.2.4.4 and 7.7).
//!
//! The map without the delay says when a Sync that arrives now left the leader, so it lags by the delay towards us. A
//! request that leaves at t3 and arrives at the leader at t4 shows `t4 - map(t3)`: both ways' delays together.

use super::{
    Counter, DelayMechanism, Diagnostic, Head, NoTimestamp, Output, PacketTimestamp, Port, SendToken,
};
use crate::time::{Dante, Duration, Raw, Timestamp};
use arrayvec::ArrayVec;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::ops::RangeInclusive;

/// The first request comes so many Sync intervals after a leader was chosen, so that not all followers ask at once.
const FIRST: RangeInclusive<i64> = 4..=7;
/// And then so many apart (PTP_DELAY_REQ_INTERVAL is 30).
const APART: RangeInclusive<i64> = 2..=30;
/// The median of so many exchanges is believed, the lower one of an even number: queues only add. A minimum would not
/// do: the map lags by the mean of what Syncs need, and it is that mean which is looked for, not the shortest way.
const FILTER: usize = 9;
/// So many requests in a row without a transmit stamp, and no more are sent: nothing is learnt from them.
const UNSTAMPED: u32 = 5;
/// So many in a row without an answer are worth a word.
const UNANSWERED: u32 = 5;
/// A delay beyond this is none of a local network.
const LONGEST: Duration = Duration::from_ms(10);

/// Decides when to send requests, if they are sent at all.
#[derive(Debug)]
pub(super) struct DelayMeter {
    mechanism: DelayMechanism,
    /// How much longer a packet needs from the leader to us than the mean of both ways.
    asymmetry: Duration,
    rng: Pcg64Mcg,
    sequence: u16,
    /// In a row.
    unstamped: u32,
    unanswered: u32,
}

/// The requests to the leader of one session.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// When the next one is due; `None` before the first is planned.
    due: Option<Timestamp<Raw>>,
    open: Option<Exchange>,
}

/// One request and what is known of it.
#[derive(Debug, Clone, Copy)]
struct Exchange {
    sequence: u16,
    left: Option<PacketTimestamp>,
    arrived: Option<Timestamp<Dante>>,
}

/// The last delays on the path to one leader. They serve its map in holdover too.
#[derive(Debug, Clone, Default)]
pub(super) struct PathDelays(ArrayVec<Duration, FILTER>);

impl PathDelays {
    fn add(&mut self, delay: Duration) {
        if delay.abs() > LONGEST {
            return;
        }
        if self.0.is_full() {
            self.0.remove(0);
        }
        self.0.push(delay);
    }

    fn median(&self) -> Option<Duration> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len().saturating_sub(1) / 2).copied()
    }
}

impl Requests {
    /// The open exchange, if it is the one of this request.
    fn open(&mut self, sequence: u16) -> Option<&mut Exchange> {
        self.open.as_mut().filter(|open| open.sequence == sequence)
    }
}

impl DelayMeter {
    pub(super) fn new(mechanism: DelayMechanism, asymmetry: Duration, seed: u64) -> Self {
        let rng = Pcg64Mcg::seed_from_u64(seed);
        Self { mechanism, asymmetry, rng, sequence: 0, unstamped: 0, unanswered: 0 }
    }

    /// The sockets are new: they may give stamps where the old ones did not.
    pub(super) fn opened(&mut self) {
        self.unstamped = 0;
        self.unanswered = 0;
    }

    /// Requests make sense.
    fn asks(&self) -> bool {
        self.mechanism == DelayMechanism::E2e && self.unstamped < UNSTAMPED
    }

    pub(super) fn due(&self, requests: &Requests) -> Option<Timestamp<Raw>> {
        requests.due.filter(|_| self.asks())
    }

    /// The sequence number of a request, if one is to be sent now.
    fn request(&mut self, now: Timestamp<Raw>, interval: Duration, requests: &mut Requests) -> Option<u16> {
        if !self.asks() {
            return None;
        }
        let (intervals, is_due) = match requests.due {
            None => (FIRST, false),
            Some(at) if now >= at => (APART, true),
            Some(_) => return None,
        };
        let (from, to) = ((interval * *intervals.start()).ns(), (interval * *intervals.end()).ns());
        requests.due = Some(now + Duration::from_ns(self.rng.random_range(from..=to)));
        is_due.then(|| {
            self.unanswered = self.unanswered.saturating_add(u32::from(requests.open.is_some()));
            self.sequence = self.sequence.wrapping_add(1);
            requests.open = Some(Exchange { sequence: self.sequence, left: None, arrived: None });
            self.sequence
        })
    }

    /// How long a Sync needs from the leader to us, if that is given or was measured.
    pub(super) fn path_delay(&self, measured: Option<&PathDelays>) -> Option<Duration> {
        match self.mechanism {
            DelayMechanism::Fixed(delay) => Some(delay),
            _ => Some(measured?.median()? + self.asymmetry),
        }
    }
}

impl Port {
    pub(super) fn request_delay(&mut self, now: Timestamp<Raw>) {
        let (Some(leader), Some(source), Some(session)) =
            (self.leader().copied(), self.identity, &mut self.session)
        else {
            return;
        };
        let Some(sequence_id) = self.delay.request(now, leader.interval, &mut session.requests) else {
            return;
        };
        let head = Head { domain: self.subdomain, source, sequence_id };
        let packet = (self.protocol.delay_req)(&head, leader.identity, &leader.announced);
        self.counters.add(Counter::DelayReqSent);
        // Once each time that it begins.
        if self.delay.unanswered == UNANSWERED {
            self.diagnose(now, Diagnostic::NoDelayResp);
        }
        self.outputs.push(Output::Send { packet, token: SendToken(sequence_id) });
    }

    pub(super) fn departed(
        &mut self,
        now: Timestamp<Raw>,
        SendToken(sequence): SendToken,
        stamp: Result<PacketTimestamp, NoTimestamp>,
    ) {
        let unstamped = &mut self.delay.unstamped;
        match stamp {
            Ok(_) => *unstamped = 0,
            Err(NoTimestamp::Missing) => *unstamped = unstamped.saturating_add(1),
            Err(NoTimestamp::ClockStepped) => {}
        }
        let is_useless = stamp.is_err() && *unstamped == UNSTAMPED;
        if let Some(session) = &mut self.session
            && let Some(open) = session.requests.open(sequence)
        {
            match stamp {
                Ok(stamp) => open.left = Some(stamp),
                Err(_) => session.requests.open = None,
            }
            self.complete_exchange();
        }
        if stamp.is_err() {
            self.counters.add(Counter::TxTimestampMissing);
        }
        if is_useless {
            self.diagnose(now, Diagnostic::NoTransmitTimestamps);
        }
    }

    /// The leader has answered the request of this number.
    pub(super) fn answered(&mut self, sequence: u16, arrived: Timestamp<Dante>) {
        if let Some(open) = self.session.as_mut().and_then(|session| session.requests.open(sequence)) {
            open.arrived = Some(arrived);
            self.complete_exchange();
        }
    }

    fn complete_exchange(&mut self) {
        let map = self.estimator.map();
        let (Some(session), Some(timeline), Some(map)) = (&mut self.session, &mut self.timeline, map) else {
            return;
        };
        if let Some(Exchange { left: Some(left), arrived: Some(arrived), .. }) = session.requests.open {
            session.requests.open = None;
            self.delay.unanswered = 0;
            timeline.delays.add((arrived - map.dante_at(left.raw)) / 2);
        }
    }
}
