use super::*;
use dante_core::time::Duration;
use std::io::Write;
use std::os::unix::net::UnixStream;

fn soon() -> Option<Timestamp<Raw>> {
    Some(raw_now() + Duration::from_ms(30))
}

#[test]
fn wait_never_returns_before_the_deadline() {
    let mut poll = Poll::new().unwrap();
    let deadline = raw_now() + Duration::from_ms(20);
    assert_eq!(poll.wait(&[], Some(deadline)).unwrap(), Wake::default());
    let late = raw_now() - deadline;
    assert!(late >= Duration::ZERO, "woke {late:?} too early");
    assert!(late < Duration::from_secs(5), "woke {late:?} late");
}

#[test]
fn deadline_in_the_past_still_polls_the_descriptors() {
    let mut poll = Poll::new().unwrap();
    let (mut writer, reader) = UnixStream::pair().unwrap();
    let past = Some(raw_now() - Duration::from_secs(1));
    assert_eq!(poll.wait(&[reader.as_fd()], past).unwrap(), Wake::default());
    writer.write_all(b"x").unwrap();
    assert!(poll.wait(&[reader.as_fd()], past).unwrap().ready(0));
}

#[test]
fn distinguishes_ready_from_idle_descriptors() {
    let mut poll = Poll::new().unwrap();
    let (_idle, quiet) = UnixStream::pair().unwrap();
    let (mut writer, busy) = UnixStream::pair().unwrap();
    writer.write_all(b"x").unwrap();
    let wake = poll.wait(&[quiet.as_fd(), busy.as_fd()], None).unwrap();
    assert!(!wake.ready(0) && wake.ready(1) && !wake.error(1) && wake.signal.is_none());
    assert!(!wake.ready(40) && !wake.error(usize::MAX), "no such descriptor");
}

#[test]
fn hangup_wakes_the_reader() {
    let mut poll = Poll::new().unwrap();
    let (writer, reader) = UnixStream::pair().unwrap();
    drop(writer);
    assert!(poll.wait(&[reader.as_fd()], soon()).unwrap().ready(0));
}

#[test]
fn sleeps_after_a_second_without_blocking() {
    let sleeps = || -> u64 {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        line.trim().parse().unwrap()
    };
    let mut poll = Poll::new().unwrap();
    let (mut writer, busy) = UnixStream::pair().unwrap();
    writer.write_all(b"x").unwrap();
    let begun = raw_now();
    // A wait of this length with a voluntary switch is a pause; without one, the thread was preempted.
    let mut pauses = || {
        let (before, start) = (sleeps(), raw_now());
        assert!(poll.wait(&[busy.as_fd()], None).unwrap().ready(0));
        raw_now() - start >= BUSY_PAUSE && sleeps() > before
    };
    while !pauses() {
        assert!(raw_now() - begun < Duration::from_secs(30), "never sleeps");
    }
    assert!(raw_now() - begun >= BUSY_LIMIT, "sleeps too early");
}

#[test]
fn reports_each_signal_once() {
    let mut poll = Poll::new().unwrap();
    for signal in [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT] {
        // To this thread alone: a signal to the process would end the other tests.
        nix::sys::signal::raise(signal).unwrap();
        assert_eq!(poll.wait(&[], soon()).unwrap().signal, Some(signal));
        assert_eq!(poll.wait(&[], soon()).unwrap(), Wake::default());
    }
}

#[test]
fn refuses_more_descriptors_than_the_maximum() {
    let mut poll = Poll::new().unwrap();
    let (_writer, reader) = UnixStream::pair().unwrap();
    assert_eq!(poll.wait(&[reader.as_fd(); MAX_FDS + 1], soon()), Err(PollError::TooMany(MAX_FDS + 1)));
    assert_eq!(poll.wait(&[reader.as_fd(); MAX_FDS], soon()).unwrap(), Wake::default());
}
