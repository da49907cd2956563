//! The status pages, which pmc-lite shows. Each change of a structure raises the version of its page.

mod dante2sys;
mod dante4l;
mod danteshm;
mod leaders;

pub use dante2sys::{
    Dante2sysStatus, LineRecord, STATUS_HAS_LINE, STATUS_HAS_PHASE, STATUS_HAS_SCALE, STATUS_HAS_UTC,
    STATUS_UTC_BY_HAND, STATUS_UTC_SYNCHRONISED, UtcRecord,
};
pub use dante4l::{
    CandidateRecord, Dante4lStatus, MAX_PORTS, MAX_SHOWN, PORT_HAS_DELAY, PORT_HAS_LEADER, PORT_HAS_MAP,
    PORT_HAS_SAMPLE, PortRecord,
};
pub use danteshm::{DanteshmStatus, MAX_OUTPUTS, OutputRecord};
pub use leaders::{DiagnosticRecord, ForeignLeaderRecord, LeaderRecord};
