//! NTP servers and the network paths to them.

use super::{SimClock, True};
use crate::link::{Link, Profile, Queue};
use dante_core::time::{Duration, Ratio, Real, Timestamp};
use dante_core::utc::{Answer, Exchange, Leap, ServerClock};
use rand::Rng;

/// A query without an answer ends after this.
const TIMEOUT: Duration = Duration::from_secs(2);

/// An NTP server and the path to it.
#[derive(Debug, Clone, Copy)]
pub struct NtpServer {
    /// The path, the same in both directions.
    pub path: Profile,
    /// Its clock minus UTC.
    pub error: Duration,
    /// What it declares about its clock; by default nothing.
    pub declared: ServerClock,
    /// It answers.
    pub is_reachable: bool,
}

impl NtpServer {
    /// Makes a server with exponential queueing delays in both directions, such that the offset measured by one exchange, half the
    /// difference of the two delays, has the standard deviation `jitter`.
    pub fn exponential(delay: Duration, jitter: Duration) -> Self {
        Self::with(delay, Queue::Exponential(jitter * Ratio::new(2.0_f64.sqrt())))
    }

    /// Makes the same server with half-normal queueing delays.
    pub fn half_normal(delay: Duration, jitter: Duration) -> Self {
        Self::with(delay, Queue::HalfNormal(jitter * Ratio::new(2.0_f64.sqrt() / 0.602_810)))
    }

    fn with(delay: Duration, queue: Queue) -> Self {
        let path = Profile { delay, queue, ..Profile::VETH };
        Self { path, error: Duration::ZERO, declared: ServerClock::default(), is_reachable: true }
    }

    /// Returns the answer to a query sent at `now`, when UTC is `utc`, and its time of receipt.
    pub(super) fn answer(
        &self,
        rng: &mut (impl Rng + ?Sized),
        clock: &SimClock,
        now: True,
        utc: Timestamp<Real>,
    ) -> (True, Answer) {
        if !self.is_reachable {
            return (now + TIMEOUT, Answer::Nothing);
        }
        let mut path = Link::from(self.path);
        let (out, back) = (path.transit(rng, now), path.transit_back(rng, now));
        let (sent, received) = (clock.raw_at(now), clock.raw_at(now + out + back));
        let exchange = Exchange {
            raw: sent + (received - sent) / 2,
            utc: utc + out + self.error,
            round_trip: received - sent,
            leap: Leap::None,
            server: self.declared,
        };
        let answer = exchange.accepted().map_or_else(|refusal| refusal.answer(), Answer::Time);
        (now + out + back, answer)
    }
}
