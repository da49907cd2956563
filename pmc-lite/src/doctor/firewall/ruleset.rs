//! Evaluates the rules of nftables for one packet: the output of `nft -j list ruleset` (libnftables-json(5)), in the order of the
//! kernel.
//!
//! A rule with a condition that is not known here neither matches nor fails to match. If the result depends on such a rule, it is
//! [`RuleVerdict::Unclear`]; nothing is guessed.

mod matches;

use dante_core::printable::printable;
use matches::{Match, Sets, both};
use serde_json::Value;
use std::net::Ipv4Addr;

/// A UDP multicast packet that arrives as the first of its flow.
#[derive(Debug, Clone, Copy)]
pub struct Arriving<'a> {
    pub interface: &'a str,
    pub source: Ipv4Addr,
    pub group: Ipv4Addr,
    pub port: u16,
}

/// What the rules do to the packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleVerdict {
    Passes,
    /// Dropped by this chain.
    Dropped(Place),
    /// A rule of this chain decides, by a condition that is not known here.
    Unclear(Place),
}

/// A chain of nftables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub family: String,
    pub table: String,
    pub chain: String,
    /// The policy of the chain drops, not a rule.
    pub by_policy: bool,
}

/// Format of `nft`.
impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Names of tables and chains may contain any character.
        write!(f, "{} {} {}", printable(&self.family), printable(&self.table), printable(&self.chain))
    }
}

/// Maximum depth of jumps; the limit of the kernel (NFT_JUMP_STACK_SIZE).
const MAX_JUMPS: u32 = 16;
/// Hooks that a packet to this host passes before it reaches a socket, in order.
const HOOKS: [&str; 3] = ["ingress", "prerouting", "input"];

/// Returns what the rules do to this packet; `None` if `ruleset` is not output of `nft -j list ruleset`.
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
        let mut possible = Possible::default();
        let by_policy = text(chain, "policy") == "drop";
        let end = match walk.chain(chain, 0, &mut possible) {
            End::Falls if by_policy => End::Drops(Place { by_policy, ..place_of(chain) }),
            other => other,
        };
        match (end, possible) {
            (End::Drops(place), Possible { accepts: None, .. }) => return Some(RuleVerdict::Dropped(place)),
            (End::Drops(_), Possible { accepts: Some(place), .. })
            | (_, Possible { drops: Some(place), .. }) => unclear = unclear.or(Some(place)),
            _ => {}
        }
    }
    Some(unclear.map_or(RuleVerdict::Passes, RuleVerdict::Unclear))
}

/// Result of a chain.
enum End {
    Accepts,
    Drops(Place),
    /// No verdict: the end of the chain, or `return`.
    Falls,
}

/// Chains of the first rules with an unknown condition that would accept or drop.
#[derive(Default)]
struct Possible {
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
    /// Whether this is a base chain that the packet passes.
    fn is_passed(&self, chain: &Value) -> bool {
        let hook = text(chain, "hook");
        let is_here = match text(chain, "family") {
            "ip" | "inet" => true,
            "netdev" => text(chain, "dev") == self.packet.interface,
            _ => false,
        };
        is_here && HOOKS.contains(&hook) && text(chain, "type") != "nat"
    }

    fn chain(&self, chain: &'a Value, depth: u32, possible: &mut Possible) -> End {
        let is_in_same_table =
            |item: &Value| ["family", "table"].iter().all(|key| text(item, key) == text(chain, key));
        let name = text(chain, "name");
        let own = self.rules.iter().filter(|rule| is_in_same_table(rule) && text(rule, "chain") == name);
        for rule in own {
            let statements =
                rule.get("expr").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let (fits, action) = self.rule(statements);
            let Some(action) = action.filter(|_| fits != Some(false)) else { continue };
            let end = match action {
                Action::Accept => End::Accepts,
                Action::Drop => End::Drops(place_of(chain)),
                Action::Return => End::Falls,
                Action::Jump(to) | Action::Goto(to) => {
                    let target =
                        self.chains.iter().find(|other| is_in_same_table(other) && text(other, "name") == to);
                    match target {
                        Some(target) if depth < MAX_JUMPS => self.chain(target, depth + 1, possible),
                        _ => End::Falls,
                    }
                }
            };
            match (fits, end) {
                (Some(true), End::Falls) if !matches!(action, Action::Return | Action::Goto(_)) => {}
                (Some(true), end) => return end,
                (_, End::Accepts) => possible.accepts = possible.accepts.take().or(Some(place_of(chain))),
                (_, End::Drops(place)) => possible.drops = possible.drops.take().or(Some(place)),
                (_, End::Falls) => {}
            }
        }
        End::Falls
    }

    /// Returns whether all conditions of a rule match, and the action of the rule.
    fn rule<'s>(&'s self, statements: &'s [Value]) -> (Match, Option<Action<'s>>) {
        let mut fits = Some(true);
        for statement in statements {
            let Some((kind, what)) = statement.as_object().and_then(|statement| statement.iter().next())
            else {
                continue;
            };
            match kind.as_str() {
                "match" => fits = both(fits, self.sets.matches(what, self.packet)),
                "vmap" => {
                    let (found, action) = self.sets.mapped(what, self.packet);
                    return (both(fits, found), action.and_then(action_of));
                }
                "counter" | "log" | "comment" | "mangle" | "notrack" => {}
                "xt" if text(what, "name") == "comment" => {}
                _ => match action_of(statement) {
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

fn action_of(statement: &Value) -> Option<Action<'_>> {
    let (kind, what) = statement.as_object()?.iter().next()?;
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
