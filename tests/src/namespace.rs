//! Network namespaces: hosts with interfaces, ports and sysctls of their own, joined by veth. They share the machine's clocks. And
//! mount namespaces for device files.

use crate::run;
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::File;
use std::path::Path;
use std::process::Command;

/// Name of each host's interface on the cable between two hosts.
pub const CABLE: &str = "veth0";

/// Name of the interface on the second cable, if there is one.
pub const SECOND_CABLE: &str = "veth1";

/// Sysctls of a new namespace. For IPv4 the kernel copies the machine's values into it; these are the kernel's defaults.
/// IPv6 is off: its neighbour and router discovery would be in captures.
const SYSCTLS: [&str; 6] = [
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.conf.all.force_igmp_version=0",
    "net.ipv4.conf.default.force_igmp_version=0",
    "net.ipv6.conf.all.disable_ipv6=1",
    "net.ipv6.conf.default.disable_ipv6=1",
];

/// A network namespace, removed on drop.
#[derive(Debug)]
pub struct Namespace(String);

impl Namespace {
    fn new(name: String) -> Self {
        ip(&["netns", "add", &name]);
        let namespace = Self(name);
        namespace.ip(&["link", "set", "lo", "up"]);
        let has_ipv6 = Path::new("/proc/sys/net/ipv6").exists();
        let settings = SYSCTLS.iter().filter(|setting| has_ipv6 || !setting.starts_with("net.ipv6"));
        let done = namespace.command("sysctl").arg("-qw").args(settings).status();
        assert!(done.is_ok_and(|status| status.success()), "sysctl in {}", namespace.0);
        namespace
    }

    /// Creates a host without a cable.
    pub fn lone(name: &str) -> Self {
        prepare();
        Self::new(format!("{PREFIX}{name}"))
    }

    /// Name for `ip netns`.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Creates two hosts on one cable, with the addresses 10.77.`net`.1 and .2.
    pub fn pair(name: &str, net: u8) -> [Self; 2] {
        prepare();
        let hosts = ["a", "b"].map(|side| Self::new(format!("{PREFIX}{name}-{side}")));
        let [a, b] = &hosts;
        Self::join(a, b, CABLE, &format!("10.77.{net}"));
        hosts
    }

    /// Connects two hosts by a second cable, with the addresses 10.79.`net`.1 and .2.
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

    /// Returns the command that runs `program` in the namespace. `ip netns exec` execs it, so its process id is the program's.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]).arg(program.as_ref());
        command
    }

    /// Runs ip(8) in the namespace.
    ///
    /// # Panics
    /// If it fails.
    pub fn ip(&self, words: &[&str]) {
        ip(&[&["-n", &self.0], words].concat());
    }

    /// Runs `make` in the namespace, in a thread of its own. A socket belongs to the namespace in which it is opened.
    ///
    /// # Panics
    /// If the namespace cannot be entered, or `make` panics.
    pub fn within<T: Send>(&self, make: impl FnOnce() -> T + Send) -> T {
        within(&self.0, make)
    }
}

/// Runs `make` in the namespace of this name, in a thread of its own.
pub(crate) fn within<T: Send>(name: &str, make: impl FnOnce() -> T + Send) -> T {
    let file = File::open(Path::new("/run/netns").join(name)).expect("the namespace's file");
    let enter = || {
        setns(file, CloneFlags::CLONE_NEWNET).expect("entering the namespace");
        make()
    };
    std::thread::scope(|scope| scope.spawn(enter).join().expect("in the namespace"))
}

/// Runs `test` in a thread whose mount namespace has a tmpfs at `folder` on which device files work. It ends with the thread, and only
/// programs that the thread starts see it.
///
/// # Panics
/// If the file system cannot be mounted, or `test` panics.
pub fn with_devices<T: Send>(folder: &Path, test: impl FnOnce() -> T + Send) -> T {
    let mount = |words: &[&str]| {
        let done = Command::new("mount").args(words).status();
        assert!(done.is_ok_and(|status| status.success()), "mount {words:?}");
    };
    let enter = || {
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
        mount(&["--make-rprivate", "/"]);
        mount(&["-t", "tmpfs", "-o", "dev,mode=755", "none", folder.to_str().expect("a path")]);
        test()
    };
    std::thread::scope(|scope| scope.spawn(enter).join().expect("in the mount namespace"))
}

impl Drop for Namespace {
    fn drop(&mut self) {
        _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// Prefix of all names: `dtest-RUN-...`.
const PREFIX: &str = "dtest-";

/// Locks this run's name, and removes namespaces of runs that were killed.
fn prepare() {
    run::lock();
    for ended in run::ended_runs() {
        let prefix = format!("{PREFIX}{}-", ended.name);
        let entries = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.starts_with(&prefix)).for_each(|name| drop(Namespace(name)));
    }
}

fn ip(words: &[&str]) {
    let output = Command::new("ip").args(words).output().expect("ip of iproute2");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {}", words.join(" "), errors.trim());
}
