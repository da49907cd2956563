//! The poll loop, the only place where a program sleeps: until a descriptor is ready, a deadline on CLOCK_MONOTONIC_RAW is
//! reached, or a signal requests the end or a new configuration.

use crate::clock::raw_now;
use crate::process::ends_on_hangup;
use arrayvec::ArrayVec;
use dante_core::time::{Duration, Raw, Timestamp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use std::os::fd::{AsFd, BorrowedFd};

pub use nix::sys::signal::Signal;

/// Maximum of descriptors of one program, without that of the signals: the number of bits in [`Wake`]. A daemon needs two
/// channels of two networks, a page and a worker; a program that serves connections limits their number by this.
pub const MAX_FDS: usize = 32;

/// After this long without blocking, sleep for [`BUSY_PAUSE`]: a flood of packets must not occupy a processor permanently, nor
/// exhaust the time that a real-time thread may run without blocking (RLIMIT_RTTIME), which would end the program.
const BUSY_LIMIT: Duration = Duration::from_secs(1);
/// Length of that sleep; packets that arrive meanwhile wait in the socket buffers.
const BUSY_PAUSE: Duration = Duration::from_ms(1);

/// Signals that request the end of the program (SIGTERM, SIGINT), or a reload of its configuration (SIGHUP without a terminal).
const SIGNALS: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

/// The descriptors that a program waits for.
pub type Fds<'a> = ArrayVec<BorrowedFd<'a>, MAX_FDS>;

/// Why a program could not wait. All of these are faults of the program or the system, not of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum PollError {
    #[error("cannot wait for {0} descriptors: the maximum is {MAX_FDS}")]
    TooMany(usize),
    #[error("{tried}: {cause}")]
    Failed { tried: &'static str, cause: Errno },
}

/// Why [`Poll::wait`] returned. If nothing is ready and there is no signal, the deadline was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wake {
    ready: u32,
    failed: u32,
    hung_up: u32,
    /// The signal that arrived; further signals follow in the next calls.
    pub signal: Option<Signal>,
}

impl Wake {
    /// Whether descriptor `i` of the slice is readable, or its other end hung up.
    pub fn ready(&self, i: usize) -> bool {
        bit(i) & self.ready != 0
    }

    /// Whether descriptor `i` has an error pending. On a socket: read the error queue, where transmit timestamps arrive;
    /// otherwise the next call returns immediately.
    pub fn error(&self, i: usize) -> bool {
        bit(i) & self.failed != 0
    }

    /// Whether the other end of descriptor `i` hung up, for example a closed terminal.
    pub fn hung_up(&self, i: usize) -> bool {
        bit(i) & self.hung_up != 0
    }
}

fn bit(i: usize) -> u32 {
    u32::try_from(i).ok().and_then(|i| 1u32.checked_shl(i)).unwrap_or(0)
}

/// The poll loop's wait. Signals are blocked and read from a descriptor, so they interrupt no system call.
#[derive(Debug)]
pub struct Poll {
    signals: SignalFd,
    ends_on_hangup: bool,
    /// Time of the last blocking wait.
    last_sleep: Timestamp<Raw>,
}

impl Poll {
    /// Blocks SIGTERM, SIGINT and SIGHUP in the calling thread permanently: call it in `main` before any other thread starts,
    /// as threads and child processes inherit the mask.
    ///
    /// # Errors
    /// [`PollError::Failed`] if the kernel refuses a descriptor for the signals.
    pub fn new() -> Result<Self, PollError> {
        let failed = |tried| move |cause| PollError::Failed { tried, cause };
        let mut mask = SigSet::empty();
        SIGNALS.into_iter().for_each(|signal| mask.add(signal));
        mask.thread_block().map_err(failed("blocking SIGTERM, SIGINT and SIGHUP"))?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let signals =
            SignalFd::with_flags(&mask, flags).map_err(failed("opening a descriptor for signals"))?;
        Ok(Self { signals, ends_on_hangup: ends_on_hangup(), last_sleep: raw_now() })
    }

    /// Whether SIGHUP requests the end of the program, as its terminal is closed, and not a reload of its configuration.
    pub fn ends_on_hangup(&self) -> bool {
        self.ends_on_hangup
    }

    /// Waits until one of `fds` is ready, a signal arrives or `deadline` is reached; without a deadline, there is no timeout.
    /// If the deadline has passed, it polls without waiting. It never returns before the deadline without an event, although
    /// the kernel measures the timeout on CLOCK_MONOTONIC, which is steered.
    ///
    /// # Errors
    /// [`PollError`]; an interrupted wait is no error.
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
        if raw_now() - self.last_sleep >= BUSY_LIMIT {
            std::thread::sleep(BUSY_PAUSE.to_std());
            self.last_sleep = raw_now();
        }
        // The first poll does not wait; `last_sleep` is set only if a blocking one follows.
        let mut timeout = Some(TimeSpec::new(0, 0));
        loop {
            match ppoll(&mut polled, timeout, None) {
                Ok(0) if deadline.is_none_or(|deadline| raw_now() < deadline) => {}
                Ok(0) => return Ok(Wake::default()),
                Ok(_) => {
                    let wake = self.wake(polled.get(..fds.len()).unwrap_or_default());
                    // Another reader may have taken the signal: go on waiting.
                    if wake != Wake::default() {
                        return Ok(wake);
                    }
                }
                Err(Errno::EINTR) => {}
                Err(cause) => return Err(PollError::Failed { tried: "waiting for packets", cause }),
            }
            timeout = deadline.map(|deadline| TimeSpec::from_duration((deadline - raw_now()).to_std()));
            self.last_sleep = raw_now();
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
