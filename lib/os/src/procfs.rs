//! Information about one process from /proc (proc(5)). A file that cannot be read is no error, and its content is unknown: a
//! process may end at any moment, and some files are readable by the owner only.

use crate::statefile::read_regular;
use std::path::{Path, PathBuf};

/// Maximum size that is read of a file, bytes.
const MAX_SIZE: u64 = 1 << 16;

/// CAP_SYS_TIME (include/uapi/linux/capability.h), required to steer a clock.
pub const CAP_SYS_TIME: u32 = 25;
/// CAP_NET_BIND_SERVICE.
pub const CAP_NET_BIND_SERVICE: u32 = 10;

/// A process and its directory in /proc.
#[derive(Debug)]
pub struct Process {
    proc: PathBuf,
    directory: PathBuf,
    status: Option<String>,
}

impl Process {
    /// The process with this id in the tree `proc`: /proc, or a test's imitation.
    pub fn new(proc: &Path, pid: u32) -> Self {
        let directory = proc.join(pid.to_string());
        let status = text_of(&directory.join("status"));
        Self { proc: proc.into(), directory, status }
    }

    /// Name, truncated to 15 characters; `None` if the process has ended.
    pub fn name(&self) -> Option<String> {
        text_of(&self.directory.join("comm")).map(|text| text.trim_end_matches('\n').to_owned())
    }

    fn status(&self, key: &str) -> Option<&str> {
        self.status.as_ref()?.lines().find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(':')?.trim()))
    }

    /// Whether the process has ended, but its parent has not collected its exit status yet.
    pub fn is_dead(&self) -> bool {
        self.status("State").is_some_and(|state| state.starts_with(['Z', 'X']))
    }

    pub(crate) fn parent(&self) -> Option<u32> {
        self.status("PPid")?.parse().ok()
    }

    /// Effective capabilities (capabilities(7)), as a bit mask.
    pub fn capabilities(&self) -> Option<u64> {
        u64::from_str_radix(self.status("CapEff")?, 16).ok()
    }

    /// Whether the process may steer the system clock; true if unknown.
    pub(crate) fn may_set_the_clock(&self) -> bool {
        self.capabilities().is_none_or(|bits| bits >> CAP_SYS_TIME & 1 == 1)
            && !self.is_of_another_user_namespace()
    }

    /// Whether the process is in another user namespace, such as that of an unprivileged container: its capabilities do not apply
    /// to the clock. Reading the link `ns/user` needs ptrace access, so this compares `uid_map`, which everyone may read
    /// (user_namespaces(7)); it is equal only in a namespace that maps all users as ours does.
    fn is_of_another_user_namespace(&self) -> bool {
        let users = |directory: &Path| text_of(&directory.join("uid_map")).filter(|text| !text.is_empty());
        match (users(&self.directory), users(&self.proc.join("self"))) {
            (Some(its), Some(ours)) => its != ours,
            _ => false,
        }
    }

    /// The words of the command line; empty if it cannot be read.
    pub(crate) fn words(&self) -> Vec<String> {
        let text = text_of(&self.directory.join("cmdline")).unwrap_or_default();
        text.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
    }

    /// Path of the program file; `None` without ptrace access to the process (proc(5)).
    pub(crate) fn executable(&self) -> Option<PathBuf> {
        std::fs::read_link(self.directory.join("exe")).ok()
    }

    /// Content of a file named on the command line, relative to the root and working directory of the process. Access to another
    /// process's root needs more privileges than steering a clock; without them, this process's root is used.
    pub(crate) fn file(&self, path: &str) -> Option<String> {
        let path = Path::new(path);
        match path.strip_prefix("/") {
            Ok(rest) => text_of(&self.directory.join("root").join(rest)).or_else(|| text_of(path)),
            Err(_) => text_of(&self.directory.join("cwd").join(path)),
        }
    }

    /// The systemd service of the process: from systemd's hierarchy with cgroup v1, from the only one with v2.
    pub(crate) fn unit(&self) -> Option<String> {
        let text = text_of(&self.directory.join("cgroup"))?;
        text.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            if controllers == "name=systemd" || controllers.is_empty() { service_of(path) } else { None }
        })
    }
}

/// The last service in a cgroup's path. `None` below a scope (a session, a container) or a user's systemd: `systemctl` of this
/// host cannot stop those.
fn service_of(path: &str) -> Option<String> {
    let mut unit = None;
    for part in path.split('/') {
        if part.ends_with(".scope") || part.starts_with("user@") {
            return None;
        }
        if part.ends_with(".service") && is_unit_name(part) {
            unit = Some(part.to_owned());
        }
    }
    unit
}

/// Whether a systemd unit can have this name (systemd.unit(5)). A service may make groups with other names in its own one: such a
/// name is no unit, and must not become part of a command.
fn is_unit_name(name: &str) -> bool {
    name.len() < 256 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte))
}

/// Text of a regular file, its first 64 KiB at most; `None` if it cannot be read. Other processes name some of these files: a FIFO
/// or a device is not opened.
pub fn text_of(path: &Path) -> Option<String> {
    let bytes = read_regular(path, MAX_SIZE).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// An option on a command line, and its value if it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word<'a> {
    /// `-x`, alone or with others as in `-nx`. The value is in the same word or the next.
    Short(char, Option<&'a str>),
    /// `--word=value`, or `--word value`: it is not known here whether a long option takes a value, so the next word may not
    /// belong to it.
    Long(&'a str, Option<&'a str>),
}

/// Parses the options in `words`, the first of which is the program, like getopt_long(3). `with_value`: the short options that
/// take a value. Other words are skipped at any position; `--` ends the options.
pub(super) fn options<'a>(words: &'a [String], with_value: &str) -> impl Iterator<Item = Word<'a>> {
    let mut found = Vec::new();
    let mut words = words.iter().skip(1).map(String::as_str).peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            break;
        }
        if let Some(long) = word.strip_prefix("--") {
            found.push(match long.split_once('=') {
                Some((name, value)) => Word::Long(name, Some(value)),
                None => Word::Long(long, words.peek().copied().filter(|next| !next.starts_with('-'))),
            });
        } else if let Some(letters) = word.strip_prefix('-') {
            let mut rest = letters.chars();
            while let Some(letter) = rest.next() {
                if !with_value.contains(letter) {
                    found.push(Word::Short(letter, None));
                    continue;
                }
                let here = rest.as_str();
                let value = if here.is_empty() { words.next() } else { Some(here) };
                found.push(Word::Short(letter, value));
                break;
            }
        }
    }
    found.into_iter()
}

#[cfg(test)]
mod tests {
    use super::service_of;

    /// A service that may make groups in its own one (Delegate=) chooses their names.
    #[test]
    fn group_that_is_no_unit_is_not_named() {
        let own = Some("a\\x2db@1.service".to_owned());
        assert_eq!(service_of("/system.slice/a\\x2db@1.service"), own);
        for forged in ["x;reboot.service", "x y.service", "\u{1b}[2J.service", "$(id).service"] {
            assert_eq!(service_of(&format!("/system.slice/a\\x2db@1.service/{forged}")), own, "{forged:?}");
        }
    }
}
