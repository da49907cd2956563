//! The clock page of danteshm: the epoch offset (K) of the last sample for chrony. The page outlives danteshm, so that the next run
//! resumes K and chrony sees no jump.

use super::record::{body, record};
use crate::relay::{EpochSource, PublishedEpoch};
use crate::time::{Epoch, Timestamp};
use crate::track::TimelineKey;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

record! {
    /// danteshm's clock page, version 1.
    pub struct Danteshm {
        /// [`State`](crate::relay::State).
        pub state: u8,
        /// [`EpochSource`]; 0: no sample was written yet, and the fields from `epoch_ns` on are not valid.
        pub epoch_source: u8,
        /// [`Waiting`](crate::relay::Waiting).
        pub waiting: u8,
        /// Zero.
        pub reserved: [u8; 5],
        /// K of the last sample: UTC minus Dante time, ns.
        pub epoch_ns: i64,
        /// `instance` of the dante4l whose Dante time K refers to.
        pub key_instance: u64,
        /// The timeline that K refers to.
        pub key_number: u64,
        /// When the last sample was written, CLOCK_MONOTONIC_RAW.
        pub last_sample_raw_ns: i64,
    }
}

body!(Danteshm, "danteshm", 3, Clock 1);

impl Danteshm {
    /// Sets K of the last sample.
    pub fn set_published_epoch(&mut self, published: &PublishedEpoch) {
        self.epoch_source = published.source as u8;
        self.epoch_ns = published.epoch.ns();
        self.key_instance = published.key.instance;
        self.key_number = published.key.number;
        self.last_sample_raw_ns = published.last.ns();
    }

    /// K of the last sample, in this run or an earlier one; `None` if no sample was written yet.
    pub fn published_epoch(&self) -> Option<PublishedEpoch> {
        let source = EpochSource::from_number(self.epoch_source)?;
        let key = TimelineKey { instance: self.key_instance, number: self.key_number };
        let (epoch, last) = (Epoch::from_ns(self.epoch_ns), Timestamp::from_ns(self.last_sample_raw_ns));
        Some(PublishedEpoch { key, epoch, source, last })
    }
}
