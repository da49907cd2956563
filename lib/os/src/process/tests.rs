use super::*;
use nix::sys::mman::munlockall;
use nix::unistd::Uid;

#[test]
fn a_priority_out_of_range_is_refused() {
    for priority in [0, 100, 255] {
        let error = real_time(priority).unwrap_err();
        assert_eq!(error.to_string(), "taking a real-time priority: EINVAL: Invalid argument");
        assert!(error.denial().is_none());
    }
}

/// Needs CAP_SYS_NICE; passed over without.
#[test]
fn a_real_time_priority_is_the_threads_own() {
    // SAFETY: these two take no pointer; 0 is the calling thread.
    let policy = || unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) };
    let before = policy();
    let run = move || match real_time(1) {
        Ok(()) => {
            assert_eq!(policy(), i64::from(libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK));
            let inherited = std::thread::spawn(policy).join().unwrap();
            assert_eq!(inherited, i64::from(libc::SCHED_OTHER), "a thread started later has none");
        }
        Err(error) => {
            assert!(error.denial() == Some(Denial::NotPermitted), "{error}");
            eprintln!("skipped: {error}");
        }
    };
    std::thread::spawn(run).join().unwrap();
    assert_eq!(policy(), before);
}

/// Needs root, whose memory is not limited: a limit would fail other tests of this process. Passed over without.
#[test]
fn memory_is_locked() {
    if !Uid::effective().is_root() {
        return eprintln!("skipped: only root's memory is not limited");
    }
    match lock_memory() {
        Ok(()) => {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            munlockall().unwrap();
            let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap().trim();
            assert_ne!(locked, "0 kB");
        }
        Err(error) => eprintln!("skipped: {error}"),
    }
}

#[test]
fn a_missing_right_is_told_with_what_grants_it() {
    let error = ProcessError::Refused { tried: "locking memory", need: "CAP_IPC_LOCK" };
    assert_eq!(error.denial(), Some(Denial::NotPermitted));
    assert_eq!(error.to_string(), "locking memory: not permitted; run this as root, or with CAP_IPC_LOCK");
}
