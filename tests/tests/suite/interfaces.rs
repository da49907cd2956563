//! The network interface of dante4l loses its carrier, is set down, or is recreated: dante4l locks again on the same timeline,
//! because the leader's time continued. A switch between leader and follower keeps the leader's own link up.

use dante_core::page::PortRecord;
use dante_core::port::State;
use dante_core::time::Duration as Span;
use dante_core::time::{Raw, Timestamp};
use dante_os::clock::raw_now;
use dante_tests::capture::Capture;
use dante_tests::lab::{LeaderProcess, Readers, may_use, proc_status};
use dante_tests::namespace::{CABLE, Namespace};
use dante_tests::program::{Program, built};
use dante_tests::stage::Stage;
use dante_tests::switch::Switch;
use dante_tests::{EVENT_TIMEOUT, judge, soaks, wait_for, wait_until};
use serde_json::Value;
use std::time::{Duration, Instant};

const GROUP: &str = "224.0.1.129";
/// The follower's number on the switch; the leader has 1.
const NEAR: u8 = 2;

/// Fields are dropped in this order: programs end before their namespaces are removed.
struct TestNetwork {
    _leader: LeaderProcess,
    readers: Readers,
    stage: Stage,
    near: Namespace,
    switch: Switch,
}

impl TestNetwork {
    /// A leader and a host on a switch; `None` without root's rights or a tool.
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
        let readers = Readers::of(&stage);
        Some(Self { _leader: leader, readers, stage, near, switch })
    }

    fn dante4l(&self, words: &[&str]) -> Program {
        let mut command = self.near.command(built("dante4l"));
        command.args(["-i", CABLE, "-l", "7"]).args(words).args(self.stage.daemon_words());
        self.stage.start("dante4l", command)
    }

    fn wait_for(&mut self, state: State) -> Timestamp<Raw> {
        self.readers.wait_for_port(state, EVENT_TIMEOUT)
    }

    fn port(&mut self) -> PortRecord {
        self.readers.selected().expect("a port")
    }

    fn counter(&self, name: &str) -> u64 {
        let counters: Value = self.stage.status()["dante4l"]["ports"][0]["counters"].take();
        counters[name].as_u64().unwrap_or_else(|| panic!("no counter {name}: {counters}"))
    }

    /// Takes the link down by `down` and up again by `up`, and judges the new lock. Returns dante4l's log, and how often dante4l
    /// joined the multicast group again.
    fn link_down_and_up(&mut self, down: impl FnOnce(&Self), up: impl FnOnce(&Self)) -> (String, u64) {
        let dante4l = self.dante4l(&[]);
        self.wait_for(State::Slave);
        let lost = raw_now();
        down(self);
        let faulty = self.wait_for(State::Faulty);
        println!("FAULTY after {:.3} s", (faulty - lost).secs_f64());
        let before = self.port();
        let map = before.map().expect("the map is kept");
        std::thread::sleep(outage());
        let during = self.port();
        assert_eq!((during.state(), during.map()), (Some(State::Faulty), Some(map)), "no packet arrives");
        let rejoined = self.counter("rejoined");
        let back = raw_now();
        up(self);
        wait_for("the interface in use again", EVENT_TIMEOUT, || {
            self.readers.port().filter(|state| state.is_open())
        });
        println!("in use again after {:.3} s", (raw_now() - back).secs_f64());
        let slave = self.wait_for(State::Slave);
        // The kernel reports a carrier up to 1 s late.
        judge("SLAVE after the link came back", (slave - back).secs_f64(), 3.0, "s");
        let after = self.port();
        assert_eq!(after.timeline, before.timeline, "the leader's time continued: {}", dante4l.output());
        let rejoined = self.counter("rejoined") - rejoined;
        let ended = dante4l.stop();
        ended.expect(0, &["SLAVE to FAULTY: interface failed", "FAULTY to LISTENING: interface ready"]);
        (ended.output, rejoined)
    }
}

/// Time without a link; longer in long tests.
fn outage() -> Duration {
    Duration::from_secs(if soaks() { 30 } else { 4 })
}

#[test]
fn relocks_on_same_timeline_after_loss_of_carrier() {
    let Some(mut network) = TestNetwork::new(Switch::new, true) else { return };
    let set = |connected| move |network: &TestNetwork| network.switch.set_cable(NEAR, connected);
    let (log, rejoined) = network.link_down_and_up(set(false), set(true));
    assert_eq!(rejoined, 1, "the cable may be in another switch now");
    assert!(log.contains("port veth0: no carrier: the cable is unplugged"), "{log}");
}

#[test]
fn relocks_on_same_timeline_after_interface_down_and_up() {
    let Some(mut network) = TestNetwork::new(Switch::new, true) else { return };
    let set = |to: &'static str| move |network: &TestNetwork| network.near.ip(&["link", "set", CABLE, to]);
    let (log, rejoined) = network.link_down_and_up(set("down"), set("up"));
    assert_eq!(rejoined, 1);
    assert!(log.contains("port veth0: network interface veth0 is down; bring it up"), "{log}");
}

#[test]
fn relocks_on_same_timeline_after_interface_is_recreated() {
    let Some(mut network) = TestNetwork::new(Switch::new, true) else { return };
    let down = |network: &TestNetwork| network.switch.disconnect(NEAR);
    let up = |network: &TestNetwork| network.switch.connect(&network.near, NEAR);
    let (log, _) = network.link_down_and_up(down, up);
    assert!(log.contains("the interface was removed, or another one has its name now"), "{log}");
}

#[test]
fn waits_for_missing_interface_without_busy_polling() {
    let Some(mut network) = TestNetwork::new(Switch::new, false) else { return };
    let dante4l = network.dante4l(&[]);
    dante4l.wait_for_output("no network interface veth0", EVENT_TIMEOUT);
    network.wait_for(State::Initializing);
    let wakeups = || proc_status(dante4l.pid(), "voluntary_ctxt_switches").expect("a count");
    let (before, begun) = (wakeups(), Instant::now());
    std::thread::sleep(outage());
    let per_second = (wakeups() - before) as f64 / begun.elapsed().as_secs_f64();
    println!("{per_second:.2} wake-ups per second while it waits");
    assert!(per_second <= 2.0, "{per_second} wake-ups per second while it waits");
    let plugged = raw_now();
    network.switch.connect(&network.near, NEAR);
    let slave = network.wait_for(State::Slave);
    judge("SLAVE after the interface came", (slave - plugged).secs_f64(), 3.0, "s");
    assert_eq!(network.port().timeline, 1);
    dante4l.stop().expect(0, &["INITIALIZING to LISTENING: interface ready"]);
}

/// dante4l stays locked, and sends Delay_Reqs and IGMP reports from the new address.
#[test]
fn address_change_keeps_lock_and_sends_from_new_address() {
    let Some(mut network) = TestNetwork::new(Switch::new, true) else { return };
    let capture = Capture::start(&network.stage, &network.near);
    let dante4l = network.dante4l(&["--delay=e2e"]);
    network.wait_for(State::Slave);
    let (old, new) = (network.switch.address(NEAR), network.switch.address(77));
    let requests = |network: &TestNetwork, more: u64| {
        let sent = network.counter("delay_req_sent");
        wait_until("Delay_Reqs", EVENT_TIMEOUT, || network.counter("delay_req_sent") >= sent + more);
    };
    requests(&network, 1);
    network.near.ip(&["address", "del", &format!("{old}/24"), "dev", CABLE]);
    // As between two DHCP leases: Syncs arrive without an address too.
    let samples = network.port().last.number;
    wait_until("Syncs without an address", EVENT_TIMEOUT, || network.port().last.number > samples + 8);
    network.near.ip(&["address", "add", &format!("{new}/24"), "dev", CABLE]);
    let report = format!("address changed to {new}");
    dante4l.wait_for_output(&report, EVENT_TIMEOUT);
    requests(&network, 2);
    assert_eq!((network.port().state(), network.port().timeline), (Some(State::Slave), 1));
    let caught = capture.stop();
    let ended = dante4l.stop();
    ended.expect(0, &[]);
    assert!(!ended.output.contains("FAULTY"), "{}", ended.output);
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

/// Rejoining sends IGMP reports of the kernel, and no other packet.
#[test]
fn rejoins_group_that_a_snooping_switch_forgot() {
    let Some(mut network) = TestNetwork::new(Switch::snooping, true) else { return };
    let dante4l = network.dante4l(&[]);
    network.wait_for(State::Slave);
    wait_until("the switch to know its member", EVENT_TIMEOUT, || network.switch.has_member(NEAR, GROUP));
    // A bridge floods until it is the querier, then it snoops. If it missed the first report, dante4l joined again; it does so at
    // most every 10 s.
    let rejoined = network.counter("rejoined");
    std::thread::sleep(Duration::from_secs(if rejoined == 0 { 3 } else { 11 }));
    let capture = Capture::start(&network.stage, &network.near);
    // Counted in the log, because the state may last for 250 ms only.
    let losses = || dante4l.output().matches("to LISTENING").count();
    let before = losses();
    network.switch.forget_member(NEAR, GROUP);
    let mut forgotten = raw_now();
    // If a report arrived by itself at that moment, or the bridge still floods, the membership is removed again.
    let lost = wait_for("loss of the leader", EVENT_TIMEOUT * 2, || {
        if raw_now() - forgotten > Span::from_secs(4) && network.switch.has_member(NEAR, GROUP) {
            network.switch.forget_member(NEAR, GROUP);
            forgotten = raw_now();
        }
        (losses() > before).then(raw_now)
    });
    let slave = network.wait_for(State::Slave);
    println!("loss of the leader detected after {:.3} s", (lost - forgotten).secs_f64());
    judge("SLAVE after the loss was detected", (slave - lost).secs_f64(), 3.0, "s");
    assert!(network.switch.has_member(NEAR, GROUP));
    assert_eq!(network.counter("rejoined"), rejoined + 1);
    assert_eq!(network.port().timeline, 1, "the leader's time continued");
    let caught = capture.stop();
    dante4l.stop().expect(0, &["rejoined multicast group 224.0.1.129"]);
    let address = network.switch.address(NEAR);
    let reports = caught.packets(&format!("ip.src == {address} && igmp.maddr == {GROUP}"));
    assert!(!reports.is_empty(), "no IGMP report");
    let mac = reports[0].text("eth.src").to_owned();
    let own = caught.packets(&format!("eth.src == {mac} && !igmp && !arp"));
    assert!(own.is_empty(), "sent: {own:?}");
}

/// A veth has no hardware clock: dante4l ends with `--timestamping=hardware`, and uses the kernel's timestamps with `auto`.
#[test]
fn refuses_hardware_timestamps_without_hardware_clock() {
    let Some(mut network) = TestNetwork::new(Switch::new, true) else { return };
    let refused = network.dante4l(&["--timestamping=hardware"]).ended(EVENT_TIMEOUT);
    refused.expect(2, &["veth0 has no hardware timestamps; `ethtool -T veth0`"]);
    let dante4l = network.dante4l(&["--timestamping=auto"]);
    network.wait_for(State::Slave);
    assert_eq!(network.stage.status()["dante4l"]["ports"][0]["timestamping"], "software");
    dante4l.stop().expect(0, &["listening, timestamps: software\n"]);
}
