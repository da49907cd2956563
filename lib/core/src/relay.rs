//! The engine of danteshm: it reads the clock pages of dante4l and dante2sys, and decides which samples chrony gets, and when.
//!
//! It writes one sample for each Sync that dante4l accepted, at the Sync's arrival and unfiltered: chrony filters samples
//! itself. The reference is always UTC (Dante time plus the epoch offset K), never Dante time: that counts from the start of the
//! leader, and chrony would step the clock to 1970 unless its configuration limits the time.

mod average;
mod delivery;
mod epoch;
mod overlay;
mod refclock;

pub use delivery::{Delivery, READ_LIMIT_S, Undelivered};
pub use epoch::{EpochRule, EpochSource, Fixed, PauseReason, PublishedEpoch, Waiting};
pub use overlay::Overlay;
pub use refclock::RefclockSample;

use crate::numbered;
use crate::outputs::Outputs;
use crate::page::{Dante2sys, Dante4l, Danteshm, DanteshmStatus, RING, View};
use crate::time::{ClockMap, Duration, Raw, SleepDetector, Timestamp};
use crate::timescale::EpochChange;
use crate::track::{KernelSync, Loss, Track};
use epoch::{Evidence, Steered};
use overlay::OverlayKeeper;
use refclock::Refclock;

/// Largest number of outputs of one [`Input::Page`]: three for each sample of a full ring, and `Slept`, `Stopped`, `Withdraw` and
/// `Overlay` once.
const QUEUE: usize = 3 * RING + 4;

numbered! {
    /// Whether samples are written. The numbers are those on the clock page.
    pub enum State {
        /// Nothing to relay.
        Waiting = 0 "WAITING",
        /// A sample for each Sync.
        Feeding = 1 "FEEDING",
    }
}

numbered! {
    /// Kind of an output of danteshm. The numbers are those on the status page.
    pub enum OutputKind {
        /// An NTP SHM segment.
        Shm = 0 "shm",
        /// A socket that chronyd makes.
        Sock = 1 "sock",
        /// A socket that serves Dante time to other programs.
        Usrvclock = 2 "usrvclock",
    }
}

impl OutputKind {
    /// Whether the record of such an output has a unit.
    pub const fn has_unit(self) -> bool {
        matches!(self, Self::Shm)
    }

    /// Whether the record of such an output has a path.
    pub const fn has_path(self) -> bool {
        !self.has_unit()
    }

    /// Whether such an output is a reference clock of chrony.
    pub const fn is_refclock(self) -> bool {
        matches!(self, Self::Shm | Self::Sock)
    }

    /// Whether the record of such an output counts clients.
    pub const fn has_clients(self) -> bool {
        matches!(self, Self::Usrvclock)
    }
}

/// An input of the relay.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// The clock pages as they are now. Read after dante4l's doorbell, at [`Relay::deadline`], and at least once a second.
    Page {
        /// dante4l's page; `None` where it is absent or rejected.
        dante4l: Option<&'a View<Dante4l>>,
        /// dante2sys' page; `None` where it is absent or rejected. Used only while [`Relay::needs_epoch`].
        dante2sys: Option<&'a View<Dante2sys>>,
        /// CLOCK_BOOTTIME - CLOCK_MONOTONIC, the time spent in suspend since boot.
        suspended: Duration,
    },
    /// danteshm ends.
    End,
}

/// An action or an event of the relay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Output {
    /// Write this sample.
    Write(RefclockSample),
    /// Withdraw samples that were written but not read.
    Withdraw,
    /// The relay begins to write samples.
    Feeding,
    /// The relay stops writing samples, for this reason.
    Stopped(Loss),
    /// The epoch offset (K) was set.
    Fixed(Fixed),
    /// K was carried over to another timeline.
    Epoch(EpochChange),
    /// There is a leader, but no source of UTC to set K from. Sent once until K is set.
    NoUtc(Option<KernelSync>),
    /// An output pause begins, after which K is set again: without the pause chrony would follow a jump of the reference.
    Paused(PauseReason),
    /// Send Dante time to the clients of `--usrvclock`: it changed, or it is due again.
    Overlay(Overlay),
    /// The host was suspended for this long.
    Slept(Duration),
}

/// The user's settings.
#[derive(Debug, Clone, Copy, Default)]
pub struct Config {
    /// When K may be set.
    pub rule: EpochRule,
    /// Interval of means: one mean of the samples of each interval instead of one sample for each Sync.
    pub every: Option<Duration>,
}

/// The engine of danteshm.
#[derive(Debug)]
pub struct Relay {
    refclock: Refclock,
    overlay: OverlayKeeper,
    sleep: SleepDetector,
    /// dante4l's instance, and the sample count on its page when it was last read.
    seen: Option<(u64, u64)>,
    lost: Option<Loss>,
    outputs: Outputs<Output, QUEUE>,
}

impl Relay {
    /// Makes an engine that resumes K of an earlier run. `published` is `None` if that run wrote no sample; `suspended` is as in
    /// [`Input::Page`].
    pub fn new(config: Config, published: Option<PublishedEpoch>, suspended: Duration) -> Self {
        Self {
            refclock: Refclock::new(config, published),
            overlay: OverlayKeeper::new(),
            sleep: SleepDetector::new(suspended),
            seen: None,
            lost: None,
            outputs: Outputs::default(),
        }
    }

    /// Handles an input. Call [`Self::poll`] afterwards until it returns `None`.
    pub fn handle(&mut self, now: Timestamp<Raw>, input: Input<'_>) {
        match input {
            Input::Page { dante4l, dante2sys, suspended } => {
                if let Some(slept) = self.sleep.update(suspended) {
                    self.outputs.push(Output::Slept(slept));
                    self.overlay.slept(now);
                }
                let followed = self.take(now, dante4l, dante2sys);
                self.set_lost(followed.err());
                // After the samples: chrony should get those without delay.
                if let Some(overlay) = self.overlay.follow(now, followed.ok().as_ref()) {
                    self.outputs.push(Output::Overlay(overlay));
                }
            }
            Input::End => self.set_lost(Some(Loss::Ending)),
        }
    }

    /// Relays the new samples on dante4l's page. Returns the clock map of the leader that is followed now.
    fn take(
        &mut self,
        now: Timestamp<Raw>,
        dante4l: Option<&View<Dante4l>>,
        dante2sys: Option<&View<Dante2sys>>,
    ) -> Result<ClockMap, Loss> {
        let view = dante4l.ok_or(Loss::NoPage)?;
        let seen = match self.seen.replace((view.instance, view.body.samples)) {
            Some((instance, seen)) if instance == view.instance => seen,
            Some(_) => 0,
            // Samples that were on the page before it was read first are too old.
            None => view.body.samples,
        };
        let track = Track::of(dante4l)?;
        let map = track.map.ok_or(Loss::NoLeader)?;
        if self.needs_epoch() {
            let steered = dante2sys.and_then(Steered::of);
            self.refclock.set_evidence(Evidence { steered, kernel: view.body.kernel_sync() });
        }
        let path_delay = view.body.path_delay().unwrap_or_default();
        for record in view.body.samples_after(seen) {
            self.refclock.sync(now, track.key, &map, &(*record).into(), path_delay);
            self.drain();
        }
        Ok(map)
    }

    fn set_lost(&mut self, lost: Option<Loss>) {
        self.lost = lost;
        if let Some(loss) = lost {
            self.refclock.lost(loss);
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.refclock.poll() {
            self.outputs.push(output);
        }
    }

    /// Returns the next output.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    /// Latest time for the next [`Input::Page`], so that the overlay is sent again in time; `None` while there is no overlay.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        self.overlay.deadline()
    }

    /// Whether K is not set, so that the next [`Input::Page`] should include dante2sys' page.
    pub fn needs_epoch(&self) -> bool {
        !self.refclock.has_epoch()
    }

    /// What the relay waits for while it writes no samples.
    pub fn waiting(&self) -> Waiting {
        self.refclock.waiting()
    }

    /// Why there is no leader, as of the last input.
    pub fn lost(&self) -> Option<Loss> {
        self.lost
    }

    /// The current overlay, for a client that registers between two [`Output::Overlay`].
    pub fn overlay(&self) -> Option<Overlay> {
        self.overlay.overlay()
    }

    /// The clock page of danteshm.
    pub fn page(&self) -> Danteshm {
        let mut page = Danteshm {
            state: self.refclock.state() as u8,
            waiting: self.waiting() as u8,
            ..Danteshm::default()
        };
        if let Some(published) = self.refclock.published_epoch() {
            page.set_published_epoch(published);
        }
        page
    }

    /// The status page of danteshm without its outputs, which the program adds.
    pub fn status(&self) -> DanteshmStatus {
        DanteshmStatus::of(&self.page())
    }
}

#[cfg(test)]
mod tests;
