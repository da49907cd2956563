//! The path delay by Delay_Req and Delay_Resp (IEEE 1588-2002, 6.2.4.4 and 7.7).
//!
//! The clock map without the delay gives the time at which a Sync that arrives now left the leader, so it lags by the delay from
//! the leader to this port. A request that leaves at t3 and reaches the leader at t4 yields `t4 - map(t3)`: the sum of both delays.

use super::path_drift::OtherPath;
use super::{
    Counter, DelayMechanism, Diagnostic, Head, NoTimestamp, Output, PacketTimestamp, Port, SendToken, State,
};
use crate::estimate::sigma_of;
use crate::time::{Dante, Duration, Raw, Timestamp};
use arrayvec::ArrayVec;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::ops::RangeInclusive;

/// Sync intervals from the choice of a leader to the first request, random, so that the followers do not all send at once.
const FIRST_REQUEST: RangeInclusive<i64> = 4..=7;
/// Sync intervals between two requests, random (PTP_DELAY_REQ_INTERVAL is 30).
const REQUEST_INTERVALS: RangeInclusive<i64> = 2..=30;
/// Length of the median filter, exchanges; the lower median of an even number, as queues only add delay. A minimum would be
/// wrong: the clock map lags by the mean delay of the Syncs, so the mean is wanted and not the shortest delay.
const MEDIAN_LENGTH: usize = 9;
/// Standard deviation of the median of normal values, relative to that of their mean.
const MEDIAN_SIGMA: f64 = 1.2533;
/// Requests in a row without a transmit timestamp after which no more are sent, because they yield no measurement.
const MAX_WITHOUT_TIMESTAMP: u32 = 5;
/// Requests in a row without an answer after which that is reported.
const UNANSWERED: u32 = 5;
/// Upper bound of a plausible path delay on a local network; longer ones are discarded.
const MAX_DELAY: Duration = Duration::from_ms(10);

/// Decides when to send requests.
#[derive(Debug)]
pub(super) struct DelayMeter {
    mechanism: DelayMechanism,
    /// No request is sent, whatever the mechanism.
    is_held: bool,
    /// The delay from the leader to this port minus the mean of both directions.
    asymmetry: Duration,
    rng: Pcg64Mcg,
    sequence: u16,
    /// Requests in a row without a transmit timestamp.
    without_timestamp: u32,
}

/// The requests to the leader of one session.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Requests in a row without an answer, while Syncs of the leader are measured.
    unanswered: u32,
    /// When the next one is due; `None` before the first is scheduled.
    due: Option<Timestamp<Raw>>,
    open: Option<Exchange>,
}

/// One request: when it was sent, and when the leader received it.
#[derive(Debug, Clone, Copy)]
struct Exchange {
    sequence: u16,
    sent: Option<PacketTimestamp>,
    received: Option<Timestamp<Dante>>,
}

/// The last delays on the path to one leader. They remain in holdover.
#[derive(Debug, Clone, Default)]
pub(super) struct PathDelays(ArrayVec<Duration, MEDIAN_LENGTH>);

impl PathDelays {
    /// Adds a delay. Returns whether it is plausible.
    fn add(&mut self, delay: Duration) -> bool {
        if delay.abs() > MAX_DELAY {
            return false;
        }
        if self.0.is_full() {
            self.0.remove(0);
        }
        self.0.push(delay);
        true
    }

    /// Returns the standard deviation of the median; `None` without a measured delay. `noise` is that of a Sync: one delay is half the
    /// sum of two ways.
    pub(super) fn uncertainty(&self, noise: Duration) -> Option<Duration> {
        let median = self.median()?;
        let distances: ArrayVec<f64, MEDIAN_LENGTH> =
            self.0.iter().map(|delay| (*delay - median).ns_f64().abs()).collect();
        let scatter = sigma_of(&distances)?.max(noise.ns_f64() / 2.0);
        Some(Duration::from_ns_f64(MEDIAN_SIGMA * scatter / (self.0.len() as f64).sqrt()))
    }

    fn median(&self) -> Option<Duration> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len().saturating_sub(1) / 2).copied()
    }
}

impl Requests {
    /// The open exchange, if it has this sequence number.
    fn open(&mut self, sequence: u16) -> Option<&mut Exchange> {
        self.open.as_mut().filter(|open| open.sequence == sequence)
    }
}

impl DelayMeter {
    pub(super) fn new(mechanism: DelayMechanism, asymmetry: Duration, seed: u64) -> Self {
        let rng = Pcg64Mcg::seed_from_u64(seed);
        Self { mechanism, asymmetry, rng, is_held: false, sequence: 0, without_timestamp: 0 }
    }

    /// Starts counting again: new sockets may deliver timestamps where the old ones did not.
    pub(super) fn opened(&mut self) {
        self.without_timestamp = 0;
    }

    /// Whether requests are sent.
    fn is_active(&self) -> bool {
        self.mechanism == DelayMechanism::E2e && !self.is_held && !self.has_given_up()
    }

    fn has_given_up(&self) -> bool {
        self.without_timestamp >= MAX_WITHOUT_TIMESTAMP
    }

    pub(super) fn due(&self, requests: &Requests) -> Option<Timestamp<Raw>> {
        requests.due.filter(|_| self.is_active())
    }

    /// Returns the sequence number of a request, if one is to be sent now.
    fn request(&mut self, now: Timestamp<Raw>, interval: Duration, requests: &mut Requests) -> Option<u16> {
        if !self.is_active() {
            return None;
        }
        let (intervals, is_due) = match requests.due {
            None => (FIRST_REQUEST, false),
            Some(at) if now >= at => (REQUEST_INTERVALS, true),
            Some(_) => return None,
        };
        let (from, to) = ((interval * *intervals.start()).ns(), (interval * *intervals.end()).ns());
        requests.due = Some(now + Duration::from_ns(self.rng.random_range(from..=to)));
        is_due.then(|| {
            let is_unanswered = requests.open.is_some_and(|open| open.received.is_none());
            requests.unanswered = requests.unanswered.saturating_add(u32::from(is_unanswered));
            self.sequence = self.sequence.wrapping_add(1);
            requests.open = Some(Exchange { sequence: self.sequence, sent: None, received: None });
            self.sequence
        })
    }

    /// The delay of a Sync from the leader to this port, if given or measured.
    pub(super) fn path_delay(&self, measured: Option<&PathDelays>) -> Option<Duration> {
        match self.mechanism {
            DelayMechanism::Fixed(delay) => Some(delay),
            _ => Some(measured?.median()? + self.asymmetry),
        }
    }
}

impl Port {
    /// Whether no Delay_Req is sent for now, whatever the configuration: on an interface that is not used.
    pub fn hold_requests(&mut self, is_held: bool) {
        self.delay.is_held = is_held;
    }

    pub(super) fn request_delay(&mut self, now: Timestamp<Raw>) {
        if self.delay.has_given_up() {
            self.diagnostics.renew(now, Diagnostic::NoTransmitTimestamps);
        }
        let (Some(leader), Some(source), Some(session)) =
            (self.leader().copied(), self.identity, &mut self.session)
        else {
            return;
        };
        let Some(sequence_id) = self.delay.request(now, leader.interval().duration(), &mut session.requests)
        else {
            return;
        };
        let head = Head { domain: self.subdomain, source, sequence_id };
        let packet = (self.protocol.delay_req)(&head, leader.identity, &leader.announced);
        self.counters.add(Counter::DelayReqSent);
        if self.state != State::Slave {
            // What keeps its Syncs from being measured may keep its answers away, too.
            session.requests.unanswered = 0;
        } else if session.requests.unanswered >= UNANSWERED {
            self.diagnose(now, Diagnostic::NoDelayResp);
        }
        self.outputs.push(Output::Send { packet, token: SendToken(sequence_id) });
    }

    pub(super) fn departed(
        &mut self,
        now: Timestamp<Raw>,
        SendToken(sequence): SendToken,
        timestamp: Result<PacketTimestamp, NoTimestamp>,
    ) {
        let missing = &mut self.delay.without_timestamp;
        match timestamp {
            Ok(_) => *missing = 0,
            Err(NoTimestamp::Missing) => *missing = missing.saturating_add(1),
            Err(NoTimestamp::ClockStepped | NoTimestamp::TooOld) => {}
        }
        let gives_up = timestamp.is_err() && *missing == MAX_WITHOUT_TIMESTAMP;
        if let Some(session) = &mut self.session
            && let Some(open) = session.requests.open(sequence)
        {
            match timestamp {
                Ok(timestamp) => open.sent = Some(timestamp),
                Err(_) => session.requests.open = None,
            }
            self.complete_exchange(now);
        }
        if timestamp.is_err() {
            self.counters.add(Counter::TxTimestampMissing);
        }
        if gives_up {
            self.diagnose(now, Diagnostic::NoTransmitTimestamps);
        }
    }

    /// Processes the leader's answer to the request of this sequence number.
    pub(super) fn delay_resp(&mut self, now: Timestamp<Raw>, sequence: u16, received: Timestamp<Dante>) {
        if let Some(open) = self.session.as_mut().and_then(|session| session.requests.open(sequence)) {
            open.received = Some(received);
            self.complete_exchange(now);
        }
    }

    fn complete_exchange(&mut self, now: Timestamp<Raw>) {
        let map = self.estimator.map();
        let (Some(session), Some(timeline), Some(map)) = (&mut self.session, &mut self.timeline, map) else {
            return;
        };
        if let Some(Exchange { sent: Some(sent), received: Some(received), .. }) = session.requests.open {
            session.requests.open = None;
            session.requests.unanswered = 0;
            let both = received - map.dante_at(sent.raw);
            if timeline.delays.add(both / 2) {
                self.compare(now, OtherPath::DelayReq, 0, &map, sent.raw, both);
            }
        }
    }
}
