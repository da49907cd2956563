//! A host: the engines, a clock of arithmetic, and the questions that are on their way.

use super::{Figures, MapError, Surroundings, True};
use dante_core::date::servers::{self, Servers};
use dante_core::date::{Answer, DateRules};
use dante_core::steer::{Correction, Input, Jump, Limits, Output, Steerer};
use dante_core::time::{Affine, Duration, Ratio, Raw, Reading, Real, Timestamp, VirtualClock};

/// One of the hosts.
#[derive(Debug)]
pub struct Host {
    /// The raw clock over true time.
    raw: Affine<Raw>,
    clock: VirtualClock,
    steerer: Steerer,
    servers: Servers,
    map_error: MapError,
    answers: Vec<(True, usize, Answer)>,
    said: Vec<(True, Output)>,
    pub(super) figures: Figures,
}

impl Host {
    pub(super) fn new(around: &Surroundings, rules: DateRules, raw_rate: Ratio, ahead: Duration) -> Self {
        let uptime = Timestamp::from_ns(1_000_000_000_000);
        let raw = Affine { raw0: around.now, at0: uptime, rate: raw_rate };
        let start = Reading { raw: uptime, real: around.utc() + ahead, width: Duration::ZERO };
        Self {
            raw,
            clock: VirtualClock::new(start),
            steerer: Steerer::new(Limits::default(), rules, Ratio::ZERO),
            servers: Servers::new(around.servers.len(), uptime),
            map_error: MapError::default(),
            answers: Vec::new(),
            said: Vec::new(),
            figures: Figures::default(),
        }
    }

    /// dante4l tells of the leader; then what is due within the second.
    pub(super) fn pass_a_second(&mut self, around: &mut Surroundings) {
        let until = around.now + Duration::from_secs(1);
        self.map_error.pass_a_second(&mut around.rng);
        let input = match around.track(&self.raw, &self.map_error) {
            Ok(track) => Input::Leader(track),
            Err(loss) => Input::Lost(loss),
        };
        self.steer(around, input);
        loop {
            let answer = self.answers.iter().map(|(at, ..)| *at).min();
            let deadline = self.servers.deadline().map(|due| self.when(due, around.now));
            let review = self.steerer.deadline().map(|due| self.when(due, around.now));
            let Some(next) = [answer, deadline, review].into_iter().flatten().min() else { break };
            if next >= until {
                break;
            }
            around.now = next.max(around.now);
            if let Some(place) = self.answers.iter().position(|(at, ..)| *at <= around.now) {
                let (_, server, answer) = self.answers.swap_remove(place);
                self.serve(around, servers::Input::Answer { server, answer });
            } else if deadline == Some(next) {
                self.serve(around, servers::Input::Deadline);
            } else {
                self.steer(around, Input::Deadline);
            }
        }
    }

    /// True time when the raw clock shows `due`; a ns late rather than early.
    fn when(&self, due: Timestamp<Raw>, now: True) -> True {
        let left = due - self.raw.at(now);
        now + left - left * self.raw.rate + left * self.raw.rate * self.raw.rate + Duration::from_ns(2)
    }

    fn reading(&self, now: True) -> Reading {
        let raw = self.raw.at(now);
        Reading { raw, real: self.clock.at(raw), width: Duration::ZERO }
    }

    fn serve(&mut self, around: &mut Surroundings, input: servers::Input) {
        self.servers.handle(self.raw.at(around.now), input);
        while let Some(output) = self.servers.poll() {
            match output {
                servers::Output::Ask(server) => {
                    self.figures.questions += 1;
                    let (at, answer) = around.ask(server, &self.raw);
                    self.answers.push((at, server, answer));
                }
                servers::Output::Round(Ok(verdict)) => {
                    self.steer(around, Input::Date(verdict));
                    let interval = self.steerer.date().interval(self.servers.interval());
                    self.servers.set_interval(interval);
                }
                servers::Output::Round(Err(_)) => {}
            }
        }
    }

    fn steer(&mut self, around: &Surroundings, input: Input) {
        let now = around.now;
        self.steerer.handle(self.reading(now), input);
        while let Some(output) = self.steerer.poll() {
            match output {
                Output::Correct(Correction::Slew(rate)) => {
                    self.clock.set_frequency(self.raw.at(now), rate);
                    self.steerer.handle(self.reading(now), Input::Applied(rate));
                }
                Output::Correct(Correction::Step(off)) => {
                    self.clock.step(-off.span());
                    self.figures.stepped(now, off);
                    self.steerer.handle(self.reading(now), Input::Stepped(off));
                }
                said => self.said.push((now, said)),
            }
        }
    }

    pub(super) fn slept(&mut self, around: &mut Surroundings, span: Duration) {
        self.raw = Affine { at0: self.raw.at0 - span - span * self.raw.rate, ..self.raw };
        // The machine's own clock counts whole seconds, and the kernel takes half of one off.
        self.clock.step(span + Duration::from_ms(300));
        self.answers.clear();
        self.steer(around, Input::Jumped(Jump::Slept));
        self.serve(around, servers::Input::Anew);
    }

    pub(super) fn look(&mut self, around: &Surroundings, agreement: Duration) {
        let error = self.date(around.now) - around.utc();
        let bound = self.steerer.date_error(&self.reading(around.now)).map(|error| error.bound);
        let off_leader = around.leader.rate_at(around.now);
        let true_rate =
            |rate: Ratio| Ratio::new((1.0 + rate.fraction()) * (1.0 + self.raw.rate.fraction()) - 1.0);
        let added = true_rate(self.steerer.frequency()) - off_leader;
        self.figures.look(error, bound, self.steerer.date().slew(), added, agreement);
    }

    /// The date that the clock shows.
    pub fn date(&self, now: True) -> Timestamp<Real> {
        self.clock.at(self.raw.at(now))
    }

    /// The steerer.
    pub fn steerer(&self) -> &Steerer {
        &self.steerer
    }

    /// How far apart the servers are asked now.
    pub fn interval(&self) -> Duration {
        self.servers.interval()
    }

    /// What the steerer said, corrections left out.
    pub fn said(&self) -> &[(True, Output)] {
        &self.said
    }

    /// What was seen since it was last to be judged.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }
}
