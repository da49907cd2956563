use super::*;
use crate::scratch::{in_network_namespace, ip};

#[test]
fn the_loopback_interface_is_found_complete() {
    let lo = Interface::find("lo").unwrap();
    assert_eq!((lo.address, lo.kind, lo.mac, lo.up), (Ipv4Addr::LOCALHOST, Kind::Loopback, [0; 6], true));
    assert_eq!(current_index("lo"), Some(lo.index));
}

#[test]
fn an_unknown_interface_is_told_apart_and_the_others_are_named() {
    let error = Interface::find("nosuch0").unwrap_err();
    assert!(matches!(error, NetError::NotFound { .. }), "{error:?}");
    assert!(error.to_string().contains("lo"), "{error}");
    assert_eq!(current_index("nosuch0"), None);
}

#[test]
fn a_name_longer_than_the_kernels_is_not_found() {
    assert!(matches!(Interface::find("a-name-of-more-than-15-bytes"), Err(NetError::NotFound { .. })));
    assert_eq!(driver("a-name-of-more-than-15-bytes"), None);
}

/// Needs root and ip(8), and is passed over without them.
#[test]
fn down_and_without_address_and_veth_are_told_apart() {
    in_network_namespace(|| {
        if !ip("link add v0 type veth peer name v1") {
            return;
        }
        assert!(matches!(Interface::find("v0"), Err(NetError::Down { .. })));
        assert!(ip("link set v0 up"));
        assert!(matches!(Interface::find("v0"), Err(NetError::NoAddress { .. })));
        assert!(ip("addr add 169.254.7.7/16 dev v0"));
        let found = Interface::find("v0").unwrap();
        assert_eq!((found.address, found.kind, found.up), (Ipv4Addr::new(169, 254, 7, 7), Kind::Veth, false));
        assert_ne!(found.mac, [0; 6]);
        assert!(ip("link set v1 up"));
        // The kernel tells of carrier a moment later.
        let up = (0..2000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            Interface::find("v0").unwrap().up
        });
        assert!(up, "both ends are up: there is carrier");
        if ip("tuntap add t0 mode tap") {
            assert_eq!(driver("t0").as_deref(), Some("tun"));
        }
    });
}
