//! Several time servers: when each is asked.
//!
//! Questions come in rounds. In a round each server is asked some times, [`SPACING`] apart, and the answer with the
//! shortest round trip counts: the others waited in a queue somewhere, on one way and not on the other. At the end of a
//! round a majority of the servers must agree.

mod majority;

pub(super) use majority::SERVER_ERROR;
pub use majority::{NoMeasurement, UtcMeasurement};

use super::{Answer, Exchange};
use crate::outputs::Outputs;
use crate::time::{Duration, Raw, Timestamp};
use arrayvec::ArrayVec;
use majority::majority;

/// As many servers are asked at most.
pub const MAX_SERVERS: usize = 8;
/// Between two questions to one server: what public servers ask of a burst.
pub const SPACING: Duration = Duration::from_secs(2);
/// Rounds are at least and at most this far apart where nothing else is said.
pub const INTERVALS: (Duration, Duration) = (Duration::from_secs(16), Duration::from_secs(1024));
/// Questions in a round.
const BURST: u32 = 4;
/// The first rounds are short and follow each other at once: the rate of the leader against UTC is to be known soon.
const OPENING: Opening = Opening { rounds: 4, burst: 2, interval: Duration::from_secs(4) };
/// A round in which nobody answered is tried again soon.
const RETRY: Duration = Duration::from_secs(64);
/// No answer comes after this.
const PATIENCE: Duration = Duration::from_secs(30);
/// A server that complained is asked no more often than this.
const COMPLAINED: Duration = Duration::from_secs(64);
/// One that denied twice is tried again after this.
const DENIED: Duration = Duration::from_secs(86_400);

struct Opening {
    rounds: u32,
    burst: u32,
    interval: Duration,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The answer to the one question that is open at this server.
    Answer {
        /// By its place in the list.
        server: usize,
        /// What came of it.
        answer: Answer,
    },
    /// The deadline came.
    Deadline,
    /// The raw clock stood still: all that was told is void. Begin anew, with the short rounds of a start.
    Restart,
}

/// What is to be done or told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Ask this server, and report with [`Input::Answer`], whatever comes of it.
    Ask(usize),
    /// A round is over.
    Round(Result<UtcMeasurement, NoMeasurement>),
}

#[derive(Debug, Clone, Copy)]
struct Server {
    /// How often in a row it told us never to ask again.
    denials: u32,
    /// It told us to ask less often: not before, and this far apart.
    slowed: Option<(Timestamp<Raw>, Duration)>,
    /// A question is open since then.
    asked: Option<Timestamp<Raw>>,
    /// Questions of this round that are still to be asked.
    left: u32,
    /// When the next one is.
    ask_at: Timestamp<Raw>,
    best: Option<Exchange>,
}

/// The servers.
#[derive(Debug)]
pub struct Servers {
    servers: ArrayVec<Server, MAX_SERVERS>,
    /// The next round, or `None` while one is going on.
    next: Option<Timestamp<Raw>>,
    /// The end of the last round.
    ended: Timestamp<Raw>,
    interval: Duration,
    shortest: Duration,
    /// Rounds that were begun since the start or the last beginning.
    rounds: u32,
    /// What was told of instants before this is void.
    since: Timestamp<Raw>,
    outputs: Outputs<Output, { MAX_SERVERS + 2 }>,
}

impl Servers {
    /// So many servers (at most [`MAX_SERVERS`]), to be asked from `now` on.
    pub fn new(count: usize, now: Timestamp<Raw>) -> Self {
        let server = Server { denials: 0, slowed: None, asked: None, left: 0, ask_at: now, best: None };
        let servers = std::iter::repeat_n(server, count.min(MAX_SERVERS)).collect();
        Self {
            servers,
            next: Some(now),
            ended: now,
            interval: INTERVALS.0,
            shortest: INTERVALS.0,
            rounds: 0,
            since: now,
            outputs: Outputs::default(),
        }
    }

    /// Rounds may be so close to each other, but no closer than the opening ones.
    #[must_use]
    pub fn with_shortest_interval(mut self, shortest: Duration) -> Self {
        self.shortest = shortest.clamp(OPENING.interval, INTERVALS.1);
        self.interval = self.shortest;
        self
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Timestamp<Raw>, input: Input) {
        match input {
            Input::Answer { server, answer } => self.answered(now, server, answer),
            Input::Deadline => self.give_up(now),
            Input::Restart => {
                self.rounds = 0;
                self.since = now;
                for server in &mut self.servers {
                    (server.left, server.best) = (0, None);
                }
                self.next = self.next.map(|_| self.allowed(now));
            }
        }
        if self.next.is_some_and(|at| now >= at) {
            self.begin(now);
        }
        self.ask(now);
        self.conclude(now);
    }

    /// The next thing to be done or told; call until it is `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    /// When [`Input::Deadline`] is due; `None` only without servers.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        let due = |server: &Server| match server.asked {
            Some(at) => Some(at + PATIENCE),
            None => (server.left > 0).then_some(server.ask_at),
        };
        self.next.or_else(|| self.servers.iter().filter_map(due).min())
    }

    /// A question that is open for so long will not be answered: who was to ask it died.
    fn give_up(&mut self, now: Timestamp<Raw>) {
        let is_late = |server: &Server| server.asked.is_some_and(|at| now - at >= PATIENCE);
        while let Some(server) = self.servers.iter().position(is_late) {
            self.answered(now, server, Answer::Nothing);
        }
    }

    /// How far apart the rounds are to be from now on; held within the bounds.
    pub fn set_interval(&mut self, wanted: Duration) {
        self.interval = wanted.clamp(self.shortest, INTERVALS.1);
        if self.rounds >= OPENING.rounds {
            self.next = self.next.map(|_| self.allowed(self.ended + self.interval));
        }
    }

    /// How far apart the rounds are.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// `at`, or later if nobody may be asked by then: a round without a question would only tell that nobody answers.
    fn allowed(&self, at: Timestamp<Raw>) -> Timestamp<Raw> {
        let earliest =
            self.servers.iter().map(|server| server.slowed.map_or(at, |(not_before, _)| not_before)).min();
        earliest.map_or(at, |earliest| earliest.max(at))
    }

    fn rest(&self) -> Duration {
        if self.rounds < OPENING.rounds { OPENING.interval } else { self.interval }
    }

    fn begin(&mut self, now: Timestamp<Raw>) {
        self.next = None;
        let burst = if self.rounds < OPENING.rounds { OPENING.burst } else { BURST };
        self.rounds = self.rounds.saturating_add(1);
        for server in &mut self.servers {
            server.best = None;
            let may = server.slowed.is_none_or(|(not_before, _)| now >= not_before);
            server.left = if may { burst } else { 0 };
            server.ask_at = server.ask_at.max(now);
            if let (true, Some((not_before, apart))) = (may, &mut server.slowed) {
                // One question, no burst, ever again: who complained once would complain again.
                server.left = 1;
                *not_before = now + *apart;
            }
        }
    }

    fn ask(&mut self, now: Timestamp<Raw>) {
        for (number, server) in self.servers.iter_mut().enumerate() {
            if server.asked.is_none() && server.left > 0 && now >= server.ask_at {
                server.left -= 1;
                server.asked = Some(now);
                self.outputs.push(Output::Ask(number));
            }
        }
    }

    fn answered(&mut self, now: Timestamp<Raw>, number: usize, answer: Answer) {
        let since = self.since;
        let Some(server) = self.servers.get_mut(number).filter(|s| s.asked.is_some()) else { return };
        server.asked = None;
        server.ask_at = now + SPACING;
        match answer {
            Answer::Time(exchange) if exchange.raw < since => {}
            Answer::Time(exchange) => {
                server.denials = 0;
                if let Some((_, apart)) = &mut server.slowed {
                    *apart = (*apart / 2).max(COMPLAINED);
                }
                // A server whose clock is coarse seems to answer before it was asked (RFC 5905, section 8).
                let round_trip = exchange.round_trip.max(Duration::ZERO);
                if server.best.is_none_or(|best| round_trip < best.round_trip) {
                    server.best = Some(Exchange { round_trip, ..exchange });
                }
            }
            Answer::SlowDown | Answer::Denied => {
                let before = server.slowed.map_or(self.interval, |(_, apart)| apart);
                server.denials = if answer == Answer::Denied { server.denials.saturating_add(1) } else { 0 };
                // One denial alone may be forged by anybody who guesses the port.
                let apart =
                    if server.denials > 1 { DENIED } else { (before * 2).clamp(COMPLAINED, INTERVALS.1) };
                server.slowed = Some((now + apart, apart));
                server.left = 0;
            }
            Answer::Nothing => {}
        }
    }

    fn conclude(&mut self, now: Timestamp<Raw>) {
        let is_over = self.next.is_none() && self.servers.iter().all(|s| s.asked.is_none() && s.left == 0);
        if !is_over {
            return;
        }
        let heard: ArrayVec<Exchange, MAX_SERVERS> = self.servers.iter().filter_map(|s| s.best).collect();
        let result = majority(&heard);
        let wait = if result.is_ok() { self.rest() } else { self.rest().min(RETRY) };
        self.ended = now;
        self.next = Some(self.allowed(now + wait));
        self.outputs.push(Output::Round(result));
    }
}

#[cfg(test)]
mod tests;
