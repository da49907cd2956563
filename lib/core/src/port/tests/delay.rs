//! The path delay, and silence where it is not asked for.

use super::*;

#[test]
fn without_being_asked_to_the_port_sends_nothing() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.beats(leader(1), 1..400);
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
                bench.hear(Channel::General, &packet, Err(NoStamp::Missing));
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
    for sequence in 1..200 {
        bench.beat(leader(1), sequence);
        for said in std::mem::take(&mut bench.said) {
            if let Output::Send { token, .. } = said {
                bench.handle(Input::Departed { token, stamp: Err(NoStamp::Missing) });
            }
        }
    }
    assert!(bench.count(Counter::TxStampMissing) > 2);
    assert_eq!(bench.port.path_delay(), None);
}
