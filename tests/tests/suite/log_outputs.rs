//! Readers of the log and of notifications that do not read: a stopped syslog daemon, a pipe that nobody reads, a service manager
//! that hangs. None of them stops a daemon, and lost lines are counted.

use dante_core::page::{Body, Dante2sys, Danteshm, Head};
use dante_tests::lab::{may_be_root, may_run};
use dante_tests::program::{Program, built};
use dante_tests::stage::Stage;
use dante_tests::{EVENT_TIMEOUT, wait_for, wait_until};
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The line after SIGHUP.
const ON_SIGHUP: &str = "the configuration is read at start only: restart to change it";

/// The socket `/dev/log` of programs in a mount namespace of their own.
struct Log {
    path: PathBuf,
    socket: UnixDatagram,
}

impl Log {
    fn new(stage: &Stage) -> Option<Self> {
        if !may_be_root("a mount namespace needs root") || !may_run(&["unshare", "mount"]) {
            return None;
        }
        let path = stage.folder().join("log");
        Some(Self { socket: bind(&path), path })
    }

    /// Ends this syslog daemon, and starts another one after `between`: it has a new socket of the same name.
    fn restart(self, between: impl FnOnce()) -> Self {
        let Self { path, socket } = self;
        fs::remove_file(&path).expect("the old socket");
        drop(socket);
        between();
        Self { socket: bind(&path), path }
    }

    /// Starts a daemon whose `/dev` has this socket, and otherwise only what a daemon needs.
    fn start(&self, stage: &Stage, program: &str, words: &[&str]) -> Program {
        let device = stage.folder().join("dev");
        fs::create_dir(&device).expect("a folder");
        let script = "mount -t tmpfs dev \"$1\" && mkdir \"$1/shm\" && mount --bind /dev/shm \"$1/shm\" &&\
            touch \"$1/null\" && mount --bind /dev/null \"$1/null\" && ln -s \"$2\" \"$1/log\" &&\
            mount --rbind \"$1\" /dev && shift 2 && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).args([&device, &self.path]);
        command.arg(built(program)).args(words).arg(format!("--instance={}", stage.instance()));
        stage.start(program, command)
    }

    fn fill(&self) {
        let sender = UnixDatagram::unbound().expect("a socket");
        sender.set_nonblocking(true).expect("not waiting");
        while sender.send_to(b"fill", &self.path).is_ok() {}
    }

    /// The texts of the lines received since the last call.
    fn received(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let received = std::iter::from_fn(|| self.socket.recv(&mut bytes).ok().map(|n| bytes[..n].to_vec()));
        received
            .map(|line| String::from_utf8(line).expect("text"))
            .map(|line| line.split_once("] ").map_or(line.clone(), |(_, text)| text.to_owned()))
            .collect()
    }
}

fn bind(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).expect("a socket");
    socket.set_nonblocking(true).expect("not waiting");
    socket
}

/// Sends SIGHUP, after which the daemon logs a line, and waits until it has renewed the heartbeat of its page twice since.
fn assert_runs<B: Body>(program: &Program, stage: &Stage) {
    let page = File::open(stage.page::<B>()).expect("its page");
    let heartbeat = || {
        let mut bytes = [0; 8];
        page.read_exact_at(&mut bytes, Head::HeartbeatUntil.offset()).expect("its head");
        u64::from_ne_bytes(bytes)
    };
    program.signal(Signal::SIGHUP);
    for _ in 0..2 {
        let before = heartbeat();
        wait_until("another heartbeat", EVENT_TIMEOUT, || heartbeat() > before);
    }
}

#[test]
fn stopped_syslog_delays_neither_page_nor_end() {
    let stage = Stage::new();
    let Some(log) = Log::new(&stage) else { return };
    let program = log.start(&stage, "dante2sys", &["--clock=virtual"]);
    stage.wait_for("dante2sys", "page", "fresh", EVENT_TIMEOUT);
    log.fill();
    assert_runs::<Dante2sys>(&program, &stage);
    program.stop().expect(0, &[]);
}

/// With danteshm, whose system call filter must allow the new connection.
#[test]
fn restarted_syslog_gets_lines_and_the_number_of_lost_ones() {
    let stage = Stage::new();
    let Some(log) = Log::new(&stage) else { return };
    let program = log.start(&stage, "danteshm", &[&format!("--shm={}", stage.unit())]);
    stage.wait_for("danteshm", "page", "fresh", EVENT_TIMEOUT);
    let log = log.restart(|| assert_runs::<Danteshm>(&program, &stage));
    let lines = wait_for("lines on the new socket", EVENT_TIMEOUT, || {
        program.signal(Signal::SIGHUP);
        Some(log.received()).filter(|lines| !lines.is_empty())
    });
    let lost = lines[0].strip_prefix("lines of this log lost, as syslog did not accept them: ");
    let lost: u32 = lost.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{lines:?}"));
    assert!(lost >= 1, "{lines:?}");
    wait_for("the line after it", EVENT_TIMEOUT, || {
        program.signal(Signal::SIGHUP);
        log.received().into_iter().chain(lines.clone()).find(|line| line == ON_SIGHUP)
    });
    program.stop().expect(0, &[]);
}

/// A pipe that is full, and whose reader does not read yet.
struct Pipe {
    path: PathBuf,
    file: File,
}

impl Pipe {
    fn full(stage: &Stage) -> Self {
        let path = stage.folder().join("pipe");
        nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a pipe");
        let mut options = OpenOptions::new();
        // Open for both, so that opening it for writing does not wait.
        let file = options
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(&path)
            .expect("the pipe");
        let mut pipe = Self { path, file };
        pipe.fill();
        pipe
    }

    fn fill(&mut self) {
        // The last byte, too.
        for length in [512, 1] {
            while self.file.write(&b"\n".repeat(length)).is_ok() {}
        }
    }

    /// Starts a daemon with a descriptor redirected to this pipe.
    fn start(&self, stage: &Stage, descriptor: u32, program: &str, words: &[&str]) -> Program {
        let mut command = Command::new("sh");
        let script = format!("pipe=$1 && shift && exec \"$@\" {descriptor}>\"$pipe\"");
        command.args(["-c", &script, "sh"]).arg(&self.path).arg(built(program)).args(words);
        command.args(stage.daemon_words());
        stage.start(program, command)
    }

    fn read(&mut self) -> String {
        let mut bytes = vec![0; 1 << 20];
        let length = match self.file.read(&mut bytes) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => panic!("{error}"),
        };
        String::from_utf8(bytes[..length].to_vec()).expect("text")
    }
}

#[test]
fn pipe_that_nobody_reads_delays_neither_page_nor_end() {
    let stage = Stage::new();
    let mut pipe = Pipe::full(&stage);
    let program = pipe.start(&stage, 1, "dante2sys", &["--clock=virtual"]);
    stage.wait_for("dante2sys", "page", "fresh", EVENT_TIMEOUT);
    assert_runs::<Dante2sys>(&program, &stage);
    // The lines are written once the pipe is read.
    let mut text = String::new();
    wait_until("the line after SIGHUP", EVENT_TIMEOUT, || {
        text += &pipe.read();
        text.contains(ON_SIGHUP)
    });
    pipe.fill();
    assert_runs::<Dante2sys>(&program, &stage);
    program.stop().expect(0, &[]);
}

#[test]
fn full_pipe_on_stderr_does_not_delay_the_end() {
    let stage = Stage::new();
    let pipe = Pipe::full(&stage);
    let program = pipe.start(&stage, 2, "dante4l", &["-i", "nosuch0", "--no-wait"]);
    program.ended(EVENT_TIMEOUT).expect(5, &[]);
}

#[test]
fn service_manager_that_does_not_read_stops_no_daemon() {
    let stage = Stage::new();
    let path = stage.folder().join("notify");
    let manager = bind(&path);
    let sender = UnixDatagram::unbound().expect("a socket");
    sender.set_nonblocking(true).expect("not waiting");
    while sender.send_to(b"FILL=1", &path).is_ok() {}
    let mut command = stage.command("dante2sys", &["--clock=virtual"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "500000");
    command.env_remove("SYSTEMD_EXEC_PID").env_remove("WATCHDOG_PID");
    let program = stage.start("dante2sys", command);
    stage.wait_for("dante2sys", "page", "fresh", EVENT_TIMEOUT);
    assert_runs::<Dante2sys>(&program, &stage);
    let mut text = String::new();
    wait_until("READY, WATCHDOG and STATUS", EVENT_TIMEOUT, || {
        let mut bytes = [0; 4096];
        while let Ok(length) = manager.recv(&mut bytes) {
            text += std::str::from_utf8(&bytes[..length]).expect("text");
        }
        ["READY=1", "WATCHDOG=1", "STATUS=WAITING"].iter().all(|assignment| text.contains(assignment))
    });
    let ended = program.stop();
    ended.expect(0, &[]);
    assert_eq!(ended.output.matches("cannot notify the service manager").count(), 1, "{}", ended.output);
}
