//! The clock page and the status page of a daemon, written together.

use super::{Instance, PageName, PageWriter, WriteError};
use dante_core::page::Body;
use dante_core::time::{Raw, Timestamp};

/// The clock page and the status page of one daemon, written together.
pub struct Publisher<C, S> {
    clock: PageWriter<C>,
    status: PageWriter<S>,
}

impl<C: Body, S: Body> Publisher<C, S> {
    /// Creates both pages of this instance, or takes over those of a dead writer, whose values they keep until the first
    /// [`publish`](Self::publish). `number`: random number of this run.
    pub fn open(instance: Option<&Instance>, number: u64) -> Result<Self, WriteError> {
        let clock = PageWriter::open(&PageName::new(instance), number)?;
        let status = PageWriter::open(&PageName::new(instance), number)?;
        Ok(Self { clock, status })
    }

    /// Publishes both, the clock page last: a reader woken by its doorbell finds the matching status page.
    pub fn publish(&mut self, now: Timestamp<Raw>, clock: &C, status: &S) {
        self.status.publish(now, status);
        self.clock.publish(now, clock);
    }

    /// Latest time of the next publication.
    pub fn renewal(&self) -> Timestamp<Raw> {
        self.clock.renewal()
    }

    /// The random number of this run.
    pub fn instance(&self) -> u64 {
        self.clock.instance()
    }
}
