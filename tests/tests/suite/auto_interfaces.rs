//! `interface = "auto"` while the interfaces of a host change.

use dante_core::port::State;
use dante_tests::EVENT_TIMEOUT;
use dante_tests::lab::{LeaderProcess, Readers, may_use};
use dante_tests::namespace::{CABLE, Namespace};
use dante_tests::program::Program;
use dante_tests::stage::Stage;
use dante_tests::{program::built, wait_until};
use serde_json::Value;

/// A host with a cable to a leader. Programs end before their namespaces are removed.
struct Host {
    dante4l: Program,
    _leader: LeaderProcess,
    readers: Readers,
    stage: Stage,
    near: Namespace,
    _far: Namespace,
}

impl Host {
    /// dante4l without `-i` on a host with further interfaces; `None` without root's rights or a tool.
    fn new(prepare: impl FnOnce(&Namespace)) -> Option<Self> {
        if !may_use(&["ip", "sysctl"]) {
            return None;
        }
        let stage = Stage::new();
        let (name, net) = stage.hosts();
        let [far, near] = Namespace::pair(&name, net);
        prepare(&near);
        let leader = LeaderProcess::start(&stage, &far, &["--ppm=12"]);
        leader.truth();
        let mut command = near.command(built("dante4l"));
        command.args(stage.daemon_words());
        let dante4l = stage.start("dante4l", command);
        let readers = Readers::of(&stage);
        Some(Self { dante4l, _leader: leader, readers, stage, near, _far: far })
    }

    /// What each interface is used for, or why it is passed over.
    fn interfaces(&self) -> Vec<(String, String)> {
        let status: Value = self.stage.status()["dante4l"]["candidates"].take();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let candidates = status.as_array().into_iter().flatten();
        candidates
            .map(|one| {
                let why = if one["passed_over"].is_null() { &one["role"] } else { &one["passed_over"] };
                (text(&one["interface"]), text(why))
            })
            .collect()
    }

    /// Waits until the leader is followed on this interface.
    fn wait_for_lock_on(&mut self, interface: &str) {
        wait_until(&format!("SLAVE on {interface}: {}", self.dante4l.output()), EVENT_TIMEOUT, || {
            let port = self.readers.selected();
            port.is_some_and(|port| {
                port.state() == Some(State::Slave) && port.interface.to_string() == interface
            })
        });
    }
}

/// Adds an interface with carrier, on a network without another host.
fn lone(host: &Namespace, name: &str) {
    // A bridge takes the packets of the other end.
    let end = format!("{name}e");
    host.ip(&["link", "add", name, "type", "veth", "peer", "name", &end]);
    host.ip(&["link", "set", &end, "master", "br0", "up"]);
    host.ip(&["link", "set", name, "up"]);
    host.ip(&["address", "add", "10.99.0.1/32", "dev", name]);
}

fn bridge(host: &Namespace) {
    host.ip(&["link", "add", "br0", "type", "bridge"]);
    host.ip(&["link", "set", "br0", "up"]);
}

#[test]
fn interface_that_is_renamed_is_used_again_on_the_same_timeline() {
    let prepare = |host: &Namespace| {
        bridge(host);
        lone(host, "eth5");
    };
    let Some(mut host) = Host::new(prepare) else { return };
    host.wait_for_lock_on(CABLE);
    host.near.ip(&["link", "set", CABLE, "down"]);
    host.near.ip(&["link", "set", CABLE, "name", "lan0"]);
    host.near.ip(&["link", "set", "lan0", "up"]);
    host.wait_for_lock_on("lan0");
    assert_eq!(host.readers.selected().expect("a port").timeline, 1, "{}", host.dante4l.output());
    host.dante4l.stop().expect(
        0,
        &[
            &format!("interface auto: using {CABLE}, which receives leader "),
            "interface auto: using lan0, which receives leader ",
        ],
    );
}

#[test]
fn interface_without_a_place_gets_that_of_a_removed_one() {
    let prepare = |host: &Namespace| {
        bridge(host);
        for number in 1..9 {
            lone(host, &format!("eth{number}"));
        }
    };
    let Some(mut host) = Host::new(prepare) else { return };
    host.wait_for_lock_on(CABLE);
    let ninth = ("eth8".to_owned(), "too_many_interfaces".to_owned());
    wait_until("the ninth interface", EVENT_TIMEOUT, || host.interfaces().contains(&ninth));
    host.near.ip(&["link", "delete", "eth3"]);
    let used = ("eth8".to_owned(), "no_leader".to_owned());
    wait_until("its place", EVENT_TIMEOUT, || host.interfaces().contains(&used));
    assert!(host.interfaces().iter().all(|(name, _)| name != "eth3"), "{:?}", host.interfaces());
    host.wait_for_lock_on(CABLE);
    host.dante4l.stop().expect(0, &["eth8 (too many interfaces)"]);
}
