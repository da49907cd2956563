//! The addresses of this host, by which the packets of its own programs are recognised.

use super::network::CHECK_INTERVAL;
use dante_core::time::{Raw, Timestamp};
use dante_os::log::Complaints;
use dante_os::net::{InterfaceEvent, OwnAddresses};

/// The addresses as of the last change that the kernel reported.
pub(super) struct Host {
    pub addresses: OwnAddresses,
    has_notifications: bool,
    next_look: Option<Timestamp<Raw>>,
    failures: Complaints,
}

impl Host {
    /// Lists the addresses. `has_notifications`: the kernel sends notifications about interfaces.
    pub fn new(now: Timestamp<Raw>, has_notifications: bool) -> Self {
        let failures = Complaints::about("addresses of this host");
        let mut host =
            Self { addresses: OwnAddresses::default(), has_notifications, next_look: None, failures };
        host.look(now);
        host
    }

    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        self.next_look
    }

    /// Lists the addresses if that is due.
    pub fn act(&mut self, now: Timestamp<Raw>) {
        self.failures.tick(now);
        if self.next_look.is_some_and(|due| now >= due) {
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
        self.next_look = (!self.has_notifications).then_some(now + CHECK_INTERVAL);
        match OwnAddresses::now() {
            Ok(addresses) => self.addresses = addresses,
            Err(cause) => {
                self.next_look = Some(now + CHECK_INTERVAL);
                self.failures.warn(
                    now,
                    format_args!("cannot list the addresses of this host: {cause}; trying again in 1 s"),
                );
            }
        }
    }
}
