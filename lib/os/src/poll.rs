//! The one place where a program sleeps: until a descriptor is ready, a deadline on CLOCK_MONOTONIC_RAW has come, or
//! a signal asks it to end or to read its configuration again.

use crate::clock::raw_now;
use arrayvec::ArrayVec;
use dante_core::time::{Duration, Raw, Timestamp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use std::os::fd::{AsFd, BorrowedFd};

pub use nix::sys::signal::Signal;

/// Descriptors of one program, without the signals': as many as [`Wake`] has bits. A daemon needs two channels of two networks,
/// a page, a worker; who serves connections limits them by this.
pub const MAX_FDS: usize = 32;

/// Who has not slept for so long lets others run for [`REST`]: a flood of packets must not hold a processor for good, nor
/// use up what time without a sleep a thread of real-time priority is given (RLIMIT_RTTIME), which would end it.
const BREATHLESS: Duration = Duration::from_secs(1);
/// What arrives meanwhile waits in the sockets.
const REST: Duration = Duration::from_ms(1);

/// What asks a program to end, from elsewhere or from its terminal, and to read its configuration again.
const HEEDED: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

/// The descriptors that a program waits for.
pub type Fds<'a> = ArrayVec<BorrowedFd<'a>, MAX_FDS>;

/// Why a program could not go to sleep. All of these are faults of the program or the system, not of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence of each says what it is")]
pub enum PollError {
    #[error("waiting for {0} descriptors at once: at most {MAX_FDS} are provided for")]
    TooMany(usize),
    #[error("{tried}: {cause}")]
    Failed { tried: &'static str, cause: Errno },
}

/// Why [`Poll::wait`] returned. With nothing ready and no signal, the deadline has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wake {
    ready: u32,
    failed: u32,
    hung_up: u32,
    /// The signal that arrived, one at a time.
    pub signal: Option<Signal>,
}

impl Wake {
    /// Whether descriptor `i` of the slice has something to read, or its other end hung up.
    pub fn ready(&self, i: usize) -> bool {
        bit(i) & self.ready != 0
    }

    /// Whether descriptor `i` has an error pending. On a socket: look at the error queue, where the transmit stamps
    /// arrive, or the call returns at once again.
    pub fn error(&self, i: usize) -> bool {
        bit(i) & self.failed != 0
    }

    /// Whether the other end of descriptor `i` hung up: a terminal that was closed.
    pub fn hung_up(&self, i: usize) -> bool {
        bit(i) & self.hung_up != 0
    }
}

fn bit(i: usize) -> u32 {
    u32::try_from(i).ok().and_then(|i| 1u32.checked_shl(i)).unwrap_or(0)
}

/// The poll loop's sleep. Its signals are blocked and read from a descriptor, so none interrupts anything.
#[derive(Debug)]
pub struct Poll {
    signals: SignalFd,
    /// When it last had nothing to do but to sleep.
    slept: Timestamp<Raw>,
}

impl Poll {
    /// Blocks SIGTERM, SIGINT and SIGHUP in the calling thread, for good: make it in `main`, before any other thread,
    /// which inherits that. So does a child process.
    ///
    /// # Errors
    /// [`PollError::Failed`] when the kernel gives no descriptor for the signals.
    pub fn new() -> Result<Self, PollError> {
        let failed = |tried| move |cause| PollError::Failed { tried, cause };
        let mut mask = SigSet::empty();
        HEEDED.into_iter().for_each(|signal| mask.add(signal));
        mask.thread_block().map_err(failed("blocking SIGTERM, SIGINT and SIGHUP"))?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let signals =
            SignalFd::with_flags(&mask, flags).map_err(failed("opening a descriptor for signals"))?;
        Ok(Self { signals, slept: raw_now() })
    }

    /// Sleeps until one of `fds` is ready, a signal arrives or `deadline` has come; without a deadline, for ever.
    /// A deadline that lies in the past makes it look without sleeping. It never returns before the deadline for
    /// nothing, though the kernel counts the sleep on CLOCK_MONOTONIC, which is steered.
    ///
    /// # Errors
    /// [`PollError`]; an interrupted sleep is none.
    pub fn wait(
        &mut self,
        fds: &[BorrowedFd<'_>],
        deadline: Option<Timestamp<Raw>>,
    ) -> Result<Wake, PollError> {
        if fds.len() > MAX_FDS {
            return Err(PollError::TooMany(fds.len()));
        }
        let mut polled: ArrayVec<PollFd<'_>, { MAX_FDS + 1 }> =
            fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
        polled.push(PollFd::new(self.signals.as_fd(), PollFlags::POLLIN));
        if raw_now() - self.slept >= BREATHLESS {
            std::thread::sleep(REST.to_std());
            self.slept = raw_now();
        }
        // Looks first, so that it is known whether it slept.
        let mut timeout = Some(TimeSpec::new(0, 0));
        loop {
            match ppoll(&mut polled, timeout, None) {
                Ok(0) if deadline.is_none_or(|deadline| raw_now() < deadline) => {}
                Ok(0) => return Ok(Wake::default()),
                Ok(_) => {
                    let wake = self.wake(polled.get(..fds.len()).unwrap_or_default());
                    // A signal that another reader took is no reason to wake.
                    if wake != Wake::default() {
                        return Ok(wake);
                    }
                }
                Err(Errno::EINTR) => {}
                Err(cause) => return Err(PollError::Failed { tried: "waiting for packets", cause }),
            }
            timeout = deadline.map(|deadline| TimeSpec::from_duration((deadline - raw_now()).to_std()));
            self.slept = raw_now();
        }
    }

    fn wake(&self, polled: &[PollFd<'_>]) -> Wake {
        let mut wake = Wake { signal: self.signal(), ..Wake::default() };
        for (i, fd) in polled.iter().enumerate() {
            let events = fd.revents().unwrap_or(PollFlags::empty());
            if events.intersects(PollFlags::POLLIN | PollFlags::POLLHUP) {
                wake.ready |= bit(i);
            }
            if events.intersects(PollFlags::POLLERR | PollFlags::POLLNVAL) {
                wake.failed |= bit(i);
            }
            if events.contains(PollFlags::POLLHUP) {
                wake.hung_up |= bit(i);
            }
        }
        wake
    }

    fn signal(&self) -> Option<Signal> {
        let info = self.signals.read_signal().ok().flatten()?;
        Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()
    }
}

#[cfg(test)]
mod tests;
