//! On `lo`, with ports that need no right: all of this passes without root.

use super::*;
use crate::clock::read_realtime;
use crate::denial::{Denial, Denied};
use crate::poll::Poll;
use crate::scratch::{in_network_namespace, ip, run_as_nobody};
use dante_core::time::Duration;
use std::net::UdpSocket;

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 1, 129);

fn lo() -> Interface {
    Interface::find("lo").unwrap()
}

fn free_port() -> u16 {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap().local_addr().unwrap().port()
}

fn event(port: u16) -> PtpSocket {
    PtpSocket::open(&lo(), GROUP, port, Channel::Event, TimestampSource::Software).unwrap()
}

fn sender(channel: Channel) -> PtpSocket {
    PtpSocket::sender(&lo(), channel).unwrap()
}

/// A receiver of events, a sender of this channel, and the receiver's group and port.
fn pair(channel: Channel) -> (PtpSocket, PtpSocket, SocketAddrV4) {
    let port = free_port();
    (event(port), sender(channel), SocketAddrV4::new(GROUP, port))
}

fn wait(socket: &PtpSocket) -> crate::poll::Wake {
    let deadline = crate::clock::raw_now() + Duration::from_ms(2_000);
    Poll::new().unwrap().wait(&[socket.as_fd()], Some(deadline)).unwrap()
}

/// Everything that arrives within 50 ms of silence.
fn all(socket: &mut PtpSocket) -> Vec<Vec<u8>> {
    let mut poll = Poll::new().unwrap();
    let (mut found, mut buffer) = (Vec::new(), [0; 64]);
    loop {
        let deadline = crate::clock::raw_now() + Duration::from_ms(50);
        let wake = poll.wait(&[socket.as_fd()], Some(deadline)).unwrap();
        while socket.departed().unwrap().is_some() {}
        while let Some(received) = socket.receive(&mut buffer).unwrap() {
            found.push(received.bytes.to_vec());
        }
        if wake == crate::poll::Wake::default() {
            return found;
        }
    }
}

/// The first one that has a stamp: the kernel turns stamping on with some delay, so early packets may have none. It is of the
/// real clock, and of the time between sending and receiving.
fn stamped(sender: &mut PtpSocket, receiver: &mut PtpSocket, to: SocketAddrV4) -> (Timestamp<Real>, u32) {
    let mut buffer = [0; 64];
    for _ in 0..50 {
        let before = read_realtime().real;
        let key = sender.send(b"sync", to).unwrap();
        while !wait(receiver).ready(0) {}
        let received = receiver.receive(&mut buffer).unwrap().unwrap();
        assert_eq!(received.bytes, b"sync");
        assert_eq!(
            Some(received.source.port()),
            sender.socket.local_addr().unwrap().as_socket().map(|at| at.port())
        );
        if let Some(stamp) = received.stamp {
            let after = read_realtime().real;
            assert!(before <= stamp && stamp <= after, "{before:?} {stamp:?} {after:?}");
            return (stamp, key);
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("50 packets without a stamp");
}

#[test]
fn multicast_on_lo_arrives_exactly_once_at_every_member() {
    let port = free_port();
    let (mut one, mut two) = (event(port), event(port));
    let mut sender = sender(Channel::Event);
    for looped in [true, false] {
        sender.socket.set_multicast_loop_v4(looped).unwrap();
        sender.send(b"one", SocketAddrV4::new(GROUP, port)).unwrap();
        one.send(b"two", SocketAddrV4::new(GROUP, port)).unwrap();
        let expected = [b"one".to_vec(), b"two".to_vec()];
        assert_eq!(all(&mut one), expected, "loop {looped}");
        assert_eq!(all(&mut two), expected, "loop {looped}");
    }
}

#[test]
fn another_group_on_the_same_port_is_not_heard() {
    let port = free_port();
    let mut ours = event(port);
    let other = Ipv4Addr::new(224, 0, 1, 130);
    let mut theirs = PtpSocket::open(&lo(), other, port, Channel::Event, TimestampSource::Software).unwrap();
    ours.send(b"x", SocketAddrV4::new(other, port)).unwrap();
    assert_eq!(all(&mut theirs).len(), 1);
    assert_eq!(all(&mut ours).len(), 0);
}

#[test]
fn what_arrives_is_stamped_on_the_real_clock() {
    let (mut receiver, mut sender, to) = pair(Channel::Event);
    stamped(&mut sender, &mut receiver, to);
}

#[test]
fn what_leaves_is_stamped_under_its_own_key() {
    let (mut receiver, mut sender, to) = pair(Channel::Event);
    assert_eq!(sender.stamps().to_string(), "software");
    assert_eq!(sender.departed().unwrap(), None);
    for expected in 0..5 {
        let before = read_realtime().real;
        assert_eq!(sender.send(b"sync", to).unwrap(), expected);
        assert!(wait(&sender).error(0), "a stamp on the error queue wakes the poll");
        let departure = sender.departed().unwrap().unwrap();
        assert_eq!(departure.key, expected);
        assert!(before <= departure.stamp && departure.stamp <= read_realtime().real, "{departure:?}");
        assert_eq!(sender.departed().unwrap(), None, "one stamp for one packet");
    }
    all(&mut receiver);
    let (arrived, key) = stamped(&mut sender, &mut receiver, to);
    let last =
        std::iter::from_fn(|| sender.departed().unwrap()).find(|departure| departure.key == key).unwrap();
    assert!((arrived - last.stamp).abs() < Duration::from_ms(5), "{:?}", arrived - last.stamp);
}

#[test]
fn keys_stay_true_after_a_send_that_failed() {
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
    assert_eq!(sender.departed().unwrap().unwrap().key, 2);
    // Even where the kernel did count a datagram that was not sent.
    sender.socket.send_to(b"uncounted", &SockAddr::from(to)).unwrap();
    sender.send(&[0; 70_000], to).unwrap_err();
    assert_eq!(sender.send(b"3", to).unwrap(), 3);
    assert!(wait(&sender).error(0));
    assert_eq!(sender.departed().unwrap().unwrap().key, 3);
}

#[test]
fn stamps_of_arrival_alone_are_taken_too() {
    let (mut receiver, mut sender, to) = pair(Channel::Event);
    nix::sys::socket::setsockopt(
        &receiver.socket,
        nix::sys::socket::sockopt::Timestamping,
        &nix::sys::socket::TimestampingFlag::empty(),
    )
    .unwrap();
    options::stamp_arrivals(&receiver.socket).unwrap();
    receiver.stamps = TimestampSource::SoftwareNs;
    assert_eq!(receiver.stamps().to_string(), "software-ns");
    stamped(&mut sender, &mut receiver, to);
}

#[test]
fn a_packet_costs_no_allocation() {
    let (mut receiver, mut sender, to) = pair(Channel::Event);
    let (mut poll, mut buffer) = (Poll::new().unwrap(), [0; 64]);
    let allocations = allocation_counter::measure(|| {
        sender.send(b"sync", to).unwrap();
        assert!(poll.wait(&[receiver.as_fd()], None).unwrap().ready(0));
        assert!(receiver.receive(&mut buffer).unwrap().is_some());
        assert!(poll.wait(&[sender.as_fd()], None).unwrap().error(0));
        assert!(sender.departed().unwrap().is_some());
    });
    assert_eq!(allocations.count_total, 0);
}

#[test]
fn control_messages_that_do_not_fit_cost_the_stamp_and_no_more() {
    let (mut receiver, mut sender, to) = pair(Channel::Event);
    stamped(&mut sender, &mut receiver, to);
    sender.send(b"sync", to).unwrap();
    assert!(wait(&receiver).ready(0));
    let arrival =
        fetch(&receiver.socket, TimestampSource::Software, &mut [0; 64], &mut receiver.control.0[..24])
            .unwrap();
    assert_eq!((arrival.length, arrival.stamp), (4, None));
}

#[test]
fn a_packet_longer_than_the_buffer_is_cut() {
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
}

#[test]
fn the_general_channel_takes_no_stamps() {
    let mut sender = sender(Channel::General);
    assert_eq!(sender.stamps(), TimestampSource::None);
    sender.send(b"x", SocketAddrV4::new(GROUP, free_port())).unwrap();
    assert_eq!(sender.departed().unwrap(), None);
}

#[test]
fn packets_carry_the_precedence_and_the_ttl_of_dante_devices() {
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
fn packets_lost_to_a_full_socket_are_counted() {
    let port = free_port();
    let mut receiver = event(port);
    receiver.socket.set_recv_buffer_size(1).unwrap();
    let mut sender = sender(Channel::General);
    for _ in 0..100 {
        sender.send(&[0; 64], SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).unwrap();
    }
    let kept = all(&mut receiver).len();
    assert!((1..100).contains(&kept), "{kept} of 100 were kept");
    sender.send(&[0; 64], SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).unwrap();
    assert_eq!(all(&mut receiver).len(), 1);
    assert_eq!(usize::try_from(receiver.dropped()).unwrap(), 100 - kept);
}

#[test]
fn a_port_that_another_program_holds_is_told_as_such() {
    let other = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = other.local_addr().unwrap().port();
    let error = PtpSocket::open(&lo(), GROUP, port, Channel::General, TimestampSource::Software).unwrap_err();
    assert!(error.denial() == Some(Denial::InUse), "{error:?}");
    assert!(error.to_string().contains("another UDP port for general messages"), "{error}");
}

/// The kernel takes the request on any interface, and then nobody stamps.
#[test]
fn without_a_card_that_stamps_hardware_stamps_stay_away_until_software_is_asked() {
    let port = free_port();
    let to = SocketAddrV4::new(GROUP, port);
    let mut socket = PtpSocket::open(&lo(), GROUP, port, Channel::Event, TimestampSource::Hardware).unwrap();
    assert_eq!(socket.stamps(), TimestampSource::Hardware);
    // Software stamps are on for the whole host, and yet none is taken for the card's.
    let mut sender = sender(Channel::Event);
    let mut software = event(port);
    stamped(&mut sender, &mut software, to);
    let mut buffer = [0; 64];
    while let Some(received) = socket.receive(&mut buffer).unwrap() {
        assert_eq!(received.stamp, None);
    }
    socket.send(b"sync", to).unwrap();
    assert_eq!(socket.departed().unwrap(), None);
    while socket.receive(&mut buffer).unwrap().is_some() {}

    socket.stamp_by_software().unwrap();
    assert_eq!(socket.stamps(), TimestampSource::Software);
    stamped(&mut sender, &mut socket, to);
    let key = socket.send(b"sync", to).unwrap();
    assert_eq!(key, 1, "keys go on");
    assert!(wait(&socket).error(0));
    assert_eq!(socket.departed().unwrap().unwrap().key, key);
}

#[test]
fn a_group_left_is_not_heard_until_it_is_joined_again() {
    let port = free_port();
    let mut socket = event(port);
    let mut sender = sender(Channel::General);
    for (joined, heard) in [(true, 1), (false, 0), (true, 1)] {
        socket.leave();
        if joined {
            socket.join().unwrap();
        }
        sender.send(b"x", SocketAddrV4::new(GROUP, port)).unwrap();
        assert_eq!(all(&mut socket).len(), heard, "joined {joined}");
    }
    assert!(matches!(socket.join(), Err(SocketError::Join { .. })), "it is a member already");
}

/// 300 followers with a request a second each, and a leader that answers: so much comes in a stall of 2 s.
#[test]
fn a_stall_of_two_seconds_beside_hundreds_of_followers_loses_nothing() {
    let (mut receiver, mut sender, to) = pair(Channel::General);
    for _ in 0..600 {
        sender.send(&[0; 124], SocketAddrV4::new(Ipv4Addr::LOCALHOST, to.port())).unwrap();
    }
    let kept = all(&mut receiver).len();
    // A kernel that grants the usual 208 KiB at most, doubled, keeps some 550.
    assert!(kept >= 500, "{kept} of 600 were kept");
    assert!(receiver.socket.recv_buffer_size().unwrap() >= 400_000);
}

#[test]
fn an_interface_that_went_away_is_an_error_when_opening() {
    let gone = Interface { name: "nosuch0".to_owned(), index: 4_000_000, ..lo() };
    let error =
        PtpSocket::open(&gone, GROUP, free_port(), Channel::Event, TimestampSource::Software).unwrap_err();
    assert!(error.to_string().contains("nosuch0"), "{error}");
}

/// The other half of the next test, as another user; passed over when run by itself.
#[test]
fn child_of_the_privileged_port_test() {
    if std::env::var_os("PTP_PORT_CHILD").is_none() {
        return;
    }
    let error = PtpSocket::open(&lo(), GROUP, 319, Channel::Event, TimestampSource::Software).unwrap_err();
    assert!(
        error.denial() == Some(Denial::NotPermitted) && error.to_string().contains("CAP_NET_BIND_SERVICE"),
        "{error:?}"
    );
}

/// Needs root, to become another user, and a kernel that guards port 319; passed over without.
#[test]
fn port_319_without_a_right_says_which_right() {
    let guarded = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .is_ok_and(|start| start.trim().parse::<u32>().is_ok_and(|start| start > 319));
    if !guarded || !nix::unistd::Uid::effective().is_root() {
        return;
    }
    run_as_nobody("socket::tests::child_of_the_privileged_port_test", &[("PTP_PORT_CHILD", "1")]);
}

/// Two ends of a virtual cable: needs root and ip(8), and is passed over without them.
#[test]
fn on_a_veth_both_ends_stamp_and_the_sender_hears_no_echo() {
    in_network_namespace(|| {
        if !ip("link add v0 type veth peer name v1") {
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
        // Both ends are one host here: it would take the other's source address for a forgery of its own.
        for end in ["v0", "v1"] {
            std::fs::write(format!("/proc/sys/net/ipv4/conf/{end}/accept_local"), "1").unwrap();
            std::fs::write(format!("/proc/sys/net/ipv4/conf/{end}/rp_filter"), "0").unwrap();
        }
        // Until the kernel has noticed the carrier, packets are lost.
        while !["v0", "v1"].iter().all(|end| Interface::find(end).unwrap().up) {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let (near, far) = (Interface::find("v0").unwrap(), Interface::find("v1").unwrap());
        let open = |end| PtpSocket::open(end, GROUP, 319, Channel::Event, TimestampSource::Software).unwrap();
        let (mut sender, mut echo, mut receiver) = (open(&near), open(&near), open(&far));
        let (stamp, key) = stamped(&mut sender, &mut receiver, SocketAddrV4::new(GROUP, 319));
        let left =
            std::iter::from_fn(|| sender.departed().unwrap()).find(|departure| departure.key == key).unwrap();
        assert!(left.stamp <= stamp && stamp - left.stamp < Duration::from_ms(50), "{left:?} {stamp:?}");
        assert_eq!(all(&mut echo).len(), 0);
        assert_eq!(all(&mut sender).len(), 0);
        sender.socket.set_multicast_loop_v4(true).unwrap();
        sender.send(b"x", SocketAddrV4::new(GROUP, 319)).unwrap();
        assert_eq!(all(&mut echo).len(), 1, "what the loop would bring");
    });
}
