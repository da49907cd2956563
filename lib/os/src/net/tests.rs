use super::*;
use crate::exhausted::{alone, take_all_descriptors};
use crate::sandbox::{in_network_namespace, ip, skip, veth};

fn find(name: &str) -> Result<Interface, NetError> {
    Interface::find(&name.into())
}

#[test]
fn finds_the_loopback_interface() {
    let lo = find("lo").unwrap();
    assert_eq!((lo.address, lo.kind, lo.mac, lo.up), (Ipv4Addr::LOCALHOST, Kind::Loopback, [0; 6], true));
}

#[test]
fn error_for_an_unknown_interface_lists_the_others() {
    let error = find("nosuch0").unwrap_err();
    assert!(matches!(error, NetError::NotFound { .. }), "{error:?}");
    assert!(error.to_string().contains("lo"), "{error}");
}

#[test]
fn name_longer_than_the_kernel_allows_is_not_found() {
    assert!(matches!(find("a-name-of-more-than-15-bytes"), Err(NetError::NotFound { .. })));
}

#[test]
fn distinguishes_interface_that_is_down_without_address_or_a_veth() {
    in_network_namespace(|| {
        if !veth() {
            return;
        }
        assert!(matches!(find("v0"), Err(NetError::Down { .. })));
        assert!(ip("link set v0 up"));
        assert!(matches!(find("v0"), Err(NetError::NoAddress { .. })));
        assert!(ip("addr add 169.254.7.7/16 dev v0"));
        let found = find("v0").unwrap();
        assert_eq!((found.address, found.kind, found.up), (Ipv4Addr::new(169, 254, 7, 7), Kind::Veth, false));
        assert_ne!(found.mac, [0; 6]);
        assert!(ip("link set v1 up"));
        // The kernel reports carrier a moment later.
        let up = (0..2000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            find("v0").unwrap().up
        });
        assert!(up, "no carrier although both ends are up");
        match ip("tuntap add t0 mode tap") && ip("link set t0 up") && ip("addr add 10.0.0.1/24 dev t0") {
            true => assert_eq!(find("t0").unwrap().kind, Kind::Tap),
            false => skip("ip(8) cannot create a tap interface"),
        }
    });
}

#[test]
fn label_of_an_address_is_no_interface() {
    in_network_namespace(|| {
        if !veth() {
            return;
        }
        assert!(ip("link set v0 up") && ip("addr add 169.254.7.7/16 dev v0 label v0:dante"));
        let found = find("v0").unwrap();
        assert_eq!((found.name.as_str(), found.address), ("v0", Ipv4Addr::new(169, 254, 7, 7)));
        let error = find("nosuch0").unwrap_err().to_string();
        assert!(error.contains("v0") && !error.contains("v0:dante"), "{error}");
        let by_label = find("v0:dante").unwrap();
        assert_eq!((by_label.name.as_str(), by_label.index), ("v0", found.index));
    });
}

#[test]
fn alternative_name_finds_its_interface() {
    in_network_namespace(|| {
        if !veth() {
            return;
        }
        assert!(ip("link set v0 up") && ip("addr add 169.254.7.7/16 dev v0"));
        if !ip("link property add dev v0 altname dante-primary-network") {
            return skip("ip(8) cannot add an alternative name");
        }
        let found = find("dante-primary-network").unwrap();
        assert_eq!((found.name.as_str(), found.kind), ("v0", Kind::Veth));
        assert_eq!(find("v0").unwrap(), found);
    });
}

#[test]
fn hardware_address_and_address_find_the_interface_under_any_name() {
    in_network_namespace(|| {
        if !veth() {
            return;
        }
        assert!(ip("link set v0 address 02:00:00:00:00:07") && ip("link set v0 up"));
        assert!(ip("addr add 169.254.7.7/16 dev v0"));
        let named: Vec<InterfaceName> =
            ["02-00-00-00-00-07", "169.254.7.7", "v0"].map(InterfaceName::from).into();
        let found = Interface::find(&named[0]).unwrap();
        for name in &named {
            assert_eq!(Interface::find(name), Ok(found.clone()), "{name}");
            assert_eq!(found.again(name), Some(Ok(found.clone())), "{name}");
        }
        assert!(ip("link set v0 down") && ip("link set v0 name w0"));
        assert_eq!(found.again(&named[0]), Some(Err(NetError::Down { name: "w0".into() })));
        assert_eq!(found.again(&named[2]), None, "the name is free");
        assert!(ip("link set w0 up"));
        let renamed = Interface::find(&named[0]).unwrap();
        assert_eq!((renamed.name.as_str(), renamed.index), ("w0", found.index));
        // The card is plugged into another socket.
        assert!(ip("link del w0") && ip("link add usb0 address 02:00:00:00:00:07 type veth peer name usb1"));
        assert_eq!(found.again(&named[0]), None);
        assert!(ip("link set usb0 up") && ip("addr add 169.254.8.8/16 dev usb0"));
        assert_eq!(Interface::find(&named[0]).unwrap().name, "usb0");
        let error = Interface::find(&"02:00:00:00:00:09".into()).unwrap_err().to_string();
        assert!(error.contains("usb0 02:00:00:00:00:07"), "{error}");
    });
}

#[test]
fn own_addresses_are_those_of_all_interfaces_as_long_as_they_have_them() {
    in_network_namespace(|| {
        if !veth() {
            return;
        }
        let own = |last| OwnAddresses::now().unwrap().contains(Ipv4Addr::new(169, 254, 7, last));
        assert!(ip("addr add 169.254.7.7/16 dev v0") && ip("addr add 169.254.7.8/16 dev v0"));
        assert!(ip("addr add 169.254.7.9/32 dev v1") && ip("addr add 169.254.7.10/32 dev lo"));
        assert_eq!([6, 7, 8, 9, 10].map(own), [false, true, true, true, true]);
        assert!(OwnAddresses::now().unwrap().contains(Ipv4Addr::LOCALHOST));
        assert!(ip("addr flush dev v0"));
        assert_eq!([7, 8, 9].map(own), [false, false, true]);
    });
}

#[test]
fn port_of_a_bridge_is_an_error_that_names_the_bridge() {
    in_network_namespace(|| {
        if !veth() {
            return;
        }
        assert!(ip("link set v0 up") && ip("addr add 169.254.7.7/16 dev v0"));
        if !(ip("link add br0 type bridge") && ip("link set v0 master br0")) {
            return skip("ip(8) cannot create a bridge");
        }
        let error = find("v0").unwrap_err();
        assert!(matches!(&error, NetError::Port { kind, master, .. } if kind == "bridge" && master == "br0"));
        assert!(error.to_string().contains("name br0 instead"), "{error}");
    });
}

#[test]
fn lack_of_descriptors_is_no_answer_about_an_interface() {
    alone("net::tests::lack_of_descriptors_is_no_answer_about_an_interface", || {
        let lo = find("lo").unwrap();
        let taken = take_all_descriptors();
        for name in ["lo", "nosuch0"] {
            let error = find(name).unwrap_err();
            assert!(matches!(error, NetError::Failed { cause: Errno::EMFILE, .. }), "{error:?}");
        }
        assert!(matches!(lo.again(&"lo".into()), Some(Err(NetError::Failed { cause: Errno::EMFILE, .. }))));
        assert_eq!(OwnAddresses::now(), Err(Errno::EMFILE));
        let card = Card::prepare(&lo, false).unwrap_err();
        assert!(matches!(card, CardError::Unknown { cause: Errno::EMFILE, .. }), "{card:?}");
        drop(taken);
        assert_eq!(find("lo"), Ok(lo));
    });
}
