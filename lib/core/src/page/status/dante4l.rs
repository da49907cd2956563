//! The status page of dante4l: its ports, their leaders, counters and diagnostics.

use super::leaders::{DiagnosticRecord, ForeignLeaderRecord, LeaderRecord};
use crate::page::record::{body, record};
use crate::page::{MapRecord, SampleRecord, Text};
use crate::port::{Counters, Diagnostic, MAX_LEADERS, Port, Sample, State, TimestampSource};
use crate::time::{ClockMap, Duration, Raw, Timestamp};
use crate::track::KernelSync;
use crate::wire::{PortIdentity, Uuid};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Dante's primary and secondary network.
pub const MAX_PORTS: usize = 2;
record! {
    /// dante4l's status page.
    pub struct Dante4lStatus {
        /// Index of the port that the rest of the suite follows.
        pub selected: u32,
        /// How many of `ports` are in use.
        pub port_count: u32,
        /// Bound on the error of CLOCK_REALTIME by the kernel (maxerror), ns; valid where `kernel_clock` says synchronised.
        pub kernel_max_error_ns: i64,
        /// [`KernelClock`](crate::track::KernelClock): CLOCK_REALTIME as the kernel publishes it.
        pub kernel_clock: u8,
        /// Zero.
        pub reserved: [u8; 7],
        /// One for each `-i`.
        pub ports: [PortRecord; MAX_PORTS],
    }

    /// One port.
    pub struct PortRecord {
        /// Interface.
        pub interface: Text,
        /// Subdomain, as it is on the wire.
        pub subdomain: [u8; 16],
        /// [`State`].
        pub state: u8,
        /// [`TimestampSource`].
        pub timestamp_source: u8,
        /// `PORT_HAS_*`.
        pub flags: u16,
        /// How many of `heard` are in use.
        pub foreign_leader_count: u32,
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
        pub foreign_leaders: [ForeignLeaderRecord; MAX_LEADERS],
        /// What was noticed, each kind at the place of its number.
        pub diagnostics: [DiagnosticRecord; Diagnostic::KINDS],
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

body!(Dante4lStatus, "dante4l", 17, Status 5);

impl Dante4lStatus {
    /// The port that the rest of the suite follows.
    pub fn selected(&self) -> Option<&PortRecord> {
        self.ports().get(self.selected as usize)
    }

    /// The ports in use.
    pub fn ports(&self) -> &[PortRecord] {
        self.ports.get(..self.port_count as usize).unwrap_or(&self.ports)
    }

    /// CLOCK_REALTIME as the kernel publishes it; `None` where the kernel could not be asked.
    pub fn kernel_sync(&self) -> Option<KernelSync> {
        KernelSync::of_numbers(self.kernel_clock, self.kernel_max_error_ns)
    }

    /// Sets that.
    pub fn set_kernel_sync(&mut self, word: Option<KernelSync>) {
        (self.kernel_clock, self.kernel_max_error_ns) = KernelSync::numbers(word);
    }
}

impl PortRecord {
    /// The state of `port`: on the published timeline of this number, where `last` stands for its last Sync.
    pub fn of(
        port: &Port,
        interface: &str,
        timestamp_source: TimestampSource,
        timeline: u64,
        last: Option<SampleRecord>,
    ) -> Self {
        let mut record = Self {
            interface: Text::new(interface),
            subdomain: port.subdomain().0,
            state: port.state() as u8,
            timestamp_source: timestamp_source as u8,
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
        for (to, leader) in record.foreign_leaders.iter_mut().zip(port.foreign_leaders()) {
            *to = leader.into();
            record.foreign_leader_count += 1;
        }
        for (diagnostic, at) in port.diagnostics() {
            if let Some(to) = record.diagnostics.get_mut(diagnostic.kind()) {
                *to = DiagnosticRecord::of(diagnostic, at);
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
    pub fn foreign_leaders(&self) -> &[ForeignLeaderRecord] {
        self.foreign_leaders.get(..self.foreign_leader_count as usize).unwrap_or(&self.foreign_leaders)
    }

    /// What was noticed, the last of each kind, and when it was last true.
    pub fn diagnostics(&self) -> impl Iterator<Item = (Diagnostic, Timestamp<Raw>)> {
        self.diagnostics.iter().enumerate().filter_map(|(kind, record)| record.read(kind))
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
        self.map.checked().filter(|_| self.flags & PORT_HAS_MAP != 0)
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
