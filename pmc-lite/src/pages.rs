//! The pages of one instance, read together.

use dante_core::page::{
    Body, Dante2sys, Dante2sysStatus, Dante4l, Dante4lStatus, Danteshm, DanteshmStatus, Freshness,
    PortRecord, View,
};
use dante_core::time::{Raw, Timestamp};
use dante_os::clock::raw_now;
use dante_os::page::{Instance, PageName, PageReader, ReadError};

/// One page, or why it gives nothing.
pub type Read<B> = Result<View<B>, ReadError>;

/// What the daemons publish at one moment. All that is shown is made of this.
pub struct Pages {
    /// Whose they are.
    pub instance: Option<Instance>,
    pub now: Timestamp<Raw>,
    /// dante4l's clock page, which has the samples.
    pub clock: Read<Dante4l>,
    pub dante4l: Read<Dante4lStatus>,
    pub dante2sys: Read<Dante2sysStatus>,
    pub danteshm: Read<DanteshmStatus>,
}

/// Reads them, over restarts of their writers.
pub struct Readers {
    instance: Option<Instance>,
    dante4l: Pair<Dante4l, Dante4lStatus>,
    dante2sys: Pair<Dante2sys, Dante2sysStatus>,
    danteshm: Pair<Danteshm, DanteshmStatus>,
}

/// Both pages of a daemon.
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
        self.beside(&clock, now)
    }

    /// The status, unless something is wrong with the clock page: other programs go by that one.
    fn beside(&mut self, clock: &Read<C>, now: Timestamp<Raw>) -> Read<S> {
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
        self.read_beside(now, clock)
    }

    /// The other pages, beside dante4l's clock page.
    pub fn read_beside(&mut self, now: Timestamp<Raw>, clock: Read<Dante4l>) -> Pages {
        Pages {
            instance: self.instance.clone(),
            now,
            dante4l: self.dante4l.beside(&clock, now),
            clock,
            dante2sys: self.dante2sys.read(now),
            danteshm: self.danteshm.read(now),
        }
    }
}

impl Pages {
    /// Those of an instance, read once.
    pub fn read(instance: Option<&Instance>) -> Self {
        Readers::new(instance).read()
    }

    /// The port that a running dante4l follows its leader by.
    pub fn selected(&self) -> Option<&PortRecord> {
        said(&self.dante4l)?.selected()
    }

    /// Why dante4l tells nothing new, if it does not run; `stopped` is said of one that has told something.
    pub fn silence(&self, stopped: &str) -> Option<String> {
        match &self.dante4l {
            Err(error) => Some(error.to_string()),
            Ok(_) => (!self.has_dante4l()).then(|| format!("dante4l is not running{stopped}")),
        }
    }

    /// dante4l runs.
    pub fn has_dante4l(&self) -> bool {
        freshness(&self.dante4l) == Freshness::Fresh
    }
}

/// The unit by which the package runs a daemon: only dante4l has one for each instance.
pub fn unit(program: &str, instance: Option<&Instance>) -> String {
    match instance {
        Some(instance) if program == Dante4lStatus::PROGRAM => format!("{program}@{instance}"),
        _ => program.to_owned(),
    }
}

/// Where a host with the package has its configuration.
pub fn configuration(instance: Option<&Instance>) -> String {
    match instance {
        Some(instance) => format!("/etc/dante4l.{instance}.toml"),
        None => "/etc/dante4l.toml".into(),
    }
}

/// How the page looks.
pub fn freshness<B: Body>(read: &Read<B>) -> Freshness {
    match read {
        Ok(view) => view.freshness,
        Err(error) => error.freshness(),
    }
}

/// What its writer says, if it runs.
pub fn said<B: Body>(read: &Read<B>) -> Option<&B> {
    read.as_ref().ok().filter(|view| view.freshness == Freshness::Fresh).map(|view| &view.body)
}
