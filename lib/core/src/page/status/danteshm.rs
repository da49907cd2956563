//! The status page of danteshm: its outputs, and by which K samples are written.

use crate::page::record::{body, record};
use crate::page::{Danteshm, SocketPath};
use crate::relay::{EpochSource, OutputKind, PublishedEpoch, State, Waiting};
use crate::time::{Epoch, Timestamp};
use crate::track::TimelineKey;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Outputs of danteshm.
pub const MAX_OUTPUTS: usize = 8;

record! {
    /// danteshm's status page.
    pub struct DanteshmStatus {
        /// [`State`].
        pub state: u8,
        /// [`EpochSource`]; 0: no date was published, and `epoch_ns`, `key_*` and `last_sample_raw_ns` mean nothing.
        pub epoch_source: u8,
        /// [`Waiting`].
        pub waiting: u8,
        /// Zero.
        pub reserved: u8,
        /// How many of `outputs` are in use.
        pub output_count: u32,
        /// K, by which a date was last published.
        pub epoch_ns: i64,
        /// dante4l's instance that K belongs to.
        pub key_instance: u64,
        /// And its timeline.
        pub key_number: u64,
        /// When that was, CLOCK_MONOTONIC_RAW.
        pub last_sample_raw_ns: i64,
        /// Where samples go.
        pub outputs: [OutputRecord; MAX_OUTPUTS],
    }

    /// One output.
    pub struct OutputRecord {
        /// [`OutputKind`].
        pub kind: u8,
        /// 1: what is sent there arrives, as far as can be published.
        pub ready: u8,
        /// Zero.
        pub reserved: u16,
        /// SHM unit.
        pub unit: u32,
        /// Programs that read a usrvclock.
        pub clients: u64,
        /// Samples written.
        pub samples: u64,
        /// Samples that could not be.
        pub lost: u64,
        /// When the last one was written, CLOCK_MONOTONIC_RAW; 0: never.
        pub last_sample_raw_ns: i64,
        /// Where a SOCK or usrvclock is.
        pub path: SocketPath,
    }
}

body!(DanteshmStatus, "danteshm", 19, Status 3);

impl OutputRecord {
    /// The kind; `None` where the number is not one.
    pub fn kind(&self) -> Option<OutputKind> {
        OutputKind::from_number(self.kind)
    }

    /// The unit, if it has one.
    pub fn unit(&self) -> Option<u32> {
        self.kind().is_some_and(OutputKind::has_unit).then_some(self.unit)
    }

    /// The path, if it has one. An output of an unknown kind has one where it is not empty.
    pub fn path(&self) -> Option<SocketPath> {
        let has_path = self.kind().map_or(self.path != SocketPath::new(""), OutputKind::has_path);
        has_path.then_some(self.path)
    }

    /// The number of its clients, if it counts them.
    pub fn clients(&self) -> Option<u64> {
        self.kind().is_some_and(OutputKind::has_clients).then_some(self.clients)
    }
}

impl DanteshmStatus {
    /// What the clock page says, without the outputs.
    pub fn of(page: &Danteshm) -> Self {
        Self {
            state: page.state,
            epoch_source: page.epoch_source,
            waiting: page.waiting,
            epoch_ns: page.epoch_ns,
            key_instance: page.key_instance,
            key_number: page.key_number,
            last_sample_raw_ns: page.last_sample_raw_ns,
            ..Self::default()
        }
    }

    /// The state; `None` where the number is not one.
    pub fn state(&self) -> Option<State> {
        State::from_number(self.state)
    }

    /// What is missing; `None` where the number is not one.
    pub fn waiting(&self) -> Option<Waiting> {
        Waiting::from_number(self.waiting)
    }

    /// What the reference was last published by, if it ever was; it outlives the program.
    pub fn published_epoch(&self) -> Option<PublishedEpoch> {
        let source = EpochSource::from_number(self.epoch_source)?;
        let key = TimelineKey { instance: self.key_instance, number: self.key_number };
        let (epoch, last) = (Epoch::from_ns(self.epoch_ns), Timestamp::from_ns(self.last_sample_raw_ns));
        Some(PublishedEpoch { key, epoch, source, last })
    }

    /// The outputs in use.
    pub fn outputs(&self) -> &[OutputRecord] {
        self.outputs.get(..self.output_count as usize).unwrap_or(&self.outputs)
    }
}
