//! Programs under test: where they are, how they are started, what they said, how they ended.

use dante_os::daemon::{self, DaemonArgs};
use dante_os::process::Bound;
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A program of the workspace, beside the test that runs now (target/PROFILE/deps/TEST).
///
/// # Panics
/// When it was not built.
pub fn built(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the path of this test");
    let folder = own.parent().and_then(Path::parent).expect("the profile's folder");
    let path = folder.join(name);
    assert!(path.exists(), "{} is not there: run `cargo build --workspace` first", path.display());
    path
}

/// Copies a program, such as may be run from there at once: this process never has the copy open for writing, which a
/// child that another test is just starting would inherit ("Text file busy").
///
/// # Panics
/// When it cannot be copied.
pub fn copy(program: &Path, to: &Path) {
    let done = Command::new("cp").arg(program).arg(to).status();
    assert!(done.is_ok_and(|status| status.success()), "copying {}", program.display());
}

/// A program ends within this when it is told to.
const GRACE: Duration = Duration::from_secs(20);

/// A running program. It is ended when this is dropped.
#[derive(Debug)]
pub struct Program {
    child: Bound,
    log: PathBuf,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; `None` where a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout and stderr.
    pub said: String,
}

impl Program {
    /// Starts `command`, with what it says in the file `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(mut command: Command, log: PathBuf) -> Self {
        let file = File::create(&log).expect("a log file");
        let copy = file.try_clone().expect("a log file");
        // In a process group of its own: when the parent of the tests' group ends (a terminal is closed, a shell that ran
        // them in the background), the kernel sends SIGHUP and SIGCONT to that group if one of it is stopped, and a
        // leader that a test has stopped would go on (setpgid(2), orphaned process groups).
        command.stdin(Stdio::null()).stdout(file).stderr(copy).process_group(0);
        let child = Bound::spawn(&mut command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, log }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub fn output(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until it has said so.
    ///
    /// # Panics
    /// When it has not within `limit`.
    pub fn wait_for_output(&self, words: &str, limit: Duration) {
        crate::wait_until(words, limit, || self.output().contains(words));
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it is gone.
    pub fn signal(&self, signal: Signal) {
        self.child.signal(signal).expect("a running program");
    }

    /// Kills it as `kill -9` does.
    pub fn kill(self) {
        self.signal(Signal::SIGKILL);
        self.ended(GRACE);
    }

    /// Asks it to end (SIGTERM), and waits until it has.
    pub fn stop(self) -> Ended {
        self.signal(Signal::SIGTERM);
        self.ended(GRACE)
    }

    /// Whether it runs still.
    ///
    /// # Panics
    /// When that cannot be found out.
    pub fn runs(&mut self) -> bool {
        self.child.ended().expect("the state of a child").is_none()
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// When it has not within `limit`.
    pub fn ended(mut self, limit: Duration) -> Ended {
        let status = self.child.wait(limit).expect("the state of a child");
        let status = status.unwrap_or_else(|| panic!("still running after {limit:?}: {}", self.output()));
        Ended { code: status.code(), said: self.output() }
    }
}

impl Ended {
    /// Fails unless it ended with `code` and said all of `words`, and that without a panic.
    ///
    /// # Panics
    /// Then.
    #[track_caller]
    pub fn expect(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "it said: {}", self.said);
        assert!(!self.said.contains("panicked"), "{}", self.said);
        for word in words {
            assert!(self.said.contains(word), "{word:?} is not in: {}", self.said);
        }
    }
}

/// The keys of a daemon's section of the configuration file, by its own command line.
///
/// # Panics
/// For another program.
pub fn keys_of(daemon: &str) -> BTreeSet<String> {
    fn keys<A: DaemonArgs>() -> BTreeSet<String> {
        daemon::keys_of::<A>().iter().filter_map(|key| key.get_long().map(str::to_owned)).collect()
    }
    match daemon {
        "dante4l" => keys::<dante4l::args::Args>(),
        "dante2sys" => keys::<dante2sys::args::Args>(),
        "danteshm" => keys::<danteshm::args::Args>(),
        other => panic!("{other} is no daemon"),
    }
}
