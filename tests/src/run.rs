//! The name of this run of the tests. Namespaces, pages and folders carry it, so that two runs share none: neither one after
//! the other with the same process id, nor two at the same time in different PID namespaces.

use dante_os::daemon::random;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Lock files of the runs that have network namespaces, by the names of the runs. A run holds its lock until it ends, however
/// it ends.
const LOCKS: &str = "/run/dante-tests";

/// Returns the name of this run: `PID-XXXX`, where XXXX is random.
pub fn name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let random = random().expect("random bits of the kernel");
        format!("{}-{:04x}", std::process::id(), random & 0xffff)
    })
}

/// Locks the lock file of this run, once.
///
/// # Panics
/// If that fails.
pub fn lock() {
    static LOCK: OnceLock<Flock<File>> = OnceLock::new();
    LOCK.get_or_init(|| {
        fs::create_dir_all(LOCKS).expect("the folder of lock files");
        // Under another name until it is locked: `ended_runs` removes a file that is not.
        let hidden = Path::new(LOCKS).join(format!(".{}", name()));
        let file = File::create(&hidden).expect("a lock file");
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).expect("the lock of this run");
        fs::rename(&hidden, Path::new(LOCKS).join(name())).expect("the name of the lock file");
        lock
    });
}

/// Returns the names of runs that have ended, and removes their lock files when the result is dropped.
pub fn ended_runs() -> Vec<EndedRun> {
    let entries = fs::read_dir(LOCKS).into_iter().flatten().flatten();
    let ended = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok().filter(|name| !name.starts_with('.'))?;
        let file = File::open(entry.path()).ok()?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()?;
        Some(EndedRun { name, path: entry.path(), _lock: lock })
    });
    ended.collect()
}

/// A run that has ended. Its lock is held meanwhile, so that only one process removes what the run left.
pub struct EndedRun {
    pub name: String,
    path: PathBuf,
    _lock: Flock<File>,
}

impl Drop for EndedRun {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Needs root, as the namespaces do.
    #[test]
    fn running_run_is_not_taken_for_an_ended_one() {
        if !nix::unistd::geteuid().is_root() {
            return crate::skip("lock files of namespaces need root");
        }
        lock();
        assert!(Path::new(LOCKS).join(name()).exists());
        let other = Path::new(LOCKS).join(format!("{}-ended", name()));
        File::create(&other).expect("the lock file of an ended run");
        let ended: Vec<String> = ended_runs().iter().map(|run| run.name.clone()).collect();
        assert!(ended.iter().all(|run| run != name()), "{ended:?}");
        // Tests of another process may remove it.
        crate::wait_until("the lock file removed", crate::EVENT_TIMEOUT, || !other.exists());
    }
}
