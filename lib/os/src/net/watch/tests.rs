use super::*;
use crate::net::netlink::tests::{attribute, message};
use crate::poll::Poll;
use crate::sandbox::{in_network_namespace, ip, veth};

fn events(bytes: &[u8]) -> Vec<InterfaceEvent<'_>> {
    let mut all = Vec::new();
    parse(bytes, &mut |event| all.push(event));
    all
}

fn link_event(index: u32, name: &str, running: bool) -> InterfaceEvent<'_> {
    InterfaceEvent::Link { index, name, running }
}

fn link(index: u32, flags: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
    [&[0; 4][..], &index.to_ne_bytes(), &flags.to_ne_bytes(), &[0; 4], &attributes.concat()].concat()
}

#[test]
fn reports_links_and_addresses_in_the_order_of_the_messages() {
    let named = [attribute(1, &[2, 0, 0, 0, 0, 1]), attribute(libc::IFLA_IFNAME, b"eth1\0")];
    let bytes = [
        message(libc::RTM_NEWLINK, &link(7, 0x1043, &named)),
        message(libc::RTM_NEWADDR, &[2, 24, 0, 0, 7, 0, 0, 0]),
        message(libc::RTM_NEWROUTE, &[0; 12]),
        message(libc::RTM_DELLINK, &link(7, 0x1002, &named)),
        message(libc::RTM_DELADDR, &[2, 24, 0, 0, 7, 0, 0, 0]),
    ];
    let running = |running| link_event(7, "eth1", running);
    let address = InterfaceEvent::Address { index: 7 };
    assert_eq!(events(&bytes.concat()), [running(true), address, running(false), address]);
}

#[test]
fn truncated_messages_are_reported_as_missed() {
    let whole = message(libc::RTM_NEWLINK, &link(7, 0x1043, &[attribute(libc::IFLA_IFNAME, b"eth1\0")]));
    for length in 1..whole.len() {
        assert_eq!(events(&whole[..length]), [InterfaceEvent::Missed], "{length} bytes");
    }
    // The length in the header is right, but the body is too short.
    assert_eq!(events(&message(libc::RTM_NEWLINK, &[0; 8])), [InterfaceEvent::Missed]);
    assert_eq!(events(&message(libc::RTM_NEWADDR, &[0; 6])), [InterfaceEvent::Missed]);
    assert_eq!(events(&message(libc::RTM_NEWLINK, &link(7, 0, &[]))), [link_event(7, "", false)]);
    for attribute in [vec![0; 4], vec![255; 4], attribute(libc::IFLA_IFNAME, &[0xff, 0])] {
        let bytes = message(libc::RTM_NEWLINK, &link(7, 0, &[attribute]));
        assert_eq!(events(&bytes), [link_event(7, "", false)]);
    }
    // A length below that of the header must not cause an endless loop.
    assert_eq!(events(&[0; 64]), [InterfaceEvent::Missed]);
}

#[test]
fn reports_changes_of_an_interface_and_lost_messages() {
    in_network_namespace(|| {
        let mut watch = Watch::open().unwrap();
        if !veth() {
            return;
        }
        let mut poll = Poll::new().unwrap();
        let mut wait = |watch: &mut Watch, wanted: &dyn Fn(InterfaceEvent<'_>) -> bool| {
            let deadline = crate::clock::raw_now() + dante_core::time::Duration::from_secs(20);
            loop {
                let mut seen = false;
                watch.read(|event| seen |= wanted(event));
                if seen {
                    return;
                }
                let wake = poll.wait(&[watch.as_fd()], Some(deadline)).unwrap();
                assert_ne!(wake, crate::poll::Wake::default(), "no message from the kernel");
            }
        };
        let v0 = crate::net::links().unwrap().iter().find(|link| link.name == "v0").unwrap().index;
        let is = |running| link_event(v0, "v0", running);
        wait(&mut watch, &|event| event == is(false));
        assert!(ip("link set v0 up") && ip("link set v1 up"));
        wait(&mut watch, &|event| event == is(true));
        assert!(ip("addr add 169.254.7.7/16 dev v0"));
        wait(&mut watch, &|event| event == InterfaceEvent::Address { index: v0 });
        assert!(ip("link set v1 down"));
        wait(&mut watch, &|event| event == is(false));
        assert!(ip("link del v0"));
        wait(&mut watch, &|event| event == is(false));
        // An overflow of the socket buffer is reported as missed messages, and the watch goes on.
        nix::sys::socket::setsockopt(&watch.socket, nix::sys::socket::sockopt::RcvBuf, &1).unwrap();
        for _ in 0..20 {
            assert!(ip("link add v0 type veth peer name v1") && ip("link del v0"));
        }
        wait(&mut watch, &|event| event == InterfaceEvent::Missed);
        let mut rest = 0;
        watch.read(|_| rest += 1);
        nix::sys::socket::setsockopt(&watch.socket, nix::sys::socket::sockopt::RcvBuf, &200_000).unwrap();
        assert!(ip("link add v0 type veth peer name v1"));
        wait(&mut watch, &|event| matches!(event, InterfaceEvent::Link { name: "v0", running: false, .. }));
    });
}
