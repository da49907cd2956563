use super::*;
use crate::sandbox::{in_network_namespace, ip, skip, veth};

#[test]
fn finds_the_loopback_interface() {
    let lo = Interface::find("lo").unwrap();
    assert_eq!((lo.address, lo.kind, lo.mac, lo.up), (Ipv4Addr::LOCALHOST, Kind::Loopback, [0; 6], true));
    assert_eq!(current_index("lo"), Some(lo.index));
}

#[test]
fn error_for_an_unknown_interface_lists_the_others() {
    let error = Interface::find("nosuch0").unwrap_err();
    assert!(matches!(error, NetError::NotFound { .. }), "{error:?}");
    assert!(error.to_string().contains("lo"), "{error}");
    assert_eq!(current_index("nosuch0"), None);
}

#[test]
fn name_longer_than_the_kernel_allows_is_not_found() {
    assert!(matches!(Interface::find("a-name-of-more-than-15-bytes"), Err(NetError::NotFound { .. })));
    assert_eq!(driver("a-name-of-more-than-15-bytes"), None);
}

#[test]
fn distinguishes_interface_that_is_down_without_address_or_a_veth() {
    in_network_namespace(|| {
        if !veth() {
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
        // The kernel reports carrier a moment later.
        let up = (0..2000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            Interface::find("v0").unwrap().up
        });
        assert!(up, "no carrier although both ends are up");
        match ip("tuntap add t0 mode tap") {
            true => assert_eq!(driver("t0").as_deref(), Some("tun")),
            false => skip("ip(8) cannot create a tap interface"),
        }
    });
}
