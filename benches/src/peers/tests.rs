//! What the peers' tests share: a leader without noise on a wire without delay.

use crate::trace::{Network, Sync, Trace};
use dante_core::time::Duration;
use dante_sim::link::{Profile, Queue};
use dante_sim::oscillator::Model;

/// For `span_s` seconds.
pub(super) fn noiseless(rate_ppb: f64, span_s: f64) -> impl Iterator<Item = Sync> {
    let profile =
        Profile { delay: Duration::ZERO, queue: Queue::HalfNormal(Duration::ZERO), ..Profile::VETH };
    let network = Network { name: "still", profile };
    Trace::new(&network, Model::STEADY, rate_ppb / 1e3, 1).take_while(move |sync| sync.at_s() < span_s)
}
