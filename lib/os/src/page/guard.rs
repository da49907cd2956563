//! SIGBUS handler for mapped pages that another process truncates.
//!
//! Access to mapped memory of a file that was truncated, or for which the file system has no room, kills the program
//! (SIGBUS), and files in /dev/shm cannot be sealed against truncation. Reading and writing them by system calls instead would
//! double the cost of a publication. So the handler replaces the faulting mapping by zeroed private memory and marks it as lost;
//! its user discards what was read or written, and maps the page again. systemd-journald guards its files in the same way.

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Maximum of guarded mappings in one process: a program has at most eight, the tests some dozens in parallel threads.
const PLACES: usize = 512;

/// A guarded mapping; `length` 0: unused place.
#[derive(Debug)]
struct Place {
    is_taken: AtomicBool,
    start: AtomicUsize,
    length: AtomicUsize,
    is_writable: AtomicBool,
    is_lost: AtomicBool,
}

static GUARDED: [Place; PLACES] = [const {
    Place {
        is_taken: AtomicBool::new(false),
        start: AtomicUsize::new(0),
        length: AtomicUsize::new(0),
        is_writable: AtomicBool::new(false),
        is_lost: AtomicBool::new(false),
    }
}; PLACES];

/// The previous SIGBUS action: Rust's own handler, which reports a stack overflow.
static BEFORE: OnceLock<Result<SigAction, Errno>> = OnceLock::new();

/// Guards a mapping until it is dropped. Drop it before the memory is unmapped.
#[derive(Debug)]
pub(super) struct Guard(&'static Place);

impl Guard {
    /// Guards `length` mapped bytes from `start`.
    ///
    /// # Errors
    /// If the SIGBUS handler cannot be installed (EPERM under a seccomp filter), or too many mappings are guarded (ENOMEM).
    pub fn new(start: NonNull<c_void>, length: usize, is_writable: bool) -> nix::Result<Self> {
        install()?;
        let free = |place: &&Place| {
            place.is_taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        let place = GUARDED.iter().find(free).ok_or(Errno::ENOMEM)?;
        place.is_lost.store(false, Ordering::Relaxed);
        place.is_writable.store(is_writable, Ordering::Relaxed);
        place.start.store(start.as_ptr().addr(), Ordering::Relaxed);
        place.length.store(length, Ordering::Release);
        Ok(Self(place))
    }

    /// Whether the mapping was replaced by private memory: reads return zeros, and no reader sees what is written.
    pub fn is_lost(&self) -> bool {
        self.0.is_lost.load(Ordering::Acquire)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.length.store(0, Ordering::Release);
        self.0.is_taken.store(false, Ordering::Release);
    }
}

/// Installs the SIGBUS handler at the first call in this process.
fn install() -> nix::Result<()> {
    let installed = BEFORE.get_or_init(|| {
        let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK;
        let action = SigAction::new(SigHandler::SigAction(handle), flags, SigSet::empty());
        // SAFETY: the handler calls nothing but mmap(2), sigaction(2) and raise(3), and touches atomics and errno alone.
        unsafe { sigaction(Signal::SIGBUS, &action) }
    });
    installed.map(|_| ())
}

/// Replaces the memory of a guarded mapping. For any other fault, restores the previous SIGBUS action.
extern "C" fn handle(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    let errno = Errno::last_raw();
    // SAFETY: the kernel hands over a valid siginfo_t (SA_SIGINFO).
    let info = unsafe { &*info };
    // A positive code is a fault reported by the kernel, with an address; other codes are signals sent by kill(2) and the like.
    // SAFETY: si_addr is valid for a fault.
    let is_replaced =
        info.si_code > 0 && GUARDED.iter().any(|place| place.replace(unsafe { info.si_addr() }.addr()));
    if !is_replaced && let Some(Ok(before)) = BEFORE.get() {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // A faulting access is repeated when this handler returns, and then reaches the previous handler. A signal that was sent
        // is raised again, and the default action ends the program.
        // SAFETY: the previous action was in force before this one; the default action runs no code of this program.
        _ = unsafe { sigaction(Signal::SIGBUS, if info.si_code > 0 { before } else { &default }) };
        if info.si_code <= 0 {
            _ = nix::sys::signal::raise(Signal::SIGBUS);
        }
    }
    Errno::set_raw(errno);
}

impl Place {
    /// Replaces the mapping by zeroed private memory if `address` is in it. Returns whether it did.
    fn replace(&self, address: usize) -> bool {
        let length = self.length.load(Ordering::Acquire);
        let start = self.start.load(Ordering::Relaxed);
        if !(start..start.saturating_add(length)).contains(&address) {
            return false;
        }
        self.is_lost.store(true, Ordering::Release);
        let write = if self.is_writable.load(Ordering::Relaxed) { libc::PROT_WRITE } else { 0 };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        let start = std::ptr::with_exposed_provenance_mut::<c_void>(start);
        // SAFETY: the range is exactly one mapping of this process, and it is being accessed, so it is not unmapped meanwhile;
        // its memory holds atomics, for which every value is valid. mmap(2) is a plain system call, safe in a handler.
        let replaced = unsafe { libc::mmap(start, length, libc::PROT_READ | write, flags, -1, 0) };
        replaced != libc::MAP_FAILED
    }
}
