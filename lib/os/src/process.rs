//! Child processes that never outlive their parent, however it ends.

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// A child process, ended when this is dropped.
#[derive(Debug)]
pub struct Bound(Child);

impl Bound {
    /// Starts `command`. The kernel kills it when this thread dies (PR_SET_PDEATHSIG).
    ///
    /// # Errors
    /// As [`Command::spawn`].
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
    ///
    /// # Errors
    /// As kill(2).
    pub fn signal(&self, signal: Signal) -> nix::Result<()> {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal)
    }

    /// Its exit status, if it has ended.
    ///
    /// # Errors
    /// As [`Child::try_wait`].
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }

    /// Waits until it has ended, but not longer than `patience`.
    ///
    /// # Errors
    /// As [`Child::try_wait`].
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
    ///
    /// # Errors
    /// As [`Child::try_wait`].
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
