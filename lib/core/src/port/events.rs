//! What goes into the port and what comes out of it.

use super::{Diagnostic, KnownRate, State};
use crate::time::{Dante, Duration, Raw, Real, Timestamp};
use crate::wire::{Buffer, PortIdentity};
use crate::{named, numbered};
use std::fmt;
use std::net::SocketAddrV4;

/// One instant of arrival or departure, on both clocks of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketTimestamp {
    /// On CLOCK_MONOTONIC_RAW.
    pub raw: Timestamp<Raw>,
    /// On CLOCK_REALTIME, as the kernel stamped it.
    pub real: Timestamp<Real>,
}

/// Why a packet has no stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTimestamp {
    /// The kernel gave none.
    Missing,
    /// CLOCK_REALTIME was stepped between the stamp and its translation.
    ClockStepped,
}

numbered! {
    /// Where a port's timestamps come from. The numbers are those on the pages.
    pub enum TimestampSource {
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

named! {
    /// PTP's two channels, each with a port and a precedence of its own.
    pub enum Channel {
        /// Sync and Delay_Req, stamped by the kernel. Port 319, DSCP CS7.
        Event "event",
        /// Follow_Up, Delay_Resp and Management. Port 320, DSCP EF.
        General "general",
    }
}

impl Channel {
    /// The differentiated services code point that Dante devices use; their switches queue by it.
    pub const fn dscp(self) -> u8 {
        match self {
            Self::Event => 56,
            Self::General => 46,
        }
    }
}

/// Names one packet that was handed out for sending. It can be neither copied nor cloned, so one packet sent gives
/// one stamp.
#[derive(Debug, PartialEq, Eq)]
pub struct SendToken(pub(super) u16);

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The sockets are open and the interface is up. From now on the port calls itself so, and knows its own packets
    /// by it.
    Opened(PortIdentity),
    /// The interface or the sockets failed.
    Failed,
    /// A packet arrived.
    Packet {
        /// Through which socket.
        channel: Channel,
        /// UDP payload.
        bytes: &'a [u8],
        /// Who sent it.
        source: SocketAddrV4,
        /// When, if it is known. Only event packets are stamped.
        arrived: Result<PacketTimestamp, NoTimestamp>,
    },
    /// A packet that [`Output::Send`] handed out has left, or at least was given to the kernel.
    Departed {
        /// Which one.
        token: SendToken,
        /// When, if it is known.
        stamp: Result<PacketTimestamp, NoTimestamp>,
    },
    /// The kernel dropped so many packets since this was said last, for want of room in a socket (SO_RXQ_OVFL).
    Dropped(u32),
    /// The membership of the multicast group was told to the network anew.
    Rejoined,
    /// The deadline came.
    Deadline,
}

/// What is to be done or told.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Multicast this event packet to the subdomain's group, and report its departure.
    Send {
        /// UDP payload.
        packet: Buffer,
        /// To be handed back with [`Input::Departed`].
        token: SendToken,
    },
    /// The state changed.
    Changed {
        /// From this.
        from: State,
        /// To this.
        to: State,
        /// Because of this.
        reason: Reason,
    },
    /// Dante time is not continuous with what it was: the timeline has this number from now on.
    Timeline {
        /// The new number.
        number: u64,
        /// What broke.
        reason: Discontinuity,
    },
    /// One Sync was measured.
    Sample(Sample),
    /// Something heard that explains a missing lock, or that is not as it should be.
    Diagnostic(Diagnostic),
    /// The rate of a leader is known well, or was when it was left: worth remembering until the next start.
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
    /// Local minus leader, against the map.
    pub residual: Duration,
    /// Whether it was believed.
    pub accepted: bool,
}

/// Why the state changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The sockets are open.
    Opened,
    /// The interface or the sockets failed.
    Failed,
    /// This leader is the best of those heard.
    ForeignLeader(PortIdentity),
    /// The rate is known well enough.
    Converged,
    /// The leader's time jumped.
    Jumped,
    /// Syncs come, but for so long none could be measured.
    Unmeasured(Duration),
    /// Too many measurements in a row were not believed: the map is fitted anew.
    Refitted,
    /// No Sync for so long.
    Silence(Duration),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened => write!(f, "interface ready"),
            Self::Failed => write!(f, "interface failed"),
            Self::ForeignLeader(identity) => write!(f, "leader {identity} chosen"),
            Self::Converged => write!(f, "rate of the leader known"),
            Self::Jumped => write!(f, "the leader's time jumped"),
            Self::Unmeasured(span) => {
                write!(f, "Syncs arrive, but none could be measured for {:.1} s", span.secs_f64())
            }
            Self::Refitted => write!(f, "the path or the leader's rate changed, and the map is fitted anew"),
            Self::Silence(span) => write!(f, "no Sync for {:.1} s", span.secs_f64()),
        }
    }
}

/// Why Dante time is not continuous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discontinuity {
    /// The first leader since the start.
    First(PortIdentity),
    /// Another device leads.
    AnotherLeader(PortIdentity),
    /// The same device, but its time went back by so much, or its sequence numbers began anew: it was rebooted.
    Reboot(Duration),
    /// The same device, but its time jumped by so much: it was set.
    Jump(Duration),
}

impl fmt::Display for Discontinuity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First(identity) => write!(f, "first leader {identity}"),
            Self::AnotherLeader(identity) => write!(f, "another leader, {identity}"),
            Self::Reboot(size) => {
                write!(f, "the leader was rebooted, its time jumped by {:+.6} s", size.secs_f64())
            }
            Self::Jump(size) => {
                write!(f, "the leader's time jumped by {:+.6} s: it was set", size.secs_f64())
            }
        }
    }
}
