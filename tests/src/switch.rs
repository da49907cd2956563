//! A switch for more than two hosts: a bridge in a namespace of its own, cables to namespaces, a tap for a guest.

use crate::namespace::{CABLE, Namespace};
use std::process::Command;

/// The bridge. What is connected to it is in the net 10.78.NET.0/24.
#[derive(Debug)]
pub struct Switch {
    inside: Namespace,
    name: String,
    net: u8,
}

impl Switch {
    /// A switch that floods multicast to all, as an unmanaged one does. The names of its hosts begin with `name`.
    pub fn new(name: &str, net: u8) -> Self {
        // Without a querier a bridge that snoops would drop PTPv1's groups after a while.
        Self::of_kind(name, net, &["mcast_snooping", "0"])
    }

    /// A switch that listens to IGMP and gives multicast to those who asked for it. It takes itself for the querier after
    /// a second, and then asks nobody for two minutes.
    pub fn snooping(name: &str, net: u8) -> Self {
        let timing = ["mcast_startup_query_count", "1", "mcast_query_response_interval", "100"];
        let switch = Self::of_kind(name, net, &[&["mcast_snooping", "1"], &timing[..]].concat());
        // Only now: its first question gives hosts the time to answer that was in force, 10 s by default.
        switch.inside.ip(&["link", "set", "br0", "type", "bridge", "mcast_querier", "1"]);
        switch
    }

    fn of_kind(name: &str, net: u8, words: &[&str]) -> Self {
        let inside = Namespace::lone(&format!("{name}-switch"));
        inside.ip(&[&["link", "add", "br0", "type", "bridge", "forward_delay", "0"], words].concat());
        inside.ip(&["link", "set", "br0", "up"]);
        Self { inside, name: name.to_owned(), net }
    }

    /// The address of host `number`.
    pub fn address(&self, number: u8) -> String {
        format!("10.78.{}.{number}", self.net)
    }

    /// A host with the address `number`, on the cable [`CABLE`].
    pub fn host(&self, number: u8) -> Namespace {
        let host = self.lone_host(number);
        self.connect(&host, number);
        host
    }

    /// A host without a cable.
    pub fn lone_host(&self, number: u8) -> Namespace {
        Namespace::lone(&format!("{}-{number}", self.name))
    }

    /// Gives a host its cable, with an interface that was not there before.
    pub fn connect(&self, host: &Namespace, number: u8) {
        let port = port(number);
        let far = ["peer", "name", CABLE, "netns", host.name()];
        self.inside.ip(&[&["link", "add", &port, "type", "veth"], &far[..]].concat());
        self.plug(&port);
        host.ip(&["address", "add", &format!("{}/24", self.address(number)), "dev", CABLE]);
        host.ip(&["link", "set", CABLE, "up"]);
    }

    /// Takes a host's interface away, with its cable.
    pub fn disconnect(&self, number: u8) {
        self.inside.ip(&["link", "del", &port(number)]);
    }

    /// Whether the switch gives this group to a host because that asked for it.
    ///
    /// # Panics
    /// When bridge(8) fails.
    pub fn has_member(&self, number: u8, group: &str) -> bool {
        let output =
            self.inside.command("bridge").args(["mdb", "show"]).output().expect("bridge of iproute2");
        let said = String::from_utf8_lossy(&output.stdout);
        let (port, group) = (format!("port {} ", port(number)), format!("grp {group} "));
        said.lines().any(|line| line.contains(&port) && line.contains(&group))
    }

    /// Has the switch forget that a host asked for the group.
    ///
    /// # Panics
    /// When it did not know.
    pub fn forget_member(&self, number: u8, group: &str) {
        let port = port(number);
        let words = ["mdb", "del", "dev", "br0", "port", &port, "grp", group];
        let status = self.inside.command("bridge").args(words).status();
        assert!(status.is_ok_and(|status| status.success()), "bridge {}", words.join(" "));
    }

    /// An interface `tap` for a virtual machine that is started with [`Self::command`].
    pub fn tap(&self, tap: &str) {
        self.inside.ip(&["tuntap", "add", tap, "mode", "tap"]);
        self.plug(tap);
    }

    /// Pulls a host's cable, or puts it back.
    pub fn set_cable(&self, number: u8, connected: bool) {
        self.inside.ip(&["link", "set", &port(number), if connected { "up" } else { "down" }]);
    }

    /// These hosts hear nothing of one another, and the others of all.
    pub fn isolate(&self, numbers: &[u8]) {
        for number in numbers {
            self.inside.ip(&["link", "set", &port(*number), "type", "bridge_slave", "isolated", "on"]);
        }
    }

    /// `program`, run inside, where the tap is.
    pub fn command(&self, program: &str) -> Command {
        self.inside.command(program)
    }

    fn plug(&self, port: &str) {
        self.inside.ip(&["link", "set", port, "master", "br0", "up"]);
    }
}

/// The bridge's end of a host's cable.
fn port(number: u8) -> String {
    format!("port{number}")
}
