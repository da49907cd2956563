//! The path delay, and silence where it is not asked for.

use super::*;

impl Bench {
    /// Answers the request that was sent, if one was: it needed so long.
    fn answer(&mut self, source: PortIdentity, path: Duration) -> bool {
        for said in std::mem::take(&mut self.said) {
            let Output::Send { packet, token } = said else { continue };
            self.handle(Input::Departed { token, stamp: self.stamp() });
            let received = self.line.at(self.now + path);
            let requesting_sequence_id = Packet::parse(&packet).unwrap().header.sequence_id;
            let answer = DelayResp { received, requesting: OURS, requesting_sequence_id };
            let packet = self.packet(source, 1, Flags::NONE, Message::DelayResp(answer));
            self.hear(Channel::General, &packet, Err(NoTimestamp::Missing));
            return true;
        }
        false
    }
}

#[test]
fn without_being_asked_to_the_port_sends_nothing() {
    let bench = Bench::after(leader(1), 1..400);
    assert!(!bench.said.iter().any(|said| matches!(said, Output::Send { .. })));
}

#[test]
fn delay_requests_are_random_within_the_standards_bounds_and_measure_the_path() {
    let mut bench = Bench::new(DelayMechanism::E2e);
    let mut times = Vec::new();
    let mut sequence = 0;
    let chosen = bench.now + INTERVAL;
    while times.len() < 40 {
        sequence += 1;
        bench.beat(leader(1), sequence);
        for said in std::mem::take(&mut bench.said) {
            let Output::Send { packet, token } = said else { continue };
            times.push(bench.now);
            let request = Packet::parse(&packet).unwrap();
            let Message::DelayReq(said) = request.message else { panic!("{request:?}") };
            assert_eq!((request.header.source, said.local.stratum), (OURS, 255));
            assert_eq!(said.grandmaster.port.uuid, leader(1).uuid);
            bench.handle(Input::Departed { token, stamp: bench.stamp() });
            // Of no meaning: another requester, another sequence, another device.
            let received = bench.line.at(bench.now + PATH);
            let mine = request.header.sequence_id;
            for (from, requesting, requesting_sequence_id, received) in [
                (leader(1), leader(9), mine, Timestamp::ZERO),
                (leader(1), OURS, mine.wrapping_add(1), Timestamp::ZERO),
                (leader(2), OURS, mine, Timestamp::ZERO),
                (leader(1), OURS, mine, received),
            ] {
                let answer = DelayResp { received, requesting, requesting_sequence_id };
                let packet = bench.packet(from, sequence, Flags::NONE, Message::DelayResp(answer));
                bench.hear(Channel::General, &packet, Err(NoTimestamp::Missing));
            }
        }
    }
    let delay = bench.port.path_delay().unwrap();
    bench.pass(Duration::from_secs(10));
    bench.beats(leader(1), sequence + 40..sequence + 44);
    assert_eq!(bench.port.path_delay(), Some(delay), "the same leader after a silence: the same way");
    assert!((delay - PATH).abs() < Duration::from_ns(100), "{delay:?}");
    let error = bench.port.map().unwrap().dante_at(bench.now) - bench.line.at(bench.now);
    assert!(error.abs() < Duration::from_ns(100), "the map has the delay in it: {error:?}");
    let intervals = |span: Duration| span / INTERVAL.ns();
    let first = intervals(times[0] - chosen).ns();
    assert!((4..=8).contains(&first), "the first after {first} intervals");
    let apart: Vec<i64> = times.windows(2).map(|pair| intervals(pair[1] - pair[0]).ns()).collect();
    assert!(apart.iter().all(|n| (1..=31).contains(n)), "{apart:?}");
    assert!(apart.iter().max() > apart.iter().min(), "random: {apart:?}");
}

#[test]
fn a_request_without_a_transmit_stamp_measures_nothing() {
    let mut bench = Bench::new(DelayMechanism::E2e);
    let mut kept = Vec::new();
    for sequence in 1..200 {
        bench.beat(leader(1), sequence);
        for said in std::mem::take(&mut bench.said) {
            match said {
                Output::Send { token, .. } => {
                    bench.handle(Input::Departed { token, stamp: Err(NoTimestamp::Missing) });
                }
                said => kept.push(said),
            }
        }
    }
    bench.said = kept;
    assert_eq!(bench.count(Counter::TxTimestampMissing), 5);
    assert_eq!(bench.port.path_delay(), None);
    assert_eq!(bench.count(Counter::DelayReqSent), 5, "and after five no more are sent");
    let told = bench
        .said
        .iter()
        .filter(|said| **said == Output::Diagnostic(Diagnostic::NoTransmitTimestamps))
        .count();
    assert_eq!(told, 1);
    bench.handle(Input::Failed);
    bench.handle(Input::Opened(OURS));
    bench.beats(leader(1), 200..300);
    assert!(bench.count(Counter::DelayReqSent) > 5, "new sockets may have stamps");
}

#[test]
fn a_leader_that_never_answers_is_told_of() {
    let mut bench = Bench::new(DelayMechanism::E2e);
    for sequence in 1..400 {
        bench.beat(leader(1), sequence);
        for said in std::mem::take(&mut bench.said) {
            match said {
                Output::Send { token, .. } => bench.handle(Input::Departed { token, stamp: bench.stamp() }),
                Output::Diagnostic(Diagnostic::NoDelayResp) => return,
                _ => {}
            }
        }
    }
    panic!("not told");
}

#[test]
fn a_given_delay_is_used_and_nothing_is_sent() {
    let given = Duration::from_ns(12_345);
    let mut bench = Bench::with(PortConfig {
        delay: DelayMechanism::Fixed(given),
        asymmetry: Duration::from_us(5),
        ..PortConfig::default()
    });
    bench.beats(leader(1), 1..200);
    assert!(!bench.said.iter().any(|said| matches!(said, Output::Send { .. })));
    assert_eq!(bench.port.path_delay(), Some(given), "asymmetry belongs to a measured one");
    let error = bench.port.map().unwrap().dante_at(bench.now) - (bench.line.at(bench.now) - PATH + given);
    assert!(error.abs() < Duration::from_ns(100), "{error:?}");
}

#[test]
fn the_way_here_is_the_mean_of_both_and_the_asymmetry_and_a_held_answer_does_not_count() {
    let asymmetry = Duration::from_us(4);
    let mut bench =
        Bench::with(PortConfig { delay: DelayMechanism::E2e, asymmetry, ..PortConfig::default() });
    let mut exchanges = 0;
    for sequence in 1..600 {
        bench.beat(leader(1), sequence);
        // Every third one is held up on its way by 0.3 ms, the first among them.
        let held = if exchanges % 3 == 0 { Duration::from_us(300) } else { Duration::ZERO };
        if bench.answer(leader(1), PATH + held) {
            exchanges += 1;
            let off = bench.port.path_delay().unwrap() - PATH - asymmetry;
            assert!(exchanges == 1 || off.abs() < Duration::from_ns(200), "exchange {exchanges}: {off:?}");
        }
    }
    assert!(exchanges > 9);
}

#[test]
fn a_path_delay_outlives_a_jump_of_the_leaders_time_but_not_the_leader() {
    let mut bench = Bench::new(DelayMechanism::E2e);
    let mut sequence = 1;
    while bench.port.path_delay().is_none() {
        bench.beat(leader(5), sequence);
        bench.answer(leader(5), PATH);
        sequence += 1;
    }
    let delay = bench.port.path_delay();
    bench.line.at0 = bench.line.at0 + Duration::from_secs(100);
    let jumped = bench.port.timeline() + 1;
    while bench.port.timeline() < jumped {
        bench.beat(leader(5), sequence);
        sequence += 1;
    }
    assert_eq!(bench.port.path_delay(), delay);
    bench.beats(leader(5), sequence..sequence + 10);
    bench.beats(leader(1), 1..10);
    assert_eq!((bench.port.timeline(), bench.port.path_delay()), (jumped + 1, None));
}

#[test]
fn a_leader_that_answers_every_fourth_request_is_not_reported() {
    let mut bench = Bench::new(DelayMechanism::E2e);
    let (mut requests, mut reported) = (0, false);
    for sequence in 1..800 {
        bench.beat(leader(1), sequence);
        reported |= bench.diagnostics().contains(&Diagnostic::NoDelayResp);
        requests += bench.said.iter().filter(|said| matches!(said, Output::Send { .. })).count();
        if requests % 4 == 0 {
            bench.answer(leader(1), PATH);
        }
        bench.said.clear();
    }
    assert!(requests > 20 && !reported, "{requests} requests");
}
