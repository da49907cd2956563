use super::*;
use crate::time::TEST_UTC_NS as UTC;
use crate::utc::{Leap, ServerClock};
use proptest::prelude::*;

/// Servers that reply after 20 ms with what the test makes of the server's index and the instant of the request.
struct Bench {
    servers: Servers,
    now: Timestamp<Raw>,
    requests: Vec<(Timestamp<Raw>, usize)>,
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
    Answer::Time(Exchange { raw, utc, round_trip, leap: Leap::None, server: ServerClock::default() })
}

impl Bench {
    fn new(count: usize) -> Self {
        let now = Timestamp::from_ns(5_000_000_000);
        Self { servers: Servers::new(count, now), now, requests: Vec::new(), rounds: Vec::new() }
    }

    /// A bench with this many servers, after this many rounds.
    fn after(servers: usize, rounds: usize, reply: impl FnMut(usize, Timestamp<Raw>) -> Answer) -> Self {
        let mut bench = Self::new(servers);
        bench.rounds(rounds, reply);
        bench
    }

    fn handle(&mut self, input: Input) -> Vec<usize> {
        self.servers.handle(self.now, input);
        let mut sent = Vec::new();
        while let Some(output) = self.servers.poll() {
            match output {
                Output::Ask(server) => {
                    self.requests.push((self.now, server));
                    sent.push(server);
                }
                Output::Round(result) => self.rounds.push((self.now, result)),
            }
        }
        sent
    }

    /// Runs until this many rounds have ended.
    fn rounds(&mut self, count: usize, mut reply: impl FnMut(usize, Timestamp<Raw>) -> Answer) {
        while self.rounds.len() < count {
            self.now = self.servers.deadline().expect("no request is pending").max(self.now);
            let mut open = self.handle(Input::Deadline);
            self.now = self.now + ms(20);
            while let Some(server) = open.pop() {
                let answer = reply(server, self.now - ms(10));
                open.extend(self.handle(Input::Answer { server, answer }));
            }
        }
    }

    fn last(&self) -> Result<UtcMeasurement, NoMeasurement> {
        self.rounds.last().unwrap().1
    }
}

fn right(_: usize, raw: Timestamp<Raw>) -> Answer {
    time(raw, Duration::ZERO, ms(20))
}

#[test]
fn startup_rounds_are_short_and_later_rounds_are_bursts_of_four() {
    let bench = Bench::after(1, 6, right);
    let apart: Vec<_> = bench.requests.windows(2).map(|two| (two[1].0 - two[0].0).ms()).collect();
    let opening = [2020, 4020, 2020, 4020, 2020, 4020, 2020];
    let burst = [2020, 2020, 2020];
    let expected: Vec<_> = [&opening[..], &[16_020], &burst, &[16_020], &burst].concat();
    assert_eq!(apart, expected);
}

#[test]
fn reply_with_shortest_round_trip_counts() {
    let mut bench = Bench::after(1, 4, right);
    let mut ways = [30, 12, 50, 13].into_iter();
    bench.rounds(5, |_, raw| {
        let way = ways.next().unwrap();
        time(raw, ms(way), ms(way))
    });
    let measurement = bench.last().unwrap();
    assert_eq!((measurement.margin, measurement.utc.ns() - UTC - measurement.raw.ns()), (ms(6), 12_000_000));
}

#[test]
fn negative_round_trip_counts_as_zero() {
    let bench = Bench::after(1, 1, |_, raw| time(raw, ms(-3), ms(-15)));
    assert_eq!(bench.last().unwrap().margin, Duration::ZERO);
}

#[test]
fn wrong_server_is_outvoted_and_two_that_disagree_give_no_result() {
    let one_wrong = |server, raw| if server == 1 { time(raw, s(1), ms(1)) } else { right(server, raw) };
    let bench = Bench::after(3, 3, one_wrong);
    let measurement = bench.last().unwrap();
    assert_eq!((measurement.agreeing, measurement.answered, measurement.margin), (2, 3, ms(10)));
    assert!((measurement.utc.ns() - UTC - measurement.raw.ns()).abs() < 1_000);
    let bench = Bench::after(2, 6, one_wrong);
    assert!(bench.rounds.iter().all(|(_, result)| *result == Err(NoMeasurement::NoMajority(2))));
    let bench = Bench::after(1, 1, |_, raw| time(raw, s(77), ms(20)));
    assert_eq!(bench.last().unwrap().agreeing, 1, "a single server is accepted");
}

#[test]
fn round_without_replies_is_retried_within_64_s() {
    let mut bench = Bench::after(2, 4, right);
    bench.servers.set_interval(s(1024));
    bench.rounds(9, |_, _| Answer::Nothing);
    assert_eq!(bench.last(), Err(NoMeasurement::NoAnswer));
    for two in bench.rounds[4..].windows(2) {
        assert!(two[1].0 - two[0].0 < s(73), "{two:?}");
    }
}

#[test]
fn server_that_sends_rate_gets_one_request_half_as_often() {
    let mut bench = Bench::after(1, 4, right);
    bench.requests.clear();
    bench.rounds(11, |_, _| Answer::SlowDown);
    let apart: Vec<_> = bench.requests.windows(2).map(|two| (two[1].0 - two[0].0).ms() / 1000).collect();
    assert_eq!(apart, [64, 128, 256, 512, 1024, 1024], "one request per round, and no round without one");
    bench.requests.clear();
    bench.rounds(14, right);
    assert_eq!(bench.requests.len(), 3, "no more bursts");
    let sent = bench.requests.len();
    bench.handle(Input::Restart);
    assert_eq!(bench.requests.len(), sent, "not even after a restart");
}

#[test]
fn server_that_denied_twice_gets_no_request_for_a_day() {
    let bench =
        Bench::after(2, 30, |server, raw| if server == 0 { Answer::Denied } else { right(server, raw) });
    assert_eq!(bench.requests.iter().filter(|(_, server)| *server == 0).count(), 2);
    let bench = Bench::after(1, 8, |_, _| Answer::Denied);
    let apart: Vec<_> = bench.requests.windows(2).map(|two| (two[1].0 - two[0].0).ms() / 1000).collect();
    assert_eq!(apart[..3], [64, 86_400, 86_400]);
}

#[test]
fn request_without_a_result_is_given_up() {
    let mut servers = Servers::new(1, Timestamp::ZERO);
    servers.handle(Timestamp::ZERO, Input::Deadline);
    assert_eq!(servers.poll(), Some(Output::Ask(0)));
    assert_eq!(servers.deadline(), Some(Timestamp::ZERO + REPLY_WAIT));
    servers.handle(Timestamp::ZERO + REPLY_WAIT, Input::Deadline);
    let again = servers.deadline().unwrap();
    servers.handle(again, Input::Deadline);
    assert_eq!(servers.poll(), Some(Output::Ask(0)));
}

#[test]
fn reply_from_before_a_suspend_is_discarded() {
    let mut servers = Servers::new(1, Timestamp::ZERO);
    servers.handle(Timestamp::ZERO, Input::Deadline);
    assert_eq!(servers.poll(), Some(Output::Ask(0)));
    // The host was suspended while the request was on its way.
    servers.handle(Timestamp::ZERO + s(1), Input::Restart);
    let answer = time(Timestamp::ZERO, ms(1), ms(1));
    servers.handle(Timestamp::ZERO + s(1), Input::Answer { server: 0, answer });
    assert_eq!(servers.poll(), Some(Output::Round(Err(NoMeasurement::NoAnswer))));
}

#[test]
fn restart_sends_short_rounds_with_normal_spacing() {
    let mut bench = Bench::after(1, 5, right);
    bench.servers.set_interval(s(1024));
    bench.requests.clear();
    let begin = bench.now;
    bench.handle(Input::Restart);
    bench.rounds(9, right);
    assert!(bench.requests[0].0 - begin <= SPACING && bench.now - begin < s(30), "{:?}", bench.requests);
    assert_eq!(bench.requests.len(), 8, "four short rounds");
    assert!(bench.requests.windows(2).all(|two| two[1].0 - two[0].0 >= SPACING));
}

#[test]
fn interval_stays_within_bounds() {
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
    assert_eq!(greedy.interval(), STARTUP.interval);
}

#[test]
fn majority_announces_a_leap_second() {
    let announced = |leaps: [Leap; 3]| {
        let bench = Bench::after(3, 1, |server, raw| match right(server, raw) {
            Answer::Time(exchange) => Answer::Time(Exchange { leap: leaps[server], ..exchange }),
            other => other,
        });
        bench.last().unwrap().leap
    };
    assert_eq!(announced([Leap::Insert, Leap::None, Leap::Insert]), Leap::Insert);
    assert_eq!(announced([Leap::Delete, Leap::Delete, Leap::Insert]), Leap::Delete);
    assert_eq!(announced([Leap::Insert, Leap::None, Leap::None]), Leap::None);
}

#[test]
fn unrequested_replies_are_ignored() {
    let mut bench = Bench::new(1);
    let denials = |bench: &mut Bench| {
        for server in [0, 1, 7, 8, usize::MAX] {
            bench.handle(Input::Answer { server, answer: Answer::Denied });
        }
    };
    bench.now = bench.now - s(1);
    denials(&mut bench);
    assert_eq!(bench.rounds, []);
    bench.rounds(1, right);
    assert_eq!((bench.rounds.len(), bench.last().is_ok()), (1, true));
    bench.requests.clear();
    denials(&mut bench);
    let end = bench.now;
    bench.rounds(2, right);
    assert_eq!((bench.rounds.len(), bench.last().is_ok()), (2, true));
    let after: Vec<_> = bench.requests.iter().map(|(at, server)| ((*at - end).ms(), *server)).collect();
    assert_eq!(after, [(4_000, 0), (6_020, 0)], "the next round as if nothing had arrived");
}

/// A server of this stratum that declares this root dispersion.
fn declares(stratum: u8, root_dispersion: Duration) -> ServerClock {
    ServerClock { stratum, root_dispersion, ..ServerClock::default() }
}

/// Replies at `raw` with the errors that each server has and declares, and this round trip.
fn round_of<const N: usize>(
    utc: Timestamp<crate::time::Real>,
    servers: [(Duration, Duration, ServerClock); N],
) -> Result<UtcMeasurement, NoMeasurement> {
    let replies: Vec<(usize, Exchange)> = servers
        .into_iter()
        .map(|(error, round_trip, server)| Exchange {
            raw: Timestamp::ZERO,
            utc: utc + error,
            round_trip,
            leap: Leap::None,
            server,
        })
        .enumerate()
        .collect();
    majority(&replies, None).map(|(_, measurement)| measurement)
}

const NOW: Timestamp<crate::time::Real> = Timestamp::from_ns(UTC);

#[test]
fn server_with_the_smallest_root_distance_is_used() {
    // The nearest server declares an error of 80 ms; a server 20 ms away has a reference clock.
    let near = (Duration::ZERO, ms(1), declares(3, ms(80)));
    let far = (Duration::ZERO, ms(20), declares(1, ms(2)));
    let used = round_of(NOW, [near, far]).unwrap();
    assert_eq!((used.margin, used.server_error, used.agreeing), (ms(10), ms(2), 2));
    // A stratum weighs 1 ms.
    let lower = (Duration::ZERO, ms(20), declares(4, ms(2)));
    let higher = (Duration::ZERO, ms(18), declares(1, ms(5)));
    assert_eq!(round_of(NOW, [lower, higher]).unwrap().server_error, ms(5));
    assert_eq!(
        round_of(NOW, [lower, (Duration::ZERO, ms(18), declares(4, ms(5)))]).unwrap().server_error,
        ms(2)
    );
}

/// Servers that declare about the same are not used in turn: their differences would be noise in UTC.
#[test]
fn server_in_use_remains_until_another_is_clearly_better() {
    // Server 0 declares 10 ms, server 1 between 8 and 12 ms, in the last rounds 1 ms or a lower stratum.
    let run = |last: ServerClock| {
        let mut round = 0;
        let mut bench = Bench::new(2);
        bench.rounds(12, |server, raw| {
            round += 1;
            let declared = match (server, bench_round(round)) {
                (0, _) => declares(3, ms(10)),
                (_, ..9) => declares(3, ms(8 + i64::from(round % 5))),
                _ => last,
            };
            let error = if server == 0 { ms(1) } else { ms(-1) };
            match time(raw, error, ms(2)) {
                Answer::Time(exchange) => Answer::Time(Exchange { server: declared, ..exchange }),
                other => other,
            }
        });
        let offset = |result: &Result<UtcMeasurement, NoMeasurement>| {
            result.map(|used| (used.utc.ns() - UTC - used.raw.ns()) / 1_000_000).unwrap()
        };
        bench.rounds.iter().map(|(_, result)| offset(result)).collect::<Vec<_>>()
    };
    /// Rounds of two servers, at the start with two requests to each, later with four.
    fn bench_round(request: u32) -> u32 {
        if request <= 16 { request.div_ceil(4) } else { 4 + (request - 16).div_ceil(8) }
    }
    for last in [declares(3, ms(1)), declares(2, ms(10))] {
        let used = run(last);
        assert!(used[..8].windows(2).all(|two| two[0] == two[1]), "{used:?}");
        assert_eq!(used[9..], [-1, -1, -1], "{used:?}");
    }
}

#[test]
fn declared_error_widens_the_interval_of_a_server() {
    let right = (Duration::ZERO, ms(2), declares(2, ms(3)));
    let off = |declared| (ms(60), ms(2), declares(2, declared));
    assert_eq!(round_of(NOW, [right, off(ms(3))]), Err(NoMeasurement::NoMajority(2)));
    let agreed = round_of(NOW, [right, off(ms(100))]).unwrap();
    assert_eq!((agreed.agreeing, agreed.utc), (2, NOW), "the better of the two is used");
}

/// A server whose interval contains everything agrees with the wrong server as well as with the right one.
#[test]
fn wide_interval_gives_a_wrong_server_no_majority() {
    let wide = (ms(100), ms(2), declares(2, ms(2_900)));
    let right = (Duration::ZERO, ms(2), declares(2, ms(3)));
    for wrong in [s(1), -s(1)] {
        let wrong = (wrong, ms(1), declares(1, ms(1)));
        for servers in [[wide, right, wrong], [wrong, right, wide], [right, wrong, wide]] {
            let used = round_of(NOW, servers).unwrap();
            assert_eq!(used.server_error, ms(2_900), "one that all majorities contain: {used:?}");
        }
    }
    // The middle of three that scatter agrees with both of the others.
    let scattered = [ms(0), ms(8), ms(16)].map(|error| (error, ms(2), declares(2, ms(4))));
    assert_eq!(round_of(NOW, scattered).unwrap().utc, NOW + ms(8));
}

#[test]
fn smeared_leap_second_is_reported() {
    // 2016-12-31 18:00 and 2017-01-01 06:00 UTC: a smear from noon to noon is 0.25 s off; and six months earlier.
    let [before, after] = [1_483_207_200, 1_483_250_400].map(|s| Timestamp::from_ns(s * 1_000_000_000));
    let summer = Timestamp::from_ns(1_467_309_600 * 1_000_000_000);
    let plain = (Duration::ZERO, ms(10), declares(2, ms(3)));
    let smearing = |by| (by, ms(10), declares(2, ms(3)));
    for (utc, by) in [(before, -ms(250)), (after, ms(250)), (summer, ms(999 - 16))] {
        let difference = by.abs();
        let used = round_of(utc, [plain, smearing(by), plain]).unwrap();
        assert_eq!((used.utc, used.smear), (utc, Some(Smear { difference })), "the majority is used");
        let used = round_of(utc, [plain, smearing(by), smearing(by)]).unwrap();
        assert_eq!((used.utc, used.smear), (utc + by, Some(Smear { difference })));
        let none = round_of(utc, [plain, smearing(by)]);
        assert_eq!(none, Err(NoMeasurement::Smear(2, Smear { difference })));
        assert!(none.unwrap_err().to_string().starts_with(Smear::CAUSE));
        assert!(used.smear.unwrap().to_string().starts_with(Smear::CAUSE));
    }
    assert_eq!(round_of(before, [plain, plain, smearing(ms(15))]).unwrap().smear, None, "they agree");
    for by in [s(1), -s(1), ms(984), s(7)] {
        let used = round_of(after, [plain, plain, smearing(by)]).unwrap();
        assert_eq!(used.smear, None, "no smear is a whole second off");
        assert_eq!(round_of(after, [plain, smearing(by)]), Err(NoMeasurement::NoMajority(2)));
    }
    for day in [-2, 2] {
        let utc = before + s(86_400 * day);
        assert_eq!(round_of(utc, [plain, plain, smearing(ms(250))]).unwrap().smear, None, "no leap second");
    }
}

/// A linear smear from noon to noon, 11.6 ppm, by one server of three: it is reported while the difference exceeds the root
/// distances (16 ms: from 23 min after noon on), and no measurement is off by the smear.
#[test]
fn smear_is_reported_for_its_whole_day_and_outvoted() {
    let noon = Timestamp::from_ns(1_483_185_600 * 1_000_000_000);
    let plain = (Duration::ZERO, ms(10), declares(2, ms(3)));
    let mut reported = 0;
    for minute in -60..25 * 60 {
        let elapsed = s(60 * minute);
        let part = elapsed.secs_f64().clamp(0.0, 86_400.0) / 86_400.0;
        // Before midnight the smeared time is behind UTC, afterwards ahead of it.
        let by = Duration::from_secs_f64(if part < 0.5 { -part } else { 1.0 - part });
        let used = round_of(noon + elapsed, [plain, (by, ms(10), declares(2, ms(3))), plain]).unwrap();
        assert_eq!(used.utc, noon + elapsed);
        assert_eq!(used.smear.is_some(), by.abs() > ms(16), "{minute} min, {by:?}");
        reported += u32::from(used.smear.is_some());
    }
    assert!(reported > 23 * 60);
}

proptest! {
    /// Results of requests that were not sent, or whose result was delivered before, change nothing: not the requests, not the
    /// votes, not the intervals.
    #[test]
    fn late_and_doubled_answers_have_no_effect(
        count in 1_usize..4,
        answers in prop::collection::vec((0_u8..8, 0_i64..40), 60),
        extra in prop::collection::vec((0_usize..10, 0_u8..4, -100_000_i64..100_000), 60),
    ) {
        let run = |is_disturbed: bool| {
            let mut bench = Bench::new(count);
            let mut answers = answers.iter().cycle();
            let mut extra = extra.iter().cycle();
            let mut asked = Vec::new();
            for _ in 0..120 {
                let mut open = bench.handle(Input::Deadline);
                for server in std::mem::take(&mut asked) {
                    let (kind, way) = *answers.next().unwrap();
                    let answer = match kind {
                        0 => Answer::Nothing,
                        1 => Answer::SlowDown,
                        2 => Answer::Denied,
                        _ => time(bench.now - ms(10), Duration::from_us(way * 10), ms(way)),
                    };
                    open.extend(bench.handle(Input::Answer { server, answer }));
                }
                for _ in 0..if is_disturbed { 9 } else { 0 } {
                    let (server, kind, off_us) = *extra.next().unwrap();
                    let answer = match kind {
                        0 => Answer::Nothing,
                        1 => Answer::SlowDown,
                        2 => Answer::Denied,
                        _ => time(bench.now - ms(10), Duration::from_us(off_us), ms(1)),
                    };
                    // A pending request's next result counts, whatever it is: the client authenticates it.
                    if !open.contains(&server) {
                        let sent = bench.handle(Input::Answer { server, answer });
                        assert!(sent.is_empty(), "a request because of a late answer");
                    }
                }
                bench.now = bench.now + ms(20);
                if open.is_empty() {
                    bench.now = bench.servers.deadline().unwrap().max(bench.now);
                }
                asked = open;
            }
            (bench.requests, bench.rounds, bench.servers.interval())
        };
        prop_assert_eq!(run(true), run(false));
    }

    #[test]
    fn schedule_never_stalls_and_sends_one_request_at_a_time(
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
            // A request that is pending for too long is given up, and another one may be sent.
            for at in &mut open {
                *at = at.filter(|at| now - *at < REPLY_WAIT);
            }
            while let Some(output) = servers.poll() {
                if let Output::Ask(server) = output {
                    prop_assert!(server < count.min(MAX_SERVERS) && open[server].is_none());
                    open[server] = Some(now);
                }
            }
            let deadline = servers.deadline();
            prop_assert!(deadline.is_some() || count == 0);
            // Otherwise the caller would loop without a pause.
            prop_assert!(input != Input::Deadline || deadline.is_none_or(|due| due > now), "{:?} at {:?}", deadline, now);
        }
    }
}
