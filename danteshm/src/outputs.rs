//! The outputs, to which danteshm writes samples and Dante time. Each has counters of its own, and a failure of one does not
//! affect the others.

use crate::args::Args;
use arrayvec::ArrayVec;
use dante_core::page::{MAX_OUTPUTS, OutputRecord, SocketPath};
use dante_core::relay::{Delivery, OutputKind, Overlay, RefclockSample, Undelivered};
use dante_core::time::{Raw, Timestamp};
use dante_os::chronysock::ChronySock;
use dante_os::clock::raw_now;
use dante_os::daemon::{Exit, Failure};
use dante_os::log::Complaints;
use dante_os::ntpshm::ShmOutput;
use dante_os::output::{Diagnostic, OutputState};
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
    fn write(&mut self, _now: Timestamp<Raw>, _sample: &RefclockSample) {}

    /// Withdraws a sample that was not read yet.
    fn withdraw(&mut self, _now: Timestamp<Raw>) {}

    /// Checks the segment or socket, and handles registrations of clients; called once a second, and when [`Self::fd`] is readable.
    fn attend(&mut self, now: Timestamp<Raw>, overlay: Option<&Overlay>);

    /// Sends Dante time to the clients.
    fn send(&mut self, _now: Timestamp<Raw>, _overlay: &Overlay) {}

    /// When [`Self::attend`] is due, if before the second is over.
    fn deadline(&self) -> Option<Timestamp<Raw>> {
        None
    }

    /// Descriptor to wait for.
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Opens the outputs that the flags name. This is the only place that knows all kinds.
///
/// # Errors
/// An SHM unit that cannot exist. An output that another program or user occupies is no error: it is opened as soon as it is free.
fn open(args: &Args) -> Result<Vec<Box<dyn Output>>, Failure> {
    let (mut all, now): (Vec<Box<dyn Output>>, _) = (Vec::new(), raw_now());
    for unit in args.units() {
        let segment = ShmOutput::open(now, unit, args.shm_perm, ROOT);
        let segment = segment.map_err(|error| Failure::new(Exit::Usage, error))?;
        let record = OutputRecord { unit, ..record(OutputKind::Shm, None) };
        all.push(Box::new(Refclock::new(format!("SHM unit {unit}"), segment, record)));
    }
    for path in &args.sock {
        let record = record(OutputKind::Sock, Some(path));
        all.push(Box::new(Refclock::new(
            format!("SOCK {}", record.path),
            ChronySock::new(path.clone()),
            record,
        )));
    }
    if let Some(path) = &args.usrvclock {
        all.push(Box::new(Usrvclock::open(now, path, args.usrvclock_perm)));
    }
    Ok(all)
}

/// All outputs.
pub struct Outputs {
    all: Vec<Box<dyn Output>>,
}

impl Outputs {
    /// Opens the outputs that the flags name.
    ///
    /// # Errors
    /// An SHM unit that cannot exist.
    pub fn open(args: &Args) -> Result<Self, Failure> {
        Ok(Self { all: open(args)? })
    }

    /// Writes a sample for chrony to all outputs.
    pub fn write(&mut self, now: Timestamp<Raw>, sample: &RefclockSample) {
        self.all.iter_mut().for_each(|output| output.write(now, sample));
    }

    /// Withdraws the samples that were not read yet.
    pub fn withdraw(&mut self, now: Timestamp<Raw>) {
        self.all.iter_mut().for_each(|output| output.withdraw(now));
    }

    /// Checks the outputs, and handles registrations of usrvclock clients.
    pub fn attend(&mut self, now: Timestamp<Raw>, overlay: Option<&Overlay>) {
        self.all.iter_mut().for_each(|output| output.attend(now, overlay));
    }

    /// Sends Dante time to all usrvclock clients.
    pub fn send(&mut self, now: Timestamp<Raw>, overlay: &Overlay) {
        self.all.iter_mut().for_each(|output| output.send(now, overlay));
    }

    /// Descriptors to wait for.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.all.iter().filter_map(|output| output.fd())
    }

    /// When [`Self::attend`] is due, if before the second is over.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        self.all.iter().filter_map(|output| output.deadline()).min()
    }

    /// Whether Dante time is sent to clients.
    pub fn has_clients(&self) -> bool {
        self.all.iter().any(|output| output.record().kind() == Some(OutputKind::Usrvclock))
    }

    /// Writes the list of outputs: `, SHM unit 2 (no reader), SOCK /run/x`.
    pub fn status(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        self.all.iter().try_for_each(|output| {
            let record = output.record();
            write!(to, ", {}", output.name())?;
            match Undelivered::of(&record).and_then(|fault| fault.delivery().fault()) {
                Some(fault) => write!(to, " ({fault})"),
                None => Ok(()),
            }
        })
    }

    /// Whether samples are written for chrony. Clients need no epoch offset (K), so without such an output UTC does not matter.
    pub fn has_refclocks(&self) -> bool {
        self.all.iter().any(|output| output.record().kind().is_some_and(OutputKind::is_refclock))
    }

    /// Whether there are outputs for chrony, and none of them is delivered.
    pub fn is_read_by_none(&self) -> bool {
        Delivery::reaches_none(&self.records())
    }

    /// Records for the status page.
    pub fn records(&self) -> ArrayVec<OutputRecord, MAX_OUTPUTS> {
        self.all.iter().map(|output| output.record()).take(MAX_OUTPUTS).collect()
    }
}

/// Writer for a reference clock driver of chrony or ntpd.
trait Driver {
    /// Checks the segment or socket, at most once a second.
    fn check(&mut self, now: Timestamp<Raw>);

    /// Writes a sample. Returns whether the segment or socket accepted it.
    fn write(&mut self, now: Timestamp<Raw>, sample: &RefclockSample) -> bool;

    /// Withdraws a sample that was not read yet, where the driver allows it.
    fn withdraw(&mut self, _now: Timestamp<Raw>) {}

    fn state(&self, now: Timestamp<Raw>) -> OutputState;

    fn diagnostics(&mut self) -> Vec<Diagnostic>;
}

impl Driver for ShmOutput {
    fn check(&mut self, now: Timestamp<Raw>) {
        self.check(now);
    }

    fn write(&mut self, now: Timestamp<Raw>, sample: &RefclockSample) -> bool {
        self.write(now, sample)
    }

    fn withdraw(&mut self, now: Timestamp<Raw>) {
        self.withdraw(now);
    }

    fn state(&self, now: Timestamp<Raw>) -> OutputState {
        self.state(now)
    }

    fn diagnostics(&mut self) -> Vec<Diagnostic> {
        self.diagnostics()
    }
}

impl Driver for ChronySock {
    fn check(&mut self, now: Timestamp<Raw>) {
        self.check(now);
    }

    fn write(&mut self, now: Timestamp<Raw>, sample: &RefclockSample) -> bool {
        self.send(now, sample).is_ok()
    }

    fn state(&self, _now: Timestamp<Raw>) -> OutputState {
        self.state()
    }

    fn diagnostics(&mut self) -> Vec<Diagnostic> {
        self.diagnostics()
    }
}

/// Output to a reference clock driver.
struct Refclock<D> {
    name: String,
    driver: D,
    record: OutputRecord,
    complaints: Complaints,
}

impl<D: Driver> Refclock<D> {
    fn new(name: String, driver: D, record: OutputRecord) -> Self {
        let complaints = Complaints::about(name.clone());
        let mut output = Self { name, driver, record, complaints };
        output.update(raw_now());
        output
    }

    /// Takes the state of the driver into the record, and logs what changed.
    fn update(&mut self, now: Timestamp<Raw>) {
        let OutputState { is_ready, delivery, last_read, recreated } = self.driver.state(now);
        let before = self.record.delivery();
        let record = &mut self.record;
        (record.ready, record.delivery, record.recreated) = (u8::from(is_ready), delivery as u8, recreated);
        record.last_read_raw_ns = last_read.map_or(0, Timestamp::ns);
        for diagnostic in self.driver.diagnostics() {
            self.complaints.warn_as(now, diagnostic.kind, format_args!("{}", diagnostic.text));
        }
        if before == Some(delivery) {
            return;
        }
        let Some(fault) = Undelivered::of(&self.record) else {
            if delivery == Delivery::Delivered {
                log::info!("{}: samples are delivered", self.name);
            }
            return;
        };
        // The driver reports why it is not available, and why nothing reads a socket.
        let is_reported = match fault.delivery() {
            Delivery::NotRead => false,
            Delivery::NotAttached => self.record.kind() == Some(OutputKind::Sock),
            Delivery::Unavailable | Delivery::Pending | Delivery::Delivered => true,
        };
        if !is_reported {
            self.complaints.warn_as(now, delivery.name(), format_args!("{fault}"));
        }
    }
}

impl<D: Driver> Output for Refclock<D> {
    fn name(&self) -> &str {
        &self.name
    }

    fn record(&self) -> OutputRecord {
        self.record
    }

    fn attend(&mut self, now: Timestamp<Raw>, _: Option<&Overlay>) {
        self.complaints.tick(now);
        self.driver.check(now);
        self.update(now);
    }

    fn write(&mut self, now: Timestamp<Raw>, sample: &RefclockSample) {
        if self.driver.write(now, sample) {
            self.record.samples += 1;
            self.record.last_sample_raw_ns = now.ns();
        } else {
            self.record.lost += 1;
        }
        self.update(now);
    }

    fn withdraw(&mut self, now: Timestamp<Raw>) {
        self.driver.withdraw(now);
    }
}

/// Server of Dante time (`--usrvclock`).
struct Usrvclock {
    name: String,
    server: ClockServer,
    record: OutputRecord,
    complaints: Complaints,
}

impl Usrvclock {
    fn open(now: Timestamp<Raw>, path: &Path, mode: u32) -> Self {
        let server = ClockServer::open(now, path.to_owned(), mode);
        let record = record(OutputKind::Usrvclock, Some(path));
        let name = format!("usrvclock {}", record.path);
        let complaints = Complaints::about(name.clone());
        let mut output = Self { name, server, record, complaints };
        output.serve(now, |_| ());
        output
    }

    /// Runs `work` on the server, and records the time if it sent a datagram.
    fn serve(&mut self, now: Timestamp<Raw>, work: impl FnOnce(&mut ClockServer)) {
        let sent = self.server.sent();
        work(&mut self.server);
        let was_ready = self.record.ready == 1;
        self.record.ready = u8::from(self.server.is_ready());
        if self.server.is_ready() && !was_ready {
            log::info!("{}: clients can register", self.name);
        }
        if self.server.sent() > sent {
            self.record.last_sample_raw_ns = now.ns();
        }
        for diagnostic in self.server.diagnostics() {
            self.complaints.warn_as(now, diagnostic.kind, format_args!("{}", diagnostic.text));
        }
    }
}

impl Output for Usrvclock {
    fn name(&self) -> &str {
        &self.name
    }

    fn record(&self) -> OutputRecord {
        let delivery = match (self.server.is_ready(), self.server.clients()) {
            (false, _) => Delivery::Unavailable,
            (true, 0) => Delivery::NotAttached,
            (true, _) => Delivery::Delivered,
        };
        OutputRecord {
            delivery: delivery as u8,
            clients: self.server.clients() as u64,
            samples: self.server.sent(),
            lost: self.server.lost(),
            recreated: self.server.recreated(),
            rejected: self.server.rejected(),
            ..self.record
        }
    }

    /// Checks the socket once a second, and handles registrations of clients.
    fn attend(&mut self, now: Timestamp<Raw>, overlay: Option<&Overlay>) {
        self.complaints.tick(now);
        self.serve(now, |server| {
            server.check(now);
            server.receive(now, overlay);
        });
    }

    fn send(&mut self, now: Timestamp<Raw>, overlay: &Overlay) {
        self.serve(now, |server| server.publish(overlay));
    }

    fn deadline(&self) -> Option<Timestamp<Raw>> {
        self.server.deadline()
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.server.fd()
    }
}

fn record(kind: OutputKind, path: Option<&Path>) -> OutputRecord {
    let path = path.map(|path| path.display().to_string()).unwrap_or_default();
    OutputRecord {
        kind: kind as u8,
        ready: 0,
        delivery: Delivery::Pending as u8,
        reserved: 0,
        unit: 0,
        clients: 0,
        samples: 0,
        lost: 0,
        last_sample_raw_ns: 0,
        last_read_raw_ns: 0,
        recreated: 0,
        rejected: 0,
        path: SocketPath::new(&path),
    }
}

#[cfg(test)]
#[path = "../../lib/os/src/logged.rs"]
mod logged;

#[cfg(test)]
#[path = "../../lib/os/src/namespaces.rs"]
mod namespaces;

#[cfg(test)]
#[path = "../../lib/os/src/scratch.rs"]
#[expect(dead_code, reason = "these tests write no file through it")]
mod scratch;

#[cfg(test)]
mod tests;
