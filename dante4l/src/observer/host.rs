//! The addresses of this host, by which the packets of its own programs are recognised.

use super::schedule::Schedule;
use dante_core::time::{Raw, Timestamp};
use dante_os::net::{InterfaceEvent, OwnAddresses};

/// The addresses as of the last change that the kernel reported.
pub(super) struct Host {
    pub addresses: OwnAddresses,
    schedule: Schedule,
}

impl Host {
    /// Lists the addresses. `has_notifications`: the kernel sends notifications about interfaces.
    pub fn new(now: Timestamp<Raw>, has_notifications: bool) -> Self {
        let schedule = Schedule::new("addresses of this host", has_notifications);
        let mut host = Self { addresses: OwnAddresses::default(), schedule };
        host.look(now);
        host
    }

    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        self.schedule.deadline()
    }

    /// Lists the addresses if that is due.
    pub fn act(&mut self, now: Timestamp<Raw>) {
        if self.schedule.is_due(now) {
            self.look(now);
        }
    }

    /// Whether a notification may be about an address of this host, on any interface.
    pub fn is_affected(news: InterfaceEvent<'_>) -> bool {
        match news {
            InterfaceEvent::Address { .. } | InterfaceEvent::Missed => true,
            InterfaceEvent::Link { .. } => false,
        }
    }

    /// Lists the addresses. If the kernel does not answer, those that were known stay.
    pub fn look(&mut self, now: Timestamp<Raw>) {
        match OwnAddresses::now() {
            Ok(addresses) => {
                self.addresses = addresses;
                self.schedule.answered(now);
            }
            Err(cause) => self.schedule.failed(
                now,
                format_args!("cannot list the addresses of this host: {cause}; trying again in 1 s"),
            ),
        }
    }
}
