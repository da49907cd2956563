use super::*;
use crate::sandbox::unprivileged;
use crate::scratch::Scratch;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;

fn path(directory: &Scratch) -> PathBuf {
    directory.0.join("chrony.dante.sock")
}

/// Creates the socket as chronyd does when it starts.
fn bind(directory: &Scratch) -> UnixDatagram {
    _ = std::fs::remove_file(path(directory));
    let socket = UnixDatagram::bind(path(directory)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

fn sample(ahead_ns: i64) -> RefclockSample {
    let received = Timestamp::from_ns(1_795_000_000_123_456_789);
    RefclockSample { reference: received + Duration::from_ns(ahead_ns), received }
}

fn at(ms: i64) -> Timestamp<Raw> {
    Timestamp::from_ns(ms * 1_000_000)
}

/// The reference time as chronyd computes it, ns; an integer, as an f64 has too few digits.
fn reference_of(bytes: &[u8]) -> i128 {
    let eight = |from: usize| bytes[from..from + 8].try_into().unwrap();
    let int = |from: usize| i32::from_ne_bytes(bytes[from..from + 4].try_into().unwrap());
    assert_eq!(bytes.len(), 40);
    assert_eq!([int(24), int(28), int(36)], [0, 0, 0x534f_434b], "pulse, leap, magic");
    let (s, us) = (i64::from_ne_bytes(eight(0)), i64::from_ne_bytes(eight(8)));
    assert!((0..1_000_000).contains(&us));
    let offset = f64::from_ne_bytes(eight(16));
    #[expect(clippy::cast_possible_truncation, reason = "a small offset")]
    let offset_ns = (offset * 1e9).round() as i128;
    i128::from(s) * 1_000_000_000 + i128::from(us) * 1000 + offset_ns
}

#[test]
fn datagram_has_the_layout_of_chronyd() {
    for ahead in [0, 1, -1, 250_000, -999_999_999, 37_000_000_000] {
        let sample = sample(ahead);
        let cut = sample.received.ns() % 1000;
        let reference = reference_of(&datagram(&sample));
        // chronyd adds the offset to the truncated local time: the reference is earlier by the truncated part.
        assert_eq!(reference, i128::from(sample.reference.ns() - cut), "{ahead}");
    }
    // The us are positive for times before 1970 too.
    let early = Timestamp::from_ns(-1);
    assert_eq!(reference_of(&datagram(&RefclockSample { reference: early, received: early })), -1000);
}

#[test]
fn reopens_the_socket_after_a_restart_of_chronyd_at_most_once_a_second() {
    let place = Scratch::new();
    let mut sock = ChronySock::new(path(&place));
    let missing = sock.send(at(0), &sample(1)).unwrap_err();
    assert!(missing.to_string().contains("refclock SOCK"), "{missing}");
    let chronyd = bind(&place);
    assert_eq!(sock.send(at(999), &sample(1)), Err(missing), "opened again within a second");
    sock.send(at(1000), &sample(2)).unwrap();
    sock.send(at(1250), &sample(3)).unwrap();
    let mut bytes = [0; 64];
    let received: Vec<usize> = std::iter::from_fn(|| chronyd.recv(&mut bytes).ok()).collect();
    assert_eq!(received, [40, 40]);

    // chronyd ends, and its socket file remains.
    drop(chronyd);
    let refused = sock.send(at(3000), &sample(4)).unwrap_err();
    assert!(refused.to_string().contains("chronyd has ended"), "{refused}");
    assert!(sock.connected.is_none());
    let chronyd = bind(&place);
    sock.send(at(4000), &sample(5)).unwrap();
    // A restart between two samples loses none.
    drop(chronyd);
    let chronyd = bind(&place);
    sock.send(at(6000), &sample(6)).unwrap();
    assert_eq!(chronyd.recv(&mut bytes).unwrap(), 40);
}

#[test]
fn sending_never_blocks_when_chronyd_does_not_read() {
    let place = Scratch::new();
    let _chronyd = bind(&place);
    let mut sock = ChronySock::new(path(&place));
    let begun = std::time::Instant::now();
    let lost = (0..4000).filter(|n| sock.send(at(*n), &sample(*n)).is_err()).count();
    assert!(lost > 1000, "only {lost} of 4000 samples lost: is the socket buffer unbounded?");
    assert!(begun.elapsed().as_secs() < 5, "send blocked");
    let full = sock.send(at(10_000), &sample(0)).unwrap_err();
    assert!(full.to_string().contains("full"), "{full}");
}

#[test]
fn error_for_missing_permission_names_the_remedy() {
    let place = Scratch::new();
    let _chronyd = bind(&place);
    let send = |mode| {
        std::fs::set_permissions(path(&place), std::fs::Permissions::from_mode(mode)).unwrap();
        unprivileged(|| ChronySock::new(path(&place)).send(at(0), &sample(0)))
    };
    send(0o666).unwrap();
    let error = send(0o400).unwrap_err();
    assert_eq!(error.fault, Fault::Denied);
    assert!(error.to_string().contains("chgrp"), "{error}");
}

fn count(chronyd: &UnixDatagram) -> usize {
    std::iter::from_fn(|| chronyd.recv(&mut [0; 64]).ok()).count()
}

#[test]
fn moves_to_the_new_socket_while_the_owner_of_the_old_one_still_runs() {
    let place = Scratch::new();
    let old = bind(&place);
    let mut sock = ChronySock::new(path(&place));
    sock.check(at(0));
    assert_eq!(sock.state().delivery, Delivery::Pending, "nothing was sent");
    sock.send(at(0), &sample(1)).unwrap();
    assert_eq!((count(&old), sock.state().delivery), (1, Delivery::Delivered));
    // The name is removed: the program that has the socket open still gets samples, and the log reports it.
    std::fs::remove_file(path(&place)).unwrap();
    sock.check(at(1000));
    assert_eq!(sock.diagnostics(), [], "chronyd may have ended");
    sock.send(at(1000), &sample(2)).unwrap();
    assert_eq!(count(&old), 1);
    sock.check(at(2000));
    assert_eq!(sock.diagnostics().iter().map(|one| one.kind).collect::<Vec<_>>(), ["removed"]);
    let new = bind(&place);
    sock.check(at(2999));
    sock.check(at(3000));
    sock.send(at(3000), &sample(3)).unwrap();
    assert_eq!((count(&old), count(&new)), (0, 1), "samples went to the program that lost its socket's name");
    assert_eq!(sock.state().recreated, 1);
    assert_eq!(sock.diagnostics().iter().map(|one| one.kind).collect::<Vec<_>>(), ["replaced"]);
}

#[test]
fn chronyd_that_ended_is_noticed_within_a_second_without_a_sample() {
    let place = Scratch::new();
    let chronyd = bind(&place);
    let mut sock = ChronySock::new(path(&place));
    sock.check(at(0));
    sock.send(at(0), &sample(1)).unwrap();
    drop(chronyd);
    sock.check(at(1000));
    let state = sock.state();
    assert_eq!((state.is_ready, state.delivery), (false, Delivery::NotAttached));
    assert!(sock.diagnostics()[0].text.contains("chronyd has ended"));
    let _chronyd = bind(&place);
    sock.check(at(2000));
    assert_eq!(sock.state().delivery, Delivery::Delivered);
}

#[test]
fn stopped_chronyd_is_noticed_after_few_samples_and_gets_them_when_it_continues() {
    let place = Scratch::new();
    let chronyd = bind(&place);
    let mut sock = ChronySock::new(path(&place));
    let sent = (0..100).take_while(|n| sock.send(at(n * 250), &sample(*n)).is_ok()).count();
    println!("{sent} datagrams fit into the buffer");
    assert!((3..=30).contains(&sent), "{sent} datagrams until a stopped chronyd is noticed");
    sock.check(at(100_000));
    assert_eq!(sock.state().delivery, Delivery::NotRead);
    assert!(sock.send(at(101_000), &sample(0)).is_err(), "opened again: it would fill the buffer once more");
    assert_eq!(count(&chronyd), sent);
    sock.send(at(102_000), &sample(0)).unwrap();
    assert_eq!((count(&chronyd), sock.state().delivery), (1, Delivery::Delivered));
}
