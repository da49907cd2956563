//! Whether the samples of an output reach a program, and what to do if they do not.

use super::OutputKind;
use crate::explain::{Explain, sentence};
use crate::numbered;
use crate::page::OutputRecord;
use std::fmt;

numbered! {
    /// Whether the samples of an output reach a program. The numbers are those on the status page.
    pub enum Delivery {
        /// Not known yet: the output was opened a short time ago, or no sample was written since a program attached.
        Pending = 0 "pending",
        /// A program reads the samples; of a usrvclock: there is a client.
        Delivered = 1 "delivered",
        /// A program has the output open, and does not read it.
        NotRead = 2 "not_read",
        /// No program has the output open; of a usrvclock: there is no client, which is no fault.
        NotAttached = 3 "not_attached",
        /// danteshm cannot open the output.
        Unavailable = 4 "unavailable",
    }
}

/// Key of the SHM segment of unit 0 (`NTP0`); that of unit N is N larger.
const SHM_KEY: u32 = 0x4e54_5030;

/// Time after which an attached program that has not read a sample counts as not reading, s. chronyd reads a segment every
/// 2^dpoll s: 1 s by default, and up to 32 s (dpoll 5) within this time.
pub const READ_LIMIT_S: i64 = 64;

impl Delivery {
    /// Words for a list of outputs, such as `SHM unit 2 (not read)`; `None` where the samples are delivered or that is not known
    /// yet.
    pub const fn fault(self) -> Option<&'static str> {
        match self {
            Self::Pending | Self::Delivered => None,
            Self::NotRead => Some("not read"),
            Self::NotAttached => Some("no reader"),
            Self::Unavailable => Some("not ready"),
        }
    }

    /// What at least one output for chrony reaches: the best state of these outputs; `None` if there is no output for chrony.
    pub fn best(outputs: &[OutputRecord]) -> Option<Self> {
        let refclocks = outputs.iter().filter(|output| output.kind().is_some_and(OutputKind::is_refclock));
        let all = refclocks.map(|output| output.delivery().unwrap_or(Self::Pending));
        all.min_by_key(|delivery| match delivery {
            Self::Delivered => 0,
            Self::Pending => 1,
            Self::NotRead | Self::NotAttached | Self::Unavailable => 2,
        })
    }

    /// Whether there are outputs for chrony, and no program reads any of them.
    pub fn reaches_none(outputs: &[OutputRecord]) -> bool {
        Self::best(outputs).and_then(Self::fault).is_some()
    }
}

/// An output for chrony whose samples reach no program, as on the status page.
#[derive(Debug, Clone, Copy)]
pub struct Undelivered<'a> {
    output: &'a OutputRecord,
    delivery: Delivery,
}

impl<'a> Undelivered<'a> {
    /// The fault of this output; `None` without one. A usrvclock without a client has none.
    pub fn of(output: &'a OutputRecord) -> Option<Self> {
        let delivery = match output.delivery()? {
            // A removed segment is still read, and its key belongs to another user.
            reached if reached.fault().is_none() && output.ready == 0 => Delivery::Unavailable,
            delivery => delivery,
        };
        let is_idle = output.kind() == Some(OutputKind::Usrvclock) && delivery == Delivery::NotAttached;
        (delivery.fault().is_some() && !is_idle).then_some(Self { output, delivery })
    }

    /// The state of the output.
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }
}

impl fmt::Display for Undelivered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        sentence(self, f)
    }
}

impl Explain for Undelivered<'_> {
    fn what(&self) -> String {
        let unit = self.output.unit;
        let path = &self.output.path;
        match (self.output.kind(), self.delivery) {
            (Some(OutputKind::Shm), Delivery::NotAttached) => {
                format!(
                    "SHM unit {unit}: no program is attached to the segment, so no program gets the samples"
                )
            }
            (Some(OutputKind::Shm), Delivery::NotRead) => {
                format!(
                    "SHM unit {unit}: a program is attached, but none has read a sample for {READ_LIMIT_S} s"
                )
            }
            (Some(OutputKind::Shm), _) => format!("SHM unit {unit}: danteshm cannot use the segment"),
            (Some(OutputKind::Sock), Delivery::NotAttached) => {
                format!("SOCK {path}: no program reads the socket, so no program gets the samples")
            }
            (Some(OutputKind::Sock), Delivery::NotRead) => {
                format!("SOCK {path}: chronyd does not read the socket: its buffer is full")
            }
            (Some(OutputKind::Sock), _) => format!("SOCK {path}: danteshm cannot send to the socket"),
            (Some(OutputKind::Usrvclock), _) => format!("usrvclock {path}: danteshm cannot serve the socket"),
            (None, _) => "an output of an unknown kind is not delivered".into(),
        }
    }

    fn remedy(&self) -> Option<String> {
        let unit = self.output.unit;
        let path = &self.output.path;
        match (self.output.kind()?, self.delivery) {
            (OutputKind::Shm, Delivery::NotAttached) => Some(format!(
                "start chronyd with `refclock SHM {unit}` in its configuration; if it runs: it uses another unit, or its systemd unit \
                 has PrivateIPC="
            )),
            (OutputKind::Shm, Delivery::NotRead) => Some(format!(
                "systemctl restart chrony; if that does not help: check `refclock SHM {unit}` in its configuration, and that dpoll is \
                 5 or less"
            )),
            (OutputKind::Shm, Delivery::Unavailable) => Some(format!(
                "another user or program may have made the segment: ipcs -m lists it with the key {:#x}; for the cause: journalctl -u \
                 danteshm -n 20",
                SHM_KEY.wrapping_add(unit)
            )),
            (OutputKind::Sock, Delivery::NotRead) => {
                Some("chronyd hangs or is stopped: systemctl restart chrony".into())
            }
            (OutputKind::Sock, Delivery::NotAttached) => {
                Some(format!("start chronyd with `refclock SOCK {path}` in its configuration"))
            }
            _ => Some("for the cause: journalctl -u danteshm -n 20".into()),
        }
    }
}
