//! The relay: what danteshm hands to chrony, and when. The engine takes the pages of dante4l and dante2sys and decides the
//! rest.
//!
//! One sample for each Sync that dante4l believed, at the Sync's own instant and as raw as it was measured: chrony
//! filters for itself. The reference is always a date (Dante + K), never Dante's own seconds, which a chrony without a
//! lower bound on dates would step the clock to.

mod average;
mod epoch;
mod overlay;
mod refclock;

pub use epoch::{Break, EpochRule, EpochSource, Fixed, PublishedEpoch, Waiting};
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

/// Outputs of one page at most: three for each sample of a full ring, and a few that come once.
const QUEUE: usize = 3 * RING + 4;

numbered! {
    /// Whether samples are being written. The numbers are those on the page.
    pub enum State {
        /// Nothing to relay.
        Waiting = 0 "WAITING",
        /// A sample for each Sync.
        Feeding = 1 "FEEDING",
    }
}

numbered! {
    /// What an output of danteshm is. The numbers are those on the status page.
    pub enum OutputKind {
        /// An NTP SHM segment.
        Shm = 0 "shm",
        /// A socket of chronyd's.
        Sock = 1 "sock",
        /// A socket that serves the leader's own time.
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

    /// Whether the record of such an output counts clients.
    pub const fn has_clients(self) -> bool {
        matches!(self, Self::Usrvclock)
    }
}

/// An input of the relay.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// The pages as they are now: dante4l's doorbell rang, a deadline passed, or a second did.
    Page {
        /// dante4l's page; `None` where it is absent or not believed.
        dante4l: Option<&'a View<Dante4l>>,
        /// dante2sys' page, likewise; of use while [`Relay::needs_epoch`].
        dante2sys: Option<&'a View<Dante2sys>>,
        /// CLOCK_BOOTTIME - CLOCK_MONOTONIC, the time spent in suspend since boot.
        suspended: Duration,
    },
    /// The program ends.
    End,
}

/// What is to be done or published.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Output {
    /// Write this sample.
    Write(RefclockSample),
    /// Take back what was written and not read.
    Withdraw,
    /// Samples are written from now on.
    Feeding,
    /// No more samples, because of this.
    Stopped(Loss),
    /// K was fixed.
    Fixed(Fixed),
    /// K was carried over to another timeline.
    Epoch(EpochChange),
    /// There is a leader, but no date to fix K to. Said once.
    NoUtc(Option<KernelSync>),
    /// Nothing is written for some seconds, and K is fixed anew then: else chrony would see a jump.
    Paused(Break),
    /// Send the leader's own time to the clients of `--usrvclock`: it changed, or it is to be repeated.
    Overlay(Overlay),
    /// The host was suspended for this long.
    Slept(Duration),
}

/// What the user chose.
#[derive(Debug, Clone, Copy, Default)]
pub struct Config {
    /// When K may be fixed.
    pub rule: EpochRule,
    /// The mean of so long a stretch, instead of each Sync.
    pub every: Option<Duration>,
}

/// The engine of danteshm.
#[derive(Debug)]
pub struct Relay {
    refclock: Refclock,
    overlay: OverlayKeeper,
    sleep: SleepDetector,
    /// dante4l's instance, and how many of its samples were taken.
    seen: Option<(u64, u64)>,
    lost: Option<Loss>,
    outputs: Outputs<Output, QUEUE>,
}

impl Relay {
    /// An engine that resumes K of an earlier run, if that wrote a sample. `suspended`: as in [`Input::Page`].
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

    /// Takes an input; then call [`Self::poll`] until it is `None`.
    pub fn handle(&mut self, now: Timestamp<Raw>, input: Input<'_>) {
        match input {
            Input::Page { dante4l, dante2sys, suspended } => {
                if let Some(slept) = self.sleep.look(suspended) {
                    self.outputs.push(Output::Slept(slept));
                    self.overlay.slept(now);
                }
                let followed = self.take(now, dante4l, dante2sys);
                self.set_lost(followed.err());
                // After the samples: chrony waits for those.
                if let Some(overlay) = self.overlay.follow(now, followed.ok().as_ref()) {
                    self.outputs.push(Output::Overlay(overlay));
                }
            }
            Input::End => self.set_lost(Some(Loss::Ending)),
        }
    }

    /// Relays the samples that are new on dante4l's page. The map of the leader followed now.
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
            // Samples from before the first page read are too old.
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

    /// The next output.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    /// When the pages are to be read again at the latest, to repeat the overlay; `None` while there is none.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        self.overlay.deadline()
    }

    /// Whether the next [`Input::Page`] should carry dante2sys' page: K is not fixed.
    pub fn needs_epoch(&self) -> bool {
        !self.refclock.has_epoch()
    }

    /// What is missing while no samples are written.
    pub fn waiting(&self) -> Waiting {
        self.refclock.waiting()
    }

    /// Why there is no leader, by the last input.
    pub fn lost(&self) -> Option<Loss> {
        self.lost
    }

    /// The present overlay, for a client that registers between two of [`Output::Overlay`].
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

    /// Its status page, without the outputs, which the program adds.
    pub fn status(&self) -> DanteshmStatus {
        DanteshmStatus::of(&self.page())
    }
}

#[cfg(test)]
mod tests;
