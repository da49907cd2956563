//! Reads all pages of one instance together.

mod surroundings;

use dante_core::page::{
    Body, CandidateRecord, Dante2sys, Dante2sysStatus, Dante4l, Dante4lStatus, Danteshm, DanteshmStatus,
    Freshness, PortRecord, View,
};
use dante_core::port::State;
use dante_core::time::{Raw, Timestamp};
use dante_os::clock::raw_now;
use dante_os::page::{Instance, PageName, PageReader, ReadError};
pub use surroundings::{Holder, Master, Occupant, Surroundings};

/// One page, or why it cannot be read.
pub type Read<B> = Result<View<B>, ReadError>;

/// State of the daemons at one time. All outputs are derived from it.
pub struct Pages {
    /// Instance; `None`: the default one.
    pub instance: Option<Instance>,
    pub now: Timestamp<Raw>,
    /// Clock page of dante4l, which contains the samples.
    pub clock: Read<Dante4l>,
    pub dante4l: Read<Dante4lStatus>,
    pub dante2sys: Read<Dante2sysStatus>,
    pub danteshm: Read<DanteshmStatus>,
    /// What this host shows about faults on these pages.
    pub surroundings: Surroundings,
}

/// Reads the pages again and again, also after restarts of their writers.
pub struct Readers {
    instance: Option<Instance>,
    dante4l: Pair<Dante4l, Dante4lStatus>,
    dante2sys: Pair<Dante2sys, Dante2sysStatus>,
    danteshm: Pair<Danteshm, DanteshmStatus>,
}

/// Readers of both pages of a daemon.
struct Pair<C, S> {
    clock: PageReader<C>,
    status: PageReader<S>,
}

impl<C: Body, S: Body> Pair<C, S> {
    fn new(instance: Option<&Instance>) -> Self {
        let (clock, status) = (PageName::new(instance), PageName::new(instance));
        Self { clock: PageReader::new(clock), status: PageReader::new(status) }
    }

    fn read(&mut self, now: Timestamp<Raw>) -> Read<S> {
        let clock = self.clock.read(now);
        self.read_status(&clock, now)
    }

    /// Returns the status, or the error of the clock page: other programs depend on that page.
    fn read_status(&mut self, clock: &Read<C>, now: Timestamp<Raw>) -> Read<S> {
        match clock {
            Err(error) => Err(error.clone()),
            Ok(_) => self.status.read(now),
        }
    }
}

impl Readers {
    pub fn new(instance: Option<&Instance>) -> Self {
        Self {
            instance: instance.cloned(),
            dante4l: Pair::new(instance),
            dante2sys: Pair::new(instance),
            danteshm: Pair::new(instance),
        }
    }

    pub fn read(&mut self) -> Pages {
        let now = raw_now();
        let clock = self.dante4l.clock.read(now);
        self.read_with_clock(now, clock)
    }

    /// Reads the other pages; `clock` is dante4l's clock page.
    pub fn read_with_clock(&mut self, now: Timestamp<Raw>, clock: Read<Dante4l>) -> Pages {
        let dante4l = self.dante4l.read_status(&clock, now);
        let danteshm = self.danteshm.read(now);
        Pages {
            instance: self.instance.clone(),
            now,
            surroundings: Surroundings::of(fresh_body(&dante4l), fresh_body(&danteshm)),
            dante4l,
            clock,
            dante2sys: self.dante2sys.read(now),
            danteshm,
        }
    }
}

impl Pages {
    /// Reads the pages of an instance once.
    pub fn read(instance: Option<&Instance>) -> Self {
        Readers::new(instance).read()
    }

    /// Returns the selected port of a running dante4l.
    pub fn selected(&self) -> Option<&PortRecord> {
        fresh_body(&self.dante4l)?.selected()
    }

    /// Returns the state of a running dante4l.
    pub fn state(&self) -> Option<State> {
        fresh_body(&self.dante4l)?.state()
    }

    /// Returns the interfaces among which a running dante4l looks for a network; `None` once it uses one, or if they were named.
    pub fn searched(&self) -> Option<&[CandidateRecord]> {
        let body = fresh_body(&self.dante4l)?;
        body.candidates().filter(|_| body.ports().is_empty())
    }

    /// Returns why dante4l publishes nothing new; `None` if it is running. `note` is appended if its page has old values.
    pub fn not_running(&self, note: &str) -> Option<String> {
        match &self.dante4l {
            Err(error) => Some(error.to_string()),
            Ok(_) => (!self.has_dante4l()).then(|| format!("dante4l is not running{note}")),
        }
    }

    /// Whether dante4l is running.
    pub fn has_dante4l(&self) -> bool {
        freshness(&self.dante4l) == Freshness::Fresh
    }
}

/// Returns the name of the systemd unit of a daemon. Only dante4l has one for each instance.
pub fn unit(program: &str, instance: Option<&Instance>) -> String {
    match instance {
        Some(instance) if program == Dante4lStatus::PROGRAM => format!("{program}@{instance}"),
        _ => program.to_owned(),
    }
}

/// Returns the path of the configuration file in the package.
pub fn configuration(instance: Option<&Instance>) -> String {
    match instance {
        Some(instance) => format!("/etc/dante4l.{instance}.toml"),
        None => "/etc/dante4l.toml".into(),
    }
}

/// Returns the freshness of the page.
pub fn freshness<B: Body>(read: &Read<B>) -> Freshness {
    match read {
        Ok(view) => view.freshness,
        Err(error) => error.freshness(),
    }
}

/// Returns the body of the page if its writer is running.
pub fn fresh_body<B: Body>(read: &Read<B>) -> Option<&B> {
    read.as_ref().ok().filter(|view| view.freshness == Freshness::Fresh).map(|view| &view.body)
}
