//! A filter over a program's own system calls (seccomp(2)): what a relay needs after it has started, and nothing else.
//!
//! A list of what is allowed, since a list of what is forbidden would not hold: ioctl(2) sets an RTC, the 32-bit and x32
//! entries of the kernel have clock calls of their own, and new calls come with new kernels. Whatever is not on the list
//! fails with EPERM, as it does without the right; a call through another architecture's entry ends the program.

use libc::c_long;
use seccompiler::{BackendError, BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use std::collections::BTreeMap;

/// Why there is no filter.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    /// None can be made.
    #[error("no filter over system calls for this processor: {0}")]
    NotMade(BackendError),
    /// The kernel did not take it.
    #[error("the kernel takes no filter over system calls (CONFIG_SECCOMP_FILTER): {0}")]
    NotTaken(seccompiler::Error),
}

/// Files, sockets and memory; sleeping and reading clocks; signals and the end. None of these sets a clock, starts a
/// program, makes a thread, changes a user or a right.
const ALLOWED: &[c_long] = &[
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_shmdt,
    // Files: pages come and go, users and time zones are looked up.
    libc::SYS_close,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_statx,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
    // Sockets: chronyd's, syslog's, the usrvclock's, and those of a name service.
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_socket,
    // Sleeping, and reading clocks where that takes a call.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_futex,
    libc::SYS_gettimeofday,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    // Who we are.
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_sched_getaffinity,
    libc::SYS_uname,
    // Signals and the end.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
];

/// Calls that newer architectures no longer have.
#[cfg(target_arch = "x86_64")]
const OLD: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_chmod,
    libc::SYS_epoll_wait,
    libc::SYS_lstat,
    libc::SYS_open,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_stat,
    libc::SYS_time,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[c_long] = &[];

/// Leaves the calling thread, and every one that it starts, with the calls of a relay, for good. It also gives up whatever
/// a set-user-id program could bring (PR_SET_NO_NEW_PRIVS).
///
/// # Errors
/// [`SeccompError`]: the program runs without a filter then.
pub fn allow_only_what_a_relay_needs() -> Result<(), SeccompError> {
    let filter = compiled().map_err(SeccompError::NotMade)?;
    seccompiler::apply_filter(&filter).map_err(SeccompError::NotTaken)
}

fn compiled() -> Result<BpfProgram, BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let allowed: BTreeMap<i64, Vec<_>> =
        ALLOWED.iter().chain(OLD).map(|number| (*number, Vec::new())).collect();
    let denied = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    SeccompFilter::new(allowed, denied, SeccompAction::Allow, arch)?.try_into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    /// A pointer that the kernel cannot follow: whatever it is asked to set from there, it answers EFAULT and sets nothing.
    const NOWHERE: usize = 8;

    /// Makes a system call by its number, and tells the kernel's answer.
    fn answer(number: c_long, words: [usize; 3]) -> Errno {
        let [a, b, c] = words;
        // SAFETY: every call below is given an address that cannot be read, or none, and numbers that name nothing.
        let result = unsafe { libc::syscall(number, a, b, c) };
        if result == -1 { Errno::last() } else { Errno::from_raw(0) }
    }

    /// The calls that set a clock, and others that a relay must not make, each so that it could do nothing in any case; and
    /// what the kernel answers where it may be asked.
    fn forbidden() -> Vec<(&'static str, Errno)> {
        const REALTIME: usize = 0;
        const NO_FILE: usize = usize::MAX;
        /// RTC_SET_TIME of linux/rtc.h.
        const RTC_SET_TIME: usize = 0x4024_700a;
        vec![
            ("clock_settime", answer(libc::SYS_clock_settime, [REALTIME, NOWHERE, 0])),
            ("settimeofday", answer(libc::SYS_settimeofday, [NOWHERE, 0, 0])),
            ("adjtimex", answer(libc::SYS_adjtimex, [NOWHERE, 0, 0])),
            ("clock_adjtime", answer(libc::SYS_clock_adjtime, [REALTIME, NOWHERE, 0])),
            ("execve", answer(libc::SYS_execve, [NOWHERE, 0, 0])),
            ("ioctl", answer(libc::SYS_ioctl, [NO_FILE, RTC_SET_TIME, NOWHERE])),
        ]
    }

    #[test]
    fn calls_that_set_a_clock_are_refused_by_the_filter_and_by_nothing_else() {
        // The same calls, with the same words: the kernel itself looks at them, and finds them wrong.
        let open: Vec<Errno> = forbidden().into_iter().map(|(_, answer)| answer).collect();
        let expected =
            [Errno::EFAULT, Errno::EFAULT, Errno::EFAULT, Errno::EFAULT, Errno::EFAULT, Errno::EBADF];
        assert_eq!(open, expected, "without the filter");
        // A filter is the thread's that takes it.
        let filtered = std::thread::spawn(|| {
            allow_only_what_a_relay_needs().unwrap();
            forbidden()
        });
        for (call, answer) in filtered.join().unwrap() {
            assert_eq!(answer, Errno::EPERM, "{call} with the filter");
        }
    }

    #[test]
    fn what_a_relay_does_goes_on_behind_the_filter() {
        let folder = crate::scratch::Scratch::new();
        let place = folder.0.join("clock");
        let behind = std::thread::spawn(move || {
            allow_only_what_a_relay_needs().unwrap();
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let server = crate::usrvclock::ClockServer::open(place.clone(), 0o600).unwrap();
            let made = place.exists();
            drop(server);
            (status, made, place.exists())
        });
        let (status, made, left) = behind.join().unwrap();
        assert!(status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t1"), "{status}");
        assert_eq!((made, left), (true, false));
        assert!(
            std::process::Command::new("true").status().unwrap().success(),
            "only that thread is restricted"
        );
    }
}
