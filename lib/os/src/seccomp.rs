//! System call filter (seccomp(2)) of a relay: allows only the calls that it needs after its start.
//!
//! The filter is a list of allowed calls, as a list of forbidden ones would have gaps: ioctl(2) sets an RTC, the 32-bit and x32
//! entries of the kernel have separate clock calls, and new kernels add calls. Any other call fails with EPERM, as without the
//! capability; a call through the entry of another architecture ends the program.

use libc::c_long;
use seccompiler::{BackendError, BpfProgram, BpfProgramRef, SeccompAction, SeccompFilter, TargetArch};
use std::collections::BTreeMap;

/// Why there is no filter.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    /// The filter cannot be compiled.
    #[error("no system call filter for this processor: {0}")]
    NotMade(BackendError),
    /// The kernel did not accept the filter.
    #[error("the kernel does not accept a system call filter (CONFIG_SECCOMP_FILTER): {0}")]
    NotTaken(seccompiler::Error),
}

/// Allowed calls: files, sockets and memory; sleeping and reading clocks; signals and exit. None of these sets a clock, starts a
/// program, creates a thread, or changes a user or a capability.
const ALLOWED: &[c_long] = &[
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_shmdt,
    libc::SYS_shmget,
    // Files: pages, user database, time zones.
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
    // Sockets: chronyd, syslog, usrvclock, name service.
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
    // Sleeping, and reading clocks that need a system call.
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
    // Identity of the process.
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_sched_getaffinity,
    libc::SYS_uname,
    // Signals and exit.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
];

/// Allowed calls that newer architectures do not have.
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

/// Restricts all threads of this process, and every thread that they start, permanently to the calls of a relay. Also sets
/// PR_SET_NO_NEW_PRIVS, so that set-user-id programs give no privileges.
///
/// # Errors
/// [`SeccompError`]: the program then runs without a filter.
pub fn restrict_to_relay() -> Result<(), SeccompError> {
    // With SECCOMP_FILTER_FLAG_TSYNC: a thread of the log may run already.
    restrict(seccompiler::apply_filter_all_threads)
}

fn restrict(apply: fn(BpfProgramRef<'_>) -> Result<(), seccompiler::Error>) -> Result<(), SeccompError> {
    let filter = compiled().map_err(SeccompError::NotMade)?;
    apply(&filter).map_err(SeccompError::NotTaken)
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

    /// An invalid pointer: the kernel returns EFAULT and sets nothing.
    const NOWHERE: usize = 8;

    /// Makes a system call by its number, and returns its error.
    fn answer(number: c_long, words: [usize; 3]) -> Errno {
        let [a, b, c] = words;
        // SAFETY: every call below has an invalid address or none, and an invalid descriptor.
        let result = unsafe { libc::syscall(number, a, b, c) };
        if result == -1 { Errno::last() } else { Errno::from_raw(0) }
    }

    /// Calls that set a clock, and others that a relay must not make, with arguments that have no effect in any case; and the
    /// kernel's errors.
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

    /// Restricts the calling thread only: the other tests run in the same process.
    fn restrict_this_thread() {
        restrict(seccompiler::apply_filter).unwrap();
    }

    #[test]
    fn filter_denies_calls_that_set_a_clock() {
        // Without the filter, the kernel rejects the arguments of the same calls.
        let open: Vec<Errno> = forbidden().into_iter().map(|(_, answer)| answer).collect();
        let expected =
            [Errno::EFAULT, Errno::EFAULT, Errno::EFAULT, Errno::EFAULT, Errno::EFAULT, Errno::EBADF];
        assert_eq!(open, expected, "without the filter");
        let filtered = std::thread::spawn(|| {
            restrict_this_thread();
            forbidden()
        });
        for (call, answer) in filtered.join().unwrap() {
            assert_eq!(answer, Errno::EPERM, "{call} with the filter");
        }
    }

    #[test]
    fn filter_allows_files_and_sockets() {
        let directory = crate::scratch::Scratch::new();
        let place = directory.0.join("clock");
        let filtered = std::thread::spawn(move || {
            restrict_this_thread();
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let server = crate::usrvclock::ClockServer::open(crate::clock::raw_now(), place.clone(), 0o600);
            let made = place.exists() && server.is_ready();
            drop(server);
            (status, made, place.exists())
        });
        let (status, made, left) = filtered.join().unwrap();
        assert!(status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t1"), "{status}");
        assert_eq!((made, left), (true, false));
        assert!(
            std::process::Command::new("true").status().unwrap().success(),
            "the filter applies to other threads too"
        );
    }

    /// A syslog daemon that restarts, and the service manager: their sockets are opened after the start.
    #[test]
    fn filter_allows_to_reconnect_to_syslog_and_the_service_manager() {
        let directory = crate::scratch::Scratch::new();
        let path = directory.0.join("log");
        let reader = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let filtered = std::thread::spawn(move || {
            restrict_this_thread();
            let socket = crate::local_socket::connect(&path, socket2::Type::DGRAM).unwrap();
            crate::local_socket::send(&socket, b"line").unwrap();
        });
        filtered.join().unwrap();
        assert_eq!(reader.recv(&mut [0; 8]).unwrap(), 4);
    }
}
