//! Each sentence of danteshm against its neighbours: what happens, all sentences that follow, and what it waits for in the end.

use super::*;
use crate::timescale::Replaced;

/// The names of the sentences of these outputs.
fn names(outputs: &[Output]) -> Vec<String> {
    let variant = |value: &dyn std::fmt::Debug| {
        let text = format!("{value:?}");
        text.split(['(', ' ']).next().unwrap_or_default().to_owned()
    };
    let name = |output: &Output| match output {
        Output::Write(_) | Output::Withdraw | Output::Overlay(_) => None,
        Output::Stopped(loss) => Some(variant(loss)),
        Output::Fixed(fixed) => Some(format!("By{}", variant(&fixed.source))),
        Output::NoUtc(kernel) => Some(match kernel {
            None => "NoUtcUnknown".into(),
            Some(kernel) => format!("NoUtc{}", variant(kernel)),
        }),
        Output::Paused(why) => Some(variant(why)),
        Output::Epoch(change) => Some(format!("Epoch{}", variant(&change.replaced))),
        Output::Feeding | Output::Slept(_) => Some(variant(output)),
    };
    outputs.iter().filter_map(name).collect()
}

impl Bench {
    /// This many Syncs, with the port in this state.
    fn takes(&mut self, log: &mut Vec<String>, syncs: usize, state: PortState) {
        for _ in 0..syncs {
            self.measure(state);
            let outputs = self.read();
            log.extend(names(&outputs));
        }
    }

    /// danteshm ends and is started again.
    fn starts_again(&mut self) {
        let published = self.relay.page().published_epoch();
        let sent = self.leader.sent;
        *self = Self::unread(NOW, published);
        self.leader.sent = sent;
        _ = self.read();
    }

    fn loses(&mut self, log: &mut Vec<String>, change: Change<Dante4l>) {
        let mut view = self.dante4l.clone();
        change(&mut view);
        let outputs = self.read_page(Some(&view));
        log.extend(names(&outputs));
    }
}

struct Row {
    name: &'static str,
    config: Config,
    happens: fn(&mut Bench, &mut Vec<String>),
    log: &'static str,
    waiting: Waiting,
}

/// Syncs of an output pause.
const PAUSE: usize = 17;

fn rows() -> Vec<Row> {
    use PortState::{Listening, Slave, Uncalibrated};
    let row = |name, happens, log, waiting| Row { name, config: NOW, happens, log, waiting };
    let waits =
        |name, happens, log, waiting| Row { config: SYNCHRONISED, ..row(name, happens, log, waiting) };
    vec![
        row("dante4l never ran", |bench, log| log.extend(names(&bench.read_page(None))), "", Waiting::Leader),
        row("no leader", |bench, log| bench.takes(log, 4, Listening), "", Waiting::Leader),
        row(
            "a leader whose rate is not known",
            |bench, log| bench.takes(log, 4, Uncalibrated),
            "",
            Waiting::Leader,
        ),
        row(
            "a leader",
            |bench, log| bench.takes(log, 4, Slave),
            "ByUnsynchronised Feeding",
            Waiting::Nothing,
        ),
        row(
            "a leader, dante2sys runs",
            |bench, log| {
                bench.steered(Duration::from_ms(7));
                bench.takes(log, 4, Slave);
            },
            "ByDante2sys Feeding",
            Waiting::Nothing,
        ),
        row(
            "the leader is silent",
            |bench, log| {
                bench.takes(log, 4, Slave);
                bench.takes(log, 4, Listening);
            },
            "ByUnsynchronised Feeding NoLeader",
            Waiting::Leader,
        ),
        row(
            "the leader is silent, and returns",
            |bench, log| {
                bench.takes(log, 4, Slave);
                bench.takes(log, 4, Listening);
                bench.takes(log, 4, Slave);
            },
            "ByUnsynchronised Feeding NoLeader Feeding",
            Waiting::Nothing,
        ),
        row(
            "dante4l is stopped",
            |bench, log| {
                bench.takes(log, 4, Slave);
                bench.loses(log, |view| view.freshness = Freshness::Stopped);
            },
            "ByUnsynchronised Feeding Stopped",
            Waiting::Leader,
        ),
        row(
            "dante4l is killed",
            |bench, log| {
                bench.takes(log, 4, Slave);
                bench.loses(log, |view| view.freshness = Freshness::Stale);
            },
            "ByUnsynchronised Feeding Stale",
            Waiting::Leader,
        ),
        row(
            "dante4l's page is removed",
            |bench, log| {
                bench.takes(log, 4, Slave);
                log.extend(names(&bench.read_page(None)));
            },
            "ByUnsynchronised Feeding NoPage",
            Waiting::Leader,
        ),
        row(
            "this program ends",
            |bench, log| {
                bench.takes(log, 4, Slave);
                log.extend(names(&bench.handle(Input::End)));
            },
            "ByUnsynchronised Feeding Ending",
            Waiting::Leader,
        ),
        row(
            "the leader is rebooted",
            |bench, log| {
                bench.takes(log, 4, Slave);
                bench.leader.key.number += 1;
                bench.leader.line.at0 = bench.leader.line.at0 - Duration::from_secs(500);
                bench.takes(log, 4, Slave);
            },
            "ByUnsynchronised Feeding EpochTimeline",
            Waiting::Nothing,
        ),
        row(
            "the leader is rebooted after a day",
            |bench, log| {
                bench.takes(log, 4, Slave);
                bench.takes(log, 1, Listening);
                bench.leader.sent += 4 * 86_400;
                bench.leader.key.number += 1;
                bench.leader.line.at0 = bench.leader.line.at0 - Duration::from_secs(500);
                bench.takes(log, 4, Slave);
            },
            "ByUnsynchronised Feeding NoLeader EpochTimeline Feeding",
            Waiting::Nothing,
        ),
        row(
            "the leader is rebooted after a year",
            |bench, log| {
                bench.takes(log, 4, Slave);
                bench.takes(log, 1, Listening);
                bench.leader.sent += 4 * 365 * 86_400;
                bench.leader.key.number += 1;
                bench.leader.line.at0 = bench.leader.line.at0 - Duration::from_secs(500);
                bench.takes(log, 4, Slave);
            },
            "ByUnsynchronised Feeding NoLeader Uncertain",
            Waiting::Pause,
        ),
        row(
            "the path delay grows by 10 ms",
            |bench, log| {
                bench.takes(log, 4, Slave);
                bench.dante4l.body.flags |= CLOCK_HAS_PATH_DELAY;
                bench.dante4l.body.path_delay_ns = 10_000_000;
                bench.takes(log, 4, Slave);
            },
            "ByUnsynchronised Feeding Jump",
            Waiting::Pause,
        ),
        row(
            "started again after the leader was rebooted",
            |bench, log| {
                bench.takes(log, 4, Slave);
                bench.starts_again();
                bench.leader.key.number += 1;
                bench.leader.line.at0 = bench.leader.line.at0 - Duration::from_secs(500);
                bench.takes(log, 4, Slave);
            },
            "ByUnsynchronised Feeding Forgotten",
            Waiting::Pause,
        ),
        row(
            "started again",
            |bench, log| {
                bench.takes(log, 4, Slave);
                bench.starts_again();
                bench.takes(log, 4, Slave);
            },
            "ByUnsynchronised Feeding ByUnsynchronised Feeding",
            Waiting::Nothing,
        ),
        row(
            "the system clock is stepped",
            |bench, log| {
                bench.takes(log, 4, Slave);
                bench.leader.stepped = Duration::from_secs(1);
                bench.takes(log, 4, Slave);
            },
            "ByUnsynchronised Feeding Stepped",
            Waiting::Pause,
        ),
        row(
            "the system clock is stepped, after the pause",
            |bench, log| {
                bench.takes(log, 4, Slave);
                bench.leader.stepped = Duration::from_secs(1);
                bench.takes(log, 4 + PAUSE, Slave);
            },
            "ByUnsynchronised Feeding Stepped ByUnsynchronised Feeding",
            Waiting::Nothing,
        ),
        row(
            "suspended",
            |bench, log| {
                bench.takes(log, 4, Slave);
                bench.suspended = bench.suspended + Duration::from_secs(60);
                bench.leader.stepped = Duration::from_secs(60);
                bench.takes(log, 4, Slave);
            },
            "ByUnsynchronised Feeding Slept Stepped",
            Waiting::Pause,
        ),
        row(
            "Dante time moves by 2 ms",
            |bench, log| {
                bench.takes(log, 4, Slave);
                bench.leader.line.at0 = bench.leader.line.at0 + Duration::from_ms(2);
                bench.takes(log, 4, Slave);
            },
            "ByUnsynchronised Feeding EpochMap",
            Waiting::Nothing,
        ),
        waits(
            "the system clock is not synchronised",
            |bench, log| {
                bench.dante4l.body.set_kernel_sync(Some(KernelSync::Unsynchronised));
                bench.takes(log, 4, Slave);
            },
            "NoUtcUnsynchronised",
            Waiting::Utc,
        ),
        waits(
            "dante4l cannot read whether it is",
            |bench, log| bench.takes(log, 4, Slave),
            "NoUtcUnknown",
            Waiting::Utc,
        ),
        waits(
            "the system clock is not synchronised, and the leader is silent",
            |bench, log| {
                bench.dante4l.body.set_kernel_sync(Some(KernelSync::Unsynchronised));
                bench.takes(log, 4, Slave);
                bench.takes(log, 4, Listening);
            },
            "NoUtcUnsynchronised",
            Waiting::Leader,
        ),
        waits(
            "the system clock becomes synchronised",
            |bench, log| {
                bench.dante4l.body.set_kernel_sync(Some(KernelSync::Unsynchronised));
                bench.takes(log, 4, Slave);
                bench.dante4l.body.set_kernel_sync(Some(KernelSync::Synchronised(Duration::from_ms(5))));
                bench.takes(log, 4, Slave);
            },
            "NoUtcUnsynchronised ByClock Feeding",
            Waiting::Nothing,
        ),
        waits(
            "the system clock is stepped while it is not synchronised",
            |bench, log| {
                bench.dante4l.body.set_kernel_sync(Some(KernelSync::Unsynchronised));
                bench.takes(log, 4, Slave);
                bench.leader.stepped = Duration::from_secs(1);
                bench.takes(log, 4, Slave);
            },
            "NoUtcUnsynchronised Stepped",
            Waiting::Pause,
        ),
    ]
}

#[test]
fn each_event_is_reported_by_its_cause_and_by_nothing_else() {
    let mut wrong = Vec::new();
    for one in rows() {
        let mut bench = Bench::new(one.config);
        let mut log = Vec::new();
        (one.happens)(&mut bench, &mut log);
        let log = log.join(" ");
        if (log.as_str(), bench.relay.waiting()) != (one.log, one.waiting) {
            wrong.push(format!("{}: {log:?}, {:?}", one.name, bench.relay.waiting()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A new kind needs a row.
#[test]
fn every_sentence_has_a_row() {
    let why = |reason: PauseReason| match reason {
        PauseReason::Stepped(_)
        | PauseReason::Jump(_)
        | PauseReason::Uncertain(_)
        | PauseReason::Forgotten => {}
    };
    why(PauseReason::Forgotten);
    let replaced = |replaced: Replaced| match replaced {
        Replaced::Timeline | Replaced::Map(_) => {}
    };
    replaced(Replaced::Timeline);
    let kernel = |kernel: KernelSync| match kernel {
        KernelSync::Synchronised(_) | KernelSync::Unsynchronised => {}
    };
    kernel(KernelSync::Unsynchronised);
    let rows = rows();
    let logged: Vec<&str> = rows.iter().flat_map(|row| row.log.split_whitespace()).collect();
    // What dante2sys alone does not follow.
    let losses = Loss::ALL.iter().filter(|loss| !matches!(loss, Loss::PullUp | Loss::TooFast));
    let sources = EpochSource::ALL.iter().map(|source| format!("By{source:?}"));
    let others =
        ["Feeding", "EpochTimeline", "EpochMap", "Slept", "Stepped", "Jump", "Uncertain", "Forgotten"];
    let others = others.into_iter().chain(["NoUtcUnknown", "NoUtcUnsynchronised"]);
    let names = losses.map(|loss| format!("{loss:?}")).chain(sources).chain(others.map(str::to_owned));
    for name in names {
        assert!(logged.contains(&name.as_str()), "{name} has no row");
    }
    for waiting in Waiting::ALL {
        assert!(rows.iter().any(|row| row.waiting == waiting), "{waiting:?} has no row");
    }
}
