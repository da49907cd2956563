//! Whether the Syncs of a foreign leader can be measured: each needs a receive timestamp, a Follow_Up if it is two-step, and a time that
//! continues that of the leader's last one.
//!
//! A leader that cannot be measured is passed over, whatever its rank: followed, it would leave this host without measurements. A Sync
//! without a measurement counts only while another leader is measured: without timestamps, or with UDP port 320 blocked, none can be
//! measured, which is a fault of this host and no reason to change the leader.

use super::pairing::Pair;
use crate::numbered;
use crate::time::{Dante, Duration, Raw, Timestamp};

numbered! {
    /// Why a leader's Syncs cannot be measured. The numbers are those on the status page; 0 is none.
    #[derive(Default)]
    pub enum Defect {
        /// Two-step Syncs without a Follow_Up of their sequence number.
        #[default]
        NoFollowUp = 1 "Syncs without matching Follow_Ups",
        /// Syncs without a receive timestamp, while those of other leaders have one.
        NoTimestamp = 2 "Syncs that this host receives without timestamps",
        /// Times that do not continue the leader's last one.
        Absurd = 3 "times that contradict each other",
    }
}

/// Number of counted Syncs that are remembered, 2 s at 4 Hz: shorter than the ten intervals after which the port is not SLAVE.
const MEMORY: u32 = u8::BITS;
/// Measured Syncs that a leader needs to replace one that is measured.
const MIN_MEASURED: u32 = 2;
/// Largest difference between two times of a leader and two arrivals: a constant part for late packets, longer than any queue delays
/// them, and a fraction of the time between, for a leader in a pull-up subdomain (4 %).
const LATENESS: Duration = Duration::from_ms(100);
const RATE_FRACTION: i64 = 16;

/// The last Syncs of one leader.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Measurability {
    /// One bit for each counted Sync, the last one lowest; 1: measured.
    syncs: u8,
    /// Number of counted Syncs, up to [`MEMORY`].
    counted: u32,
    /// Whether it ever had a defect.
    had_defect: bool,
    /// When a Sync was last measured.
    measured: Option<Timestamp<Raw>>,
    /// Arrival and time of the last pair.
    pair: Option<(Timestamp<Raw>, Timestamp<Dante>)>,
    /// Why the present Sync is not measured, if it is not.
    suspected: Defect,
    /// The same of the last Sync that was not measured.
    defect: Defect,
}

impl Measurability {
    /// Adds a Sync with its time of departure.
    pub(super) fn pair(&mut self, now: Timestamp<Raw>, pair: &Pair) {
        let (arrived, origin) = (pair.arrived.raw, pair.origin);
        let continues = self.pair.is_none_or(|(last_arrived, last_origin)| {
            let span = arrived - last_arrived;
            ((origin - last_origin) - span).abs() <= LATENESS + span.abs() / RATE_FRACTION
        });
        self.pair = Some((arrived, origin));
        if continues {
            self.measured = Some(now);
            self.count(true);
        } else {
            self.suspected = Defect::Absurd;
        }
    }

    /// The present Sync has no receive timestamp.
    pub(super) fn without_timestamp(&mut self) {
        self.suspected = Defect::NoTimestamp;
    }

    /// The next Sync arrives. `since` is the arrival of the present one, which counts as not measured if it was not and if
    /// `another_was`: another leader was measured since then.
    pub(super) fn next_sync(&mut self, since: Timestamp<Raw>, another_was: bool) {
        let suspected = std::mem::take(&mut self.suspected);
        if another_was && !self.was_measured_since(since) {
            self.defect = suspected;
            self.count(false);
        }
    }

    pub(super) fn was_measured_since(&self, since: Timestamp<Raw>) -> bool {
        self.measured.is_some_and(|at| at >= since)
    }

    /// Whether a leader that is followed stays measurable: one of its last Syncs was measured.
    pub(super) fn keeps(&self) -> bool {
        self.counted < MEMORY || self.syncs != 0
    }

    /// Whether another leader is measurable enough to be followed: three in four of its last Syncs were measured. More than
    /// [`Measurability::keeps`] requires, so that a leader with few Follow_Ups does not make the port alternate.
    pub(super) fn suffices(&self) -> bool {
        let measured = self.syncs.count_ones();
        measured >= MIN_MEASURED && measured * 4 >= self.counted * 3
    }

    /// Why the leader cannot be followed in place of one that is measured. `None` until enough of its Syncs have counted.
    pub(super) fn defect(&self) -> Option<Defect> {
        (self.counted == MEMORY && !self.suffices()).then_some(self.defect)
    }

    /// Whether the leader ever had a defect. Then it may have one again.
    pub(super) fn had_defect(&self) -> bool {
        self.had_defect
    }

    fn count(&mut self, is_measured: bool) {
        self.syncs = self.syncs << 1 | u8::from(is_measured);
        self.counted = (self.counted + 1).min(MEMORY);
        self.had_defect |= self.defect().is_some();
    }
}
