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
        let inside = Namespace::lone(&format!("{name}-switch"));
        // Without a querier a bridge that snoops would drop PTPv1's groups after a while.
        inside.ip(&["link", "add", "br0", "type", "bridge", "mcast_snooping", "0", "forward_delay", "0"]);
        inside.ip(&["link", "set", "br0", "up"]);
        Self { inside, name: name.to_owned(), net }
    }

    /// The address of host `number`.
    pub fn address(&self, number: u8) -> String {
        format!("10.78.{}.{number}", self.net)
    }

    /// A host with the address `number`, on the cable [`CABLE`].
    pub fn host(&self, number: u8) -> Namespace {
        let host = Namespace::lone(&format!("{}-{number}", self.name));
        let port = format!("port{number}");
        let far = ["peer", "name", CABLE, "netns", host.name()];
        self.inside.ip(&[&["link", "add", &port, "type", "veth"], &far[..]].concat());
        self.plug(&port);
        host.ip(&["address", "add", &format!("{}/24", self.address(number)), "dev", CABLE]);
        host.ip(&["link", "set", CABLE, "up"]);
        host
    }

    /// An interface `tap` for a virtual machine that is started with [`Self::command`].
    pub fn tap(&self, tap: &str) {
        self.inside.ip(&["tuntap", "add", tap, "mode", "tap"]);
        self.plug(tap);
    }

    /// Pulls a host's cable, or puts it back.
    pub fn set_cable(&self, number: u8, connected: bool) {
        self.inside.ip(&["link", "set", &format!("port{number}"), if connected { "up" } else { "down" }]);
    }

    /// `program`, run inside, where the tap is.
    pub fn command(&self, program: &str) -> Command {
        self.inside.command(program)
    }

    fn plug(&self, port: &str) {
        self.inside.ip(&["link", "set", port, "master", "br0", "up"]);
    }
}
