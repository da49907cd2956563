//! Rehearsal: a PTPv1 leader that sends what real Dante devices send, and a world of virtual time.
//!
//! Nothing in this library touches the machine that it runs on; only the program `dantesim` does, whose command line is
//! [`args`].
#![forbid(unsafe_code)]

#[expect(
    missing_docs,
    reason = "the help of each flag describes it, and a doc comment would change the help"
)]
pub mod args;
pub mod leader;
pub mod link;
pub mod oscillator;
pub mod scenario;
pub mod world;
