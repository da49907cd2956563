//! Timestamps of the network card: the card is configured at the start and checked later; if it delivers no timestamps, software
//! timestamps are used.

use super::{Link, LinkConfig, LinkError};
use dante_core::time::{Duration, Raw, Timestamp};
use dante_core::wire::{Message, Packet};
use dante_os::clock::PhcReader;
use dante_os::net::{Card, CardError, Interface};
use dante_os::socket::{TimestampReader, Timestamping};

/// Minimum number of Syncs in a row without a timestamp to give up the card.
const MIN_SYNCS: u32 = 6;
/// Minimum time of these Syncs: some cards can hold only one timestamp, so a burst loses many.
const MIN_SPAN: Duration = Duration::from_ms(1_200);

/// The Syncs without a timestamp since the last one with a timestamp.
#[derive(Debug, Default)]
pub struct TimestampCheck {
    since: Option<Timestamp<Raw>>,
    count: u32,
}

impl TimestampCheck {
    /// Resets the count after a timestamp.
    pub fn timestamped(&mut self) {
        *self = Self::default();
    }

    /// Counts a Sync without a timestamp. If the card has failed, returns the count and resets it.
    pub fn missing(&mut self, now: Timestamp<Raw>) -> Option<u32> {
        let since = *self.since.get_or_insert(now);
        self.count += 1;
        let failed = self.count >= MIN_SYNCS && now - since >= MIN_SPAN;
        failed.then(|| std::mem::take(self).count)
    }
}

impl Link {
    /// Logs the number of suppressed warnings about the card. Call it at least once a second.
    pub fn tick(&mut self, now: Timestamp<Raw>) {
        self.card_warnings.tick(now);
    }

    /// Gives up a card that delivers no timestamps: some cards accept the filter and then do not timestamp PTPv1.
    pub(super) fn check_card(
        &mut self,
        now: Timestamp<Raw>,
        has_timestamp: bool,
        bytes: &[u8],
    ) -> Result<(), LinkError> {
        if has_timestamp {
            self.timestamp_check.timestamped();
            return Ok(());
        }
        // Every filter covers Syncs, not every one covers other packets.
        let is_sync = Packet::parse(bytes).is_ok_and(|packet| matches!(packet.message, Message::Sync(_)));
        if !is_sync {
            return Ok(());
        }
        let Some(count) = self.timestamp_check.missing(now) else { return Ok(()) };
        // A driver that registers its clock again may also reset the filter.
        self.timestamps.refresh();
        self.check_clock()?;
        let interface = &self.interface.name;
        let is_as_left = self.card.as_ref().is_some_and(Card::is_unchanged);
        let why = if is_as_left {
            "the card accepted the filter but does not timestamp PTPv1 (as the igb emulated by QEMU)"
        } else {
            "another program changed the card's filter"
        };
        let what = format!("port {interface}: {count} Syncs without a hardware timestamp: {why}");
        if self.may_fall_back {
            log::warn!("{what}; using software timestamps from now on");
            self.card = None;
            self.timestamps = TimestampReader::start();
            return Ok(self.event.use_software_timestamps()?);
        }
        self.card_warnings.warn_as(
            now,
            why,
            format_args!("{what}; nothing can be measured without them (--timestamping hardware)"),
        );
        Ok(())
    }

    /// An error if the card's clock was removed.
    pub(super) fn check_clock(&self) -> Result<(), LinkError> {
        match self.timestamps.has_lost_clock() {
            true => Err(CardError::ClockRemoved { interface: self.interface.name.clone() }.into()),
            false => Ok(()),
        }
    }
}

/// Configures the card for timestamps and returns it with its clock; `None` for software timestamps.
pub(super) fn prepare_card(
    config: &LinkConfig,
    interface: &Interface,
) -> Result<Option<(Card, PhcReader)>, LinkError> {
    if config.timestamping == Timestamping::Software {
        return Ok(None);
    }
    match Card::prepare(interface, config.sends) {
        Ok(found) => Ok(Some(found)),
        Err(error) if config.timestamping == Timestamping::Hardware => Err(error.into()),
        // Tried again, instead of software timestamps until the next start.
        Err(error @ CardError::Unknown { .. }) => Err(error.into()),
        // Most cards have none, and the line `listening` reports which timestamps are used.
        Err(error @ CardError::NoTimestamps { .. }) => {
            log::debug!("port {}: {error}", config.interface);
            Ok(None)
        }
        Err(error) => {
            log::info!("port {}: {error}; using software timestamps", config.interface);
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp<Raw> {
        Timestamp::ZERO + Duration::from_ms(ms)
    }

    #[test]
    fn card_without_timestamps_is_detected_within_two_seconds_at_4_hz() {
        let mut check = TimestampCheck::default();
        let found: Vec<_> =
            (0..12).filter_map(|n| check.missing(at(250 * n)).map(|count| (n, count))).collect();
        assert_eq!(found, [(5, 6), (11, 6)]);
    }

    #[test]
    fn bursts_do_not_fail_the_card_and_one_timestamp_resets_the_count() {
        let mut check = TimestampCheck::default();
        assert!((0..1000).all(|_| check.missing(at(0)).is_none()));
        assert!((0..1000).all(|_| check.missing(at(1199)).is_none()));
        check.timestamped();
        assert!((0..5).all(|n| check.missing(at(1500 + 2000 * n)).is_none()));
        assert_eq!(check.missing(at(20_000)), Some(6));
    }
}
