//! What the suite knows, without what it runs on: the PTPv1 protocol, the estimator, the steering law, the relay's
//! rules and the layout of the pages through which the programs meet.
//!
//! Nothing here reads a clock, opens a file, logs or draws a random number but from a seed passed in. The programs
//! and the simulated world drive the very same engines.
#![forbid(unsafe_code)]

#[cfg(not(target_pointer_width = "64"))]
compile_error!(
    "dante4l needs a 64-bit target: its pages are read by 64-bit atomic loads, and the layouts of chrony's SHM and \
     SOCK reference clocks are those of LP64"
);

pub mod announcement;
pub mod estimate;
pub mod explain;
pub mod management_client;
mod named;
pub mod observe;
pub mod outputs;
pub mod page;
pub mod port;
pub mod redundancy;
pub mod relay;
pub mod steer;
pub mod time;
pub mod timescale;
pub mod track;
pub mod utc;
pub mod wire;
