//! From dante4l's page through the steerer to the clock, and what was done to the page of dante2sys.

use dante_core::date::DateRules;
use dante_core::page::{
    Dante2sys, Dante4l, Freshness, STEER_HAS_LINE, STEER_HAS_PHASE, SteeredClock, UtcSource,
};
use dante_core::steer::{Correction, Input, Limits, Loss, Output, Steerer};
use dante_core::time::{Duration, Raw, Reading, Timestamp};
use dante_os::clock::{ClockError, Realtime, SystemClock, Virtual, raw_now};
use dante_os::daemon::{CommonArgs, Failure, Service};
use dante_os::log::{Summary, Throttle};
use dante_os::page::{PageFollower, PageName, PageWriter};
use dante_os::poll::{Fds, Wake};
use std::os::fd::AsFd;

/// A clock in this process.
pub fn virtual_clock() -> SystemClock {
    SystemClock::Virtual(Virtual::start())
}

/// CLOCK_REALTIME, made ready to be ruled by its frequency alone.
pub fn system_clock() -> Result<SystemClock, ClockError> {
    let mut clock = Realtime::open()?;
    for leftover in clock.take()? {
        log::warn!("{leftover}");
    }
    Ok(SystemClock::Realtime(clock))
}

/// The program's state.
pub struct Discipline {
    clock: SystemClock,
    leader: PageFollower<Dante4l>,
    steerer: Steerer,
    page: PageWriter<Dante2sys>,
    complaints: Throttle<String>,
    summary: Summary,
}

impl Discipline {
    pub fn start(
        clock: SystemClock,
        page: PageWriter<Dante2sys>,
        common: &CommonArgs,
    ) -> Result<Self, Failure> {
        let leader = PageFollower::new(PageName::new(common.instance.as_ref()))?;
        let steerer = Steerer::new(Limits::default(), DateRules::default(), clock.frequency()?);
        let mut discipline = Self {
            clock,
            leader,
            steerer,
            page,
            complaints: Throttle::default(),
            summary: Summary::new(Duration::from_secs(i64::from(common.summary_interval))),
        };
        discipline.wake(&Wake::default())?;
        Ok(discipline)
    }

    fn look(&mut self, now: Timestamp<Raw>) -> Input {
        let view = match self.leader.read(now) {
            Ok(view) => view,
            Err(error) => {
                let text = error.to_string();
                if self.complaints.allows(text.clone(), now) {
                    log::warn!("{text}");
                }
                return Input::Lost(Loss::NoPage);
            }
        };
        match view.freshness {
            Freshness::Fresh => {
                view.body.track(view.instance).map_or(Input::Lost(Loss::NoLeader), Input::Leader)
            }
            Freshness::Stopped => Input::Lost(Loss::Stopped),
            _ => Input::Lost(Loss::Stale),
        }
    }

    fn handle(&mut self, input: Input) {
        let reading = self.clock.read();
        self.steerer.handle(reading, input);
        while let Some(output) = self.steerer.poll() {
            match output {
                Output::Correct(correction) => {
                    let applied = self.correct(correction);
                    self.steerer.handle(self.clock.read(), applied);
                }
                Output::Changed { from, to, reason } => log::info!("{from} to {to}: {reason}"),
                Output::Adopted(size, _) => log::warn!(
                    "the clock was stepped by {:+.6} s by another program, or the host slept: K is fixed anew, the clock stays where it is",
                    size.span().secs_f64()
                ),
                Output::Epoch(change) => log::info!("{change}"),
                Output::Date(news) => log::info!("{news}"),
                Output::Take => {}
            }
        }
        if matches!(input, Input::Leader(_)) {
            self.summarise(&reading);
        }
    }

    fn correct(&mut self, correction: Correction) -> Input {
        let result = match correction {
            Correction::Slew(frequency) => self.clock.set_frequency(frequency).map(Input::Applied),
            Correction::Step(offset) => self.clock.step(-offset.span()).map(|()| Input::Stepped(offset)),
        };
        match result {
            Ok(input) => input,
            Err(error) => {
                if self.complaints.allows(error.to_string(), raw_now()) {
                    log::error!("{error}");
                }
                Input::Refused
            }
        }
    }

    /// As phc2sys: offset, frequency; rms and max over the interval.
    fn summarise(&mut self, reading: &Reading) {
        let Some(error) = self.steerer.phase_error() else { return };
        let Some(line) = self.summary.add(reading.raw, error.span()) else { return };
        let frequency = self.steerer.frequency().ppb();
        if line.count == 1 {
            log::info!("offset {:+} s2 freq {frequency:+.0}", error.ns());
        } else {
            log::info!("rms {} max {} s2 freq {frequency:+.0}", line.rms.ns(), line.largest.ns());
        }
    }

    fn publish(&mut self, now: Timestamp<Raw>) {
        let clock = match self.clock {
            // The page has no word for a hardware clock, which no flag can choose yet.
            SystemClock::Realtime(_) | SystemClock::Hardware(_) => SteeredClock::Realtime,
            SystemClock::Virtual(_) => SteeredClock::Virtual,
        };
        let mut body = Dante2sys {
            state: self.steerer.state() as u8,
            clock: clock as u8,
            utc_source: UtcSource::None as u8,
            frequency: self.steerer.frequency().fraction(),
            corrections: self.steerer.corrections(),
            ..Dante2sys::default()
        };
        if let Some(scale) = self.steerer.timescale() {
            body.set_timescale(scale);
            body.rate_error = self.steerer.rate_error().unwrap_or_default().fraction();
        }
        if let Some(error) = self.steerer.phase_error() {
            body.flags |= STEER_HAS_PHASE;
            body.phase_error_ns = error.ns();
        }
        if let Some(line) = self.clock.line() {
            body.flags |= STEER_HAS_LINE;
            body.line = line.into();
        }
        self.page.publish(now, &body);
    }
}

impl Service for Discipline {
    fn fds(&self) -> Fds<'_> {
        [self.leader.as_fd()].into_iter().collect()
    }

    fn deadline(&self) -> Timestamp<Raw> {
        self.steerer.deadline().map_or(self.page.renewal(), |due| due.min(self.page.renewal()))
    }

    /// Looks at dante4l's page: its doorbell rang, or it did not for up to a second, and a dead writer rings no more.
    fn wake(&mut self, _: &Wake) -> Result<(), Failure> {
        let now = raw_now();
        let input = self.look(now);
        self.handle(input);
        if self.steerer.deadline().is_some_and(|due| now >= due) {
            self.handle(Input::Deadline);
        }
        self.publish(raw_now());
        Ok(())
    }

    /// Leaves the clock at the leader's rate, without the phase term.
    fn end(&mut self) {
        self.handle(Input::Lost(Loss::Ending));
        log::info!("the clock is left at {:+.0} ppb, without a phase term", self.steerer.frequency().ppb());
        self.publish(raw_now());
    }
}
