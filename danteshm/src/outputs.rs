//! The outputs, to which danteshm writes samples and Dante time. Each has counters of its own, and a failure of one does not
//! affect the others.

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

/// User that chronyd attaches segments as.
const ROOT: u32 = 0;

/// One output. An output implements the methods that its kind needs.
trait Output {
    /// Kind and unit or path, for log lines.
    fn name(&self) -> &str;

    /// Record of the output on the status page.
    fn record(&self) -> OutputRecord;

    /// Writes a sample for chrony.
    fn write(&mut self, _sample: &RefclockSample, _complaints: &mut Complaints) {}

    /// Withdraws a sample that was not read yet.
    fn withdraw(&mut self) {}

    /// Handles registrations of clients; called once a second, and when [`Self::fd`] is readable.
    fn attend(&mut self, _now: Timestamp<Raw>, _overlay: Option<&Overlay>, _complaints: &mut Complaints) {}

    /// Sends Dante time to the clients.
    fn send(&mut self, _now: Timestamp<Raw>, _overlay: &Overlay) {}

    /// Descriptor to wait for.
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Opens the outputs that the flags name. This is the only place that knows all kinds.
///
/// # Errors
/// A segment or a usrvclock that another program owns. A missing SOCK is no error: chronyd may make it later.
fn open(args: &Args) -> Result<Vec<Box<dyn Output>>, Failure> {
    let mut all: Vec<Box<dyn Output>> = Vec::new();
    for unit in args.units() {
        let mut segment = segment(unit, args.shm_perm).map_err(refused)?;
        // A sample of an earlier writer may be wrong.
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
    /// Opens the outputs that the flags name.
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

    /// Withdraws the samples that were not read yet.
    pub fn withdraw(&mut self) {
        self.all.iter_mut().for_each(|output| output.withdraw());
    }

    /// Handles registrations of usrvclock clients.
    pub fn attend(&mut self, now: Timestamp<Raw>, overlay: Option<&Overlay>) {
        self.all.iter_mut().for_each(|output| output.attend(now, overlay, &mut self.complaints));
    }

    /// Sends Dante time to all usrvclock clients.
    pub fn send(&mut self, now: Timestamp<Raw>, overlay: &Overlay) {
        self.all.iter_mut().for_each(|output| output.send(now, overlay));
    }

    /// Descriptors to wait for.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.all.iter().filter_map(|output| output.fd())
    }

    /// Writes the list of outputs: `, SHM unit 2, SOCK /run/x (not ready)`.
    pub fn status(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        self.all.iter().try_for_each(|output| {
            let not_ready = if output.record().ready == 0 { " (not ready)" } else { "" };
            write!(to, ", {}{not_ready}", output.name())
        })
    }

    /// Records for the status page.
    pub fn records(&self) -> ArrayVec<OutputRecord, MAX_OUTPUTS> {
        self.all.iter().map(|output| output.record()).take(MAX_OUTPUTS).collect()
    }
}

/// Writer for a reference clock driver of chrony or ntpd.
trait Driver {
    /// Why a sample is lost.
    type Error: fmt::Display;

    fn write(&mut self, sample: &RefclockSample) -> Result<(), Self::Error>;

    /// Withdraws a sample that was not read yet, where the driver allows it.
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

/// Output to a reference clock driver.
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
                    log::info!("{}: connected, samples are delivered", self.name);
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

/// Server of Dante time (`--usrvclock`).
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

    /// Runs `work` on the server, and records the time if it sent a datagram.
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

    /// Checks the socket once a second, and handles registrations of clients.
    fn attend(&mut self, now: Timestamp<Raw>, overlay: Option<&Overlay>, complaints: &mut Complaints) {
        self.serve(now, |server| {
            server.check(now);
            server.receive(overlay);
        });
        for diagnostic in self.server.diagnostics() {
            complaints.warn(now, diagnostic);
        }
    }

    fn send(&mut self, now: Timestamp<Raw>, overlay: &Overlay) {
        self.serve(now, |server| server.publish(overlay));
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.server.fd()
    }
}

/// Makes or attaches the segment of a unit, and gives it to root, so that chronyd can attach it although other users cannot. The
/// creator keeps its rights.
fn segment(unit: u32, mode: u32) -> Result<NtpShm, ShmError> {
    let segment = NtpShm::create(unit, mode)?;
    segment.give_to(ROOT)?;
    if segment.is_open_to_all() {
        log::warn!(
            "SHM unit {unit} is writable by every local user, who can forge samples; \
             remove it with ipcrm and set a narrower --shm-perm"
        );
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
