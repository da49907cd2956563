//! Every system call of the suite, and every `unsafe`: kernel clocks, interfaces, PTP sockets with kernel time
//! stamps, the one poll loop of a program, pages of shared memory, the NTP shared-memory segment, chrony's and usrvclock's
//! sockets, a filter over system calls, messages, and what the programs' command lines have in common.
//!
//! Linux only. What is decided from the numbers read here is decided in `dante-core`, which can do none of this.
//! Errors say what was tried, on what, why it failed and what to do; the cause is part of the sentence.

pub mod chronysock;
pub mod clock;
pub mod daemon;
pub mod host;
pub mod log;
pub mod net;
pub mod ntp;
pub mod ntpshm;
pub mod page;
pub mod poll;
pub mod process;
pub mod quantity;
pub mod rivals;
pub mod rtc;
#[cfg(test)]
mod scratch;
pub mod seccomp;
pub mod socket;
pub mod statefile;
pub mod terminal;
pub mod usrvclock;
