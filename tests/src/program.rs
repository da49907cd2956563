//! Programs under test: their paths, output and exit status.

use dante_os::daemon::{self, DaemonArgs};
use dante_os::process::Bound;
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Path of a program of the workspace, in the target directory of this test (target/PROFILE/deps/TEST).
///
/// # Panics
/// If it was not built.
pub fn built(name: &str) -> PathBuf {
    let path = profile_folder().join(name);
    assert!(path.exists(), "{} does not exist: run `cargo build --workspace` first", path.display());
    path
}

fn profile_folder() -> PathBuf {
    let own = std::env::current_exe().expect("the path of this test");
    own.parent().and_then(Path::parent).expect("the profile's folder").to_owned()
}

/// The target directory of this test.
///
/// # Panics
/// If this test does not run in one.
pub fn target_folder() -> PathBuf {
    profile_folder().parent().expect("the target directory").to_owned()
}

/// Copies a program with cp(1). If this process had the copy open for writing, a child that another test starts at that moment
/// would inherit the descriptor, and running the copy would fail ("Text file busy").
///
/// # Panics
/// If it cannot be copied.
pub fn copy(program: &Path, to: &Path) {
    let done = Command::new("cp").arg(program).arg(to).status();
    assert!(done.is_ok_and(|status| status.success()), "copying {}", program.display());
}

/// Longest time from SIGTERM or SIGKILL until a program has ended.
const EXIT_TIMEOUT: Duration = Duration::from_secs(20);

/// A running program, ended on drop.
#[derive(Debug)]
pub struct Program {
    child: Bound,
    log: PathBuf,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit status; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Output on stdout and stderr.
    pub output: String,
}

impl Program {
    /// Starts `command`, with its stdout and stderr in the file `log`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(mut command: Command, log: PathBuf) -> Self {
        let file = File::create(&log).expect("a log file");
        let copy = file.try_clone().expect("a log file");
        // In a session of its own, as a service: SIGHUP does not end a daemon without a terminal. And not in the group of the tests:
        // when the parent of the tests' group ends (its terminal is closed, or the shell that
        // started it in the background exits), the kernel sends SIGHUP and SIGCONT to the group if one of its processes is
        // stopped, and a leader that a test has stopped would continue (setpgid(2), orphaned process groups).
        command.stdin(Stdio::null()).stdout(file).stderr(copy);
        let child = Bound::spawn_without_terminal(&mut command)
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, log }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Output so far.
    pub fn output(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until `words` are in its output.
    ///
    /// # Panics
    /// If they are not within `limit`.
    pub fn wait_for_output(&self, words: &str, limit: Duration) {
        crate::wait_until(words, limit, || self.output().contains(words));
    }

    /// Waits until the kernel shows this name for the process: until then it is a program that executes this one.
    ///
    /// # Panics
    /// If it does not within [`crate::EVENT_TIMEOUT`].
    pub fn wait_for_name(&self, name: &str) {
        let comm = format!("/proc/{}/comm", self.pid());
        crate::wait_until(name, crate::EVENT_TIMEOUT, || {
            std::fs::read_to_string(&comm).is_ok_and(|text| text.trim_end() == name)
        });
    }

    /// Sends a signal to it.
    ///
    /// # Panics
    /// If it has ended.
    pub fn signal(&self, signal: Signal) {
        self.child.signal(signal).expect("a running program");
    }

    /// Kills it with SIGKILL, and waits until it has ended.
    pub fn kill(self) {
        self.signal(Signal::SIGKILL);
        self.ended(EXIT_TIMEOUT);
    }

    /// Sends SIGTERM to it, and waits until it has ended.
    pub fn stop(self) -> Ended {
        self.signal(Signal::SIGTERM);
        self.ended(EXIT_TIMEOUT)
    }

    /// Whether it is running.
    ///
    /// # Panics
    /// If waitpid(2) fails.
    pub fn runs(&mut self) -> bool {
        self.child.ended().expect("the state of a child").is_none()
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// If it does not within `limit`.
    pub fn ended(mut self, limit: Duration) -> Ended {
        let status = self.child.wait(limit).expect("the state of a child");
        let status = status.unwrap_or_else(|| panic!("still running after {limit:?}: {}", self.output()));
        Ended { code: status.code(), output: self.output() }
    }
}

impl Ended {
    /// Checks that it ended with `code`, without a panic, and that all of `words` are in its output.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn expect(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "output: {}", self.output);
        assert!(!self.output.contains("panicked"), "{}", self.output);
        for word in words {
            assert!(self.output.contains(word), "{word:?} is not in: {}", self.output);
        }
    }
}

/// Returns the keys of a daemon's section of the configuration file, from its command line.
///
/// # Panics
/// If the program is no daemon.
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
