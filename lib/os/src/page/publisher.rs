//! Both pages of a daemon.

use super::{Instance, PageName, PageWriter, WriteError};
use dante_core::page::Body;
use dante_core::time::{Raw, Timestamp};

/// The clock page and the status page of one daemon, written together.
pub struct Publisher<C, S> {
    clock: PageWriter<C>,
    status: PageWriter<S>,
}

impl<C: Body, S: Body> Publisher<C, S> {
    /// Makes both pages of this instance, or takes over those that a dead writer left. `number` is a random number.
    pub fn open(instance: Option<&Instance>, number: u64) -> Result<Self, WriteError> {
        // Both before anything is changed: what a run before left on one is of use where the other cannot be had.
        let mut clock = PageWriter::take(&PageName::new(instance), number)?;
        let mut status = PageWriter::take(&PageName::new(instance), number)?;
        clock.begin();
        status.begin();
        Ok(Self { clock, status })
    }

    /// Publishes both, the clock page last: whoever its doorbell wakes sees the status that belongs to it.
    pub fn publish(&mut self, now: Timestamp<Raw>, clock: &C, status: &S) {
        self.status.publish(now, status);
        self.clock.publish(now, clock);
    }

    /// When they are to be published again at the latest.
    pub fn renewal(&self) -> Timestamp<Raw> {
        self.clock.renewal()
    }

    /// The random number of this run.
    pub fn instance(&self) -> u64 {
        self.clock.instance()
    }
}
