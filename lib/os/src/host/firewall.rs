//! The rules of the kernel's packet filters, as their own tools print them.

use std::path::Path;
use std::process::{Command, Stdio};

/// Why the rules are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence of each says what it is")]
pub enum Unknown {
    #[error("{0} is not installed")]
    NoTool(&'static str),
    /// It ended with an error, mostly for want of rights.
    #[error("{tool} says: {said}")]
    Refused { tool: &'static str, said: String },
}

/// What the filters are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// `nft -j list ruleset`: of nftables, and of iptables where that is built on it.
    pub nft: Result<String, Unknown>,
    /// There are tables of the older iptables, which nft does not list.
    pub has_legacy: bool,
}

impl Rules {
    /// Those of the network namespace of this process. Changes nothing.
    pub fn read() -> Self {
        // The kernel names its older tables there as soon as there is one.
        let tables = std::fs::read_to_string("/proc/net/ip_tables_names");
        Self {
            nft: output("nft", &["-j", "list", "ruleset"]),
            has_legacy: tables.is_ok_and(|names| !names.trim().is_empty()),
        }
    }
}

/// A user's PATH may lack the folders of these tools.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

fn output(tool: &'static str, words: &[&str]) -> Result<String, Unknown> {
    let path = FOLDERS.iter().map(|folder| Path::new(folder).join(tool)).find(|path| path.exists());
    let path = path.ok_or(Unknown::NoTool(tool))?;
    let output = Command::new(path)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Unknown::Refused { tool, said: error.to_string() })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("nothing").trim().to_owned();
    Err(Unknown::Refused { tool, said })
}
