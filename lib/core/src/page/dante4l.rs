//! The page of dante4l: what the network says.

mod heard;

pub use heard::{HeardRecord, LeaderRecord, NoticeRecord};

use super::Text;
use super::record::{body, record};
use crate::numbered;
use crate::port::{Counters, MAX_LEADERS, Notice, Port, Sample, Stamp, State};
use crate::time::{Affine, ClockMap, Correlation, Duration, Ratio, Raw, Timestamp, Uncertainty, Wander};
use crate::track::{KernelWord, TimelineKey, Track};
use crate::wire::{PortIdentity, Uuid};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Dante's primary and secondary network.
pub const MAX_PORTS: usize = 2;
/// Samples kept: 16 s at 4 Hz.
pub const RING: usize = 64;

record! {
    /// dante4l: what the network says.
    pub struct Dante4l {
        /// Index of the port that the rest of the suite follows.
        pub selected: u32,
        /// How many of `ports` are in use.
        pub port_count: u32,
        /// [`KernelClock`]: what the kernel says of CLOCK_REALTIME.
        pub kernel_clock: u32,
        /// Zero.
        pub reserved: u32,
        /// By at most this CLOCK_REALTIME is wrong, says the kernel; of no meaning unless it is synchronised.
        pub kernel_max_error_ns: i64,
        /// One for each `-i`.
        pub ports: [PortRecord; MAX_PORTS],
        /// How many samples were ever put into `ring`.
        pub samples: u64,
        /// The last samples of the ports selected; number n stands at (n - 1) % RING.
        pub ring: [SampleRecord; RING],
    }

    /// One port.
    pub struct PortRecord {
        /// Interface.
        pub interface: Text,
        /// Subdomain, as it is on the wire.
        pub subdomain: [u8; 16],
        /// [`State`].
        pub state: u8,
        /// [`StampSource`].
        pub stamp_source: u8,
        /// `PORT_HAS_*`.
        pub flags: u16,
        /// How many of `heard` are in use.
        pub heard_count: u32,
        /// Its own UUID on the wire; zeros while it has no sockets.
        pub uuid: [u8; 6],
        /// Its own port number on the wire.
        pub port_id: u16,
        /// The leader that is followed; of no meaning without `PORT_HAS_LEADER`.
        pub leader: LeaderRecord,
        /// The timeline: a count of discontinuities of Dante time, from 1. Ports with the same number tell the same time; 0: no
        /// leader yet, or a time other than that of the port selected.
        pub timeline: u64,
        /// The map; of no meaning without `PORT_HAS_MAP`.
        pub map: MapRecord,
        /// Mean path delay, ns; of no meaning without `PORT_HAS_DELAY`.
        pub path_delay_ns: i64,
        /// The last Sync; of no meaning without `PORT_HAS_SAMPLE`.
        pub last: SampleRecord,
        /// In the order of [`Counter`](crate::port::Counter); the rest is zero.
        pub counters: [u64; 32],
        /// The leaders that are heard, the one followed among them.
        pub heard: [HeardRecord; MAX_LEADERS],
        /// What was noticed, each kind at the place of its number.
        pub notices: [NoticeRecord; Notice::KINDS],
    }
}

/// `PortRecord::leader` means something.
pub const PORT_HAS_LEADER: u16 = 1;
/// `PortRecord::map` means something.
pub const PORT_HAS_MAP: u16 = 2;
/// `PortRecord::path_delay_ns` means something.
pub const PORT_HAS_DELAY: u16 = 4;
/// `PortRecord::last` means something.
pub const PORT_HAS_SAMPLE: u16 = 8;

record! {
    /// [`ClockMap`].
    pub struct MapRecord {
        /// Anchor, CLOCK_MONOTONIC_RAW.
        pub raw0_ns: i64,
        /// Dante time there.
        pub dante0_ns: i64,
        /// Leader's rate minus ours, fraction.
        pub rate: f64,
        /// One standard deviation of Dante time at the anchor.
        pub offset_sigma_ns: i64,
        /// One standard deviation of the rate, fraction.
        pub rate_sigma: f64,
        /// Correlation of both errors.
        pub correlation: f64,
        /// Growth of the rate's standard deviation over a second, fraction.
        pub wander: f64,
    }

    /// [`Sample`], a pair of stamps as raw as they were taken.
    pub struct SampleRecord {
        /// Counts the port's samples from 1.
        pub number: u64,
        /// The timeline that it belongs to.
        pub timeline: u64,
        /// Arrival, CLOCK_MONOTONIC_RAW.
        pub arrived_raw_ns: i64,
        /// Arrival, CLOCK_REALTIME.
        pub arrived_real_ns: i64,
        /// Departure, Dante time.
        pub origin_ns: i64,
        /// Local minus leader, against the map.
        pub residual_ns: i64,
        /// 1: it was believed.
        pub accepted: u32,
        /// The port that it came through.
        pub port: u32,
    }
}

body!(Dante4l, "dante4l", 1, 4);

numbered! {
    /// What the kernel says of CLOCK_REALTIME (adjtimex with modes 0).
    pub enum KernelClock {
        /// It could not be asked.
        Unknown = 0 "unknown",
        /// STA_UNSYNC is set.
        Unsynchronised = 1 "unsynchronised",
        /// Somebody keeps it right.
        Synchronised = 2 "synchronised",
    }

    /// Where a port's time stamps come from.
    pub enum StampSource {
        /// There are none.
        None = 0 "none",
        /// SO_TIMESTAMPING, by the kernel.
        Software = 1 "software",
        /// SO_TIMESTAMPNS, by the kernel, receive only.
        SoftwareNs = 2 "software-ns",
        /// SO_TIMESTAMPING, by the network card.
        Hardware = 3 "hardware",
    }
}

impl Dante4l {
    /// The port that the rest of the suite follows.
    pub fn selected(&self) -> Option<&PortRecord> {
        self.ports().get(self.selected as usize)
    }

    /// The ports in use.
    pub fn ports(&self) -> &[PortRecord] {
        self.ports.get(..self.port_count as usize).unwrap_or(&self.ports)
    }

    /// The leader, for a page of this `instance`.
    pub fn track(&self, instance: u64) -> Option<Track> {
        let port = self.selected()?;
        Some(Track {
            key: TimelineKey { instance, number: port.timeline },
            state: port.state()?,
            map: port.map(),
        })
    }

    /// What the kernel says of CLOCK_REALTIME; `None` where it could not be asked.
    pub fn kernel_word(&self) -> Option<KernelWord> {
        match u8::try_from(self.kernel_clock).ok().and_then(KernelClock::from_number)? {
            KernelClock::Unknown => None,
            KernelClock::Unsynchronised => Some(KernelWord::Unsynchronised),
            KernelClock::Synchronised => {
                Some(KernelWord::Synchronised(Duration::from_ns(self.kernel_max_error_ns)))
            }
        }
    }

    /// Sets that.
    pub fn set_kernel_word(&mut self, word: Option<KernelWord>) {
        let (clock, max_error) = match word {
            None => (KernelClock::Unknown, Duration::ZERO),
            Some(KernelWord::Unsynchronised) => (KernelClock::Unsynchronised, Duration::ZERO),
            Some(KernelWord::Synchronised(max_error)) => (KernelClock::Synchronised, max_error),
        };
        self.kernel_clock = u32::from(clock as u8);
        self.kernel_max_error_ns = max_error.ns();
    }

    /// Puts a sample into the ring.
    pub fn push(&mut self, record: SampleRecord) {
        if let Some(place) = self.ring.get_mut(place(self.samples)) {
            *place = record;
            self.samples += 1;
        }
    }

    /// The samples that followed the first `seen`, oldest first, as far as the ring still holds them.
    pub fn samples_after(&self, seen: u64) -> impl Iterator<Item = &SampleRecord> {
        let oldest = self.samples.saturating_sub(RING as u64).max(seen);
        (oldest..self.samples).filter_map(|n| self.ring.get(place(n)))
    }
}

impl PortRecord {
    /// The state of `port`: on the published timeline of this number, where `last` stands for its last Sync.
    pub fn of(
        port: &Port,
        interface: &str,
        stamp_source: StampSource,
        timeline: u64,
        last: Option<SampleRecord>,
    ) -> Self {
        let mut record = Self {
            interface: Text::new(interface),
            subdomain: port.subdomain().0,
            state: port.state() as u8,
            stamp_source: stamp_source as u8,
            timeline,
            ..Self::new_zeroed()
        };
        if let Some(leader) = port.leader() {
            record.flags |= PORT_HAS_LEADER;
            record.leader = leader.into();
        }
        if let Some(map) = port.map() {
            record.flags |= PORT_HAS_MAP;
            record.map = map.into();
        }
        if let Some(delay) = port.path_delay() {
            record.flags |= PORT_HAS_DELAY;
            record.path_delay_ns = delay.ns();
        }
        if let Some(last) = last {
            record.flags |= PORT_HAS_SAMPLE;
            record.last = last;
        }
        if let Some(identity) = port.identity() {
            record.uuid = identity.uuid.0;
            record.port_id = identity.port_id;
        }
        for (to, from) in record.counters.iter_mut().zip(port.counters().values()) {
            *to = *from;
        }
        for (to, leader) in record.heard.iter_mut().zip(port.heard()) {
            *to = leader.into();
            record.heard_count += 1;
        }
        for (notice, at) in port.notices() {
            if let Some(to) = record.notices.get_mut(notice.kind()) {
                *to = NoticeRecord::of(notice, at);
            }
        }
        record
    }

    /// Who it is on the wire; `None` while it has no sockets.
    pub fn identity(&self) -> Option<PortIdentity> {
        (self.port_id != 0).then_some(PortIdentity {
            technology: PortIdentity::ETHERNET,
            uuid: Uuid(self.uuid),
            port_id: self.port_id,
        })
    }

    /// The leaders that are heard, the one followed among them.
    pub fn heard(&self) -> &[HeardRecord] {
        self.heard.get(..self.heard_count as usize).unwrap_or(&self.heard)
    }

    /// What was noticed, the last of each kind, and when it was last true.
    pub fn notices(&self) -> impl Iterator<Item = (Notice, Timestamp<Raw>)> {
        self.notices.iter().enumerate().filter_map(|(kind, record)| record.read(kind))
    }

    /// Its state; `None` where the number is not one.
    pub fn state(&self) -> Option<State> {
        State::from_number(self.state)
    }

    /// The leader, if there is one.
    pub fn leader(&self) -> Option<&LeaderRecord> {
        (self.flags & PORT_HAS_LEADER != 0).then_some(&self.leader)
    }

    /// The map, if anything is known, and if its numbers are numbers.
    pub fn map(&self) -> Option<ClockMap> {
        let map = ClockMap::from(self.map);
        let sane = map.line.rate.is_finite() && map.sigma.rate.is_finite() && map.wander.is_finite();
        (self.flags & PORT_HAS_MAP != 0 && sane && self.map.correlation.is_finite()).then_some(map)
    }

    /// The mean path delay, if it was measured.
    pub fn path_delay(&self) -> Option<Duration> {
        (self.flags & PORT_HAS_DELAY != 0).then_some(Duration::from_ns(self.path_delay_ns))
    }

    /// The last Sync that was measured.
    pub fn last_sample(&self) -> Option<Sample> {
        (self.flags & PORT_HAS_SAMPLE != 0).then(|| self.last.into())
    }

    /// What was heard.
    pub fn counters(&self) -> Counters {
        let mut values = [0; Counters::COUNT];
        for (to, from) in values.iter_mut().zip(self.counters) {
            *to = from;
        }
        Counters::from_values(values)
    }
}

const _: () = assert!(Counters::COUNT <= 32, "PortRecord::counters has room for 32");

impl SampleRecord {
    /// `sample`, that came through the port of this index.
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
            arrived: Stamp {
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

impl From<MapRecord> for ClockMap {
    fn from(record: MapRecord) -> Self {
        Self {
            line: Affine {
                raw0: Timestamp::from_ns(record.raw0_ns),
                at0: Timestamp::from_ns(record.dante0_ns),
                rate: Ratio::new(record.rate),
            },
            sigma: Uncertainty {
                offset: Duration::from_ns(record.offset_sigma_ns),
                rate: Ratio::new(record.rate_sigma),
            },
            correlation: Correlation::new(record.correlation),
            wander: Wander::new(record.wander),
        }
    }
}

/// Where the sample after the first `count` stands in the ring.
#[expect(clippy::cast_possible_truncation, reason = "less than RING")]
const fn place(count: u64) -> usize {
    (count % RING as u64) as usize
}
