//! What the tests of this crate are made in.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of its own, removed with everything in it.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("dante-os-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Writes a file, in folders that need not be there yet.
    pub fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs `test` in a network namespace, in a thread with which it ends: needs root, and is passed over without.
pub fn in_network_namespace(test: impl FnOnce() + Send + 'static) {
    use nix::sched::{CloneFlags, unshare};
    if nix::unistd::Uid::effective().is_root() {
        let run = || unshare(CloneFlags::CLONE_NEWNET).is_ok().then(test);
        std::thread::spawn(run).join().unwrap();
    }
}

pub const NOBODY: u32 = 65_534;

/// Runs another test of this program as a user without rights, where that user can execute it.
pub fn run_as_nobody(test: &str, variables: &[(&str, &str)]) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test]).envs(variables.iter().copied()).uid(NOBODY).gid(NOBODY);
    if let Ok(output) = child.output() {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

/// Whether ip(8) is there and does this.
pub fn ip(line: &str) -> bool {
    let status = Command::new("ip").args(line.split(' ')).status();
    status.is_ok_and(|status| status.success())
}
