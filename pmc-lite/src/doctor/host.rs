//! Facts about this host that the checks use. Gathering them changes nothing.

use super::chrony::Chrony;
use super::firewall::Rules;
use super::listen::{Arrivals, Received, ReceivedLeader, listen};
use super::membership::Memberships;
use super::ports::{Holder, holders};
use super::programs::PageFile;
use super::routes::ReversePath;
use crate::args::DoctorArgs;
use crate::finding::cause;
use crate::pages::{Pages, Read, configuration, fresh_body, unit};
use dante_core::candidates::PassedOver;
use dante_core::page::{
    Body, Dante2sys, Dante2sysStatus, Dante4l, Dante4lStatus, Danteshm, DanteshmStatus, PortRecord,
};
use dante_core::port::{InterfaceFault, State};
use dante_core::wire::{EVENT_PORT, GENERAL_PORT, Subdomain};
use dante_os::competing_daemons::{self, CompetingDaemon, Found};
use dante_os::daemon;
use dante_os::denial::Denial;
use dante_os::net::{self, Capabilities, Interface, InterfaceName, Kind, LinkInfo, NetError, passed_over};
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
    /// The configuration file of dante4l, for remedies.
    pub configuration: PathBuf,
    /// Why the configuration file could not be read.
    pub unreadable: Option<String>,
    pub networks: Vec<InterfaceFacts>,
    /// With `interface = "auto"`: the interfaces that dante4l passes over, with the reasons.
    pub passed_over: Vec<(String, PassedOver)>,
    /// All interfaces of this host.
    pub links: Vec<LinkInfo>,
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
    Configuration,
    /// `interface = "auto"`: the networks that a running dante4l has chosen.
    Chosen,
    /// `interface = "auto"`: all candidates, since dante4l uses none of them yet, or does not run.
    Candidates,
}

/// Facts about one interface.
#[derive(Debug)]
pub struct InterfaceFacts {
    /// The kernel's name; the given one if there is no such interface.
    pub name: String,
    /// The interface as the kernel describes it, with its other names.
    pub info: Option<LinkInfo>,
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
        let links = net::links().unwrap_or_default();
        let Chosen { choice, configuration, names, passed_over, subdomain, unreadable } =
            choose(args, pages, instance, &links);
        // Before this program opens its own sockets.
        let holders = holders(&[EVENT_PORT, GENERAL_PORT]);
        let mut networks: Vec<InterfaceFacts> =
            names.into_iter().map(|name| InterfaceFacts::gather(name, &links, subdomain, pages)).collect();
        let elsewhere = receive(&mut networks, pages);
        // Read again: the kernel reports a carrier up to 1 s late.
        networks.iter_mut().for_each(|network| network.link = Interface::find(&network.name.as_str().into()));
        let Found { daemons: competitors, is_complete: sees_all_processes } = competing_daemons::find();
        Self {
            instance: instance.cloned(),
            choice,
            configuration,
            unreadable,
            passed_over,
            links,
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

    /// Whether dante4l has still to choose among several interfaces.
    pub fn is_searching(&self) -> bool {
        self.choice == Choice::Candidates && self.networks.len() > 1
    }

    /// Whether dante4l chooses its networks itself.
    pub fn is_auto(&self) -> bool {
        matches!(self.choice, Choice::Chosen | Choice::Candidates)
    }

    /// Why dante4l passes this interface over; `None` if it does not.
    pub fn passed_over(&self, interface: &str) -> Option<PassedOver> {
        self.passed_over.iter().find(|(name, _)| name == interface).map(|(_, why)| *why)
    }

    /// Returns dante4l's unit.
    pub fn unit(&self) -> String {
        unit(Dante4lStatus::PROGRAM, self.instance.as_ref())
    }
}

impl InterfaceFacts {
    /// `name` is the kernel's, if there is such an interface.
    fn gather(name: String, links: &[LinkInfo], subdomain: Subdomain, pages: &Pages) -> Self {
        let mut facts = Self {
            subdomain,
            memberships: Memberships::of(&name),
            reverse_path: ReversePath::of(&name),
            timestamping: net::capabilities(&name),
            link: Interface::find(&name.as_str().into()),
            received: None,
            info: links.iter().find(|link| link.name == name).cloned(),
            name,
        };
        if let Some(port) = facts.port(pages) {
            facts.subdomain = Subdomain(port.subdomain);
        }
        facts
    }

    /// Whether this text names the interface: by its name, an alternative name, a label, its hardware address or an IPv4 address.
    pub fn is_named(&self, text: &str) -> bool {
        self.name == text || self.info.as_ref().is_some_and(|link| InterfaceName::from(text).names(link))
    }

    /// Returns the port of a running dante4l on this interface. Its page has the name as configured until the interface was opened.
    pub fn port<'a>(&self, pages: &'a Pages) -> Option<&'a PortRecord> {
        let ports = fresh_body::<Dante4lStatus>(&pages.dante4l)?.ports();
        ports.iter().find(|port| self.is_named(&port.interface.to_string()))
    }

    /// Whether dante4l follows a leader here.
    pub fn is_followed(&self, pages: &Pages) -> bool {
        self.port(pages).and_then(PortRecord::state) == Some(State::Slave)
    }

    /// Why the interface cannot receive anything, in a few words; `None` if it can.
    pub fn fault(&self) -> Option<&'static str> {
        cause(match &self.link {
            Ok(link) if link.up => return None,
            Ok(_) => InterfaceFault::NoCarrier,
            Err(error) => error.fault(),
        })
    }

    /// The name, with the reason if it cannot receive anything: `eth0 (no carrier)`.
    pub fn described(&self) -> String {
        self.fault().map_or_else(|| self.name.clone(), |fault| format!("{} ({fault})", self.name))
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

fn writer<B: Body>(read: &Read<B>) -> Option<Running> {
    let running = Running::of(read.as_ref().ok()?.pid)?;
    // Another process may have this id by now.
    (running.name == B::PROGRAM).then_some(running)
}

/// The interfaces to check.
struct Chosen {
    choice: Choice,
    configuration: PathBuf,
    /// The kernel's names, each once; the given ones of interfaces that do not exist.
    names: Vec<String>,
    passed_over: Vec<(String, PassedOver)>,
    subdomain: Subdomain,
    /// Why the configuration could not be read.
    unreadable: Option<String>,
}

fn choose(args: &DoctorArgs, pages: &Pages, instance: Option<&Instance>, links: &[LinkInfo]) -> Chosen {
    let path = args.config.clone().unwrap_or_else(|| configuration(instance).into());
    let is_needed = args.config.is_some() || path.exists();
    let read = |key| if is_needed { daemon::values(&path, "dante4l", key) } else { Ok(Vec::new()) };
    let (configured, unreadable) = match read("interface") {
        Ok(names) => (names, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let subdomain =
        read("subdomain").ok().and_then(|names| names.first()?.parse().ok()).unwrap_or(Subdomain::DFLT);
    let is_auto = |names: &[String]| matches!(names, [only] if only == InterfaceName::AUTO);
    let by_user = |choice, names: Vec<String>| (!is_auto(&names)).then_some((choice, names));
    let on_page = |body: &Dante4lStatus| -> Vec<String> {
        body.ports().iter().map(|port| port.interface.to_string()).collect()
    };
    let page = pages.dante4l.as_ref().ok().map(|view| &view.body).filter(|_| args.config.is_none());
    let running = page.filter(|_| pages.has_dante4l());
    let is_searching = running.and_then(Dante4lStatus::candidates).is_some();
    let has_ports = |body: &&Dante4lStatus| !body.ports().is_empty();
    let named = if !args.interface.is_empty() {
        by_user(Choice::Flag, args.interface.clone())
    } else if let Some(body) = running.filter(has_ports) {
        Some((if body.is_auto == 1 { Choice::Chosen } else { Choice::Page }, on_page(body)))
    } else if is_searching {
        None
    } else if !configured.is_empty() {
        by_user(Choice::Configuration, configured)
    } else {
        // The page of a dead dante4l is used if no other source names an interface.
        page.filter(|body| body.is_auto == 0).filter(has_ports).map(|body| (Choice::Page, on_page(body)))
    };
    let judged = || links.iter().map(|link| (link.name.clone(), passed_over(link, links)));
    let (choice, names) = named.unwrap_or_else(|| {
        let eligible = judged().filter(|(_, why)| why.is_none());
        (Choice::Candidates, eligible.map(|(name, _)| name).collect())
    });
    let is_choosing = matches!(choice, Choice::Chosen | Choice::Candidates);
    let others = judged().filter(|_| is_choosing);
    Chosen {
        names: resolved(names, links),
        choice,
        configuration: path,
        passed_over: others.filter_map(|(name, why)| Some((name, why?))).collect(),
        subdomain,
        unreadable,
    }
}

/// Returns the kernel's names of these interfaces, each once.
pub(super) fn resolved(names: Vec<String>, links: &[LinkInfo]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for name in names {
        let link = InterfaceName::from(name.as_str()).among(links);
        let name = link.map_or(name, |link| link.name.clone());
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
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
