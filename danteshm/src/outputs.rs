//! Where samples go: segments and sockets, each with its own counters. What one of them lacks harms no other.

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

/// A driver of chrony's, or ntpd's.
enum Driver {
    Shm(NtpShm),
    Sock(ChronySock),
}

struct Output {
    driver: Driver,
    record: OutputRecord,
}

pub struct Outputs {
    refclocks: Vec<Output>,
    usrvclock: Option<(ClockServer, OutputRecord)>,
    complaints: Complaints,
}

impl Outputs {
    /// Opens what the flags name.
    ///
    /// # Errors
    /// A segment or a usrvclock that is somebody else's. A socket of chronyd's may come later.
    pub fn open(args: &Args) -> Result<Self, Failure> {
        let mut refclocks = Vec::new();
        for unit in args.units() {
            let mut segment = segment(unit, args.shm_perm).map_err(refused)?;
            // What a predecessor left there is not ours to vouch for.
            segment.withdraw();
            let record = OutputRecord { unit, ready: 1, ..record(OutputKind::Shm, None) };
            refclocks.push(Output { driver: Driver::Shm(segment), record });
        }
        for path in &args.sock {
            let record = record(OutputKind::Sock, Some(path));
            refclocks.push(Output { driver: Driver::Sock(ChronySock::new(path.clone())), record });
        }
        let usrvclock = match &args.usrvclock {
            Some(path) => {
                let server = ClockServer::open(path.clone(), args.usrvclock_mode).map_err(|error| {
                    let exit = if error.is_refusal() { Exit::Refused } else { Exit::Failed };
                    Failure::new(exit, error)
                })?;
                Some((server, record(OutputKind::Usrvclock, Some(path))))
            }
            None => None,
        };
        Ok(Self { refclocks, usrvclock, complaints: Complaints::default() })
    }

    /// A sample for chrony, to all who want it.
    pub fn write(&mut self, sample: &RefclockSample) {
        for Output { driver, record } in &mut self.refclocks {
            let written = match driver {
                Driver::Shm(segment) => {
                    segment.write(sample);
                    Ok(())
                }
                Driver::Sock(sock) => sock.send(raw_now(), sample),
            };
            let now = raw_now();
            let was_ready = std::mem::replace(&mut record.ready, u8::from(written.is_ok()));
            match written {
                Ok(()) => {
                    record.samples += 1;
                    record.last_sample_raw_ns = now.ns();
                    if was_ready == 0 {
                        log::info!("SOCK {}: samples get there from now on", record.path);
                    }
                }
                Err(error) => {
                    record.lost += 1;
                    self.complaints.warn(now, error);
                }
            }
        }
    }

    /// What was written and not read yet is not to be read any more.
    pub fn withdraw(&mut self) {
        for output in &mut self.refclocks {
            // What was sent to a socket was sent.
            if let Driver::Shm(segment) = &mut output.driver {
                segment.withdraw();
            }
        }
    }

    /// Registrations of clients, and once a second a look at the socket.
    pub fn attend(&mut self, now: Timestamp<Raw>, overlay: Option<&Overlay>) {
        let Some((server, record)) = &mut self.usrvclock else { return };
        server.look(now);
        let sent = server.sent();
        server.receive(overlay);
        if server.sent() > sent {
            record.last_sample_raw_ns = now.ns();
        }
        for notice in server.notices() {
            self.complaints.warn(now, notice);
        }
    }

    /// Dante's own time, to the clients.
    pub fn tell(&mut self, now: Timestamp<Raw>, overlay: &Overlay) {
        let Some((server, record)) = &mut self.usrvclock else { return };
        let sent = server.sent();
        server.tell(overlay);
        if server.sent() > sent {
            record.last_sample_raw_ns = now.ns();
        }
    }

    /// What else is to be waited for.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.usrvclock.as_ref().and_then(|(server, _)| server.fd())
    }

    /// Which outputs there are, in words: `, SHM unit 2, SOCK /run/x (nobody there)`.
    pub fn status(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        for record in self.records() {
            let place = record.path;
            match OutputKind::from_number(record.kind) {
                Some(OutputKind::Sock) => write!(to, ", SOCK {place}")?,
                Some(OutputKind::Usrvclock) => write!(to, ", usrvclock {place}")?,
                _ => write!(to, ", SHM unit {}", record.unit)?,
            }
            if record.ready == 0 {
                to.write_str(" (nobody there)")?;
            }
        }
        Ok(())
    }

    /// For the page.
    pub fn records(&self) -> ArrayVec<OutputRecord, MAX_OUTPUTS> {
        let served = self.usrvclock.as_ref().map(|(server, record)| OutputRecord {
            ready: u8::from(server.is_ready()),
            clients: server.clients() as u64,
            samples: server.sent(),
            lost: server.lost(),
            ..*record
        });
        self.refclocks.iter().map(|output| output.record).chain(served).take(MAX_OUTPUTS).collect()
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
    let exit = match error {
        ShmError::Refused { .. } => Exit::NotPermitted,
        ShmError::WrongSize { .. } | ShmError::Foreign { .. } => Exit::Refused,
        ShmError::NoSuchUnit { .. } => Exit::Usage,
        ShmError::Missing { .. } | ShmError::Failed { .. } => Exit::Failed,
    };
    Failure::new(exit, error)
}
