//! Mapped pages that may be cut short.
//!
//! Memory of a file that was truncated, or that the file system has no room for, kills a program that touches it (SIGBUS),
//! and files in /dev/shm cannot be sealed against that. Reading and writing them by system calls instead would double the
//! cost of a publication. So the faulting memory is replaced by zeros of this process' own, and the mapping is marked as lost:
//! whoever used it discards what was read or written, and maps the page again. systemd-journald guards its files so.

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Mappings of one process at most: a program has at most eight, a test some dozens in as many threads.
const PLACES: usize = 512;

/// A mapping that is guarded; `length` 0: none.
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

/// What was done about SIGBUS before: Rust's own handler reports a stack overflow.
static BEFORE: OnceLock<Result<SigAction, Errno>> = OnceLock::new();

/// Guards a mapping for as long as it lives. Drop it before the memory is unmapped.
#[derive(Debug)]
pub(super) struct Guard(&'static Place);

impl Guard {
    /// Guards `length` bytes from `start`, which are mapped.
    ///
    /// # Errors
    /// Where SIGBUS cannot be handled (EPERM under a filter), or too many mappings are guarded (ENOMEM).
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

    /// Whether memory of the mapping was replaced: what is read there is zeros, and what is written there reaches nobody.
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

/// Handles SIGBUS from now on, once for the process.
fn install() -> nix::Result<()> {
    let installed = BEFORE.get_or_init(|| {
        let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK;
        let action = SigAction::new(SigHandler::SigAction(handle), flags, SigSet::empty());
        // SAFETY: the handler calls nothing but mmap(2), sigaction(2) and raise(3), and touches atomics and errno alone.
        unsafe { sigaction(Signal::SIGBUS, &action) }
    });
    installed.map(|_| ())
}

/// Replaces the memory of a guarded mapping. A fault elsewhere is left to whoever handled SIGBUS before.
extern "C" fn handle(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    let errno = Errno::last_raw();
    // SAFETY: the kernel hands over a valid siginfo_t (SA_SIGINFO).
    let info = unsafe { &*info };
    // A positive code is the kernel's, of a fault, which has an address; others are kill(2)'s and its kind.
    // SAFETY: as it is a fault, the address is there.
    let is_replaced =
        info.si_code > 0 && GUARDED.iter().any(|place| place.replace(unsafe { info.si_addr() }.addr()));
    if !is_replaced && let Some(Ok(before)) = BEFORE.get() {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // A faulting access is tried again when this returns, and comes to whoever handled it before; another signal is
        // delivered again then, and ends the program.
        // SAFETY: that action was in force before this one; the default action is none of this program's code.
        _ = unsafe { sigaction(Signal::SIGBUS, if info.si_code > 0 { before } else { &default }) };
        if info.si_code <= 0 {
            _ = nix::sys::signal::raise(Signal::SIGBUS);
        }
    }
    Errno::set_raw(errno);
}

impl Place {
    /// Whether `address` is in this mapping, and could be given memory.
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
        // SAFETY: exactly a mapping that this process owns and that is being accessed, so it is not unmapped meanwhile; its
        // memory is atomics, of which any value is valid. mmap(2) is a plain system call, safe in a handler.
        let replaced = unsafe { libc::mmap(start, length, libc::PROT_READ | write, flags, -1, 0) };
        replaced != libc::MAP_FAILED
    }
}
