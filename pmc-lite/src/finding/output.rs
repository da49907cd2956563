//! The finding of a usrvclock that danteshm cannot serve.

use super::{Finding, Level};
use crate::pages::{Occupant, Pages};
use dante_core::page::OutputRecord;
use dante_core::relay::Undelivered;

/// Returns the finding that danteshm cannot serve this usrvclock, by what has its path: its clients get no Dante time.
pub(super) fn unserved(record: &OutputRecord, fault: &Undelivered<'_>, pages: &Pages) -> Finding {
    let path = record.path.to_string();
    let found = Finding::explained(Level::Failure, fault);
    let (what, remedy) = match pages.surroundings.occupant(&path) {
        Occupant::Socket => (
            format!(
                "usrvclock {path}: another program uses this socket: its clients do not get Dante time from danteshm"
            ),
            format!("pmc-lite doctor names that program: stop it, or choose another path (--usrvclock)"),
        ),
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
