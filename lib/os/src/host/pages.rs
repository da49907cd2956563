//! The files of the daemons' pages: whose they are, and whether their names are reserved.

use crate::page::{Instance, PageName};
use dante_core::page::Body;
use nix::unistd::{Uid, User};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A file in a page's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageFile {
    /// Its path.
    pub path: String,
    /// What stands there; `None`: nothing.
    pub file: Option<Ownership>,
    /// The package's reservation of its name at boot is installed (tmpfiles.d(5)).
    pub is_to_be_reserved: bool,
}

/// Whose a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// The owner's name, or number where it has none.
    pub owner: String,
    /// Who may do what with it.
    pub mode: u32,
    /// Its size in bytes; 0: it is only reserved.
    pub size: u64,
}

impl PageFile {
    /// That of a program and an instance.
    pub fn of<B: Body>(instance: Option<&Instance>) -> Self {
        let path = PageName::<B>::new(instance).path();
        let folders = ["/etc/tmpfiles.d", "/usr/lib/tmpfiles.d", "/usr/local/lib/tmpfiles.d"];
        let is_installed = folders.iter().any(|folder| Path::new(folder).join("dante4l.conf").exists());
        Self {
            file: Ownership::of(&path),
            path: path.display().to_string(),
            is_to_be_reserved: instance.is_none() && is_installed,
        }
    }
}

impl Ownership {
    fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::symlink_metadata(path).ok()?;
        let name = User::from_uid(Uid::from_raw(meta.uid())).ok().flatten().map(|user| user.name);
        Some(Self {
            owner: name.unwrap_or_else(|| meta.uid().to_string()),
            mode: meta.mode() & 0o7777,
            size: meta.len(),
        })
    }
}
