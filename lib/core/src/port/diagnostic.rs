//! Diagnostics of a port: conditions that explain a missing lock or need attention.

use super::{Defect, State, SyncInterval};
use crate::explain::{Explain, sentence};
use crate::time::Duration;
use crate::wire::{PortIdentity, Subdomain, Uuid};
use std::fmt;
use std::net::Ipv4Addr;

/// The table of all kinds: number (index on the status page), whether it explains a missing leader and is reported only then,
/// name and arguments, the problem, and the remedy. Everything else is derived from it.
macro_rules! diagnostics {
    ($($(#[$doc:meta])* $number:literal $explains:literal $kind:ident $(($($field:ident: $type:ty),+))? $what:literal $(=> $remedy:literal)?)+) => {
        /// A condition that explains a missing lock or needs attention.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Diagnostic { $($(#[$doc])* $kind $(($($type),+))?,)+ }

        impl Diagnostic {
            /// Number of kinds.
            pub const KINDS: usize = [$($number),+].len();

            /// The number of its kind, from 0: the index on the status page.
            pub const fn kind(self) -> usize {
                match self { $(Self::$kind { .. } => $number,)+ }
            }

            /// Whether it explains a missing leader, and is reported only then.
            pub const fn explains(self) -> bool {
                match self { $(Self::$kind { .. } => $explains,)+ }
            }

            /// Its arguments, one after the other in native byte order, padded with zeros.
            pub(crate) fn arguments(self) -> [u8; ARGUMENT_BYTES] {
                let mut arguments = Arguments::default();
                match self { $(Self::$kind $(($($field),+))? => { $($($field.put(&mut arguments);)+)? })+ }
                arguments.bytes
            }

            /// Returns the diagnostic of this kind with these arguments; `None` for an unknown kind.
            pub(crate) fn of(kind: usize, arguments: [u8; ARGUMENT_BYTES]) -> Option<Self> {
                let mut arguments = Arguments { bytes: arguments, at: 0 };
                match kind {
                    $($number => Some(Self::$kind $(($(<$type>::take(&mut arguments)),+))?),)+
                    _ => None,
                }
            }
        }

        impl Explain for Diagnostic {
            fn what(&self) -> String {
                match self { $(Self::$kind $(($($field),+))? => format!($what),)+ }
            }

            fn remedy(&self) -> Option<String> {
                match self { $(Self::$kind { .. } => None$(.or(Some($remedy.into())))?,)+ }
            }
        }

        impl fmt::Display for Diagnostic {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                sentence(self, f)
            }
        }
    };
}

diagnostics! {
    /// PTPv2 on the same groups and ports, but no PTPv1.
    0 true OnlyPtpV2
    "receiving only PTPv2: the devices use AES67 or PTPv2"
    => "enable PTPv1 (Dante) on one of them"

    /// PTPv1 in another subdomain.
    1 true OtherSubdomain(name: Subdomain)
    "receiving PTPv1 of subdomain {name}, but another subdomain is configured"
    => "to follow it, set subdomain in the configuration"

    /// Two-step Syncs without their Follow_Up.
    2 false NoFollowUp
    "receiving Syncs without Follow_Ups: UDP port 320 may be blocked by a firewall or used by another program"
    => "sudo pmc-lite doctor names the firewall rule or the program"

    /// Follow_Ups without any Sync.
    3 true NoSync
    "receiving Follow_Ups without Syncs: UDP port 319 may be blocked by a firewall or used by another program"
    => "sudo pmc-lite doctor names the firewall rule or the program"

    /// Syncs without a timestamp of the kernel.
    4 false NoTimestamps
    "receiving Syncs without kernel timestamps: nothing can be measured"

    /// Syncs that arrive while CLOCK_REALTIME is stepped or slewed fast.
    5 false ClockDisturbed
    "another program steps the system clock repeatedly or slews it by more than 500 ppm: nothing can be measured meanwhile"
    => "stop that program"

    /// Only packets with this host's own UUID, which no program on this host has sent.
    6 true OnlyOwn
    "receiving only packets with this host's own UUID: a loop in the network, or a device with the MAC address of this interface"

    /// Packets shorter than their message type requires, without a leader.
    7 true WrongLength
    "receiving packets that are too short for PTPv1: they are ignored"

    /// A versionPTP of neither 1 nor 2.
    8 true UnknownVersion(version: u16)
    "receiving packets with versionPTP {version}: neither PTPv1 nor PTPv2"

    /// A leader that the operator's rules do not permit, and no other.
    9 true NotPermitted(leader: PortIdentity, address: Ipv4Addr)
    "leader {leader} at {address} is not permitted by the configuration"
    => "to follow it, change leader or deny in the configuration"

    /// Delay_Reqs without a transmit timestamp: no more are sent.
    10 false NoTransmitTimestamps
    "no transmit timestamps of Delay_Reqs: the path delay cannot be measured, and no more are sent"

    /// The leader does not answer Delay_Reqs.
    11 false NoDelayResp
    "the leader does not answer Delay_Reqs: the path delay cannot be measured"

    /// The kernel dropped packets.
    12 false Dropped
    "the kernel drops packets: more arrive than this host can process (a packet flood, or no CPU time)"
    => "raise net.core.rmem_max and restart dante4l if only bursts are lost, or find the sender of the flood"

    /// A sender at this address uses the leader's identity.
    13 false SecondAddress(leader: PortIdentity, address: Ipv4Addr)
    "a second sender, at {address}, uses the identity of leader {leader}: its packets are rejected"
    => "to accept the right address only, set leader to that address in the configuration"

    /// Packets of the leader contradict each other.
    14 false Contradicting(leader: PortIdentity)
    "packets of leader {leader} contradict each other: some are forged or replayed, or two devices have its UUID"

    /// More foreign leaders than the table holds.
    15 false TooManyLeaders
    "more leaders are received than the table of leaders holds: most are forged"
    => "name the permitted leaders in the configuration (leader)"

    /// Most Syncs are early or late by milliseconds, as over Wi-Fi, where an access point holds multicast until its next beacon.
    16 false Scattering(ms: u16)
    "Syncs scatter by {ms} ms: too much for an accurate rate"
    => "use a cable instead of Wi-Fi; on a cable, find what delays the packets: a device on the path, or the load of this host"

    /// The path delay changes slowly, by this many ns in a second, relative to another path.
    17 false PathDrift(ppb: u16)
    "the path delay changes by {ppb} ns per second, measured by Delay_Resps or on the other network: the stated uncertainty includes it"

    /// A leader of a higher rank than the followed one that cannot be measured.
    18 false PassedOver(leader: PortIdentity, address: Ipv4Addr, defect: Defect)
    "leader {leader} at {address} sends {defect}: it is passed over, and the next best leader is followed"
    => "repair or switch off that device; until then other devices may follow it"

    /// The followed leader sends Syncs at another interval than it advertises.
    19 false Interval(leader: PortIdentity, address: Ipv4Addr, advertised: SyncInterval, measured: SyncInterval)
    "leader {leader} at {address} advertises a Sync interval of {advertised} and sends a Sync every {measured}: the measured interval is used"
    => "correct the leader's Sync interval: other devices may lose this leader between two Syncs"

    /// A leader on this host, and no other.
    20 true OwnHost(leader: PortIdentity, address: Ipv4Addr)
    "leader {leader} at {address} is a program on this host: it is not followed, because this host's clock would follow itself"
    => "stop that program or its leading, or, to follow it, name its UUID or address in the configuration (leader)"

    /// A leader that sends to the address of this host, and no other.
    21 true Unicast(leader: PortIdentity, address: Ipv4Addr)
    "leader {leader} at {address} sends to the address of this host (unicast), not to the multicast group: it is not followed"
    => "make it send by multicast, as Dante devices do, or, to follow it, name its UUID or address in the configuration (leader)"

    /// The leader of the other network is received from the same address: both are one network.
    22 false OneNetwork(leader: PortIdentity, address: Ipv4Addr)
    "leader {leader} at {address} is received on both interfaces: they are on one network, and the second one is no redundancy"
    => "connect the second interface to the secondary network, or remove it from the configuration"
}

/// Time for which a diagnostic explains a missing leader, or a missing lock, after it was last true.
const EXPLANATION_SHOWN: Duration = Duration::from_secs(10);
/// Time for which any other diagnostic is shown after it was last true; when it is true again later, it is a new one.
pub(super) const DIAGNOSTIC_SHOWN: Duration = Duration::from_secs(60);

impl Diagnostic {
    /// Whether it is still to be shown in this state of its port, this long after it was last true.
    pub fn is_shown(self, state: State, age: Duration) -> bool {
        let shown = match self {
            // Once a Sync is measured it is over.
            Self::NoFollowUp | Self::NoTimestamps | Self::ClockDisturbed => EXPLANATION_SHOWN,
            _ if self.explains() => EXPLANATION_SHOWN,
            _ => DIAGNOSTIC_SHOWN,
        };
        age <= shown && (state == State::Listening || !self.explains())
    }

    /// Whether it explains now why the port in this state is not SLAVE.
    pub fn explains_state(self, state: State, age: Duration) -> bool {
        let explains = match state {
            State::Listening => self.explains(),
            State::Uncalibrated => self.explains_no_lock(),
            _ => false,
        };
        explains && age <= EXPLANATION_SHOWN
    }

    /// Whether it explains why the rate of a leader is not known after some seconds.
    const fn explains_no_lock(self) -> bool {
        matches!(
            self,
            Self::NoFollowUp
                | Self::NoTimestamps
                | Self::ClockDisturbed
                | Self::Scattering(_)
                | Self::Contradicting(_)
        )
    }
}

/// Size of the arguments of a diagnostic, bytes.
pub(crate) const ARGUMENT_BYTES: usize = 16;

/// The arguments of a diagnostic as the status page holds them.
#[derive(Default)]
struct Arguments {
    bytes: [u8; ARGUMENT_BYTES],
    at: usize,
}

impl Arguments {
    fn put(&mut self, bytes: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(self.at).zip(bytes) {
            *to = *from;
        }
        self.at += bytes.len();
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for (to, from) in bytes.iter_mut().zip(self.bytes.iter().skip(self.at)) {
            *to = *from;
        }
        self.at += N;
        bytes
    }
}

/// An argument of a diagnostic.
trait Argument {
    fn put(self, arguments: &mut Arguments);
    fn take(arguments: &mut Arguments) -> Self;
}

impl Argument for Subdomain {
    fn put(self, arguments: &mut Arguments) {
        arguments.put(&self.0);
    }
    fn take(arguments: &mut Arguments) -> Self {
        Self(arguments.take())
    }
}

impl Argument for u16 {
    fn put(self, arguments: &mut Arguments) {
        arguments.put(&self.to_ne_bytes());
    }
    fn take(arguments: &mut Arguments) -> Self {
        Self::from_ne_bytes(arguments.take())
    }
}

impl Argument for SyncInterval {
    fn put(self, arguments: &mut Arguments) {
        arguments.put(&self.log2().to_ne_bytes());
    }
    fn take(arguments: &mut Arguments) -> Self {
        Self::from_log2(i8::from_ne_bytes(arguments.take()))
    }
}

impl Argument for Defect {
    fn put(self, arguments: &mut Arguments) {
        arguments.put(&[self as u8]);
    }
    fn take(arguments: &mut Arguments) -> Self {
        let [number] = arguments.take();
        Self::from_number(number).unwrap_or_default()
    }
}

impl Argument for Ipv4Addr {
    fn put(self, arguments: &mut Arguments) {
        arguments.put(&self.octets());
    }
    fn take(arguments: &mut Arguments) -> Self {
        arguments.take::<4>().into()
    }
}

impl Argument for PortIdentity {
    fn put(self, arguments: &mut Arguments) {
        arguments.put(&self.uuid.0);
        self.port_id.put(arguments);
    }
    fn take(arguments: &mut Arguments) -> Self {
        Self { technology: Self::ETHERNET, uuid: Uuid(arguments.take()), port_id: u16::take(arguments) }
    }
}
