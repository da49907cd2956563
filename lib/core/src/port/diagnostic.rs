//! The diagnostics: why there is no lock, or what is not as it should be.

use crate::explain::{Explain, sentence};
use crate::wire::{PortIdentity, Subdomain, Uuid};
use std::fmt;
use std::net::Ipv4Addr;

/// The table of all kinds: number (the place on the page), whether it explains why there is no foreign leader and is of interest
/// only then, name and what it names, what is wrong, and what to do about it. All else derives from it.
macro_rules! diagnostics {
    ($($(#[$doc:meta])* $number:literal $explains:literal $kind:ident $(($($field:ident: $type:ty),+))? $what:literal $(=> $remedy:literal)?)+) => {
        /// Something heard that explains why there is no lock, or that somebody should look after.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Diagnostic { $($(#[$doc])* $kind $(($($type),+))?,)+ }

        impl Diagnostic {
            /// How many kinds there are.
            pub const KINDS: usize = [$($number),+].len();

            /// Which kind it is, from 0: its place on the page.
            pub const fn kind(self) -> usize {
                match self { $(Self::$kind { .. } => $number,)+ }
            }

            /// It explains why no leader is heard, and is of interest only then.
            pub const fn explains(self) -> bool {
                match self { $(Self::$kind { .. } => $explains,)+ }
            }

            /// What it names, one after the other, in the machine's byte order; then zeros.
            pub(crate) fn named(self) -> [u8; NAMED] {
                let mut names = Names::default();
                match self { $(Self::$kind $(($($field),+))? => { $($($field.put(&mut names);)+)? })+ }
                names.bytes
            }

            /// The one of this kind that names this; `None` where there is no such kind.
            pub(crate) fn of(kind: usize, named: [u8; NAMED]) -> Option<Self> {
                let mut names = Names { bytes: named, at: 0 };
                match kind {
                    $($number => Some(Self::$kind $(($(<$type>::take(&mut names)),+))?),)+
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
    "hearing PTPv2 only: the devices speak AES67 or PTPv2"
    => "enable PTPv1 (Dante) on one of them"

    /// PTPv1 in another subdomain.
    1 true OtherSubdomain(name: Subdomain)
    "hearing PTPv1 in subdomain {name}, which is not the one followed"
    => "if it is the one to follow, name it in the configuration (subdomain)"

    /// Two-step Syncs whose Follow_Up does not come.
    2 false NoFollowUp
    "Syncs arrive without their Follow_Up: UDP port 320 may be blocked by a firewall, or taken"

    /// Follow_Ups without any Sync.
    3 true NoSync
    "Follow_Ups arrive without their Sync: UDP port 319 may be blocked by a firewall, or taken"

    /// Syncs come without a kernel time stamp.
    4 false NoTimestamps
    "Syncs arrive without kernel time stamps: nothing can be measured"

    /// Syncs come while CLOCK_REALTIME is being stepped, or slewed in haste.
    5 false ClockDisturbed
    "another program keeps stepping the system clock, or slews it by more than 500 ppm: nothing can be measured meanwhile"
    => "stop that program"

    /// Packets that bear this host's own UUID, and no others.
    6 true OnlyOwn
    "hearing only packets with this host's own UUID: a leader on this very interface, or a loop in the network"

    /// Packets too short for what they claim to be, and no others.
    7 true WrongLength
    "hearing packets that are shorter than PTPv1 messages are: they cannot be used"

    /// A versionPTP of neither 1 nor 2.
    8 true UnknownVersion(version: u16)
    "hearing packets whose versionPTP is {version}: neither PTPv1 nor PTPv2"

    /// A leader that the operator's rules forbid, and no other.
    9 true NotPermitted(leader: PortIdentity, address: Ipv4Addr)
    "hearing leader {leader} at {address}, which the rules for leaders do not permit"
    => "if it is the one to follow, permit it in the configuration (leader, deny)"

    /// Requests leave without a transmit stamp: no more are sent.
    10 false NoTransmitTimestamps
    "Delay_Reqs leave without a transmit time stamp: the path delay cannot be measured, and no more are sent"

    /// The leader does not answer requests.
    11 false NoDelayResp
    "the leader does not answer Delay_Reqs: the path delay cannot be measured"

    /// The kernel dropped packets.
    12 false Dropped
    "the kernel drops packets: more arrive than this host can take (a flood, or no CPU left)"

    /// A second sender claims to be this leader, from there.
    13 false SecondAddress(leader: PortIdentity, address: Ipv4Addr)
    "another sender, at {address}, claims to be leader {leader}: its packets are not used"
    => "to hold the port to the right address from the start, name it in the configuration (leader)"

    /// The leader's packets contradict one another.
    14 false Contradicting(leader: PortIdentity)
    "packets of leader {leader} contradict one another: some are forged or replayed, or two devices have its UUID"

    /// More leaders than are remembered.
    15 false TooManyLeaders
    "more leaders are heard than are remembered: most are forged"
    => "name those that may be followed in the configuration (leader)"
}

/// Bytes of what a notice names.
pub(crate) const NAMED: usize = 16;

/// What a notice names, as it stands on the page.
#[derive(Default)]
struct Names {
    bytes: [u8; NAMED],
    at: usize,
}

impl Names {
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

/// Something that a notice may name.
trait Name {
    fn put(self, names: &mut Names);
    fn take(names: &mut Names) -> Self;
}

impl Name for Subdomain {
    fn put(self, names: &mut Names) {
        names.put(&self.0);
    }
    fn take(names: &mut Names) -> Self {
        Self(names.take())
    }
}

impl Name for u16 {
    fn put(self, names: &mut Names) {
        names.put(&self.to_ne_bytes());
    }
    fn take(names: &mut Names) -> Self {
        Self::from_ne_bytes(names.take())
    }
}

impl Name for Ipv4Addr {
    fn put(self, names: &mut Names) {
        names.put(&self.octets());
    }
    fn take(names: &mut Names) -> Self {
        names.take::<4>().into()
    }
}

impl Name for PortIdentity {
    fn put(self, names: &mut Names) {
        names.put(&self.uuid.0);
        self.port_id.put(names);
    }
    fn take(names: &mut Names) -> Self {
        Self { technology: Self::ETHERNET, uuid: Uuid(names.take()), port_id: u16::take(names) }
    }
}
