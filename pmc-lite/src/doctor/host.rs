//! Facts about this host that the checks use. Gathering them changes nothing.

use super::chrony::Chrony;
use super::firewall::Rules;
use super::listen::{Arrivals, Received, ReceivedLeader, listen};
use super::membership::Memberships;
use super::ports::{Holder, holders};
use super::programs::PageFile;
use super::routes::ReversePath;
use crate::args::DoctorArgs;
use crate::pages::{Pages, Read, configuration, fresh_body, unit};
use dante_core::page::{
    Body, Dante2sys, Dante2sysStatus, Dante4l, Dante4lStatus, Danteshm, DanteshmStatus, PortRecord,
};
use dante_core::port::State;
use dante_core::wire::{EVENT_PORT, GENERAL_PORT, Subdomain};
use dante_os::competing_daemons::{self, CompetingDaemon, Found};
use dante_os::daemon;
use dante_os::denial::Denial;
use dante_os::net::{self, Capabilities, Interface, Kind, NetError};
use dante_os::page::Instance;
use dante_os::procfs::{Process, text_of};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Duration of listening to a network. Dante leaders send four Syncs a second, with other settings at least one every 2 s.
pub const LISTEN_TIME: Duration = Duration::from_millis(2_200);

/// Example of a link-local address (RFC 3927), which Dante devices use without a DHCP server.
const LINK_LOCAL: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// Everything that the checks use besides the pages of the daemons.
#[derive(Debug)]
pub struct HostFacts {
    pub instance: Option<Instance>,
    pub choice: Choice,
    /// Why the configuration file could not be read.
    pub unreadable: Option<String>,
    pub networks: Vec<InterfaceFacts>,
    /// Packets received on the other interfaces, if no leader was received on `networks`.
    pub elsewhere: Vec<(String, Received)>,
    pub firewall: Rules,
    /// Programs that use UDP 319 and 320; `None`: not known.
    pub holders: Option<Vec<Holder>>,
    /// Programs that steer CLOCK_REALTIME.
    pub competitors: Vec<CompetingDaemon>,
    /// Whether `competitors` are all: the processes of other users are visible.
    pub sees_all_processes: bool,
    /// Files of the pages of each daemon: the clock page, then the status page.
    pub pages: [[PageFile; 2]; 3],
    /// Running processes that the pages name as their writers.
    pub writers: [Option<Running>; 3],
    pub chrony: Chrony,
}

/// Where the names of the checked interfaces come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    Flag,
    Page,
    Configuration(PathBuf),
    /// No source: all interfaces are checked.
    All,
}

/// Facts about one interface.
#[derive(Debug)]
pub struct InterfaceFacts {
    pub name: String,
    pub subdomain: Subdomain,
    pub link: Result<Interface, NetError>,
    pub memberships: Memberships,
    pub reverse_path: ReversePath,
    pub timestamping: Option<Capabilities>,
    /// Packets received; `None` if doctor did not listen, because dante4l follows a leader there or the interface is not usable.
    pub received: Option<Received>,
}

impl HostFacts {
    /// Gathers the facts, which takes up to [`LISTEN_TIME`].
    pub fn gather(args: &DoctorArgs, pages: &Pages, instance: Option<&Instance>) -> Self {
        let (choice, names, subdomain, unreadable) = choose(args, pages, instance);
        // Before this program opens its own sockets.
        let holders = holders(&[EVENT_PORT, GENERAL_PORT]);
        let mut networks: Vec<InterfaceFacts> =
            names.into_iter().map(|name| InterfaceFacts::gather(name, subdomain, pages)).collect();
        let elsewhere = receive(&mut networks, pages);
        // Read again: the kernel reports a carrier up to 1 s late.
        networks.iter_mut().for_each(|network| network.link = Interface::find(&network.name.as_str().into()));
        let Found { daemons: competitors, is_complete: sees_all_processes } = competing_daemons::find();
        Self {
            instance: instance.cloned(),
            choice,
            unreadable,
            elsewhere,
            networks,
            holders,
            firewall: Rules::read(),
            competitors,
            sees_all_processes,
            pages: [
                [PageFile::of::<Dante4l>(instance), PageFile::of::<Dante4lStatus>(instance)],
                [PageFile::of::<Dante2sys>(instance), PageFile::of::<Dante2sysStatus>(instance)],
                [PageFile::of::<Danteshm>(instance), PageFile::of::<DanteshmStatus>(instance)],
            ],
            writers: [writer(&pages.dante4l), writer(&pages.dante2sys), writer(&pages.danteshm)],
            chrony: Chrony::read(),
        }
    }

    /// Returns the configuration file, for remedies.
    pub fn configuration(&self) -> PathBuf {
        match &self.choice {
            Choice::Configuration(path) => path.clone(),
            _ => configuration(self.instance.as_ref()).into(),
        }
    }

    /// Returns dante4l's unit.
    pub fn unit(&self) -> String {
        unit(Dante4lStatus::PROGRAM, self.instance.as_ref())
    }
}

impl InterfaceFacts {
    fn gather(name: String, subdomain: Subdomain, pages: &Pages) -> Self {
        let subdomain = port_of(pages, &name).map_or(subdomain, |port| Subdomain(port.subdomain));
        let link = Interface::find(&name.as_str().into());
        // `name` may be an alternative name, which files of /proc do not have.
        let device = link.as_ref().map_or(name.as_str(), |interface| interface.name.as_str());
        Self {
            subdomain,
            memberships: Memberships::of(device),
            reverse_path: ReversePath::of(device),
            timestamping: net::capabilities(device),
            link,
            received: None,
            name,
        }
    }

    /// Whether dante4l follows a leader here.
    pub fn is_followed(&self, pages: &Pages) -> bool {
        port_of(pages, &self.name).and_then(PortRecord::state) == Some(State::Slave)
    }

    /// Whether packets of this kind arrive at the interface, but reach no socket.
    pub fn is_blocked(&self, of: impl Fn(&Received) -> Arrivals) -> bool {
        self.received.as_ref().is_some_and(|received| received.is_blocked(of))
    }

    /// Whether another program uses a PTP port and does not share it.
    pub fn is_port_taken(&self) -> bool {
        let failure = self.received.as_ref().and_then(|received| received.failure.as_ref());
        failure.is_some_and(|failure| failure.denial == Some(Denial::InUse))
    }

    /// Returns a sender to check the filters with: one whose packets are dropped, else a link-local address.
    pub fn sender(&self) -> Ipv4Addr {
        let received = self.received.as_ref();
        received.and_then(|received| received.blocked.first().copied()).unwrap_or(LINK_LOCAL)
    }

    /// Returns the leader of the configured subdomain, if one was received.
    pub fn leader(&self) -> Option<&ReceivedLeader> {
        let leaders = self.received.iter().flat_map(|received| &received.leaders);
        leaders.into_iter().find(|leader| leader.subdomain == self.subdomain)
    }
}

/// A running process, as /proc shows it to all users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Process id.
    pub pid: u32,
    /// Name, cut to 15 characters by the kernel.
    pub name: String,
    /// Effective capabilities (capabilities(7)), one bit each; `None`: not known.
    pub capabilities: Option<u64>,
}

impl Running {
    /// Returns the process with this id; `None` if there is none or it is a zombie.
    pub fn of(pid: u32) -> Option<Self> {
        Self::in_tree(Path::new("/proc"), pid)
    }

    pub fn in_tree(proc: &Path, pid: u32) -> Option<Self> {
        let process = Process::new(proc, pid);
        let name = process.name()?;
        (!process.is_dead()).then(|| Self { pid, name, capabilities: process.capabilities() })
    }

    /// Whether it has this capability; true if that is not known.
    pub fn may(&self, capability: u32) -> bool {
        self.capabilities.is_none_or(|bits| bits >> capability & 1 == 1)
    }
}

/// Reads a number below /proc/sys/net/ipv4/conf, of one interface or of `all`.
pub fn setting(proc: &Path, interface: &str, name: &str) -> Option<u32> {
    let path = proc.join("sys/net/ipv4/conf").join(interface).join(name);
    text_of(&path)?.trim().parse().ok()
}

/// Returns the port of a running dante4l on this interface.
pub fn port_of<'a>(pages: &'a Pages, interface: &str) -> Option<&'a PortRecord> {
    let body = fresh_body::<Dante4lStatus>(&pages.dante4l)?;
    body.ports().iter().find(|port| port.interface.to_string() == interface)
}

fn writer<B: Body>(read: &Read<B>) -> Option<Running> {
    let running = Running::of(read.as_ref().ok()?.pid)?;
    // Another process may have this id by now.
    (running.name == B::PROGRAM).then_some(running)
}

/// Source of the interfaces, their names, the subdomain, and why the configuration could not be read.
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
    // The page of a dead dante4l is used if no other source names an interface.
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

/// Returns every interface that could be on a Dante network: up, with an IPv4 address, not the loopback.
fn usable() -> impl Iterator<Item = Interface> {
    let all = Interface::all().unwrap_or_default().into_iter();
    all.filter(|interface| interface.kind != Kind::Loopback)
}

/// Listens on the interfaces on which dante4l follows no leader. If it follows none at all, listens on all other interfaces too,
/// and returns what they received, unless a leader was received on `networks`.
fn receive(networks: &mut [InterfaceFacts], pages: &Pages) -> Vec<(String, Received)> {
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
    let mut received = listen(&interfaces, LISTEN_TIME);
    let others = interfaces.into_iter().skip(own).map(|interface| interface.name);
    let elsewhere = others.zip(received.split_off(own)).collect();
    for (network, received) in silent.iter_mut().zip(received) {
        network.received = Some(received);
    }
    let has_leader = networks.iter().any(|network| network.leader().is_some());
    if has_leader { Vec::new() } else { elsewhere }
}
