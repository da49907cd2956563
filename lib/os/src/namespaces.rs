//! Helpers of tests, also of other crates: threads with their own namespaces or access to files. Tests that need root are skipped
//! without it, and fail instead if CI=true is set.

#![allow(dead_code, reason = "each crate uses a part")]

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Uid, geteuid, setfsuid};
use std::panic::resume_unwind;
use std::process::Command;
use std::thread;

/// A user without rights.
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
    let is_root = geteuid().is_root();
    if !is_root {
        skip(&format!("needs root: {why}"));
    }
    is_root
}

/// Runs `test` in a thread of its own; what the thread changes about itself ends with it.
pub fn in_thread<T: Send>(test: impl FnOnce() -> T + Send) -> T {
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

/// Runs `test` with this user's access to files. Its files are still those of the user who runs the tests.
pub fn with_access_of(user: u32, test: impl FnOnce()) {
    let before = setfsuid(Uid::from_raw(user));
    test();
    setfsuid(before);
}

/// Runs a program with these words. Returns whether it exists and succeeded.
pub fn run(program: &str, words: &str) -> bool {
    let status = Command::new(program).args(words.split(' ')).status();
    status.is_ok_and(|status| status.success())
}
