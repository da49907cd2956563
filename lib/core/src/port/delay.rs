//! The path delay by Delay_Req and Delay_Resp (IEEE 1588-2002, 6.2.4.4 and 7.7).
//!
//! The map without the delay says when a Sync that arrives now left the leader, so it lags by the delay towards us. A
//! request that leaves at t3 and arrives at the leader at t4 shows `t4 - map(t3)`: both ways' delays together.

use super::{DelayMechanism, Leader, NoStamp, Notice, Stamp};
use crate::time::{ClockMap, Dante, Duration, Raw, Timestamp};
use crate::wire::{Buffer, ClockIdentifier, Flags, Header, LocalClock, PortIdentity, SyncBody};
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

/// Measures the path delay, or sends nothing at all.
#[derive(Debug)]
pub(super) struct DelayMeter {
    mechanism: DelayMechanism,
    /// How much longer a packet needs from the leader to us than the mean of both ways.
    asymmetry: Duration,
    rng: Pcg64Mcg,
    leader: Phase,
    sequence: u16,
    asked: Option<Exchange>,
    delays: ArrayVec<Duration, FILTER>,
    /// In a row.
    unstamped: u32,
    unanswered: u32,
}

/// Where the meter stands with its leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    NoLeader,
    NewLeader,
    Due(Timestamp<Raw>),
}

/// One request and what is known of it.
#[derive(Debug, Clone, Copy)]
struct Exchange {
    sequence: u16,
    left: Option<Stamp>,
    arrived: Option<Timestamp<Dante>>,
}

impl DelayMeter {
    pub(super) fn new(mechanism: DelayMechanism, asymmetry: Duration, seed: u64) -> Self {
        Self {
            mechanism,
            asymmetry,
            rng: Pcg64Mcg::seed_from_u64(seed),
            leader: Phase::NoLeader,
            sequence: 0,
            asked: None,
            delays: ArrayVec::new(),
            unstamped: 0,
            unanswered: 0,
        }
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

    /// Another leader lies at the end of another way: what was measured is void.
    pub(super) fn forget(&mut self) {
        self.delays.clear();
    }

    /// There is a leader to ask from now on.
    pub(super) fn begin(&mut self) {
        self.leader = Phase::NewLeader;
        self.asked = None;
    }

    /// There is nobody to ask. The delay known so far goes on to serve the map in holdover.
    pub(super) fn stop(&mut self) {
        self.leader = Phase::NoLeader;
        self.asked = None;
    }

    pub(super) fn due(&self) -> Option<Timestamp<Raw>> {
        match self.leader {
            Phase::Due(at) if self.asks() => Some(at),
            _ => None,
        }
    }

    /// The sequence number of a request, if one is to be sent now.
    pub(super) fn request(&mut self, now: Timestamp<Raw>, interval: Duration) -> Option<u16> {
        if !self.asks() {
            return None;
        }
        let (intervals, due) = match self.leader {
            Phase::NoLeader => return None,
            Phase::NewLeader => (FIRST, false),
            Phase::Due(at) if now >= at => (APART, true),
            Phase::Due(_) => return None,
        };
        let (from, to) = ((interval * *intervals.start()).ns(), (interval * *intervals.end()).ns());
        self.leader = Phase::Due(now + Duration::from_ns(self.rng.random_range(from..=to)));
        due.then(|| {
            self.unanswered = self.unanswered.saturating_add(u32::from(self.asked.is_some()));
            self.sequence = self.sequence.wrapping_add(1);
            self.asked = Some(Exchange { sequence: self.sequence, left: None, arrived: None });
            self.sequence
        })
    }

    pub(super) fn departed(
        &mut self,
        sequence: u16,
        stamp: Result<Stamp, NoStamp>,
        map: Option<&ClockMap>,
    ) -> Option<Notice> {
        match stamp {
            Ok(_) => self.unstamped = 0,
            Err(NoStamp::Missing) => self.unstamped = self.unstamped.saturating_add(1),
            Err(NoStamp::ClockStepped) => {}
        }
        if let Some(asked) = self.asked.as_mut().filter(|asked| asked.sequence == sequence) {
            match stamp {
                Ok(stamp) => asked.left = Some(stamp),
                Err(_) => self.asked = None,
            }
            self.complete(map);
        }
        (stamp.is_err() && self.unstamped == UNSTAMPED).then_some(Notice::NoTransmitStamps)
    }

    /// The leader seems not to answer; told once each time it begins.
    pub(super) fn is_unanswered(&self) -> bool {
        self.unanswered == UNANSWERED
    }

    pub(super) fn answered(&mut self, sequence: u16, arrived: Timestamp<Dante>, map: Option<&ClockMap>) {
        if let Some(asked) = self.asked.as_mut().filter(|asked| asked.sequence == sequence) {
            asked.arrived = Some(arrived);
            self.complete(map);
        }
    }

    fn complete(&mut self, map: Option<&ClockMap>) {
        let (Some(Exchange { left: Some(left), arrived: Some(arrived), .. }), Some(map)) = (self.asked, map)
        else {
            return;
        };
        self.asked = None;
        self.unanswered = 0;
        let delay = (arrived - map.dante_at(left.raw)) / 2;
        if delay.abs() > LONGEST {
            return;
        }
        if self.delays.is_full() {
            self.delays.remove(0);
        }
        self.delays.push(delay);
    }

    /// How long a Sync needs from the leader to us, if that is measured or given.
    pub(super) fn path_delay(&self) -> Option<Duration> {
        if let DelayMechanism::Fixed(delay) = self.mechanism {
            return Some(delay);
        }
        let mut sorted = self.delays.clone();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len().saturating_sub(1) / 2)?;
        Some(*median + self.asymmetry)
    }
}

/// A Delay_Req of a slave-only clock. It names the grandmaster that it follows, as real followers do.
pub(super) fn request_packet(source: PortIdentity, leader: &Leader, sequence_id: u16) -> Buffer {
    /// Slave-only (IEEE 1588-2002, table 3).
    const SLAVE_ONLY: u8 = 255;
    /// The default of Dante devices and ptpd.
    const VARIANCE: i16 = -4000;
    let announced = &leader.announced;
    let header =
        Header { version_network: 1, subdomain: leader.subdomain, source, sequence_id, flags: Flags::NONE };
    header.delay_req(&SyncBody {
        origin: Timestamp::ZERO,
        epoch_number: 0,
        grandmaster: announced.grandmaster,
        local: LocalClock {
            variance: VARIANCE,
            steps_removed: announced.local.steps_removed.saturating_add(1),
            stratum: SLAVE_ONLY,
            identifier: ClockIdentifier::DFLT,
        },
        parent: leader.identity,
        estimated_master_variance: 0,
        estimated_master_drift: 0,
        utc_reasonable: false,
        ..*announced
    })
}
