use super::*;
use crate::poll::Poll;
use crate::scratch::{in_network_namespace, ip};

fn said(bytes: &[u8]) -> Vec<News<'_>> {
    let mut all = Vec::new();
    each(bytes, &mut |news| all.push(news));
    all
}

fn told(index: u32, name: &str, running: bool) -> News<'_> {
    News::Link { index, name, running }
}

fn message(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).unwrap();
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10], body].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn link(index: u32, flags: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
    [&[0; 4][..], &index.to_ne_bytes(), &flags.to_ne_bytes(), &[0; 4], &attributes.concat()].concat()
}

#[test]
fn messages_about_links_and_addresses_are_told_in_their_order() {
    let named = [attribute(1, &[2, 0, 0, 0, 0, 1]), attribute(libc::IFLA_IFNAME, b"eth1\0")];
    let bytes = [
        message(libc::RTM_NEWLINK, &link(7, 0x1043, &named)),
        message(libc::RTM_NEWADDR, &[2, 24, 0, 0, 7, 0, 0, 0]),
        message(libc::RTM_NEWROUTE, &[0; 12]),
        message(libc::RTM_DELLINK, &link(7, 0x1002, &named)),
        message(libc::RTM_DELADDR, &[2, 24, 0, 0, 7, 0, 0, 0]),
    ];
    let running = |running| told(7, "eth1", running);
    assert_eq!(
        said(&bytes.concat()),
        [running(true), News::Address { index: 7 }, running(false), News::Address { index: 7 }]
    );
}

#[test]
fn what_is_cut_off_is_looked_at_and_never_read_beyond() {
    let whole = message(libc::RTM_NEWLINK, &link(7, 0x1043, &[attribute(libc::IFLA_IFNAME, b"eth1\0")]));
    for length in 1..whole.len() {
        assert_eq!(said(&whole[..length]), [News::Missed], "{length} bytes");
    }
    // The message's own length is right, and its body is cut: what is there counts.
    assert_eq!(said(&message(libc::RTM_NEWLINK, &[0; 8])), [News::Missed]);
    assert_eq!(said(&message(libc::RTM_NEWADDR, &[0; 6])), [News::Missed]);
    assert_eq!(said(&message(libc::RTM_NEWLINK, &link(7, 0, &[]))), [told(7, "", false)]);
    for attribute in [vec![0; 4], vec![255; 4], attribute(libc::IFLA_IFNAME, &[0xff, 0])] {
        let bytes = message(libc::RTM_NEWLINK, &link(7, 0, &[attribute]));
        assert_eq!(said(&bytes), [told(7, "", false)]);
    }
    // A length of less than its own header would never come to an end.
    assert_eq!(said(&[0; 64]), [News::Missed]);
}

/// Needs root and ip(8), and is passed over without them.
#[test]
fn the_kernel_tells_what_becomes_of_an_interface() {
    in_network_namespace(|| {
        let mut watch = Watch::open().unwrap();
        if !ip("link add v0 type veth peer name v1") {
            return;
        }
        let mut poll = Poll::new().unwrap();
        let mut wait = |watch: &mut Watch, wanted: &dyn Fn(News<'_>) -> bool| {
            let deadline = crate::clock::raw_now() + dante_core::time::Duration::from_secs(5);
            loop {
                let mut seen = false;
                watch.read(|news| seen |= wanted(news));
                if seen {
                    return;
                }
                let wake = poll.wait(&[watch.as_fd()], Some(deadline)).unwrap();
                assert_ne!(wake, crate::poll::Wake::default(), "the kernel told nothing");
            }
        };
        let v0 = super::super::current_index("v0").unwrap();
        let is = |running| told(v0, "v0", running);
        wait(&mut watch, &|said| said == is(false));
        assert!(ip("link set v0 up") && ip("link set v1 up"));
        wait(&mut watch, &|said| said == is(true));
        assert!(ip("addr add 169.254.7.7/16 dev v0"));
        wait(&mut watch, &|said| said == News::Address { index: v0 });
        assert!(ip("link set v1 down"));
        wait(&mut watch, &|said| said == is(false));
        assert!(ip("link del v0"));
        wait(&mut watch, &|said| said == is(false));
        // More than the socket holds: it is told that something was missed, and it goes on.
        nix::sys::socket::setsockopt(&watch.socket, nix::sys::socket::sockopt::RcvBuf, &1).unwrap();
        for _ in 0..20 {
            assert!(ip("link add v0 type veth peer name v1") && ip("link del v0"));
        }
        wait(&mut watch, &|said| said == News::Missed);
        let mut rest = 0;
        watch.read(|_| rest += 1);
        nix::sys::socket::setsockopt(&watch.socket, nix::sys::socket::sockopt::RcvBuf, &200_000).unwrap();
        assert!(ip("link add v0 type veth peer name v1"));
        wait(&mut watch, &|said| matches!(said, News::Link { name: "v0", running: false, .. }));
    });
}
