//! Hosts, made up.

use crate::doctor::chrony::{Chrony, Refclock};
use crate::doctor::firewall::{Rules, Unknown};
use crate::doctor::host::{Choice, Host, Network, Running};
use crate::doctor::listen::{Arrivals, Heard, Leader, OpenFailure};
use crate::doctor::membership::Memberships;
use crate::doctor::ports::Holder;
use crate::doctor::programs::{Ownership, PageFile};
use crate::doctor::routes::{Filter, ReversePath, Route};
use crate::pages::Pages;
use crate::scenes;
use dante_core::port::Counter;
use dante_core::wire::{PortIdentity, Subdomain, Uuid};
use dante_os::denial::Denial;
use dante_os::net::{Abilities, Interface, Kind, NetError};
use dante_os::page::{Fault, ReadError};
use dante_os::rivals::Rival;
use std::net::Ipv4Addr;

pub fn all() -> Vec<(&'static str, Host, Pages)> {
    let silent = || listening(nothing());
    vec![
        ("healthy", healthy(), scenes::locked()),
        ("chrony_fed", chrony_fed(), fed()),
        ("no_such_interface", no_such_interface(), scenes::faulty()),
        (
            "another_instance",
            Host { instance: "stage".parse().ok(), ..no_such_interface() },
            Pages { instance: "stage".parse().ok(), ..scenes::faulty() },
        ),
        ("no_carrier", no_carrier(), scenes::listening(None)),
        (
            "wrong_interface",
            Host { elsewhere: vec![("eth2".into(), a_leader(Subdomain::DFLT))], ..silent() },
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
        ("chronyd", Host { rivals: vec![chronyd()], ..healthy() }, scenes::dante2sys_refused()),
        (
            "chronyd_beside_dante2sys",
            Host { rivals: vec![chronyd(), dante2sys()], ..healthy() },
            scenes::locked(),
        ),
        (
            "chronyd_began_later",
            Host { rivals: vec![chronyd(), dante2sys()], ..healthy() },
            scenes::yielded(),
        ),
        ("dante4l_dead", dead(None), scenes::stale()),
        ("dante4l_hangs", dead(Some(running("dante4l"))), scenes::stale()),
        ("no_right", no_right(), scenes::locked()),
        (
            "no_refclock",
            Host { chrony: Chrony { refclocks: Vec::new(), ..chrony_fed().chrony }, ..chrony_fed() },
            fed(),
        ),
        ("nobody_named_an_interface", unnamed(), scenes::no_daemon()),
        ("planted_status_page", planted(), scenes::no_daemon()),
        ("unreserved_clock_page", unreserved(), fed()),
    ]
}

/// Nothing is wrong: dante4l and dante2sys run.
pub fn healthy() -> Host {
    Host {
        instance: None,
        choice: Choice::Page,
        unreadable: None,
        networks: vec![network(None)],
        elsewhere: Vec::new(),
        firewall: Rules { nft: Ok(r#"{"nftables":[]}"#.into()), has_legacy: false },
        holders: [319, 320].map(|port| Holder { port, uid: 996, process: Some(running("dante4l")) }).into(),
        rivals: vec![dante2sys()],
        pages: [both_pages("dante4l"), both_pages("dante2sys"), both_pages("danteshm")],
        writers: [Some(running("dante4l")), Some(running("dante2sys")), Some(running("danteshm"))],
        chrony: Chrony::default(),
    }
}

/// The same, and dante4l hears no leader: so somebody listens.
fn listening(heard: Heard) -> Host {
    Host { networks: vec![network(Some(heard))], ..healthy() }
}

fn network(heard: Option<Heard>) -> Network {
    Network {
        name: "eth1".into(),
        subdomain: Subdomain::DFLT,
        link: Ok(interface("eth1")),
        memberships: Memberships {
            groups: vec![Ipv4Addr::new(224, 0, 0, 1), Subdomain::DFLT.group()],
            version: Some(3),
            forced: None,
        },
        reverse_path: ReversePath { filter: Filter::Off, routes: vec![route([169, 254, 0, 0])] },
        stamps: Some(Abilities { so_timestamping: 0x1f, clock: None, tx_types: 0, rx_filters: 0 }),
        heard,
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

fn route(network: [u8; 4]) -> Route {
    Route { interface: "eth1".into(), network: network.into(), mask: [255, 255, 0, 0].into(), metric: 0 }
}

fn arrivals(sockets: u64, interface: u64) -> Arrivals {
    Arrivals { sockets, interface: Some(interface) }
}

fn nothing() -> Heard {
    Heard { event: arrivals(0, 0), general: arrivals(0, 0), ptp_v2: arrivals(0, 0), ..Heard::default() }
}

fn a_leader(subdomain: Subdomain) -> Heard {
    let uuid = Uuid([0, 0x1d, 0xc1, 0xa1, 0x72, 0x3c]);
    let identity = PortIdentity { technology: PortIdentity::ETHERNET, uuid, port_id: 1 };
    let leader = Leader { identity, address: Ipv4Addr::new(169, 254, 61, 114), subdomain, is_let_in: true };
    Heard { leaders: vec![leader], event: arrivals(8, 8), general: arrivals(8, 8), ..nothing() }
}

fn ptp_v2() -> Heard {
    Heard { ptp_v2: arrivals(30, 30), event: arrivals(16, 16), general: arrivals(14, 14), ..nothing() }
}

/// The leader's packets arrive, and no program gets them.
fn shut_out() -> Heard {
    let mut heard = Heard { event: arrivals(0, 8), general: arrivals(0, 8), ..a_leader(Subdomain::DFLT) };
    heard.leaders.iter_mut().for_each(|leader| leader.is_let_in = false);
    heard.shut_out = heard.leaders.iter().map(|leader| leader.address).collect();
    heard
}

fn no_such_interface() -> Host {
    let link = Err(NetError::NotFound { name: "eth7".into(), present: vec!["lo".into(), "eth1".into()] });
    let network = Network { name: "eth7".into(), link, stamps: None, ..network(None) };
    Host { networks: vec![network], ..healthy() }
}

fn no_carrier() -> Host {
    let network =
        Network { link: Ok(Interface { up: false, ..interface("eth1") }), ..network(Some(nothing())) };
    Host { networks: vec![network], ..healthy() }
}

fn firewall() -> Host {
    let rules = r#"{"nftables":[{"chain":{"family":"inet","table":"filter","name":"input","type":"filter","hook":"input","prio":0,"policy":"drop"}}]}"#;
    Host { firewall: Rules { nft: Ok(rules.into()), has_legacy: false }, ..listening(shut_out()) }
}

fn strict() -> Host {
    let reverse_path = ReversePath { filter: Filter::Strict, routes: vec![route([10, 7, 0, 0])] };
    Host { networks: vec![Network { reverse_path, ..network(Some(shut_out())) }], ..healthy() }
}

/// Not much may be seen.
fn unprivileged() -> Host {
    let failure = "binding UDP port 319 on eth1 needs root or CAP_NET_BIND_SERVICE";
    let failure = OpenFailure { what: failure.into(), denial: Some(Denial::NotPermitted) };
    let heard = Heard { failure: Some(failure), ..Heard::default() };
    let said = "Operation not permitted (you must be root)".into();
    Host {
        firewall: Rules { nft: Err(Unknown::Refused { tool: "nft", said }), has_legacy: false },
        holders: vec![Holder { port: 319, uid: 996, process: None }],
        ..listening(heard)
    }
}

fn port_taken() -> Host {
    let process = Some(Running { pid: 412, name: "statime".into(), rights: None });
    let what = "UDP port 319 is taken by another program on this host".into();
    let failure = Some(OpenFailure { what, denial: Some(Denial::InUse) });
    Host {
        choice: Choice::Configuration("/etc/dante4l.toml".into()),
        holders: vec![Holder { port: 319, uid: 0, process }],
        writers: [None, None, None],
        ..listening(Heard { failure, ..nothing() })
    }
}

/// A leader was heard and is no longer.
fn stopped_syncs() -> Pages {
    let mut pages = scenes::listening(None);
    if let Ok(view) = &mut pages.dante4l {
        view.body.ports[0].counters[Counter::Sync as usize] = 1_032;
        view.body.ports[0].counters[Counter::Rejoined as usize] = 3;
    }
    pages
}

fn chronyd() -> Rival {
    Rival { pid: 300, name: "chronyd".into(), unit: Some("chrony.service".into()) }
}

fn dante2sys() -> Rival {
    Rival { pid: 812, name: "dante2sys".into(), unit: Some("dante2sys.service".into()) }
}

fn chrony_fed() -> Host {
    let file = Some("/etc/chrony/chrony.conf".into());
    Host { rivals: vec![chronyd()], chrony: Chrony { file, refclocks: vec![Refclock::Shm(2)] }, ..healthy() }
}

/// Both outputs are read.
fn fed() -> Pages {
    let mut pages = scenes::chrony();
    if let Ok(view) = &mut pages.danteshm {
        view.body.outputs[1].ready = 1;
    }
    pages
}

/// It was killed, or stopped without a word, beside a leader.
fn dead(dante4l: Option<Running>) -> Host {
    Host { writers: [dante4l, None, None], rivals: Vec::new(), ..listening(a_leader(Subdomain::DFLT)) }
}

fn no_right() -> Host {
    let powerless = Running { rights: Some(0), ..running("dante2sys") };
    Host { writers: [Some(running("dante4l")), Some(powerless), None], ..healthy() }
}

/// Nothing was installed yet.
fn unnamed() -> Host {
    let silent = Network { name: "eth0".into(), link: Ok(interface("eth0")), ..network(Some(nothing())) };
    Host {
        choice: Choice::All,
        networks: vec![silent, network(Some(a_leader(Subdomain::DFLT)))],
        holders: Vec::new(),
        rivals: Vec::new(),
        writers: [None, None, None],
        ..healthy()
    }
}

/// Another user was faster than dante4l, which therefore does not start.
fn planted() -> Host {
    let mut host = Host { rivals: Vec::new(), holders: Vec::new(), writers: [None, None, None], ..healthy() };
    let [[clock, status], ..] = &mut host.pages;
    clock.file = Some(Ownership { owner: "dante4l".into(), mode: 0o644, size: 0 });
    status.file = Some(Ownership { owner: "guest".into(), mode: 0o644, size: 4096 });
    status.distrust =
        Some(ReadError { page: status.path.clone(), program: "dante4l", fault: Fault::Owner(1000) });
    host
}

/// Nobody may plant the status page of dante2sys, and everybody its clock page.
fn unreserved() -> Host {
    let mut host = chrony_fed();
    let [_, [clock, status], _] = &mut host.pages;
    clock.file = None;
    status.file = Some(Ownership { owner: "dante2sys".into(), mode: 0o644, size: 0 });
    host
}

fn running(name: &str) -> Running {
    Running { pid: 812, name: name.into(), rights: Some(1 << 25 | 1 << 10) }
}

fn both_pages(program: &str) -> [PageFile; 2] {
    ["", ".status"].map(|form| PageFile {
        path: format!("/dev/shm/{program}{form}"),
        file: Some(Ownership { owner: program.into(), mode: 0o644, size: 4096 }),
        distrust: None,
        is_to_be_reserved: true,
    })
}
