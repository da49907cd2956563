//! Each sentence of dante2sys against its neighbours: what happens, and all sentences that follow.

use super::*;
use crate::timescale::Replaced;
use crate::utc::{Exchange, Leap, Policy, SavedUtc, ServerClock};

/// The name of the sentence that dante2sys logs for a report; `None` where it logs none.
pub(super) fn name<E>(report: &Report<E>) -> Option<String> {
    let variant = |value: &dyn fmt::Debug| {
        let text = format!("{value:?}");
        text.split(['(', ' ']).next().unwrap_or_default().to_owned()
    };
    Some(match report {
        Report::Output(Output::Changed { reason: Reason::Lost(loss), .. }) => variant(loss),
        Report::Output(Output::Changed { reason, .. }) => variant(reason),
        Report::Output(Output::Adopted(_, jump)) => format!("Adopted{jump:?}"),
        Report::Output(Output::Disturbed(disturbance)) => variant(disturbance),
        Report::Output(Output::Utc(event)) => variant(event),
        Report::Output(Output::Epoch(change)) => format!("Epoch{}", variant(&change.replaced)),
        // The majority outvotes a server that smears.
        Report::Output(Output::Round(Ok(measurement))) => {
            measurement.smear.map(|_| "SmearOutvoted".to_owned())?
        }
        // Logged for each server.
        Report::Output(Output::Round(Err(NoMeasurement::NoAnswer))) => return None,
        Report::Output(Output::Round(Err(none))) => variant(none),
        Report::Output(Output::Ask(_) | Output::Correct(_) | Output::Take | Output::Declare(_)) => {
            return None;
        }
        Report::Output(Output::SavedUtc(used)) => format!("Saved{}", variant(used)),
        Report::Output(
            output @ (Output::LeaderIsUptime(_)
            | Output::Slept(_)
            | Output::LeapSecond
            | Output::Synchronised(_)
            | Output::Unsynchronised(_)),
        ) => variant(output),
        Report::Step(_) => "Step".into(),
        Report::Leftover(leftover) => format!("Leftover{}", variant(leftover)),
        Report::Failed(_) => "Failed".into(),
        Report::Frequency(_) => return None,
    })
}

/// The names of the sentences, apart from those of [`Loss`]. A new one does not compile in [`checked`] until it is here.
const NAMES: [&str; 43] = [
    "Leader",
    "RateKnown",
    "Uncertain",
    "OtherTimeline",
    "Refused",
    "Accepted",
    "Disturbed",
    "Taken",
    "AdoptedSlept",
    "AdoptedLeap",
    "AdoptedSet",
    "Frequency",
    "Tick",
    "SelfSteering",
    "Slew",
    "LeftoverTick",
    "LeftoverSelfSteering",
    "LeftoverSlew",
    "Implausible",
    "Outlier",
    "Restarted",
    "Initialised",
    "Drifts",
    "Holds",
    "SetByHand",
    "Resumed",
    "NoMajority",
    "Smear",
    "SmearOutvoted",
    "SavedUsed",
    "SavedOtherLeader",
    "SavedNotContinued",
    "SavedOtherRate",
    "SavedUncertain",
    "SavedLeapPossible",
    "EpochTimeline",
    "EpochMap",
    "LeapSecond",
    "Slept",
    "LeaderIsUptime",
    "Synchronised",
    "Unsynchronised",
    "Step",
];

/// Does not compile with a kind that is not in [`NAMES`], as [`name`] with an output or a report.
const fn checked(
    (reason, jump): (Reason, Jump),
    (disturbance, leftover): (Disturbance, Leftover),
    (event, none, used): (UtcEvent, NoMeasurement, SavedUtcUse),
    replaced: Replaced,
) {
    match reason {
        Reason::Leader | Reason::RateKnown | Reason::Lost(_) | Reason::Uncertain | Reason::OtherTimeline => {}
        Reason::Refused | Reason::Accepted | Reason::Disturbed | Reason::Taken => {}
    }
    match jump {
        Jump::Slept | Jump::Leap | Jump::Set => {}
    }
    match disturbance {
        Disturbance::Frequency { .. } | Disturbance::Tick(_) | Disturbance::SelfSteering(_) => {}
        Disturbance::Slew(_) => {}
    }
    match leftover {
        Leftover::Tick(_) | Leftover::SelfSteering(_) | Leftover::Slew(_) => {}
    }
    match event {
        UtcEvent::Implausible(_)
        | UtcEvent::Outlier(_)
        | UtcEvent::Restarted(_)
        | UtcEvent::Initialised(_) => {}
        UtcEvent::Drifts(_) | UtcEvent::Holds | UtcEvent::SetByHand | UtcEvent::Resumed => {}
    }
    match none {
        NoMeasurement::NoAnswer | NoMeasurement::NoMajority(_) | NoMeasurement::Smear(..) => {}
    }
    match replaced {
        Replaced::Timeline | Replaced::Map(_) => {}
    }
    match used {
        SavedUtcUse::Used { .. } | SavedUtcUse::OtherLeader | SavedUtcUse::NotContinued(_) => {}
        SavedUtcUse::OtherRate(_) | SavedUtcUse::Uncertain(_) | SavedUtcUse::LeapPossible => {}
    }
}

/// The time that a server sends, minus UTC; `None`: it does not answer.
type Servers = fn(server: usize) -> Option<Duration>;

fn right(_: usize) -> Option<Duration> {
    Some(Duration::ZERO)
}

fn absent(_: usize) -> Option<Duration> {
    None
}

/// From the start of the bench to 2026-12-31 18:00 UTC, when a smear of a leap second from noon to noon is 0.25 s off.
const SMEAR: Duration = Duration::from_secs(1_798_740_000 - 1_795_000_000);

impl Bench {
    /// The servers answer what they were asked.
    fn answer(&mut self, servers: Servers) {
        while let Some(at) = self.outputs.iter().position(|output| matches!(output, Output::Ask(_))) {
            let Output::Ask(server) = self.outputs.remove(at) else { return };
            let answer = match servers(server) {
                None => Answer::Nothing,
                Some(ahead) => Answer::Time(Exchange {
                    raw: self.clock.exact.now,
                    utc: START_UTC + (self.clock.exact.now - BEGIN) + ahead,
                    round_trip: Duration::from_ms(1),
                    leap: Leap::None,
                    server: ServerClock::default(),
                }),
            };
            self.handle(Input::Answer { server, answer });
        }
    }

    /// Syncs for so many seconds with these servers.
    fn runs(&mut self, seconds: u32, servers: Servers) {
        self.runs_as(seconds, servers, |bench| bench.lead(PortState::Slave));
    }

    fn runs_as(&mut self, seconds: u32, servers: Servers, page: impl Fn(&mut Self)) {
        for _ in 0..seconds * 4 {
            page(self);
            self.answer(servers);
            self.clock.exact.now = self.clock.exact.now + SYNC;
        }
    }

    /// Seconds without a leader, with these servers.
    fn runs_without(&mut self, seconds: u32, servers: Servers, state: PortState) {
        self.runs_as(seconds, servers, |bench| bench.lead(state));
    }

    /// The clock was off by this when this program started.
    fn starts_off(&mut self, by: Duration) {
        self.clock.exact.step(by).unwrap();
        let now = self.clock.read();
        self.steerer = Steerer::new(self.config, &now, Ratio::ZERO);
    }

    /// UTC of an earlier run, which ended 99 s of Dante time ago, after `change`.
    fn saved(&mut self, change: impl FnOnce(&mut SavedUtc)) {
        let (age, rate) = (S * 99, -self.line.rate);
        let mut saved = SavedUtc {
            leader: Default::default(),
            leader_rate: self.line.rate,
            dante: self.line.at0 - age,
            utc: START_UTC - age - age * rate,
            rate,
            rate_sigma: Ratio::from_ppb(10.0),
            bound: Duration::from_ms(1),
        };
        change(&mut saved);
        let now = self.clock.read();
        self.steerer = Steerer::new(self.config, &now, Ratio::ZERO).resuming(None, Some(saved));
    }

    /// Another program sets the frequency.
    fn other(&mut self, rate: f64) {
        self.clock.exact.clock.set_frequency(self.clock.exact.now, Ratio::from_ppm(rate));
    }
}

fn rate_only() -> Config {
    Config::default()
}

fn ntp() -> Config {
    with_policy(Policy::Step)
}

fn one_server() -> Config {
    Config { utc: UtcConfig::Ntp { servers: 1, shortest_interval: S * 16 }, ..ntp() }
}

fn with_policy(policy: Policy) -> Config {
    let utc = UtcConfig::Ntp { servers: 3, shortest_interval: S * 16 };
    Config { utc, rules: UtcRules { policy, ..rules() }, ..Config::default() }
}

fn by_leader() -> Config {
    Config { utc: UtcConfig::Leader, rules: rules(), ..Config::default() }
}

fn rules() -> UtcRules {
    UtcRules { earliest: START_UTC - S * 86_400, ..UtcRules::default() }
}

struct Row {
    name: &'static str,
    config: fn() -> Config,
    ppm: f64,
    happens: fn(&mut Bench),
    /// All sentences; a repeated one once.
    log: &'static str,
}

fn rows() -> Vec<Row> {
    let row = |name, happens, log| Row { name, config: rate_only, ppm: 12.0, happens, log };
    let with_ntp = |name, happens, log| Row { config: ntp, ..row(name, happens, log) };
    let with_one = |name, happens, log| Row { config: one_server, ..row(name, happens, log) };
    vec![
        row("dante4l never ran", |bench| (0..40).for_each(|_| bench.handle(Input::Page(None))), ""),
        row("dante4l has no leader", |bench| bench.runs_without(10, absent, PortState::Listening), ""),
        row(
            "a leader whose rate is not known",
            |bench| bench.runs_without(10, absent, PortState::Uncalibrated),
            "",
        ),
        row("a leader", |bench| bench.runs(10, absent), "Leader RateKnown"),
        row(
            "a leader whose rate becomes known slowly",
            |bench| {
                bench.sigma = Ratio::from_ppm(3.0);
                bench.runs(10, absent);
                bench.sigma = Ratio::from_ppb(50.0);
                bench.runs(10, absent);
            },
            "Leader RateKnown",
        ),
        row(
            "a leader in a pull-up domain",
            |bench| {
                bench.subdomain = Subdomain::ALT2;
                bench.runs(10, absent)
            },
            "",
        ),
        row(
            "the leader changes to a pull-up domain",
            |bench| {
                bench.runs(10, absent);
                bench.subdomain = Subdomain::ALT2;
                bench.runs(10, absent)
            },
            "Leader RateKnown PullUp",
        ),
        Row {
            ppm: 600.0,
            ..row("a leader that is too fast", |bench| bench.runs(10, absent), "Leader TooFast")
        },
        row(
            "a leader that becomes too fast",
            |bench| {
                bench.runs(10, absent);
                bench.line = Affine {
                    raw0: bench.clock.exact.now,
                    at0: bench.line.at(bench.clock.exact.now),
                    rate: Ratio::from_ppm(600.0),
                };
                bench.runs(10, absent)
            },
            "Leader RateKnown TooFast",
        ),
        row(
            "the leader is silent for 10 s",
            |bench| {
                bench.runs(10, absent);
                bench.runs_without(10, absent, PortState::Listening);
                bench.runs(10, absent);
            },
            "Leader RateKnown NoLeader RateKnown",
        ),
        row(
            "the leader's rate becomes uncertain",
            |bench| {
                bench.runs(10, absent);
                bench.sigma = Ratio::from_ppm(7.0);
                bench.runs(10, absent);
                bench.sigma = Ratio::from_ppb(50.0);
                bench.runs(10, absent)
            },
            "Leader RateKnown Uncertain RateKnown",
        ),
        row(
            "the leader is rebooted",
            |bench| {
                bench.runs(10, absent);
                bench.runs_without(2, absent, PortState::Uncalibrated);
                bench.key.number += 1;
                bench.line.at0 = bench.line.at0 - S * 500;
                bench.runs(10, absent);
            },
            "Leader RateKnown NoLeader EpochTimeline RateKnown",
        ),
        row(
            "another leader, at once",
            |bench| {
                bench.runs(10, absent);
                bench.key.number += 1;
                bench.line.at0 = bench.line.at0 - S * 500;
                bench.runs(10, absent);
            },
            "Leader RateKnown OtherTimeline EpochTimeline RateKnown",
        ),
        row(
            "Dante time moves by 2 ms",
            |bench| {
                bench.runs(10, absent);
                bench.line.at0 = bench.line.at0 + Duration::from_ms(2);
                bench.runs(10, absent);
            },
            "Leader RateKnown EpochMap",
        ),
        row(
            "dante4l is restarted",
            |bench| {
                bench.runs(10, absent);
                bench.key.instance += 1;
                bench.sigma = Ratio::from_ppm(3.0);
                bench.runs(2, absent);
                bench.sigma = Ratio::from_ppb(50.0);
                bench.runs(10, absent);
            },
            "Leader RateKnown OtherTimeline RateKnown",
        ),
        row(
            "dante4l is killed",
            |bench| {
                bench.runs(10, absent);
                bench.runs_as(10, absent, Bench::lose);
            },
            "Leader RateKnown Stale",
        ),
        row(
            "dante4l is stopped",
            |bench| {
                bench.runs(10, absent);
                bench.runs_as(10, absent, |bench| {
                    let page = bench.page(PortState::Slave, Freshness::Stopped);
                    bench.handle(Input::Page(Some(&page)));
                });
            },
            "Leader RateKnown Stopped",
        ),
        row(
            "dante4l's page is removed",
            |bench| {
                bench.runs(10, absent);
                bench.runs_as(10, absent, |bench| bench.handle(Input::Page(None)));
            },
            "Leader RateKnown NoPage",
        ),
        row(
            "this program ends",
            |bench| {
                bench.runs(10, absent);
                bench.handle(Input::End);
            },
            "Leader RateKnown Ending",
        ),
        row(
            "another program sets the frequency",
            |bench| {
                bench.runs(10, absent);
                bench.other(100.0);
                bench.runs(40, absent);
            },
            "Leader RateKnown Frequency Disturbed Taken Leader RateKnown",
        ),
        row(
            "another program sets the frequency again and again",
            |bench| {
                bench.runs(10, absent);
                for ppm in 0..10 {
                    bench.other(f64::from(ppm));
                    bench.runs(1, absent);
                }
            },
            "Leader RateKnown Frequency Disturbed",
        ),
        row(
            "another program sets the tick",
            |bench| {
                bench.runs(10, absent);
                bench.clock.tick = 10_001;
                bench.runs(40, absent);
            },
            "Leader RateKnown Tick Disturbed LeftoverTick Taken Leader RateKnown",
        ),
        row(
            "another program turns on the PLL",
            |bench| {
                bench.runs(10, absent);
                bench.clock.status = 1;
                bench.runs(40, absent);
            },
            "Leader RateKnown SelfSteering Disturbed LeftoverSelfSteering Taken Leader RateKnown",
        ),
        row(
            "another program slews",
            |bench| {
                bench.runs(10, absent);
                bench.clock.slewing = S;
                bench.runs(40, absent);
            },
            "Leader RateKnown Slew Disturbed LeftoverSlew Taken Leader RateKnown",
        ),
        row(
            "another program steps the clock and steers it",
            |bench| {
                bench.runs(10, absent);
                bench.clock.exact.step(S).unwrap();
                bench.other(100.0);
                bench.runs(40, absent);
            },
            "Leader RateKnown AdoptedSet Frequency Disturbed Taken Leader RateKnown",
        ),
        row(
            "another program steers before there is a leader",
            |bench| {
                bench.runs_without(10, absent, PortState::Listening);
                bench.other(100.0);
                bench.runs_without(40, absent, PortState::Listening);
            },
            "Frequency Disturbed Taken",
        ),
        row(
            "another program keeps the clock",
            |bench| {
                bench.runs(10, absent);
                bench.clock.in_use = true;
                bench.other(100.0);
                bench.runs(40, absent);
            },
            "Leader RateKnown Frequency Disturbed Failed",
        ),
        row(
            "the kernel refuses for 10 s",
            |bench| {
                bench.runs(10, absent);
                bench.clock.refuses = true;
                bench.runs(10, absent);
                bench.clock.refuses = false;
                bench.runs(10, absent);
            },
            "Leader RateKnown Failed Refused Failed Accepted Leader RateKnown",
        ),
        row(
            "the kernel refuses from the beginning",
            |bench| {
                bench.clock.refuses = true;
                bench.runs(10, absent);
            },
            "Leader RateKnown Failed Refused Failed",
        ),
        row(
            "set by hand",
            |bench| {
                bench.runs(10, absent);
                bench.clock.exact.step(S * 5).unwrap();
                bench.runs(10, absent);
            },
            "Leader RateKnown AdoptedSet",
        ),
        row(
            "suspended for an hour",
            |bench| {
                bench.runs(10, absent);
                bench.clock.suspended = bench.clock.suspended + S * 3_600;
                bench.clock.exact.step(S * 3_600).unwrap();
                bench.runs(10, absent);
            },
            "Leader RateKnown Slept AdoptedSlept",
        ),
        row(
            "a leap second",
            |bench| {
                bench.runs(10, absent);
                bench.clock.leap = KernelLeap::Passing;
                bench.clock.exact.step(-S).unwrap();
                bench.runs(1, absent);
                bench.clock.leap = KernelLeap::None;
                bench.runs(10, absent);
            },
            "Leader RateKnown LeapSecond AdoptedLeap",
        ),
        with_ntp(
            "servers agree with the clock",
            |bench| bench.runs(60, right),
            "Leader RateKnown Initialised Synchronised",
        ),
        with_ntp(
            "servers agree, the clock is off by 5 s",
            |bench| {
                bench.starts_off(S * 5);
                bench.runs(60, right);
            },
            "Leader RateKnown Step Synchronised",
        ),
        with_ntp(
            "servers agree, no leader",
            |bench| bench.runs_without(60, right, PortState::Listening),
            "Initialised Synchronised",
        ),
        with_ntp("no server answers", |bench| bench.runs(60, absent), "Leader RateKnown"),
        with_ntp(
            "one server of three answers",
            |bench| bench.runs(60, |server| (server == 0).then_some(Duration::ZERO)),
            "Leader RateKnown Initialised Synchronised",
        ),
        with_ntp(
            "one server of three is wrong",
            |bench| bench.runs(60, |server| Some(S * (i64::from(server == 0)) * 100)),
            "Leader RateKnown Initialised Synchronised",
        ),
        with_ntp(
            "all servers disagree",
            |bench| bench.runs(60, |server| Some(S * 100 * i64::try_from(server).unwrap())),
            "Leader RateKnown NoMajority",
        ),
        with_ntp(
            "all servers are before the build",
            |bench| bench.runs(60, |_| Some(-S * 1_000_000_000)),
            "Leader RateKnown Implausible",
        ),
        with_ntp(
            "one server of three smears a leap second",
            |bench| {
                bench.starts_off(SMEAR);
                bench.runs(60, |server| Some(SMEAR - Duration::from_ms(250) * i64::from(server == 2)));
            },
            "Leader RateKnown SmearOutvoted Initialised Synchronised SmearOutvoted",
        ),
        with_ntp(
            "one server of three smears a leap second, until it is over",
            |bench| {
                bench.starts_off(SMEAR);
                bench.runs(600, |_| Some(SMEAR));
                bench.runs(600, |server| Some(SMEAR - Duration::from_ms(250) * i64::from(server == 2)));
                bench.runs(600, |_| Some(SMEAR));
            },
            "Leader RateKnown Initialised Synchronised SmearOutvoted Step SmearOutvoted Step",
        ),
        with_ntp(
            "two servers of three smear a leap second in different ways",
            |bench| {
                bench.starts_off(SMEAR);
                bench
                    .runs(60, |server| Some(SMEAR - Duration::from_ms(250) * i64::try_from(server).unwrap()));
            },
            "Leader RateKnown Smear",
        ),
        with_ntp(
            "all servers smear a leap second alike",
            |bench| {
                bench.starts_off(SMEAR);
                bench.runs(60, |_| Some(SMEAR - Duration::from_ms(250)));
            },
            "Leader RateKnown Step Synchronised",
        ),
        with_ntp(
            "servers differ as by a smear, on another day",
            |bench| bench.runs(60, |server| Some(Duration::from_ms(250) * i64::try_from(server).unwrap())),
            "Leader RateKnown NoMajority",
        ),
        with_one("one server", |bench| bench.runs(60, right), "Leader RateKnown Initialised Synchronised"),
        with_one(
            "one server, no leader",
            |bench| bench.runs_without(60, right, PortState::Listening),
            "Initialised Synchronised",
        ),
        with_one("one server that does not answer", |bench| bench.runs(60, absent), "Leader RateKnown"),
        with_one(
            "one server that answers late",
            |bench| {
                bench.runs(600, absent);
                bench.runs(600, right);
            },
            "Leader RateKnown Initialised Synchronised Step",
        ),
        with_one(
            "one server, the clock is off by 5 s",
            |bench| {
                bench.starts_off(S * 5);
                bench.runs(60, right);
            },
            "Leader RateKnown Step Synchronised",
        ),
        with_one(
            "one server that goes away for ten minutes",
            |bench| {
                bench.runs(600, right);
                bench.runs(600, absent);
                bench.runs(600, right);
            },
            "Leader RateKnown Initialised Synchronised Step",
        ),
        with_one(
            "one server that is before the build",
            |bench| bench.runs(60, |_| Some(-S * 1_000_000_000)),
            "Leader RateKnown Implausible",
        ),
        with_one(
            "one server that jumps by 5 s",
            |bench| {
                bench.runs(600, right);
                bench.runs(4_000, |_| Some(S * 5));
            },
            "Leader RateKnown Initialised Synchronised Outlier Unsynchronised Outlier Step Outlier Restarted Step Synchronised Step",
        ),
        with_one(
            "one server that jumps by 5 s once",
            |bench| {
                bench.runs(600, right);
                bench.runs(20, |_| Some(S * 5));
                bench.runs(600, right);
            },
            "Leader RateKnown Initialised Synchronised Outlier Step",
        ),
        with_one(
            "one server that smears a leap second alone",
            |bench| {
                bench.starts_off(SMEAR);
                bench.runs(60, |_| Some(SMEAR - Duration::from_ms(250)));
            },
            "Leader RateKnown Step Synchronised",
        ),
        with_ntp(
            "UTC of the last run, the clock is right",
            |bench| {
                bench.saved(|_| ());
                bench.runs(60, absent);
            },
            "Leader RateKnown SavedUsed",
        ),
        with_ntp(
            "UTC of the last run, the clock is off by 1 s",
            |bench| {
                bench.saved(|saved| saved.utc = saved.utc + S);
                bench.runs(60, absent);
            },
            "Leader RateKnown SavedUsed Step",
        ),
        with_ntp(
            "UTC of the last run, and servers confirm it",
            |bench| {
                bench.saved(|saved| saved.utc = saved.utc + S);
                bench.runs(10, absent);
                bench.runs(100, |_| Some(S));
            },
            "Leader RateKnown SavedUsed Step Initialised Synchronised",
        ),
        with_ntp(
            "UTC of the last run, and servers contradict it",
            |bench| {
                bench.saved(|saved| saved.utc = saved.utc + S);
                bench.runs(10, absent);
                bench.runs(100, right);
            },
            "Leader RateKnown SavedUsed Step Synchronised",
        ),
        with_ntp(
            "UTC of the last run, and servers answer before the leader",
            |bench| {
                bench.saved(|saved| saved.utc = saved.utc + S);
                bench.runs_without(60, right, PortState::Listening);
                bench.runs(60, right);
            },
            "Initialised Synchronised Leader RateKnown",
        ),
        with_ntp(
            "UTC of the last run, and no leader",
            |bench| {
                bench.saved(|_| ());
                bench.runs_without(60, absent, PortState::Listening);
            },
            "",
        ),
        row(
            "UTC of the last run, and no source of UTC",
            |bench| {
                bench.saved(|_| ());
                bench.runs(60, absent);
            },
            "Leader RateKnown",
        ),
        with_ntp(
            "UTC of the last run of another leader",
            |bench| {
                bench.saved(|saved| saved.leader = ([1; 8], 1));
                bench.runs(60, absent);
            },
            "Leader RateKnown SavedOtherLeader",
        ),
        with_ntp(
            "UTC of the last run, the leader was rebooted",
            |bench| {
                bench.saved(|saved| saved.dante = saved.dante + S * 5_000);
                bench.runs(60, absent);
            },
            "Leader RateKnown SavedNotContinued",
        ),
        with_ntp(
            "UTC of the last run, the leader was rebooted and servers answer",
            |bench| {
                bench.saved(|saved| saved.dante = saved.dante + S * 5_000);
                bench.runs(5, absent);
                bench.runs(60, right);
            },
            "Leader RateKnown SavedNotContinued Initialised Synchronised",
        ),
        with_ntp(
            "UTC of the last run, the leader's rate has changed",
            |bench| {
                bench.saved(|saved| saved.leader_rate = Ratio::from_ppm(50.0));
                bench.runs(60, absent);
            },
            "Leader RateKnown SavedOtherRate",
        ),
        with_ntp(
            "UTC of the last run, its rate was not known well",
            |bench| {
                bench.saved(|saved| saved.rate_sigma = Ratio::from_ppm(2_000.0));
                bench.runs(60, absent);
            },
            "Leader RateKnown SavedUncertain",
        ),
        with_ntp(
            "UTC of the last run, of another half-year",
            |bench| {
                // Half a year ago.
                let age = S * 86_400 * 183;
                bench.line.at0 = bench.line.at0 + age;
                bench.saved(|saved| {
                    saved.dante = saved.dante - age;
                    saved.utc = saved.utc - age - age * saved.rate;
                });
                bench.runs(60, absent);
            },
            "Leader RateKnown SavedLeapPossible",
        ),
        with_ntp(
            "servers go away for a day",
            |bench| {
                bench.runs(60, right);
                bench.runs(86_400, absent);
                bench.runs(2_000, right);
            },
            "Leader RateKnown Initialised Synchronised Step Unsynchronised Step Synchronised Step",
        ),
        with_ntp(
            "servers and leader go away for a day",
            |bench| {
                bench.runs(60, right);
                bench.runs_without(86_400, absent, PortState::Listening);
            },
            "Leader RateKnown Initialised Synchronised NoLeader Step Unsynchronised",
        ),
        with_ntp(
            "servers jump by 5 s",
            |bench| {
                bench.runs(600, right);
                bench.runs(4_000, |_| Some(S * 5));
            },
            "Leader RateKnown Initialised Synchronised Outlier Unsynchronised Outlier Step Outlier Restarted Step Synchronised Step",
        ),
        with_ntp(
            "servers jump by 5 s once",
            |bench| {
                bench.runs(600, right);
                bench.runs(20, |_| Some(S * 5));
                bench.runs(600, right);
            },
            "Leader RateKnown Initialised Synchronised Outlier Step",
        ),
        with_ntp(
            "set by hand, and back",
            |bench| {
                bench.runs(600, right);
                bench.clock.exact.step(S * 5).unwrap();
                bench.runs(600, right);
                bench.clock.exact.step(-S * 5).unwrap();
                bench.runs(100, right);
            },
            "Leader RateKnown Initialised Synchronised AdoptedSet SetByHand Unsynchronised AdoptedSet Resumed Synchronised Step",
        ),
        with_ntp(
            "another program steps the clock and steers it, with UTC",
            |bench| {
                bench.runs(600, right);
                bench.clock.exact.step(S).unwrap();
                bench.other(100.0);
                bench.runs(600, right);
            },
            "Leader RateKnown Initialised Synchronised AdoptedSet Frequency Disturbed Taken Unsynchronised Leader RateKnown Step Synchronised",
        ),
        with_ntp(
            "suspended for an hour, with UTC",
            |bench| {
                bench.runs(600, right);
                bench.clock.suspended = bench.clock.suspended + S * 3_600;
                bench.clock.exact.step(S * 3_600).unwrap();
                bench.line.at0 = bench.line.at0 + S * 3_600;
                bench.runs(600, |_| Some(S * 3_600));
            },
            "Leader RateKnown Initialised Synchronised Slept AdoptedSlept Unsynchronised Initialised Synchronised Step",
        ),
        with_ntp(
            "the kernel refuses, with UTC",
            |bench| {
                bench.runs(600, right);
                bench.clock.refuses = true;
                bench.runs(100, right);
                bench.clock.refuses = false;
                bench.runs(100, right);
            },
            "Leader RateKnown Initialised Synchronised Failed Refused Failed Accepted Leader RateKnown",
        ),
        with_ntp(
            "the leader is rebooted, with UTC",
            |bench| {
                bench.runs(600, right);
                bench.runs_without(30, right, PortState::Listening);
                bench.key.number += 1;
                bench.line.at0 = bench.line.at0 - S * 500;
                bench.runs(100, right);
            },
            "Leader RateKnown Initialised Synchronised NoLeader EpochTimeline RateKnown",
        ),
        with_ntp(
            "set by hand to UTC",
            |bench| {
                bench.runs(600, right);
                bench.clock.exact.step(-Duration::from_ms(7)).unwrap();
                bench.runs(20, right);
            },
            "Leader RateKnown Initialised Synchronised AdoptedSet",
        ),
        with_ntp(
            "set by hand before UTC is known",
            |bench| {
                bench.runs(1, absent);
                bench.clock.exact.step(S * 5).unwrap();
                bench.runs(60, right);
            },
            "Leader RateKnown AdoptedSet Step Synchronised",
        ),
        with_ntp(
            "12 ppm for a day: steps",
            |bench| bench.runs(86_400, right),
            "Leader RateKnown Initialised Synchronised Step",
        ),
        Row {
            config: || with_policy(Policy::Slew),
            ..row(
                "12 ppm, more than the policy slew corrects",
                |bench| bench.runs(40_000, right),
                "Leader RateKnown Initialised Synchronised Drifts Unsynchronised Synchronised Unsynchronised",
            )
        },
        Row {
            config: || with_policy(Policy::Slew),
            ..row(
                "the leader's rate changes to what the policy slew corrects",
                |bench| {
                    bench.runs(40_000, right);
                    bench.line = Affine {
                        raw0: bench.clock.exact.now,
                        at0: bench.line.at(bench.clock.exact.now),
                        rate: Ratio::from_ppm(1.0),
                    };
                    bench.runs(40_000, right);
                },
                "Leader RateKnown Initialised Synchronised Drifts Unsynchronised Synchronised Unsynchronised Holds",
            )
        },
        Row {
            config: by_leader,
            ..row(
                "the leader's time is its uptime",
                |bench| bench.runs(60, absent),
                "Leader RateKnown LeaderIsUptime",
            )
        },
        Row {
            config: by_leader,
            ..row(
                "the leader's time is its uptime, and its rate becomes known slowly",
                |bench| {
                    bench.sigma = Ratio::from_ppm(3.0);
                    bench.runs(10, absent);
                    bench.sigma = Ratio::from_ppm(1.0);
                    bench.runs(30, absent);
                    bench.sigma = Ratio::from_ppb(50.0);
                    bench.runs(60, absent);
                },
                "Leader RateKnown LeaderIsUptime",
            )
        },
        Row {
            config: by_leader,
            ..row(
                "the leader's time is its uptime, and it is rebooted",
                |bench| {
                    bench.runs(60, absent);
                    bench.runs_without(30, absent, PortState::Listening);
                    bench.key.number += 1;
                    bench.line.at0 = bench.line.at0 - S * 500;
                    bench.runs(60, absent);
                },
                "Leader RateKnown LeaderIsUptime NoLeader EpochTimeline RateKnown LeaderIsUptime",
            )
        },
        Row {
            config: by_leader,
            ..row(
                "the leader's time is its uptime, and the next leader sends UTC",
                |bench| {
                    bench.runs(60, absent);
                    bench.key.number += 1;
                    bench.line.at0 = Timestamp::from_ns(START_UTC.ns());
                    bench.runs(60, absent);
                },
                "Leader RateKnown LeaderIsUptime OtherTimeline EpochTimeline RateKnown Initialised Synchronised",
            )
        },
        Row {
            config: by_leader,
            ppm: 600.0,
            ..row(
                "the leader's time is its uptime, and it is too fast",
                |bench| bench.runs(60, absent),
                "Leader TooFast",
            )
        },
        Row {
            config: by_leader,
            ..row(
                "the leader's time is its uptime, in a pull-up domain",
                |bench| {
                    bench.subdomain = Subdomain::ALT2;
                    bench.runs(60, absent);
                },
                "",
            )
        },
        Row {
            config: by_leader,
            ..row(
                "UTC from the leader, and no leader",
                |bench| bench.runs_without(60, absent, PortState::Listening),
                "",
            )
        },
        Row {
            config: by_leader,
            ..row(
                "the leader's time is its uptime, and another program steers the clock",
                |bench| {
                    bench.runs(60, absent);
                    bench.other(100.0);
                    bench.runs(60, absent);
                },
                "Leader RateKnown LeaderIsUptime Frequency Disturbed Taken Leader RateKnown",
            )
        },
        Row {
            config: by_leader,
            ..row(
                "the leader sends UTC",
                |bench| {
                    bench.line.at0 = Timestamp::from_ns(START_UTC.ns());
                    bench.runs(60, absent);
                },
                "Leader RateKnown Initialised Synchronised",
            )
        },
    ]
}

#[test]
fn each_event_is_reported_by_its_cause_and_by_nothing_else() {
    let mut wrong = Vec::new();
    for one in rows() {
        let mut bench = Bench::with((one.config)(), one.ppm);
        (one.happens)(&mut bench);
        // dante2sys limits how often it logs the same.
        bench.log.dedup();
        let log = bench.log.join(" ");
        if log != one.log {
            wrong.push(format!("{}: {log:?}", one.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A new kind needs a row.
#[test]
fn every_sentence_has_a_row() {
    let _ = checked;
    let rows = rows();
    let logged: Vec<&str> = rows.iter().flat_map(|row| row.log.split_whitespace()).collect();
    let losses = Loss::ALL.iter().map(|loss| format!("{loss:?}"));
    for name in losses.chain(NAMES.iter().map(|name| (*name).to_owned())) {
        assert!(logged.contains(&name.as_str()), "{name} has no row");
    }
}
