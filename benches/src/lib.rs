//! Accuracy of the suite's estimator and steering law, compared with the algorithms of other programs and with the theoretical
//! bound, on the same seeded input.
#![forbid(unsafe_code)]

pub mod before;
pub mod bound;
pub mod experiment;
pub mod hindsight;
pub mod ours;
pub mod peers;
pub mod replay;
pub mod trace;
