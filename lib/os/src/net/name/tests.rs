use super::*;
use crate::net::LinkAddress;

const CARD: [u8; 6] = [0, 0x1d, 0xc1, 1, 2, 3];

fn link(index: u32, name: &str, kind: Option<&str>) -> LinkInfo {
    let address = LinkAddress { address: Ipv4Addr::from_bits(0x0a00_0000 + index), label: name.into() };
    LinkInfo {
        index,
        name: name.into(),
        mac: CARD,
        is_up: true,
        kind: kind.map(str::to_owned),
        addresses: vec![address],
        ..LinkInfo::default()
    }
}

fn found<'l>(name: &str, links: &'l [LinkInfo]) -> Option<&'l str> {
    InterfaceName::from(name).among(links).map(|link| link.name.as_str())
}

#[test]
fn text_is_a_hardware_address_an_ipv4_address_or_a_name() {
    for text in ["00:1d:c1:01:02:03", "00-1D-C1-01-02-03"] {
        assert_eq!(InterfaceName::from(text), InterfaceName::Mac(CARD), "{text}");
    }
    assert_eq!(InterfaceName::from("10.0.0.1"), InterfaceName::Address(Ipv4Addr::new(10, 0, 0, 1)));
    for text in
        ["eth0", "eth1:0", "00:1d:c1:01:02", "00:1d:c1:01:02:+3", "00:1d:c1:01:02:03:04", "10.0.0", "::1", ""]
    {
        assert_eq!(InterfaceName::from(text), InterfaceName::Name(text.into()), "{text}");
    }
    for text in ["eth0", "00:1d:c1:01:02:03", "10.0.0.1"] {
        assert_eq!(InterfaceName::from(text).to_string(), text);
    }
}

#[test]
fn name_precedes_alternative_name_and_label() {
    let mut links = [link(1, "eth0", None), link(2, "eth1", None), link(3, "eth2", None)];
    links[1].alternative_names = vec!["dante".into(), "a-name-of-more-than-fifteen-bytes".into()];
    links[2].addresses[0].label = "eth2:avahi".into();
    assert_eq!(found("eth0", &links), Some("eth0"));
    assert_eq!(found("a-name-of-more-than-fifteen-bytes", &links), Some("eth1"));
    assert_eq!((found("eth2:avahi", &links), found("eth2:0", &links)), (Some("eth2"), None));
    assert_eq!((found("10.0.0.2", &links), found("10.0.0.9", &links)), (Some("eth1"), None));
    // Another interface takes the name.
    links[0].name = "dante".into();
    assert_eq!(found("dante", &links), Some("dante"));
}

#[test]
fn hardware_address_names_the_card_or_what_takes_its_packets() {
    let mac = "00:1d:c1:01:02:03";
    let vlan = link(1, "eth0.10", Some("vlan"));
    let card = link(2, "eth0", None);
    assert_eq!(found(mac, &[vlan.clone(), card.clone()]), Some("eth0"));
    let without_address = LinkInfo { addresses: Vec::new(), ..card.clone() };
    assert_eq!(found(mac, &[vlan, without_address]), Some("eth0.10"));
    let port = LinkInfo { master: Some(3), ..card.clone() };
    assert_eq!(found(mac, &[port, link(3, "br0", Some("bridge"))]), Some("br0"));
    let changed = LinkInfo { mac: [2; 6], permanent_mac: Some(CARD), ..card };
    assert_eq!((found(mac, std::slice::from_ref(&changed)), found(mac, &[])), (Some("eth0"), None));
}
