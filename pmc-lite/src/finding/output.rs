//! The finding of a usrvclock that danteshm cannot serve.

use super::{Finding, Level};
use crate::pages::{Holder, Occupant, Pages};
use dante_core::page::OutputRecord;
use dante_core::relay::Undelivered;

/// Returns the finding that danteshm cannot serve this usrvclock, by what has its path: its clients get no Dante time.
pub(super) fn unserved(record: &OutputRecord, fault: &Undelivered<'_>, pages: &Pages) -> Finding {
    let path = record.path.to_string();
    let found = Finding::explained(Level::Failure, fault);
    let (what, remedy) = match pages.surroundings.occupant(&path) {
        Occupant::Socket(holder) => {
            let (program, remedy) = match holder {
                Some(Holder { name, pid }) => (
                    format!("{name} (pid {pid})"),
                    format!(
                        "stop it (systemctl status {pid} shows its UNIT), or choose another path (--usrvclock)"
                    ),
                ),
                None => (
                    "another program".into(),
                    "sudo pmc-lite doctor names that program: stop it; or remove the socket if no program uses it; or choose another path (--usrvclock)"
                        .into(),
                ),
            };
            let what = format!(
                "usrvclock {path}: {program} uses this socket: clients do not get Dante time from danteshm"
            );
            (what, remedy)
        }
        Occupant::OtherFile => (
            format!(
                "usrvclock {path}: a file that is not a socket has this name: clients do not get Dante time"
            ),
            "remove it, or choose another path (--usrvclock)".into(),
        ),
        Occupant::NoDirectory(directory) => (
            format!(
                "usrvclock {path}: the directory {} does not exist: clients do not get Dante time",
                directory.display()
            ),
            "create it, or choose another path (--usrvclock); danteshm tries again each second".into(),
        ),
        Occupant::Unknown => return found,
    };
    found.reworded(what).remedy(remedy)
}
