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
    let expected = [Errno::EFAULT, Errno::EFAULT, Errno::EFAULT, Errno::EFAULT, Errno::EFAULT, Errno::EBADF];
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
    assert!(std::process::Command::new("true").status().unwrap().success(), "only that thread is restricted");
}
