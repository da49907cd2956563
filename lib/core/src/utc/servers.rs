//! The schedule of requests to several NTP servers.
//!
//! Requests are sent in rounds. In a round each server receives some requests, [`SPACING`] apart, and the reply with the shortest
//! round trip counts, because the others were delayed in a queue in one direction only. At the end of a round a majority of the
//! servers must agree.

mod majority;

pub use majority::{NoMeasurement, Smear, UtcMeasurement};

use super::{Answer, Exchange};
use crate::outputs::Outputs;
use crate::time::{Duration, Raw, Timestamp};
use arrayvec::ArrayVec;
use majority::majority;

/// Largest number of servers.
pub const MAX_SERVERS: usize = 8;
/// Time between two requests to one server: what public servers demand within a burst.
pub const SPACING: Duration = Duration::from_secs(2);
/// Default bounds of the time between two rounds.
pub const INTERVALS: (Duration, Duration) = (Duration::from_secs(16), Duration::from_secs(1024));
/// Requests to each server in a round.
const BURST: u32 = 4;
/// The first rounds are short and follow each other closely, so that the leader's rate against UTC is known early.
const STARTUP: Startup = Startup { rounds: 4, burst: 2, interval: Duration::from_secs(4) };
/// Longest time to the next round after one without a result.
const RETRY_INTERVAL: Duration = Duration::from_secs(64);
/// A request without a result is given up after this time.
const REPLY_WAIT: Duration = Duration::from_secs(30);
/// Shortest time between two requests to a server that sent RATE or one DENY or RSTR.
const RATE_INTERVAL: Duration = Duration::from_secs(64);
/// Time to the next request to a server that sent DENY or RSTR twice in a row.
const DENIED_INTERVAL: Duration = Duration::from_secs(86_400);

struct Startup {
    rounds: u32,
    burst: u32,
    interval: Duration,
}

/// What the schedule reacts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The result of the pending request to this server.
    Answer {
        /// Index of the server in the list.
        server: usize,
        /// The result.
        answer: Answer,
    },
    /// The deadline has come.
    Deadline,
    /// CLOCK_MONOTONIC_RAW stood still: discard all replies so far, and start with short rounds again.
    Restart,
}

/// An action or a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Send a request to this server, and report its result with [`Input::Answer`], also where there is no reply.
    Ask(usize),
    /// A round has ended.
    Round(Result<UtcMeasurement, NoMeasurement>),
}

#[derive(Debug, Clone, Copy)]
struct Server {
    /// Number of DENY or RSTR replies in a row.
    denials: u32,
    /// After RATE, DENY or RSTR: earliest time of the next request, and the interval from then on.
    slowed: Option<(Timestamp<Raw>, Duration)>,
    /// When the pending request was sent.
    pending: Option<Timestamp<Raw>>,
    /// Requests of this round that remain to be sent.
    remaining: u32,
    /// Earliest time of the next one.
    next_at: Timestamp<Raw>,
    best: Option<Exchange>,
}

/// The servers and the schedule.
#[derive(Debug)]
pub struct Servers {
    servers: ArrayVec<Server, MAX_SERVERS>,
    /// The next round, or `None` while one is in progress.
    next: Option<Timestamp<Raw>>,
    /// The end of the last round.
    ended: Timestamp<Raw>,
    interval: Duration,
    shortest: Duration,
    /// Rounds begun since the start or the last restart.
    rounds: u32,
    /// The server whose reply was used last.
    used: Option<usize>,
    /// Replies of instants before this are discarded.
    since: Timestamp<Raw>,
    outputs: Outputs<Output, { MAX_SERVERS + 2 }>,
}

impl Servers {
    /// Schedules requests to `count` servers (at most [`MAX_SERVERS`]) from `now` on.
    pub fn new(count: usize, now: Timestamp<Raw>) -> Self {
        let server =
            Server { denials: 0, slowed: None, pending: None, remaining: 0, next_at: now, best: None };
        let servers = std::iter::repeat_n(server, count.min(MAX_SERVERS)).collect();
        Self {
            servers,
            next: Some(now),
            ended: now,
            interval: INTERVALS.0,
            shortest: INTERVALS.0,
            rounds: 0,
            used: None,
            since: now,
            outputs: Outputs::default(),
        }
    }

    /// Sets the shortest time between two rounds, not below that of the rounds at the start.
    #[must_use]
    pub fn with_shortest_interval(mut self, shortest: Duration) -> Self {
        self.shortest = shortest.clamp(STARTUP.interval, INTERVALS.1);
        self.interval = self.shortest;
        self
    }

    /// Handles an input.
    pub fn handle(&mut self, now: Timestamp<Raw>, input: Input) {
        match input {
            Input::Answer { server, answer } => self.answered(now, server, answer),
            Input::Deadline => self.give_up(now),
            Input::Restart => {
                self.rounds = 0;
                self.since = now;
                for server in &mut self.servers {
                    (server.remaining, server.best) = (0, None);
                }
                self.next = self.next.map(|_| self.allowed(now));
            }
        }
        if self.next.is_some_and(|at| now >= at) {
            self.begin_round(now);
        }
        self.send_requests(now);
        self.conclude(now);
    }

    /// Returns the next output; call until it is `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    /// When [`Input::Deadline`] is due; `None` only without servers.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        let due = |server: &Server| match server.pending {
            Some(at) => Some(at + REPLY_WAIT),
            None => (server.remaining > 0).then_some(server.next_at),
        };
        self.next.or_else(|| self.servers.iter().filter_map(due).min())
    }

    /// Gives up requests without a result for [`REPLY_WAIT`]: the thread that was to send them has ended.
    fn give_up(&mut self, now: Timestamp<Raw>) {
        let is_late = |server: &Server| server.pending.is_some_and(|at| now - at >= REPLY_WAIT);
        while let Some(server) = self.servers.iter().position(is_late) {
            self.answered(now, server, Answer::Nothing);
        }
    }

    /// Sets the time between two rounds, within the bounds.
    pub fn set_interval(&mut self, wanted: Duration) {
        self.interval = wanted.clamp(self.shortest, INTERVALS.1);
        if self.rounds >= STARTUP.rounds {
            self.next = self.next.map(|_| self.allowed(self.ended + self.interval));
        }
    }

    /// Shortens a longer time between two rounds to this, or to the shortest one allowed.
    pub fn limit_interval(&mut self, longest: Duration) {
        if self.interval > longest.max(self.shortest) {
            self.set_interval(longest);
        }
    }

    /// The time between two rounds.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Returns `at`, or later if no server may receive a request by then: a round without a request would report that none replied.
    fn allowed(&self, at: Timestamp<Raw>) -> Timestamp<Raw> {
        let earliest =
            self.servers.iter().map(|server| server.slowed.map_or(at, |(not_before, _)| not_before)).min();
        earliest.map_or(at, |earliest| earliest.max(at))
    }

    fn round_interval(&self) -> Duration {
        if self.rounds < STARTUP.rounds { STARTUP.interval } else { self.interval }
    }

    fn begin_round(&mut self, now: Timestamp<Raw>) {
        self.next = None;
        let burst = if self.rounds < STARTUP.rounds { STARTUP.burst } else { BURST };
        self.rounds = self.rounds.saturating_add(1);
        for server in &mut self.servers {
            server.best = None;
            let may = server.slowed.is_none_or(|(not_before, _)| now >= not_before);
            server.remaining = if may { burst } else { 0 };
            server.next_at = server.next_at.max(now);
            if let (true, Some((not_before, apart))) = (may, &mut server.slowed) {
                // One request per round, never a burst again: the server would send RATE again.
                server.remaining = 1;
                *not_before = now + *apart;
            }
        }
    }

    fn send_requests(&mut self, now: Timestamp<Raw>) {
        for (number, server) in self.servers.iter_mut().enumerate() {
            if server.pending.is_none() && server.remaining > 0 && now >= server.next_at {
                server.remaining -= 1;
                server.pending = Some(now);
                self.outputs.push(Output::Ask(number));
            }
        }
    }

    fn answered(&mut self, now: Timestamp<Raw>, number: usize, answer: Answer) {
        let since = self.since;
        let Some(server) = self.servers.get_mut(number).filter(|s| s.pending.is_some()) else { return };
        server.pending = None;
        server.next_at = now + SPACING;
        match answer {
            Answer::Time(exchange) if exchange.raw < since => {}
            Answer::Time(exchange) => {
                server.denials = 0;
                if let Some((_, apart)) = &mut server.slowed {
                    *apart = (*apart / 2).max(RATE_INTERVAL);
                }
                // A server with a coarse clock seems to reply before it received the request (RFC 5905, section 8).
                let round_trip = exchange.round_trip.max(Duration::ZERO);
                if server.best.is_none_or(|best| round_trip < best.round_trip) {
                    server.best = Some(Exchange { round_trip, ..exchange });
                }
            }
            Answer::SlowDown | Answer::Denied => {
                let before = server.slowed.map_or(self.interval, |(_, apart)| apart);
                server.denials = if answer == Answer::Denied { server.denials.saturating_add(1) } else { 0 };
                // A server may deny access for a moment, as while it is configured; so one denial only slows the requests.
                let apart = if server.denials > 1 {
                    DENIED_INTERVAL
                } else {
                    (before * 2).clamp(RATE_INTERVAL, INTERVALS.1)
                };
                server.slowed = Some((now + apart, apart));
                server.remaining = 0;
            }
            Answer::Nothing => {}
        }
    }

    fn conclude(&mut self, now: Timestamp<Raw>) {
        let is_over =
            self.next.is_none() && self.servers.iter().all(|s| s.pending.is_none() && s.remaining == 0);
        if !is_over {
            return;
        }
        let best = self.servers.iter().map(|server| server.best).enumerate();
        let replies: ArrayVec<(usize, Exchange), MAX_SERVERS> =
            best.filter_map(|(number, best)| Some((number, best?))).collect();
        let result = majority(&replies, self.used).map(|(used, measurement)| {
            self.used = Some(used);
            measurement
        });
        let wait =
            if result.is_ok() { self.round_interval() } else { self.round_interval().min(RETRY_INTERVAL) };
        self.ended = now;
        self.next = Some(self.allowed(now + wait));
        self.outputs.push(Output::Round(result));
    }
}

#[cfg(test)]
mod tests;
