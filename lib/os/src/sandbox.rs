//! Helpers of this crate's tests: threads with their own namespaces, user or umask, and lines of the log. Tests that need root
//! are skipped without it, and fail instead if CI=true is set.

pub use crate::logged::logged;
use nix::sched::{CloneFlags, unshare};
use std::panic::resume_unwind;
use std::process::Command;
use std::ptr::null;
use std::thread;

pub const NOBODY: u32 = 65_534;

/// Reports that a test is skipped because something is missing.
///
/// # Panics
/// If CI=true is set: no test may be skipped there.
pub fn skip(missing: &str) {
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "this test cannot run: {missing}");
    eprintln!("skipped: {missing}");
}

/// Whether the tests run as root. If not, reports that this test is skipped.
pub fn is_root(why: &str) -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        skip(&format!("needs root: {why}"));
    }
    is_root
}

/// Runs `test` in a thread of its own; what the thread changes about itself ends with it.
fn in_thread<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(test).join()).unwrap_or_else(|panic| resume_unwind(panic))
}

/// Runs `test` in new namespaces of these kinds. Needs root.
pub fn in_namespaces(kinds: CloneFlags, test: impl FnOnce() + Send) {
    if is_root("creates namespaces") {
        in_thread(|| match unshare(kinds) {
            Ok(()) => test(),
            Err(cause) => skip(&format!("no new namespaces: {cause}")),
        });
    }
}

/// Runs `test` in a new network namespace, whose only interface is `lo`, and up. Needs root and ip(8).
pub fn in_network_namespace(test: impl FnOnce() + Send) {
    in_namespaces(CloneFlags::CLONE_NEWNET, || match ip("link set lo up") {
        true => test(),
        false => skip("needs ip(8)"),
    });
}

/// Runs `test` as an unprivileged user: another one if the tests run as root.
pub fn unprivileged<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    if !nix::unistd::geteuid().is_root() {
        return test();
    }
    in_thread(|| {
        // The kernel keeps the user of each thread. The functions of the C library would change all threads of the process.
        // SAFETY: the calls take integers, and an array of no elements.
        let done = unsafe {
            [
                libc::syscall(libc::SYS_setgroups, 0, null::<libc::gid_t>()),
                libc::syscall(libc::SYS_setresgid, NOBODY, NOBODY, NOBODY),
                libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY),
            ]
        };
        assert_eq!(done, [0, 0, 0], "becoming user {NOBODY}");
        test()
    })
}

/// Runs `test` with this umask.
pub fn with_umask(mask: u32, test: impl FnOnce() + Send) {
    in_thread(|| match unshare(CloneFlags::CLONE_FS) {
        Ok(()) => {
            // SAFETY: takes and returns an integer.
            unsafe { libc::umask(mask) };
            test();
        }
        Err(cause) => skip(&format!("no umask of a thread: {cause}")),
    });
}

/// Runs ip(8). Returns whether it exists and succeeded.
pub fn ip(line: &str) -> bool {
    let status = Command::new("ip").args(line.split(' ')).status();
    status.is_ok_and(|status| status.success())
}

/// Creates a pair of connected interfaces, `v0` and `v1`. If that fails, reports that the test is skipped.
pub fn veth() -> bool {
    let made = ip("link add v0 type veth peer name v1");
    if !made {
        skip("ip(8) cannot create a veth pair");
    }
    made
}
