//! What happens to a network interface while dante4l listens on it: it has to lock again by itself, on the same timeline,
//! since the leader's time went on. A switch stands between leader and follower, so the leader's own cable stays.

use dante_core::page::PortRecord;
use dante_core::port::State;
use dante_core::time::Duration as Span;
use dante_core::time::{Raw, Timestamp};
use dante_os::clock::raw_now;
use dante_tests::capture::Capture;
use dante_tests::lab::{Eyes, LeaderProcess, may_use, proc_status};
use dante_tests::namespace::{CABLE, Namespace};
use dante_tests::program::{Program, built};
use dante_tests::stage::Stage;
use dante_tests::switch::Switch;
use dante_tests::{judge, wait_for, wait_until};
use serde_json::Value;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);
const GROUP: &str = "224.0.1.129";
/// The follower's number on the switch; the leader has 1.
const NEAR: u8 = 2;

/// What runs ends before what it runs in.
struct TestNetwork {
    _leader: LeaderProcess,
    eyes: Eyes,
    stage: Stage,
    near: Namespace,
    switch: Switch,
}

impl TestNetwork {
    /// A leader and a host on a switch; `None` where that needs a right or a tool that is missing.
    fn new(make: fn(&str, u8) -> Switch, has_cable: bool) -> Option<Self> {
        if !may_use(&["ip", "bridge", "sysctl", "tshark"]) {
            return None;
        }
        let stage = Stage::new();
        let (hosts, net) = stage.hosts();
        let switch = make(&hosts, net);
        let far = switch.host(1);
        let near = if has_cable { switch.host(NEAR) } else { switch.lone_host(NEAR) };
        let leader = LeaderProcess::start(&stage, &far, &["--ppm=12"]);
        leader.truth();
        let eyes = Eyes::of(&stage);
        Some(Self { _leader: leader, eyes, stage, near, switch })
    }

    fn dante4l(&self, words: &[&str]) -> Program {
        let mut command = self.near.command(built("dante4l"));
        command.args(["-i", CABLE, "-l", "7"]).args(words).args(self.stage.daemon_words());
        self.stage.start("dante4l", command)
    }

    fn wait_for(&mut self, state: State) -> Timestamp<Raw> {
        self.eyes.wait_for_port(state, PATIENCE)
    }

    fn port(&mut self) -> PortRecord {
        self.eyes.selected().expect("a port")
    }

    fn counter(&self, name: &str) -> u64 {
        let counters: Value = self.stage.status()["dante4l"]["ports"][0]["counters"].take();
        counters[name].as_u64().unwrap_or_else(|| panic!("no counter {name}: {counters}"))
    }

    /// The link goes and comes back, by whichever means; the lock as well. Returns what dante4l has said, and how often
    /// it told the network anew of its membership.
    fn goes_and_comes(&mut self, go: impl FnOnce(&Self), come: impl FnOnce(&Self)) -> (String, u64) {
        let dante4l = self.dante4l(&[]);
        self.wait_for(State::Slave);
        let gone = raw_now();
        go(self);
        let noticed = self.wait_for(State::Faulty);
        println!("FAULTY after {:.3} s", (noticed - gone).secs_f64());
        let before = self.port();
        let map = before.map().expect("the map lives on");
        std::thread::sleep(away());
        let during = self.port();
        assert_eq!((during.state(), during.map()), (Some(State::Faulty), Some(map)), "nothing is heard");
        let rejoined = self.counter("rejoined");
        let back = raw_now();
        come(self);
        wait_for("the interface in use again", PATIENCE, || self.eyes.port().filter(|state| state.is_open()));
        println!("in use again after {:.3} s", (raw_now() - back).secs_f64());
        let slave = self.wait_for(State::Slave);
        // The kernel tells of carrier at most once a second.
        judge("SLAVE after the link came back", (slave - back).secs_f64(), 3.0, "s");
        let after = self.port();
        assert_eq!(after.timeline, before.timeline, "the leader's time went on: {}", dante4l.output());
        let rejoined = self.counter("rejoined") - rejoined;
        let ended = dante4l.stop();
        ended.expect(0, &["SLAVE to FAULTY: interface failed", "FAULTY to LISTENING: interface ready"]);
        (ended.said, rejoined)
    }
}

/// Longer on long runs.
fn away() -> Duration {
    Duration::from_secs(if std::env::var_os("SOAK").is_some() { 30 } else { 4 })
}

#[test]
fn a_cable_that_was_pulled_and_plugged_in_again() {
    let Some(mut network) = TestNetwork::new(Switch::new, true) else { return };
    let set = |connected| move |network: &TestNetwork| network.switch.set_cable(NEAR, connected);
    let (said, rejoined) = network.goes_and_comes(set(false), set(true));
    assert_eq!(rejoined, 1, "the cable may lead to another switch now");
    assert!(said.contains("port veth0: no carrier: the cable is out"), "{said}");
}

#[test]
fn an_interface_that_was_switched_off_and_on() {
    let Some(mut network) = TestNetwork::new(Switch::new, true) else { return };
    let set = |to: &'static str| move |network: &TestNetwork| network.near.ip(&["link", "set", CABLE, to]);
    let (said, rejoined) = network.goes_and_comes(set("down"), set("up"));
    assert_eq!(rejoined, 1);
    assert!(said.contains("port veth0: network interface veth0 is down; bring it up"), "{said}");
}

#[test]
fn an_interface_made_anew_under_the_same_name() {
    let Some(mut network) = TestNetwork::new(Switch::new, true) else { return };
    let go = |network: &TestNetwork| network.switch.disconnect(NEAR);
    let come = |network: &TestNetwork| network.switch.connect(&network.near, NEAR);
    let (said, _) = network.goes_and_comes(go, come);
    assert!(said.contains("the interface is gone, or another one has its name"), "{said}");
}

/// It is waited for without looking for it all the time.
#[test]
fn an_interface_that_is_not_there_yet() {
    let Some(mut network) = TestNetwork::new(Switch::new, false) else { return };
    let dante4l = network.dante4l(&[]);
    dante4l.wait_for_output("no network interface veth0", PATIENCE);
    network.wait_for(State::Initializing);
    let wakes = || proc_status(dante4l.pid(), "voluntary_ctxt_switches").expect("a count");
    let before = wakes();
    std::thread::sleep(away());
    let a_second = (wakes() - before) as f64 / away().as_secs_f64();
    println!("{a_second:.2} wake-ups a second while it waits");
    let plugged = raw_now();
    network.switch.connect(&network.near, NEAR);
    let slave = network.wait_for(State::Slave);
    judge("SLAVE after the interface came", (slave - plugged).secs_f64(), 3.0, "s");
    assert_eq!(network.port().timeline, 1);
    dante4l.stop().expect(0, &["INITIALIZING to LISTENING: interface ready"]);
}

/// Nothing is lost by it, what is sent has the new address, and the network is told from there.
#[test]
fn an_address_that_changes() {
    let Some(mut network) = TestNetwork::new(Switch::new, true) else { return };
    let capture = Capture::start(&network.stage, &network.near);
    let dante4l = network.dante4l(&["--delay=e2e"]);
    network.wait_for(State::Slave);
    let (old, new) = (network.switch.address(NEAR), network.switch.address(77));
    let requests = |network: &TestNetwork, more: u64| {
        let sent = network.counter("delay_req_sent");
        let limit = Duration::from_secs(30);
        wait_until("Delay_Reqs", limit, || network.counter("delay_req_sent") >= sent + more);
    };
    requests(&network, 1);
    network.near.ip(&["address", "del", &format!("{old}/24"), "dev", CABLE]);
    // As between two leases: it is heard without an address too.
    let samples = network.port().last.number;
    wait_until("Syncs without an address", PATIENCE, || network.port().last.number > samples + 8);
    network.near.ip(&["address", "add", &format!("{new}/24"), "dev", CABLE]);
    let told = format!("its address is {new} now");
    dante4l.wait_for_output(&told, PATIENCE);
    requests(&network, 2);
    assert_eq!((network.port().state(), network.port().timeline), (Some(State::Slave), 1));
    let caught = capture.stop();
    let said = dante4l.stop();
    said.expect(0, &[]);
    assert!(!said.said.contains("FAULTY"), "{}", said.said);
    let count = |from: &str, what: &str| caught.packets(&format!("ip.src == {from} && {what}")).len();
    let request = "ptp.controlfield == 1";
    assert!(
        count(&old, request) >= 1 && count(&new, request) >= 2,
        "{} {}",
        count(&old, request),
        count(&new, request)
    );
    assert!(count(&new, "igmp.maddr == 224.0.1.129") >= 1, "switches learn the new address");
    let mac = caught.packets(request)[0].text("eth.src").to_owned();
    let own = caught.packets(&format!("eth.src == {mac} && !igmp && !arp && !({request})"));
    assert!(own.is_empty(), "sent: {own:?}");
}

/// Nothing but IGMP goes out by it, and that is the kernel's.
#[test]
fn a_switch_that_forgot_its_member_is_told_again() {
    let Some(mut network) = TestNetwork::new(Switch::snooping, true) else { return };
    let dante4l = network.dante4l(&[]);
    network.wait_for(State::Slave);
    wait_until("the switch to know its member", PATIENCE, || network.switch.has_member(NEAR, GROUP));
    // A bridge begins to snoop when it takes itself for the querier; until then it floods. And where it missed the first
    // report, it was told again, which is done at most every ten seconds.
    let rejoined = network.counter("rejoined");
    std::thread::sleep(Duration::from_secs(if rejoined == 0 { 3 } else { 11 }));
    let capture = Capture::start(&network.stage, &network.near);
    // In the log, since the state itself may last for a quarter of a second only.
    let silences = || dante4l.output().matches("to LISTENING").count();
    let before = silences();
    network.switch.forget_member(NEAR, GROUP);
    let mut forgotten = raw_now();
    // A report that came by itself at the same time, or a bridge that floods still: then it forgets once more.
    let silent = wait_for("silence", PATIENCE * 2, || {
        if raw_now() - forgotten > Span::from_secs(4) && network.switch.has_member(NEAR, GROUP) {
            network.switch.forget_member(NEAR, GROUP);
            forgotten = raw_now();
        }
        (silences() > before).then(raw_now)
    });
    let slave = network.wait_for(State::Slave);
    println!("silence noticed after {:.3} s", (silent - forgotten).secs_f64());
    judge("SLAVE after the silence was noticed", (slave - silent).secs_f64(), 3.0, "s");
    assert!(network.switch.has_member(NEAR, GROUP));
    assert_eq!(network.counter("rejoined"), rejoined + 1);
    assert_eq!(network.port().timeline, 1, "the leader's time went on");
    let caught = capture.stop();
    dante4l.stop().expect(0, &["told the network anew of the membership of 224.0.1.129"]);
    let address = network.switch.address(NEAR);
    let reports = caught.packets(&format!("ip.src == {address} && igmp.maddr == {GROUP}"));
    assert!(!reports.is_empty(), "no IGMP report");
    let mac = reports[0].text("eth.src").to_owned();
    let own = caught.packets(&format!("eth.src == {mac} && !igmp && !arp"));
    assert!(own.is_empty(), "sent: {own:?}");
}

/// A veth has no clock: told to use it, dante4l says so and ends; left alone, it takes the kernel's stamps.
#[test]
fn hardware_time_stamps_where_there_are_none() {
    let Some(mut network) = TestNetwork::new(Switch::new, true) else { return };
    let refused = network.dante4l(&["--timestamping=hardware"]).ended(PATIENCE);
    refused.expect(2, &["veth0 has no hardware time stamps; `ethtool -T veth0`"]);
    let dante4l = network.dante4l(&["--timestamping=auto"]);
    network.wait_for(State::Slave);
    assert_eq!(network.stage.status()["dante4l"]["ports"][0]["timestamping"], "software");
    dante4l.stop().expect(0, &["listening, time stamps: software\n"]);
}
