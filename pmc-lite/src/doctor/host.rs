//! What is known of this host, and how it is gathered. Reading it changes nothing.

use super::chrony::Chrony;
use super::firewall::Rules;
use super::listen::{Arrivals, Received, ReceivedLeader, listen};
use super::membership::Memberships;
use super::ports::{Holder, holders};
use super::programs::PageFile;
use super::routes::ReversePath;
use crate::args::DoctorArgs;
use crate::pages::{Pages, Read, configuration, said, unit};
use dante_core::page::{
    Body, Dante2sys, Dante2sysStatus, Dante4l, Dante4lStatus, Danteshm, DanteshmStatus, PortRecord,
};
use dante_core::port::State;
use dante_core::wire::{EVENT_PORT, GENERAL_PORT, Subdomain};
use dante_os::competing_daemons::{self, CompetingDaemon};
use dante_os::daemon;
use dante_os::denial::Denial;
use dante_os::net::{self, Abilities, Interface, Kind, NetError};
use dante_os::page::Instance;
use dante_os::procfs::{Process, text_of};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Syncs come four times a second, and with other settings every two seconds at most.
pub const LISTENED: Duration = Duration::from_millis(2_200);

/// Dante devices without a DHCP server give themselves an address like this one (RFC 3927).
const LINK_LOCAL: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// All that is judged, beside the daemons' pages.
#[derive(Debug)]
pub struct HostFacts {
    pub instance: Option<Instance>,
    pub choice: Choice,
    /// What the file that was named, or the host's own, cannot be read for.
    pub unreadable: Option<String>,
    pub networks: Vec<InterfaceFacts>,
    /// What is heard on this host's other interfaces, where no leader is heard on these.
    pub elsewhere: Vec<(String, Received)>,
    pub firewall: Rules,
    /// Who has UDP 319 and 320.
    pub holders: Vec<Holder>,
    /// Who steers CLOCK_REALTIME.
    pub competitors: Vec<CompetingDaemon>,
    /// Files in the places of each daemon's pages: the clock page, then the status page.
    pub pages: [[PageFile; 2]; 3],
    /// The processes that the pages name as their writers, where they run.
    pub writers: [Option<Running>; 3],
    pub chrony: Chrony,
}

/// Who says which interfaces are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    Flag,
    Page,
    Configuration(PathBuf),
    /// Nobody: all are.
    All,
}

/// One interface, and what is heard there.
#[derive(Debug)]
pub struct InterfaceFacts {
    pub name: String,
    pub subdomain: Subdomain,
    pub link: Result<Interface, NetError>,
    pub memberships: Memberships,
    pub reverse_path: ReversePath,
    pub stamps: Option<Abilities>,
    /// What was heard; `None` where nobody listened, since dante4l follows a leader there or there is no such network.
    pub heard: Option<Received>,
}

impl HostFacts {
    pub fn look(args: &DoctorArgs, pages: &Pages, instance: Option<&Instance>) -> Self {
        let (choice, names, subdomain, unreadable) = choose(args, pages, instance);
        // Before this program opens sockets of its own.
        let holders = holders(&[EVENT_PORT, GENERAL_PORT]);
        let mut networks: Vec<InterfaceFacts> =
            names.into_iter().map(|name| InterfaceFacts::look(name, subdomain, pages)).collect();
        let elsewhere = hear(&mut networks, pages);
        // The kernel tells of a carrier up to a second late.
        networks.iter_mut().for_each(|network| network.link = Interface::find(&network.name));
        Self {
            instance: instance.cloned(),
            choice,
            unreadable,
            elsewhere,
            networks,
            holders,
            firewall: Rules::read(),
            competitors: competing_daemons::find(),
            pages: [
                [PageFile::of::<Dante4l>(instance), PageFile::of::<Dante4lStatus>(instance)],
                [PageFile::of::<Dante2sys>(instance), PageFile::of::<Dante2sysStatus>(instance)],
                [PageFile::of::<Danteshm>(instance), PageFile::of::<DanteshmStatus>(instance)],
            ],
            writers: [writer(&pages.dante4l), writer(&pages.dante2sys), writer(&pages.danteshm)],
            chrony: Chrony::read(),
        }
    }

    /// The file that names the interface, for people.
    pub fn configuration(&self) -> PathBuf {
        match &self.choice {
            Choice::Configuration(path) => path.clone(),
            _ => configuration(self.instance.as_ref()).into(),
        }
    }

    /// dante4l's unit.
    pub fn unit(&self) -> String {
        unit(Dante4lStatus::PROGRAM, self.instance.as_ref())
    }
}

impl InterfaceFacts {
    fn look(name: String, subdomain: Subdomain, pages: &Pages) -> Self {
        let subdomain = port_of(pages, &name).map_or(subdomain, |port| Subdomain(port.subdomain));
        Self {
            subdomain,
            link: Interface::find(&name),
            memberships: Memberships::of(&name),
            reverse_path: ReversePath::of(&name),
            stamps: net::abilities(&name),
            heard: None,
            name,
        }
    }

    /// dante4l follows a leader here.
    pub fn is_followed(&self, pages: &Pages) -> bool {
        port_of(pages, &self.name).and_then(PortRecord::state) == Some(State::Slave)
    }

    /// These packets arrive at the interface, and none at a program.
    pub fn is_shut_out(&self, of: impl Fn(&Received) -> Arrivals) -> bool {
        self.heard.as_ref().is_some_and(|heard| heard.is_shut_out(of))
    }

    /// Another program has a port of PTP's and does not share it.
    pub fn is_port_taken(&self) -> bool {
        let failure = self.heard.as_ref().and_then(|heard| heard.failure.as_ref());
        failure.is_some_and(|failure| failure.denial == Some(Denial::InUse))
    }

    /// A sender that the kernel may drop: one that it does drop, or one as Dante devices are.
    pub fn sender(&self) -> Ipv4Addr {
        let heard = self.heard.as_ref();
        heard.and_then(|heard| heard.shut_out.first().copied()).unwrap_or(LINK_LOCAL)
    }

    /// The leader of the subdomain that is wanted, if one is heard.
    pub fn leader(&self) -> Option<&ReceivedLeader> {
        let leaders = self.heard.iter().flat_map(|heard| &heard.leaders);
        leaders.into_iter().find(|leader| leader.subdomain == self.subdomain)
    }
}

/// A process, as all may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its process id.
    pub pid: u32,
    /// Its name, cut to 15 characters.
    pub name: String,
    /// Its effective rights (capabilities(7)), a bit for each; `None`: not known.
    pub rights: Option<u64>,
}

impl Running {
    /// The process of this id; `None` where there is none, or where it has ended and its parent was not told yet.
    pub fn of(pid: u32) -> Option<Self> {
        Self::in_tree(Path::new("/proc"), pid)
    }

    pub fn in_tree(proc: &Path, pid: u32) -> Option<Self> {
        let process = Process::new(proc, pid);
        let name = process.name()?;
        (!process.is_dead()).then(|| Self { pid, name, rights: process.rights() })
    }

    /// Whether it has this right; what is not known counts as yes.
    pub fn may(&self, right: u32) -> bool {
        self.rights.is_none_or(|bits| bits >> right & 1 == 1)
    }
}

/// A number below /proc/sys/net/ipv4/conf, of one interface or of `all`.
pub fn setting(proc: &Path, interface: &str, name: &str) -> Option<u32> {
    let path = proc.join("sys/net/ipv4/conf").join(interface).join(name);
    text_of(&path)?.trim().parse().ok()
}

/// What a running dante4l says of this interface.
pub fn port_of<'a>(pages: &'a Pages, interface: &str) -> Option<&'a PortRecord> {
    let body = said::<Dante4lStatus>(&pages.dante4l)?;
    body.ports().iter().find(|port| port.interface.to_string() == interface)
}

fn writer<B: Body>(read: &Read<B>) -> Option<Running> {
    let running = Running::of(read.as_ref().ok()?.pid)?;
    // The number may be another process' by now.
    (running.name == B::PROGRAM).then_some(running)
}

type Chosen = (Choice, Vec<String>, Subdomain, Option<String>);

fn choose(args: &DoctorArgs, pages: &Pages, instance: Option<&Instance>) -> Chosen {
    let path = args.config.clone().unwrap_or_else(|| configuration(instance).into());
    let is_needed = args.config.is_some() || path.exists();
    let read = |key| if is_needed { daemon::values(&path, "dante4l", key) } else { Ok(Vec::new()) };
    let (names, unreadable) = match read("interface") {
        Ok(names) => (names, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let subdomain =
        read("subdomain").ok().and_then(|names| names.first()?.parse().ok()).unwrap_or(Subdomain::DFLT);
    // What a dead one says of its interfaces is as good as nothing else.
    let on_page: Vec<String> = (pages.dante4l.as_ref())
        .map(|view| view.body.ports().iter().map(|port| port.interface.to_string()).collect())
        .unwrap_or_default();
    let runs = pages.has_dante4l() && !on_page.is_empty() && args.config.is_none();
    let (choice, names) = if !args.interface.is_empty() {
        (Choice::Flag, args.interface.clone())
    } else if !names.is_empty() && !runs {
        (Choice::Configuration(path), names)
    } else if !on_page.is_empty() && args.config.is_none() {
        (Choice::Page, on_page)
    } else {
        (Choice::All, usable().map(|interface| interface.name).collect())
    };
    (choice, names, subdomain, unreadable)
}

/// Every interface that could be on a Dante network: up, with an address.
fn usable() -> impl Iterator<Item = Interface> {
    let names = net::names().unwrap_or_default().into_iter();
    names.filter_map(|name| Interface::find(&name).ok()).filter(|interface| interface.kind != Kind::Loopback)
}

/// Listens where dante4l follows nobody; if it does nowhere, on all other interfaces at the same time, and returns what they tell
/// where that is worth telling.
fn hear(networks: &mut [InterfaceFacts], pages: &Pages) -> Vec<(String, Received)> {
    let is_followed = networks.iter().any(|network| network.is_followed(pages));
    let mut silent: Vec<&mut InterfaceFacts> =
        networks.iter_mut().filter(|network| !network.is_followed(pages) && network.link.is_ok()).collect();
    let mut interfaces: Vec<Interface> =
        silent.iter().filter_map(|network| network.link.as_ref().ok().cloned()).collect();
    let own = interfaces.len();
    if !is_followed {
        let others: Vec<Interface> = usable()
            .filter(|other| interfaces.iter().all(|interface| interface.name != other.name))
            .collect();
        interfaces.extend(others);
    }
    let mut heard = listen(&interfaces, LISTENED);
    let others = interfaces.into_iter().skip(own).map(|interface| interface.name);
    let elsewhere = others.zip(heard.split_off(own)).collect();
    for (network, heard) in silent.iter_mut().zip(heard) {
        network.heard = Some(heard);
    }
    let has_leader = networks.iter().any(|network| network.leader().is_some());
    if has_leader { Vec::new() } else { elsewhere }
}
