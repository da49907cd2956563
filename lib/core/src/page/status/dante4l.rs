//! The status page of dante4l: its ports, their leaders, counters and diagnostics.

use super::leaders::{DiagnosticRecord, ForeignLeaderRecord, LeaderRecord};
use crate::candidates::{Difference, MAX_CANDIDATES, PassedOver, Role};
use crate::page::record::{body, record};
use crate::page::{MapRecord, SampleRecord, Text};
use crate::port::{Counters, Diagnostic, InterfaceFault, MAX_LEADERS, Port, Sample, State, TimestampSource};
use crate::time::{ClockMap, Duration, Ratio, Raw, Timestamp};
use crate::track::KernelSync;
use crate::wire::{PortIdentity, Uuid};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Largest number of ports: the primary and the secondary Dante network.
pub const MAX_PORTS: usize = 2;
/// Largest number of interfaces that are shown with `interface = "auto"`: all candidates, and as many that are passed over.
pub const MAX_SHOWN: usize = 2 * MAX_CANDIDATES;

record! {
    /// dante4l's status page.
    pub struct Dante4lStatus {
        /// Index of the selected port, whose leader the suite follows.
        pub selected: u32,
        /// Number of entries of `ports` in use.
        pub port_count: u32,
        /// The kernel's bound on the error of CLOCK_REALTIME (maxerror), ns; valid where `kernel_clock` is synchronised.
        pub kernel_max_error_ns: i64,
        /// [`KernelClock`](crate::track::KernelClock): synchronisation of CLOCK_REALTIME according to the kernel.
        pub kernel_clock: u8,
        /// 1: dante4l chooses the networks among the candidates (`interface = "auto"`); 0: the networks were named.
        pub is_auto: u8,
        /// Zero.
        pub reserved: [u8; 2],
        /// Number of entries of `candidates` in use.
        pub candidate_count: u32,
        /// The networks that are used, the primary one first.
        pub ports: [PortRecord; MAX_PORTS],
        /// With `is_auto`: the interfaces of this host, as far as they find room.
        pub candidates: [CandidateRecord; MAX_SHOWN],
    }

    /// An interface that dante4l may use, or passes over.
    pub struct CandidateRecord {
        /// Name of the interface.
        pub interface: Text,
        /// [`Role`].
        pub role: u8,
        /// [`PassedOver`]: why it is passed over; 0: it is not.
        pub passed_over: u8,
        /// [`InterfaceFault`]: why it cannot be used.
        pub fault: u8,
        /// [`State`] of its port.
        pub state: u8,
        /// Kind of `diagnostic`.
        pub kind: u32,
        /// The leader that it receives; zeros without a leader.
        pub leader: LeaderRecord,
        /// With the roles `compared` and `another clock`: its Dante time minus that of the interface with which it is compared, ns.
        pub difference_ns: i64,
        /// The same of the rates, fraction.
        pub rate_difference: f64,
        /// The last diagnostic that explains why it receives no leader.
        pub diagnostic: DiagnosticRecord,
    }

    /// One port.
    pub struct PortRecord {
        /// Name of the interface.
        pub interface: Text,
        /// Subdomain, as it is on the wire.
        pub subdomain: [u8; 16],
        /// [`State`].
        pub state: u8,
        /// [`TimestampSource`].
        pub timestamp_source: u8,
        /// `PORT_HAS_*`.
        pub flags: u16,
        /// Number of entries of `foreign_leaders` in use.
        pub foreign_leader_count: u32,
        /// UUID of the port on the wire; zeros while it has no sockets.
        pub uuid: [u8; 6],
        /// Port number of the port on the wire; 0 while it has no sockets.
        pub port_id: u16,
        /// [`InterfaceFault`]: why the interface cannot be used.
        pub fault: u8,
        /// Zero.
        pub reserved: [u8; 7],
        /// The leader that is followed; with `PORT_HAS_LEADER`.
        pub leader: LeaderRecord,
        /// The timeline: a count of discontinuities of Dante time, from 1. Ports with the same number have the same Dante time; 0:
        /// no leader yet, or another time than that of the selected port.
        pub timeline: u64,
        /// The clock map; with `PORT_HAS_MAP`.
        pub map: MapRecord,
        /// Mean path delay, ns; with `PORT_HAS_DELAY`.
        pub path_delay_ns: i64,
        /// The last sample; with `PORT_HAS_SAMPLE`.
        pub last: SampleRecord,
        /// Counters in the order of [`Counter`](crate::port::Counter); the rest is zero.
        pub counters: [u64; 32],
        /// The foreign leaders, with the one that is followed.
        pub foreign_leaders: [ForeignLeaderRecord; MAX_LEADERS],
        /// The diagnostics, each at the index of its kind.
        pub diagnostics: [DiagnosticRecord; Diagnostic::KINDS],
    }
}

/// `PortRecord::leader` is valid.
pub const PORT_HAS_LEADER: u16 = 1;
/// `PortRecord::map` is valid.
pub const PORT_HAS_MAP: u16 = 2;
/// `PortRecord::path_delay_ns` is valid.
pub const PORT_HAS_DELAY: u16 = 4;
/// `PortRecord::last` is valid.
pub const PORT_HAS_SAMPLE: u16 = 8;

body!(Dante4lStatus, "dante4l", 17, Status 10);

impl Dante4lStatus {
    /// The selected port, whose leader the suite follows.
    pub fn selected(&self) -> Option<&PortRecord> {
        self.ports().get(self.selected as usize)
    }

    /// State of the selected port: LISTENING while dante4l still looks for a network with a leader; `None` where the number is unknown.
    pub fn state(&self) -> Option<State> {
        match self.selected() {
            None if self.is_auto == 1 => Some(State::Listening),
            port => port?.state(),
        }
    }

    /// The ports in use.
    pub fn ports(&self) -> &[PortRecord] {
        self.ports.get(..self.port_count as usize).unwrap_or(&self.ports)
    }

    /// The interfaces among which dante4l chooses, and those that it passes over; `None` if the networks were named.
    pub fn candidates(&self) -> Option<&[CandidateRecord]> {
        let shown = self.candidates.get(..self.candidate_count as usize).unwrap_or(&self.candidates);
        (self.is_auto == 1).then_some(shown)
    }

    /// Synchronisation of CLOCK_REALTIME according to the kernel; `None` where dante4l could not ask the kernel.
    pub fn kernel_sync(&self) -> Option<KernelSync> {
        KernelSync::of_numbers(self.kernel_clock, self.kernel_max_error_ns)
    }

    /// Sets the synchronisation of CLOCK_REALTIME.
    pub fn set_kernel_sync(&mut self, kernel_sync: Option<KernelSync>) {
        (self.kernel_clock, self.kernel_max_error_ns) = KernelSync::numbers(kernel_sync);
    }
}

impl CandidateRecord {
    /// The record of an interface that may be used.
    pub fn of(
        now: Timestamp<Raw>,
        interface: &str,
        port: &Port,
        fault: InterfaceFault,
        role: Role,
        difference: Option<Difference>,
    ) -> Self {
        let mut record = Self {
            interface: Text::new(interface),
            role: role as u8,
            fault: fault as u8,
            state: port.state() as u8,
            ..Self::new_zeroed()
        };
        if let Some(leader) = port.leader() {
            record.leader = leader.into();
        }
        if let Some(Difference { time, rate }) = difference {
            (record.difference_ns, record.rate_difference) = (time.ns(), rate.ppb() / 1e9);
        }
        let explanation = port.first_diagnostic(now).filter(|(found, _)| found.explains());
        if let Some((diagnostic, at)) = explanation {
            record.kind = u32::try_from(diagnostic.kind()).unwrap_or(u32::MAX);
            record.diagnostic = DiagnosticRecord::of(diagnostic, at);
        }
        record
    }

    /// The record of an interface that is passed over.
    pub fn of_passed_over(interface: &str, why: PassedOver) -> Self {
        Self { interface: Text::new(interface), passed_over: why as u8, ..Self::new_zeroed() }
    }

    /// What it is used for; `None` where the number is unknown.
    pub fn role(&self) -> Option<Role> {
        Role::from_number(self.role)
    }

    /// Why it is passed over; `None` if it is not, or the number is unknown.
    pub fn passed_over(&self) -> Option<PassedOver> {
        PassedOver::from_number(self.passed_over)
    }

    /// Why it cannot be used; `None` where the number is unknown.
    pub fn fault(&self) -> Option<InterfaceFault> {
        InterfaceFault::from_number(self.fault)
    }

    /// State of its port; `None` where the number is unknown.
    pub fn state(&self) -> Option<State> {
        State::from_number(self.state)
    }

    /// The leader that it receives.
    pub fn leader(&self) -> Option<&LeaderRecord> {
        (self.leader.port_id != 0).then_some(&self.leader)
    }

    /// How its clock differs from the one with which it is compared.
    pub fn difference(&self) -> Difference {
        let (time, rate) =
            (Duration::from_ns(self.difference_ns), Ratio::from_ppb(self.rate_difference * 1e9));
        Difference { time, rate }
    }

    /// The last diagnostic that explains why it receives no leader, and when it was last true.
    pub fn diagnostic(&self) -> Option<(Diagnostic, Timestamp<Raw>)> {
        self.diagnostic.read(self.kind as usize)
    }
}

impl PortRecord {
    /// The record of `port`. `timeline` is the number of its published timeline, `last` its last sample.
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

    /// Identity of the port on the wire; `None` while it has no sockets.
    pub fn identity(&self) -> Option<PortIdentity> {
        (self.port_id != 0).then_some(PortIdentity {
            technology: PortIdentity::ETHERNET,
            uuid: Uuid(self.uuid),
            port_id: self.port_id,
        })
    }

    /// The foreign leaders, with the one that is followed.
    pub fn foreign_leaders(&self) -> &[ForeignLeaderRecord] {
        self.foreign_leaders.get(..self.foreign_leader_count as usize).unwrap_or(&self.foreign_leaders)
    }

    /// The last diagnostic of each kind, and when it was last true.
    pub fn diagnostics(&self) -> impl Iterator<Item = (Diagnostic, Timestamp<Raw>)> {
        self.diagnostics.iter().enumerate().filter_map(|(kind, record)| record.read(kind))
    }

    /// The state; `None` where the number is unknown.
    pub fn state(&self) -> Option<State> {
        State::from_number(self.state)
    }

    /// Why the interface cannot be used; `None` where the number is unknown.
    pub fn fault(&self) -> Option<InterfaceFault> {
        InterfaceFault::from_number(self.fault)
    }

    /// The leader, if there is one.
    pub fn leader(&self) -> Option<&LeaderRecord> {
        (self.flags & PORT_HAS_LEADER != 0).then_some(&self.leader)
    }

    /// The clock map, if there is one and its numbers are finite.
    pub fn map(&self) -> Option<ClockMap> {
        self.map.checked().filter(|_| self.flags & PORT_HAS_MAP != 0)
    }

    /// The mean path delay, if it was measured or configured.
    pub fn path_delay(&self) -> Option<Duration> {
        (self.flags & PORT_HAS_DELAY != 0).then_some(Duration::from_ns(self.path_delay_ns))
    }

    /// The last sample.
    pub fn last_sample(&self) -> Option<Sample> {
        (self.flags & PORT_HAS_SAMPLE != 0).then(|| self.last.into())
    }

    /// The counters.
    pub fn counters(&self) -> Counters {
        let mut values = [0; Counters::COUNT];
        for (to, from) in values.iter_mut().zip(self.counters) {
            *to = from;
        }
        Counters::from_values(values)
    }
}

const _: () = assert!(Counters::COUNT <= 32, "PortRecord::counters has room for 32");
