//! A switch for more than two hosts: a bridge in its own namespace, with cables to other namespaces and a tap for a guest.

use crate::namespace::{CABLE, Namespace};
use std::process::Command;

/// The bridge. Hosts on it have addresses in 10.78.NET.0/24.
#[derive(Debug)]
pub struct Switch {
    inside: Namespace,
    name: String,
    net: u8,
}

impl Switch {
    /// Creates a switch that floods multicast, like an unmanaged one. The names of its hosts begin with `name`.
    pub fn new(name: &str, net: u8) -> Self {
        // With IGMP snooping and no querier the bridge would drop PTPv1's groups when the memberships expire.
        Self::of_kind(name, net, &["mcast_snooping", "0"])
    }

    /// Creates a switch with IGMP snooping, which forwards multicast to members only. It becomes the querier after a second, and
    /// sends the next query two minutes later.
    pub fn snooping(name: &str, net: u8) -> Self {
        let timing = ["mcast_startup_query_count", "1", "mcast_query_response_interval", "100"];
        let switch = Self::of_kind(name, net, &[&["mcast_snooping", "1"], &timing[..]].concat());
        // After the other settings: the first query has the response interval of its time, by default 10 s.
        switch.inside.ip(&["link", "set", "br0", "type", "bridge", "mcast_querier", "1"]);
        switch
    }

    fn of_kind(name: &str, net: u8, words: &[&str]) -> Self {
        let inside = Namespace::lone(&format!("{name}-switch"));
        inside.ip(&[&["link", "add", "br0", "type", "bridge", "forward_delay", "0"], words].concat());
        inside.ip(&["link", "set", "br0", "up"]);
        Self { inside, name: name.to_owned(), net }
    }

    /// Address of host `number`.
    pub fn address(&self, number: u8) -> String {
        format!("10.78.{}.{number}", self.net)
    }

    /// Creates host `number`, on the cable [`CABLE`].
    pub fn host(&self, number: u8) -> Namespace {
        let host = self.lone_host(number);
        self.connect(&host, number);
        host
    }

    /// Creates a host without a cable.
    pub fn lone_host(&self, number: u8) -> Namespace {
        Namespace::lone(&format!("{}-{number}", self.name))
    }

    /// Creates a host's cable and interface.
    pub fn connect(&self, host: &Namespace, number: u8) {
        let port = port(number);
        let far = ["peer", "name", CABLE, "netns", host.name()];
        self.inside.ip(&[&["link", "add", &port, "type", "veth"], &far[..]].concat());
        self.plug(&port);
        host.ip(&["address", "add", &format!("{}/24", self.address(number)), "dev", CABLE]);
        host.ip(&["link", "set", CABLE, "up"]);
    }

    /// Removes a host's cable and interface.
    pub fn disconnect(&self, number: u8) {
        self.inside.ip(&["link", "del", &port(number)]);
    }

    /// Whether a host is a member of this group in the switch's table.
    ///
    /// # Panics
    /// If bridge(8) fails.
    pub fn has_member(&self, number: u8, group: &str) -> bool {
        let output =
            self.inside.command("bridge").args(["mdb", "show"]).output().expect("bridge of iproute2");
        let table = String::from_utf8_lossy(&output.stdout);
        let (port, group) = (format!("port {} ", port(number)), format!("grp {group} "));
        table.lines().any(|line| line.contains(&port) && line.contains(&group))
    }

    /// Removes a host's membership of the group from the switch's table.
    ///
    /// # Panics
    /// If it is no member.
    pub fn forget_member(&self, number: u8, group: &str) {
        let port = port(number);
        let words = ["mdb", "del", "dev", "br0", "port", &port, "grp", group];
        let status = self.inside.command("bridge").args(words).status();
        assert!(status.is_ok_and(|status| status.success()), "bridge {}", words.join(" "));
    }

    /// Creates the interface `tap` for a virtual machine that is started with [`Self::command`].
    pub fn tap(&self, tap: &str) {
        self.inside.ip(&["tuntap", "add", tap, "mode", "tap"]);
        self.plug(tap);
    }

    /// Connects or disconnects a host's cable.
    pub fn set_cable(&self, number: u8, connected: bool) {
        self.inside.ip(&["link", "set", &port(number), if connected { "up" } else { "down" }]);
    }

    /// From now on the switch forwards nothing between these hosts.
    pub fn isolate(&self, numbers: &[u8]) {
        for number in numbers {
            self.inside.ip(&["link", "set", &port(*number), "type", "bridge_slave", "isolated", "on"]);
        }
    }

    /// Returns the command that runs `program` in the bridge's namespace, where the tap is.
    pub fn command(&self, program: &str) -> Command {
        self.inside.command(program)
    }

    fn plug(&self, port: &str) {
        self.inside.ip(&["link", "set", port, "master", "br0", "up"]);
    }
}

/// Name of the bridge's end of a host's cable.
fn port(number: u8) -> String {
    format!("port{number}")
}
