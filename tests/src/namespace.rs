//! Network namespaces: hosts that share nothing but the kernel's clock, joined by a cable of veth.

use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::path::Path;
use std::process::Command;

/// The interface of each host on the cable.
pub const CABLE: &str = "veth0";

/// The interface on the second cable, where there is one.
pub const SECOND_CABLE: &str = "veth1";

/// A network namespace, removed on drop.
#[derive(Debug)]
pub struct Namespace(String);

impl Namespace {
    fn new(name: String) -> Self {
        // A process that was killed may have had this one's number.
        if Path::new("/run/netns").join(&name).exists() {
            ip(&["netns", "del", &name]);
        }
        ip(&["netns", "add", &name]);
        let namespace = Self(name);
        namespace.ip(&["link", "set", "lo", "up"]);
        // The kernel's own IPv6 chatter would stand in captures.
        if Path::new("/proc/sys/net/ipv6").exists() {
            let quiet = ["all", "default"].map(|of| format!("net.ipv6.conf.{of}.disable_ipv6=1"));
            let done = namespace.command("sysctl").arg("-qw").args(quiet).status();
            assert!(done.is_ok_and(|status| status.success()), "sysctl in {}", namespace.0);
        }
        namespace
    }

    /// A host without any cable yet.
    pub fn lone(name: &str) -> Self {
        remove_orphans();
        Self::new(format!("{PREFIX}{name}"))
    }

    /// What `ip netns` calls it.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Two hosts on one cable, with the addresses 10.77.`net`.1 and .2.
    pub fn pair(name: &str, net: u8) -> [Self; 2] {
        remove_orphans();
        let hosts = ["a", "b"].map(|side| Self::new(format!("{PREFIX}{name}-{side}")));
        let [a, b] = &hosts;
        Self::join(a, b, CABLE, &format!("10.77.{net}"));
        hosts
    }

    /// A second cable between two hosts, with the addresses 10.79.`net`.1 and .2.
    pub fn second_cable(a: &Self, b: &Self, net: u8) {
        Self::join(a, b, SECOND_CABLE, &format!("10.79.{net}"));
    }

    fn join(a: &Self, b: &Self, cable: &str, net: &str) {
        a.ip(&["link", "add", cable, "type", "veth", "peer", "name", cable, "netns", &b.0]);
        for (host, number) in [(a, 1), (b, 2)] {
            host.ip(&["address", "add", &format!("{net}.{number}/24"), "dev", cable]);
            host.ip(&["link", "set", cable, "up"]);
        }
    }

    /// `program`, to be run inside. `ip netns exec` becomes the program, so its process id is the program's.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]).arg(program.as_ref());
        command
    }

    /// `ip` inside.
    ///
    /// # Panics
    /// When it fails.
    pub fn ip(&self, words: &[&str]) {
        ip(&[&["-n", &self.0], words].concat());
    }

    /// Does something inside, in a thread of its own: sockets belong to the namespace in which they are made.
    ///
    /// # Panics
    /// When the namespace cannot be entered, or `make` panics.
    pub fn within<T: Send>(&self, make: impl FnOnce() -> T + Send) -> T {
        let place = File::open(Path::new("/run/netns").join(&self.0)).expect("the namespace's file");
        let enter = || {
            setns(place, CloneFlags::CLONE_NEWNET).expect("entering the namespace");
            make()
        };
        std::thread::scope(|scope| scope.spawn(enter).join().expect("in the namespace"))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

const PREFIX: &str = "dtest-";

/// Namespaces of a test that was killed before it could remove them.
fn remove_orphans() {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return };
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists()) {
            drop(Namespace(name));
        }
    }
}

fn ip(words: &[&str]) {
    let output = Command::new("ip").args(words).output().expect("ip of iproute2");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {}", words.join(" "), said.trim());
}
