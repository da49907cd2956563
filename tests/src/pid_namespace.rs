//! A PID namespace: programs in it see no process of the host, such as another clock daemon.

use crate::namespace::Namespace;
use crate::program::Program;
use crate::stage::Stage;
use dante_os::process::Bound;
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Mounts a /proc of the namespace, hides chrony's configuration, and runs the program with its arguments. The mounts are
/// seen by this program only: `ip netns exec` gives it a mount namespace of its own.
const PREPARE: &str = "mount -t proc proc /proc
    if [ -d /etc/chrony ]; then mount -t tmpfs none /etc/chrony; fi
    if [ -f /etc/chrony.conf ]; then mount --bind /dev/null /etc/chrony.conf; fi
    exec \"$@\"";

/// A PID namespace. On drop the kernel kills all processes in it.
#[derive(Debug)]
pub struct PidNamespace {
    /// Process 1 of the namespace.
    _init: Bound,
    file: File,
    host: File,
}

impl Default for PidNamespace {
    fn default() -> Self {
        Self::new()
    }
}

impl PidNamespace {
    /// Creates the namespace with `sleep` as its process 1.
    ///
    /// # Panics
    /// Without root's rights.
    pub fn new() -> Self {
        let host = File::open("/proc/self/ns/pid").expect("the host's PID namespace");
        unshare(CloneFlags::CLONE_NEWPID).expect("a PID namespace");
        let mut init = Command::new("sleep");
        init.arg("infinity").stdin(Stdio::null()).process_group(0);
        let init = Bound::spawn(&mut init).expect("process 1 of the namespace");
        let file = File::open("/proc/thread-self/ns/pid_for_children").expect("the namespace's file");
        let namespace = Self { _init: init, file, host };
        namespace.leave();
        namespace
    }

    /// Returns the command that runs `program` on `host` with a /proc of this namespace; [`Self::start`] starts it.
    pub fn command(host: &Namespace, program: impl AsRef<Path>) -> Command {
        let mut command = host.command("sh");
        command.args(["-e", "-c", PREPARE, "sh"]).arg(program.as_ref());
        command
    }

    /// Starts `command` in the namespace, with its output in a log of `stage`.
    pub fn start(&self, stage: &Stage, name: &str, command: Command) -> Program {
        self.within(|| stage.start(name, command))
    }

    /// Starts `program` on `host` as root of a user namespace of its own: as such it cannot set the clock of this machine, for which
    /// the kernel requires CAP_SYS_TIME outside of user namespaces.
    pub fn start_as_mapped_root(
        &self,
        host: &Namespace,
        stage: &Stage,
        program: &Path,
        words: &[&str],
    ) -> Program {
        let mut command = Self::command(host, "unshare");
        command.arg("--map-root-user").arg(program).args(words);
        let name = program.file_name().and_then(|name| name.to_str()).expect("a name");
        self.start(stage, name, command)
    }

    /// Whether [`Self::start_as_mapped_root`] works on this machine. If not, reports that the test is skipped.
    pub fn may_map_root(&self, host: &Namespace, stage: &Stage) -> bool {
        let tried =
            self.start_as_mapped_root(host, stage, Path::new("true"), &[]).ended(crate::EVENT_TIMEOUT);
        if tried.code != Some(0) {
            crate::skip("user namespaces are not available");
        }
        tried.code == Some(0)
    }

    /// Starts a copy of `program` with another name, as root of a user namespace, and waits until the kernel shows that name.
    pub fn start_renamed(
        &self,
        host: &Namespace,
        stage: &Stage,
        (program, name): (&str, &str),
        words: &[&str],
    ) -> Program {
        let copy = stage.folder().join(name);
        if !copy.exists() {
            crate::program::copy(Path::new(program), &copy);
        }
        let renamed = self.start_as_mapped_root(host, stage, &copy, words);
        renamed.wait_for_name(name);
        renamed
    }

    /// Runs `start` so that processes which it starts are in the namespace. It must not start threads.
    ///
    /// # Panics
    /// When the namespace has ended.
    pub fn within<T>(&self, start: impl FnOnce() -> T) -> T {
        setns(&self.file, CloneFlags::CLONE_NEWPID).expect("entering the PID namespace");
        let started = start();
        self.leave();
        started
    }

    /// Processes that this thread starts from now on are in the host's PID namespace again.
    fn leave(&self) {
        setns(&self.host, CloneFlags::CLONE_NEWPID).expect("leaving the PID namespace");
    }
}

/// Returns the process id of a program as it sees it itself.
///
/// # Panics
/// When the program has ended.
pub fn inner_pid(pid: u32) -> u32 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the status of a process");
    let line = text.lines().find_map(|line| line.strip_prefix("NSpid:")).expect("NSpid");
    line.split_whitespace().next_back().and_then(|pid| pid.parse().ok()).expect("a process id")
}
