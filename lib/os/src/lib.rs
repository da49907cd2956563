//! Every system call of the suite, and every `unsafe`: kernel clocks, interfaces, PTP sockets with kernel time
//! stamps, the one poll loop of a program, pages of shared memory, the NTP shared-memory segment, chrony's and usrvclock's
//! sockets, a filter over system calls, messages, and what the programs' command lines have in common.
//!
//! Linux only. What is decided from the numbers read here is decided in `dante-core`, which can do none of this.
//! Errors are data ([`Explain`](dante_core::explain::Explain)): the variant is the kind, `what` states what was tried, on what
//! and why it failed, `remedy` what to do.

pub mod chronysock;
pub mod clock;
pub mod competing_daemons;
pub mod daemon;
pub mod denial;
pub mod log;
pub mod net;
pub mod ntp;
pub mod ntpshm;
pub mod page;
pub mod poll;
pub mod process;
pub mod procfs;
pub mod quantity;
pub mod rtc;
#[cfg(test)]
mod scratch;
pub mod seccomp;
pub mod socket;
pub mod statefile;
pub mod tap;
pub mod terminal;
pub mod usrvclock;
