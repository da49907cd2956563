//! From the cable to the sockets: interfaces, what is heard on them, and what keeps it out.

use super::firewall::{self, Arriving, Place, Verdict};
use super::host::{Choice, Host, LISTENED, Network, port_of};
use crate::finding::Finding;
use crate::pages::Pages;
use dante_core::explain::Explain;
use dante_core::page::PortRecord;
use dante_core::port::Counter;
use dante_core::wire::{EVENT_PORT, GENERAL_PORT};
use dante_os::host::listen::{Ears, Heard, Leader};
use dante_os::host::routes::Filter;
use dante_os::net::{Interface, NetError};
use std::net::Ipv4Addr;

/// Dante devices without a DHCP server give themselves an address like this one (RFC 3927).
const LINK_LOCAL: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// What there is to listen on.
pub fn interfaces(host: &Host) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(why) = &host.unreadable {
        found.push(
            Finding::failure(format!("the configuration tells no interface: {why}")).remedy(
                "dante4l -f FILE --check-config says what is wrong with it; without a file: -i IFACE",
            ),
        );
    }
    if host.choice == Choice::All && host.unreadable.is_none() {
        found.push(unnamed(host));
    }
    found.extend(judged(host).into_iter().map(|network| interface(host, network)));
    found.extend(judged(host).into_iter().filter_map(stamps));
    found
}

/// Nobody said which one it is.
fn unnamed(host: &Host) -> Finding {
    let with_leader: Vec<&str> = host
        .networks
        .iter()
        .filter(|network| network.leader().is_some())
        .map(|network| network.name.as_str())
        .collect();
    let finding = Finding::failure(
        "dante4l does not run, and no configuration says which interface is on the Dante network: all are looked at",
    );
    match with_leader.as_slice() {
        [one] => finding.remedy(format!("a leader is heard on {one}: {}", naming(host, one))),
        _ => finding.remedy(naming(host, "IFACE")),
    }
}

/// Where nobody said which one it is, those without a leader are of no interest once another has one.
fn judged(host: &Host) -> Vec<&Network> {
    let is_told = |network: &&Network| network.leader().is_some();
    let has_leader = host.choice == Choice::All && host.networks.iter().any(|network| is_told(&network));
    host.networks.iter().filter(|network| !has_leader || is_told(network)).collect()
}

fn interface(host: &Host, network: &Network) -> Finding {
    let name = &network.name;
    let finding = match &network.link {
        Err(error) => {
            let finding = Finding::failure(error.what());
            match (error, error.remedy()) {
                (NetError::NotFound { present, .. }, _) => {
                    let others: Vec<&String> = present.iter().filter(|name| *name != "lo").collect();
                    finding.remedy(match others.as_slice() {
                        [only] => naming(host, only),
                        _ => format!("for one of these: {}", naming(host, "IFACE")),
                    })
                }
                (_, Some(remedy)) => finding.remedy(remedy),
                (_, None) => finding,
            }
        }
        Ok(link) if !link.up => Finding::failure(format!("{name} ({}) has no carrier", link.address))
            .remedy("plug the cable in, and look at the other end of it"),
        Ok(link) => return Finding::ok(format!("{name} is up, {}", link.address)),
    };
    match elsewhere(host) {
        Some((other, leader)) => {
            let what = format!(
                "{}; a leader, {} at {}, is heard on {other}",
                finding.what, leader.identity, leader.address
            );
            Finding { what, ..finding }.remedy(naming(host, other))
        }
        None => finding,
    }
}

/// How dante4l is told its interface.
fn naming(host: &Host, interface: &str) -> String {
    format!(
        "interface = \"{interface}\" in section [dante4l] of {} (or -i {interface}), and systemctl restart {}",
        host.configuration().display(),
        host.unit()
    )
}

/// A leader on an interface that nobody named.
fn elsewhere(host: &Host) -> Option<(&String, &Leader)> {
    host.elsewhere.iter().find_map(|(name, heard)| Some((name, heard.leaders.first()?)))
}

fn stamps(network: &Network) -> Option<Finding> {
    let (name, able) = (&network.name, network.stamps?);
    network.link.as_ref().ok()?;
    Some(match (able.stamps_arrivals(), able.clock, able.stamps_arrivals_by_software()) {
        (true, Some(clock), _) => {
            Finding::ok(format!("{name} has hardware time stamps, of /dev/ptp{clock}, and the kernel's"))
        }
        (_, _, true) => Finding::ok(format!("{name} has the kernel's time stamps, and none in hardware")),
        _ => Finding::failure(format!("{name} has no time stamps of what arrives: nothing can be measured"))
            .remedy(format!(
                "another network card, or another driver; ethtool -T {name} shows what it offers"
            )),
    })
}

impl Network {
    /// Packets arrive at the interface, and none of this port at a program.
    fn is_shut_out(&self, of: impl Fn(&Heard) -> Ears) -> bool {
        let heard = self.heard.as_ref().filter(|heard| heard.deaf.is_none());
        heard.is_some_and(|heard| {
            let ears = of(heard);
            ears.sockets == 0 && ears.interface.is_some_and(|count| count > 0)
        })
    }
}

/// What arrives, and what is in its way.
pub fn judge(host: &Host, pages: &Pages) -> Vec<Finding> {
    let mut found = Vec::new();
    for network in judged(host) {
        let Ok(Interface { up: true, .. }) = &network.link else { continue };
        let port = port_of(pages, &network.name);
        let gets_through =
            network.is_followed(pages) || network.leader().is_some_and(|leader| leader.is_let_in);
        let halves = [|heard: &Heard| heard.event, |heard: &Heard| heard.general];
        let shut_out = halves.iter().any(|half| network.is_shut_out(half));
        found.push(reverse_path(network, gets_through && !shut_out));
        found.push(filtered(host, network, gets_through && !shut_out, shut_out));
        found.extend(membership(host, network, port));
        found.extend(heard(host, network, pages));
    }
    found
}

/// A sender that the kernel may throw away: one that is, or one as Dante devices are.
fn sender(network: &Network) -> Ipv4Addr {
    let heard = network.heard.as_ref();
    heard.and_then(|heard| heard.shut_out.first().copied()).unwrap_or(LINK_LOCAL)
}

fn reverse_path(network: &Network, gets_through: bool) -> Finding {
    let name = &network.name;
    let filter = match network.reverse_path.filter {
        Filter::Off => return Finding::ok(format!("rp_filter is off on {name}: no source is thrown away")),
        Filter::Strict => "strict",
        Filter::Loose => "loose",
    };
    let source = sender(network);
    if gets_through || !network.reverse_path.drops(name, source) {
        return Finding::ok(format!("rp_filter is {filter} on {name}, and lets what arrives there in"));
    }
    let block = if source.is_link_local() { "169.254.0.0/16".into() } else { format!("{source}/32") };
    let remedy = format!(
        "give {name} a way there: ip route add {block} dev {name} (and for good in its network configuration)"
    );
    if network.heard.as_ref().is_some_and(|heard| heard.shut_out.contains(&source)) {
        Finding::failure(format!(
            "rp_filter is {filter} on {name}, which has no route to {source}: all that comes from there is thrown away"
        ))
        .remedy(remedy)
    } else {
        Finding::warning(format!(
            "rp_filter is {filter} on {name}, which has no route to {block}: Dante devices without DHCP have such \
             addresses, and would not be heard"
        ))
        .remedy(remedy)
    }
}

const LOOK: &str = "look for what drops UDP 319 and 320: sudo nft list ruleset; sudo iptables -S";

fn filtered(host: &Host, network: &Network, gets_through: bool, shut_out: bool) -> Finding {
    let name = &network.name;
    if gets_through {
        return Finding::ok(format!("the firewall lets PTP in on {name}: packets get through"));
    }
    let told = match &host.firewall.nft {
        Ok(text) => [EVENT_PORT, GENERAL_PORT].map(|port| {
            let (source, group) = (sender(network), network.subdomain.group());
            firewall::judge(text, &Arriving { interface: name, source, group, port })
        }),
        Err(_) => [None, None],
    };
    for (verdict, port) in told.iter().zip([EVENT_PORT, GENERAL_PORT]) {
        if let Some(Verdict::Dropped(place)) = verdict {
            let by = if place.by_policy { "the policy" } else { "a rule" };
            let what = format!("the firewall drops UDP {port} on {name}, by {by} of chain {place}");
            return Finding::failure(what).remedy(permission(place, name));
        }
    }
    let unclear = told.iter().flatten().find_map(|verdict| match verdict {
        Verdict::Unclear(place) => Some(format!("chain {place} decides by what is not known here")),
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

/// Only who has joined the group is sent its packets by a switch that snoops.
fn membership(host: &Host, network: &Network, port: Option<&PortRecord>) -> Vec<Finding> {
    let (name, group) = (&network.name, network.subdomain.group());
    let mut found = Vec::new();
    let memberships = &network.memberships;
    let version =
        memberships.version.map(|version| format!(", told by IGMP version {version}")).unwrap_or_default();
    if port.is_some_and(|port| port.identity().is_some()) {
        found.push(if memberships.groups.contains(&group) {
            Finding::ok(format!("{name} is a member of {group}{version}"))
        } else {
            Finding::failure(format!(
                "{name} is no member of {group}: a switch need not send its packets here"
            ))
            .remedy(format!("systemctl restart {}", host.unit()))
        });
    }
    if let Some(version @ 1) = memberships.forced {
        found.push(
            Finding::warning(format!(
                "{name} is forced to IGMP version {version}: switches that snoop may not understand it"
            ))
            .remedy(format!(
                "sysctl -w net.ipv4.conf.all.force_igmp_version=0 net.ipv4.conf.{name}.force_igmp_version=0"
            )),
        );
    }
    found
}

fn heard(host: &Host, network: &Network, pages: &Pages) -> Vec<Finding> {
    let Network { name, subdomain, .. } = network;
    let port = port_of(pages, name);
    if network.is_followed(pages) {
        let who = port.and_then(PortRecord::leader);
        let who = who.map(|who| format!(" {} at {}", who.identity(), who.address())).unwrap_or_default();
        return vec![Finding::ok(format!("{name} hears the leader{who}, in subdomain {subdomain}"))];
    }
    let Some(heard) = &network.heard else { return Vec::new() };
    let halves = [
        ("Syncs", EVENT_PORT, network.is_shut_out(|heard| heard.event)),
        ("Follow_Ups", GENERAL_PORT, network.is_shut_out(|heard| heard.general)),
    ];
    if let Some(leader) = network.leader() {
        let who = format!("the leader {} at {}", leader.identity, leader.address);
        if let Some((what, port, _)) = halves.iter().find(|(_, _, shut_out)| *shut_out) {
            return vec![Finding::failure(format!(
                "{what} of {who} arrive at {name}, and are thrown away on this host before a program gets them (UDP {port})"
            ))
            .remedy(format!("where rp_filter or the firewall is named above, do what stands there; else {LOOK}"))];
        }
        let mut found = vec![Finding::ok(format!("{name} hears {who}, in subdomain {subdomain}"))];
        if leader.is_let_in && heard.general.sockets == 0 {
            found.push(
                Finding::failure(format!(
                    "no Follow_Up is heard on {name}, but Syncs are: UDP 320 does not get here"
                ))
                .remedy(LOOK),
            );
        }
        return found;
    }
    vec![missing(host, network, heard, port)]
}

/// Why there is no leader.
fn missing(host: &Host, network: &Network, heard: &Heard, port: Option<&PortRecord>) -> Finding {
    let Network { name, subdomain, .. } = network;
    let (configuration, unit) = (host.configuration(), host.unit());
    let configuration = configuration.display();
    if let Some(leader) = heard.leaders.first() {
        let (theirs, who) = (leader.subdomain, leader.identity);
        let follow = format!(
            "subdomain = \"{theirs}\" in section [dante4l] of {configuration} (or --subdomain {theirs}), systemctl restart {unit}"
        );
        return Finding::failure(format!(
            "{name} hears the leader {who} at {}, but in subdomain {theirs}, and {subdomain} is followed",
            leader.address
        ))
        .remedy(if theirs.is_pull_up() {
            format!(
                "set the devices' pull-up back to none in Dante Controller\n\
                 or, for a clock that is per cents off UTC: {follow}, allow-pull-up = true in section [dante2sys], and systemctl restart dante2sys"
            )
        } else {
            format!("follow it: {follow}")
        });
    }
    if let Some((other, leader)) = elsewhere(host) {
        return Finding::failure(format!(
            "no leader is heard on {name}, but {} at {} is on {other}: {name} is the wrong interface",
            leader.identity, leader.address
        ))
        .remedy(naming(host, other));
    }
    if heard.ptp_v2.heard_any() {
        return Finding::failure(format!(
            "{name} hears PTPv2 only: these devices speak AES67, and no Dante device leads with PTPv1"
        ))
        .remedy("enable PTPv1 on one of them (in Dante Controller, for a device in AES67 mode), or bring in a Dante device that leads");
    }
    if let Some(why) = &heard.deaf
        && !heard.event.heard_any()
    {
        let remedy =
            if heard.is_port_taken { "stop who has it: see ports below" } else { "sudo pmc-lite doctor" };
        return Finding::warning(format!("{name} could not be listened to: {why}")).remedy(remedy);
    }
    let seconds = LISTENED.as_secs();
    let once = port.map_or(0, |port| port.counters().get(Counter::Sync));
    if once > 0 {
        let anew = match port.map_or(0, |port| port.counters().get(Counter::Rejoined)) {
            0 => String::new(),
            count => {
                format!(", although the membership of {} was told anew {count} times", subdomain.group())
            }
        };
        return Finding::failure(format!(
            "the leader on {name} fell silent: {once} Syncs came, and none within {seconds} s{anew}"
        ))
        .remedy(
                "is it still there? If Syncs stop some minutes after each start of dante4l, a switch snoops IGMP and has no \
                 querier: turn a querier on in it, or snooping off",
            );
    }
    let other = if heard.event.heard_any() || heard.general.heard_any() {
        "PTP packets, but no leader's Sync"
    } else {
        "nothing that speaks PTP"
    };
    let nor: String = host.elsewhere.iter().map(|(name, _)| format!(", nor on {name}")).collect();
    Finding::failure(format!("no leader on {name}{nor}: {other} within {seconds} s")).remedy(
        "is a Dante device on, and in this network's VLAN? Dante Controller shows which one leads. A switch that snoops IGMP needs \
         a querier",
    )
}
