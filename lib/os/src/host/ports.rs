//! Who has UDP ports of this host.

use super::Running;
use std::path::Path;

/// A socket that is bound to a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The port.
    pub port: u16,
    /// The user whose it is.
    pub uid: u32,
    /// The process that has it open; `None`: it could not be told, which takes root's rights for others' processes.
    pub process: Option<Running>,
}

/// Everyone who has one of these ports, each process once a port.
pub fn holders(ports: &[u16]) -> Vec<Holder> {
    in_tree(Path::new("/proc"), ports)
}

pub(super) fn in_tree(proc: &Path, ports: &[u16]) -> Vec<Holder> {
    let sockets: Vec<Socket> = ["net/udp", "net/udp6"]
        .into_iter()
        .filter_map(|file| std::fs::read_to_string(proc.join(file)).ok())
        .flat_map(|text| text.lines().skip(1).filter_map(Socket::of_line).collect::<Vec<_>>())
        .filter(|socket| ports.contains(&socket.port))
        .collect();
    if sockets.is_empty() {
        return Vec::new();
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
    found
}

struct Socket {
    port: u16,
    uid: u32,
    inode: u64,
}

impl Socket {
    /// Number, local address, remote address, state, queues, timer, retransmits, user, timeout, inode.
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

/// The sockets of all processes whose files may be seen, by inode.
fn owners(proc: &Path) -> Vec<(u64, u32)> {
    let mut found = Vec::new();
    let pids = std::fs::read_dir(proc).into_iter().flatten().flatten();
    for pid in pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        let files = std::fs::read_dir(proc.join(pid.to_string()).join("fd")).into_iter().flatten().flatten();
        let inodes = files.filter_map(|file| {
            let target = std::fs::read_link(file.path()).ok()?;
            target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok()
        });
        found.extend(inodes.map(|inode| (inode, pid)));
    }
    found
}
