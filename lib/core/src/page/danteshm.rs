//! The page of danteshm: what chrony is told.

use super::record::{body, numbered, record};
use crate::relay::State;
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

    /// The outputs in use.
    pub fn outputs(&self) -> &[OutputRecord] {
        self.outputs.get(..self.output_count as usize).unwrap_or(&self.outputs)
    }
}
