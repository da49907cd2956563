//! Models of other programs' algorithms, implemented from their published descriptions. All of them measure on the clock that they
//! steer.

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
    /// Returns the name in tables and plots.
    fn name(&self) -> &'static str;
    /// Processes a Sync.
    fn sync(&mut self, sync: &Sync);
    /// Returns the steered clock.
    fn clock(&self) -> &VirtualClock;
}

/// Makes a clock that starts at the leader's time.
pub(crate) fn clock_at(raw: Timestamp<Raw>) -> VirtualClock {
    let real = Timestamp::from_ns(raw.ns()) + crate::trace::BASE;
    VirtualClock::new(Reading { raw, real, width: Duration::ZERO })
}

/// Returns the offset measured by a Sync: the steered clock minus the leader's time minus the path delay, ns.
pub(crate) fn offset_ns(clock: &VirtualClock, sync: &Sync, delay: Duration) -> f64 {
    let shown = clock.at(sync.arrived).ns() - sync.origin.ns();
    (shown - delay.ns()) as f64
}

/// Sets a frequency, limited to +-`bound_ppb`. Returns the frequency that was set.
pub(crate) fn run_at(clock: &mut VirtualClock, now: Timestamp<Raw>, ppb: f64, bound_ppb: f64) -> f64 {
    let set = if ppb.is_nan() { 0.0 } else { ppb.clamp(-bound_ppb, bound_ppb) };
    clock.set_frequency(now, Ratio::from_ppb(set));
    set
}

#[cfg(test)]
mod tests {
    //! Input of the tests: a leader without noise on a link without delay.

    use crate::trace::{LinkProfile, Sync, Trace};
    use dante_core::time::Duration;
    use dante_sim::link::{Profile, Queue};
    use dante_sim::oscillator::Model;

    /// Returns Syncs for `span_s` seconds.
    pub(super) fn noiseless(rate_ppb: f64, span_s: f64) -> impl Iterator<Item = Sync> {
        let profile =
            Profile { delay: Duration::ZERO, queue: Queue::HalfNormal(Duration::ZERO), ..Profile::VETH };
        let network = LinkProfile { name: "noiseless", profile };
        Trace::new(&network, Model::STEADY, rate_ppb / 1e3, 1).take_while(move |sync| sync.at_s() < span_s)
    }
}
