//! Tests on `lo`, with unprivileged ports. As root each has a `lo` of its own; without root they share that of the host.

use super::*;
use crate::clock::{raw_now, read_realtime};
use crate::denial::{Denial, Denied};
use crate::poll::{Poll, Wake};
use crate::sandbox::{in_network_namespace, ip, unprivileged, veth};
use dante_core::time::{Duration, Reading};
use socket2::{Domain, Type};
use std::net::UdpSocket;

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 1, 129);

fn lo() -> Interface {
    Interface::find(&"lo".into()).unwrap()
}

/// Maximum time to wait for a packet or a timestamp, also on a busy machine.
const WAIT: Duration = Duration::from_secs(20);

/// Runs `test` where no other program and no other test sends packets, if the tests run as root.
fn on_lo(test: impl FnOnce() + Send) {
    match nix::unistd::geteuid().is_root() {
        true => in_network_namespace(test),
        false => test(),
    }
}

/// A port that is reserved until the tests end: the kernel chooses it for no other socket, and only sockets with SO_REUSEADDR can
/// be bound to it.
fn free_port() -> u16 {
    let reservation = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    reservation.bind(&SockAddr::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))).unwrap();
    // Set after bind: otherwise another copy of these tests could reserve the same port.
    reservation.set_reuse_address(true).unwrap();
    let port = reservation.local_addr().unwrap().as_socket_ipv4().unwrap().port();
    std::mem::forget(reservation);
    port
}

fn event(port: u16) -> PtpSocket {
    PtpSocket::open(&lo(), GROUP, port, Channel::Event, TimestampSource::Software).unwrap()
}

fn sender(channel: Channel) -> PtpSocket {
    PtpSocket::sender(&lo(), channel).unwrap()
}

/// A receiver of the event channel, a sender of this channel, and the receiver's group and port.
fn pair(channel: Channel) -> (PtpSocket, PtpSocket, SocketAddrV4) {
    let port = free_port();
    (event(port), sender(channel), SocketAddrV4::new(GROUP, port))
}

fn wait(socket: &PtpSocket) -> Wake {
    let deadline = raw_now() + WAIT;
    Poll::new().unwrap().wait(&[socket.as_fd()], Some(deadline)).unwrap()
}

/// Waits for this number of packets. Returns them, and those that follow until 50 ms of silence.
fn at_least(count: usize, socket: &mut PtpSocket) -> Vec<Vec<u8>> {
    let deadline = raw_now() + WAIT;
    let mut found = all(socket);
    while found.len() < count && raw_now() < deadline {
        found.append(&mut all(socket));
    }
    found
}

/// Returns everything that arrives until 50 ms of silence.
fn all(socket: &mut PtpSocket) -> Vec<Vec<u8>> {
    let mut poll = Poll::new().unwrap();
    let (mut found, mut buffer) = (Vec::new(), [0; 64]);
    let end = raw_now() + WAIT;
    loop {
        assert!(raw_now() < end, "no silence within {WAIT:?}");
        let deadline = raw_now() + Duration::from_ms(50);
        let wake = poll.wait(&[socket.as_fd()], Some(deadline)).unwrap();
        while socket.transmit_timestamp().unwrap().is_some() {}
        while let Some(received) = socket.receive(&mut buffer).unwrap() {
            found.push(received.bytes.to_vec());
        }
        if wake == Wake::default() {
            return found;
        }
    }
}

/// Whether the timestamp is between two readings of CLOCK_REALTIME; `None` if the clock was stepped between them.
fn is_between(before: Reading, timestamp: Timestamp<Real>, after: Reading) -> Option<bool> {
    let elapsed = after.raw - before.raw;
    let moved = (after.real - before.real) - elapsed;
    let tolerance = elapsed / 1_000 + before.width + after.width + Duration::from_us(1);
    (moved.abs() <= tolerance).then(|| before.real <= timestamp && timestamp <= after.real)
}

/// Sends packets until one is received with a timestamp: the kernel enables timestamps with some delay, so the first packets may
/// have none. Checks that it is of CLOCK_REALTIME between sending and receiving. Returns it and the packet's key.
fn first_timestamped(
    sender: &mut PtpSocket,
    receiver: &mut PtpSocket,
    to: SocketAddrV4,
) -> (Timestamp<Real>, u32) {
    let mut buffer = [0; 64];
    let begun = raw_now();
    while raw_now() - begun < WAIT {
        let before = read_realtime();
        let key = sender.send(b"sync", to).unwrap();
        assert!(wait(receiver).ready(0), "no packet within {WAIT:?}");
        let received = receiver.receive(&mut buffer).unwrap().unwrap();
        assert_eq!(received.bytes, b"sync");
        assert_eq!(
            Some(received.source.port()),
            sender.socket.local_addr().unwrap().as_socket().map(|at| at.port())
        );
        if let Some(timestamp) = received.timestamp {
            let after = read_realtime();
            match is_between(before, timestamp, after) {
                Some(true) => return (timestamp, key),
                Some(false) => panic!("{before:?} {timestamp:?} {after:?}"),
                // The clock was stepped: the next packet decides.
                None => {}
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("no packet with a timestamp within {WAIT:?}");
}

#[test]
fn every_member_on_lo_receives_multicast_exactly_once() {
    on_lo(|| {
        let port = free_port();
        let (mut one, mut two) = (event(port), event(port));
        let mut sender = sender(Channel::Event);
        for looped in [true, false] {
            sender.socket.set_multicast_loop_v4(looped).unwrap();
            sender.send(b"one", SocketAddrV4::new(GROUP, port)).unwrap();
            one.send(b"two", SocketAddrV4::new(GROUP, port)).unwrap();
            let expected = [b"one".to_vec(), b"two".to_vec()];
            assert_eq!(at_least(2, &mut one), expected, "loop {looped}");
            assert_eq!(at_least(2, &mut two), expected, "loop {looped}");
        }
    });
}

#[test]
fn ignores_another_group_on_the_same_port() {
    on_lo(|| {
        let port = free_port();
        let mut ours = event(port);
        let other = Ipv4Addr::new(224, 0, 1, 130);
        let mut theirs =
            PtpSocket::open(&lo(), other, port, Channel::Event, TimestampSource::Software).unwrap();
        ours.send(b"x", SocketAddrV4::new(other, port)).unwrap();
        assert_eq!(at_least(1, &mut theirs).len(), 1);
        assert_eq!(all(&mut ours).len(), 0);
    });
}

#[test]
fn only_a_datagram_to_an_address_of_this_host_is_unicast() {
    on_lo(|| {
        let port = free_port();
        let (mut receiver, mut sender) = (event(port), sender(Channel::General));
        sender.socket.set_broadcast(true).unwrap();
        let mut buffer = [0; 64];
        for (to, is_unicast) in [
            (GROUP, false),
            (Ipv4Addr::LOCALHOST, true),
            (Ipv4Addr::new(127, 9, 9, 9), true),
            (Ipv4Addr::new(127, 255, 255, 255), false),
            (Ipv4Addr::BROADCAST, false),
        ] {
            sender.send(b"sync", SocketAddrV4::new(to, port)).unwrap();
            assert!(wait(&receiver).ready(0), "no packet to {to} within {WAIT:?}");
            let received = receiver.receive(&mut buffer).unwrap().unwrap();
            assert_eq!((received.bytes, received.is_unicast), (&b"sync"[..], is_unicast), "{to}");
        }
    });
}

#[test]
fn receive_timestamps_are_of_clock_realtime() {
    on_lo(|| {
        let (mut receiver, mut sender, to) = pair(Channel::Event);
        first_timestamped(&mut sender, &mut receiver, to);
    });
}

#[test]
fn transmit_timestamp_has_the_key_of_its_packet() {
    on_lo(|| {
        let (mut receiver, mut sender, to) = pair(Channel::Event);
        assert_eq!(sender.timestamp_source().to_string(), "software");
        assert_eq!(sender.transmit_timestamp().unwrap(), None);
        for expected in 0..5 {
            let before = read_realtime();
            assert_eq!(sender.send(b"sync", to).unwrap(), expected);
            assert!(wait(&sender).error(0), "a timestamp on the error queue must wake the poll");
            let sent = sender.transmit_timestamp().unwrap().unwrap();
            assert_eq!(sent.key, expected);
            assert_ne!(is_between(before, sent.timestamp, read_realtime()), Some(false), "{sent:?}");
            assert_eq!(sender.transmit_timestamp().unwrap(), None, "second timestamp of one packet");
        }
        at_least(5, &mut receiver);
        let (received, key) = first_timestamped(&mut sender, &mut receiver, to);
        let sent =
            std::iter::from_fn(|| sender.transmit_timestamp().unwrap()).find(|sent| sent.key == key).unwrap();
        let is_close = sent.timestamp <= received && received - sent.timestamp < Duration::from_secs(1);
        assert!(is_close, "{sent:?} {received:?}");
    });
}

#[test]
fn keys_stay_correct_after_a_failed_send() {
    on_lo(|| {
        let port = free_port();
        let mut sender = sender(Channel::Event);
        let to = SocketAddrV4::new(GROUP, port);
        assert_eq!(sender.send(b"0", to).unwrap(), 0);
        assert_eq!(sender.send(b"1", to).unwrap(), 1);
        let error = sender.send(&[0; 70_000], to).unwrap_err();
        assert!(error.to_string().contains("224.0.1.129"), "{error}");
        assert!(error.denial().is_none());
        assert_eq!(sender.send(b"2", to).unwrap(), 2);
        assert!(wait(&sender).error(0));
        assert_eq!(sender.transmit_timestamp().unwrap().unwrap().key, 2);
        // Also if the kernel counted a datagram that was not sent.
        sender.socket.send_to(b"uncounted", &SockAddr::from(to)).unwrap();
        sender.send(&[0; 70_000], to).unwrap_err();
        assert_eq!(sender.send(b"3", to).unwrap(), 3);
        assert!(wait(&sender).error(0));
        assert_eq!(sender.transmit_timestamp().unwrap().unwrap().key, 3);
    });
}

#[test]
fn works_with_receive_timestamps_only() {
    on_lo(|| {
        let (mut receiver, mut sender, to) = pair(Channel::Event);
        nix::sys::socket::setsockopt(
            &receiver.socket,
            nix::sys::socket::sockopt::Timestamping,
            &nix::sys::socket::TimestampingFlag::empty(),
        )
        .unwrap();
        options::enable_receive_timestamps(&receiver.socket).unwrap();
        receiver.timestamp_source = TimestampSource::SoftwareNs;
        assert_eq!(receiver.timestamp_source().to_string(), "software-ns");
        first_timestamped(&mut sender, &mut receiver, to);
    });
}

#[test]
fn sending_and_receiving_allocate_no_memory() {
    on_lo(|| {
        let (mut receiver, mut sender, to) = pair(Channel::Event);
        let (mut poll, mut buffer) = (Poll::new().unwrap(), [0; 64]);
        let deadline = Some(raw_now() + WAIT);
        let allocations = allocation_counter::measure(|| {
            sender.send(b"sync", to).unwrap();
            assert!(poll.wait(&[receiver.as_fd()], deadline).unwrap().ready(0));
            assert!(receiver.receive(&mut buffer).unwrap().is_some());
            assert!(poll.wait(&[sender.as_fd()], deadline).unwrap().error(0));
            assert!(sender.transmit_timestamp().unwrap().is_some());
        });
        assert_eq!(allocations.count_total, 0);
    });
}

#[test]
fn truncated_control_messages_lose_only_the_timestamp() {
    on_lo(|| {
        let (mut receiver, mut sender, to) = pair(Channel::Event);
        first_timestamped(&mut sender, &mut receiver, to);
        sender.send(b"sync", to).unwrap();
        assert!(wait(&receiver).ready(0));
        let arrival =
            fetch(&receiver.socket, TimestampSource::Software, &mut [0; 64], &mut receiver.control.0[..24])
                .unwrap();
        assert_eq!((arrival.length, arrival.timestamp), (4, None));
    });
}

#[test]
fn packet_longer_than_the_buffer_is_truncated() {
    on_lo(|| {
        let (mut receiver, mut sender, to) = pair(Channel::General);
        sender.send(b"too long", SocketAddrV4::new(Ipv4Addr::LOCALHOST, to.port())).unwrap();
        sender.send(b"", SocketAddrV4::new(Ipv4Addr::LOCALHOST, to.port())).unwrap();
        let mut buffer = [0; 3];
        assert!(wait(&receiver).ready(0));
        let received = receiver.receive(&mut buffer).unwrap().unwrap();
        assert_eq!(received.bytes, b"too");
        assert!(wait(&receiver).ready(0));
        let received = receiver.receive(&mut buffer).unwrap().unwrap();
        assert_eq!(received.bytes, b"");
        assert_eq!(receiver.receive(&mut buffer).unwrap(), None);
    });
}

#[test]
fn general_channel_has_no_timestamps() {
    on_lo(|| {
        let mut sender = sender(Channel::General);
        assert_eq!(sender.timestamp_source(), TimestampSource::None);
        sender.send(b"x", SocketAddrV4::new(GROUP, free_port())).unwrap();
        assert_eq!(sender.transmit_timestamp().unwrap(), None);
    });
}

#[test]
fn packets_have_the_dscp_and_the_ttl_of_dante_devices() {
    for (channel, tos) in [(Channel::Event, 224), (Channel::General, 184)] {
        let socket = PtpSocket::sender(&lo(), channel).unwrap().socket;
        assert_eq!(socket.tos_v4().unwrap(), tos);
        assert_eq!((socket.multicast_ttl_v4().unwrap(), socket.ttl_v4().unwrap()), (1, 1));
        assert_eq!(socket.device().unwrap().unwrap(), b"lo");
        assert!(socket.nonblocking().unwrap());
        let descriptor = nix::fcntl::fcntl(&socket, nix::fcntl::FcntlArg::F_GETFD).unwrap();
        assert_eq!(descriptor & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
    }
}

#[test]
fn counts_packets_dropped_by_a_full_socket() {
    on_lo(|| {
        let port = free_port();
        let mut receiver = event(port);
        receiver.socket.set_recv_buffer_size(1).unwrap();
        let mut sender = sender(Channel::General);
        for _ in 0..100 {
            sender.send(&[0; 64], SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).unwrap();
        }
        let kept = all(&mut receiver).len();
        assert!((1..100).contains(&kept), "received {kept} of 100");
        sender.send(&[0; 64], SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).unwrap();
        assert_eq!(at_least(1, &mut receiver).len(), 1);
        assert_eq!(usize::try_from(receiver.dropped()).unwrap(), 100 - kept);
    });
}

#[test]
fn error_for_a_port_in_use_names_the_remedy() {
    let other = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = other.local_addr().unwrap().port();
    let error = PtpSocket::open(&lo(), GROUP, port, Channel::General, TimestampSource::Software).unwrap_err();
    assert!(error.denial() == Some(Denial::InUse), "{error:?}");
    assert!(error.to_string().contains("another UDP port for general messages"), "{error}");
}

/// The kernel accepts a request for hardware timestamps on any interface, and then packets have none.
#[test]
fn falls_back_to_software_if_the_card_takes_no_timestamps() {
    on_lo(|| {
        let port = free_port();
        let to = SocketAddrV4::new(GROUP, port);
        let mut socket =
            PtpSocket::open(&lo(), GROUP, port, Channel::Event, TimestampSource::Hardware).unwrap();
        assert_eq!(socket.timestamp_source(), TimestampSource::Hardware);
        // Software timestamps are enabled for the whole host, but must not be taken for hardware timestamps.
        let mut sender = sender(Channel::Event);
        let mut software = event(port);
        first_timestamped(&mut sender, &mut software, to);
        let mut buffer = [0; 64];
        assert!(wait(&socket).ready(0), "received none of the packets that another socket got");
        while let Some(received) = socket.receive(&mut buffer).unwrap() {
            assert_eq!(received.timestamp, None);
        }
        socket.send(b"sync", to).unwrap();
        assert_eq!(socket.transmit_timestamp().unwrap(), None);
        assert_eq!(at_least(1, &mut socket), [b"sync"]);

        socket.use_software_timestamps().unwrap();
        assert_eq!(socket.timestamp_source(), TimestampSource::Software);
        first_timestamped(&mut sender, &mut socket, to);
        let key = socket.send(b"sync", to).unwrap();
        assert_eq!(key, 1, "keys must continue");
        assert!(wait(&socket).error(0));
        assert_eq!(socket.transmit_timestamp().unwrap().unwrap().key, key);
    });
}

#[test]
fn receives_nothing_from_a_group_between_leave_and_join() {
    on_lo(|| {
        let port = free_port();
        let mut socket = event(port);
        let mut sender = sender(Channel::General);
        for (joined, received) in [(true, 1), (false, 0), (true, 1)] {
            socket.leave();
            if joined {
                socket.join().unwrap();
            }
            sender.send(b"x", SocketAddrV4::new(GROUP, port)).unwrap();
            assert_eq!(at_least(received, &mut socket).len(), received, "joined {joined}");
        }
        assert!(matches!(socket.join(), Err(SocketError::Join { .. })), "joined twice");
    });
}

/// 300 followers that each send a request a second: the packets of a stall of 2 s. With CAP_NET_ADMIN the kernel grants the buffer for
/// them, else as much as net.core.rmem_max permits; the socket reports how many packets that is.
#[test]
fn receive_buffer_holds_two_seconds_of_requests_of_300_followers() {
    let (mut receiver, mut sender, to) = pair(Channel::General);
    let (requested, granted) = receiver.buffered_packets().unwrap();
    assert_eq!(requested, 600);
    assert!(granted >= 600 || !nix::unistd::Uid::effective().is_root(), "{granted} packets as root");
    for _ in 0..600 {
        sender.send(&[0; 124], SocketAddrV4::new(Ipv4Addr::LOCALHOST, to.port())).unwrap();
    }
    let kept = all(&mut receiver).len();
    println!("received {kept} of 600, buffer for at least {granted}");
    assert!(kept >= granted.min(600) && kept >= 100, "received {kept} of 600, buffer for {granted}");
}

#[test]
fn error_for_a_removed_interface_names_it() {
    let gone = Interface { name: "nosuch0".to_owned(), index: 4_000_000, ..lo() };
    let error =
        PtpSocket::open(&gone, GROUP, free_port(), Channel::Event, TimestampSource::Software).unwrap_err();
    assert!(error.to_string().contains("nosuch0"), "{error}");
}

#[test]
fn error_for_port_319_without_privileges_names_the_capability() {
    in_network_namespace(|| {
        std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "1024").unwrap();
        let open = || PtpSocket::open(&lo(), GROUP, 319, Channel::Event, TimestampSource::Software);
        let error = unprivileged(|| open().unwrap_err());
        assert!(
            error.denial() == Some(Denial::NotPermitted)
                && error.to_string().contains("CAP_NET_BIND_SERVICE"),
            "{error:?}"
        );
        open().unwrap();
    });
}

#[test]
fn both_ends_of_a_veth_have_timestamps_and_the_sender_receives_no_echo() {
    in_network_namespace(|| {
        if !veth() {
            return;
        }
        for line in [
            "addr add 169.254.7.1/32 dev v0",
            "addr add 169.254.7.2/32 dev v1",
            "link set v0 up",
            "link set v1 up",
        ] {
            assert!(ip(line), "ip {line}");
        }
        // Both ends are on one host, which would drop packets with its own source address as spoofed.
        for end in ["v0", "v1"] {
            std::fs::write(format!("/proc/sys/net/ipv4/conf/{end}/accept_local"), "1").unwrap();
            std::fs::write(format!("/proc/sys/net/ipv4/conf/{end}/rp_filter"), "0").unwrap();
        }
        // Packets are lost until the kernel has detected the carrier.
        let deadline = raw_now() + WAIT;
        while !["v0", "v1"].iter().all(|end| Interface::find(&(*end).into()).unwrap().up) {
            assert!(raw_now() < deadline, "no carrier within {WAIT:?}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let (near, far) = (Interface::find(&"v0".into()).unwrap(), Interface::find(&"v1".into()).unwrap());
        let open = |end| PtpSocket::open(end, GROUP, 319, Channel::Event, TimestampSource::Software).unwrap();
        let (mut sender, mut echo, mut receiver) = (open(&near), open(&near), open(&far));
        let (received, key) = first_timestamped(&mut sender, &mut receiver, SocketAddrV4::new(GROUP, 319));
        let sent =
            std::iter::from_fn(|| sender.transmit_timestamp().unwrap()).find(|sent| sent.key == key).unwrap();
        let is_close = sent.timestamp <= received && received - sent.timestamp < Duration::from_secs(1);
        assert!(is_close, "{sent:?} {received:?}");
        assert_eq!(all(&mut echo).len(), 0);
        assert_eq!(all(&mut sender).len(), 0);
        sender.socket.set_multicast_loop_v4(true).unwrap();
        sender.send(b"x", SocketAddrV4::new(GROUP, 319)).unwrap();
        assert_eq!(at_least(1, &mut echo).len(), 1, "no echo with IP_MULTICAST_LOOP on");
    });
}
