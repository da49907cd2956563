//! The engines of the suite, independent of the operating system: the PTPv1 protocol, the estimator, the steering law, the relay,
//! and the layout of the pages that the programs exchange.
//!
//! This crate does not read clocks, open files or log. It draws random numbers only from a seed that the caller passes. The
//! programs and the simulator run the same engines.
#![forbid(unsafe_code)]

/// Under the name by which other crates know it: tables of conditions are shared with their tests.
#[cfg(test)]
extern crate self as dante_core;

#[cfg(not(target_pointer_width = "64"))]
compile_error!(
    "dante4l needs a 64-bit target: its pages are read with 64-bit atomic loads, and the layouts of chrony's SHM and \
     SOCK reference clocks are those of LP64"
);

pub mod announcement;
pub mod candidates;
pub mod estimate;
pub mod explain;
pub mod management_client;
mod named;
pub mod observe;
pub mod outputs;
pub mod page;
pub mod port;
pub mod printable;
pub mod redundancy;
pub mod relay;
pub mod steer;
pub mod time;
pub mod timescale;
pub mod track;
pub mod utc;
pub mod wire;
