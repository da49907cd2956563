//! The outputs: where samples and Dante's own time go. Each has counters of its own, and a failure of one does not affect the
//! others.

use crate::args::Args;
use arrayvec::ArrayVec;
use dante_core::page::{MAX_OUTPUTS, OutputRecord, SocketPath};
use dante_core::relay::OutputKind;
use dante_core::relay::{Overlay, RefclockSample};
use dante_core::time::{Raw, Timestamp};
use dante_os::chronysock::ChronySock;
use dante_os::clock::raw_now;
use dante_os::daemon::{Exit, Failure};
use dante_os::log::Complaints;
use dante_os::ntpshm::{NtpShm, ShmError};
use dante_os::usrvclock::ClockServer;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// chronyd attaches its segments as this user.
const ROOT: u32 = 0;

/// One output. What a kind of output has no use for, it leaves out.
trait Output {
    /// Its kind and place, for people.
    fn name(&self) -> &str;

    /// Its record on the page.
    fn record(&self) -> OutputRecord;

    /// Writes a sample for chrony.
    fn write(&mut self, _sample: &RefclockSample, _complaints: &mut Complaints) {}

    /// Takes back a sample that was not read yet.
    fn withdraw(&mut self) {}

    /// Serves those who ask for Dante's own time; once a second, and when [`Self::fd`] is readable.
    fn attend(&mut self, _now: Timestamp<Raw>, _overlay: Option<&Overlay>, _complaints: &mut Complaints) {}

    /// Sends Dante's own time to its clients.
    fn send(&mut self, _now: Timestamp<Raw>, _overlay: &Overlay) {}

    /// The descriptor to wait for.
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Opens what the flags name: the only place that knows all kinds.
///
/// # Errors
/// A segment or a usrvclock that is somebody else's. A socket of chronyd's may come later.
fn open(args: &Args) -> Result<Vec<Box<dyn Output>>, Failure> {
    let mut all: Vec<Box<dyn Output>> = Vec::new();
    for unit in args.units() {
        let mut segment = segment(unit, args.shm_perm).map_err(refused)?;
        // The sample of an earlier writer may be wrong.
        segment.withdraw();
        let record = OutputRecord { unit, ready: 1, ..record(OutputKind::Shm, None) };
        all.push(Box::new(Refclock { name: format!("SHM unit {unit}"), driver: segment, record }));
    }
    for path in &args.sock {
        let record = record(OutputKind::Sock, Some(path));
        let name = format!("SOCK {}", record.path);
        all.push(Box::new(Refclock { name, driver: ChronySock::new(path.clone()), record }));
    }
    if let Some(path) = &args.usrvclock {
        all.push(Box::new(Usrvclock::open(path, args.usrvclock_perm)?));
    }
    Ok(all)
}

/// All outputs.
pub struct Outputs {
    all: Vec<Box<dyn Output>>,
    complaints: Complaints,
}

impl Outputs {
    /// Opens what the flags name.
    ///
    /// # Errors
    /// If an output belongs to another program or cannot be made.
    pub fn open(args: &Args) -> Result<Self, Failure> {
        Ok(Self { all: open(args)?, complaints: Complaints::default() })
    }

    /// Writes a sample for chrony to all outputs.
    pub fn write(&mut self, sample: &RefclockSample) {
        self.all.iter_mut().for_each(|output| output.write(sample, &mut self.complaints));
    }

    /// Takes back the samples that were not read yet.
    pub fn withdraw(&mut self) {
        self.all.iter_mut().for_each(|output| output.withdraw());
    }

    /// Serves those who ask for Dante's own time.
    pub fn attend(&mut self, now: Timestamp<Raw>, overlay: Option<&Overlay>) {
        self.all.iter_mut().for_each(|output| output.attend(now, overlay, &mut self.complaints));
    }

    /// Sends Dante's own time to all clients.
    pub fn send(&mut self, now: Timestamp<Raw>, overlay: &Overlay) {
        self.all.iter_mut().for_each(|output| output.send(now, overlay));
    }

    /// The descriptors to wait for.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.all.iter().filter_map(|output| output.fd())
    }

    /// Writes which outputs there are: `, SHM unit 2, SOCK /run/x (nobody there)`.
    pub fn status(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        self.all.iter().try_for_each(|output| {
            let nobody = if output.record().ready == 0 { " (nobody there)" } else { "" };
            write!(to, ", {}{nobody}", output.name())
        })
    }

    /// The records for the page.
    pub fn records(&self) -> ArrayVec<OutputRecord, MAX_OUTPUTS> {
        self.all.iter().map(|output| output.record()).take(MAX_OUTPUTS).collect()
    }
}

/// The driver of a reference clock of chrony's or ntpd's.
trait Driver {
    /// Why a sample is lost.
    type Error: fmt::Display;

    fn write(&mut self, sample: &RefclockSample) -> Result<(), Self::Error>;

    /// Takes back a sample that was not read yet, where that is possible.
    fn withdraw(&mut self) {}
}

impl Driver for NtpShm {
    type Error = std::convert::Infallible;

    fn write(&mut self, sample: &RefclockSample) -> Result<(), Self::Error> {
        self.write(sample);
        Ok(())
    }

    fn withdraw(&mut self) {
        self.withdraw();
    }
}

impl Driver for ChronySock {
    type Error = dante_os::chronysock::SockError;

    fn write(&mut self, sample: &RefclockSample) -> Result<(), Self::Error> {
        self.send(raw_now(), sample)
    }
}

/// A reference clock.
struct Refclock<D> {
    name: String,
    driver: D,
    record: OutputRecord,
}

impl<D: Driver> Output for Refclock<D> {
    fn name(&self) -> &str {
        &self.name
    }

    fn record(&self) -> OutputRecord {
        self.record
    }

    fn write(&mut self, sample: &RefclockSample, complaints: &mut Complaints) {
        let written = self.driver.write(sample);
        let (record, now) = (&mut self.record, raw_now());
        let was_ready = std::mem::replace(&mut record.ready, u8::from(written.is_ok()));
        match written {
            Ok(()) => {
                record.samples += 1;
                record.last_sample_raw_ns = now.ns();
                if was_ready == 0 {
                    log::info!("{}: samples get there from now on", self.name);
                }
            }
            Err(error) => {
                record.lost += 1;
                complaints.warn(now, error);
            }
        }
    }

    fn withdraw(&mut self) {
        self.driver.withdraw();
    }
}

/// A server of Dante's own time.
struct Usrvclock {
    name: String,
    server: ClockServer,
    record: OutputRecord,
}

impl Usrvclock {
    fn open(path: &Path, mode: u32) -> Result<Self, Failure> {
        let server = ClockServer::open(path.to_owned(), mode).map_err(Failure::of)?;
        let record = record(OutputKind::Usrvclock, Some(path));
        Ok(Self { name: format!("usrvclock {}", record.path), server, record })
    }

    /// Lets the server work, and notes when it sent something.
    fn serve(&mut self, now: Timestamp<Raw>, work: impl FnOnce(&mut ClockServer)) {
        let sent = self.server.sent();
        work(&mut self.server);
        if self.server.sent() > sent {
            self.record.last_sample_raw_ns = now.ns();
        }
    }
}

impl Output for Usrvclock {
    fn name(&self) -> &str {
        &self.name
    }

    fn record(&self) -> OutputRecord {
        OutputRecord {
            ready: u8::from(self.server.is_ready()),
            clients: self.server.clients() as u64,
            samples: self.server.sent(),
            lost: self.server.lost(),
            ..self.record
        }
    }

    /// Registrations of clients, and once a second a look at the socket.
    fn attend(&mut self, now: Timestamp<Raw>, overlay: Option<&Overlay>, complaints: &mut Complaints) {
        self.serve(now, |server| {
            server.look(now);
            server.receive(overlay);
        });
        for diagnostic in self.server.diagnostics() {
            complaints.warn(now, diagnostic);
        }
    }

    fn send(&mut self, now: Timestamp<Raw>, overlay: &Overlay) {
        self.serve(now, |server| server.tell(overlay));
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.server.fd()
    }
}

/// The segment, which chronyd may attach although nobody else may: it is root's, and still its maker's.
fn segment(unit: u32, mode: u32) -> Result<NtpShm, ShmError> {
    let segment = NtpShm::create(unit, mode)?;
    segment.give_to(ROOT)?;
    if segment.is_open_to_all() {
        log::warn!("SHM unit {unit}: every local user may write to it, and so forge what chrony reads");
    }
    Ok(segment)
}

fn record(kind: OutputKind, path: Option<&Path>) -> OutputRecord {
    let path = path.map(|path| path.display().to_string()).unwrap_or_default();
    OutputRecord {
        kind: kind as u8,
        ready: 0,
        reserved: 0,
        unit: 0,
        clients: 0,
        samples: 0,
        lost: 0,
        last_sample_raw_ns: 0,
        path: SocketPath::new(&path),
    }
}

fn refused(error: ShmError) -> Failure {
    match error {
        ShmError::NoSuchUnit { .. } => Failure::new(Exit::Usage, error),
        error => Failure::of(error),
    }
}
