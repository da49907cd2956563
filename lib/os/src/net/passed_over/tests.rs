use super::*;

fn link(index: u32, name: &str, kind: Option<&str>) -> LinkInfo {
    LinkInfo {
        index,
        name: name.into(),
        is_ethernet: true,
        kind: kind.map(str::to_owned),
        ..LinkInfo::default()
    }
}

fn port(of: u32, link: LinkInfo) -> LinkInfo {
    LinkInfo { master: Some(of), master_kind: Some("bridge".into()), ..link }
}

#[test]
fn wired_interfaces_are_candidates_and_others_are_passed_over() {
    let links = [
        LinkInfo { is_loopback: true, is_ethernet: false, ..link(1, "lo", None) },
        link(2, "eth0", None),
        link(3, "wlan0", None),
        link(4, "docker0", Some("bridge")),
        port(4, link(5, "veth12ab", Some("veth"))),
        link(6, "br0", Some("bridge")),
        port(6, link(7, "eth1", None)),
        port(6, link(8, "vnet0", Some("tun"))),
        link(9, "virbr0", Some("bridge")),
        LinkInfo { is_ethernet: false, ..link(10, "wg0", Some("wireguard")) },
        link(11, "tap0", Some("tun")),
        link(12, "eth0.10", Some("vlan")),
        link(13, "dummy0", Some("dummy")),
        link(14, "bond0", Some("bond")),
        // In a container.
        link(15, "host0", Some("veth")),
        // A bridge whose only card is Wi-Fi, and a port of a VRF, which receives its own packets.
        link(16, "br1", Some("bridge")),
        port(16, link(17, "wlan1", None)),
        LinkInfo { master: Some(99), master_kind: Some("vrf".into()), ..link(18, "eth2", None) },
    ];
    let found: Vec<_> = links
        .iter()
        .map(|link| (link.name.as_str(), judge(link, &links, |name| name.starts_with("wlan"))))
        .collect();
    assert_eq!(
        found,
        [
            ("lo", Some(PassedOver::Loopback)),
            ("eth0", None),
            ("wlan0", Some(PassedOver::Wireless)),
            ("docker0", Some(PassedOver::ContainerBridge)),
            ("veth12ab", Some(PassedOver::Port)),
            ("br0", None),
            ("eth1", Some(PassedOver::Port)),
            ("vnet0", Some(PassedOver::Port)),
            ("virbr0", Some(PassedOver::ContainerBridge)),
            ("wg0", Some(PassedOver::Tunnel)),
            ("tap0", Some(PassedOver::Tunnel)),
            ("eth0.10", None),
            ("dummy0", Some(PassedOver::Virtual)),
            ("bond0", None),
            ("host0", None),
            ("br1", Some(PassedOver::ContainerBridge)),
            ("wlan1", Some(PassedOver::Port)),
            ("eth2", None),
        ]
    );
}
