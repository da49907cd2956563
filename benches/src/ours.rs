//! The suite's own estimator and steerer, put together as its programs do it, without the network between them.

use crate::peers::{Follower, clock_at};
use crate::trace::{BEGIN, Sync};
use dante_core::estimate::{Classification, Estimator, Measurement, RateGuess};
use dante_core::page::{CLOCK_HAS_MAP, Dante4l, Freshness, View};
use dante_core::port;
use dante_core::steer::{Clock, Config, ExactClock, Input, Steerer, drive};
use dante_core::time::{ClockMap, Duration, Raw, Timestamp, VirtualClock};

/// As the port judges it: so many measurements, and the rate known to this.
const CONVERGED_DEPTH: usize = 5;
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
    /// With what is known of the rate; a stored frequency is what the clock runs at, too.
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

    /// The leader's line as estimated.
    pub fn map(&self) -> Option<ClockMap> {
        self.estimator.map()
    }

    /// Whether the port would call itself SLAVE.
    pub fn is_slave(&self) -> bool {
        self.page.body.is_locked()
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
        self.jumps += u64::from(matches!(verdict, Classification::Jumped { .. }));
    }

    /// The page and the steerer.
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
