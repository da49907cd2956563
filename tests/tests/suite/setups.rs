//! Hosts as people set them up: the first sentence of `pmc-lite get status` and of `pmc-lite doctor` names the cause on each, or says
//! that there is no problem. The programs' logs name no other cause.

use dante_core::port::Channel;
use dante_core::time::Timestamp;
use dante_core::wire::{FollowUp, PortIdentity, Uuid};
use dante_os::process::Bound;
use dante_tests::host::Host;
use dante_tests::lab::LeaderProcess;
use dante_tests::namespace::{CABLE, SECOND_CABLE};
use dante_tests::raw_leader::{RawLeader, Way};
use dante_tests::raw_sender::{RawSender, header};
use dante_tests::{EVENT_TIMEOUT, wait_until};
use std::any::Any;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

/// Longest time until the first sentence is the expected one.
const SETTLING_TIME: Duration = EVENT_TIMEOUT;

const UUID: &str = "00:1d:c1:a1:72:3c";
const IDENTITY: PortIdentity = PortIdentity {
    technology: PortIdentity::ETHERNET,
    uuid: Uuid([0x00, 0x1d, 0xc1, 0xa1, 0x72, 0x3c]),
    port_id: 1,
};

/// An address of the host on another interface than the cable.
const OTHER_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 61, 200);

/// Hardware address of a card that is plugged again.
const MAC: &str = "02:00:5e:10:00:01";

/// The sentences of a host without a problem on which dante2sys steers a virtual clock.
const SYNCHRONISED: &str =
    "synchronised to the leader (virtual clock): a rehearsal, the system clock is not steered";
const NO_FAILURE: &str =
    "No failure. First warning: dante2sys steers a virtual clock; no program steers the system clock";

const NO_LEADER: &str = "no leader is received on veth0 in subdomain _DFLT (224.0.1.129)";

/// Programs and sockets that are ended on drop.
type Running = Vec<Box<dyn Any>>;

/// A host. In the sentences `{near}` is its address, `{far}` and `{second}` are those of the leader's host on both cables, `{folder}` is
/// the folder of its files, and `{#}` is any number.
struct Setup {
    /// Sets the hosts up, and starts what has to run before dante4l.
    before: fn(&Host) -> Running,
    /// Configuration of dante4l, as flags.
    dante4l: &'static [&'static str],
    /// The other daemon, with its flags.
    beside: (&'static str, &'static [&'static str]),
    /// What happens while they run.
    then: fn(&Host, &mut Running),
    /// First sentence of `get status`: that of the first finding; without one, the verdict.
    status: &'static str,
    /// Sentence of the last lines of `doctor`, which name what to do first.
    doctor: &'static str,
    /// The remedy after it contains this.
    remedy: &'static str,
    /// In the logs of the daemons.
    logged: &'static [&'static str],
    /// Not in them.
    not_logged: &'static [&'static str],
}

/// A leader that is followed.
const FOLLOWED: Setup = Setup {
    before: |host| vec![leader(host)],
    dante4l: &["-i", CABLE],
    beside: ("dante2sys", &["--clock=virtual"]),
    then: |_, _| {},
    status: SYNCHRONISED,
    doctor: NO_FAILURE,
    remedy: "clock = \"realtime\"",
    logged: &[],
    not_logged: &["may be blocked", "none could be measured"],
};

impl Setup {
    /// Runs the programs on the host, and checks all sentences.
    #[track_caller]
    fn check(&self) {
        let Some(host) = Host::new() else { return };
        let mut running = (self.before)(&host);
        let dante4l = host.start("dante4l", self.dante4l);
        let (daemon, words) = self.beside;
        let words: Vec<String> = words.iter().map(|word| filled(word, &host)).collect();
        let _beside = host.start(daemon, &words.iter().map(String::as_str).collect::<Vec<_>>());
        (self.then)(&host, &mut running);
        let status = settled(&host, self.status, SETTLING_TIME);
        let doctor = host.doctor(&[]).output;
        let (sentence, remedy) = first_of_doctor(&doctor);
        let later = first_of_status(&host);
        // In one call: other tests print at the same time.
        println!("status: {status}\ndoctor: {sentence}\n{remedy}");
        let mut faults = Vec::new();
        for (about, wanted, found) in [
            ("status", self.status, status),
            ("status some seconds later", self.status, later),
            ("doctor", self.doctor, sentence),
        ] {
            let wanted = filled(wanted, &host);
            if !matches(&wanted, &found) {
                faults.push(format!("{about}: {found}\n    expected: {wanted}"));
            }
        }
        let wanted = filled(self.remedy, &host);
        if !remedy.contains(&wanted) {
            faults.push(format!("doctor's remedy: {remedy}\n    expected in it: {wanted}"));
        }
        drop(dante4l);
        let log: String =
            ["dante4l", "dante2sys", "danteshm"].map(|name| host.lab.stage.output_of(name)).concat();
        let is_in = |words: &&&str| log.lines().any(|line| contains(&filled(words, &host), line));
        faults.extend(
            self.logged.iter().filter(|words| !is_in(words)).map(|words| format!("not logged: {words}")),
        );
        faults.extend(self.not_logged.iter().filter(is_in).map(|words| format!("logged: {words}")));
        assert!(faults.is_empty(), "{}\n{doctor}\n{log}", faults.join("\n"));
    }
}

/// Waits until the first sentence of the status is this one, for `limit` at most. Returns the last one.
fn settled(host: &Host, sentence: &str, limit: Duration) -> String {
    let sentence = filled(sentence, host);
    let mut attempts = dante_tests::Attempts::new(limit);
    loop {
        let found = first_of_status(host);
        if matches(&sentence, &found) || !attempts.again() {
            return found;
        }
    }
}

/// The first sentence of `pmc-lite get status`.
fn first_of_status(host: &Host) -> String {
    let screen = host.screen();
    let finding = screen.lines().find_map(|line| line.strip_prefix("! "));
    finding.or(screen.lines().next()).unwrap_or_default().to_owned()
}

/// The sentence at the end of `pmc-lite doctor`, and its remedies.
fn first_of_doctor(output: &str) -> (String, String) {
    let (_, last) = output.trim_end().rsplit_once("\n\n").unwrap_or_default();
    let (sentence, remedies) = last.split_once('\n').unwrap_or((last, ""));
    (sentence.to_owned(), remedies.to_owned())
}

fn filled(sentence: &str, host: &Host) -> String {
    let lab = &host.lab;
    let folder = lab.stage.folder().display().to_string();
    sentence
        .replace("{near}", &lab.near_address())
        .replace("{far}", &lab.far_address())
        .replace("{second}", &lab.second_far_address())
        .replace("{folder}", &folder)
}

/// Whether the whole text is this sentence.
fn matches(sentence: &str, text: &str) -> bool {
    rest(sentence, text).is_some_and(str::is_empty)
}

/// Whether the sentence is in the text.
fn contains(sentence: &str, text: &str) -> bool {
    text.char_indices().any(|(at, _)| rest(sentence, &text[at..]).is_some())
}

/// What follows the sentence at the beginning of a text; `None` if the text does not begin with it.
fn rest<'t>(sentence: &str, text: &'t str) -> Option<&'t str> {
    let mut parts = sentence.split("{#}");
    let first = parts.next().unwrap_or_default();
    parts.try_fold(text.strip_prefix(first)?, |text, part| {
        let number = text.trim_start_matches(|one: char| one.is_ascii_digit() || "+-.".contains(one));
        (number.len() < text.len()).then_some(number)?.strip_prefix(part)
    })
}

/// A leader on the cable.
fn leader(host: &Host) -> Box<dyn Any> {
    Box::new(leading(host))
}

fn leading(host: &Host) -> LeaderProcess {
    host.lab.leader(&["--force", "--ppm=12", &format!("--uuid={UUID}")])
}

/// A leader on the host itself.
fn leader_here(host: &Host) -> Box<dyn Any> {
    let from = host.lab.near_address().parse().expect("an address");
    Box::new(RawLeader::start(&host.lab.near, IDENTITY, Way::From(from)))
}

/// The host's address has this label.
fn label(host: &Host, label: &str) {
    let near = &host.lab.near;
    near.ip(&["address", "flush", "dev", CABLE]);
    let address = format!("{}/24", host.lab.near_address());
    near.ip(&["address", "add", &address, "dev", CABLE, "label", label]);
}

/// Waits until the first sentence of the status is this one.
fn wait_for_sentence(host: &Host, sentence: &str) {
    let found = settled(host, sentence, SETTLING_TIME);
    assert!(matches(&filled(sentence, host), &found), "status: {found}\n    expected: {sentence}");
}

/// avahi-autoipd gives a link-local address such a label.
#[test]
fn interface_whose_address_has_a_label() {
    let before = |host: &Host| {
        label(host, "veth0:avahi");
        vec![leader(host)]
    };
    Setup { before, ..FOLLOWED }.check();
}

#[test]
fn interface_by_the_label_of_its_address() {
    let before = |host: &Host| {
        label(host, "veth0:0");
        vec![leader(host)]
    };
    Setup { before, dante4l: &["-i", "veth0:0"], ..FOLLOWED }.check();
}

#[test]
fn interface_by_an_alternative_name() {
    let before = |host: &Host| {
        host.lab.near.ip(&["link", "property", "add", "dev", CABLE, "altname", "enp0s31f6-dante-primary"]);
        vec![leader(host)]
    };
    Setup { before, dante4l: &["-i", "enp0s31f6-dante-primary"], ..FOLLOWED }.check();
}

#[test]
fn interface_by_its_address() {
    let before = |host: &Host| {
        // Of another network than that of the test, whose number differs from run to run.
        host.lab.near.ip(&["address", "add", "169.254.8.8/16", "dev", CABLE]);
        vec![leader(host)]
    };
    Setup { before, dante4l: &["-i", "169.254.8.8"], ..FOLLOWED }.check();
}

/// The card is removed, and plugged in again under another name.
#[test]
fn interface_by_its_hardware_address_is_followed_under_another_name() {
    let before = |host: &Host| {
        host.lab.near.ip(&["link", "set", CABLE, "address", MAC]);
        vec![leader(host)]
    };
    let then = |host: &Host, running: &mut Running| {
        wait_for_sentence(host, SYNCHRONISED);
        let (far, near) = (&host.lab.far, &host.lab.near);
        running.clear();
        near.ip(&["link", "delete", CABLE]);
        wait_for_sentence(host, "dante4l cannot use veth0: there is no such network interface");
        let peer = ["peer", "name", "usb7", "address", MAC, "netns", near.name()];
        far.ip(&[&["link", "add", CABLE, "type", "veth"][..], &peer].concat());
        for (side, name, address) in
            [(far, CABLE, host.lab.far_address()), (near, "usb7", host.lab.near_address())]
        {
            side.ip(&["address", "add", &format!("{address}/24"), "dev", name]);
            side.ip(&["link", "set", name, "up"]);
        }
        running.push(leader(host));
    };
    Setup { before, dante4l: &["-i", MAC], then, ..FOLLOWED }.check();
}

/// At the start there is no card with this hardware address.
#[test]
fn missing_interface_is_named_as_it_was_configured() {
    let before = |host: &Host| {
        host.lab.near.ip(&["link", "set", CABLE, "address", "02:00:5e:10:00:02"]);
        Running::new()
    };
    Setup {
        before,
        dante4l: &["-i", MAC],
        status: "dante4l cannot use 02:00:5e:10:00:01: there is no such network interface",
        doctor: "Begin here: there is no network interface 02:00:5e:10:00:01 (there are: lo, veth0 02:00:5e:10:00:02)",
        remedy: "interface = \"veth0\"",
        ..FOLLOWED
    }
    .check();
}

/// The bridge has the address, and the packets.
#[test]
fn port_of_a_bridge() {
    let before = |host: &Host| {
        let near = &host.lab.near;
        near.ip(&["address", "flush", "dev", CABLE]);
        near.ip(&["link", "add", "br0", "type", "bridge", "forward_delay", "0"]);
        near.ip(&["link", "set", CABLE, "master", "br0"]);
        near.ip(&["link", "set", "br0", "up"]);
        near.ip(&["address", "add", &format!("{}/24", host.lab.near_address()), "dev", "br0"]);
        vec![leader(host)]
    };
    Setup {
        before,
        status: "dante4l cannot use veth0: it is a port of bridge br0, which receives its packets",
        doctor: "Begin here: network interface veth0 is a port of bridge br0, which receives its packets; the leader 00:1d:c1:a1:72:3c/1 at \
                 {far} was received on br0",
        remedy: "interface = \"br0\"",
        ..FOLLOWED
    }
    .check();
}

/// The switch sends the leader's packets with the tag of a VLAN, for which the host has no interface.
#[test]
fn leader_in_a_vlan_of_the_interface() {
    let before = |host: &Host| -> Running {
        let from = host.lab.far_address().parse().expect("an address");
        vec![Box::new(RawLeader::start(&host.lab.far, IDENTITY, Way::Tagged(20, from)))]
    };
    Setup {
        before,
        status: NO_LEADER,
        doctor: "Begin here: PTP of the leader 00:1d:c1:a1:72:3c/1 at {far} arrives at veth0 with VLAN tag 20, which veth0 does not \
                 receive",
        remedy: "type vlan id 20",
        ..FOLLOWED
    }
    .check();
}

/// As a virtual sound card, or a Dante device in a container with the host's network.
#[test]
fn leader_on_the_same_host() {
    Setup {
        before: |host| vec![leader_here(host)],
        status: "veth0: leader 00:1d:c1:a1:72:3c/1 at {near} is a program on this host: it is not followed, because this host's clock would follow itself",
        doctor: "Begin here: veth0: leader 00:1d:c1:a1:72:3c/1 at {near} is a program on this host: it is not followed, because this host's clock would follow itself",
        remedy: "stop that program",
        ..FOLLOWED
    }
    .check();
}

/// It is bound to an address of another interface, which that one gets after dante4l was started.
#[test]
fn leader_on_the_same_host_at_the_address_of_another_interface() {
    let then = |host: &Host, running: &mut Running| {
        wait_for_sentence(host, NO_LEADER);
        host.lab.near.ip(&["address", "add", &format!("{OTHER_ADDRESS}/32"), "dev", "lo"]);
        running.push(Box::new(RawLeader::start(&host.lab.near, IDENTITY, Way::From(OTHER_ADDRESS))));
    };
    Setup {
        before: |_| Running::new(),
        then,
        status: "veth0: leader 00:1d:c1:a1:72:3c/1 at 169.254.61.200 is a program on this host: it is not followed, because this host's clock would follow itself",
        doctor: "Begin here: veth0: leader 00:1d:c1:a1:72:3c/1 at 169.254.61.200 is a program on this host: it is not followed, because this host's clock would follow itself",
        remedy: "stop that program",
        ..FOLLOWED
    }
    .check();
}

/// The last address of the interface is removed, and a leader gets it.
#[test]
fn leader_at_a_former_address_of_the_host() {
    let then = |host: &Host, running: &mut Running| {
        wait_for_sentence(host, NO_LEADER);
        host.lab.near.ip(&["address", "flush", "dev", CABLE]);
        let address: Ipv4Addr = host.lab.near_address().parse().expect("an address");
        host.lab.far.ip(&["address", "add", &format!("{address}/24"), "dev", CABLE]);
        running.push(Box::new(RawLeader::start(&host.lab.far, IDENTITY, Way::From(address))));
        wait_for_sentence(host, SYNCHRONISED);
        host.lab.near.ip(&["address", "add", &format!("{OTHER_ADDRESS}/24"), "dev", CABLE]);
    };
    Setup {
        before: |_| Running::new(),
        then,
        logged: &["first leader 00:1d:c1:a1:72:3c/1"],
        not_logged: &["is a program on this host"],
        ..FOLLOWED
    }
    .check();
}

/// The operator names it, for example to serve the time of this host to a Dante network and to steer nothing by it.
#[test]
fn named_leader_on_the_same_host() {
    Setup {
        before: |host| vec![leader_here(host)],
        dante4l: &["-i", CABLE, "--leader", UUID],
        not_logged: &["is a program on this host"],
        ..FOLLOWED
    }
    .check();
}

/// The cables of the primary and the secondary network, those of this host and those of the leader, are in one switch.
#[test]
fn primary_and_secondary_network_patched_together() {
    let before = |host: &Host| -> Running {
        let far = &host.lab.far;
        host.lab.second_cable();
        far.ip(&["link", "add", "br0", "type", "bridge", "mcast_snooping", "0", "forward_delay", "0"]);
        far.ip(&["link", "set", "br0", "up"]);
        let plug = |port| far.ip(&["link", "set", port, "master", "br0", "up"]);
        for port in [CABLE, SECOND_CABLE] {
            far.ip(&["address", "flush", "dev", port]);
            plug(port);
        }
        let second = "169.254.61.115".to_owned();
        for (card, port, address) in [("dev0", "port0", host.lab.far_address()), ("dev1", "port1", second)] {
            far.ip(&["link", "add", card, "type", "veth", "peer", "name", port]);
            plug(port);
            far.ip(&["address", "add", &format!("{address}/24"), "dev", card]);
            far.ip(&["link", "set", card, "up"]);
        }
        let start = |card, words: &[&str]| LeaderProcess::start_on(&host.lab.stage, far, card, words);
        let primary = start("dev0", &["--force", "--ppm=12", &format!("--uuid={UUID}")]);
        primary.truth();
        let same = format!("--same-clock={}", primary.file().display());
        let secondary = start("dev1", &["--force", "--uuid=00:1d:c1:a1:72:3d", &same]);
        vec![Box::new(primary), Box::new(secondary)]
    };
    Setup {
        before,
        dante4l: &["-i", CABLE, "-i", SECOND_CABLE],
        status: "veth1: leader 00:1d:c1:a1:72:3c/1 at {far} is received on both interfaces: they are on one network, and the second one is no redundancy",
        doctor: "No failure. First warning: veth1: leader 00:1d:c1:a1:72:3c/1 at {far} is received on both interfaces: they are on one network, and the second one is no redundancy",
        remedy: "connect the second interface to the secondary network",
        not_logged: &["switched to", "timeline 2", "none could be measured"],
        ..FOLLOWED
    }
    .check();
}

/// Not to the multicast group, as Dante devices send.
#[test]
fn leader_that_sends_to_the_address_of_the_host() {
    let before = |host: &Host| -> Running {
        let to: Ipv4Addr = host.lab.near_address().parse().expect("an address");
        vec![Box::new(RawLeader::start(&host.lab.far, IDENTITY, Way::To(to)))]
    };
    Setup {
        before,
        status: "veth0: leader 00:1d:c1:a1:72:3c/1 at {far} sends to the address of this host (unicast), not to the multicast group: it is not followed",
        doctor: "Begin here: veth0: leader 00:1d:c1:a1:72:3c/1 at {far} sends to the address of this host (unicast), not to the multicast group: it is not followed",
        remedy: "leader",
        ..FOLLOWED
    }
    .check();
}

#[test]
fn only_leader_that_falls_silent() {
    let then = |host: &Host, running: &mut Running| {
        wait_for_sentence(host, SYNCHRONISED);
        running.clear();
    };
    Setup {
        then,
        status: NO_LEADER,
        doctor: "Begin here: the leader on veth0 is no longer received: {#} Syncs earlier, none in the last 2.2 s; dante4l joined 224.0.1.129 \
                 again {#} times",
        remedy: "check that the leader is on",
        ..FOLLOWED
    }
    .check();
}

/// Its first packets are Follow_Ups, as those of the Syncs before this host joined the group or was connected.
#[test]
fn leader_that_appears_late() {
    let before = |_: &Host| Running::new();
    let then = |host: &Host, running: &mut Running| {
        wait_for_sentence(host, NO_LEADER);
        // From then on dante4l reports other traffic.
        std::thread::sleep(Duration::from_secs(5));
        let mut sender = RawSender::on(&host.lab.far);
        for sequence in 1..=3 {
            let body = FollowUp { associated_sequence_id: sequence, precise_origin: Timestamp::from_ns(0) };
            sender.send(Channel::General, &header(IDENTITY, sequence).follow_up(&body));
            std::thread::sleep(Duration::from_millis(250));
        }
        running.push(leader(host));
    };
    Setup { before, then, ..FOLLOWED }.check();
}

#[test]
fn socket_path_of_another_server() {
    let before = |host: &Host| -> Running {
        let path = host.lab.stage.folder().join("ptp-usrvclock");
        let socket = UnixDatagram::bind(path).expect("a socket");
        let mut server = Command::new("sleep");
        server.arg("600").stdin(OwnedFd::from(socket));
        let server = host.processes.within(|| Bound::spawn(&mut server).expect("sleep"));
        vec![Box::new(server), leader(host)]
    };
    Setup {
        before,
        beside: ("danteshm", &["--epoch=now", "--usrvclock={folder}/ptp-usrvclock"]),
        status: "usrvclock {folder}/ptp-usrvclock: another program uses this socket: clients do not get Dante time from danteshm",
        doctor: "Begin here: usrvclock {folder}/ptp-usrvclock: sleep (pid {#}) uses this socket: clients do not get Dante time from danteshm",
        remedy: "choose another path",
        not_logged: &["chronyd"],
        ..FOLLOWED
    }
    .check();
}

/// Two wired interfaces besides the bridge of containers.
#[test]
fn auto_with_one_leader_beside_a_container_bridge() {
    let before = |host: &Host| {
        let near = &host.lab.near;
        host.lab.second_cable();
        near.ip(&["link", "add", "docker0", "type", "bridge"]);
        near.ip(&["address", "add", "172.17.0.1/16", "dev", "docker0"]);
        let container = ["peer", "name", "eth0", "netns", host.lab.far.name()];
        near.ip(&[&["link", "add", "vethc0", "type", "veth"][..], &container].concat());
        near.ip(&["link", "set", "vethc0", "master", "docker0", "up"]);
        near.ip(&["link", "set", "docker0", "up"]);
        host.lab.far.ip(&["link", "set", "eth0", "up"]);
        vec![leader(host)]
    };
    Setup {
        before,
        dante4l: &["-i", "auto"],
        logged: &[
            "interface auto: using veth0, which receives leader 00:1d:c1:a1:72:3c/1 at {far}",
            "docker0 (container bridge)",
        ],
        ..FOLLOWED
    }
    .check();
}

/// The two ports of one leader.
#[test]
fn auto_with_one_clock_on_two_networks() {
    let before = |host: &Host| -> Running {
        host.lab.second_cable();
        let primary = leading(host);
        primary.truth();
        let same = format!("--same-clock={}", primary.file().display());
        let words = ["--force", &same];
        let secondary = LeaderProcess::start_on(&host.lab.stage, &host.lab.far, SECOND_CABLE, &words);
        vec![Box::new(primary), Box::new(secondary)]
    };
    let then = |host: &Host, _: &mut Running| {
        wait_until("the choice", SETTLING_TIME, || host.lab.stage.output_of("dante4l").contains("secondary"));
    };
    Setup {
        before,
        dante4l: &["-i", "auto"],
        then,
        logged: &[
            "interface auto: using veth0 as the primary and veth1 as the secondary network: both receive the same clock",
        ],
        ..FOLLOWED
    }
    .check();
}

#[test]
fn auto_with_two_clocks() {
    let before = |host: &Host| -> Running {
        host.lab.second_cable();
        let words = ["--force", "--ppm=-3", "--uptime=90000", "--uuid=00:1d:c1:00:00:02"];
        let other = LeaderProcess::start_on(&host.lab.stage, &host.lab.far, SECOND_CABLE, &words);
        vec![leader(host), Box::new(other)]
    };
    Setup {
        before,
        dante4l: &["-i", "auto"],
        status: "different clocks are received on veth0 (00:1d:c1:a1:72:3c/1 at {far}) and veth1 (00:1d:c1:00:00:02/1 at {second}), which \
                 differ by {#} s and {#} ppm: dante4l follows none",
        doctor: "Begin here: different clocks are received on veth0 (00:1d:c1:a1:72:3c/1 at {far}) and veth1 (00:1d:c1:00:00:02/1 at \
                 {second}), which differ by {#} s and {#} ppm: dante4l follows none",
        remedy: "interface = \"veth0\" or \"veth1\"",
        ..FOLLOWED
    }
    .check();
}
