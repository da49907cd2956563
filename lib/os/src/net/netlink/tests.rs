use super::*;

/// A message of this type.
pub fn message(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).unwrap();
    padded([&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10], body].concat())
}

/// An attribute of this type.
pub fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    padded([&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat())
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[test]
fn attributes_are_found_also_within_others() {
    let inner = [attribute(1, b"vlan\0"), attribute(1, b"second\0")].concat();
    let bytes = [attribute(3, b"eth1\0"), attribute(0x8000 | 18, &inner), attribute(5, &7_u32.to_ne_bytes())];
    let bytes = bytes.concat();
    let all = Attributes(&bytes);
    assert_eq!((all.text(3), all.nested(18).text(1), all.u32(5)), (Some("eth1"), Some("vlan"), Some(7)));
    assert_eq!((all.value(4), all.text(4), all.nested(4).next()), (None, None, None));
    for length in 0..bytes.len() {
        assert!(Attributes(&bytes[..length]).count() < 3, "{length} bytes");
    }
    // A length below that of the header ends the list.
    assert_eq!(Attributes(&[0; 64]).next(), None);
    assert_eq!(text_of(&[0xff, 0]), None);
}

#[test]
fn list_names_its_objects_and_an_unknown_request_is_an_error() {
    let links = list(libc::RTM_GETLINK, &[0; 16]).unwrap();
    assert!(links.iter().all(|body| body.len() > 16) && !links.is_empty());
    assert!(matches!(list(libc::RTM_GETLINK + 400, &[0; 16]), Err(Errno::EOPNOTSUPP)));
}
