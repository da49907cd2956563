//! Whether the rules of nftables let a packet in: `nft -j list ruleset` (libnftables-json(5)), read as the kernel walks it.
//!
//! What a rule asks for and is not known here makes it neither fit nor not fit, and the answer may then be that it cannot be
//! told: it is never guessed.

mod matches;

use matches::{Fits, Sets, both};
use serde_json::Value;
use std::net::Ipv4Addr;

/// A multicast packet that arrives, over UDP, as the first of its flow.
#[derive(Debug, Clone, Copy)]
pub struct Arriving<'a> {
    pub interface: &'a str,
    pub source: Ipv4Addr,
    pub group: Ipv4Addr,
    pub port: u16,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleVerdict {
    Passes,
    /// By this chain of nftables.
    Dropped(Place),
    /// A rule of this chain decides, by something that is not known here.
    Unclear(Place),
}

/// A chain of nftables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub family: String,
    pub table: String,
    pub chain: String,
    /// It is the chain's policy that drops, and no rule.
    pub by_policy: bool,
}

/// As `nft` names it.
impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.family, self.table, self.chain)
    }
}

/// Jumps within jumps, at most; the kernel's own bound (NFT_JUMP_STACK_SIZE).
const DEEPEST: u32 = 16;
/// The hooks that a packet to this host passes, before a socket has it.
const HOOKS: [&str; 3] = ["ingress", "prerouting", "input"];

/// What these rules do to this packet; `None` where they are not what nft prints.
pub fn judge(ruleset: &str, packet: &Arriving<'_>) -> Option<RuleVerdict> {
    let document: Value = serde_json::from_str(ruleset).ok()?;
    let items = document.get("nftables")?.as_array()?;
    let of = |kind| items.iter().filter_map(move |item| item.get(kind));
    let sets = Sets::of(items);
    let walk = Walk { rules: of("rule").collect(), chains: of("chain").collect(), sets, packet };
    let mut bases: Vec<&Value> = walk.chains.iter().copied().filter(|chain| walk.is_passed(chain)).collect();
    let place = |hook: &str| HOOKS.iter().position(|known| *known == hook);
    bases.sort_by_key(|chain| (place(text(chain, "hook")), chain.get("prio").and_then(Value::as_i64)));
    let mut unclear = None;
    for chain in bases {
        let mut doubts = Doubts::default();
        let by_policy = text(chain, "policy") == "drop";
        let end = match walk.chain(chain, 0, &mut doubts) {
            End::Falls if by_policy => End::Drops(Place { by_policy, ..place_of(chain) }),
            other => other,
        };
        match (end, doubts) {
            (End::Drops(place), Doubts { accepts: None, .. }) => return Some(RuleVerdict::Dropped(place)),
            (End::Drops(_), Doubts { accepts: Some(place), .. }) | (_, Doubts { drops: Some(place), .. }) => {
                unclear = unclear.or(Some(place))
            }
            _ => {}
        }
    }
    Some(unclear.map_or(RuleVerdict::Passes, RuleVerdict::Unclear))
}

/// How the walk through a chain ended.
enum End {
    Accepts,
    Drops(Place),
    /// At its end, or with `return`.
    Falls,
}

/// What rules that may fit would do, the first of each kind.
#[derive(Default)]
struct Doubts {
    accepts: Option<Place>,
    drops: Option<Place>,
}

struct Walk<'a> {
    rules: Vec<&'a Value>,
    chains: Vec<&'a Value>,
    sets: Sets<'a>,
    packet: &'a Arriving<'a>,
}

enum Action<'a> {
    Accept,
    Drop,
    Return,
    Jump(&'a str),
    Goto(&'a str),
}

impl<'a> Walk<'a> {
    /// A base chain that this packet goes through.
    fn is_passed(&self, chain: &Value) -> bool {
        let hook = text(chain, "hook");
        let is_here = match text(chain, "family") {
            "ip" | "inet" => true,
            "netdev" => text(chain, "dev") == self.packet.interface,
            _ => false,
        };
        is_here && HOOKS.contains(&hook) && text(chain, "type") != "nat"
    }

    fn chain(&self, chain: &'a Value, depth: u32, doubts: &mut Doubts) -> End {
        let is_beside =
            |item: &Value| ["family", "table"].iter().all(|key| text(item, key) == text(chain, key));
        let name = text(chain, "name");
        let own = self.rules.iter().filter(|rule| is_beside(rule) && text(rule, "chain") == name);
        for rule in own {
            let words = rule.get("expr").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let (fits, action) = self.rule(words);
            let Some(action) = action.filter(|_| fits != Some(false)) else { continue };
            let end = match action {
                Action::Accept => End::Accepts,
                Action::Drop => End::Drops(place_of(chain)),
                Action::Return => End::Falls,
                Action::Jump(to) | Action::Goto(to) => {
                    let target =
                        self.chains.iter().find(|other| is_beside(other) && text(other, "name") == to);
                    match target {
                        Some(target) if depth < DEEPEST => self.chain(target, depth + 1, doubts),
                        _ => End::Falls,
                    }
                }
            };
            match (fits, end) {
                (Some(true), End::Falls) if !matches!(action, Action::Return | Action::Goto(_)) => {}
                (Some(true), end) => return end,
                (_, End::Accepts) => doubts.accepts = doubts.accepts.take().or(Some(place_of(chain))),
                (_, End::Drops(place)) => doubts.drops = doubts.drops.take().or(Some(place)),
                (_, End::Falls) => {}
            }
        }
        End::Falls
    }

    /// Whether all that a rule asks for is so, and what it then does.
    fn rule<'s>(&'s self, words: &'s [Value]) -> (Fits, Option<Action<'s>>) {
        let mut fits = Some(true);
        for word in words {
            let Some((kind, what)) = word.as_object().and_then(|word| word.iter().next()) else { continue };
            match kind.as_str() {
                "match" => fits = both(fits, self.sets.matches(what, self.packet)),
                "vmap" => {
                    let (found, action) = self.sets.mapped(what, self.packet);
                    return (both(fits, found), action.and_then(action_of));
                }
                "counter" | "log" | "comment" | "mangle" | "notrack" => {}
                "xt" if text(what, "name") == "comment" => {}
                _ => match action_of(word) {
                    Some(action) => return (fits, Some(action)),
                    None => fits = both(fits, None),
                },
            }
            if fits == Some(false) {
                break;
            }
        }
        (fits, None)
    }
}

fn action_of(word: &Value) -> Option<Action<'_>> {
    let (kind, what) = word.as_object()?.iter().next()?;
    let target = || what.get("target").and_then(Value::as_str);
    Some(match kind.as_str() {
        "accept" => Action::Accept,
        "drop" | "reject" => Action::Drop,
        "return" => Action::Return,
        "jump" => Action::Jump(target()?),
        "goto" => Action::Goto(target()?),
        _ => return None,
    })
}

fn place_of(chain: &Value) -> Place {
    let [family, table, name] = ["family", "table", "name"].map(|key| text(chain, key).to_owned());
    Place { family, table, chain: name, by_policy: false }
}

fn text<'a>(item: &'a Value, key: &str) -> &'a str {
    item.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests;
