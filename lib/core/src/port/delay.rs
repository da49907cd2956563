//! The path delay by Delay_Req and Delay_Resp (IEEE 1588-2002, 6.2.4.4 and 7.7).
//!
//! The map without the delay says when a Sync that arrives now left the leader, so it lags by the delay towards us. A
//! request that leaves at t3 and arrives at the leader at t4 shows `t4 - map(t3)`: both ways' delays together.

use super::{DelayMechanism, Leader, Stamp};
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
/// The median of so many exchanges is believed.
const FILTER: usize = 9;
/// A delay beyond this is none of a local network.
const LONGEST: Duration = Duration::from_ms(10);

/// Measures the path delay, or sends nothing at all.
#[derive(Debug)]
pub(super) struct DelayMeter {
    mechanism: DelayMechanism,
    rng: Pcg64Mcg,
    leader: Phase,
    sequence: u16,
    asked: Option<Exchange>,
    delays: ArrayVec<Duration, FILTER>,
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
    pub(super) fn new(mechanism: DelayMechanism, seed: u64) -> Self {
        Self {
            mechanism,
            rng: Pcg64Mcg::seed_from_u64(seed),
            leader: Phase::NoLeader,
            sequence: 0,
            asked: None,
            delays: ArrayVec::new(),
        }
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
        match (self.mechanism, self.leader) {
            (DelayMechanism::E2e, Phase::Due(at)) => Some(at),
            _ => None,
        }
    }

    /// The sequence number of a request, if one is to be sent now.
    pub(super) fn request(&mut self, now: Timestamp<Raw>, interval: Duration) -> Option<u16> {
        if self.mechanism == DelayMechanism::None {
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
            self.sequence = self.sequence.wrapping_add(1);
            self.asked = Some(Exchange { sequence: self.sequence, left: None, arrived: None });
            self.sequence
        })
    }

    pub(super) fn departed(&mut self, sequence: u16, stamp: Option<Stamp>, map: Option<&ClockMap>) {
        if let Some(asked) = self.asked.as_mut().filter(|asked| asked.sequence == sequence) {
            match stamp {
                Some(stamp) => asked.left = Some(stamp),
                None => self.asked = None,
            }
            self.complete(map);
        }
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
        let delay = (arrived - map.dante_at(left.raw)) / 2;
        if delay.abs() > LONGEST {
            return;
        }
        if self.delays.is_full() {
            self.delays.remove(0);
        }
        self.delays.push(delay);
    }

    pub(super) fn path_delay(&self) -> Option<Duration> {
        let mut sorted = self.delays.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
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
