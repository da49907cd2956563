//! The page of danteshm: what chrony is told.

use super::record::{body, numbered, record};
use crate::relay::{State, Told};
use crate::time::Epoch;
use crate::timescale::{TimelineKey, Timescale};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Outputs of danteshm.
pub const MAX_OUTPUTS: usize = 4;

record! {
    /// danteshm: what chrony is told.
    pub struct Danteshm {
        /// [`State`].
        pub state: u8,
        /// 1: `epoch_ns` means something.
        pub has_epoch: u8,
        /// Zero.
        pub reserved: u16,
        /// How many of `outputs` are in use.
        pub output_count: u32,
        /// K.
        pub epoch_ns: i64,
        /// dante4l's instance that K belongs to.
        pub key_instance: u64,
        /// And its timeline.
        pub key_number: u64,
        /// Where samples go.
        pub outputs: [OutputRecord; MAX_OUTPUTS],
    }
}

record! {
    /// One output.
    pub struct OutputRecord {
        /// [`OutputKind`].
        pub kind: u32,
        /// SHM unit.
        pub unit: u32,
        /// Samples written.
        pub samples: u64,
        /// When the last one was written, CLOCK_MONOTONIC_RAW; 0: never.
        pub last_sample_raw_ns: i64,
    }
}

body!(Danteshm, "danteshm", 3, 1);

numbered! {
    /// What an output of danteshm is.
    pub enum OutputKind {
        /// An NTP SHM segment.
        Shm = 0 "shm",
    }
}

impl Danteshm {
    /// The state; `None` where the number is not one.
    pub fn state(&self) -> Option<State> {
        State::from_number(self.state)
    }

    /// Sets what belongs to the time scale.
    pub fn set_timescale(&mut self, scale: &Timescale) {
        self.has_epoch = 1;
        self.epoch_ns = scale.epoch().ns();
        self.key_instance = scale.key().instance;
        self.key_number = scale.key().number;
    }

    /// The K that was told, if any was.
    pub fn told(&self) -> Option<Told> {
        let key = TimelineKey { instance: self.key_instance, number: self.key_number };
        (self.has_epoch != 0).then_some(Told { key, epoch: Epoch::from_ns(self.epoch_ns) })
    }

    /// The outputs in use.
    pub fn outputs(&self) -> &[OutputRecord] {
        self.outputs.get(..self.output_count as usize).unwrap_or(&self.outputs)
    }
}
