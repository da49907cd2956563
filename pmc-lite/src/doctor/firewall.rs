//! The rules of the kernel's packet filters, as their own tools print them, and whether they let PTP in.

mod ruleset;

use super::host::{HostFacts, InterfaceFacts};
use crate::finding::Finding;
use dante_core::wire::{EVENT_PORT, GENERAL_PORT};
use ruleset::{Arriving, Place, RuleVerdict};
use std::path::Path;
use std::process::{Command, Stdio};

/// Why the rules are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    #[error("{0} is not installed")]
    NoTool(&'static str),
    /// It ended with an error, mostly for want of rights.
    #[error("{tool} says: {said}")]
    Refused { tool: &'static str, said: String },
}

/// The rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// `nft -j list ruleset`: of nftables, and of iptables where that is built on it.
    pub nft: Result<String, Unknown>,
    /// There are tables of the older iptables, which nft does not list.
    pub has_legacy: bool,
}

impl Rules {
    /// Those of the network namespace of this process. Changes nothing.
    pub fn read() -> Self {
        // The kernel names its older tables there as soon as there is one.
        let tables = std::fs::read_to_string("/proc/net/ip_tables_names");
        Self {
            nft: output("nft", &["-j", "list", "ruleset"]),
            has_legacy: tables.is_ok_and(|names| !names.trim().is_empty()),
        }
    }
}

/// A user's PATH may lack the folders of these tools.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

fn output(tool: &'static str, words: &[&str]) -> Result<String, Unknown> {
    let path = FOLDERS.iter().map(|folder| Path::new(folder).join(tool)).find(|path| path.exists());
    let path = path.ok_or(Unknown::NoTool(tool))?;
    let output = Command::new(path)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Unknown::Refused { tool, said: error.to_string() })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("nothing").trim().to_owned();
    Err(Unknown::Refused { tool, said })
}

/// What to do where the rule that drops them is not known.
pub const LOOK: &str = "look for what drops UDP 319 and 320: sudo nft list ruleset; sudo iptables -S";

/// Whether the rules let PTP in.
pub fn judge(host: &HostFacts, network: &InterfaceFacts, gets_through: bool, shut_out: bool) -> Finding {
    let name = &network.name;
    if gets_through {
        return Finding::ok(format!("the firewall lets PTP in on {name}: packets get through"));
    }
    let told = match &host.firewall.nft {
        Ok(text) => [EVENT_PORT, GENERAL_PORT].map(|port| {
            let (source, group) = (network.sender(), network.subdomain.group());
            ruleset::judge(text, &Arriving { interface: name, source, group, port })
        }),
        Err(_) => [None, None],
    };
    for (verdict, port) in told.iter().zip([EVENT_PORT, GENERAL_PORT]) {
        if let Some(RuleVerdict::Dropped(place)) = verdict {
            let by = if place.by_policy { "the policy" } else { "a rule" };
            let what = format!("the firewall drops UDP {port} on {name}, by {by} of chain {place}");
            return Finding::failure(what).remedy(permission(place, name));
        }
    }
    let unclear = told.iter().flatten().find_map(|verdict| match verdict {
        RuleVerdict::Unclear(place) => Some(format!("chain {place} decides by what is not known here")),
        _ => None,
    });
    let unknown = match &host.firewall.nft {
        Err(why) => Some(why.to_string()),
        Ok(_) if told.contains(&None) => Some("nft prints what this program does not read".into()),
        Ok(_) if host.firewall.has_legacy => {
            Some("there are rules of the older iptables, which are not read here".into())
        }
        Ok(_) => unclear,
    };
    let Some(why) = unknown else { return Finding::ok(format!("the firewall lets PTP in on {name}")) };
    let before = if shut_out { "" } else { "sudo pmc-lite doctor; or " };
    Finding::warning(format!("whether the firewall lets PTP in on {name} cannot be told: {why}"))
        .remedy(format!("{before}{LOOK}"))
}

/// In the words of whoever made the rules.
fn permission(place: &Place, interface: &str) -> String {
    if place.table == "firewalld" {
        return "let it in: firewall-cmd --permanent --add-port=319-320/udp; firewall-cmd --reload".into();
    }
    if place.chain.starts_with("ufw") || place.table == "filter" && place.chain == "INPUT" {
        return format!(
            "let it in: ufw allow in on {interface} to any port 319:320 proto udp; where ufw is not used: \
                        iptables -I INPUT -i {interface} -p udp --dport 319:320 -j ACCEPT, and the same where your rules are kept"
        );
    }
    format!(
        "let it in: nft insert rule {place} iifname {interface} udp dport 319-320 accept, and the same where your rules \
         are kept (/etc/nftables.conf)"
    )
}
