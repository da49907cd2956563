//! ptp4l with software time stamps: linuxptp's PI servo, on the steered clock.
//!
//! Simplified: a Delay_Req goes out once a second and is measured by the mean of both ways, without the error that a
//! slewed clock makes in between (some ns); no sanity check of frequencies, no step after the first one.

use super::{Follower, clock_at, offset_ns, run_at};
use crate::trace::{BEGIN, Sync, T};
use dante_core::time::{Duration, Raw, Timestamp, VirtualClock};

/// The kernel's bound.
const BOUND_PPB: f64 = 500_000.0;
/// Delays in the moving median.
const DELAYS: usize = 10;

/// Proportional and integral gain for Syncs that are `interval_s` apart: scales 0.1 and 0.001, exponents -0.3 and 0.4,
/// norms at most 0.7 and 0.3, as the man page has them for software time stamps.
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
    /// The clock's frequency that the integral stands for, ppb; the clock runs at minus the servo's output.
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

    /// pi_sample of the servo.
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
mod tests;
