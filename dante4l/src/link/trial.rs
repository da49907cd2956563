//! Whether a card that was told to stamp does so.

use dante_core::time::{Duration, Raw, Timestamp};

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
