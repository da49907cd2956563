//! The clock page of danteshm: the epoch offset K by which chrony was last given samples. It outlives the program, so that
//! the next run goes on without a jump.

use super::record::{body, record};
use crate::relay::{EpochSource, PublishedEpoch, State, Waiting};
use crate::time::{Epoch, Timestamp};
use crate::track::TimelineKey;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

record! {
    /// danteshm's clock page, version 1.
    pub struct Danteshm {
        /// [`State`].
        pub state: u8,
        /// [`EpochSource`]; 0: no sample was written, and the fields from `epoch_ns` on are not valid.
        pub epoch_source: u8,
        /// [`Waiting`].
        pub waiting: u8,
        /// Zero.
        pub reserved: [u8; 5],
        /// K of the last sample: its UTC minus Dante time, ns.
        pub epoch_ns: i64,
        /// dante4l's instance that K belongs to.
        pub key_instance: u64,
        /// And its timeline.
        pub key_number: u64,
        /// When the last sample was written, CLOCK_MONOTONIC_RAW.
        pub last_sample_raw_ns: i64,
    }
}

body!(Danteshm, "danteshm", 3, Clock 1);

impl Danteshm {
    /// Sets what the last sample was written by.
    pub fn set_published_epoch(&mut self, published: &PublishedEpoch) {
        self.epoch_source = published.source as u8;
        self.epoch_ns = published.epoch.ns();
        self.key_instance = published.key.instance;
        self.key_number = published.key.number;
        self.last_sample_raw_ns = published.last.ns();
    }

    /// What the last sample was written by, in this run or an earlier one.
    pub fn published_epoch(&self) -> Option<PublishedEpoch> {
        let source = EpochSource::from_number(self.epoch_source)?;
        let key = TimelineKey { instance: self.key_instance, number: self.key_number };
        let (epoch, last) = (Epoch::from_ns(self.epoch_ns), Timestamp::from_ns(self.last_sample_raw_ns));
        Some(PublishedEpoch { key, epoch, source, last })
    }

    /// The state; `None` where the number is not one.
    pub fn state(&self) -> Option<State> {
        State::from_number(self.state)
    }

    /// What is missing; `None` where the number is not one.
    pub fn waiting(&self) -> Option<Waiting> {
        Waiting::from_number(self.waiting)
    }
}
