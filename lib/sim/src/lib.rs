//! Simulation: a PTPv1 leader that sends the packets of a Dante device, and a world in virtual time.
//!
//! The library accesses neither network, clocks nor files of the host. The program `dantesim` does; its command line is [`args`].
#![forbid(unsafe_code)]

#[expect(
    missing_docs,
    reason = "the help of each flag describes it, and a doc comment would change the help"
)]
pub mod args;
pub mod leader;
pub mod link;
pub mod oscillator;
pub mod world;
