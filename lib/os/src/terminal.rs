//! Changes of the terminal's size.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};

/// A descriptor that is readable when the terminal's size has changed (SIGWINCH), for use in the poll loop.
#[derive(Debug)]
pub struct Resizes(SignalFd);

impl Resizes {
    /// Blocks SIGWINCH in the calling thread permanently: call it before any other thread starts, as threads inherit the mask.
    ///
    /// # Errors
    /// If the kernel refuses a descriptor.
    pub fn new() -> nix::Result<Self> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGWINCH);
        mask.thread_block()?;
        SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map(Self)
    }

    /// Discards pending notifications.
    pub fn forget(&self) {
        while let Ok(Some(_)) = self.0.read_signal() {}
    }
}

impl AsFd for Resizes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
