//! Rehearsal: a PTPv1 leader that sends what real Dante devices send, and a world of virtual time.
//!
//! Nothing in this library touches the machine that it runs on; only the program `dantesim` does.
#![forbid(unsafe_code)]

pub mod leader;
pub mod link;
pub mod oscillator;
pub mod scenario;
pub mod world;
