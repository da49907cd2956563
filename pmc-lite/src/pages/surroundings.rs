//! What this host shows about faults that the pages have as a number. Nothing is looked up without such a fault.

use dante_core::page::{Dante4lStatus, DanteshmStatus, PortRecord};
use dante_core::port::InterfaceFault;
use dante_core::relay::{Delivery, OutputKind, Undelivered};
use dante_os::net::{Interface, NetError};
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// What this host shows about the faults on the pages.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// The bridge or bond of each interface that dante4l cannot use for that reason.
    pub masters: Vec<Master>,
    /// What has the path of each usrvclock that danteshm cannot serve.
    pub occupants: Vec<(String, Occupant)>,
}

/// A bridge or bond, and one of its ports.
#[derive(Debug)]
pub struct Master {
    /// The port, as the page names it.
    pub port: String,
    /// `bridge`, `bond`, ...
    pub kind: String,
    /// Name of the bridge or bond.
    pub name: String,
}

/// What has the path of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occupant {
    /// A socket of another program, which only root can name.
    Socket(Option<Holder>),
    /// A file of another type.
    OtherFile,
    /// Nothing: its directory, named here, does not exist.
    NoDirectory(PathBuf),
    /// Nothing, or that is not known.
    Unknown,
}

/// A process that has a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its name.
    pub name: String,
    /// Its id.
    pub pid: u32,
}

impl Surroundings {
    /// Looks up what the faults on these pages need.
    pub fn of(dante4l: Option<&Dante4lStatus>, danteshm: Option<&DanteshmStatus>) -> Self {
        let ports = dante4l.map(ports_of_bridges).unwrap_or_default();
        let unserved = danteshm.map(DanteshmStatus::outputs).unwrap_or_default();
        let unserved = unserved.iter().filter(|output| {
            output.kind() == Some(OutputKind::Usrvclock)
                && Undelivered::of(output).is_some_and(|fault| fault.delivery() == Delivery::Unavailable)
        });
        let unserved = unserved.filter_map(|output| output.path().map(|path| path.to_string()));
        Self {
            masters: ports.into_iter().filter_map(master).collect(),
            occupants: unserved.map(|path| (path.clone(), Occupant::of(Path::new(&path)))).collect(),
        }
    }

    /// Names the programs that have the sockets, by `of`.
    pub fn name_holders(&mut self, of: impl Fn(&str) -> Option<Holder>) {
        for (path, occupant) in &mut self.occupants {
            if let Occupant::Socket(holder) = occupant {
                *holder = of(path);
            }
        }
    }

    /// The bridge or bond of this interface.
    pub fn master(&self, port: &str) -> Option<&Master> {
        self.masters.iter().find(|master| master.port == port)
    }

    /// What has this path.
    pub fn occupant(&self, path: &str) -> &Occupant {
        let found = self.occupants.iter().find(|(occupied, _)| occupied == path);
        found.map_or(&Occupant::Unknown, |(_, occupant)| occupant)
    }
}

fn ports_of_bridges(body: &Dante4lStatus) -> Vec<String> {
    let is_port = |port: &&_| PortRecord::fault(port) == Some(InterfaceFault::Port);
    body.ports().iter().filter(is_port).map(|port| port.interface.to_string()).collect()
}

fn master(port: String) -> Option<Master> {
    match Interface::find(&port.as_str().into()) {
        Err(NetError::Port { kind, master: name, .. }) => Some(Master { port, kind, name }),
        _ => None,
    }
}

impl Occupant {
    fn of(path: &Path) -> Self {
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => Self::Socket(None),
            Ok(_) => Self::OtherFile,
            Err(cause) if cause.kind() == ErrorKind::NotFound => match path.parent() {
                Some(parent) if !parent.exists() => Self::NoDirectory(parent.into()),
                _ => Self::Unknown,
            },
            Err(_) => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occupant_of_a_path_is_distinguished_by_its_type() {
        let folder = std::env::temp_dir().join(format!("surroundings-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let of = |name: &str| Occupant::of(&folder.join(name));
        let _socket = std::os::unix::net::UnixDatagram::bind(folder.join("socket")).unwrap();
        std::fs::write(folder.join("file"), "").unwrap();
        let found = [of("socket"), of("file"), of("nothing"), of("none/nothing")];
        std::fs::remove_dir_all(&folder).unwrap();
        let none = folder.join("none");
        assert_eq!(
            found,
            [Occupant::Socket(None), Occupant::OtherFile, Occupant::Unknown, Occupant::NoDirectory(none)]
        );
    }
}
