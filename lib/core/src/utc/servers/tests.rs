use super::*;
use crate::utc::Leap;
use proptest::prelude::*;

const UTC: i64 = 1_795_000_000_000_000_000;

/// Servers that answer after 20 ms what `say` makes of the server and the number of its question.
struct Bench {
    servers: Servers,
    now: Timestamp<Raw>,
    asked: Vec<(Timestamp<Raw>, usize)>,
    rounds: Vec<(Timestamp<Raw>, Result<UtcMeasurement, NoMeasurement>)>,
}

fn s(s: i64) -> Duration {
    Duration::from_secs(s)
}

fn ms(ms: i64) -> Duration {
    Duration::from_ms(ms)
}

fn time(raw: Timestamp<Raw>, ahead: Duration, round_trip: Duration) -> Answer {
    let utc = Timestamp::from_ns(UTC + raw.ns()) + ahead;
    Answer::Time(Exchange { raw, utc, round_trip, leap: Leap::None })
}

impl Bench {
    fn new(count: usize) -> Self {
        let now = Timestamp::from_ns(5_000_000_000);
        Self { servers: Servers::new(count, now), now, asked: Vec::new(), rounds: Vec::new() }
    }

    /// So many servers, and so many rounds.
    fn after(servers: usize, rounds: usize, say: impl FnMut(usize, Timestamp<Raw>) -> Answer) -> Self {
        let mut bench = Self::new(servers);
        bench.rounds(rounds, say);
        bench
    }

    fn handle(&mut self, input: Input) -> Vec<usize> {
        self.servers.handle(self.now, input);
        let mut asks = Vec::new();
        while let Some(output) = self.servers.poll() {
            match output {
                Output::Ask(server) => {
                    self.asked.push((self.now, server));
                    asks.push(server);
                }
                Output::Round(result) => self.rounds.push((self.now, result)),
            }
        }
        asks
    }

    /// Until so many rounds are over.
    fn rounds(&mut self, count: usize, mut say: impl FnMut(usize, Timestamp<Raw>) -> Answer) {
        while self.rounds.len() < count {
            self.now = self.servers.deadline().expect("nothing is open").max(self.now);
            let mut open = self.handle(Input::Deadline);
            self.now = self.now + ms(20);
            while let Some(server) = open.pop() {
                let answer = say(server, self.now - ms(10));
                open.extend(self.handle(Input::Answer { server, answer }));
            }
        }
    }

    fn last(&self) -> Result<UtcMeasurement, NoMeasurement> {
        self.rounds.last().unwrap().1
    }
}

fn honest(_: usize, raw: Timestamp<Raw>) -> Answer {
    time(raw, Duration::ZERO, ms(20))
}

#[test]
fn four_short_rounds_open_and_bursts_of_four_follow() {
    let bench = Bench::after(1, 6, honest);
    let apart: Vec<_> = bench.asked.windows(2).map(|two| (two[1].0 - two[0].0).ms()).collect();
    let opening = [2020, 4020, 2020, 4020, 2020, 4020, 2020];
    let burst = [2020, 2020, 2020];
    let expected: Vec<_> = [&opening[..], &[16_020], &burst, &[16_020], &burst].concat();
    assert_eq!(apart, expected);
}

#[test]
fn the_shortest_round_trip_counts() {
    let mut bench = Bench::after(1, 4, honest);
    let mut ways = [30, 12, 50, 13].into_iter();
    bench.rounds(5, |_, raw| {
        let way = ways.next().unwrap();
        time(raw, ms(way), ms(way))
    });
    let measurement = bench.last().unwrap();
    assert_eq!((measurement.margin, measurement.utc.ns() - UTC - measurement.raw.ns()), (ms(6), 12_000_000));
}

#[test]
fn a_round_trip_below_nothing_is_none() {
    let bench = Bench::after(1, 1, |_, raw| time(raw, ms(-3), ms(-15)));
    assert_eq!(bench.last().unwrap().margin, Duration::ZERO);
}

#[test]
fn a_liar_is_outvoted_and_two_who_disagree_tell_nothing() {
    let liar = |server, raw| if server == 1 { time(raw, s(1), ms(1)) } else { honest(server, raw) };
    let bench = Bench::after(3, 3, liar);
    let measurement = bench.last().unwrap();
    assert_eq!((measurement.agreeing, measurement.answered, measurement.margin), (2, 3, ms(10)));
    assert!((measurement.utc.ns() - UTC - measurement.raw.ns()).abs() < 1_000);
    let bench = Bench::after(2, 6, liar);
    assert!(bench.rounds.iter().all(|(_, result)| *result == Err(NoMeasurement::NoMajority(2))));
    let bench = Bench::after(1, 1, |_, raw| time(raw, s(77), ms(20)));
    assert_eq!(bench.last().unwrap().agreeing, 1, "one alone is believed");
}

#[test]
fn where_nobody_answers_it_is_tried_again_within_64_s() {
    let mut bench = Bench::after(2, 4, honest);
    bench.servers.set_interval(s(1024));
    bench.rounds(9, |_, _| Answer::Nothing);
    assert_eq!(bench.last(), Err(NoMeasurement::NoAnswer));
    for two in bench.rounds[4..].windows(2) {
        assert!(two[1].0 - two[0].0 < s(73), "{two:?}");
    }
}

#[test]
fn a_server_that_complains_is_asked_once_and_half_as_often() {
    let mut bench = Bench::after(1, 4, honest);
    bench.asked.clear();
    bench.rounds(11, |_, _| Answer::SlowDown);
    let apart: Vec<_> = bench.asked.windows(2).map(|two| (two[1].0 - two[0].0).ms() / 1000).collect();
    assert_eq!(apart, [64, 128, 256, 512, 1024, 1024], "one question each, and no round without any");
    bench.asked.clear();
    bench.rounds(14, honest);
    assert_eq!(bench.asked.len(), 3, "no burst any more");
    let asked = bench.asked.len();
    bench.handle(Input::Restart);
    assert_eq!(bench.asked.len(), asked, "nor in a hurry");
}

#[test]
fn a_server_that_denied_twice_is_left_alone_for_a_day() {
    let bench =
        Bench::after(2, 30, |server, raw| if server == 0 { Answer::Denied } else { honest(server, raw) });
    assert_eq!(bench.asked.iter().filter(|(_, server)| *server == 0).count(), 2);
    let bench = Bench::after(1, 8, |_, _| Answer::Denied);
    let apart: Vec<_> = bench.asked.windows(2).map(|two| (two[1].0 - two[0].0).ms() / 1000).collect();
    assert_eq!(apart[..3], [64, 86_400, 86_400]);
}

#[test]
fn a_question_that_nobody_answers_at_all_is_given_up() {
    let mut servers = Servers::new(1, Timestamp::ZERO);
    servers.handle(Timestamp::ZERO, Input::Deadline);
    assert_eq!(servers.poll(), Some(Output::Ask(0)));
    assert_eq!(servers.deadline(), Some(Timestamp::ZERO + PATIENCE));
    servers.handle(Timestamp::ZERO + PATIENCE, Input::Deadline);
    let again = servers.deadline().unwrap();
    servers.handle(again, Input::Deadline);
    assert_eq!(servers.poll(), Some(Output::Ask(0)));
}

#[test]
fn what_was_told_before_a_sleep_is_void() {
    let mut servers = Servers::new(1, Timestamp::ZERO);
    servers.handle(Timestamp::ZERO, Input::Deadline);
    assert_eq!(servers.poll(), Some(Output::Ask(0)));
    // The question was on its way when the host fell asleep.
    servers.handle(Timestamp::ZERO + s(1), Input::Restart);
    let answer = time(Timestamp::ZERO, ms(1), ms(1));
    servers.handle(Timestamp::ZERO + s(1), Input::Answer { server: 0, answer });
    assert_eq!(servers.poll(), Some(Output::Round(Err(NoMeasurement::NoAnswer))));
}

#[test]
fn in_a_hurry_it_begins_anew_without_a_flood() {
    let mut bench = Bench::after(1, 5, honest);
    bench.servers.set_interval(s(1024));
    bench.asked.clear();
    let begin = bench.now;
    bench.handle(Input::Restart);
    bench.rounds(9, honest);
    assert!(bench.asked[0].0 - begin <= SPACING && bench.now - begin < s(30), "{:?}", bench.asked);
    assert_eq!(bench.asked.len(), 8, "four short rounds");
    assert!(bench.asked.windows(2).all(|two| two[1].0 - two[0].0 >= SPACING));
}

#[test]
fn the_interval_stays_within_its_bounds() {
    let mut servers = Servers::new(1, Timestamp::ZERO);
    for (wanted, held) in [(1, 16), (100, 100), (5000, 1024), (-3, 16)] {
        servers.set_interval(s(wanted));
        assert_eq!(servers.interval(), s(held));
    }
    let mut eager = Servers::new(1, Timestamp::ZERO).with_shortest_interval(s(8));
    assert_eq!(eager.interval(), s(8));
    eager.set_interval(s(4));
    assert_eq!(eager.interval(), s(8));
    let greedy = Servers::new(1, Timestamp::ZERO).with_shortest_interval(s(1));
    assert_eq!(greedy.interval(), OPENING.interval);
}

#[test]
fn the_majority_announces_a_leap_second() {
    let say = |leaps: [Leap; 3]| {
        let bench = Bench::after(3, 1, |server, raw| match honest(server, raw) {
            Answer::Time(exchange) => Answer::Time(Exchange { leap: leaps[server], ..exchange }),
            other => other,
        });
        bench.last().unwrap().leap
    };
    assert_eq!(say([Leap::Insert, Leap::None, Leap::Insert]), Leap::Insert);
    assert_eq!(say([Leap::Delete, Leap::Delete, Leap::Insert]), Leap::Delete);
    assert_eq!(say([Leap::Insert, Leap::None, Leap::None]), Leap::None);
}

#[test]
fn answers_that_nobody_asked_for_are_ignored() {
    let mut bench = Bench::new(1);
    for server in [0, 1, 7, 8, usize::MAX] {
        bench.servers.handle(bench.now - s(1), Input::Answer { server, answer: Answer::Denied });
    }
    bench.rounds(1, honest);
    assert!(bench.last().is_ok());
}

proptest! {
    #[test]
    fn it_never_stalls_and_never_asks_twice(
        count in 0_usize..10,
        moves in prop::collection::vec((0_u8..9, 0_usize..10, 0_i64..3_000), 1..300),
    ) {
        let mut servers = Servers::new(count, Timestamp::ZERO);
        let mut now = Timestamp::ZERO;
        let mut open: [Option<Timestamp<Raw>>; 12] = [None; 12];
        for (kind, server, wait) in moves {
            let input = match kind {
                0 => Input::Restart,
                1..=3 => {
                    now = servers.deadline().map_or(now + ms(wait), |due| due.max(now));
                    Input::Deadline
                }
                _ => {
                    now = now + ms(wait);
                    open[server] = None;
                    let answer = match kind {
                        4 => Answer::SlowDown,
                        5 if wait > 2_900 => Answer::Denied,
                        6 => Answer::Nothing,
                        _ => time(now, Duration::from_us(wait * wait), Duration::from_us(wait)),
                    };
                    Input::Answer { server, answer }
                }
            };
            servers.handle(now, input);
            // A question that was open for too long is given up, and another may be asked.
            for at in &mut open {
                *at = at.filter(|at| now - *at < PATIENCE);
            }
            while let Some(output) = servers.poll() {
                if let Output::Ask(server) = output {
                    prop_assert!(server < count.min(MAX_SERVERS) && open[server].is_none());
                    open[server] = Some(now);
                }
            }
            prop_assert!(servers.deadline().is_some() || count == 0);
        }
    }
}
