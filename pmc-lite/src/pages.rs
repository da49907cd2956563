//! The pages of one instance, read together.

use dante_core::page::{Body, Dante2sys, Dante4l, Danteshm, Freshness, PortRecord, View};
use dante_core::time::{Raw, Timestamp};
use dante_os::clock::raw_now;
use dante_os::page::{Instance, PageName, PageReader, ReadError};

/// One page, or why it tells nothing.
pub type Read<B> = Result<View<B>, ReadError>;

/// What the daemons say at one moment. All that is shown is made of this.
pub struct Pages {
    /// Whose they are.
    pub instance: Option<Instance>,
    pub now: Timestamp<Raw>,
    pub dante4l: Read<Dante4l>,
    pub dante2sys: Read<Dante2sys>,
    pub danteshm: Read<Danteshm>,
}

/// Reads them, over restarts of their writers.
pub struct Readers {
    instance: Option<Instance>,
    dante4l: PageReader<Dante4l>,
    dante2sys: PageReader<Dante2sys>,
    danteshm: PageReader<Danteshm>,
}

impl Readers {
    pub fn new(instance: Option<&Instance>) -> Self {
        Self {
            instance: instance.cloned(),
            dante4l: PageReader::new(PageName::new(instance)),
            dante2sys: PageReader::new(PageName::new(instance)),
            danteshm: PageReader::new(PageName::new(instance)),
        }
    }

    pub fn read(&mut self) -> Pages {
        let now = raw_now();
        let dante4l = self.dante4l.read(now);
        self.read_beside(now, dante4l)
    }

    /// The others' pages, beside dante4l's.
    pub fn read_beside(&mut self, now: Timestamp<Raw>, dante4l: Read<Dante4l>) -> Pages {
        Pages {
            instance: self.instance.clone(),
            now,
            dante4l,
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
        Some(instance) if program == Dante4l::NAME => format!("{program}@{instance}"),
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
