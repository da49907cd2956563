//! One process, as /proc tells of it (proc(5)). Whatever cannot be read is not known, and no error: a process may end at
//! any moment, and some files are for its owner only.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The most that is read of a file, bytes.
const LONGEST: u64 = 1 << 16;

/// CAP_SYS_TIME (include/uapi/linux/capability.h), without which no clock can be steered.
pub const CAP_SYS_TIME: u32 = 25;
/// CAP_NET_BIND_SERVICE.
pub const CAP_NET_BIND_SERVICE: u32 = 10;

/// A process, by its folder in /proc.
#[derive(Debug)]
pub struct Process {
    proc: PathBuf,
    folder: PathBuf,
    status: Option<String>,
}

impl Process {
    /// The process of this id in the tree `proc`, which is /proc or made to look like it.
    pub fn new(proc: &Path, pid: u32) -> Self {
        let folder = proc.join(pid.to_string());
        let status = text_of(&folder.join("status"));
        Self { proc: proc.into(), folder, status }
    }

    /// Its name, cut to 15 characters; None when it has ended.
    pub fn name(&self) -> Option<String> {
        text_of(&self.folder.join("comm")).map(|text| text.trim_end_matches('\n').to_owned())
    }

    fn status(&self, key: &str) -> Option<&str> {
        self.status.as_ref()?.lines().find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(':')?.trim()))
    }

    /// Whether it has ended, and its parent was not told yet.
    pub fn is_dead(&self) -> bool {
        self.status("State").is_some_and(|state| state.starts_with(['Z', 'X']))
    }

    pub(crate) fn parent(&self) -> Option<u32> {
        self.status("PPid")?.parse().ok()
    }

    /// Its rights (capabilities(7)), a bit for each.
    pub fn rights(&self) -> Option<u64> {
        u64::from_str_radix(self.status("CapEff")?, 16).ok()
    }

    /// Whether it may steer the system clock; what is not known counts as yes.
    pub(crate) fn may_set_the_clock(&self) -> bool {
        self.rights().is_none_or(|bits| bits >> CAP_SYS_TIME & 1 == 1) && !self.is_of_another_user_namespace()
    }

    /// Rights within another user namespace, as an unprivileged container has them all, do not reach the clock. The link
    /// `ns/user` would tell, but takes the rights of a debugger; its users are there for all to read
    /// (user_namespaces(7)), and only a namespace with all users of ours looks the same.
    fn is_of_another_user_namespace(&self) -> bool {
        let users = |folder: &Path| text_of(&folder.join("uid_map")).filter(|text| !text.is_empty());
        match (users(&self.folder), users(&self.proc.join("self"))) {
            (Some(its), Some(ours)) => its != ours,
            _ => false,
        }
    }

    /// The words of its command line; empty when it may not be read.
    pub(crate) fn words(&self) -> Vec<String> {
        let text = text_of(&self.folder.join("cmdline")).unwrap_or_default();
        text.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
    }

    /// A file that its command line names, seen from where it runs: in its own root, from its own folder. To look into
    /// another's root takes more rights than to steer a clock does: without them, the root is taken to be ours.
    pub(crate) fn file(&self, path: &str) -> Option<String> {
        let path = Path::new(path);
        match path.strip_prefix("/") {
            Ok(rest) => text_of(&self.folder.join("root").join(rest)).or_else(|| text_of(path)),
            Err(_) => text_of(&self.folder.join("cwd").join(path)),
        }
    }

    /// The service that it belongs to: of systemd's own tree in a host with cgroup v1, of the one tree with v2.
    pub(crate) fn unit(&self) -> Option<String> {
        let text = text_of(&self.folder.join("cgroup"))?;
        text.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            if controllers == "name=systemd" || controllers.is_empty() { service_of(path) } else { None }
        })
    }
}

/// The last service in a cgroup's path. What lies below a scope (a session, a container) or a user's own systemd is
/// none that `systemctl` of this host could stop.
fn service_of(path: &str) -> Option<String> {
    let mut unit = None;
    for part in path.split('/') {
        if part.ends_with(".scope") || part.starts_with("user@") {
            return None;
        }
        if part.ends_with(".service") {
            unit = Some(part.to_owned());
        }
    }
    unit
}

/// A file's text, as far as it is short; `None` where it cannot be read.
pub fn text_of(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    // A FIFO must not hold the program up.
    let file: File = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?;
    file.take(LONGEST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// An option on a command line, and its value if it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word<'a> {
    /// `-x`, alone or among others as in `-nx`. The value stands in the same word or the next.
    Short(char, Option<&'a str>),
    /// `--word=value`, or `--word value`: whether a long option takes a value is not known here, so what follows may
    /// be none of its own.
    Long(&'a str, Option<&'a str>),
}

/// The options among `words`, of which the first is the program, taken apart as getopt_long(3) does. `with_value`: the short ones that take a value. What
/// is no option is passed over, wherever it stands; `--` ends the options.
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
