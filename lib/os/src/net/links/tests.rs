use super::*;
use crate::net::netlink::tests::attribute;
use crate::sandbox::{in_network_namespace, ip, skip, veth};

fn named(name: &str) -> LinkInfo {
    let all = links().unwrap();
    all.iter().find(|link| link.name == name).unwrap_or_else(|| panic!("{name}: {all:?}")).clone()
}

#[test]
fn lists_kinds_ports_vlans_names_and_addresses() {
    in_network_namespace(|| {
        if !veth() {
            return;
        }
        let lo = named("lo");
        assert_eq!((lo.is_loopback, lo.is_up, lo.is_ethernet, lo.kind), (true, true, false, None));
        assert_eq!(lo.addresses, [LinkAddress { address: Ipv4Addr::LOCALHOST, label: "lo".into() }]);

        let v0 = named("v0");
        assert_eq!(
            (v0.kind.as_deref(), v0.is_up, v0.is_ethernet, v0.master),
            (Some("veth"), false, true, None)
        );
        assert_ne!(v0.mac, [0; 6]);
        assert!(ip("link set v0 up") && ip("addr add 169.254.7.7/16 dev v0 label v0:avahi"));
        assert!(ip("addr add 10.0.0.1/24 dev v0"));
        let v0 = named("v0");
        let labels: Vec<&str> = v0.addresses.iter().map(|one| one.label.as_str()).collect();
        assert_eq!((labels, v0.is_up), (vec!["v0:avahi", "v0"], true));

        let long = "a-name-of-more-than-fifteen-bytes";
        if ip(&format!("link property add dev v0 altname {long} altname second")) {
            assert_eq!(named("v0").alternative_names, [long, "second"]);
        } else {
            skip("ip(8) cannot add an alternative name");
        }
        match ip("link add br0 type bridge") && ip("link set v1 master br0") {
            true => {
                let (port, bridge) = (named("v1"), named("br0"));
                assert_eq!((port.master, port.master_kind.as_deref()), (Some(bridge.index), Some("bridge")));
                assert_eq!((bridge.kind.as_deref(), bridge.vlan), (Some("bridge"), None));
            }
            false => skip("ip(8) cannot create a bridge"),
        }
    });
}

#[test]
fn long_list_is_complete() {
    in_network_namespace(|| {
        for number in 0..100 {
            if !ip(&format!("link add v{number} type veth peer name w{number}")) {
                return skip("ip(8) cannot create veth interfaces");
            }
        }
        assert_eq!(links().unwrap().iter().filter(|link| link.kind.as_deref() == Some("veth")).count(), 200);
    });
}

#[test]
fn vlan_has_its_id_and_its_parent() {
    let data = attribute(IFLA_VLAN_ID, &10_u16.to_ne_bytes());
    let info = [attribute(IFLA_INFO_KIND, b"vlan\0"), attribute(IFLA_INFO_DATA, &data)].concat();
    let attributes = |info: &[u8]| {
        let name = attribute(libc::IFLA_IFNAME, b"eth0.10\0");
        [name, attribute(libc::IFLA_LINK, &3_u32.to_ne_bytes()), attribute(libc::IFLA_LINKINFO, info)]
            .concat()
    };
    let body = [vec![0; LINK], attributes(&info)].concat();
    let found = link(&body).unwrap();
    assert_eq!((found.kind.as_deref(), found.vlan, found.parent), (Some("vlan"), Some(10), Some(3)));
    // The same attribute of a bridge is its forward delay.
    let info = [attribute(IFLA_INFO_KIND, b"bridge\0"), attribute(IFLA_INFO_DATA, &data)].concat();
    assert_eq!(link(&[vec![0; LINK], attributes(&info)].concat()).unwrap().vlan, None);
}

#[test]
fn messages_of_other_lengths_are_no_links() {
    assert_eq!((link(&[]), link(&[0; LINK]), address(&[]), address(&[0; ADDRESS])), (None, None, None, None));
}
