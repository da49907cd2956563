//! The status pages: what pmc-lite shows. Every change of a structure raises the version of the page that it is part of.

mod dante2sys;
mod dante4l;
mod danteshm;
mod leaders;

pub use dante2sys::{
    Dante2sysStatus, DateRecord, LineRecord, STATUS_DATE_GOOD, STATUS_DATE_LEFT, STATUS_HAS_DATE,
    STATUS_HAS_LINE, STATUS_HAS_PHASE, STATUS_HAS_SCALE,
};
pub use dante4l::{
    Dante4lStatus, MAX_PORTS, PORT_HAS_DELAY, PORT_HAS_LEADER, PORT_HAS_MAP, PORT_HAS_SAMPLE, PortRecord,
};
pub use danteshm::{DanteshmStatus, MAX_OUTPUTS, OutputRecord};
pub use leaders::{HeardRecord, LeaderRecord, NoticeRecord};
