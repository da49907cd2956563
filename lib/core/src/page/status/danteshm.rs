//! The status page of danteshm: its outputs, and the epoch offset (K) of the last sample.

use crate::page::record::{body, record};
use crate::page::{Danteshm, SocketPath};
use crate::relay::{Delivery, EpochSource, OutputKind, PublishedEpoch, State, Waiting};
use crate::time::{Epoch, Timestamp};
use crate::track::TimelineKey;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Largest number of outputs of danteshm.
pub const MAX_OUTPUTS: usize = 8;

record! {
    /// danteshm's status page.
    pub struct DanteshmStatus {
        /// [`State`].
        pub state: u8,
        /// [`EpochSource`]; 0: no sample was written yet, and `epoch_ns`, `key_*` and `last_sample_raw_ns` are not valid.
        pub epoch_source: u8,
        /// [`Waiting`].
        pub waiting: u8,
        /// Zero.
        pub reserved: u8,
        /// Number of entries of `outputs` in use.
        pub output_count: u32,
        /// K of the last sample: UTC minus Dante time, ns.
        pub epoch_ns: i64,
        /// `instance` of the dante4l whose Dante time K refers to.
        pub key_instance: u64,
        /// The timeline that K refers to.
        pub key_number: u64,
        /// When the last sample was written, CLOCK_MONOTONIC_RAW.
        pub last_sample_raw_ns: i64,
        /// The outputs.
        pub outputs: [OutputRecord; MAX_OUTPUTS],
    }

    /// One output.
    pub struct OutputRecord {
        /// [`OutputKind`].
        pub kind: u8,
        /// 1: the segment or socket is open, and accepted the last sample.
        pub ready: u8,
        /// [`Delivery`].
        pub delivery: u8,
        /// Zero.
        pub reserved: u8,
        /// SHM unit.
        pub unit: u32,
        /// Number of clients of a usrvclock.
        pub clients: u64,
        /// Count of samples written, or datagrams sent to clients.
        pub samples: u64,
        /// Count of samples or datagrams that could not be sent.
        pub lost: u64,
        /// When the last one was written, CLOCK_MONOTONIC_RAW; 0: never.
        pub last_sample_raw_ns: i64,
        /// When a program last took a sample from a segment, or a SOCK last accepted one, CLOCK_MONOTONIC_RAW; 0: never.
        pub last_read_raw_ns: i64,
        /// How often the segment or socket was made or opened again after another process removed or replaced it.
        pub recreated: u64,
        /// Count of usrvclock clients that were rejected or removed because the places are shared among users.
        pub rejected: u64,
        /// Path of a SOCK or usrvclock.
        pub path: SocketPath,
    }
}

body!(DanteshmStatus, "danteshm", 19, Status 4);

impl OutputRecord {
    /// The kind; `None` where the number is unknown.
    pub fn kind(&self) -> Option<OutputKind> {
        OutputKind::from_number(self.kind)
    }

    /// Whether the samples reach a program; `None` where the number is unknown.
    pub fn delivery(&self) -> Option<Delivery> {
        Delivery::from_number(self.delivery)
    }

    /// The unit, if the kind has one.
    pub fn unit(&self) -> Option<u32> {
        self.kind().is_some_and(OutputKind::has_unit).then_some(self.unit)
    }

    /// The path, if the kind has one, or for an unknown kind if it is not empty.
    pub fn path(&self) -> Option<SocketPath> {
        let has_path = self.kind().map_or(self.path != SocketPath::new(""), OutputKind::has_path);
        has_path.then_some(self.path)
    }

    /// The number of clients, if the kind has clients.
    pub fn clients(&self) -> Option<u64> {
        self.kind().is_some_and(OutputKind::has_clients).then_some(self.clients)
    }
}

impl DanteshmStatus {
    /// The status page with the contents of the clock page, without outputs.
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

    /// The state; `None` where the number is unknown.
    pub fn state(&self) -> Option<State> {
        State::from_number(self.state)
    }

    /// What danteshm waits for; `None` where the number is unknown.
    pub fn waiting(&self) -> Option<Waiting> {
        Waiting::from_number(self.waiting)
    }

    /// K of the last sample, in this run or an earlier one; `None` if no sample was written yet.
    pub fn published_epoch(&self) -> Option<PublishedEpoch> {
        let source = EpochSource::from_number(self.epoch_source)?;
        let key = TimelineKey { instance: self.key_instance, number: self.key_number };
        let (epoch, last) = (Epoch::from_ns(self.epoch_ns), Timestamp::from_ns(self.last_sample_raw_ns));
        Some(PublishedEpoch { key, epoch, source, last })
    }

    /// Whether at least one output for chrony is delivered: [`Delivery::best`].
    pub fn chrony_delivery(&self) -> Option<Delivery> {
        Delivery::best(self.outputs())
    }

    /// The outputs in use.
    pub fn outputs(&self) -> &[OutputRecord] {
        self.outputs.get(..self.output_count as usize).unwrap_or(&self.outputs)
    }
}
