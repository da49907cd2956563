//! Imitated hosts.

use crate::doctor::chrony::{Chrony, Refclock};
use crate::doctor::firewall::{Rules, Unknown};
use crate::doctor::host::{Choice, HostFacts, InterfaceFacts, Running};
use crate::doctor::listen::{Arrivals, OpenFailure, Received, ReceivedLeader, TaggedLeader};
use crate::doctor::membership::Memberships;
use crate::doctor::ports::Holder;
use crate::doctor::programs::{Ownership, PageFile};
use crate::doctor::routes::{Filter, ReversePath, Route};
use crate::pages::{self, Pages};
use crate::scenes;
use dante_core::candidates::PassedOver;
use dante_core::port::Counter;
use dante_core::wire::{PortIdentity, Subdomain, Uuid};
use dante_os::competing_daemons::CompetingDaemon;
use dante_os::denial::Denial;
use dante_os::net::{Capabilities, Interface, Kind, LinkAddress, LinkInfo, NetError};
use dante_os::page::{Fault, ReadError};
use std::net::Ipv4Addr;

pub fn all() -> Vec<(&'static str, HostFacts, Pages)> {
    let silent = || listening(nothing());
    vec![
        ("healthy", healthy(), scenes::locked()),
        ("chrony_fed", chrony_fed(), fed()),
        ("no_such_interface", no_such_interface(), scenes::faulty()),
        (
            "another_instance",
            HostFacts {
                instance: "stage".parse().ok(),
                configuration: "/etc/dante4l.stage.toml".into(),
                ..no_such_interface()
            },
            Pages { instance: "stage".parse().ok(), ..scenes::faulty() },
        ),
        ("no_carrier", no_carrier(), scenes::listening(None)),
        (
            "wrong_interface",
            HostFacts { elsewhere: vec![("eth2".into(), a_leader(Subdomain::DFLT))], ..silent() },
            scenes::listening(None),
        ),
        ("no_leader", silent(), scenes::listening(None)),
        ("ptp_v2_only", listening(ptp_v2()), scenes::listening(None)),
        ("other_subdomain", listening(a_leader(Subdomain::ALT1)), scenes::listening(None)),
        ("firewall", firewall(), scenes::listening(None)),
        ("strict_rp_filter", strict(), scenes::listening(None)),
        ("unprivileged", unprivileged(), scenes::listening(None)),
        ("port_taken", port_taken(), scenes::no_daemon()),
        ("querier", silent(), stopped_syncs()),
        ("chronyd", HostFacts { competitors: vec![chronyd()], ..healthy() }, scenes::dante2sys_refused()),
        (
            "chronyd_beside_dante2sys",
            HostFacts { competitors: vec![chronyd(), dante2sys()], ..healthy() },
            scenes::locked(),
        ),
        (
            "hidden_processes",
            HostFacts { competitors: Vec::new(), holders: None, sees_all_processes: false, ..healthy() },
            scenes::locked(),
        ),
        (
            "chronyd_began_later",
            HostFacts { competitors: vec![chronyd(), dante2sys()], ..healthy() },
            scenes::yielded(),
        ),
        ("dante4l_dead", dead(None), scenes::stale()),
        ("dante4l_hangs", dead(Some(running("dante4l"))), scenes::stale()),
        ("no_right", no_right(), scenes::locked()),
        (
            "no_refclock",
            HostFacts { chrony: Chrony { refclocks: Vec::new(), ..chrony_fed().chrony }, ..chrony_fed() },
            fed(),
        ),
        ("auto_not_started", auto_not_started(), scenes::no_daemon()),
        ("auto_no_candidate_has_a_leader", auto_silent(), scenes::auto_silent()),
        (
            "auto_leader_on_wifi",
            HostFacts { elsewhere: vec![("wlan0".into(), a_leader(Subdomain::DFLT))], ..auto_silent() },
            scenes::auto_silent(),
        ),
        ("auto_unprivileged", auto_unprivileged(), scenes::auto_silent()),
        (
            "auto_no_interface",
            HostFacts { networks: Vec::new(), ..auto_silent() },
            scenes::auto_no_wired_interface(),
        ),
        (
            "auto_leader_moved",
            HostFacts {
                choice: Choice::Chosen,
                elsewhere: vec![("eth2".into(), a_leader(Subdomain::DFLT))],
                ..listening(nothing())
            },
            scenes::auto_lost(),
        ),
        ("vlan_tag", listening(tagged()), scenes::listening(None)),
        (
            "vlan_tag_and_interface",
            HostFacts {
                links: vec![link("eth1"), LinkInfo { parent: Some(3), vlan: Some(10), ..link("eth1.10") }],
                ..listening(tagged())
            },
            scenes::listening(None),
        ),
        ("port_of_a_bridge", port_of_a_bridge(), scenes::port_of_a_bridge()),
        ("only_interface_is_another_one", named_by_mac(), scenes::faulty()),
        (
            "not_started_behind_unknown_firewall",
            HostFacts { writers: [None, None, None], competitors: Vec::new(), ..unknown_firewall() },
            scenes::no_daemon(),
        ),
        ("usrvclock_taken_beside_chronyd", HostFacts { competitors: vec![chronyd()], ..healthy() }, taken()),
        (
            "chronyd_not_running",
            HostFacts { competitors: Vec::new(), ..chrony_fed() },
            scenes::fed_to_nobody(),
        ),
        (
            "not_fed_without_a_refclock_line",
            HostFacts { chrony: Chrony { refclocks: Vec::new(), ..chrony_fed().chrony }, ..chrony_fed() },
            scenes::fed_to_nobody(),
        ),
        ("clock_refused_without_a_right", no_right(), scenes::clock_refused()),
        ("planted_status_page", planted(), scenes::no_daemon()),
        ("unreserved_clock_page", unreserved(), fed()),
    ]
}

/// A host without a problem: dante4l and dante2sys are running.
pub fn healthy() -> HostFacts {
    HostFacts {
        instance: None,
        choice: Choice::Page,
        configuration: "/etc/dante4l.toml".into(),
        unreadable: None,
        networks: vec![network(None)],
        passed_over: Vec::new(),
        links: vec![LinkInfo { is_loopback: true, ..link("lo") }, link("eth1")],
        elsewhere: Vec::new(),
        firewall: Rules { nft: Ok(r#"{"nftables":[]}"#.into()), has_legacy: false },
        holders: Some(
            [319, 320].map(|port| Holder { port, uid: 996, process: Some(running("dante4l")) }).into(),
        ),
        competitors: vec![dante2sys()],
        sees_all_processes: true,
        pages: [both_pages("dante4l"), both_pages("dante2sys"), both_pages("danteshm")],
        writers: [Some(running("dante4l")), Some(running("dante2sys")), Some(running("danteshm"))],
        chrony: Chrony::default(),
    }
}

/// The same, but dante4l follows no leader, so doctor listens itself.
fn listening(received: Received) -> HostFacts {
    HostFacts { networks: vec![network(Some(received))], ..healthy() }
}

fn network(received: Option<Received>) -> InterfaceFacts {
    InterfaceFacts {
        name: "eth1".into(),
        info: Some(link("eth1")),
        subdomain: Subdomain::DFLT,
        link: Ok(interface("eth1")),
        memberships: Memberships {
            groups: vec![Ipv4Addr::new(224, 0, 0, 1), Subdomain::DFLT.group()],
            version: Some(3),
            forced: None,
        },
        reverse_path: ReversePath { filter: Filter::Off, routes: vec![route([169, 254, 0, 0])] },
        timestamping: Some(Capabilities { so_timestamping: 0x1f, clock: None, tx_types: 0, rx_filters: 0 }),
        received,
    }
}

fn interface(name: &str) -> Interface {
    Interface {
        name: name.into(),
        index: 3,
        address: Ipv4Addr::new(169, 254, 8, 8),
        mac: [0x3c, 0xec, 0xef, 0x11, 0x22, 0x33],
        up: true,
        kind: Kind::Other,
    }
}

fn link(name: &str) -> LinkInfo {
    let address = LinkAddress { address: Ipv4Addr::new(169, 254, 8, 8), label: name.into() };
    LinkInfo { index: 3, name: name.into(), is_up: true, addresses: vec![address], ..LinkInfo::default() }
}

fn route(network: [u8; 4]) -> Route {
    Route { interface: "eth1".into(), network: network.into(), mask: [255, 255, 0, 0].into(), metric: 0 }
}

fn arrivals(sockets: u64, interface: u64) -> Arrivals {
    Arrivals { sockets, interface: Some(interface) }
}

fn nothing() -> Received {
    Received { event: arrivals(0, 0), general: arrivals(0, 0), ptp_v2: arrivals(0, 0), ..Received::default() }
}

fn a_leader(subdomain: Subdomain) -> Received {
    let uuid = Uuid([0, 0x1d, 0xc1, 0xa1, 0x72, 0x3c]);
    let identity = PortIdentity { technology: PortIdentity::ETHERNET, uuid, port_id: 1 };
    let leader = ReceivedLeader {
        identity,
        address: Ipv4Addr::new(169, 254, 61, 114),
        subdomain,
        reaches_socket: true,
    };
    Received { leaders: vec![leader], event: arrivals(8, 8), general: arrivals(8, 8), ..nothing() }
}

fn ptp_v2() -> Received {
    Received { ptp_v2: arrivals(30, 30), event: arrivals(16, 16), general: arrivals(14, 14), ..nothing() }
}

/// The leader's packets arrive at the interface, but reach no socket.
fn blocked() -> Received {
    let mut received =
        Received { event: arrivals(0, 8), general: arrivals(0, 8), ..a_leader(Subdomain::DFLT) };
    received.leaders.iter_mut().for_each(|leader| leader.reaches_socket = false);
    received.blocked = received.leaders.iter().map(|leader| leader.address).collect();
    received
}

fn no_such_interface() -> HostFacts {
    let link = Err(NetError::NotFound { name: "eth7".into(), present: vec!["lo".into(), "eth1".into()] });
    let network =
        InterfaceFacts { name: "eth7".into(), info: None, link, timestamping: None, ..network(None) };
    HostFacts { networks: vec![network], ..healthy() }
}

fn no_carrier() -> HostFacts {
    let network =
        InterfaceFacts { link: Ok(Interface { up: false, ..interface("eth1") }), ..network(Some(nothing())) };
    HostFacts { networks: vec![network], ..healthy() }
}

fn firewall() -> HostFacts {
    let rules = r#"{"nftables":[{"chain":{"family":"inet","table":"filter","name":"input","type":"filter","hook":"input","prio":0,"policy":"drop"}}]}"#;
    HostFacts { firewall: Rules { nft: Ok(rules.into()), has_legacy: false }, ..listening(blocked()) }
}

fn strict() -> HostFacts {
    let reverse_path = ReversePath { filter: Filter::Strict, routes: vec![route([10, 7, 0, 0])] };
    HostFacts { networks: vec![InterfaceFacts { reverse_path, ..network(Some(blocked())) }], ..healthy() }
}

/// The doctor runs without privileges.
fn unprivileged() -> HostFacts {
    let failure = "binding UDP port 319 on eth1 needs root or CAP_NET_BIND_SERVICE";
    let failure = OpenFailure { what: failure.into(), denial: Some(Denial::NotPermitted) };
    let received = Received { failure: Some(failure), ..Received::default() };
    let message = "Operation not permitted (you must be root)".into();
    HostFacts {
        firewall: Rules { nft: Err(Unknown::Failed { tool: "nft", message }), has_legacy: false },
        holders: Some(vec![Holder { port: 319, uid: 996, process: None }]),
        ..listening(received)
    }
}

fn port_taken() -> HostFacts {
    let process = Some(Running { pid: 412, name: "statime".into(), capabilities: None });
    let what = "UDP port 319 is in use by another program on this host".into();
    let failure = Some(OpenFailure { what, denial: Some(Denial::InUse) });
    HostFacts {
        choice: Choice::Configuration,
        holders: Some(vec![Holder { port: 319, uid: 0, process }]),
        writers: [None, None, None],
        ..listening(Received { failure, ..nothing() })
    }
}

/// A leader was received, but no longer is.
fn stopped_syncs() -> Pages {
    let mut pages = scenes::listening(None);
    if let Ok(view) = &mut pages.dante4l {
        view.body.ports[0].counters[Counter::Sync as usize] = 1_032;
        view.body.ports[0].counters[Counter::Rejoined as usize] = 3;
    }
    pages
}

fn chronyd() -> CompetingDaemon {
    CompetingDaemon { pid: 300, name: "chronyd".into(), unit: Some("chrony.service".into()) }
}

fn dante2sys() -> CompetingDaemon {
    CompetingDaemon { pid: 812, name: "dante2sys".into(), unit: Some("dante2sys.service".into()) }
}

fn chrony_fed() -> HostFacts {
    let file = Some("/etc/chrony/chrony.conf".into());
    HostFacts {
        competitors: vec![chronyd()],
        chrony: Chrony { file, refclocks: vec![Refclock::Shm(2)] },
        ..healthy()
    }
}

/// Both outputs have a reader.
fn fed() -> Pages {
    let mut pages = scenes::chrony();
    if let Ok(view) = &mut pages.danteshm {
        view.body.outputs[1].ready = 1;
        view.body.outputs[1].delivery = dante_core::relay::Delivery::Delivered as u8;
    }
    pages
}

/// dante4l was killed or hangs, while a leader sends.
fn dead(dante4l: Option<Running>) -> HostFacts {
    HostFacts {
        writers: [dante4l, None, None],
        competitors: Vec::new(),
        ..listening(a_leader(Subdomain::DFLT))
    }
}

fn no_right() -> HostFacts {
    let unprivileged = Running { capabilities: Some(0), ..running("dante2sys") };
    HostFacts { writers: [Some(running("dante4l")), Some(unprivileged), None], ..healthy() }
}

/// `interface = "auto"` with two wired interfaces, of which one has no cable.
fn auto() -> HostFacts {
    let no_cable = InterfaceFacts {
        name: "eth0".into(),
        link: Ok(Interface { up: false, ..interface("eth0") }),
        ..network(Some(nothing()))
    };
    HostFacts {
        choice: Choice::Candidates,
        networks: vec![no_cable, network(Some(nothing()))],
        passed_over: vec![("lo".into(), PassedOver::Loopback), ("wlan0".into(), PassedOver::Wireless)],
        ..healthy()
    }
}

/// No candidate receives a leader.
fn auto_silent() -> HostFacts {
    auto()
}

/// Doctor runs without privileges, so that it cannot listen.
fn auto_unprivileged() -> HostFacts {
    let HostFacts { networks, firewall, holders, .. } = unprivileged();
    let received = networks.into_iter().find_map(|network| network.received);
    let mut host = HostFacts { firewall, holders, ..auto_silent() };
    host.networks.iter_mut().for_each(|network| network.received = received.clone());
    host
}

/// No daemon was started yet; one candidate receives a leader.
fn auto_not_started() -> HostFacts {
    let mut host = HostFacts {
        holders: Some(Vec::new()),
        competitors: Vec::new(),
        writers: [None, None, None],
        ..auto()
    };
    host.networks[1].received = Some(a_leader(Subdomain::DFLT));
    host
}

/// The leader's packets have a VLAN tag.
fn tagged() -> Received {
    let leader = a_leader(Subdomain::DFLT).leaders[0];
    let tagged = vec![TaggedLeader { vlan: 10, identity: leader.identity, address: leader.address }];
    Received { tagged, ..nothing() }
}

fn port_of_a_bridge() -> HostFacts {
    let link = Err(NetError::Port { name: "eth1".into(), kind: "bridge".into(), master: "br0".into() });
    HostFacts { networks: vec![InterfaceFacts { link, ..network(None) }], ..healthy() }
}

/// The interface is named by a hardware address that no card has.
fn named_by_mac() -> HostFacts {
    let name = "00:1d:c1:00:00:01";
    let link = Err(NetError::NotFound { name: name.into(), present: vec!["eth1 3c:ec:ef:11:22:33".into()] });
    let network = InterfaceFacts { name: name.into(), info: None, link, timestamping: None, ..network(None) };
    HostFacts { networks: vec![network], ..healthy() }
}

/// The rules of the firewall cannot be read; a leader is received.
fn unknown_firewall() -> HostFacts {
    let message = "cannot run".into();
    HostFacts {
        firewall: Rules { nft: Err(Unknown::Failed { tool: "nft", message }), has_legacy: false },
        holders: Some(Vec::new()),
        networks: vec![network(None)],
        ..healthy()
    }
}

/// Another server has the path of danteshm's only output.
fn taken() -> Pages {
    let mut pages = scenes::usrvclock_taken();
    pages.surroundings.name_holders(|_| Some(pages::Holder { name: "inferno".into(), pid: 412 }));
    pages
}

/// Another user created dante4l's status page first, so dante4l does not start.
fn planted() -> HostFacts {
    let mut host = HostFacts {
        competitors: Vec::new(),
        holders: Some(Vec::new()),
        writers: [None, None, None],
        ..healthy()
    };
    let [[clock, status], ..] = &mut host.pages;
    clock.file = Some(Ownership { owner: "dante4l".into(), mode: 0o644, size: 0 });
    status.file = Some(Ownership { owner: "guest".into(), mode: 0o644, size: 4096 });
    status.rejection =
        Some(ReadError { page: status.path.clone(), program: "dante4l", fault: Fault::Owner(1000) });
    host
}

/// The status page of dante2sys is reserved, its clock page is not.
fn unreserved() -> HostFacts {
    let mut host = chrony_fed();
    let [_, [clock, status], _] = &mut host.pages;
    clock.file = None;
    status.file = Some(Ownership { owner: "dante2sys".into(), mode: 0o644, size: 0 });
    host
}

fn running(name: &str) -> Running {
    Running { pid: 812, name: name.into(), capabilities: Some(1 << 25 | 1 << 10) }
}

fn both_pages(program: &str) -> [PageFile; 2] {
    ["", ".status"].map(|form| PageFile {
        path: format!("/dev/shm/{program}{form}"),
        file: Some(Ownership { owner: program.into(), mode: 0o644, size: 4096 }),
        rejection: None,
        is_reserved_at_boot: true,
    })
}
