//! Helper of tests, also of other crates: a process that has no free file descriptor, so that the kernel refuses every new one with
//! EMFILE.

use std::io::stderr;
use std::iter::from_fn;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;

/// Marks the process that was started for one test.
const MARK: &str = "TEST_ALONE";

/// Runs the test of this name, with its modules, in a process of its own that can have few descriptors.
///
/// # Panics
/// If the test fails, or there is no test of this name.
pub fn alone(name: &str, test: impl FnOnce()) {
    if std::env::var_os(MARK).is_some() {
        return test();
    }
    let program = std::env::current_exe().expect("the path of this program");
    let limited = ["-c", "ulimit -n 100 && exec \"$0\" \"$@\""];
    let output = Command::new("sh")
        .args(limited)
        .arg(program)
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(MARK, "")
        .output()
        .expect("sh(1)");
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success() && out.contains("1 passed"), "{name}: {out}{err}");
}

/// Takes all free descriptors of this process. Dropping them frees them.
pub fn take_all_descriptors() -> Vec<OwnedFd> {
    from_fn(|| stderr().as_fd().try_clone_to_owned().ok()).collect()
}
