//! Check of the programs that use UDP 319 and 320.

use super::host::{HostFacts, Running};
use crate::finding::Finding;
use crate::pages::{self, Pages, fresh_body};
use dante_core::page::{Body, Dante4lStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A program with a socket bound to one of the ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// UDP port.
    pub port: u16,
    /// Owner of the socket.
    pub uid: u32,
    /// Process that has the socket open; `None`: not known, as only root can read the descriptors of other users' processes.
    pub process: Option<Running>,
}

/// Returns the programs that use these ports, each process once per port; `None` if /proc does not show the sockets.
pub fn holders(ports: &[u16]) -> Option<Vec<Holder>> {
    in_tree(Path::new("/proc"), ports)
}

pub(super) fn in_tree(proc: &Path, ports: &[u16]) -> Option<Vec<Holder>> {
    let read = |file| std::fs::read_to_string(proc.join(file)).ok();
    // Without IPv6 the kernel has no udp6.
    let sockets: Vec<Socket> = [Some(read("net/udp")?), read("net/udp6")]
        .into_iter()
        .flatten()
        .flat_map(|text| text.lines().skip(1).filter_map(Socket::of_line).collect::<Vec<_>>())
        .filter(|socket| ports.contains(&socket.port))
        .collect();
    if sockets.is_empty() {
        return Some(Vec::new());
    }
    let owners = owners(proc);
    let mut found: Vec<Holder> = Vec::new();
    for Socket { port, uid, inode } in sockets {
        let owner = owners.iter().find(|(of, _)| *of == inode);
        let process = owner.and_then(|(_, pid)| Running::in_tree(proc, *pid));
        let holder = Holder { port, uid, process };
        if !found.contains(&holder) {
            found.push(holder);
        }
    }
    Some(found)
}

struct Socket {
    port: u16,
    uid: u32,
    inode: u64,
}

impl Socket {
    /// Parses a line of /proc/net/udp: number, local address, remote address, state, queues, timer, retransmits, user, timeout,
    /// inode.
    fn of_line(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = words.get(1)?.rsplit_once(':')?;
        Some(Self {
            port: u16::from_str_radix(port, 16).ok()?,
            uid: words.get(7)?.parse().ok()?,
            inode: words.get(9)?.parse().ok()?,
        })
    }
}

/// Returns the ids of all processes.
fn pids(proc: &Path) -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir(proc).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Returns inode and process id of all sockets whose process may be inspected.
fn owners(proc: &Path) -> Vec<(u64, u32)> {
    let mut found = Vec::new();
    for pid in pids(proc) {
        let files = std::fs::read_dir(proc.join(pid.to_string()).join("fd")).into_iter().flatten().flatten();
        let inodes = files.filter_map(|file| {
            let target = std::fs::read_link(file.path()).ok()?;
            target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok()
        });
        found.extend(inodes.map(|inode| (inode, pid)));
    }
    found
}

/// Returns the program that has the Unix socket bound to this path; `None` if that is not known.
pub fn holder_of_socket(path: &str) -> Option<pages::Holder> {
    let Running { name, pid, .. } = holder_in_tree(Path::new("/proc"), path)?;
    Some(pages::Holder { name, pid })
}

pub(super) fn holder_in_tree(proc: &Path, path: &str) -> Option<Running> {
    // The list of a network namespace has the sockets that were made in it.
    let mut lists = BTreeMap::from([(None, proc.join("net/unix"))]);
    for pid in pids(proc) {
        let folder = proc.join(pid.to_string());
        if let Ok(namespace) = std::fs::read_link(folder.join("ns/net")) {
            lists.entry(Some(namespace)).or_insert_with(|| folder.join("net/unix"));
        }
    }
    let texts = lists.into_values().filter_map(|list| std::fs::read_to_string(list).ok());
    let inodes: BTreeSet<u64> = texts
        .flat_map(|text| text.lines().filter_map(|line| inode_of(line, path)).collect::<Vec<_>>())
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let owners = owners(proc);
    owners.iter().filter(|(of, _)| inodes.contains(of)).find_map(|(_, pid)| Running::in_tree(proc, *pid))
}

/// Parses a line of /proc/net/unix that ends with this path: number, references, protocol, flags, type, state, inode, path.
fn inode_of(line: &str, path: &str) -> Option<u64> {
    let head = line.strip_suffix(path)?;
    let words: Vec<&str> = head.split_whitespace().collect();
    let [_, _, _, _, _, _, inode] = words.as_slice() else { return None };
    head.ends_with(' ').then(|| inode.parse().ok())?
}

/// Checks whether another program uses the ports, and whether it shares them.
pub fn judge(host: &HostFacts, pages: &Pages) -> Vec<Finding> {
    let Some(holders) = &host.holders else {
        let what = "which programs use UDP 319 and 320 is not known: /proc/net/udp cannot be read";
        return vec![
            Finding::warning(what).remedy("mount /proc (without subset=pid), and repeat pmc-lite doctor"),
        ];
    };
    let runs = fresh_body::<Dante4lStatus>(&pages.dante4l).is_some();
    let is_taken = host.networks.iter().any(|network| network.is_port_taken());
    let mut others: BTreeMap<_, BTreeSet<u16>> = BTreeMap::new();
    // A process that cannot be inspected is taken for dante4l if dante4l is running and got the ports.
    let is_other = |holder: &&Holder| match &holder.process {
        Some(process) => process.name != Dante4lStatus::PROGRAM,
        None => !runs || is_taken,
    };
    for Holder { port, uid, process } in holders.iter().filter(is_other) {
        let (name, pid) = match process {
            Some(process) => (format!("{} (pid {})", process.name, process.pid), Some(process.pid)),
            None => (format!("a program of user {uid}"), None),
        };
        others.entry((name, pid)).or_default().insert(*port);
    }
    if others.is_empty() {
        let what = if runs { "only dante4l uses UDP 319 and 320" } else { "UDP 319 and 320 are free" };
        return vec![Finding::ok(what)];
    }
    let finding = |((name, pid), ports): ((String, Option<u32>), BTreeSet<u16>)| {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        let what = format!("{name} uses UDP {}", ports.join(" and "));
        let remedy = match pid {
            Some(pid) if is_taken => {
                format!("stop it: systemctl status {pid} shows its UNIT; systemctl stop UNIT")
            }
            Some(pid) => {
                format!(
                    "if it is not needed, stop it: systemctl status {pid} shows its UNIT; systemctl stop UNIT"
                )
            }
            None => "sudo ss -ulnp 'sport = :319 or sport = :320' shows the program".into(),
        };
        if is_taken {
            Finding::failure(format!("{what} (not shared): dante4l cannot open its sockets")).remedy(remedy)
        } else {
            Finding::warning(format!("{what} (shared with other programs)")).remedy(remedy)
        }
    };
    others.into_iter().map(finding).collect()
}
