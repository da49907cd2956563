//! dantesync 1.8: a frequency loop on the rate of the offset, in three phases of decreasing gains.
//!
//! The offset is used modulo 1 s and without the path delay, as in the original. Simplified: the NTP part, which sets the time of
//! day, is left out, because it only adds steps. The loop runs on each fourth Sync, with the median of four offsets. Both terms
//! act on the measured rate and are added to the frequency, so no term controls the phase. (A proportional term that is not
//! accumulated would drop out at each change of phase, return the loop to the previous phase, and settle much later than the
//! original does.)

use super::{Follower, clock_at, offset_ns, run_at};
use crate::trace::{BEGIN, Sync};
use dante_core::time::{Duration, Raw, Timestamp, VirtualClock};

/// Largest frequency correction, ppm.
const BOUND_PPM: f64 = 500.0;
/// Number of offsets of a median.
const MEDIAN_OF: usize = 4;
/// Number of rates with which a new rate is compared to detect a spike.
const SPIKES_OF: usize = 20;

/// Phase of the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Rate of 5 us/s or more.
    Acquiring,
    /// Below 5 us/s.
    Production,
    /// Below 0.5 us/s for 15 medians in a row.
    Nano,
}

#[derive(Debug, Clone, Copy)]
struct Gains {
    proportional: f64,
    proportional_bound_ppm: f64,
    integral: f64,
    dead_band: f64,
}

impl Phase {
    const fn gains(self) -> Gains {
        match self {
            Self::Acquiring => {
                Gains { proportional: 0.8, proportional_bound_ppm: 200.0, integral: 0.05, dead_band: 0.0 }
            }
            Self::Production => {
                Gains { proportional: 0.1, proportional_bound_ppm: 100.0, integral: 0.05, dead_band: 0.0 }
            }
            Self::Nano => {
                Gains { proportional: 0.01, proportional_bound_ppm: 10.0, integral: 0.005, dead_band: 0.1 }
            }
        }
    }

    /// Returns the phase for `rate` in us/s; `calm` medians in a row were below 0.5 us/s.
    fn after(rate: f64, calm: u32) -> Self {
        match rate.abs() {
            rate if rate < 0.5 && calm >= 15 => Self::Nano,
            rate if rate < 5.0 => Self::Production,
            _ => Self::Acquiring,
        }
    }
}

/// The follower.
#[derive(Debug)]
pub struct Dantesync {
    clock: VirtualClock,
    offsets_ns: Vec<f64>,
    last: Option<(Timestamp<Raw>, f64)>,
    rates: Vec<f64>,
    spikes: usize,
    frequency_ppm: f64,
    phase: Phase,
    calm: u32,
}

impl Default for Dantesync {
    fn default() -> Self {
        Self {
            clock: clock_at(BEGIN),
            offsets_ns: Vec::new(),
            last: None,
            rates: Vec::new(),
            spikes: 0,
            frequency_ppm: 0.0,
            phase: Phase::Acquiring,
            calm: 0,
        }
    }
}

impl Dantesync {
    /// Returns the phase of the loop.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether `rate` is a spike: farther from the median than 4 to 8 median absolute deviations. The bound rises with each spike
    /// in a row, so that a lasting change is accepted.
    fn is_spike(&mut self, rate: f64) -> bool {
        if self.rates.len() < SPIKES_OF {
            return false;
        }
        let centre = median(&self.rates);
        let apart: Vec<f64> = self.rates.iter().map(|other| (other - centre).abs()).collect();
        let bounds = [4.0, 5.0, 6.0, 8.0];
        let bound = bounds.get(self.spikes).copied().unwrap_or(f64::INFINITY);
        let spike = (rate - centre).abs() > bound * median(&apart).max(0.05);
        self.spikes = if spike { self.spikes + 1 } else { 0 };
        spike
    }

    /// Processes a median of offsets.
    fn measured(&mut self, now: Timestamp<Raw>, offset_ns: f64) {
        let Some((then, before_ns)) = self.last.replace((now, offset_ns)) else { return };
        // The offsets are modulo 1 s, so the difference may have wrapped.
        let moved = (offset_ns - before_ns + 5e8).rem_euclid(1e9) - 5e8;
        let rate = moved / 1e3 / (now - then).secs_f64();
        let spike = self.is_spike(rate);
        self.rates.push(rate);
        if self.rates.len() > SPIKES_OF {
            self.rates.remove(0);
        }
        if spike {
            return;
        }
        self.calm = if rate.abs() < 0.5 { self.calm + 1 } else { 0 };
        self.phase = Phase::after(rate, self.calm);
        let gains = self.phase.gains();
        let effective = if rate.abs() < gains.dead_band { 0.0 } else { rate };
        let proportional = (gains.proportional * effective)
            .clamp(-gains.proportional_bound_ppm, gains.proportional_bound_ppm);
        self.frequency_ppm -= proportional + gains.integral * effective;
        self.frequency_ppm = run_at(&mut self.clock, now, 1e3 * self.frequency_ppm, 1e3 * BOUND_PPM) / 1e3;
    }
}

impl Follower for Dantesync {
    fn name(&self) -> &'static str {
        "dantesync"
    }

    fn sync(&mut self, sync: &Sync) {
        let offset = offset_ns(&self.clock, sync, Duration::ZERO).rem_euclid(1e9);
        self.offsets_ns.push(offset);
        if self.offsets_ns.len() == MEDIAN_OF {
            let middle = median(&self.offsets_ns);
            self.offsets_ns.clear();
            self.measured(sync.arrived, middle);
        }
    }

    fn clock(&self) -> &VirtualClock {
        &self.clock
    }
}

/// Returns the median; for an even number of values, the mean of the two middle ones.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let pick = |i: usize| sorted.get(i).copied().unwrap_or(0.0);
    (pick(sorted.len() / 2) + pick(sorted.len().saturating_sub(1) / 2)) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::tests::noiseless;

    #[test]
    fn phases_change_at_5_and_0_5_us_per_s() {
        assert_eq!(Phase::after(5.1, 100), Phase::Acquiring);
        assert_eq!(Phase::after(-4.9, 100), Phase::Production);
        assert_eq!(Phase::after(0.4, 14), Phase::Production);
        assert_eq!(Phase::after(-0.4, 15), Phase::Nano);
        assert_eq!(Phase::after(0.6, 100), Phase::Production);
    }

    #[test]
    fn loop_reaches_the_last_phase_and_ends_within_the_dead_band() {
        let mut dantesync = Dantesync::default();
        let mut seen = vec![Phase::Acquiring];
        let mut settled = 0.0;
        for sync in noiseless(30_000.0, 1_000.0) {
            dantesync.sync(&sync);
            if seen.last() != Some(&dantesync.phase()) {
                seen.push(dantesync.phase());
            }
            if sync.at_s() < 600.0 {
                settled = dantesync.clock.line().rate.ppb();
            }
        }
        // The median includes offsets from before the last correction, so the first corrections overshoot.
        assert_eq!((seen[1], seen.last()), (Phase::Production, Some(&Phase::Nano)), "{seen:?}");
        let last = dantesync.clock.line().rate.ppb();
        assert!((last - 30_000.0).abs() < 101.0, "{last} ppb");
        assert_eq!(last, settled, "the frequency changed within the dead band");
    }

    #[test]
    fn spike_is_ignored_and_a_lasting_change_is_followed() {
        let mut dantesync = Dantesync::default();
        for (i, rate) in (0..20).map(|i| (i, if i % 2 == 0 { 0.2 } else { -0.2 })) {
            dantesync.rates.push(rate);
            dantesync.last = Some((BEGIN + Duration::from_secs(i), 0.0));
        }
        let mut offset = 0.0;
        let mut frequencies = Vec::new();
        for at in 20..26 {
            offset += 50_000.0;
            dantesync.measured(BEGIN + Duration::from_secs(at), offset);
            frequencies.push(dantesync.clock.line().rate.ppm());
        }
        assert_eq!(frequencies[0], 0.0);
        assert!(frequencies[5] < -10.0, "{frequencies:?}");
    }
}
