//! Helpers of this crate's tests: threads with their own network, user or umask, and lines of the log.

pub use crate::logged::logged;
pub use crate::namespaces::{NOBODY, in_namespaces, is_root, skip};

use crate::namespaces::{in_thread, run};
use nix::sched::{CloneFlags, unshare};
use std::ptr::null;

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
    run("ip", line)
}

/// Creates a pair of connected interfaces, `v0` and `v1`. If that fails, reports that the test is skipped.
pub fn veth() -> bool {
    let made = ip("link add v0 type veth peer name v1");
    if !made {
        skip("ip(8) cannot create a veth pair");
    }
    made
}
