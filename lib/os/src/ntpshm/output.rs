//! The segment of a unit as an output: made again after a removal, and watched for a program that reads it.

use super::{NtpShm, ShmError};
use crate::output::{Diagnostic, OutputState};
use dante_core::relay::{Delivery, READ_LIMIT_S, RefclockSample};
use dante_core::time::{Duration, Raw, Timestamp};

/// Interval between two checks of the segment.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Time without an attached program after which that is a fault: chronyd needs some seconds for a restart.
const ATTACH_LIMIT: Duration = Duration::from_secs(5);
/// Time in which an attached program has to read a sample.
const READ_LIMIT: Duration = Duration::from_secs(READ_LIMIT_S);
/// Maximum number of removed segments that are still written: one for each removal during the life of one chronyd.
const MAX_REMOVED: usize = 4;

/// The segment of a unit.
#[derive(Debug)]
pub struct ShmOutput {
    unit: u32,
    mode: u32,
    owner: u32,
    current: Option<NtpShm>,
    /// Segments that were removed from the key while another program had them attached: it keeps them until it ends.
    removed: Vec<NtpShm>,
    next_check: Option<Timestamp<Raw>>,
    recreated: u64,
    last_read: Option<Timestamp<Raw>>,
    /// A program has read a sample since it attached.
    is_read: bool,
    /// When the first of the samples was written that no program has read.
    unread_since: Option<Timestamp<Raw>>,
    /// Since when no other program is attached.
    alone_since: Option<Timestamp<Raw>>,
    diagnostics: Vec<Diagnostic>,
}

impl ShmOutput {
    /// An output that makes the segment of `unit` with the permissions `mode` and gives it to the user `owner`. If that fails,
    /// [`Self::check`] tries again.
    ///
    /// # Errors
    /// [`ShmError::NoSuchUnit`].
    pub fn open(now: Timestamp<Raw>, unit: u32, mode: u32, owner: u32) -> Result<Self, ShmError> {
        super::segment::key(unit)?;
        let mut output = Self {
            unit,
            mode,
            owner,
            current: None,
            removed: Vec::new(),
            next_check: None,
            recreated: 0,
            last_read: None,
            is_read: false,
            unread_since: None,
            alone_since: Some(now),
            diagnostics: Vec::new(),
        };
        output.check(now);
        Ok(output)
    }

    /// Makes the segment if there is none or it was removed, and checks for attached programs; at most once a second.
    pub fn check(&mut self, now: Timestamp<Raw>) {
        if self.next_check.is_some_and(|next| now < next) {
            return;
        }
        self.next_check = Some(now + CHECK_INTERVAL);
        let was_removed = self.current.take_if(|segment| segment.is_removed());
        let is_replacement = was_removed.is_some();
        self.removed.extend(was_removed);
        if self.segments().map(NtpShm::was_taken).fold(false, |any, one| any | one) {
            self.read(now, None);
        }
        self.removed.retain(|segment| segment.other_programs() > 0);
        if self.removed.len() > MAX_REMOVED {
            self.removed.remove(0);
        }
        if is_replacement {
            self.recreated += 1;
            let unit = self.unit;
            let text = match self.removed.is_empty() {
                true => format!("SHM unit {unit}: another process removed the segment"),
                false => format!(
                    "SHM unit {unit}: another process removed the segment; the program that is attached to it gets samples there until \
                     it ends"
                ),
            };
            self.diagnostics.push(Diagnostic::new("removed", text));
        }
        if self.current.is_none() {
            self.make();
        }
        self.count_programs(now);
    }

    fn make(&mut self) {
        let made = NtpShm::create(self.unit, self.mode).and_then(|mut segment| {
            segment.give_to(self.owner)?;
            // A sample of an earlier writer may be wrong.
            segment.withdraw();
            Ok(segment)
        });
        match made {
            Ok(segment) => {
                if segment.is_open_to_all() {
                    let text = format!(
                        "SHM unit {} is writable by every local user, who can forge samples; remove it with ipcrm and set a narrower \
                         --shm-perm",
                        self.unit
                    );
                    self.diagnostics.push(Diagnostic::new("open", text));
                }
                self.current = Some(segment);
            }
            Err(error) => self.diagnostics.push(Diagnostic::new("unavailable", error)),
        }
    }

    fn count_programs(&mut self, now: Timestamp<Raw>) {
        let programs: u64 = self.current.iter().chain(&self.removed).map(NtpShm::other_programs).sum();
        if programs == 0 {
            let since = *self.alone_since.get_or_insert(now);
            self.is_read &= now - since < ATTACH_LIMIT;
        } else if self.alone_since.take().is_some() {
            self.unread_since = None;
        }
    }

    /// Publishes a sample. Returns whether there is a segment.
    pub fn write(&mut self, now: Timestamp<Raw>, sample: &RefclockSample) -> bool {
        // Each segment is written, whatever the others return.
        let taken = self.segments().map(|segment| segment.write(sample)).fold(false, |any, one| any | one);
        if taken {
            self.read(now, Some(now));
        } else {
            self.unread_since.get_or_insert(now);
        }
        self.segments().next().is_some()
    }

    /// Withdraws a sample that was not read yet.
    pub fn withdraw(&mut self, now: Timestamp<Raw>) {
        if self.segments().map(NtpShm::withdraw).fold(false, |any, one| any | one) {
            self.read(now, None);
        }
        self.unread_since = None;
    }

    fn read(&mut self, now: Timestamp<Raw>, unread_since: Option<Timestamp<Raw>>) {
        (self.is_read, self.last_read, self.unread_since) = (true, Some(now), unread_since);
    }

    fn segments(&mut self) -> impl Iterator<Item = &mut NtpShm> {
        self.current.iter_mut().chain(&mut self.removed)
    }

    /// State of the output.
    pub fn state(&self, now: Timestamp<Raw>) -> OutputState {
        let is_older = |since: Option<Timestamp<Raw>>, limit| since.is_some_and(|since| now - since >= limit);
        let delivery = if self.current.is_none() && self.removed.is_empty() {
            Delivery::Unavailable
        } else if is_older(self.alone_since, ATTACH_LIMIT) {
            Delivery::NotAttached
        } else if is_older(self.unread_since, READ_LIMIT) {
            Delivery::NotRead
        } else if self.is_read {
            Delivery::Delivered
        } else {
            Delivery::Pending
        };
        let is_ready = self.current.is_some();
        OutputState { is_ready, delivery, last_read: self.last_read, recreated: self.recreated }
    }

    /// Returns and removes the warnings for the log.
    pub fn diagnostics(&mut self) -> Vec<Diagnostic> {
        std::mem::take(&mut self.diagnostics)
    }
}
