//! A host's clocks: CLOCK_MONOTONIC_RAW, which no program steers, and CLOCK_REALTIME over it.

use super::True;
use dante_core::steer::{Clock, ClockState, Declared, Fault, Kernel, Setting};
use dante_core::time::{Affine, Duration, Ratio, Raw, Reading, Real, Timestamp, VirtualClock};
use dante_core::track::KernelSync;

/// CLOCK_MONOTONIC_RAW and CLOCK_REALTIME of a host as functions of true time.
#[derive(Debug)]
pub struct SimClock {
    raw: Affine<Raw>,
    real: VirtualClock,
    /// The frequency that adjtimex set last.
    frequency: Ratio,
    /// The slew by adjtime(3), added to it.
    slew: Ratio,
    /// CLOCK_BOOTTIME - CLOCK_MONOTONIC.
    suspended: Duration,
    /// The maximum error that the kernel publishes (maxerror of adjtimex); `None` while STA_UNSYNC is set.
    max_error: Option<Duration>,
    /// Until this time another program steers it.
    competitor_until: True,
}

/// The remaining adjustment that the kernel reports during an adjtime(3). The steerer only tests whether it is zero.
const ADJTIME_REMAINDER: Duration = Duration::from_us(100);

impl SimClock {
    /// Makes clocks that show `raw` and `real` at `now`. CLOCK_MONOTONIC_RAW gains `rate` on true time.
    pub(super) fn new(now: True, raw: Timestamp<Raw>, real: Timestamp<Real>, rate: Ratio) -> Self {
        Self {
            raw: Affine { raw0: now, at0: raw, rate },
            real: VirtualClock::new(Reading { raw, real, width: Duration::ZERO }),
            frequency: Ratio::ZERO,
            slew: Ratio::ZERO,
            suspended: Duration::ZERO,
            max_error: None,
            competitor_until: now,
        }
    }

    /// Returns CLOCK_MONOTONIC_RAW.
    pub fn raw_at(&self, now: True) -> Timestamp<Raw> {
        self.raw.at(now)
    }

    /// Returns CLOCK_REALTIME.
    pub fn at(&self, now: True) -> Timestamp<Real> {
        self.real.at(self.raw.at(now))
    }

    /// Returns CLOCK_REALTIME as a function of CLOCK_MONOTONIC_RAW.
    pub fn line(&self) -> Affine<Real> {
        self.real.line()
    }

    /// Returns the rate of CLOCK_MONOTONIC_RAW against true time.
    pub fn raw_rate(&self) -> Ratio {
        self.raw.rate
    }

    /// Returns the first ns of true time at which CLOCK_MONOTONIC_RAW has reached `due`.
    pub(super) fn when(&self, due: Timestamp<Raw>) -> True {
        let since = due - self.raw.at0;
        let rate = self.raw.rate.fraction();
        let mut at = self.raw.raw0 + since - since * Ratio::new(rate / (1.0 + rate));
        while self.raw.at(at) < due {
            at = at + Duration::from_ns(1);
        }
        at
    }

    /// Returns both clocks at one instant.
    pub fn reading(&self, now: True) -> Reading {
        let raw = self.raw.at(now);
        Reading { raw, real: self.real.at(raw), width: Duration::ZERO }
    }

    /// From `now` on CLOCK_MONOTONIC_RAW gains `by` more, or less, on true time, and CLOCK_REALTIME with it.
    pub(super) fn drift(&mut self, now: True, by: Ratio) {
        let rate = self.raw.rate + by;
        self.raw = Affine { rate, ..self.raw.anchored_at(now) };
    }

    /// Steps CLOCK_REALTIME. The kernel sets STA_UNSYNC then (ntp_clear, kernel/time/ntp.c).
    pub(super) fn step(&mut self, by: Duration) {
        self.real.step(by);
        self.max_error = None;
    }

    /// Returns the status that the kernel reports.
    pub(super) fn kernel_sync(&self) -> KernelSync {
        self.max_error.map_or(KernelSync::Unsynchronised, KernelSync::Synchronised)
    }

    /// Another program sets the frequency, and steers the clock for `span`.
    pub(super) fn set_by_competitor(&mut self, now: True, frequency: Ratio, span: Duration) {
        self.set_frequency(now, frequency);
        self.competitor_until = now + span;
    }

    pub(super) fn set_frequency(&mut self, now: True, frequency: Ratio) {
        self.frequency = frequency;
        self.real.set_frequency(self.raw.at(now), frequency + self.slew);
    }

    pub(super) fn set_slew(&mut self, now: True, slew: Ratio) {
        self.slew = slew;
        self.real.set_frequency(self.raw.at(now), self.frequency + slew);
    }

    /// Suspends the host for `span`: CLOCK_REALTIME advances, CLOCK_MONOTONIC_RAW does not.
    pub(super) fn suspend(&mut self, span: Duration) {
        self.suspended = self.suspended + span;
        self.real.step(span);
    }

    /// Returns CLOCK_BOOTTIME - CLOCK_MONOTONIC.
    pub(super) fn suspended(&self) -> Duration {
        self.suspended
    }

    /// Returns the clock as dante2sys accesses it at `now`.
    pub(super) fn now(&mut self, now: True) -> ClockNow<'_> {
        ClockNow { clock: self, now }
    }
}

/// A host's clock at one instant.
pub(super) struct ClockNow<'a> {
    clock: &'a mut SimClock,
    now: True,
}

impl Clock for ClockNow<'_> {
    type Error = &'static str;

    fn read(&mut self) -> ClockState {
        let clock = &self.clock;
        let kernel = Kernel {
            slew: if clock.slew == Ratio::ZERO { Duration::ZERO } else { ADJTIME_REMAINDER },
            ..Kernel::plain(clock.frequency)
        };
        ClockState { reading: clock.reading(self.now), suspended: clock.suspended, kernel: Some(kernel) }
    }

    fn set(&mut self, setting: Setting) -> Result<Ratio, Fault<&'static str>> {
        match setting {
            Setting::Frequency(frequency) => self.clock.set_frequency(self.now, frequency),
            Setting::Control if self.now < self.clock.competitor_until => {
                return Err(Fault::InUse("another program steers the clock"));
            }
            Setting::Control => self.clock.set_slew(self.now, Ratio::ZERO),
            Setting::Declared(quality) => {
                self.clock.max_error =
                    Some(quality).filter(|it| it.is_synchronised()).map(Declared::max_error);
            }
        }
        Ok(self.clock.frequency)
    }

    fn step(&mut self, by: Duration) -> Result<(), Fault<&'static str>> {
        self.clock.step(by);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadline_is_the_first_ns_that_reaches_it() {
        for ppm in [0.0, -20.0, 7.0, 137.3] {
            let (begin, raw) = (Timestamp::from_ns(5), Timestamp::from_ns(1_000_000_000_000));
            let clock = SimClock::new(begin, raw, Timestamp::ZERO, Ratio::from_ppm(ppm));
            for s in [0, 1, 3_600, 1_209_600] {
                let due = raw + Duration::from_secs(s) + Duration::from_ns(s);
                let at = clock.when(due);
                assert!(clock.raw_at(at) >= due, "{ppm} ppm, {s} s");
                assert!(clock.raw_at(at - Duration::from_ns(1)) < due, "{ppm} ppm, {s} s");
            }
        }
    }
}
