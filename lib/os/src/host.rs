//! What is to be seen of this host without changing it: the kernel's word on multicast, routes and sockets (proc(5)), the
//! firewall's rules, chrony's configuration, files of pages, and what a network says within some seconds.
//!
//! Facts only: what they mean for a follower is judged by the programs. What cannot be read is not known, and no error.

pub mod chrony;
pub mod firewall;
pub mod igmp;
pub mod listen;
pub mod pages;
pub mod ports;
pub mod routes;

use crate::rivals::process::{Process, text_of};
use std::path::Path;

/// CAP_SYS_TIME (include/uapi/linux/capability.h), without which no clock can be steered.
pub const CAP_SYS_TIME: u32 = 25;
/// CAP_NET_BIND_SERVICE.
pub const CAP_NET_BIND_SERVICE: u32 = 10;

/// A process, as all may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its process id.
    pub pid: u32,
    /// Its name, cut to 15 characters.
    pub name: String,
    /// Its effective rights (capabilities(7)), a bit for each; `None`: not known.
    pub rights: Option<u64>,
}

impl Running {
    /// The process of this id; `None` where there is none, or where it has ended and its parent was not told yet.
    pub fn of(pid: u32) -> Option<Self> {
        Self::in_tree(Path::new("/proc"), pid)
    }

    fn in_tree(proc: &Path, pid: u32) -> Option<Self> {
        let process = Process::new(proc, pid);
        let name = process.name()?;
        (!process.is_dead()).then(|| Self { pid, name, rights: process.rights() })
    }

    /// Whether it has this right; what is not known counts as yes.
    pub fn may(&self, right: u32) -> bool {
        self.rights.is_none_or(|bits| bits >> right & 1 == 1)
    }
}

/// Numbers below /proc/sys/net/ipv4/conf, of one interface or of `all`.
fn setting(proc: &Path, interface: &str, name: &str) -> Option<u32> {
    let path = proc.join("sys/net/ipv4/conf").join(interface).join(name);
    text_of(&path)?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
