//! Inputs and outputs of the port.

use super::{Diagnostic, KnownRate, State};
use crate::time::{Dante, Duration, Raw, Real, Timestamp};
use crate::wire::{Buffer, PortIdentity};
use crate::{named, numbered};
use std::fmt;
use std::net::SocketAddrV4;

/// The time of one arrival or departure, on both clocks of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketTimestamp {
    /// On CLOCK_MONOTONIC_RAW.
    pub raw: Timestamp<Raw>,
    /// On CLOCK_REALTIME: the timestamp of the kernel, or translated from the one of the network card.
    pub real: Timestamp<Real>,
}

/// Why a packet has no timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTimestamp {
    /// The kernel delivered none.
    Missing,
    /// Its clock (CLOCK_REALTIME, or the card's) was stepped between the timestamp and its translation.
    ClockStepped,
    /// It waited for so long to be read from its socket that its clock was not read before it: a step in between cannot be excluded.
    TooOld,
}

numbered! {
    /// Where a port's timestamps come from. The numbers are those on the pages.
    pub enum TimestampSource {
        /// No timestamps.
        None = 0 "none",
        /// SO_TIMESTAMPING, by the kernel.
        Software = 1 "software",
        /// SO_TIMESTAMPNS, by the kernel, receive only.
        SoftwareNs = 2 "software-ns",
        /// SO_TIMESTAMPING, by the network card.
        Hardware = 3 "hardware",
    }
}

numbered! {
    /// Why a port cannot use its network interface. The numbers are those on the pages.
    pub enum InterfaceFault {
        /// It can.
        None = 0 "none",
        /// The interface does not exist.
        Absent = 1 "absent",
        /// The interface is not up.
        Down = 2 "down",
        /// The interface has no carrier.
        NoCarrier = 3 "no-carrier",
        /// The interface has no IPv4 address.
        NoAddress = 4 "no-address",
        /// Another program uses a UDP port of PTP.
        PortInUse = 5 "port-in-use",
        /// A permission is missing.
        NotPermitted = 6 "not-permitted",
        /// The network card does not give the hardware timestamps that are required.
        Card = 7 "card",
        /// The kernel refused another request.
        System = 8 "system",
        /// The interface is a port of a bridge or a bond, which receives its packets.
        Port = 9 "bridge-port",
    }
}

impl InterfaceFault {
    /// Whether this is no interface for a network any more: it was removed, or another interface receives its packets.
    pub const fn is_gone(self) -> bool {
        matches!(self, Self::Absent | Self::Port)
    }
}

named! {
    /// The two channels of PTP, each with its UDP port and DSCP.
    pub enum Channel {
        /// Sync and Delay_Req, with timestamps. UDP port 319, DSCP CS7.
        Event "event",
        /// Follow_Up, Delay_Resp and Management. UDP port 320, DSCP EF.
        General "general",
    }
}

impl Channel {
    /// The differentiated services code point (DSCP) that Dante devices use, by which switches prioritise.
    pub const fn dscp(self) -> u8 {
        match self {
            Self::Event => 56,
            Self::General => 46,
        }
    }
}

/// How a packet came to this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// From another host, to the multicast group.
    Multicast,
    /// From another host, to an address of this one.
    Unicast,
    /// From a program on this host.
    OwnHost,
}

/// Identifies one packet to be sent. It is neither `Copy` nor `Clone`, so that each packet gets one timestamp at most.
#[derive(Debug, PartialEq, Eq)]
pub struct SendToken(pub(super) u16);

/// Events that the port processes.
#[derive(Debug)]
pub enum Input<'a> {
    /// The sockets are open and the interface is up. From now on this identity is the source of the port's packets, and packets
    /// with its UUID are ignored.
    Opened(PortIdentity),
    /// The interface or the sockets failed.
    Failed,
    /// A packet arrived.
    Packet {
        /// Through which socket.
        channel: Channel,
        /// UDP payload.
        bytes: &'a [u8],
        /// The sender's address.
        source: SocketAddrV4,
        /// How it came.
        route: Route,
        /// The time of arrival, if known. Only event packets have timestamps.
        arrived: Result<PacketTimestamp, NoTimestamp>,
    },
    /// A packet of [`Output::Send`] was sent, or at least passed to the kernel.
    Departed {
        /// The packet.
        token: SendToken,
        /// The time of departure, if known.
        timestamp: Result<PacketTimestamp, NoTimestamp>,
    },
    /// The kernel dropped this number of packets since the last such event, because a socket buffer was full (SO_RXQ_OVFL).
    Dropped(u32),
    /// The sockets left the multicast group and joined it again, so that the kernel sends an IGMP report.
    Rejoined,
    /// The deadline was reached.
    Deadline,
}

/// What to send, log or publish.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Multicast this event packet to the subdomain's group, and report its departure.
    Send {
        /// UDP payload.
        packet: Buffer,
        /// To be returned with [`Input::Departed`].
        token: SendToken,
    },
    /// The state changed.
    Changed {
        /// The old state.
        from: State,
        /// The new state.
        to: State,
        /// Why it changed.
        reason: Reason,
    },
    /// Dante time is not continuous: a new timeline starts.
    Timeline {
        /// Its number.
        number: u64,
        /// The cause.
        reason: Discontinuity,
    },
    /// One Sync was measured.
    Sample(Sample),
    /// A condition that explains a missing lock or needs attention.
    Diagnostic(Diagnostic),
    /// The rate of a leader to be saved for the next start: it is known well, or was when the port left that leader.
    Rate(KnownRate),
}

/// One measured Sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Counts the samples of this port from 1.
    pub number: u64,
    /// The timeline that it belongs to.
    pub timeline: u64,
    /// When the Sync arrived.
    pub arrived: PacketTimestamp,
    /// When it left the leader, by the leader's clock.
    pub origin: Timestamp<Dante>,
    /// The measurement minus the clock map, local minus leader.
    pub residual: Duration,
    /// Whether the outlier test accepted it.
    pub accepted: bool,
}

/// Why the state changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The sockets were opened.
    Opened,
    /// The interface or the sockets failed.
    Failed,
    /// This foreign leader was chosen.
    ForeignLeader(PortIdentity),
    /// The rate is known well enough.
    Converged,
    /// The leader's time jumped.
    Jumped,
    /// The leader returned after this time, which was too long for the clock map.
    Returned(Duration),
    /// Syncs are received, but for this time none could be measured.
    Unmeasured(Duration),
    /// Too many measurements in a row were rejected: the clock map is fitted again.
    Refitted,
    /// The rate has become too uncertain, because the Syncs scatter by this.
    Scattered(Duration),
    /// No Sync was received for this time.
    Silence(Duration),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened => write!(f, "interface ready"),
            Self::Failed => write!(f, "interface failed"),
            Self::ForeignLeader(identity) => write!(f, "leader {identity} chosen"),
            Self::Converged => write!(f, "rate estimate of the leader converged"),
            Self::Jumped => write!(f, "the leader's time jumped"),
            Self::Returned(absence) => write!(f, "the leader returned after {:.0} s", absence.secs_f64()),
            Self::Unmeasured(span) => {
                write!(f, "Syncs received, but none could be measured for {:.1} s", span.secs_f64())
            }
            Self::Refitted => write!(f, "the path delay or the leader's rate changed: estimating again"),
            Self::Scattered(by) => write!(
                f,
                "the leader's rate has become too uncertain, because Syncs scatter by {:.3} ms",
                by.secs_f64() * 1e3
            ),
            Self::Silence(span) => write!(f, "no Sync received for {:.1} s", span.secs_f64()),
        }
    }
}

/// Why Dante time is not continuous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discontinuity {
    /// The first leader since the start.
    First(PortIdentity),
    /// Another device is the leader.
    AnotherLeader(PortIdentity),
    /// The same device, but its time went back or its sequence numbers restarted: it was rebooted. Its time jumped by this.
    Reboot(Duration),
    /// The same device, but its time jumped by this: it was set.
    Jump(Duration),
    /// The same device after an absence of this length: the extrapolated clock map has become too uncertain to show whether its time
    /// continued.
    Absence(Duration),
}

impl fmt::Display for Discontinuity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First(identity) => write!(f, "first leader {identity}"),
            Self::AnotherLeader(identity) => write!(f, "new leader {identity}"),
            Self::Reboot(size) => {
                write!(f, "the leader was rebooted, its time jumped by {:+.6} s", size.secs_f64())
            }
            Self::Jump(size) => {
                write!(f, "the leader's time jumped by {:+.6} s: it was set", size.secs_f64())
            }
            Self::Absence(span) => write!(
                f,
                "the leader returned after {:.0} s, too long to check whether its time continued",
                span.secs_f64()
            ),
        }
    }
}
