//! What a rule of nftables asks of a packet, and whether that is so.

use super::{Arriving, text};
use serde_json::Value;
use std::net::Ipv4Addr;

/// Whether something fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fits {
    Yes,
    No,
    Unknown,
}

impl Fits {
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Unknown,
        }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::No, Self::No) => Self::No,
            _ => Self::Unknown,
        }
    }

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }
}

impl From<bool> for Fits {
    fn from(fits: bool) -> Self {
        if fits { Self::Yes } else { Self::No }
    }
}

/// What the packet has where a rule looks.
#[derive(Debug, Clone, Copy)]
enum Field<'a> {
    Word(&'a str),
    /// A number that also has a name.
    Number(u64, &'a str),
    Address(Ipv4Addr),
    /// Packets of this kind do not have it: no such rule fits.
    Missing,
    Unknown,
}

/// The named sets and maps of a ruleset.
pub struct Sets<'a>(Vec<&'a Value>);

impl<'a> Sets<'a> {
    pub fn of(items: &'a [Value]) -> Self {
        Self(items.iter().filter_map(|item| item.get("set").or_else(|| item.get("map"))).collect())
    }

    /// A `match`.
    pub fn matches(&self, what: &Value, packet: &Arriving<'_>) -> Fits {
        let (Some(left), Some(right)) = (what.get("left"), what.get("right")) else { return Fits::Unknown };
        let found = match field(left, packet) {
            Field::Missing => return Fits::No,
            Field::Unknown => Fits::Unknown,
            field => self.is(field, right),
        };
        match text(what, "op") {
            "==" | "in" => found,
            "!=" => found.not(),
            _ => Fits::Unknown,
        }
    }

    /// A `vmap`: what it says to the packet.
    pub fn mapped<'b>(&'b self, what: &'b Value, packet: &Arriving<'_>) -> (Fits, Option<&'b Value>) {
        let field = what.get("key").map_or(Field::Unknown, |key| field(key, packet));
        let data = what.get("data").unwrap_or(&Value::Null);
        let Some(pairs) = self.elements(data) else { return (Fits::Unknown, None) };
        let mut unsure = None;
        for pair in pairs {
            let Some([key, action]) = pair.as_array().map(Vec::as_slice) else { continue };
            match (field, self.is(field, key)) {
                (Field::Missing, _) | (_, Fits::No) => {}
                (_, Fits::Yes) => return (Fits::Yes, Some(action)),
                (_, Fits::Unknown) => unsure = unsure.or(Some(action)),
            }
        }
        (unsure.map_or(Fits::No, |_| Fits::Unknown), unsure)
    }

    fn elements<'b>(&'b self, data: &'b Value) -> Option<&'b Vec<Value>> {
        match data.as_str().and_then(|name| name.strip_prefix('@')) {
            Some(name) => {
                let set = self.0.iter().find(|set| text(set, "name") == name)?;
                set.get("elem").and_then(Value::as_array)
            }
            None => data.get("set").and_then(Value::as_array).or_else(|| data.as_array()),
        }
    }

    fn is(&self, field: Field<'_>, value: &Value) -> Fits {
        let is_named = value.as_str().is_some_and(|name| name.starts_with('@'));
        if is_named || value.get("set").is_some() || value.is_array() {
            let Some(elements) = self.elements(value) else { return Fits::Unknown };
            return elements.iter().map(|one| self.is(field, one)).fold(Fits::No, Fits::or);
        }
        if let Some(one) = value.get("elem").and_then(|elem| elem.get("val")) {
            return self.is(field, one);
        }
        if let Some([low, high]) = value.get("range").and_then(Value::as_array).map(Vec::as_slice) {
            return between(field, low, high);
        }
        if let Some(prefix) = value.get("prefix") {
            return within(field, prefix);
        }
        match field {
            Field::Word(word) => value.as_str().map_or(Fits::Unknown, |value| is_like(word, value).into()),
            Field::Number(number, name) => match (value.as_u64(), value.as_str()) {
                (Some(value), _) => (value == number).into(),
                (None, Some(value)) => (value == name).into(),
                _ => Fits::Unknown,
            },
            Field::Address(address) => match value.as_str().map(str::parse::<Ipv4Addr>) {
                Some(Ok(value)) => (value == address).into(),
                _ => Fits::Unknown,
            },
            Field::Missing => Fits::No,
            Field::Unknown => Fits::Unknown,
        }
    }
}

/// The end of a name may be left open.
fn is_like(word: &str, value: &str) -> bool {
    value.strip_suffix('*').map_or(word == value, |head| word.starts_with(head))
}

fn address(value: &Value) -> Option<u64> {
    value.as_str()?.parse::<Ipv4Addr>().ok().map(|address| address.to_bits().into())
}

fn between(field: Field<'_>, low: &Value, high: &Value) -> Fits {
    let (number, ends) = match field {
        Field::Number(number, _) => (number, low.as_u64().zip(high.as_u64())),
        Field::Address(own) => (own.to_bits().into(), address(low).zip(address(high))),
        _ => return Fits::Unknown,
    };
    ends.map_or(Fits::Unknown, |(low, high)| (low..=high).contains(&number).into())
}

fn within(field: Field<'_>, prefix: &Value) -> Fits {
    let length = prefix.get("len").and_then(Value::as_u64).and_then(|length| u32::try_from(length).ok());
    let (Field::Address(own), Some(length), Some(network)) =
        (field, length, prefix.get("addr").and_then(address))
    else {
        return Fits::Unknown;
    };
    let mask = u32::MAX.checked_shl(32u32.saturating_sub(length)).unwrap_or(0);
    (u64::from(own.to_bits() & mask) == network).into()
}

/// What the packet has there.
fn field<'a>(left: &Value, packet: &Arriving<'a>) -> Field<'a> {
    let Some((kind, what)) = left.as_object().and_then(|left| left.iter().next()) else {
        return Field::Unknown;
    };
    match (kind.as_str(), text(what, "protocol"), text(what, "field"), text(what, "key")) {
        ("meta", _, _, "iifname" | "iif") => Field::Word(packet.interface),
        ("meta", _, _, "l4proto") | ("payload", "ip", "protocol", _) => Field::Number(17, "udp"),
        ("meta", _, _, "nfproto") => Field::Number(2, "ipv4"),
        ("meta", _, _, "protocol") => Field::Number(0x0800, "ip"),
        ("meta", _, _, "pkttype") => Field::Word("multicast"),
        ("payload", "ip", "saddr", _) => Field::Address(packet.source),
        ("payload", "ip", "daddr", _) => Field::Address(packet.group),
        ("payload", "udp" | "th", "dport", _) => Field::Number(packet.port.into(), ""),
        (
            "payload",
            "tcp" | "sctp" | "dccp" | "icmp" | "icmpv6" | "ip6" | "igmp" | "esp" | "ah" | "arp",
            ..,
        ) => Field::Missing,
        // Nothing that a leader multicasts answers anything.
        ("ct", _, _, "state") => Field::Word("new"),
        ("fib", ..) if text(what, "result") == "type" => Field::Word("multicast"),
        _ => Field::Unknown,
    }
}
