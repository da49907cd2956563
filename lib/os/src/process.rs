//! What a process asks of the kernel for itself, a real-time priority and memory that stays; and child processes that
//! never outlive their parent, however it ends.

use crate::denial::{Denial, Denied, display_explained};
use dante_core::explain::Explain;
use nix::errno::Errno;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// Why the kernel did not grant it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence of each says what it is")]
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

/// Puts the calling thread before everything that has no real-time priority (SCHED_FIFO). `priority` is 1, the least,
/// to 99. Threads and child processes started later do not inherit it.
///
/// # Errors
/// [`ProcessError::Refused`] without CAP_SYS_NICE and beyond the limit RLIMIT_RTPRIO; [`ProcessError::Failed`] with
/// EINVAL for a priority out of range. Nothing is changed then.
pub fn real_time(priority: u8) -> Result<(), ProcessError> {
    let tried = "taking a real-time priority";
    // SAFETY: sched_param is made of integers alone (musl has more of them), for which zero is a value.
    let mut wanted: libc::sched_param = unsafe { std::mem::zeroed() };
    wanted.sched_priority = priority.into();
    // Not libc's sched_setscheduler, which musl leaves unimplemented; in the kernel, 0 is the calling thread.
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the pointer is to a sched_param that lives through the call, and is only read.
    let done = unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const wanted) };
    match Errno::result(done) {
        Ok(_) => Ok(()),
        Err(Errno::EPERM) => Err(ProcessError::Refused {
            tried,
            need: "CAP_SYS_NICE; a service unit gives the priority itself (CPUSchedulingPolicy=)",
        }),
        Err(cause) => Err(ProcessError::Failed { tried, cause }),
    }
}

/// Keeps all memory of this process, present and future, from being paged out: a page fault takes ms.
///
/// # Errors
/// [`ProcessError::Refused`] without CAP_IPC_LOCK where RLIMIT_MEMLOCK is too low. Nothing is locked then.
pub fn lock_memory() -> Result<(), ProcessError> {
    let tried = "locking memory";
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE).map_err(|cause| match cause {
        // ENOMEM: more than the limit; EPERM: a limit of none.
        Errno::EPERM | Errno::ENOMEM | Errno::EAGAIN => ProcessError::Refused {
            tried,
            need: "CAP_IPC_LOCK, or LimitMEMLOCK=infinity in the service unit",
        },
        cause => ProcessError::Failed { tried, cause },
    })
}

/// The name of a user; `None` where it has none.
pub fn user_name(uid: u32) -> Option<String> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
}

/// A child process, ended when this is dropped.
#[derive(Debug)]
pub struct Bound(Child);

impl Bound {
    /// Starts `command`. The kernel kills it when this thread dies (PR_SET_PDEATHSIG).
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        // SAFETY: between fork and exec only prctl is called, which is async-signal-safe and allocates nothing. The
        // mask of blocked signals is not inherited on purpose by what std does itself at exec.
        unsafe { command.pre_exec(|| set_pdeathsig(Signal::SIGKILL).map_err(Into::into)) };
        command.spawn().map(Self)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> nix::Result<()> {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal)
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }

    /// Waits until it has ended, but not longer than `patience`.
    pub fn wait(&mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        let end = Instant::now() + patience;
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

    /// Asks it to end (SIGTERM), and after `patience` ends it.
    pub fn end(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        if self.0.try_wait()?.is_none() {
            _ = self.signal(Signal::SIGTERM);
        }
        match self.wait(patience)? {
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
    use nix::sys::mman::munlockall;
    use nix::unistd::Uid;

    #[test]
    fn a_priority_out_of_range_is_refused() {
        for priority in [0, 100, 255] {
            let error = real_time(priority).unwrap_err();
            assert_eq!(error.to_string(), "taking a real-time priority: EINVAL: Invalid argument");
            assert!(error.denial().is_none());
        }
    }

    /// Needs CAP_SYS_NICE; passed over without.
    #[test]
    fn a_real_time_priority_is_the_threads_own() {
        // SAFETY: these two take no pointer; 0 is the calling thread.
        let policy = || unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) };
        let before = policy();
        let run = move || match real_time(1) {
            Ok(()) => {
                assert_eq!(policy(), i64::from(libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK));
                let inherited = std::thread::spawn(policy).join().unwrap();
                assert_eq!(inherited, i64::from(libc::SCHED_OTHER), "a thread started later has none");
            }
            Err(error) => {
                assert!(error.denial() == Some(Denial::NotPermitted), "{error}");
                eprintln!("skipped: {error}");
            }
        };
        std::thread::spawn(run).join().unwrap();
        assert_eq!(policy(), before);
    }

    /// Needs root, whose memory is not limited: a limit would fail other tests of this process. Passed over without.
    #[test]
    fn memory_is_locked() {
        if !Uid::effective().is_root() {
            return eprintln!("skipped: only root's memory is not limited");
        }
        match lock_memory() {
            Ok(()) => {
                let status = std::fs::read_to_string("/proc/self/status").unwrap();
                munlockall().unwrap();
                let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap().trim();
                assert_ne!(locked, "0 kB");
            }
            Err(error) => eprintln!("skipped: {error}"),
        }
    }

    #[test]
    fn a_missing_right_is_told_with_what_grants_it() {
        let error = ProcessError::Refused { tried: "locking memory", need: "CAP_IPC_LOCK" };
        assert_eq!(error.denial(), Some(Denial::NotPermitted));
        assert_eq!(
            error.to_string(),
            "locking memory: not permitted; run this as root, or with CAP_IPC_LOCK"
        );
    }
}
