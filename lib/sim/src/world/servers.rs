//! NTP servers and the ways to them.

use super::{SimClock, True};
use crate::link::{Profile, Queue};
use dante_core::time::{Duration, Ratio, Real, Timestamp};
use dante_core::utc::{Answer, Exchange, Leap};
use rand::Rng;

/// A question that is not answered is given up after this.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A time server and the way to it.
#[derive(Debug, Clone, Copy)]
pub struct NtpServer {
    /// Each way.
    pub way: Profile,
    /// How far its clock is ahead of UTC.
    pub ahead: Duration,
    /// It answers.
    pub is_there: bool,
}

impl NtpServer {
    /// Queues of exponential length on both ways, such that the offset told by one exchange, half the difference of the
    /// two ways, has this standard deviation.
    pub fn exponential(delay: Duration, jitter: Duration) -> Self {
        Self::with(delay, Queue::Exponential(jitter * Ratio::new(2.0_f64.sqrt())))
    }

    /// The same with half-normal queues.
    pub fn half_normal(delay: Duration, jitter: Duration) -> Self {
        Self::with(delay, Queue::HalfNormal(jitter * Ratio::new(2.0_f64.sqrt() / 0.602_810)))
    }

    fn with(delay: Duration, queue: Queue) -> Self {
        let way = Profile { delay, queue, ..Profile::VETH };
        Self { way, ahead: Duration::ZERO, is_there: true }
    }

    /// What comes of a question asked at `now`, when UTC is `utc`, and when it comes.
    pub(super) fn answer(
        &self,
        rng: &mut (impl Rng + ?Sized),
        clock: &SimClock,
        now: True,
        utc: Timestamp<Real>,
    ) -> (True, Answer) {
        if !self.is_there {
            return (now + TIMEOUT, Answer::Nothing);
        }
        let out = self.way.transit(rng, now);
        let back = self.way.transit_back(rng, now);
        let (asked, answered) = (clock.raw_at(now), clock.raw_at(now + out + back));
        let exchange = Exchange {
            raw: asked + (answered - asked) / 2,
            utc: utc + out + self.ahead,
            round_trip: answered - asked,
            leap: Leap::None,
        };
        (now + out + back, Answer::Time(exchange))
    }
}
