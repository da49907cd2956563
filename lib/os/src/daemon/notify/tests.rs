use super::*;
use crate::poll::{Fds, Wake};
use crate::sandbox::logged;
use crate::scratch::Scratch;
use std::cell::Cell;
use std::fmt;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// A service that only has a status, and counts the calls of [`Service::status`].
struct Counting {
    status: Cell<u32>,
    calls: Cell<u32>,
}

impl Service for Counting {
    fn fds(&self) -> Fds<'_> {
        Fds::new()
    }

    fn deadline(&self) -> Timestamp<Raw> {
        Timestamp::ZERO
    }

    fn wake(&mut self, _: &Wake) -> Result<(), Failure> {
        Ok(())
    }

    fn status(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        self.calls.set(self.calls.get() + 1);
        write!(to, "status {}", self.status.get())
    }

    fn end(&mut self) {}
}

fn at(ms: i64) -> Timestamp<Raw> {
    Timestamp::ZERO + Duration::from_ms(ms)
}

/// A service manager that does not read by itself.
struct Reader {
    socket: UnixDatagram,
    address: Address,
    _directory: Scratch,
}

impl Reader {
    fn new() -> Self {
        let directory = Scratch::new();
        let path = directory.0.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, address: Address(path.into()), _directory: directory }
    }

    /// The notifications received since the last call; line breaks within one are commas.
    fn received(&self) -> Vec<String> {
        let mut bytes = [0; 512];
        let received = std::iter::from_fn(|| self.socket.recv(&mut bytes).ok().map(|n| bytes[..n].to_vec()));
        received.map(|bytes| String::from_utf8(bytes).unwrap().trim_end().replace('\n', ", ")).collect()
    }

    /// Fills the socket's queue, and returns the number of datagrams.
    fn fill(&self) -> usize {
        std::iter::repeat_with(|| self.address.send(&[NotifyState::Custom("FILL=1")]))
            .take_while(Result::is_ok)
            .count()
    }

    fn manager(&self, watchdog: Option<i64>) -> Manager {
        Manager::new(at(0), Some(Address(self.address.0.clone())), watchdog.map(Duration::from_ms))
    }
}

fn service() -> Counting {
    Counting { status: Cell::new(0), calls: Cell::new(0) }
}

#[test]
fn sends_changed_status_at_most_once_a_second() {
    let (service, reader) = (service(), Reader::new());
    let mut manager = reader.manager(None);
    let mut sent = Vec::new();
    for ms in (0..10_000).step_by(250) {
        // Changes for 5 s, then stays the same.
        service.status.set(u32::try_from(ms.min(5_000)).unwrap());
        manager.update(at(ms), &service);
        sent.extend(reader.received().into_iter().map(|line| (ms, line)));
    }
    let expected: Vec<_> = (0..=5_000).step_by(1_000).map(|ms| (ms, format!("STATUS=status {ms}"))).collect();
    assert_eq!(sent, expected);
}

#[test]
fn no_status_and_no_wake_up_without_a_service_manager() {
    let service = service();
    let mut manager = Manager::new(at(0), None, None);
    manager.ready(at(0), &service);
    manager.update(at(5_000), &service);
    assert_eq!((service.calls.get(), manager.tried_at), (0, None));
    assert_eq!(manager.deadline(at(9_000)), at(9_000));
}

#[test]
fn watchdog_notifications_are_sent_in_time_and_not_repeated_after_a_stall() {
    let (service, reader) = (service(), Reader::new());
    let mut manager = reader.manager(Some(500));
    assert_eq!(manager.deadline(at(9_000)), at(500));
    assert_eq!(manager.deadline(at(400)), at(400));
    manager.update(at(400), &service);
    assert_eq!(manager.deadline(at(9_000)), at(500), "sent before it was due");
    manager.update(at(510), &service);
    assert_eq!(manager.deadline(at(9_000)), at(1_010));
    // A stall of some seconds.
    manager.update(at(5_000), &service);
    assert_eq!(manager.deadline(at(9_000)), at(5_500));
    assert_eq!(reader.received(), ["STATUS=status 0", "WATCHDOG=1", "WATCHDOG=1"]);
}

/// The service manager does not read, and its queue is full: no call blocks, and what must arrive is sent again.
#[test]
fn notifications_to_a_full_socket_are_sent_again_within_a_second() {
    let (service, reader) = (service(), Reader::new());
    let mut manager = reader.manager(Some(700));
    let filled = reader.fill();
    let lines = logged(|| {
        manager.ready(at(0), &service);
        assert_eq!(manager.deadline(at(9_000)), at(500));
        manager.update(at(500), &service);
        manager.update(at(700), &service);
        manager.update(at(1_000), &service);
    });
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(line.starts_with("WARN cannot notify the service manager (NOTIFY_SOCKET /"), "{line}");
    assert_eq!(reader.received().len(), filled);
    assert_eq!(manager.deadline(at(9_000)), at(1_400), "the next watchdog notification");
    manager.update(at(1_400), &service);
    manager.update(at(1_500), &service);
    manager.update(at(2_000), &service);
    assert_eq!(reader.received(), ["READY=1, WATCHDOG=1", "STATUS=status 0"]);
    assert_eq!(manager.deadline(at(9_000)), at(2_100));
}

#[test]
fn failures_that_alternate_with_successes_are_logged_once_a_minute() {
    let reader = Reader::new();
    let mut manager = reader.manager(None);
    let lines = logged(|| {
        for s in 0..60 {
            reader.fill();
            assert!(!manager.notify(at(s * 1_000), &[NotifyState::Watchdog]));
            reader.received();
            assert!(manager.notify(at(s * 1_000), &[NotifyState::Watchdog]));
        }
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[test]
fn abstract_address_is_used() {
    let name = format!("dante-os-notify-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    Address(format!("@{name}").into()).send(&[NotifyState::Ready]).unwrap();
    let mut bytes = [0; 16];
    let length = socket.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..length], b"READY=1\n");
}

/// A name with a line break would begin another assignment.
#[test]
fn status_stays_one_assignment() {
    struct Hostile;
    impl Service for Hostile {
        fn fds(&self) -> Fds<'_> {
            Fds::new()
        }
        fn deadline(&self) -> Timestamp<Raw> {
            Timestamp::ZERO
        }
        fn wake(&mut self, _: &Wake) -> Result<(), Failure> {
            Ok(())
        }
        fn status(&self, to: &mut dyn fmt::Write) -> fmt::Result {
            to.write_str("disk full\nMAINPID=1\t\u{1b}[31m")
        }
        fn end(&mut self) {}
    }
    let reader = Reader::new();
    reader.manager(None).update(at(0), &Hostile);
    assert_eq!(reader.received(), [r"STATUS=disk full\nMAINPID=1\t\u{1b}[31m"]);
}
