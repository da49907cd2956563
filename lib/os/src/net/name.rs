//! How users name an interface.

use super::LinkInfo;
use std::convert::Infallible;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Names an interface: by its name, an alternative name (`ip link property add altname`) or the label of an address (`eth1:0`); by its
/// hardware address (`00:1d:c1:a1:72:3c`), which stays when a card is plugged into another socket; or by an IPv4 address of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterfaceName {
    /// A name, an alternative name or a label.
    Name(String),
    /// The hardware address.
    Mac([u8; 6]),
    /// An IPv4 address.
    Address(Ipv4Addr),
}

impl InterfaceName {
    /// The name that makes dante4l choose its interfaces itself.
    pub const AUTO: &str = "auto";

    /// Whether it is [`Self::AUTO`].
    pub fn is_auto(&self) -> bool {
        matches!(self, Self::Name(name) if name == Self::AUTO)
    }

    /// Finds the interface among these.
    ///
    /// A VLAN, a bridge and its first port have the same hardware address: a card precedes the interfaces that are based on it, and an
    /// interface that can be used precedes one that cannot.
    pub fn among<'l>(&self, links: &'l [LinkInfo]) -> Option<&'l LinkInfo> {
        let named = links.iter().filter_map(|link| Some((self.match_of(link)?, link)));
        named.min_by_key(|(precision, link)| (*precision, Self::rank(link))).map(|(_, link)| link)
    }

    /// Whether this link is named so; another one may be named better.
    pub fn names(&self, link: &LinkInfo) -> bool {
        self.match_of(link).is_some()
    }

    /// The link's name, with what is looked for if that is not a name.
    pub(super) fn described(&self, link: &LinkInfo) -> String {
        let name = &link.name;
        match self {
            Self::Name(_) => name.clone(),
            // The loopback interface has none.
            Self::Mac(_) if link.mac == [0; 6] => name.clone(),
            Self::Mac(_) => format!("{name} {}", Self::Mac(link.mac)),
            Self::Address(_) => {
                let addresses = link.addresses.iter().map(|one| format!(" {}", one.address));
                format!("{name}{}", addresses.collect::<String>())
            }
        }
    }

    /// How directly this link is named so: 0 by its name.
    fn match_of(&self, link: &LinkInfo) -> Option<u8> {
        let matches = match self {
            Self::Name(name) => [
                link.name == *name,
                link.alternative_names.contains(name),
                link.addresses.iter().any(|address| address.label == *name),
            ],
            Self::Mac(mac) => [link.mac == *mac, link.permanent_mac == Some(*mac), false],
            Self::Address(wanted) => [link.addresses.iter().any(|one| one.address == *wanted), false, false],
        };
        (0..).zip(matches).find(|(_, matches)| *matches).map(|(number, _)| number)
    }

    fn rank(link: &LinkInfo) -> (bool, bool, u32) {
        let is_usable = link.is_up && !link.addresses.is_empty() && link.master.is_none();
        (!is_usable, link.kind.is_some(), link.index)
    }
}

/// Six pairs of digits with colons or dashes are a hardware address, an IPv4 address is one, and every other text is a name.
impl FromStr for InterfaceName {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match (text.parse(), mac(text)) {
            (Ok(address), _) => Self::Address(address),
            (_, Some(mac)) => Self::Mac(mac),
            _ => Self::Name(text.to_owned()),
        })
    }
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let separator = text.chars().find(|character| matches!(character, ':' | '-'))?;
    let mut pairs = text.split(separator);
    let mut mac = [0; 6];
    for byte in &mut mac {
        let pair = pairs.next().filter(|pair| pair.len() == 2 && !pair.starts_with('+'))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    pairs.next().is_none().then_some(mac)
}

impl From<&str> for InterfaceName {
    fn from(text: &str) -> Self {
        let Ok(name) = text.parse();
        name
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Mac([a, b, c, d, e, g]) => write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests;
