//! The clock page of dante4l: the leader, its clock map, and the last samples.

use super::record::{body, record};
use super::{Array, HEAD_SIZE, Shape, copy, fields_of_shape};
use crate::announcement::PtpVersion;
use crate::port::{ForeignLeader, PacketTimestamp, Port, Sample, State, TimestampSource};
use crate::time::{Affine, ClockMap, Correlation, Duration, Ratio, Timestamp, Uncertainty, Wander};
use crate::track::{KernelSync, TimelineKey, Track};
use crate::wire::{PortIdentity, Subdomain, Uuid};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Number of samples in the ring: 16 s at 4 Hz.
pub const RING: usize = 64;

record! {
    /// dante4l's clock page, version 1.
    pub struct Dante4l {
        /// [`PtpVersion`] of the leader; 0: there is no leader.
        pub protocol: u8,
        /// [`State`] of the selected port.
        pub state: u8,
        /// [`KernelClock`](crate::track::KernelClock): synchronisation of CLOCK_REALTIME according to the kernel.
        pub kernel_clock: u8,
        /// [`TimestampSource`] of the selected port.
        pub timestamp_source: u8,
        /// `CLOCK_HAS_*`, [`CLOCK_LOCKED`] and [`MAP_HAS_PATH_DELAY`].
        pub flags: u32,
        /// `TIMESCALE_*`: what the leader states about its time.
        pub timescale: u16,
        /// currentUTCOffset: the leader's time minus UTC, s.
        pub utc_offset_s: i16,
        /// domainNumber (PTPv2); 0 with PTPv1.
        pub domain: u8,
        /// Zero.
        pub reserved: [u8; 3],
        /// clockIdentity of the sender of the Syncs; with PTPv1 its UUID of 6 bytes and two zeros.
        pub sender: [u8; 8],
        /// clockIdentity of the grandmaster, in the same form.
        pub grandmaster: [u8; 8],
        /// Port number of the sender.
        pub sender_port: u16,
        /// Port number of the grandmaster (PTPv1); 0 with PTPv2.
        pub grandmaster_port: u16,
        /// Zero.
        pub reserved_2: u32,
        /// Subdomain (PTPv1), as it is on the wire.
        pub subdomain: [u8; 16],
        /// The timeline: a count of discontinuities of Dante time, from 1; 0: no leader yet.
        pub timeline: u64,
        /// The clock map; with [`CLOCK_HAS_MAP`].
        pub map: MapRecord,
        /// Mean path delay, ns; with [`CLOCK_HAS_PATH_DELAY`].
        pub path_delay_ns: i64,
        /// The kernel's bound on the error of CLOCK_REALTIME (maxerror), ns; valid where `kernel_clock` is synchronised.
        pub kernel_max_error_ns: i64,
        /// Number of samples that were ever put into `ring`.
        pub samples: u64,
        /// Zero: reserved for fields of later versions, so that the ring seldom moves.
        pub reserved_3: [u64; 14],
        /// The last samples, each of the port that was selected then. The n-th sample is at entry (n - 1) modulo the number of
        /// entries.
        pub ring: [SampleRecord; RING],
    }

    /// [`ClockMap`].
    pub struct MapRecord {
        /// Anchor, CLOCK_MONOTONIC_RAW.
        pub raw0_ns: i64,
        /// Dante time at the anchor.
        pub dante0_ns: i64,
        /// The leader's rate minus the rate of this host's oscillator, fraction.
        pub rate: f64,
        /// One standard deviation of Dante time at the anchor.
        pub offset_sigma_ns: i64,
        /// One standard deviation of the rate, fraction.
        pub rate_sigma: f64,
        /// Correlation of the errors of Dante time and of the rate at the anchor, -1 to 1.
        pub correlation: f64,
        /// Random walk of the rate: growth of its standard deviation within one second, fraction per square root of a second.
        pub wander: f64,
    }

    /// [`Sample`]: the timestamps of one Sync, unfiltered.
    pub struct SampleRecord {
        /// Number of the sample on its port, from 1.
        pub number: u64,
        /// The timeline of the sample.
        pub timeline: u64,
        /// Arrival, CLOCK_MONOTONIC_RAW.
        pub arrived_raw_ns: i64,
        /// Arrival, CLOCK_REALTIME.
        pub arrived_real_ns: i64,
        /// Departure, Dante time.
        pub origin_ns: i64,
        /// Residual against the clock map, local minus leader: positive is late.
        pub residual_ns: i64,
        /// 1: accepted by the estimator; 0: an outlier.
        pub accepted: u32,
        /// Index of the port that received the Sync.
        pub port: u32,
    }
}

body!(Dante4l, "dante4l", 1, Clock 1 {
    const ARRAY: Option<Array> = Some(Array {
        offset: HEAD_SIZE + std::mem::offset_of!(Dante4l, ring),
        stride: size_of::<SampleRecord>(),
        entries: RING,
    });

    fn of_shape(bytes: &[u8], shape: Shape) -> Self {
        let mut body: Self = fields_of_shape(bytes, shape);
        let Some(array) = shape.array else { return Self { samples: 0, ..body } };
        let held = body.samples.min(array.entries.min(RING) as u64);
        for count in body.samples - held..body.samples {
            let offset = array.offset - HEAD_SIZE + place(count, array.entries) * array.stride;
            if let (Some(to), Some(from)) = (body.ring.get_mut(place(count, RING)), bytes.get(offset..)) {
                copy(to.as_mut_bytes(), from, array.stride.min(size_of::<SampleRecord>()));
            }
        }
        body
    }
});

/// There is a leader: `protocol`, the identities, `timescale` and `utc_offset_s` are valid.
pub const CLOCK_HAS_LEADER: u32 = 1;
/// `map` is valid.
pub const CLOCK_HAS_MAP: u32 = 2;
/// `path_delay_ns` is valid.
pub const CLOCK_HAS_PATH_DELAY: u32 = 4;
/// The leader is followed now and its clock map has converged: Dante time may be used. This version sets it exactly in the state
/// SLAVE. It remains valid with later versions that have other states.
pub const CLOCK_LOCKED: u32 = 16;
/// `map` includes the path delay. Without this flag the map is computed as if the path delay were zero: the leader's time at a
/// given instant is `path_delay_ns` later than the map gives. This version sets it together with [`CLOCK_HAS_PATH_DELAY`].
pub const MAP_HAS_PATH_DELAY: u32 = 8;

/// The leader's time is PTP's own timescale: TAI since 1970 (PTPv2).
pub const TIMESCALE_PTP: u16 = 1;
/// `utc_offset_s` is valid.
pub const TIMESCALE_UTC_OFFSET_VALID: u16 = 2;
/// The leader's time is traceable to a primary reference (PTPv2).
pub const TIMESCALE_TRACEABLE: u16 = 4;
/// The leader's frequency is traceable to a primary reference (PTPv2).
pub const TIMESCALE_FREQUENCY_TRACEABLE: u16 = 8;
/// The current UTC day ends with an inserted leap second. This version sets neither this flag nor the flags of PTPv2.
pub const TIMESCALE_LEAP_61: u16 = 16;
/// The current UTC day ends with a deleted leap second.
pub const TIMESCALE_LEAP_59: u16 = 32;

impl Dante4l {
    /// Copies the state of the selected port to the page. `timeline` is the number of its published timeline.
    pub fn set_port(&mut self, port: &Port, timestamp_source: TimestampSource, timeline: u64) {
        let Self { kernel_clock, kernel_max_error_ns, samples, ring, .. } = *self;
        *self = Self {
            kernel_clock,
            timestamp_source: timestamp_source as u8,
            subdomain: port.subdomain().0,
            timeline,
            kernel_max_error_ns,
            samples,
            ring,
            ..Self::default()
        };
        self.set_state(port.state());
        if let Some(leader) = port.leader() {
            self.flags |= CLOCK_HAS_LEADER;
            self.set_leader(leader);
        }
        if let Some(map) = port.map() {
            self.flags |= CLOCK_HAS_MAP;
            self.map = map.into();
        }
        if let Some(delay) = port.path_delay() {
            self.flags |= CLOCK_HAS_PATH_DELAY | MAP_HAS_PATH_DELAY;
            self.path_delay_ns = delay.ns();
        }
    }

    /// Sets the state of the selected port and [`CLOCK_LOCKED`].
    pub fn set_state(&mut self, state: State) {
        self.state = state as u8;
        self.flags = self.flags & !CLOCK_LOCKED | if state == State::Slave { CLOCK_LOCKED } else { 0 };
    }

    fn set_leader(&mut self, leader: &ForeignLeader) {
        let announced = &leader.announced;
        self.protocol = announced.protocol as u8;
        self.sender = leader.identity.uuid.eight_bytes();
        self.sender_port = leader.identity.port_id;
        self.grandmaster = announced.grandmaster.uuid.eight_bytes();
        self.grandmaster_port = announced.grandmaster.port_id;
        self.utc_offset_s = announced.utc_offset_s;
        self.timescale = if announced.utc_reasonable { TIMESCALE_UTC_OFFSET_VALID } else { 0 };
    }

    /// The leader, for the page of this `instance`.
    pub fn track(&self, instance: u64) -> Track {
        Track { key: self.key(instance), is_locked: self.is_locked(), map: self.map() }
    }

    /// The key of the timeline, for the page of this `instance`.
    pub fn key(&self, instance: u64) -> TimelineKey {
        TimelineKey { instance, number: self.timeline }
    }

    /// Whether the leader is followed now and its clock map has converged. Unlike `state` it is valid with the page of any version.
    pub fn is_locked(&self) -> bool {
        self.has(CLOCK_LOCKED)
    }

    /// The leader's time minus UTC as the leader states it, s; `None` where the leader does not mark it as valid.
    pub fn utc_offset_s(&self) -> Option<i16> {
        let is_valid = self.has(CLOCK_HAS_LEADER) && self.timescale & TIMESCALE_UTC_OFFSET_VALID != 0;
        is_valid.then_some(self.utc_offset_s)
    }

    /// The protocol of the leader; `None` without a leader, or where the number is unknown.
    pub fn protocol(&self) -> Option<PtpVersion> {
        PtpVersion::from_number(self.protocol).filter(|_| self.has(CLOCK_HAS_LEADER))
    }

    /// The sender of the Syncs, if it is a PTPv1 leader.
    pub fn sender(&self) -> Option<PortIdentity> {
        (self.protocol()? == PtpVersion::V1).then(|| PortIdentity {
            technology: PortIdentity::ETHERNET,
            uuid: Uuid::of_eight_bytes(self.sender),
            port_id: self.sender_port,
        })
    }

    /// The subdomain that is followed (PTPv1).
    pub fn subdomain(&self) -> Subdomain {
        Subdomain(self.subdomain)
    }

    /// The clock map, if there is one and its numbers are finite.
    pub fn map(&self) -> Option<ClockMap> {
        self.map.checked().filter(|_| self.has(CLOCK_HAS_MAP))
    }

    /// The mean path delay, if it is known.
    pub fn path_delay(&self) -> Option<Duration> {
        self.has(CLOCK_HAS_PATH_DELAY).then_some(Duration::from_ns(self.path_delay_ns))
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Synchronisation of CLOCK_REALTIME according to the kernel; `None` where dante4l could not ask the kernel.
    pub fn kernel_sync(&self) -> Option<KernelSync> {
        KernelSync::of_numbers(self.kernel_clock, self.kernel_max_error_ns)
    }

    /// Sets the synchronisation of CLOCK_REALTIME.
    pub fn set_kernel_sync(&mut self, kernel_sync: Option<KernelSync>) {
        (self.kernel_clock, self.kernel_max_error_ns) = KernelSync::numbers(kernel_sync);
    }

    /// Adds a sample to the ring.
    pub fn push(&mut self, record: SampleRecord) {
        if let Some(to) = self.ring.get_mut(place(self.samples, RING)) {
            *to = record;
            self.samples += 1;
        }
    }

    /// Returns the samples after the first `seen` ones, oldest first, as far as the ring still holds them.
    pub fn samples_after(&self, seen: u64) -> impl Iterator<Item = &SampleRecord> {
        let oldest = self.samples.saturating_sub(RING as u64).max(seen);
        // The ring of another version may have fewer entries than this one: the others are empty.
        let held = (oldest..self.samples).filter_map(|count| self.ring.get(place(count, RING)));
        held.filter(|record| record.number != 0)
    }
}

impl SampleRecord {
    /// Converts `sample`, which the port of this index received.
    pub fn of(sample: &Sample, port: u32) -> Self {
        Self {
            number: sample.number,
            timeline: sample.timeline,
            arrived_raw_ns: sample.arrived.raw.ns(),
            arrived_real_ns: sample.arrived.real.ns(),
            origin_ns: sample.origin.ns(),
            residual_ns: sample.residual.ns(),
            accepted: u32::from(sample.accepted),
            port,
        }
    }
}

impl From<SampleRecord> for Sample {
    fn from(record: SampleRecord) -> Self {
        Self {
            number: record.number,
            timeline: record.timeline,
            arrived: PacketTimestamp {
                raw: Timestamp::from_ns(record.arrived_raw_ns),
                real: Timestamp::from_ns(record.arrived_real_ns),
            },
            origin: Timestamp::from_ns(record.origin_ns),
            residual: Duration::from_ns(record.residual_ns),
            accepted: record.accepted != 0,
        }
    }
}

impl From<ClockMap> for MapRecord {
    fn from(map: ClockMap) -> Self {
        Self {
            raw0_ns: map.line.raw0.ns(),
            dante0_ns: map.line.at0.ns(),
            rate: map.line.rate.fraction(),
            offset_sigma_ns: map.sigma.offset.ns(),
            rate_sigma: map.sigma.rate.fraction(),
            correlation: map.correlation.value(),
            wander: map.wander.fraction(),
        }
    }
}

impl MapRecord {
    /// The clock map, if its numbers are finite.
    pub fn checked(&self) -> Option<ClockMap> {
        let map = ClockMap {
            line: Affine {
                raw0: Timestamp::from_ns(self.raw0_ns),
                at0: Timestamp::from_ns(self.dante0_ns),
                rate: Ratio::new(self.rate),
            },
            sigma: Uncertainty {
                offset: Duration::from_ns(self.offset_sigma_ns),
                rate: Ratio::new(self.rate_sigma),
            },
            correlation: Correlation::new(self.correlation),
            wander: Wander::new(self.wander),
        };
        let is_finite = map.line.rate.is_finite() && map.sigma.rate.is_finite() && map.wander.is_finite();
        (is_finite && self.correlation.is_finite()).then_some(map)
    }
}

/// Index of the sample after the first `count` samples in a ring of `entries` entries, at most [`super::MAX_SIZE`].
#[expect(clippy::cast_possible_truncation, reason = "less than the number of entries")]
const fn place(count: u64, entries: usize) -> usize {
    (count % entries as u64) as usize
}
