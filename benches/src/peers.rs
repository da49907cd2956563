//! Stand-ins for other programs' algorithms, written anew from their published descriptions, and what they share: they
//! measure on the clock that they steer.

mod chrony;
mod dantesync;
mod ptp4l;

pub use chrony::Chrony;
pub use dantesync::Dantesync;
pub use ptp4l::Ptp4l;

use crate::trace::Sync;
use dante_core::time::{Duration, Ratio, Raw, Reading, Timestamp, VirtualClock};

/// A program that steers a clock by a leader's Syncs.
pub trait Follower {
    /// As tables and plots call it.
    fn name(&self) -> &'static str;
    /// A Sync has arrived.
    fn sync(&mut self, sync: &Sync);
    /// The clock that it steers.
    fn clock(&self) -> &VirtualClock;
}

/// A clock that shows the leader's time but for what is not known yet.
pub(crate) fn clock_at(raw: Timestamp<Raw>) -> VirtualClock {
    let real = Timestamp::from_ns(raw.ns()) + crate::trace::BASE;
    VirtualClock::new(Reading { raw, real, width: Duration::ZERO })
}

/// What the peers see of a Sync: the steered clock minus the leader's time, less the path delay, ns.
pub(crate) fn offset_ns(clock: &VirtualClock, sync: &Sync, delay: Duration) -> f64 {
    let shown = clock.at(sync.arrived).ns() - sync.stated.ns();
    (shown - delay.ns()) as f64
}

/// Sets a frequency, bounded.
pub(crate) fn run_at(clock: &mut VirtualClock, now: Timestamp<Raw>, ppb: f64, bound_ppb: f64) -> f64 {
    let held = if ppb.is_nan() { 0.0 } else { ppb.clamp(-bound_ppb, bound_ppb) };
    clock.set_frequency(now, Ratio::from_ppb(held));
    held
}

#[cfg(test)]
mod tests {
    //! What the peers' tests share: a leader without noise on a wire without delay.

    use crate::trace::{LinkProfile, Sync, Trace};
    use dante_core::time::Duration;
    use dante_sim::link::{Profile, Queue};
    use dante_sim::oscillator::Model;

    /// For `span_s` seconds.
    pub(super) fn noiseless(rate_ppb: f64, span_s: f64) -> impl Iterator<Item = Sync> {
        let profile =
            Profile { delay: Duration::ZERO, queue: Queue::HalfNormal(Duration::ZERO), ..Profile::VETH };
        let network = LinkProfile { name: "still", profile };
        Trace::new(&network, Model::STEADY, rate_ppb / 1e3, 1).take_while(move |sync| sync.at_s() < span_s)
    }
}
