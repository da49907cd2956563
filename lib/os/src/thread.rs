//! Threads for calls that may block, beside the main loop of a program.

use nix::sys::signal::{SigSet, SigmaskHow};
use std::io;
use std::thread::{Builder, JoinHandle};

/// Stack of a thread that writes a file or a line, bytes: little memory to lock (`--lock-memory`).
pub const SMALL_STACK: usize = 128 << 10;

/// Starts a thread named `name` (at most 15 bytes, longer names are truncated by the kernel) with a stack of `stack` bytes. All
/// signals are blocked in it, so that the main loop receives them, whenever [`Poll::new`](crate::poll::Poll::new) is called.
///
/// # Errors
/// The kernel's error, for example at the limit of threads.
pub fn spawn<T: Send + 'static>(
    name: &str,
    stack: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    // The new thread inherits the mask.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let spawned = Builder::new().name(name.into()).stack_size(stack).spawn(work);
    before.thread_set_mask()?;
    spawned
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::Signal;

    #[test]
    fn blocks_all_signals_in_the_thread_only() {
        let before = SigSet::thread_get_mask().unwrap();
        let inner =
            spawn("test", SMALL_STACK, || SigSet::thread_get_mask().unwrap()).unwrap().join().unwrap();
        assert!(inner.contains(Signal::SIGTERM) && inner.contains(Signal::SIGHUP));
        assert_eq!(SigSet::thread_get_mask().unwrap(), before);
    }
}
