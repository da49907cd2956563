//! Check whether the packet filter (nftables) lets PTP in, by the rules that `nft` prints.

mod ruleset;

use super::host::{HostFacts, InterfaceFacts};
use crate::finding::Finding;
use dante_core::wire::{EVENT_PORT, GENERAL_PORT};
use ruleset::{Arriving, Place, RuleVerdict};
use std::path::Path;
use std::process::{Command, Stdio};

/// Why the rules could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    #[error("{0} is not installed")]
    NoTool(&'static str),
    /// The tool failed, usually for lack of privileges.
    #[error("{tool}: {message}")]
    Failed { tool: &'static str, message: String },
}

/// The rules of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Output of `nft -j list ruleset`: the rules of nftables, and those of iptables-nft.
    pub nft: Result<String, Unknown>,
    /// There are tables of legacy iptables, which nft does not list.
    pub has_legacy: bool,
}

impl Rules {
    /// Reads the rules of this network namespace. Changes nothing.
    pub fn read() -> Self {
        // The kernel lists the tables of legacy iptables in this file.
        let tables = std::fs::read_to_string("/proc/net/ip_tables_names");
        Self {
            nft: output("nft", &["-j", "list", "ruleset"]),
            has_legacy: tables.is_ok_and(|names| !names.trim().is_empty()),
        }
    }
}

/// Folders in which the tools are searched: the PATH of a user may lack sbin.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

fn output(tool: &'static str, words: &[&str]) -> Result<String, Unknown> {
    let path = FOLDERS.iter().map(|folder| Path::new(folder).join(tool)).find(|path| path.exists());
    let path = path.ok_or(Unknown::NoTool(tool))?;
    let output = Command::new(path)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Unknown::Failed { tool, message: error.to_string() })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let message = stderr.lines().find(|line| !line.trim().is_empty()).unwrap_or("failed without a message");
    Err(Unknown::Failed { tool, message: message.trim().to_owned() })
}

/// Remedy if it is not known which rule drops the packets.
pub const FIND_RULE: &str =
    "find the rule that drops UDP 319 and 320: sudo nft list ruleset; sudo iptables -S";

/// Checks whether the rules let PTP in on this interface. `gets_through`: packets of the leader reach the sockets;
/// `is_blocked`: packets to one of the ports arrive at the interface and reach no socket.
pub fn judge(host: &HostFacts, network: &InterfaceFacts, gets_through: bool, is_blocked: bool) -> Finding {
    let name = &network.name;
    if gets_through {
        return Finding::ok(format!("the firewall lets PTP in on {name}: packets reach the sockets"));
    }
    let verdicts = match &host.firewall.nft {
        Ok(text) => [EVENT_PORT, GENERAL_PORT].map(|port| {
            let (source, group) = (network.sender(), network.subdomain.group());
            ruleset::judge(text, &Arriving { interface: name, source, group, port })
        }),
        Err(_) => [None, None],
    };
    for (verdict, port) in verdicts.iter().zip([EVENT_PORT, GENERAL_PORT]) {
        if let Some(RuleVerdict::Dropped(place)) = verdict {
            let by = if place.by_policy { "the policy" } else { "a rule" };
            let what = format!("the firewall drops UDP {port} on {name}, by {by} of chain {place}");
            return Finding::failure(what).remedy(permission(place, name));
        }
    }
    let unclear = verdicts.iter().flatten().find_map(|verdict| match verdict {
        RuleVerdict::Unclear(place) => {
            Some(format!("a rule of chain {place} depends on a condition that pmc-lite cannot evaluate"))
        }
        _ => None,
    });
    let unknown = match &host.firewall.nft {
        Err(why) => Some(why.to_string()),
        Ok(_) if verdicts.contains(&None) => {
            Some("the output of nft -j list ruleset cannot be parsed".into())
        }
        Ok(_) if host.firewall.has_legacy => {
            Some("there are rules of legacy iptables, which pmc-lite does not read".into())
        }
        Ok(_) => unclear,
    };
    let Some(why) = unknown else { return Finding::ok(format!("the firewall lets PTP in on {name}")) };
    let before = if is_blocked { "" } else { "sudo pmc-lite doctor; or " };
    Finding::warning(format!("cannot determine whether the firewall lets PTP in on {name}: {why}"))
        .remedy(format!("{before}{FIND_RULE}"))
}

/// Returns the command that lets PTP in, for the tool that manages the chain.
fn permission(place: &Place, interface: &str) -> String {
    if place.table == "firewalld" {
        return "allow it: firewall-cmd --permanent --add-port=319-320/udp; firewall-cmd --reload".into();
    }
    if place.chain.starts_with("ufw") || place.table == "filter" && place.chain == "INPUT" {
        return format!(
            "allow it: ufw allow in on {interface} to any port 319:320 proto udp; without ufw: iptables -I INPUT -i {interface} \
             -p udp --dport 319:320 -j ACCEPT, and add the same to your saved rules"
        );
    }
    format!(
        "allow it: nft insert rule {place} iifname {interface} udp dport 319-320 accept, and add the same to your saved \
         rules (/etc/nftables.conf)"
    )
}
