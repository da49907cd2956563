use super::*;
use crate::exhausted::{alone, take_all_descriptors};
use crate::sandbox::{in_network_namespace, ip, skip, veth};

#[test]
fn finds_the_loopback_interface() {
    let lo = Interface::find("lo").unwrap();
    assert_eq!((lo.address, lo.kind, lo.mac, lo.up), (Ipv4Addr::LOCALHOST, Kind::Loopback, [0; 6], true));
    assert_eq!(current_index("lo"), Ok(Some(lo.index)));
}

#[test]
fn error_for_an_unknown_interface_lists_the_others() {
    let error = Interface::find("nosuch0").unwrap_err();
    assert!(matches!(error, NetError::NotFound { .. }), "{error:?}");
    assert!(error.to_string().contains("lo"), "{error}");
    assert_eq!(current_index("nosuch0"), Ok(None));
}

#[test]
fn name_longer_than_the_kernel_allows_is_not_found() {
    assert!(matches!(Interface::find("a-name-of-more-than-15-bytes"), Err(NetError::NotFound { .. })));
    assert_eq!(driver("a-name-of-more-than-15-bytes"), Err(Errno::ENODEV));
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
            true => assert_eq!(driver("t0").as_deref(), Ok("tun")),
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
        let found = Interface::find("v0").unwrap();
        assert_eq!((found.name.as_str(), found.address), ("v0", Ipv4Addr::new(169, 254, 7, 7)));
        let names = names().unwrap();
        assert!(["lo", "v0", "v1"].iter().all(|name| names.iter().any(|other| other == name)), "{names:?}");
        assert!(names.iter().all(|name| matches!(current_index(name), Ok(Some(_)))), "{names:?}");
        assert!(names.iter().all(|name| !name.contains(':')), "{names:?}");
        let by_label = Interface::find("v0:dante").unwrap();
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
        if !ip("link property add dev v0 altname dante-primary") {
            return skip("ip(8) cannot add an alternative name");
        }
        let found = Interface::find("dante-primary").unwrap();
        assert_eq!((found.name.as_str(), found.kind), ("v0", Kind::Veth));
        assert_eq!(Interface::find("v0").unwrap(), found);
    });
}

#[test]
fn lack_of_descriptors_is_no_answer_about_an_interface() {
    alone("net::tests::lack_of_descriptors_is_no_answer_about_an_interface", || {
        let lo = Interface::find("lo").unwrap();
        let taken = take_all_descriptors();
        for name in ["lo", "nosuch0"] {
            let error = Interface::find(name).unwrap_err();
            assert!(matches!(error, NetError::Failed { cause: Errno::EMFILE, .. }), "{error:?}");
            assert!(current_index(name).is_err(), "{name}");
        }
        assert_eq!(driver("lo"), Err(Errno::EMFILE));
        let card = Card::prepare(&lo, false).unwrap_err();
        assert!(matches!(card, CardError::Unknown { cause: Errno::EMFILE, .. }), "{card:?}");
        drop(taken);
        assert_eq!(Interface::find("lo"), Ok(lo));
    });
}
