//! The suite's estimator and steerer, connected as in dante4l and dante2sys, without network and shared memory.

use crate::peers::{Follower, clock_at};
use crate::trace::{BEGIN, Sync};
use dante_core::estimate::{Classification, Estimator, Measurement, RateGuess};
use dante_core::page::{CLOCK_HAS_MAP, Dante4l, Freshness, View};
use dante_core::port;
use dante_core::steer::{Clock, Config, ExactClock, Input, Steerer, drive};
use dante_core::time::{ClockMap, Duration, Raw, Timestamp, VirtualClock};

/// Number of measurements required for SLAVE, as in the port.
const CONVERGED_DEPTH: usize = 5;
/// Uncertainty of the rate below which the port is SLAVE, ppm.
const CONVERGED_PPM: f64 = 20.0;

/// dante4l and dante2sys in one.
#[derive(Debug)]
pub struct Ours {
    estimator: Estimator,
    page: Box<View<Dante4l>>,
    steerer: Steerer,
    clock: ExactClock,
    jumps: u64,
}

impl Ours {
    /// Starts with a guess of the rate. The clock starts with this rate too.
    pub fn new(guess: RateGuess) -> Self {
        let mut clock = ExactClock { clock: clock_at(BEGIN), now: BEGIN };
        clock.clock.set_frequency(BEGIN, guess.rate);
        let body = Dante4l { timeline: 1, state: port::State::Listening as u8, ..Dante4l::default() };
        Self {
            estimator: Estimator::new(guess),
            page: Box::new(View { freshness: Freshness::Fresh, pid: 1, instance: 1, body }),
            steerer: Steerer::new(Config::default(), &clock.read(), guess.rate),
            clock,
            jumps: 0,
        }
    }

    /// Returns the clock map.
    pub fn map(&self) -> Option<ClockMap> {
        self.estimator.map()
    }

    /// Whether the port would be SLAVE.
    pub fn is_slave(&self) -> bool {
        self.page.body.is_locked()
    }

    /// Returns the estimated measurement noise, one standard deviation.
    pub fn noise(&self) -> Duration {
        self.estimator.noise()
    }

    /// Returns the number of jumps of the leader's time that the estimator detected.
    pub fn jumps(&self) -> u64 {
        self.jumps
    }

    /// Returns how often the estimator fitted the map again after a break.
    pub fn restarts(&self) -> u64 {
        self.estimator.restarts()
    }

    /// Processes a Sync in the estimator only.
    pub fn estimate(&mut self, sync: &Sync) {
        let result = self.estimator.update(Measurement { raw: sync.arrived, dante: sync.origin });
        self.jumps += u64::from(matches!(result, Classification::Jumped { .. }));
    }

    /// Writes the page and runs the steerer.
    pub fn steer(&mut self, now: Timestamp<Raw>) {
        let map = self.estimator.map();
        if let Some(map) = map {
            let body = &mut self.page.body;
            body.flags |= CLOCK_HAS_MAP;
            body.map = map.into();
            body.timeline = 1 + self.jumps;
            if self.estimator.depth() >= CONVERGED_DEPTH && map.sigma.rate.ppm() < CONVERGED_PPM {
                body.set_state(port::State::Slave);
            }
        }
        self.clock.now = now;
        drive(&mut self.steerer, &mut self.clock, Input::Page(Some(&self.page)), |_| ());
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
        &self.clock.clock
    }
}
