//! Each fault of an output, and all sentences that danteshm logs about it: with real segments and sockets.

use super::logged::logged;
use super::namespaces::{NOBODY, in_namespaces, with_access_of};
use super::scratch::Scratch;
use super::*;
use clap::Parser;
use dante_core::time::{Duration, Ratio};
use dante_os::ntpshm::{NtpShm, ShmError};
use nix::sched::CloneFlags;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;

const UNIT: u32 = 2;
const SYNC: Duration = Duration::from_ms(250);
const SAMPLE: RefclockSample = RefclockSample {
    reference: Timestamp::from_ns(1_795_000_000_000_000_000),
    received: Timestamp::from_ns(1_795_000_000_000_000_000),
};
const OVERLAY: Overlay = Overlay {
    last_sync: Timestamp::from_ns(123_456_789_012),
    shift: Duration::ZERO,
    freq_scale: Ratio::ZERO,
};

/// A driver whose segment fails as the test requests.
#[derive(Default)]
struct Failing(Vec<Diagnostic>);

impl Driver for Failing {
    fn check(&mut self, _: Timestamp<Raw>) {}

    fn write(&mut self, _: Timestamp<Raw>, _: &RefclockSample) -> bool {
        false
    }

    fn state(&self, _: Timestamp<Raw>) -> OutputState {
        OutputState { is_ready: false, delivery: Delivery::Unavailable, last_read: None, recreated: 0 }
    }

    fn diagnostics(&mut self) -> Vec<Diagnostic> {
        std::mem::take(&mut self.0)
    }
}

#[test]
fn suppressed_warnings_of_an_output_are_counted_in_the_log() {
    const KINDS: [&str; 20] =
        ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t"];
    let now = raw_now();
    let mut output = Refclock::new("SHM unit 2".into(), Failing::default(), record(OutputKind::Shm, None));
    let lines = logged(|| {
        output.driver.0 = KINDS.map(|kind| Diagnostic { kind, text: kind.into() }).into();
        output.attend(now, None);
        output.attend(now + Duration::from_secs(61), None);
    });
    assert_eq!(
        lines.last().map(String::as_str),
        Some("WARN SHM unit 2: 4 more lines within a minute were suppressed")
    );
}

/// What happens to an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// None: the program at the other end reads all the time.
    Nothing,
    /// There is no program at the other end, or no directory for the socket.
    Absent,
    /// Something that cannot be used has the name.
    InTheWay,
    /// Another program has the name.
    Taken,
    /// It belongs to another user.
    OtherUser,
    /// This program has no permission.
    Denied,
    /// The program at the other end ends.
    Ended,
    /// Another process removes the name.
    Removed,
    /// Another program takes the name while danteshm uses it.
    Replaced,
    /// The program at the other end does not read.
    NotRead,
}

use Fault::*;

const FAULTS: [Fault; 10] =
    [Nothing, Absent, InTheWay, Taken, OtherUser, Denied, Ended, Removed, Replaced, NotRead];

/// An output, and the programs at its other end.
struct Bench {
    place: Scratch,
    output: Option<Box<dyn Output>>,
    now: Timestamp<Raw>,
    reader: Option<NtpShm>,
    /// Sockets of other programs: chronyd, another server, a client.
    sockets: Vec<UnixDatagram>,
    /// They read.
    reads: bool,
}

impl Bench {
    fn new() -> Self {
        let place = Scratch::new();
        fs::create_dir(place.0.join("run")).unwrap();
        Self { place, output: None, now: raw_now(), reader: None, sockets: Vec::new(), reads: true }
    }

    fn directory(&self) -> PathBuf {
        self.place.0.join("run")
    }

    fn path(&self) -> PathBuf {
        self.directory().join("socket")
    }

    fn remove(&self) {
        fs::remove_file(self.path()).unwrap();
    }

    fn mode(&self, path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// Another program binds this socket.
    fn bind(&mut self, path: PathBuf) {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        self.sockets.push(socket);
    }

    /// chronyd starts, with its socket or with the segment.
    fn chronyd(&mut self, kind: OutputKind) {
        match kind {
            OutputKind::Shm => self.reader = Some(NtpShm::create(UNIT, 0o600).unwrap()),
            _ => self.bind(self.path()),
        }
    }

    /// A usrvclock client registers.
    fn client(&mut self) {
        if self.sockets.is_empty() {
            self.bind(self.place.0.join("client"));
        }
        let client = self.sockets.last().unwrap();
        client.connect(self.path()).unwrap();
        client.send(&[]).unwrap();
    }

    /// danteshm starts with this output, and runs for some seconds.
    fn starts(&mut self, kind: OutputKind) {
        let path = self.path();
        let path = path.to_str().unwrap();
        let words = match kind {
            OutputKind::Shm => ["--shm", "2"],
            OutputKind::Sock => ["--sock", path],
            OutputKind::Usrvclock => ["--usrvclock", path],
        };
        let args = Args::parse_from(["danteshm"].into_iter().chain(words));
        let mut outputs = open(&args).unwrap();
        assert_eq!(outputs.len(), 1);
        self.output = outputs.pop();
        self.runs(8);
    }

    /// The segment cannot be used, for this reason.
    fn starts_with(&mut self, error: ShmError) {
        let failing = Failing(vec![Diagnostic { kind: "unavailable", text: error.to_string() }]);
        let record = OutputRecord { unit: UNIT, ..record(OutputKind::Shm, None) };
        self.output = Some(Box::new(Refclock::new("SHM unit 2".into(), failing, record)));
        self.runs(8);
    }

    /// So many seconds with four Syncs each.
    fn runs(&mut self, seconds: i64) {
        let Some(output) = &mut self.output else { return };
        for _ in 0..seconds * 4 {
            output.write(self.now, &SAMPLE);
            output.send(self.now, &OVERLAY);
            output.attend(self.now, Some(&OVERLAY));
            if self.reads {
                self.reader.iter().for_each(|reader| _ = reader.take());
                self.sockets.iter().for_each(|socket| while socket.recv(&mut [0; 64]).is_ok() {});
            }
            self.now = self.now + SYNC;
        }
    }
}

/// Runs `test` as a user who has no special access to files.
fn without_access(test: impl FnOnce()) {
    with_access_of(NOBODY, test);
}

/// A fault, all sentences that follow, its end, and all sentences that follow that.
struct Row {
    happens: fn(&mut Bench),
    log: &'static [&'static str],
    ends: fn(&mut Bench),
    after: &'static [&'static str],
}

/// The rows of a fault of an output. A new kind or fault does not compile here without a row.
fn rows(kind: OutputKind, fault: Fault) -> Vec<Row> {
    use OutputKind::{Shm, Sock, Usrvclock};
    let row = |happens, log, ends, after| Row { happens, log, ends, after };
    let one = |happens, log, ends, after| vec![row(happens, log, ends, after)];
    match (kind, fault) {
        (Shm, Nothing) => one(
            |bench| {
                bench.chronyd(Shm);
                bench.starts(Shm);
            },
            &["INFO SHM unit 2: samples are delivered"],
            |bench| bench.runs(200),
            &[],
        ),
        (Shm, Absent) => one(
            |bench| bench.starts(Shm),
            &[
                "WARN SHM unit 2: no program is attached to the segment, so no program gets the samples; start chronyd with `refclock SHM 2` in its configuration; if it runs: it uses another unit, or its systemd unit has PrivateIPC=",
            ],
            |bench| {
                bench.chronyd(Shm);
                bench.runs(8);
            },
            &["INFO SHM unit 2: samples are delivered"],
        ),
        (Shm, InTheWay) => one(
            |bench| bench.starts_with(ShmError::WrongSize { unit: UNIT }),
            &[
                "WARN NTP SHM unit 2 exists with another size than 96 bytes: another program uses this key; choose another unit, or remove the segment with `ipcrm -M 0x4e545032`",
            ],
            |_| {},
            &[],
        ),
        // Two programs that write to a segment do not see each other.
        (Shm, Taken) => vec![],
        (Shm, OtherUser) => one(
            |bench| {
                NtpShm::create(UNIT, 0o600).unwrap().give_to(NOBODY).unwrap();
                bench.starts(Shm);
            },
            &[
                "WARN NTP SHM unit 2 belongs to user 65534, who could forge samples for chronyd; choose another unit, or remove the segment with `ipcrm -M 0x4e545032`",
            ],
            |bench| {
                NtpShm::remove(UNIT).unwrap();
                bench.runs(1);
                bench.chronyd(Shm);
                bench.runs(8);
            },
            &[
                "WARN SHM unit 2: no program is attached to the segment, so no program gets the samples; start chronyd with `refclock SHM 2` in its configuration; if it runs: it uses another unit, or its systemd unit has PrivateIPC=",
                "INFO SHM unit 2: samples are delivered",
            ],
        ),
        (Shm, Denied) => one(
            |bench| bench.starts_with(ShmError::Refused { unit: UNIT }),
            &[
                "WARN NTP SHM unit 2 was created by another user: by root if chronyd, ntpd or gpsd started first; the segment outlives them; stop chronyd, remove the segment with `ipcrm -M 0x4e545032`, wait a second until this program has made its own, then start chronyd (`ipcs -m` shows the owner); or choose another unit",
            ],
            |_| {},
            &[],
        ),
        (Shm, Ended) => one(
            |bench| {
                bench.chronyd(Shm);
                bench.starts(Shm);
                bench.reader = None;
                bench.runs(8);
            },
            &[
                "INFO SHM unit 2: samples are delivered",
                "WARN SHM unit 2: no program is attached to the segment, so no program gets the samples; start chronyd with `refclock SHM 2` in its configuration; if it runs: it uses another unit, or its systemd unit has PrivateIPC=",
            ],
            |bench| {
                bench.chronyd(Shm);
                bench.runs(8);
            },
            &["INFO SHM unit 2: samples are delivered"],
        ),
        (Shm, Removed) => one(
            |bench| {
                bench.chronyd(Shm);
                bench.starts(Shm);
                NtpShm::remove(UNIT).unwrap();
                bench.runs(8);
            },
            &[
                "INFO SHM unit 2: samples are delivered",
                "WARN SHM unit 2: another process removed the segment; the program that is attached to it gets samples there until it ends",
            ],
            |bench| {
                bench.chronyd(Shm);
                bench.runs(8);
            },
            &[],
        ),
        (Shm, Replaced) => one(
            |bench| {
                bench.chronyd(Shm);
                bench.starts(Shm);
                NtpShm::remove(UNIT).unwrap();
                NtpShm::create(UNIT, 0o600).unwrap().give_to(NOBODY).unwrap();
                bench.runs(8);
            },
            &[
                "INFO SHM unit 2: samples are delivered",
                "WARN SHM unit 2: another process removed the segment; the program that is attached to it gets samples there until it ends",
                "WARN NTP SHM unit 2 belongs to user 65534, who could forge samples for chronyd; choose another unit, or remove the segment with `ipcrm -M 0x4e545032`",
            ],
            |bench| {
                NtpShm::remove(UNIT).unwrap();
                bench.runs(1);
                bench.chronyd(Shm);
                bench.runs(8);
            },
            &[],
        ),
        (Shm, NotRead) => one(
            |bench| {
                bench.chronyd(Shm);
                bench.starts(Shm);
                bench.reads = false;
                bench.runs(80);
            },
            &[
                "INFO SHM unit 2: samples are delivered",
                "WARN SHM unit 2: a program is attached, but none has read a sample for 64 s; systemctl restart chrony; if that does not help: check `refclock SHM 2` in its configuration, and that dpoll is 5 or less",
            ],
            |bench| {
                bench.reads = true;
                bench.runs(8);
            },
            &["INFO SHM unit 2: samples are delivered"],
        ),
        (Sock, Nothing) => one(
            |bench| {
                bench.chronyd(Sock);
                bench.starts(Sock);
            },
            &["INFO SOCK /run/socket: samples are delivered"],
            |bench| bench.runs(200),
            &[],
        ),
        (Sock, Absent) => one(
            |bench| bench.starts(Sock),
            &[
                "WARN SOCK /run/socket: socket does not exist: chronyd creates it when it starts; start chronyd with `refclock SOCK /run/socket` in its configuration",
            ],
            |bench| {
                bench.chronyd(Sock);
                bench.runs(8);
            },
            &["INFO SOCK /run/socket: samples are delivered"],
        ),
        (Sock, InTheWay) => vec![
            row(
                |bench| {
                    fs::write(bench.path(), "").unwrap();
                    bench.starts(Sock);
                },
                &[
                    "WARN SOCK /run/socket: a file that is not a socket has this name; remove it, or choose another path",
                ],
                |bench| {
                    bench.remove();
                    bench.chronyd(Sock);
                    bench.runs(8);
                },
                &["INFO SOCK /run/socket: samples are delivered"],
            ),
            row(
                |bench| {
                    fs::remove_dir(bench.directory()).unwrap();
                    fs::write(bench.directory(), "").unwrap();
                    bench.starts(Sock);
                },
                &["WARN SOCK /run/socket: a part of its path is not a directory; choose another path"],
                |_| {},
                &[],
            ),
        ],
        (Sock, Taken) => one(
            |bench| {
                let _server = UnixListener::bind(bench.path()).unwrap();
                bench.starts(Sock);
            },
            &[
                "WARN SOCK /run/socket: a socket of another kind has this name: it is not chronyd's; choose another path",
            ],
            |bench| {
                bench.remove();
                bench.chronyd(Sock);
                bench.runs(8);
            },
            &["INFO SOCK /run/socket: samples are delivered"],
        ),
        (Sock, OtherUser) => one(
            |bench| {
                bench.chronyd(Sock);
                chown(bench.path(), Some(NOBODY), Some(NOBODY)).unwrap();
                bench.starts(Sock);
            },
            &["INFO SOCK /run/socket: samples are delivered"],
            |_| {},
            &[],
        ),
        (Sock, Denied) => vec![
            row(
                |bench| {
                    bench.chronyd(Sock);
                    bench.mode(&bench.path(), 0o600);
                    without_access(|| bench.starts(Sock));
                },
                &[
                    "WARN SOCK /run/socket: no write permission for this user: chronyd creates the socket for root; change its group and mode in chronyd's unit after the start (ExecStartPost=+ with chgrp and chmod)",
                ],
                |bench| {
                    bench.mode(&bench.path(), 0o666);
                    without_access(|| bench.runs(8));
                },
                &["INFO SOCK /run/socket: samples are delivered"],
            ),
            row(
                |bench| {
                    bench.chronyd(Sock);
                    bench.mode(&bench.directory(), 0o700);
                    without_access(|| bench.starts(Sock));
                },
                &[
                    "WARN SOCK /run/socket: no permission for this user to search the socket's directory; choose a path in another directory, such as /run/chrony.dante.sock",
                ],
                |bench| {
                    bench.mode(&bench.directory(), 0o755);
                    bench.mode(&bench.path(), 0o666);
                    without_access(|| bench.runs(8));
                },
                &["INFO SOCK /run/socket: samples are delivered"],
            ),
        ],
        (Sock, Ended) => vec![
            // chronyd removes its socket.
            row(
                |bench| {
                    bench.chronyd(Sock);
                    bench.starts(Sock);
                    bench.sockets.clear();
                    bench.remove();
                    bench.runs(8);
                },
                &[
                    "INFO SOCK /run/socket: samples are delivered",
                    "WARN SOCK /run/socket: no program reads the socket: chronyd has ended; start chronyd again",
                ],
                |bench| {
                    bench.chronyd(Sock);
                    bench.runs(8);
                },
                &["INFO SOCK /run/socket: samples are delivered"],
            ),
            // chronyd is killed.
            row(
                |bench| {
                    bench.chronyd(Sock);
                    bench.starts(Sock);
                    bench.sockets.clear();
                    bench.runs(8);
                },
                &[
                    "INFO SOCK /run/socket: samples are delivered",
                    "WARN SOCK /run/socket: no program reads the socket: chronyd has ended; start chronyd again",
                ],
                |bench| {
                    bench.remove();
                    bench.chronyd(Sock);
                    bench.runs(8);
                },
                &["INFO SOCK /run/socket: samples are delivered"],
            ),
        ],
        (Sock, Removed) => one(
            |bench| {
                bench.chronyd(Sock);
                bench.starts(Sock);
                bench.remove();
                bench.runs(8);
            },
            &[
                "INFO SOCK /run/socket: samples are delivered",
                "WARN SOCK /run/socket: another process removed the socket, by which chronyd still receives: restart chronyd",
            ],
            |bench| {
                bench.chronyd(Sock);
                bench.runs(8);
            },
            &[
                "WARN SOCK /run/socket: chronyd or another program made the socket again: connected to the new one",
            ],
        ),
        (Sock, Replaced) => one(
            |bench| {
                bench.chronyd(Sock);
                bench.starts(Sock);
                bench.remove();
                bench.chronyd(Sock);
                bench.runs(8);
            },
            &[
                "INFO SOCK /run/socket: samples are delivered",
                "WARN SOCK /run/socket: chronyd or another program made the socket again: connected to the new one",
            ],
            |_| {},
            &[],
        ),
        (Sock, NotRead) => one(
            |bench| {
                bench.chronyd(Sock);
                bench.starts(Sock);
                bench.reads = false;
                bench.runs(20);
            },
            &[
                "INFO SOCK /run/socket: samples are delivered",
                "WARN SOCK /run/socket: chronyd does not read the socket: its buffer is full; chronyd hangs or is stopped: systemctl restart chrony",
            ],
            |bench| {
                bench.reads = true;
                bench.runs(8);
            },
            &["INFO SOCK /run/socket: samples are delivered"],
        ),
        (Usrvclock, Nothing) => one(
            |bench| {
                bench.starts(Usrvclock);
                bench.client();
                bench.runs(8);
            },
            &["INFO usrvclock /run/socket: clients can register"],
            |bench| bench.runs(200),
            &[],
        ),
        (Usrvclock, Absent) => one(
            |bench| {
                fs::remove_dir(bench.directory()).unwrap();
                bench.starts(Usrvclock);
            },
            &[
                "WARN usrvclock /run/socket: the directory of the socket does not exist; create it, or choose another path",
            ],
            |bench| {
                fs::create_dir(bench.directory()).unwrap();
                bench.runs(8);
            },
            &["INFO usrvclock /run/socket: clients can register"],
        ),
        (Usrvclock, InTheWay) => vec![
            row(
                |bench| {
                    fs::write(bench.path(), "").unwrap();
                    bench.starts(Usrvclock);
                },
                &[
                    "WARN usrvclock /run/socket: a file that is not a socket has this name; remove it, or choose another path",
                ],
                |bench| {
                    bench.remove();
                    bench.runs(8);
                },
                &["INFO usrvclock /run/socket: clients can register"],
            ),
            row(
                |bench| {
                    fs::remove_dir(bench.directory()).unwrap();
                    fs::write(bench.directory(), "").unwrap();
                    bench.starts(Usrvclock);
                },
                &[
                    "WARN usrvclock /run/socket: the directory of the socket does not exist; create it, or choose another path",
                ],
                |_| {},
                &[],
            ),
        ],
        (Usrvclock, Taken) => one(
            |bench| {
                bench.bind(bench.path());
                bench.starts(Usrvclock);
            },
            &[
                "WARN usrvclock /run/socket: another program uses this socket; `sudo pmc-lite doctor` names it: stop it, or choose another path",
            ],
            |bench| {
                // Its socket stays.
                bench.sockets.clear();
                bench.runs(8);
            },
            &["INFO usrvclock /run/socket: clients can register"],
        ),
        (Usrvclock, OtherUser) => one(
            |bench| {
                drop(UnixDatagram::bind(bench.path()).unwrap());
                chown(bench.path(), Some(NOBODY), Some(NOBODY)).unwrap();
                bench.starts(Usrvclock);
            },
            &[
                "WARN usrvclock /run/socket: a socket of user 65534 has this name; remove it, or choose another path",
            ],
            |bench| {
                bench.remove();
                bench.runs(8);
            },
            &["INFO usrvclock /run/socket: clients can register"],
        ),
        (Usrvclock, Denied) => one(
            |bench| without_access(|| bench.starts(Usrvclock)),
            &[
                "WARN usrvclock /run/socket: no permission for this user to create the socket; change the group and mode of its directory, or choose another path",
            ],
            |bench| {
                bench.mode(&bench.directory(), 0o777);
                without_access(|| bench.runs(8));
            },
            &["INFO usrvclock /run/socket: clients can register"],
        ),
        (Usrvclock, Ended) => one(
            |bench| {
                bench.starts(Usrvclock);
                bench.client();
                bench.runs(8);
                bench.sockets.clear();
                bench.runs(8);
            },
            &["INFO usrvclock /run/socket: clients can register"],
            |_| {},
            &[],
        ),
        (Usrvclock, Removed) => one(
            |bench| {
                bench.starts(Usrvclock);
                bench.client();
                bench.runs(8);
                bench.remove();
                bench.runs(8);
            },
            &[
                "INFO usrvclock /run/socket: clients can register",
                "WARN usrvclock /run/socket: another process removed the socket: created again",
                "WARN usrvclock /run/socket: cannot send to client /tmp/client: it is connected to an earlier socket of danteshm and has to register again",
            ],
            |bench| {
                bench.client();
                bench.runs(8);
            },
            &[],
        ),
        (Usrvclock, Replaced) => one(
            |bench| {
                bench.starts(Usrvclock);
                bench.runs(8);
                bench.remove();
                bench.bind(bench.path());
                bench.runs(8);
            },
            &[
                "INFO usrvclock /run/socket: clients can register",
                "WARN usrvclock /run/socket: another program uses this socket; `sudo pmc-lite doctor` names it: stop it, or choose another path",
            ],
            |bench| {
                bench.sockets.clear();
                bench.runs(8);
            },
            &["INFO usrvclock /run/socket: clients can register"],
        ),
        (Usrvclock, NotRead) => one(
            |bench| {
                bench.starts(Usrvclock);
                bench.client();
                bench.reads = false;
                bench.runs(200);
            },
            &[
                "INFO usrvclock /run/socket: clients can register",
                "WARN usrvclock /run/socket: client /tmp/client does not read its socket: it gets no further datagrams until it registers again",
            ],
            |_| {},
            &[],
        ),
    }
}

#[test]
fn each_fault_of_an_output_is_reported_by_its_cause_and_by_nothing_else() {
    // With System V segments of its own.
    in_namespaces(CloneFlags::CLONE_NEWIPC, || {
        let mut wrong = Vec::new();
        for (kind, fault) in OutputKind::ALL.into_iter().flat_map(|kind| FAULTS.map(|fault| (kind, fault))) {
            for (number, row) in rows(kind, fault).into_iter().enumerate() {
                let mut bench = Bench::new();
                let place = bench.place.0.display().to_string();
                let path = bench.directory().display().to_string();
                let logs = [(row.happens, row.log), (row.ends, row.after)].map(|(happens, expected)| {
                    let lines = logged(|| happens(&mut bench));
                    (
                        lines
                            .into_iter()
                            .map(|line| line.replace(&path, "/run").replace(&*place, "/tmp"))
                            .collect::<Vec<_>>(),
                        expected,
                    )
                });
                for (log, expected) in logs {
                    let names_chronyd = log.iter().any(|line| line.contains("chrony"));
                    assert!(
                        kind.is_refclock() || !names_chronyd,
                        "a usrvclock is not explained by chronyd: {log:?}"
                    );
                    if log != expected {
                        wrong.push(format!("{kind:?} {fault:?} {number}: {log:#?}"));
                    }
                }
                drop(bench);
                _ = NtpShm::remove(UNIT);
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}
