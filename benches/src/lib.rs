//! How exact the suite is: its own estimator and law, its peers' algorithms and the theoretical bound, on one seeded
//! input each.
#![forbid(unsafe_code)]

pub mod bound;
pub mod experiment;
pub mod ours;
pub mod peers;
pub mod trace;
