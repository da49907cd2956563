use super::*;
use crate::denial::Denial;
use crate::sandbox::{is_root, with_umask};
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
        ClockServer::open(self.path("clock"), 0o666).unwrap()
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
    server.receive(None);
    assert_eq!((server.clients(), received(&client).len()), (1, 0), "reply without an overlay");
    server.publish(&OVERLAY);
    assert_eq!(received(&client), [datagram(&OVERLAY)]);
    // A second registration of the same client.
    client.send(&[]).unwrap();
    server.receive(Some(&OVERLAY));
    assert_eq!((server.clients(), received(&client)), (1, vec![datagram(&OVERLAY).to_vec()]));
    let other = place.client("other");
    server.receive(Some(&OVERLAY));
    assert_eq!((received(&other).len(), received(&client).len()), (1, 0));
    server.publish(&OVERLAY);
    assert_eq!((received(&other).len(), received(&client).len(), server.sent()), (1, 1, 5));
}

#[test]
fn removes_clients_that_ended_or_do_not_read() {
    let place = Place::new();
    let mut server = place.server();
    let clients = ["one", "two", "three"].map(|name| place.client(name));
    server.receive(Some(&OVERLAY));
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
            server.receive(Some(&OVERLAY));
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
            let server = ClockServer::open(place.path("clock"), mode).unwrap();
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
    // A second server is refused, and the first one keeps its clients.
    let second = ClockServer::open(place.path("clock"), 0o666).unwrap_err();
    assert!(
        second.denial() == Some(Denial::InUse) && second.to_string().contains("another program uses"),
        "{second}"
    );
    let client = place.client("client");
    server.receive(Some(&OVERLAY));
    assert_eq!(received(&client).len(), 1, "the check for a running server must not register a client");
    assert_eq!(server.clients(), 1);

    fs::write(place.path("file"), "mine").unwrap();
    let error = ClockServer::open(place.path("file"), 0o666).unwrap_err();
    assert!(error.denial() == Some(Denial::InUse) && error.to_string().contains("not a socket"), "{error}");
    assert_eq!(fs::read_to_string(place.path("file")).unwrap(), "mine");
    std::os::unix::fs::symlink(place.path("clock"), place.path("link")).unwrap();
    assert!(
        ClockServer::open(place.path("link"), 0o666)
            .is_err_and(|error| error.denial() == Some(Denial::InUse))
    );

    if is_root("changes the owner of a socket") {
        drop(UnixDatagram::bind(place.path("theirs")).unwrap());
        std::os::unix::fs::lchown(place.path("theirs"), Some(65_534), Some(65_534)).unwrap();
        let error = ClockServer::open(place.path("theirs"), 0o666).unwrap_err();
        assert!(error.to_string().contains("user 65534") && place.path("theirs").exists(), "{error}");
    }
}

#[test]
fn creates_the_socket_once_its_directory_exists_and_after_its_removal() {
    let place = Place::new();
    let path = place.path("later").join("clock");
    let mut server = ClockServer::open(path.clone(), 0o666).unwrap();
    assert!(!server.is_ready());
    let diagnostics = server.diagnostics();
    assert!(diagnostics.len() == 1 && diagnostics[0].contains("No such file"), "{diagnostics:?}");
    server.check(at(0));
    fs::create_dir(place.path("later")).unwrap();
    server.check(at(999));
    assert!(!server.is_ready(), "tried again within a second");
    server.check(at(1000));
    assert!(server.is_ready() && path.exists());

    fs::remove_file(&path).unwrap();
    server.check(at(1500));
    server.check(at(2000));
    assert!(server.is_ready() && path.exists());
    // A socket of another program in its place stays, also after the drop.
    fs::remove_file(&path).unwrap();
    let other = UnixDatagram::bind(&path).unwrap();
    server.check(at(3000));
    assert!(!server.is_ready());
    drop(server);
    assert!(path.exists());
    drop(other);
}
