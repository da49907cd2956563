//! All system calls and all `unsafe` code of the suite: kernel clocks, interfaces, PTP sockets with timestamps, the poll loop,
//! pages of shared memory, the NTP shared-memory segment, the sockets of chrony and usrvclock, the system call filter, log
//! messages, and the common command-line flags.
//!
//! Linux only. Algorithms and decisions are in `dante-core`, which makes no system calls. Errors are data
//! ([`Explain`](dante_core::explain::Explain)): the variant is the kind, `what` is the operation, its object and the cause,
//! `remedy` the action to take.

pub mod chronysock;
pub mod clock;
pub mod competing_daemons;
pub mod daemon;
pub mod denial;
#[cfg(test)]
mod exhausted;
mod local_socket;
pub mod log;
#[cfg(test)]
mod logged;
#[cfg(test)]
mod namespaces;
pub mod net;
pub mod ntp;
pub mod ntpshm;
pub mod output;
pub mod page;
pub mod poll;
pub mod process;
pub mod procfs;
pub mod quantity;
pub mod rtc;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod scratch;
pub mod seccomp;
pub mod socket;
pub mod statefile;
pub mod tap;
pub mod terminal;
pub mod thread;
pub mod usrvclock;
