use super::*;
use dante_core::time::Duration;
use std::io::Write;
use std::os::unix::net::UnixStream;

fn soon() -> Option<Timestamp<Raw>> {
    Some(raw_now() + Duration::from_ms(30))
}

#[test]
fn a_deadline_is_met_and_never_early() {
    let mut poll = Poll::new().unwrap();
    let deadline = raw_now() + Duration::from_ms(20);
    assert_eq!(poll.wait(&[], Some(deadline)).unwrap(), Wake::default());
    let late = raw_now() - deadline;
    assert!(late >= Duration::ZERO, "woke {late:?} too early");
    assert!(late < Duration::from_secs(5), "woke {late:?} late");
}

#[test]
fn a_deadline_in_the_past_still_looks_at_the_descriptors() {
    let mut poll = Poll::new().unwrap();
    let (mut writer, reader) = UnixStream::pair().unwrap();
    let past = Some(raw_now() - Duration::from_secs(1));
    assert_eq!(poll.wait(&[reader.as_fd()], past).unwrap(), Wake::default());
    writer.write_all(b"x").unwrap();
    assert!(poll.wait(&[reader.as_fd()], past).unwrap().ready(0));
}

#[test]
fn the_ready_descriptor_is_told_from_the_idle_one() {
    let mut poll = Poll::new().unwrap();
    let (_idle, quiet) = UnixStream::pair().unwrap();
    let (mut writer, busy) = UnixStream::pair().unwrap();
    writer.write_all(b"x").unwrap();
    let wake = poll.wait(&[quiet.as_fd(), busy.as_fd()], None).unwrap();
    assert!(!wake.ready(0) && wake.ready(1) && !wake.error(1) && wake.signal.is_none());
    assert!(!wake.ready(40) && !wake.error(usize::MAX), "no such descriptor");
}

#[test]
fn a_hangup_wakes_the_reader() {
    let mut poll = Poll::new().unwrap();
    let (writer, reader) = UnixStream::pair().unwrap();
    drop(writer);
    assert!(poll.wait(&[reader.as_fd()], soon()).unwrap().ready(0));
}

#[test]
fn who_never_has_to_wait_rests_now_and_then() {
    let rests = || -> u64 {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        line.trim().parse().unwrap()
    };
    let mut poll = Poll::new().unwrap();
    let (mut writer, busy) = UnixStream::pair().unwrap();
    writer.write_all(b"x").unwrap();
    let (before, begun) = (rests(), raw_now());
    while rests() == before {
        assert!(poll.wait(&[busy.as_fd()], None).unwrap().ready(0));
        assert!(raw_now() - begun < Duration::from_secs(30), "it never rests");
    }
    assert!(raw_now() - begun > Duration::from_ms(500), "it rests too often");
}

#[test]
fn each_signal_arrives_once_and_by_its_name() {
    let mut poll = Poll::new().unwrap();
    for signal in [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT] {
        // To this thread alone: a signal to the process would end the other tests.
        nix::sys::signal::raise(signal).unwrap();
        assert_eq!(poll.wait(&[], soon()).unwrap().signal, Some(signal));
        assert_eq!(poll.wait(&[], soon()).unwrap(), Wake::default());
    }
}

#[test]
fn more_descriptors_than_provided_for_are_refused() {
    let mut poll = Poll::new().unwrap();
    let (_writer, reader) = UnixStream::pair().unwrap();
    assert_eq!(poll.wait(&[reader.as_fd(); MAX_FDS + 1], soon()), Err(PollError::TooMany(MAX_FDS + 1)));
    assert_eq!(poll.wait(&[reader.as_fd(); MAX_FDS], soon()).unwrap(), Wake::default());
}
