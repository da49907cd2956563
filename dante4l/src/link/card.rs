//! A network card that timestamps: prepared at the start, watched whether it does so, given up for software timestamps.

use super::{Link, LinkConfig, LinkError};
use dante_core::time::{Duration, Raw, Timestamp};
use dante_core::wire::{Message, Packet};
use dante_os::clock::PhcReader;
use dante_os::net::{Card, CardError, Interface};
use dante_os::socket::{SocketError, TimestampReader, Timestamping};

/// So many Syncs without a stamp, one after the other, ...
const SYNCS: u32 = 6;
/// ... over so long: some cards have room for one stamp, and a burst may cost them many.
const SPAN: Duration = Duration::from_ms(1_200);

/// The Syncs that a card has not stamped since it last did.
#[derive(Debug, Default)]
pub struct Trial {
    since: Option<Timestamp<Raw>>,
    count: u32,
}

impl Trial {
    /// A stamp has come.
    pub fn stamped(&mut self) {
        *self = Self::default();
    }

    /// A Sync has come without one. How many there were so far, if by now it is certain that the stamps stay away; the
    /// count then begins anew.
    pub fn unstamped(&mut self, now: Timestamp<Raw>) -> Option<u32> {
        let since = *self.since.get_or_insert(now);
        self.count += 1;
        let failed = self.count >= SYNCS && now - since >= SPAN;
        failed.then(|| std::mem::take(self).count)
    }
}

impl Link {
    /// Some cards take the filter and then stamp nothing of PTPv1.
    pub(super) fn judge_card(
        &mut self,
        now: Timestamp<Raw>,
        stamped: bool,
        bytes: &[u8],
    ) -> Result<(), SocketError> {
        if stamped {
            self.trial.stamped();
            return Ok(());
        }
        // Nothing but Syncs need be stamped, whatever the filter.
        let is_sync = Packet::parse(bytes).is_ok_and(|packet| matches!(packet.message, Message::Sync(_)));
        if !is_sync {
            return Ok(());
        }
        let Some(count) = self.trial.unstamped(now) else { return Ok(()) };
        let interface = &self.interface.name;
        let is_as_left = self.card.as_ref().is_some_and(Card::is_as_left);
        let why = if is_as_left {
            "the card took the filter and does not stamp PTPv1 (as the emulated igb does)"
        } else {
            "another program changed the card's filter"
        };
        let what = format!("port {interface}: {count} Syncs without a hardware time stamp: {why}");
        if self.may_fall_back {
            log::warn!("{what}; software time stamps from here on");
            self.card = None;
            self.stamps = TimestampReader::start();
            return self.event.stamp_by_software();
        }
        log::warn!("{what}; nothing is measured without (--timestamping hardware)");
        Ok(())
    }
}

/// The card, told to stamp, with its clock; `None`: software stamps.
pub(super) fn stamping(
    config: &LinkConfig,
    interface: &Interface,
) -> Result<Option<(Card, PhcReader)>, LinkError> {
    if config.timestamping == Timestamping::Software {
        return Ok(None);
    }
    match Card::prepare(interface, config.sends) {
        Ok(found) => Ok(Some(found)),
        Err(error) if config.timestamping == Timestamping::Hardware => Err(error.into()),
        // Most cards have none, and it is said all the same which stamps are used.
        Err(error @ CardError::NoTimestamps { .. }) => {
            log::debug!("port {}: {error}", config.interface);
            Ok(None)
        }
        Err(error) => {
            log::info!("port {}: {error}; software time stamps are taken instead", config.interface);
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
    fn a_card_that_stamps_nothing_is_known_within_two_seconds_at_four_syncs_a_second() {
        let mut trial = Trial::default();
        let found: Vec<_> =
            (0..12).filter_map(|n| trial.unstamped(at(250 * n)).map(|count| (n, count))).collect();
        assert_eq!(found, [(5, 6), (11, 6)]);
    }

    #[test]
    fn a_burst_is_no_proof_and_one_stamp_clears_the_card() {
        let mut trial = Trial::default();
        assert!((0..1000).all(|_| trial.unstamped(at(0)).is_none()));
        assert!((0..1000).all(|_| trial.unstamped(at(1199)).is_none()));
        trial.stamped();
        assert!((0..5).all(|n| trial.unstamped(at(1500 + 2000 * n)).is_none()));
        assert_eq!(trial.unstamped(at(20_000)), Some(6));
    }
}
