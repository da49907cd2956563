//! Outputs of a host's engines.

use super::True;
use dante_core::observe;
use dante_core::relay::{self, RefclockSample};
use dante_core::steer;
use dante_core::time::{Duration, Ratio};

/// The outputs, each with its time.
#[derive(Debug, Default)]
pub struct Records {
    /// Outputs of the observer except samples, each with the number of its network.
    pub observer: Vec<(True, usize, observe::Output)>,
    /// Outputs of the steerer except corrections and queries.
    pub steerer: Vec<(True, steer::Output)>,
    /// Frequencies that the steerer set.
    pub frequencies: Vec<(True, Ratio)>,
    /// Steps that the steerer made.
    pub steps: Vec<(True, Duration)>,
    /// Number of queries to NTP servers.
    pub queries: u64,
    /// Outputs of the relay except the overlay.
    pub relay: Vec<(True, relay::Output)>,
}

impl Records {
    /// Returns the samples that the relay wrote.
    pub fn refclock_samples(&self) -> impl Iterator<Item = (True, &RefclockSample)> {
        self.relay.iter().filter_map(|(at, output)| match output {
            relay::Output::Write(sample) => Some((*at, sample)),
            _ => None,
        })
    }
}
