//! What a program on a terminal is told beside its keys.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};

/// Ready whenever the terminal's size has changed (SIGWINCH), to be waited for with everything else.
#[derive(Debug)]
pub struct Resizes(SignalFd);

impl Resizes {
    /// Blocks SIGWINCH in the calling thread, for good: make it before any other thread, which inherits that.
    ///
    /// # Errors
    /// When the kernel gives no descriptor.
    pub fn new() -> nix::Result<Self> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGWINCH);
        mask.thread_block()?;
        SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map(Self)
    }

    /// Forgets those so far.
    pub fn forget(&self) {
        while let Ok(Some(_)) = self.0.read_signal() {}
    }
}

impl AsFd for Resizes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
