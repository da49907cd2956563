//! Real-time priority and locked memory for this process; child processes that end with their parent, however it ends.

use crate::denial::{Denial, Denied, display_explained};
use dante_core::explain::Explain;
use nix::errno::Errno;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::{Pid, Uid, User, setsid};
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// Why the kernel refused the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum ProcessError {
    Refused { tried: &'static str, need: &'static str },
    Failed { tried: &'static str, cause: Errno },
}

impl Explain for ProcessError {
    fn what(&self) -> String {
        match self {
            Self::Refused { tried, .. } => format!("{tried}: not permitted"),
            Self::Failed { tried, cause } => format!("{tried}: {cause}"),
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            Self::Refused { need, .. } => Some(format!("run this as root, or with {need}")),
            Self::Failed { .. } => None,
        }
    }
}

impl Denied for ProcessError {
    fn denial(&self) -> Option<Denial> {
        matches!(self, Self::Refused { .. }).then_some(Denial::NotPermitted)
    }
}

display_explained!(ProcessError);

/// Prepares the process of a daemon: call it before any other thread exists.
///
/// - The environment variable TZ is removed: it is the time zone of the user who started the program, but an RTC in local time has
///   that of the system (/etc/localtime).
/// - SIGXFSZ is ignored: a write beyond the file size limit (RLIMIT_FSIZE) fails with EFBIG, as on a full disk, instead of ending
///   the program.
pub fn prepare() {
    // SAFETY: there is no other thread that could read the environment at the same time.
    unsafe { std::env::remove_var("TZ") };
    // SAFETY: no handler is installed.
    // It fails only for an invalid signal.
    _ = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
}

/// Whether SIGHUP means that the user's terminal has been closed: the process has a controlling terminal, or its input is one.
/// Without a terminal SIGHUP requests a reload of the configuration. If it is ignored (nohup), it means nothing.
pub fn ends_on_hangup() -> bool {
    // Opens the controlling terminal, if there is one (tty(4)).
    let has_terminal = || File::open("/dev/tty").is_ok() || io::stdin().is_terminal();
    // SAFETY: sigaction consists of integers and pointers, for which zero is valid.
    let mut present: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: without a new action the call only writes the present one, which outlives the call.
    let done = unsafe { libc::sigaction(libc::SIGHUP, std::ptr::null(), &raw mut present) };
    let is_ignored = done == 0 && present.sa_sigaction == libc::SIG_IGN;
    !is_ignored && has_terminal()
}

/// Gives the calling thread a real-time priority (SCHED_FIFO), from 1 (lowest) to 99. Threads and child processes that start
/// later do not inherit it.
///
/// # Errors
/// [`ProcessError::Refused`] without CAP_SYS_NICE and above the limit RLIMIT_RTPRIO; [`ProcessError::Failed`] with
/// EINVAL for a priority out of range. Nothing is changed then.
pub fn real_time(priority: u8) -> Result<(), ProcessError> {
    let tried = "setting a real-time priority";
    // SAFETY: sched_param consists of integers (more of them in musl), for which zero is valid.
    let mut wanted: libc::sched_param = unsafe { std::mem::zeroed() };
    wanted.sched_priority = priority.into();
    // Not libc's sched_setscheduler, which musl does not implement; the kernel takes 0 for the calling thread.
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the pointer is to a sched_param that outlives the call, which only reads it.
    let done = unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const wanted) };
    match Errno::result(done) {
        Ok(_) => Ok(()),
        Err(Errno::EPERM) => Err(ProcessError::Refused {
            tried,
            need: "CAP_SYS_NICE; in a service unit, set the priority with CPUSchedulingPolicy=",
        }),
        Err(cause) => Err(ProcessError::Failed { tried, cause }),
    }
}

/// Locks all present and future memory of this process, so that it is not paged out: a page fault takes ms.
///
/// # Errors
/// [`ProcessError::Refused`] without CAP_IPC_LOCK if RLIMIT_MEMLOCK is too low. Nothing is locked then.
pub fn lock_memory() -> Result<(), ProcessError> {
    let tried = "locking memory";
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE).map_err(|cause| match cause {
        // ENOMEM: more than the limit; EPERM: the limit is 0.
        Errno::EPERM | Errno::ENOMEM | Errno::EAGAIN => ProcessError::Refused {
            tried,
            need: "CAP_IPC_LOCK, or LimitMEMLOCK=infinity in the service unit",
        },
        cause => ProcessError::Failed { tried, cause },
    })
}

/// The user's name; `None` if it has none.
pub fn user_name(uid: u32) -> Option<String> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
}

/// A child process, ended when this is dropped.
#[derive(Debug)]
pub struct Bound(Child);

impl Bound {
    /// Starts `command`. The kernel kills it when this thread dies (PR_SET_PDEATHSIG).
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        // SAFETY: between fork and exec only prctl is called, which is async-signal-safe and allocates nothing. std resets the
        // signal mask itself, so the child does not inherit the blocked signals.
        unsafe { command.pre_exec(|| set_pdeathsig(Signal::SIGKILL).map_err(Into::into)) };
        command.spawn().map(Self)
    }

    /// As [`Self::spawn`], in a session of its own (setsid(2)): the child has no controlling terminal.
    pub fn spawn_without_terminal(command: &mut Command) -> io::Result<Self> {
        // SAFETY: between fork and exec only setsid is called, which is async-signal-safe and allocates nothing.
        unsafe { command.pre_exec(|| setsid().map(drop).map_err(Into::into)) };
        Self::spawn(command)
    }

    /// Process id of the child.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends a signal to the child.
    pub fn signal(&self, signal: Signal) -> nix::Result<()> {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal)
    }

    /// Exit status of the child, if it has ended.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }

    /// Waits until the child has ended, for `timeout` at most.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        let end = Instant::now() + timeout;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends SIGTERM to the child, and SIGKILL if it still runs after `timeout`.
    pub fn end(&mut self, timeout: Duration) -> io::Result<ExitStatus> {
        if self.0.try_wait()?.is_none() {
            _ = self.signal(Signal::SIGTERM);
        }
        match self.wait(timeout)? {
            Some(status) => Ok(status),
            None => {
                self.0.kill()?;
                self.0.wait()
            }
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        _ = self.end(Duration::from_secs(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{is_root, skip};
    use nix::sys::mman::munlockall;

    #[test]
    fn refuses_priority_out_of_range() {
        for priority in [0, 100, 255] {
            let error = real_time(priority).unwrap_err();
            assert_eq!(error.to_string(), "setting a real-time priority: EINVAL: Invalid argument");
            assert!(error.denial().is_none());
        }
    }

    /// Needs CAP_SYS_NICE.
    #[test]
    fn real_time_priority_is_not_inherited() {
        // SAFETY: these two take no pointer; 0 is the calling thread.
        let policy = || unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) };
        let before = policy();
        let run = move || match real_time(1) {
            Ok(()) => {
                assert_eq!(policy(), i64::from(libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK));
                let inherited = std::thread::spawn(policy).join().unwrap();
                assert_eq!(inherited, i64::from(libc::SCHED_OTHER), "inherited by a thread started later");
            }
            Err(error) => {
                assert!(error.denial() == Some(Denial::NotPermitted), "{error}");
                skip(&error.to_string());
            }
        };
        std::thread::spawn(run).join().unwrap();
        assert_eq!(policy(), before);
    }

    /// A limit of locked memory, which all but root have, would break other tests of this process.
    #[test]
    fn locks_memory() {
        if !is_root("locks memory without a limit") {
            return;
        }
        match lock_memory() {
            Ok(()) => {
                let status = std::fs::read_to_string("/proc/self/status").unwrap();
                munlockall().unwrap();
                let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap().trim();
                assert_ne!(locked, "0 kB");
            }
            Err(error) => skip(&error.to_string()),
        }
    }

    #[test]
    fn error_for_a_missing_permission_names_the_capability() {
        let error = ProcessError::Refused { tried: "locking memory", need: "CAP_IPC_LOCK" };
        assert_eq!(error.denial(), Some(Denial::NotPermitted));
        assert_eq!(
            error.to_string(),
            "locking memory: not permitted; run this as root, or with CAP_IPC_LOCK"
        );
    }
}
