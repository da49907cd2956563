//! Evaluates the conditions of a rule of nftables for a packet.

use super::{Arriving, text};
use serde_json::Value;
use std::net::Ipv4Addr;

/// Whether a condition matches; `None` if that is not known.
pub type Match = Option<bool>;

pub fn both(one: Match, other: Match) -> Match {
    match (one, other) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        _ => Some(one? && other?),
    }
}

fn either(one: Match, other: Match) -> Match {
    both(one.map(|fits| !fits), other.map(|fits| !fits)).map(|neither| !neither)
}

/// Value of the packet's field that a condition refers to.
#[derive(Debug, Clone, Copy)]
enum Field<'a> {
    Word(&'a str),
    /// A number that also has a name.
    Number(u64, &'a str),
    Address(Ipv4Addr),
    /// Packets of this kind have no such field: the condition does not match.
    Missing,
    Unknown,
}

/// The named sets and maps of a ruleset.
pub struct Sets<'a>(Vec<&'a Value>);

impl<'a> Sets<'a> {
    pub fn of(items: &'a [Value]) -> Self {
        Self(items.iter().filter_map(|item| item.get("set").or_else(|| item.get("map"))).collect())
    }

    /// Evaluates a `match` statement.
    pub fn matches(&self, what: &Value, packet: &Arriving<'_>) -> Match {
        let (left, right) = (what.get("left")?, what.get("right")?);
        let found = match field(left, packet) {
            Field::Missing => return Some(false),
            Field::Unknown => None,
            field => self.is(field, right),
        };
        match text(what, "op") {
            "==" | "in" => found,
            "!=" => found.map(|fits| !fits),
            _ => None,
        }
    }

    /// Evaluates a `vmap` statement: whether a key matches, and its action.
    pub fn mapped<'b>(&'b self, what: &'b Value, packet: &Arriving<'_>) -> (Match, Option<&'b Value>) {
        let field = what.get("key").map_or(Field::Unknown, |key| field(key, packet));
        let data = what.get("data").unwrap_or(&Value::Null);
        let Some(pairs) = self.elements(data) else { return (None, None) };
        let mut unsure = None;
        for pair in pairs {
            let Some([key, action]) = pair.as_array().map(Vec::as_slice) else { continue };
            match (field, self.is(field, key)) {
                (Field::Missing, _) | (_, Some(false)) => {}
                (_, Some(true)) => return (Some(true), Some(action)),
                (_, None) => unsure = unsure.or(Some(action)),
            }
        }
        (if unsure.is_some() { None } else { Some(false) }, unsure)
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

    fn is(&self, field: Field<'_>, value: &Value) -> Match {
        let is_named = value.as_str().is_some_and(|name| name.starts_with('@'));
        if is_named || value.get("set").is_some() || value.is_array() {
            return self.elements(value)?.iter().map(|one| self.is(field, one)).fold(Some(false), either);
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
            Field::Word(word) => value.as_str().map(|value| is_like(word, value)),
            Field::Number(number, name) => {
                value.as_u64().map(|value| value == number).or_else(|| Some(value.as_str()? == name))
            }
            Field::Address(own) => Some(address(value)? == u64::from(own.to_bits())),
            Field::Missing => Some(false),
            Field::Unknown => None,
        }
    }
}

/// Compares names; `value` may end with a wildcard.
fn is_like(word: &str, value: &str) -> bool {
    value.strip_suffix('*').map_or(word == value, |head| word.starts_with(head))
}

fn address(value: &Value) -> Option<u64> {
    value.as_str()?.parse::<Ipv4Addr>().ok().map(|address| address.to_bits().into())
}

fn between(field: Field<'_>, low: &Value, high: &Value) -> Match {
    let (number, low, high) = match field {
        Field::Number(number, _) => (number, low.as_u64()?, high.as_u64()?),
        Field::Address(own) => (own.to_bits().into(), address(low)?, address(high)?),
        _ => return None,
    };
    Some((low..=high).contains(&number))
}

fn within(field: Field<'_>, prefix: &Value) -> Match {
    let Field::Address(own) = field else { return None };
    let length = u32::try_from(prefix.get("len")?.as_u64()?).ok()?;
    let mask = u32::MAX.checked_shl(32u32.saturating_sub(length)).unwrap_or(0);
    Some(u64::from(own.to_bits() & mask) == address(prefix.get("addr")?)?)
}

/// Returns the value of the packet's field that the left side of a condition names.
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
        // Multicasts of a leader are not replies.
        ("ct", _, _, "state") => Field::Word("new"),
        ("fib", ..) if text(what, "result") == "type" => Field::Word("multicast"),
        _ => Field::Unknown,
    }
}
