//! The suite's own estimator and law, put together as its programs do it.

use crate::peers::{Follower, clock_at};
use crate::trace::{BEGIN, Sync};
use dante_core::date::DateRules;
use dante_core::estimate::{Estimator, Measurement, RateGuess, Verdict};
use dante_core::port;
use dante_core::steer::{Correction, Input, Limits, Output, Steerer};
use dante_core::time::{ClockMap, Duration, Raw, Reading, Timestamp, VirtualClock};
use dante_core::track::{TimelineKey, Track};

/// As the port judges it: so many measurements, and the rate known to this.
const CONVERGED_DEPTH: usize = 5;
const CONVERGED_PPM: f64 = 20.0;

/// dante4l and dante2sys in one, without the network and the page between them.
#[derive(Debug)]
pub struct Ours {
    estimator: Estimator,
    steerer: Steerer,
    clock: VirtualClock,
    key: TimelineKey,
    state: port::State,
    jumps: u64,
}

impl Ours {
    /// With what is known of the rate; a stored frequency is what the clock runs at, too.
    pub fn new(guess: RateGuess) -> Self {
        let mut clock = clock_at(BEGIN);
        clock.set_frequency(BEGIN, guess.rate);
        Self {
            estimator: Estimator::new(guess),
            steerer: Steerer::new(Limits::default(), DateRules::default(), guess.rate),
            clock,
            key: TimelineKey { instance: 1, number: 1 },
            state: port::State::Listening,
            jumps: 0,
        }
    }

    /// The leader's line as estimated.
    pub fn map(&self) -> Option<ClockMap> {
        self.estimator.map()
    }

    /// Whether the port would call itself SLAVE.
    pub fn is_slave(&self) -> bool {
        self.state == port::State::Slave
    }

    /// What the estimator takes the measurements' noise for.
    pub fn noise(&self) -> Duration {
        self.estimator.noise()
    }

    /// How often the estimator believed in a jump of the leader's time.
    pub fn jumps(&self) -> u64 {
        self.jumps
    }

    /// The estimator alone.
    pub fn estimate(&mut self, sync: &Sync) {
        let verdict = self.estimator.update(Measurement { raw: sync.arrived, dante: sync.stated });
        if matches!(verdict, Verdict::Jumped { .. }) {
            self.jumps += 1;
            self.key.number += 1;
        }
    }

    /// The law alone.
    pub fn steer(&mut self, now: Timestamp<Raw>) {
        let map = self.estimator.map();
        let converged = self.estimator.depth() >= CONVERGED_DEPTH
            && map.is_some_and(|map| map.sigma.rate.ppm() < CONVERGED_PPM);
        if converged {
            self.state = port::State::Slave;
        }
        self.tell(now, Input::Leader(Track { key: self.key, state: self.state, map }));
    }

    fn tell(&mut self, now: Timestamp<Raw>, input: Input) {
        let reading = Reading { raw: now, real: self.clock.at(now), width: Duration::ZERO };
        self.steerer.handle(reading, input);
        while let Some(output) = self.steerer.poll() {
            match output {
                Output::Correct(Correction::Slew(rate)) => {
                    self.clock.set_frequency(now, rate);
                    self.steerer.handle(reading, Input::Applied(rate));
                }
                Output::Correct(Correction::Step(offset)) => {
                    self.clock.step(-offset.span());
                    self.steerer.handle(reading, Input::Applied(self.clock.line().rate));
                }
                _ => {}
            }
        }
    }
}

impl Follower for Ours {
    fn name(&self) -> &'static str {
        "dante4l and dante2sys"
    }

    fn sync(&mut self, sync: &Sync) {
        self.estimate(sync);
        self.steer(sync.arrived);
    }

    fn clock(&self) -> &VirtualClock {
        &self.clock
    }
}
