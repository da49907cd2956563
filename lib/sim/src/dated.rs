//! A world of virtual time for the date: hosts on one leader, and time servers some way off.
//!
//! The engines that choose the date are the very ones that dante2sys runs, `Servers` and `Steerer`. What dante4l makes
//! of the leader's packets is not: each host is handed a map once a second that is the true line, but for a stated error
//! that changes slowly. So weeks pass in seconds, and the figures are those of the date alone.
//!
//! True time runs as UTC does. Each host's raw clock and the leader run off it.

mod figures;
mod host;

pub use figures::Figures;
pub use host::Host;

use crate::link::{Profile, Queue};
use crate::oscillator::Oscillator;
use dante_core::date::{Answer, DateRules, Exchange, Leap};
use dante_core::port::State as PortState;
use dante_core::time::{
    Affine, ClockMap, Correlation, Dante, Duration, Ratio, Raw, Real, Timestamp, Uncertainty, Wander,
};
use dante_core::track::{Loss, TimelineKey, Track};
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64Mcg;

/// True time: ns since the world began, as if of a raw clock that runs exactly as UTC does.
pub type True = Timestamp<Raw>;

/// UTC when the world begins: in November 2026.
const UTC_BEGIN: Timestamp<Real> = Timestamp::from_ns(1_795_000_000_000_000_000);
/// A question that is not answered is given up after this.
const PATIENCE: Duration = Duration::from_secs(2);
/// How well the hosts know the leader, as they are told: one standard deviation.
const MAP_SIGMA: Uncertainty = Uncertainty { offset: Duration::from_ns(20), rate: Ratio::from_ppb(1.0) };
/// And so fast its error changes, s.
const MAP_MEMORY_S: f64 = 60.0;

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
}

/// The errors of the maps that a host is handed: Gauss-Markov processes of the stated standard deviations.
#[derive(Debug, Clone, Copy, Default)]
struct MapError {
    offset_ns: f64,
    rate_ppb: f64,
}

impl MapError {
    fn pass_a_second(&mut self, rng: &mut (impl Rng + ?Sized)) {
        let keep = (-1.0 / MAP_MEMORY_S).exp();
        let fresh = (1.0 - keep * keep).sqrt();
        let mut next = |now: f64, sigma: f64| {
            let normal: f64 = StandardNormal.sample(rng);
            now * keep + sigma * fresh * normal
        };
        self.offset_ns = next(self.offset_ns, MAP_SIGMA.offset.secs_f64() * 1e9);
        self.rate_ppb = next(self.rate_ppb, MAP_SIGMA.rate.ppb());
    }
}

/// What all hosts share.
#[derive(Debug)]
struct Surroundings {
    now: True,
    rng: Pcg64Mcg,
    leader: Oscillator,
    timeline: u64,
    is_led: bool,
    servers: Vec<NtpServer>,
}

impl Surroundings {
    fn utc(&self) -> Timestamp<Real> {
        utc_at(self.now)
    }

    /// What the host whose raw clock is `clock` is told of the leader.
    fn track(&self, clock: &Affine<Raw>, error: &MapError) -> Result<Track, Loss> {
        if !self.is_led {
            return Err(Loss::NoLeader);
        }
        let rate = (self.leader.rate_at(self.now).fraction() - clock.rate.fraction())
            / (1.0 + clock.rate.fraction())
            + error.rate_ppb * 1e-9;
        let at0: Timestamp<Dante> =
            self.leader.at(self.now) + Duration::from_secs_f64(error.offset_ns * 1e-9);
        let line = Affine { raw0: clock.at(self.now), at0, rate: Ratio::new(rate) };
        let map = ClockMap { line, sigma: MAP_SIGMA, correlation: Correlation::ZERO, wander: Wander::ZERO };
        let key = TimelineKey { instance: 1, number: self.timeline };
        Ok(Track { key, state: PortState::Slave, map: Some(map) })
    }

    /// The answer to a question asked now, and when it comes.
    fn ask(&mut self, server: usize, clock: &Affine<Raw>) -> (True, Answer) {
        let Some(server) = self.servers.get(server).copied().filter(|server| server.is_there) else {
            return (self.now + PATIENCE, Answer::Nothing);
        };
        let out = server.way.transit(&mut self.rng, self.now);
        let back = server.way.transit_back(&mut self.rng, self.now);
        let (asked, answered) = (clock.at(self.now), clock.at(self.now + out + back));
        let exchange = Exchange {
            raw: asked + (answered - asked) / 2,
            utc: utc_at(self.now + out) + server.ahead,
            round_trip: answered - asked,
            leap: Leap::None,
        };
        (self.now + out + back, Answer::Time(exchange))
    }
}

fn utc_at(at: True) -> Timestamp<Real> {
    UTC_BEGIN + (at - Timestamp::ZERO)
}

/// The world.
#[derive(Debug)]
pub struct DatedWorld {
    around: Surroundings,
    hosts: Vec<Host>,
}

impl DatedWorld {
    /// A leader that runs `ppm` off UTC, these servers, and nobody to listen yet.
    pub fn new(seed: u64, leader_ppm: f64, servers: Vec<NtpServer>) -> Self {
        let leader = oscillator(Timestamp::ZERO, 699, leader_ppm);
        let rng = Pcg64Mcg::seed_from_u64(seed);
        Self {
            around: Surroundings { now: Timestamp::ZERO, rng, leader, timeline: 1, is_led: true, servers },
            hosts: Vec::new(),
        }
    }

    /// A host whose raw clock runs `raw_ppm` off UTC and whose date is `ahead` of UTC begins now.
    pub fn add_host(&mut self, rules: DateRules, raw_ppm: f64, ahead: Duration) {
        let host = Host::new(&self.around, rules, Ratio::from_ppm(raw_ppm), ahead);
        self.hosts.push(host);
    }

    /// Lets so many whole seconds pass.
    pub fn run(&mut self, span: Duration) {
        let until = self.around.now + span;
        while self.around.now < until {
            let second = self.around.now + Duration::from_secs(1);
            for host in &mut self.hosts {
                let begin = self.around.now;
                host.pass_a_second(&mut self.around);
                self.around.now = begin;
            }
            self.around.now = second;
            let agreement = self.agreement();
            for host in &mut self.hosts {
                host.look(&self.around, agreement);
            }
        }
    }

    /// How far the hosts' clocks are apart now.
    fn agreement(&self) -> Duration {
        let dates = self.hosts.iter().map(|host| host.date(self.around.now));
        let (first, last) = (dates.clone().min(), dates.max());
        first.zip(last).map_or(Duration::ZERO, |(first, last)| last - first)
    }

    /// Figures are taken from now on.
    pub fn judge(&mut self) {
        for host in &mut self.hosts {
            host.figures = Figures::default();
        }
    }

    /// The hosts.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The time servers, to be changed.
    pub fn servers(&mut self) -> &mut [NtpServer] {
        &mut self.around.servers
    }

    /// Another leader takes over, so far off UTC.
    pub fn change_leader(&mut self, ppm: f64) {
        self.around.leader = oscillator(self.around.now, 86_400, ppm);
        self.around.timeline += 1;
    }

    /// The leader's rate swings by `wander` to either side from now on, once in a `period`.
    pub fn warm_leader(&mut self, wander: Ratio, period: Duration) {
        let line = self.around.leader.line.anchored_at(self.around.now);
        self.around.leader = Oscillator { line, wander, period };
    }

    /// The leader is there or not.
    pub fn lead(&mut self, is_led: bool) {
        self.around.is_led = is_led;
    }

    /// All hosts sleep for so long: their raw clocks stand still, and a clock of the machine sets the date again.
    pub fn sleep(&mut self, span: Duration) {
        self.around.now = self.around.now + span;
        // dante4l sees the leader's time jump.
        self.around.timeline += 1;
        for host in &mut self.hosts {
            host.slept(&mut self.around, span);
        }
    }
}

fn oscillator(at: True, uptime_s: i64, ppm: f64) -> Oscillator {
    let uptime = Timestamp::from_ns(uptime_s.saturating_mul(1_000_000_000));
    Oscillator::new(at, uptime, Ratio::from_ppm(ppm), Ratio::ZERO)
}
