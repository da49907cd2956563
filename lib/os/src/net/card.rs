//! Hardware timestamps of a network card: capabilities, setting, and restoring the previous setting.
//!
//! A card has one setting for all programs. This program never narrows a setting of another one: it keeps a receive filter that
//! includes PTPv1 Sync, and widens a filter without it to all packets only.

use super::{Interface, is_shortage, request};
use crate::clock::{Phc, PhcError, PhcReader};
use crate::denial::{Denial, Denied, display_explained};
use arrayvec::ArrayVec;
use dante_core::explain::Explain;
use nix::errno::Errno;
use std::fmt;

/// Receive filter: the received packets that a card timestamps, HWTSTAMP_FILTER_* of `<linux/net_tstamp.h>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter(pub(super) i32);

impl Filter {
    /// No packet.
    pub const NONE: Self = Self(0);
    /// All packets.
    pub const ALL: Self = Self(1);
    /// PTPv1 Sync and Delay_Req over UDP.
    pub const V1_EVENT: Self = Self(3);
    /// PTPv1 Sync over UDP.
    pub const V1_SYNC: Self = Self(4);

    /// Filters to request, in this order: all packets only if the card has no narrower filter.
    const ORDER: [Self; 3] = [Self::V1_EVENT, Self::V1_SYNC, Self::ALL];

    /// Names of ethtool(8), indexed by the filter's number.
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

    /// Whether the filter includes PTPv1 Sync.
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

/// Timestamping setting of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// HWTSTAMP_TX_*: 0 off, 1 packets for which a program requests a timestamp; higher: the card also modifies packets.
    pub transmit: i32,
    /// Received packets.
    pub filter: Filter,
}

impl Setting {
    const TRANSMIT_ON: i32 = 1;

    fn suffices(self, transmit: bool) -> bool {
        self.filter.has_syncs() && (self.transmit != 0 || !transmit)
    }
}

/// Timestamping capabilities of a card, as its driver reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// SOF_TIMESTAMPING_*.
    pub so_timestamping: u32,
    /// Number N of its clock, /dev/ptpN.
    pub clock: Option<u32>,
    /// Bits of HWTSTAMP_TX_*.
    pub tx_types: u32,
    /// Bits of HWTSTAMP_FILTER_*. Some drivers accept filters that they do not list, so this is only displayed.
    pub rx_filters: u32,
}

impl Capabilities {
    /// Whether the kernel timestamps received packets in software.
    pub fn has_software_rx(self) -> bool {
        self.has(libc::SOF_TIMESTAMPING_RX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE)
    }

    /// Whether the card timestamps received packets.
    pub fn has_hardware_rx(self) -> bool {
        self.has(libc::SOF_TIMESTAMPING_RX_HARDWARE | libc::SOF_TIMESTAMPING_RAW_HARDWARE)
    }

    fn has_hardware_tx(self) -> bool {
        self.has(libc::SOF_TIMESTAMPING_TX_HARDWARE) && self.tx_types & 1 << Setting::TRANSMIT_ON != 0
    }

    fn has(self, flags: libc::c_uint) -> bool {
        self.so_timestamping & flags == flags
    }
}

/// Settings to try, in this order, instead of the setting `found`; none if that suffices. `None`: the driver cannot report its
/// setting.
fn plan(found: Option<Setting>, transmit: bool) -> ArrayVec<Setting, 3> {
    let filters = match found {
        Some(found) if found.suffices(transmit) => return ArrayVec::new(),
        Some(Setting { filter, .. }) if filter.has_syncs() => ArrayVec::from_iter([filter]),
        Some(Setting { filter: Filter::NONE, .. }) => ArrayVec::from(Filter::ORDER),
        // Another program may need the present filter: only all packets includes it for certain.
        Some(_) | None => ArrayVec::from_iter([Filter::ALL]),
    };
    // Transmit timestamps that are on, for any program, stay in the same mode.
    let transmit = match found {
        Some(Setting { transmit: 0, .. }) => i32::from(transmit) * Setting::TRANSMIT_ON,
        Some(Setting { transmit, .. }) => transmit,
        None => Setting::TRANSMIT_ON,
    };
    filters.into_iter().map(|filter| Setting { transmit, filter }).collect()
}

/// Why hardware timestamps cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum CardError {
    Unknown { interface: String, cause: Errno },
    NoTimestamps { interface: String },
    NoTransmitTimestamps { interface: String },
    NoClock { interface: String },
    ClockRemoved { interface: String },
    Clock { interface: String, cause: PhcError },
    NotPermitted { interface: String },
    Taken { interface: String, filter: Filter, cause: Errno },
    Refused { interface: String, refusals: Vec<(Filter, Errno)> },
}

impl Explain for CardError {
    fn what(&self) -> String {
        match self {
            Self::Unknown { interface, cause } => {
                format!("cannot ask the driver of {interface} for its timestamping capabilities: {cause}")
            }
            Self::NoTimestamps { interface } => format!("{interface} has no hardware timestamps"),
            Self::NoTransmitTimestamps { interface } => format!(
                "{interface} has hardware timestamps of received packets but not of sent ones; two kinds of timestamps \
                 would make the measured path delay wrong"
            ),
            Self::NoClock { interface } => format!(
                "the driver of {interface} does not report the PTP hardware clock of its hardware timestamps"
            ),
            Self::ClockRemoved { interface } => {
                format!(
                    "the PTP hardware clock of {interface} was removed, or its driver registered it again"
                )
            }
            Self::Clock { interface, cause } => {
                format!("{interface} has hardware timestamps, but its clock cannot be read: {}", cause.what())
            }
            Self::NotPermitted { interface } => {
                format!("enabling hardware timestamps on {interface} needs root or CAP_NET_ADMIN")
            }
            Self::Taken { interface, filter, cause } => format!(
                "another program has set the timestamp filter of {interface} to {filter}, without PTPv1, and the card \
                 cannot timestamp all packets instead ({cause})"
            ),
            Self::Refused { interface, refusals } => {
                let refusals: Vec<String> =
                    refusals.iter().map(|(filter, cause)| format!("{filter} ({cause})")).collect();
                format!(
                    "the driver of {interface} accepts no timestamp filter that includes PTPv1 Sync: {}",
                    refusals.join(", ")
                )
            }
        }
    }

    fn remedy(&self) -> Option<String> {
        let drop_in = "for a service, install the example drop-in hardware.conf, which grants the device file and the capability";
        match self {
            Self::NoTimestamps { interface } => {
                Some(format!("`ethtool -T {interface}` shows the capabilities of its driver"))
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
    /// Whether the card or its driver lacks a capability: trying again is useless.
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::NoTimestamps { .. } | Self::NoTransmitTimestamps { .. } | Self::NoClock { .. })
    }
}

/// A card that timestamps PTPv1 Sync. Dropping this restores the previous setting if this program changed it and no other program
/// did since; a `kill -9` leaves the setting as it is.
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
    /// Enables hardware timestamps of received Syncs, and of sent packets if `transmit`, and opens the card's clock.
    ///
    /// # Errors
    /// See [`CardError`]. The card's setting is then unchanged.
    pub fn prepare(interface: &Interface, transmit: bool) -> Result<(Self, PhcReader), CardError> {
        let name = || interface.name.clone();
        let capabilities = match request::capabilities(&interface.name) {
            Ok(found) if found.has_hardware_rx() => found,
            Err(cause) if is_shortage(cause) => {
                return Err(CardError::Unknown { interface: name(), cause });
            }
            _ => return Err(CardError::NoTimestamps { interface: name() }),
        };
        if transmit && !capabilities.has_hardware_tx() {
            return Err(CardError::NoTransmitTimestamps { interface: name() });
        }
        let Some(clock) = capabilities.clock else {
            return Err(CardError::NoClock { interface: name() });
        };
        // Opened before the setting is changed.
        let reader = PhcReader::open(Phc::path(clock))
            .map_err(|cause| CardError::Clock { interface: name(), cause })?;
        let found = request::timestamping(&interface.name).ok();
        log::debug!("{}: {capabilities:?}, setting {found:?}", interface.name);
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
                        "{}: requested timestamp filter {}, got {}",
                        self.interface,
                        wanted.filter,
                        made.filter
                    );
                    (self.set, self.changed) = (made, true);
                    if made.suffices(self.transmit) {
                        return Ok(());
                    }
                    // The driver accepted the request but set another filter.
                    refusals.push((wanted.filter, Errno::ERANGE));
                }
                Err(Errno::EPERM | Errno::EACCES) => {
                    return Err(CardError::NotPermitted { interface: interface() });
                }
                Err(cause) => {
                    log::debug!("{}: requested timestamp filter {}: {cause}", self.interface, wanted.filter);
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

    /// Whether the setting is still the one that this program made or found; true if the driver cannot report its setting.
    pub fn is_unchanged(&self) -> bool {
        request::timestamping(&self.interface).is_ok_and(|now| now == self.set) || self.found.is_none()
    }
}

/// The filter and the clock.
impl fmt::Display for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter {}, clock {}", self.set.filter, Phc::path(self.clock).display())
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        let Some(found) = self.found.filter(|_| self.changed && self.is_unchanged()) else { return };
        match request::set_timestamping(&self.interface, found) {
            Ok(_) => log::debug!("{}: restored the timestamp filter {}", self.interface, found.filter),
            Err(cause) => log::debug!("{}: cannot restore the timestamp filter: {cause}", self.interface),
        }
    }
}

#[cfg(test)]
mod tests;
