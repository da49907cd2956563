//! Hardware time stamps of a network card: what it can stamp, what it is told to, and how it is left.
//!
//! A card has one setting for all programs. What another one has set is never narrowed: a filter that has PTPv1's Syncs
//! in it stays as it is, one that leaves them out may only be widened to all packets.

use super::{Interface, request};
use crate::clock::{Phc, PhcError, PhcReader};
use crate::denial::{Denial, Denied, display_explained};
use arrayvec::ArrayVec;
use dante_core::explain::Explain;
use nix::errno::Errno;
use std::fmt;

/// Which of the packets that arrive a card stamps: HWTSTAMP_FILTER_* of `<linux/net_tstamp.h>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter(pub(super) i32);

impl Filter {
    /// No packet.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self(1);
    /// PTPv1's Sync and Delay_Req over UDP.
    pub const V1_EVENT: Self = Self(3);
    /// PTPv1's Sync over UDP.
    pub const V1_SYNC: Self = Self(4);

    /// What is asked for, in this order: no more than is needed, unless the card has nothing so narrow.
    const ORDER: [Self; 3] = [Self::V1_EVENT, Self::V1_SYNC, Self::ALL];

    /// In the order of their numbers, as ethtool(8) calls them.
    const NAMES: [&'static str; 16] = [
        "none",
        "all",
        "some",
        "ptpv1-l4-event",
        "ptpv1-l4-sync",
        "ptpv1-l4-delay-req",
        "ptpv2-l4-event",
        "ptpv2-l4-sync",
        "ptpv2-l4-delay-req",
        "ptpv2-l2-event",
        "ptpv2-l2-sync",
        "ptpv2-l2-delay-req",
        "ptpv2-event",
        "ptpv2-sync",
        "ptpv2-delay-req",
        "ntp-all",
    ];

    /// Whether PTPv1's Syncs are stamped.
    pub fn has_syncs(self) -> bool {
        Self::ORDER.contains(&self)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match usize::try_from(self.0).ok().and_then(|number| Self::NAMES.get(number)) {
            Some(name) => f.write_str(name),
            None => write!(f, "number {}", self.0),
        }
    }
}

/// What a card is told to stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// HWTSTAMP_TX_*: 0 nothing that leaves, 1 what a program asks for; more: the card changes packets by itself.
    pub transmit: i32,
    /// What arrives.
    pub filter: Filter,
}

impl Setting {
    const TRANSMIT_ON: i32 = 1;

    fn serves(self, transmit: bool) -> bool {
        self.filter.has_syncs() && (self.transmit != 0 || !transmit)
    }
}

/// What a card can stamp, as its driver says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// SOF_TIMESTAMPING_*.
    pub so_timestamping: u32,
    /// N of its clock, /dev/ptpN.
    pub clock: Option<u32>,
    /// Bits of HWTSTAMP_TX_*.
    pub tx_types: u32,
    /// Bits of HWTSTAMP_FILTER_*. Not all drivers list what they take, so this is shown and not relied upon.
    pub rx_filters: u32,
}

impl Abilities {
    /// Whether the kernel stamps what arrives.
    pub fn stamps_arrivals_by_software(self) -> bool {
        self.has(libc::SOF_TIMESTAMPING_RX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE)
    }

    /// Whether the card does.
    pub fn stamps_arrivals(self) -> bool {
        self.has(libc::SOF_TIMESTAMPING_RX_HARDWARE | libc::SOF_TIMESTAMPING_RAW_HARDWARE)
    }

    fn stamps_departures(self) -> bool {
        self.has(libc::SOF_TIMESTAMPING_TX_HARDWARE) && self.tx_types & 1 << Setting::TRANSMIT_ON != 0
    }

    fn has(self, flags: libc::c_uint) -> bool {
        self.so_timestamping & flags == flags
    }
}

/// What is to be tried, in this order, instead of the setting found; nothing where that serves as it is. `None`: the
/// driver cannot be asked for it.
fn plan(found: Option<Setting>, transmit: bool) -> ArrayVec<Setting, 3> {
    let filters = match found {
        Some(found) if found.serves(transmit) => return ArrayVec::new(),
        Some(Setting { filter, .. }) if filter.has_syncs() => ArrayVec::from_iter([filter]),
        Some(Setting { filter: Filter::NONE, .. }) => ArrayVec::from(Filter::ORDER),
        // Somebody's, or nobody knows whose: anything but all packets might take some away.
        Some(_) | None => ArrayVec::from_iter([Filter::ALL]),
    };
    // What leaves and is stamped already, for whomever, goes on being stamped in the same way.
    let transmit = match found {
        Some(Setting { transmit: 0, .. }) => i32::from(transmit) * Setting::TRANSMIT_ON,
        Some(Setting { transmit, .. }) => transmit,
        None => Setting::TRANSMIT_ON,
    };
    filters.into_iter().map(|filter| Setting { transmit, filter }).collect()
}

/// Why a card's stamps cannot be had.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence of each says what it is")]
pub enum CardError {
    NoTimestamps { interface: String },
    NoTransmitTimestamps { interface: String },
    NoClock { interface: String },
    Clock { interface: String, cause: PhcError },
    NotPermitted { interface: String },
    Taken { interface: String, filter: Filter, cause: Errno },
    Refused { interface: String, refusals: Vec<(Filter, Errno)> },
}

impl Explain for CardError {
    fn what(&self) -> String {
        match self {
            Self::NoTimestamps { interface } => format!("{interface} has no hardware time stamps"),
            Self::NoTransmitTimestamps { interface } => format!(
                "{interface} has hardware time stamps of what arrives but not of what leaves, and stamps of two kinds would \
                 make the measured path delay wrong"
            ),
            Self::NoClock { interface } => format!(
                "the driver of {interface} does not say which PTP hardware clock its time stamps are of"
            ),
            Self::Clock { interface, cause } => {
                format!(
                    "{interface} has hardware time stamps, but its clock cannot be read: {}",
                    cause.what()
                )
            }
            Self::NotPermitted { interface } => {
                format!("turning on the hardware time stamps of {interface} needs root or CAP_NET_ADMIN")
            }
            Self::Taken { interface, filter, cause } => format!(
                "another program has set {interface} to stamp {filter}, which leaves PTPv1 out, and the card does not stamp \
                 all packets instead ({cause})"
            ),
            Self::Refused { interface, refusals } => {
                let refusals: Vec<String> =
                    refusals.iter().map(|(filter, cause)| format!("{filter} ({cause})")).collect();
                format!(
                    "the driver of {interface} takes no filter with PTPv1's Sync in it: {}",
                    refusals.join(", ")
                )
            }
        }
    }

    fn remedy(&self) -> Option<String> {
        let drop_in = "the drop-in hardware.conf among the examples gives a service the file and the right";
        match self {
            Self::NoTimestamps { interface } => {
                Some(format!("`ethtool -T {interface}` shows what its driver offers"))
            }
            Self::Clock { cause, .. } => match cause.remedy() {
                Some(remedy) => Some(format!("{remedy}\n{drop_in}")),
                None => Some(drop_in.into()),
            },
            Self::NotPermitted { .. } => Some(drop_in.into()),
            _ => None,
        }
    }
}

impl Denied for CardError {
    fn denial(&self) -> Option<Denial> {
        match self {
            Self::NotPermitted { .. } => Some(Denial::NotPermitted),
            Self::Clock { cause, .. } => cause.denial(),
            Self::Taken { .. } => Some(Denial::InUse),
            _ => None,
        }
    }
}

display_explained!(CardError);

impl CardError {
    /// Whether the card itself is the reason, which will not change.
    pub fn is_lacking(&self) -> bool {
        matches!(self, Self::NoTimestamps { .. } | Self::NoTransmitTimestamps { .. } | Self::NoClock { .. })
    }
}

/// A card that was told to stamp PTPv1's Syncs. When this is dropped it is left as it was found, if this program changed
/// it and nobody did since; not after a `kill -9`.
#[derive(Debug)]
pub struct Card {
    interface: String,
    clock: u32,
    transmit: bool,
    found: Option<Setting>,
    set: Setting,
    changed: bool,
}

impl Card {
    /// Has the card stamp what is needed, and opens its clock: the Syncs that arrive, and if `transmit`, what leaves.
    ///
    /// # Errors
    /// See [`CardError`]. The card is then as it was.
    pub fn prepare(interface: &Interface, transmit: bool) -> Result<(Self, PhcReader), CardError> {
        let name = || interface.name.clone();
        let able = request::abilities(&interface.name).ok().filter(|able| able.stamps_arrivals());
        let Some(able) = able else {
            return Err(CardError::NoTimestamps { interface: name() });
        };
        if transmit && !able.stamps_departures() {
            return Err(CardError::NoTransmitTimestamps { interface: name() });
        }
        let Some(clock) = able.clock else {
            return Err(CardError::NoClock { interface: name() });
        };
        // Before anything is changed.
        let reader = PhcReader::open(Phc::path(clock))
            .map_err(|cause| CardError::Clock { interface: name(), cause })?;
        let found = request::stamping(&interface.name).ok();
        log::debug!("{}: {able:?}, set to {found:?}", interface.name);
        let none = Setting { transmit: 0, filter: Filter::NONE };
        let set = found.unwrap_or(none);
        let mut card = Self { interface: name(), clock, transmit, found, set, changed: false };
        card.configure()?;
        Ok((card, reader))
    }

    fn configure(&mut self) -> Result<(), CardError> {
        let interface = || self.interface.clone();
        let settings = plan(self.found, self.transmit);
        if settings.is_empty() {
            return Ok(());
        }
        let mut refusals: ArrayVec<(Filter, Errno), 3> = ArrayVec::new();
        for wanted in settings {
            match request::set_timestamping(&self.interface, wanted) {
                Ok(made) => {
                    log::debug!(
                        "{}: filter {} asked for, {} set",
                        self.interface,
                        wanted.filter,
                        made.filter
                    );
                    (self.set, self.changed) = (made, true);
                    if made.serves(self.transmit) {
                        return Ok(());
                    }
                    // It took the request and made something else of it.
                    refusals.push((wanted.filter, Errno::ERANGE));
                }
                Err(Errno::EPERM | Errno::EACCES) => {
                    return Err(CardError::NotPermitted { interface: interface() });
                }
                Err(cause) => {
                    log::debug!("{}: filter {} asked for: {cause}", self.interface, wanted.filter);
                    refusals.push((wanted.filter, cause));
                }
            }
        }
        let taken = self.found.map(|found| found.filter).filter(|filter| *filter != Filter::NONE);
        Err(match (taken, refusals.last()) {
            (Some(filter), Some((_, cause))) => {
                CardError::Taken { interface: interface(), filter, cause: *cause }
            }
            _ => CardError::Refused { interface: interface(), refusals: refusals.to_vec() },
        })
    }

    /// Whether the setting is still the one that this program made or found; what cannot be asked is believed.
    pub fn is_as_left(&self) -> bool {
        request::stamping(&self.interface).is_ok_and(|now| now == self.set) || self.found.is_none()
    }
}

/// The filter and the clock, for people.
impl fmt::Display for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter {}, clock {}", self.set.filter, Phc::path(self.clock).display())
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        let Some(found) = self.found.filter(|_| self.changed && self.is_as_left()) else { return };
        match request::set_timestamping(&self.interface, found) {
            Ok(_) => log::debug!("{}: the filter is {} again, as it was found", self.interface, found.filter),
            Err(cause) => log::debug!("{}: setting the filter back: {cause}", self.interface),
        }
    }
}

#[cfg(test)]
mod tests;
