use super::*;
use crate::sandbox::{is_root, unprivileged, with_umask};
use crate::scratch::Scratch;
use dante_core::time::Ratio;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;

struct Place(Scratch);

impl Place {
    fn new() -> Self {
        Self(Scratch::new())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.0.join(name)
    }

    fn server(&self) -> ClockServer {
        ClockServer::open(at(0), self.path("clock"), 0o666)
    }

    /// A client that has sent its registration.
    fn client(&self, name: &str) -> UnixDatagram {
        let client = UnixDatagram::bind(self.path(name)).unwrap();
        client.set_nonblocking(true).unwrap();
        client.connect(self.path("clock")).unwrap();
        client.send(&[]).unwrap();
        client
    }
}

const OVERLAY: Overlay = Overlay {
    last_sync: Timestamp::from_ns(123_456_789_012),
    shift: Duration::from_ns(-23_000_000_001),
    freq_scale: Ratio::new(12_345.6e-9),
};

fn at(ms: i64) -> Timestamp<Raw> {
    Timestamp::from_ns(ms * 1_000_000)
}

fn received(client: &UnixDatagram) -> Vec<Vec<u8>> {
    let mut bytes = [0; 64];
    std::iter::from_fn(|| client.recv(&mut bytes).ok().map(|length| bytes[..length].to_vec())).collect()
}

#[test]
fn datagram_has_the_documented_layout() {
    let bytes = datagram(&OVERLAY);
    let int = |from: usize| i64::from_ne_bytes(bytes[from..from + 8].try_into().unwrap());
    assert_eq!(&bytes[..2], b"VC");
    let words: Vec<u16> =
        [2, 4, 6].map(|at| u16::from_ne_bytes(bytes[at..at + 2].try_into().unwrap())).into();
    assert_eq!(words, [1, 0, 1], "major, minor, flags");
    assert_eq!([int(8), int(16), int(24)], [4, 123_456_789_012, -23_000_000_001]);
    assert_eq!(f64::from_ne_bytes(bytes[32..].try_into().unwrap()), 12_345.6e-9);
}

#[test]
fn client_gets_an_immediate_reply_and_all_publications() {
    let place = Place::new();
    let mut server = place.server();
    let client = place.client("client");
    server.receive(at(0), None);
    assert_eq!((server.clients(), received(&client).len()), (1, 0), "reply without an overlay");
    server.publish(&OVERLAY);
    assert_eq!(received(&client), [datagram(&OVERLAY)]);
    // A second registration of the same client.
    client.send(&[]).unwrap();
    server.receive(at(0), Some(&OVERLAY));
    assert_eq!((server.clients(), received(&client)), (1, vec![datagram(&OVERLAY).to_vec()]));
    let other = place.client("other");
    server.receive(at(0), Some(&OVERLAY));
    assert_eq!((received(&other).len(), received(&client).len()), (1, 0));
    server.publish(&OVERLAY);
    assert_eq!((received(&other).len(), received(&client).len(), server.sent()), (1, 1, 5));
}

#[test]
fn removes_clients_that_ended_or_do_not_read() {
    let place = Place::new();
    let mut server = place.server();
    let clients = ["one", "two", "three"].map(|name| place.client(name));
    server.receive(at(0), Some(&OVERLAY));
    let [one, two, three] = clients;
    drop(one); // its name stays
    drop(two);
    fs::remove_file(place.path("two")).unwrap();
    server.publish(&OVERLAY);
    assert_eq!((server.clients(), server.lost()), (1, 2));
    // The third client does not read, and its queue becomes full.
    (0..2000).for_each(|_| server.publish(&OVERLAY));
    assert_eq!(server.clients(), 0);
    drop(three);
}

#[test]
fn number_of_clients_is_limited() {
    let place = Place::new();
    let mut server = place.server();
    let clients: Vec<UnixDatagram> = (0..MAX_CLIENTS + 3)
        .map(|n| {
            let client = place.client(&n.to_string());
            server.receive(at(0), Some(&OVERLAY));
            client
        })
        .collect();
    assert_eq!(server.clients(), MAX_CLIENTS);
    assert_eq!(server.diagnostics().len(), 3);
    let answered = clients.iter().filter(|client| !received(client).is_empty()).count();
    assert_eq!(answered, MAX_CLIENTS);
}

#[test]
fn socket_has_the_requested_mode_with_any_umask() {
    let place = Place::new();
    for (umask, mode) in
        [0, 0o077].into_iter().flat_map(|umask| [0o600, 0o660, 0o666].map(|mode| (umask, mode)))
    {
        with_umask(umask, || {
            let server = ClockServer::open(at(0), place.path("clock"), mode);
            let found = fs::metadata(place.path("clock")).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode, "{found:o}, umask {umask:o}");
            drop(server);
            assert!(!place.path("clock").exists(), "the socket was not removed");
        });
    }
}

#[test]
fn replaces_stale_socket_of_its_user_only() {
    let place = Place::new();
    drop(UnixDatagram::bind(place.path("clock")).unwrap());
    let mut server = place.server();
    assert!(server.is_ready(), "stale socket");
    // A second server has to wait, and the first one keeps its clients.
    let mut second = place.server();
    assert!(!second.is_ready());
    assert!(second.diagnostics()[0].text.contains("another program uses"));
    let client = place.client("client");
    server.receive(at(0), Some(&OVERLAY));
    assert_eq!(received(&client).len(), 1, "the check for a running server must not register a client");
    assert_eq!(server.clients(), 1);
    drop(server);
    second.check(at(1000));
    assert!(second.is_ready(), "the name is free");

    let open = |name: &str| ClockServer::open(at(0), place.path(name), 0o666);
    fs::write(place.path("file"), "mine").unwrap();
    let mut server = open("file");
    let diagnostics = server.diagnostics();
    assert!(!server.is_ready() && diagnostics[0].text.contains("not a socket"), "{diagnostics:?}");
    assert_eq!(fs::read_to_string(place.path("file")).unwrap(), "mine");
    std::os::unix::fs::symlink(place.path("clock"), place.path("link")).unwrap();
    assert!(!open("link").is_ready() && place.path("link").is_symlink());
}

#[test]
fn name_occupied_by_another_user_is_taken_once_it_is_free() {
    if !is_root("becomes another user") {
        return;
    }
    let place = Place::new();
    fs::set_permissions(&place.0.0, fs::Permissions::from_mode(0o777)).unwrap();
    let planted = unprivileged(|| UnixDatagram::bind(place.path("clock")).unwrap());
    let mut server = place.server();
    for second in 1..5 {
        server.check(at(second * 1000));
    }
    assert!(!server.is_ready() && place.path("clock").exists());
    let diagnostics = server.diagnostics();
    assert_eq!(diagnostics.len(), 5, "one attempt a second");
    assert!(
        diagnostics.iter().all(|one| one.kind == "in the way" && one.text.contains("user 65534")),
        "{diagnostics:?}"
    );
    unprivileged(|| fs::remove_file(place.path("clock")).unwrap());
    drop(planted);
    server.check(at(5000));
    assert!(server.is_ready());
}

#[test]
fn creates_the_socket_once_its_directory_exists_and_after_its_removal() {
    let place = Place::new();
    let path = place.path("later").join("clock");
    let mut server = ClockServer::open(at(0), path.clone(), 0o666);
    assert!(!server.is_ready());
    let diagnostics = server.diagnostics();
    assert!(
        diagnostics.len() == 1 && diagnostics[0].text.contains("directory of the socket does not exist"),
        "{diagnostics:?}"
    );
    fs::create_dir(place.path("later")).unwrap();
    server.check(at(999));
    assert!(!server.is_ready(), "tried again within a second");
    server.check(at(1000));
    assert!(server.is_ready() && path.exists());

    fs::remove_file(&path).unwrap();
    server.check(at(1500));
    server.check(at(2000));
    assert!(server.is_ready() && path.exists());
    assert_eq!(server.recreated(), 1);
    // A socket of another program in its place stays, also after the drop.
    fs::remove_file(&path).unwrap();
    let other = UnixDatagram::bind(&path).unwrap();
    server.check(at(3000));
    assert!(!server.is_ready());
    drop(server);
    assert!(path.exists());
    drop(other);
}

/// Binds `count` sockets as user `nobody`, and registers each with the server.
fn register_as_nobody(place: &Place, server: &mut ClockServer, count: usize) -> Vec<UnixDatagram> {
    fs::set_permissions(&place.0.0, fs::Permissions::from_mode(0o777)).unwrap();
    let clients = unprivileged(|| {
        (0..count)
            .map(|n| {
                let client = UnixDatagram::bind(place.path(&format!("nobody-{n}"))).unwrap();
                fs::set_permissions(place.path(&format!("nobody-{n}")), fs::Permissions::from_mode(0o666))
                    .unwrap();
                client.set_nonblocking(true).unwrap();
                client.connect(place.path("clock")).unwrap();
                client
            })
            .collect::<Vec<_>>()
    });
    for client in &clients {
        unprivileged(|| client.send(&[]).unwrap());
        server.receive(at(0), Some(&OVERLAY));
    }
    clients
}

#[test]
fn clients_of_one_user_do_not_exclude_another_user() {
    if !is_root("becomes another user") {
        return;
    }
    let place = Place::new();
    let mut server = place.server();
    let crowd = register_as_nobody(&place, &mut server, MAX_CLIENTS);
    assert_eq!((server.clients(), server.diagnostics().len()), (MAX_CLIENTS, 0));
    let client = place.client("root");
    server.receive(at(0), Some(&OVERLAY));
    assert_eq!(received(&client), [datagram(&OVERLAY)], "a client of another user was rejected");
    assert_eq!((server.clients(), server.rejected()), (MAX_CLIENTS, 1));
    let diagnostics = server.diagnostics();
    assert!(
        diagnostics.len() == 1 && diagnostics[0].text.contains("newest client of user 65534"),
        "{diagnostics:?}"
    );
    // The newest client of that user lost its place, and does not get it back.
    crowd.iter().for_each(|client| drop(received(client)));
    server.publish(&OVERLAY);
    let served: Vec<bool> = crowd.iter().map(|client| !received(client).is_empty()).collect();
    assert!(served[..MAX_CLIENTS - 1].iter().all(|served| *served) && !served[MAX_CLIENTS - 1]);
    unprivileged(|| crowd[MAX_CLIENTS - 1].send(&[]).unwrap());
    server.receive(at(0), Some(&OVERLAY));
    assert_eq!((server.rejected(), received(&client).len()), (2, 1));
}

#[test]
fn registration_with_descriptors_opens_none_of_them() {
    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
    use std::os::fd::AsRawFd;
    let place = Place::new();
    let mut server = place.server();
    let client = UnixDatagram::bind(place.path("client")).unwrap();
    client.connect(place.path("clock")).unwrap();
    let file = fs::File::create(place.path("sent")).unwrap();
    let sent = [file.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&sent)];
    sendmsg::<()>(client.as_raw_fd(), &[], &rights, MsgFlags::empty(), None).unwrap();
    server.receive(at(0), Some(&OVERLAY));
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let copies = descriptors.filter(|one| fs::read_link(one.path()).is_ok_and(|to| to == place.path("sent")));
    assert_eq!(copies.count(), 1, "the descriptor that a client sent stayed open");
    // The next client is served.
    let other = place.client("other");
    server.receive(at(0), Some(&OVERLAY));
    assert_eq!(received(&other).len(), 1);
}

#[test]
fn flood_of_registrations_is_received_in_batches_with_rests() {
    let place = Place::new();
    let mut server = place.server();
    let client = place.client("client");
    let end = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !end.load(std::sync::atomic::Ordering::Relaxed) {
                _ = client.send(&[]);
            }
        });
        let mut batches = 0;
        for ms in 0..100_000 {
            server.receive(at(ms), None);
            batches += i32::from(server.fd().is_none());
            if server.fd().is_none() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        end.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(batches, 1, "registrations were received without a limit");
        let until = server.deadline().unwrap();
        server.receive(until - Duration::from_ns(1), None);
        assert!(server.fd().is_none(), "no rest");
        server.receive(until, None);
        assert!(server.deadline() != Some(until));
    });
}

#[test]
fn client_that_never_reads_costs_a_bounded_number_of_datagrams() {
    let place = Place::new();
    let mut server = place.server();
    let client = place.client("client");
    (0..2000).for_each(|_| {
        server.receive(at(0), Some(&OVERLAY));
        server.publish(&OVERLAY);
    });
    assert_eq!(server.clients(), 0);
    let lost = server.lost();
    assert!(lost <= u64::from(MAX_FAILURES), "{lost}");
    // It registers again with a full queue: one datagram for each registration.
    for n in 1..=10 {
        client.send(&[]).unwrap();
        server.receive(at(0), Some(&OVERLAY));
        (0..10).for_each(|_| server.publish(&OVERLAY));
        assert_eq!((server.clients(), server.lost()), (0, lost + n));
    }
}

#[test]
fn names_of_clients_are_escaped_and_do_not_change_the_kind_of_a_diagnostic() {
    if !is_root("becomes another user") {
        return;
    }
    let place = Place::new();
    fs::set_permissions(&place.0.0, fs::Permissions::from_mode(0o777)).unwrap();
    let mut server = place.server();
    for n in 0..20 {
        let name = format!("\x1b[2J\n{n}{}", "x".repeat(60));
        let client = UnixDatagram::bind(place.path(&name)).unwrap();
        fs::set_permissions(place.path(&name), fs::Permissions::from_mode(0o600)).unwrap();
        client.connect(place.path("clock")).unwrap();
        client.send(&[]).unwrap();
        // The server is another user than the clients, which did not permit it to send to them.
        unprivileged(|| server.receive(at(0), Some(&OVERLAY)));
    }
    let diagnostics = server.diagnostics();
    assert_eq!(diagnostics.len(), 20, "{diagnostics:?}");
    for one in diagnostics {
        assert_eq!(one.kind, "denied");
        assert!(!one.text.contains(char::is_control) && one.text.contains("..."), "{}", one.text);
    }
}

/// The kernel sends to a connected socket only from its peer, which is gone.
#[test]
fn client_connected_to_an_earlier_socket_has_to_register_again() {
    let place = Place::new();
    let mut server = place.server();
    let client = place.client("client");
    server.receive(at(0), Some(&OVERLAY));
    fs::remove_file(place.path("clock")).unwrap();
    server.check(at(2000));
    server.diagnostics();
    server.publish(&OVERLAY);
    let [one] = &server.diagnostics()[..] else { panic!("one diagnostic") };
    assert_eq!(one.kind, "connected");
    assert!(one.text.contains("register again") && !one.text.contains("umask"), "{}", one.text);
    assert_eq!(server.clients(), 0);
    client.connect(place.path("clock")).unwrap();
    client.send(&[]).unwrap();
    server.receive(at(2000), Some(&OVERLAY));
    // Connecting again empties the queue of the client.
    assert_eq!((server.clients(), received(&client).len()), (1, 1));
}
