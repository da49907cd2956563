//! What the engines of a host reported.

use super::True;
use dante_core::observe;
use dante_core::redundancy;
use dante_core::relay::{self, RefclockSample};
use dante_core::steer;
use dante_core::time::{Duration, Ratio};

/// All that they reported, with its time.
#[derive(Debug, Default)]
pub struct Records {
    /// The observer, but for samples: the network's place, and what of it.
    pub observer: Vec<(True, usize, observe::Output)>,
    /// The steerer, but for corrections.
    pub steerer: Vec<(True, steer::Output)>,
    /// The frequencies that the steerer set.
    pub frequencies: Vec<(True, Ratio)>,
    /// The steps that the steerer made: by so much the clock was moved.
    pub steps: Vec<(True, Duration)>,
    /// How many questions the NTP servers were asked.
    pub questions: u64,
    /// The relay.
    pub relay: Vec<(True, relay::Output)>,
}

impl Records {
    /// The samples that the relay wrote.
    pub fn refclock_samples(&self) -> impl Iterator<Item = (True, &RefclockSample)> {
        self.relay.iter().filter_map(|(at, output)| match output {
            relay::Output::Write(sample) => Some((*at, sample)),
            _ => None,
        })
    }

    /// Which network is used, and why.
    pub fn network_changes(&self) -> impl Iterator<Item = redundancy::NetworkChange> {
        self.observer.iter().filter_map(|(.., output)| match output {
            observe::Output::Network(change) => Some(*change),
            _ => None,
        })
    }
}
