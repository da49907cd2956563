//! ptp4l with software timestamps: linuxptp's PI servo on the steered clock.
//!
//! Simplified: a Delay_Req is sent once a second, and its path delay has no error from the slewed clock (some ns). There is no
//! sanity check of frequencies and no step after the first one.

use super::{Follower, clock_at, offset_ns, run_at};
use crate::trace::{BEGIN, Sync, T};
use dante_core::time::{Duration, Raw, Timestamp, VirtualClock};

/// Largest frequency correction of the kernel, ppb.
const BOUND_PPB: f64 = 500_000.0;
/// Number of path delays in the moving median.
const DELAYS: usize = 10;

/// Returns proportional and integral gain for a Sync interval of `interval_s`: scales 0.1 and 0.001, exponents -0.3 and 0.4,
/// largest norms 0.7 and 0.3, the man page's defaults for software timestamps.
pub fn gains(interval_s: f64) -> (f64, f64) {
    let kp = (0.1 * interval_s.powf(-0.3)).min(0.7 / interval_s);
    let ki = (0.001 * interval_s.powf(0.4)).min(0.3 / interval_s);
    (kp, ki)
}

#[derive(Debug)]
enum Servo {
    Unlocked,
    Measuring { since: Timestamp<Raw>, offset_ns: f64 },
    Locked,
}

/// The follower.
#[derive(Debug)]
pub struct Ptp4l {
    clock: VirtualClock,
    servo: Servo,
    delays: Vec<Duration>,
    next_delay: usize,
    gains: (f64, f64),
    /// Integral of the servo, ppb. The clock runs at minus the servo's output.
    drift_ppb: f64,
}

impl Default for Ptp4l {
    fn default() -> Self {
        Self {
            clock: clock_at(BEGIN),
            servo: Servo::Unlocked,
            delays: Vec::new(),
            next_delay: 0,
            gains: gains(T),
            drift_ppb: 0.0,
        }
    }
}

impl Ptp4l {
    fn take_delay(&mut self, delay: Duration) {
        if self.delays.len() < DELAYS {
            self.delays.push(delay);
        } else if let Some(oldest) = self.delays.get_mut(self.next_delay) {
            *oldest = delay;
        }
        self.next_delay = (self.next_delay + 1) % DELAYS;
    }

    fn delay(&self) -> Option<Duration> {
        let mut sorted = self.delays.clone();
        sorted.sort_unstable();
        let above = *sorted.get(sorted.len() / 2)?;
        let below = *sorted.get((sorted.len() - 1) / 2)?;
        Some((below + above) / 2)
    }

    /// Processes a sample, like pi_sample of linuxptp.
    fn sample(&mut self, now: Timestamp<Raw>, offset: f64) {
        let (kp, ki) = self.gains;
        match self.servo {
            Servo::Unlocked => self.servo = Servo::Measuring { since: now, offset_ns: offset },
            Servo::Measuring { since, offset_ns } => {
                let elapsed = (now - since).secs_f64();
                if elapsed < (0.016 / ki).min(1000.0) {
                    return;
                }
                self.drift_ppb += (offset - offset_ns) / elapsed;
                self.drift_ppb = self.drift_ppb.clamp(-BOUND_PPB, BOUND_PPB);
                run_at(&mut self.clock, now, -self.drift_ppb, BOUND_PPB);
                self.clock.step(-Duration::from_secs_f64(offset / 1e9));
                self.servo = Servo::Locked;
            }
            Servo::Locked => {
                self.drift_ppb = (self.drift_ppb + ki * offset).clamp(-BOUND_PPB, BOUND_PPB);
                run_at(&mut self.clock, now, -(self.drift_ppb + kp * offset), BOUND_PPB);
            }
        }
    }
}

impl Follower for Ptp4l {
    fn name(&self) -> &'static str {
        "ptp4l"
    }

    fn sync(&mut self, sync: &Sync) {
        if let Some(delay) = sync.delay {
            self.take_delay(delay);
        }
        if let Some(delay) = self.delay() {
            let offset = offset_ns(&self.clock, sync, delay);
            self.sample(sync.arrived, offset);
        }
    }

    fn clock(&self) -> &VirtualClock {
        &self.clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::tests::noiseless;

    #[test]
    fn gains_are_those_of_software_timestamps() {
        let (kp, ki) = gains(0.25);
        assert!((kp - 0.151_57).abs() < 1e-4 && (ki - 5.743e-4).abs() < 1e-6, "{kp} {ki}");
        // At a long Sync interval the norms limit the gains.
        assert_eq!(gains(10_000.0).1, 0.3 / 10_000.0);
    }

    #[test]
    fn first_estimate_comes_after_0_016_over_ki() {
        let mut ptp4l = Ptp4l::default();
        let mut at = None;
        for sync in noiseless(30_000.0, 60.0) {
            ptp4l.sync(&sync);
            if at.is_none() && ptp4l.clock.line().rate.ppb() != 0.0 {
                at = Some(sync.at_s());
                assert!((ptp4l.clock.line().rate.ppb() - 30_000.0).abs() < 1.0);
            }
        }
        let at = at.unwrap();
        assert!((at - 0.016 / 5.743e-4).abs() < 0.6, "{at} s");
    }

    #[test]
    fn phase_step_decays_as_in_the_closed_form() {
        let (mut ptp4l, mut syncs) = (Ptp4l::default(), noiseless(0.0, 100.0));
        for sync in syncs.by_ref().take(4 * 40) {
            ptp4l.sync(&sync);
        }
        ptp4l.clock.step(Duration::from_us(100));
        let (kp, ki) = gains(0.25);
        // Characteristic equation of the loop: z^2 - (2 - T (kp + ki)) z + 1 - T kp = 0.
        let (sum, product) = (2.0 - T * (kp + ki), 1.0 - T * kp);
        let root = (sum * sum / 4.0 - product).sqrt();
        let (z1, z2) = (sum / 2.0 + root, sum / 2.0 - root);
        // From e0 = 100 us and e1 = (1 - T (kp + ki)) e0.
        let e0 = 100_000.0;
        let b = ((1.0 - T * (kp + ki)) * e0 - z1 * e0) / (z2 - z1);
        for (k, sync) in (0..160).zip(syncs) {
            let expected = (e0 - b) * z1.powi(k) + b * z2.powi(k);
            let actual = sync.phase_ns(&ptp4l.clock);
            assert!((actual - expected).abs() < 30.0, "{k}: {actual} {expected}");
            ptp4l.sync(&sync);
        }
    }
}
