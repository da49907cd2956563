//! Measurement of the path delay; nothing is sent unless it is configured.

use super::*;

impl Bench {
    /// Answers the request that was sent, if any, with this path delay.
    fn answer(&mut self, source: PortIdentity, path: Duration) -> bool {
        for output in std::mem::take(&mut self.outputs) {
            let Output::Send { packet, token } = output else { continue };
            self.handle(Input::Departed { token, timestamp: self.timestamp() });
            let received = self.line.at(self.now + path);
            let requesting_sequence_id = Packet::parse(&packet).unwrap().header.sequence_id;
            let answer = DelayResp { received, requesting: OURS, requesting_sequence_id };
            let packet = self.packet(source, 1, Flags::NONE, Message::DelayResp(answer));
            self.receive(Channel::General, &packet, Err(NoTimestamp::Missing));
            return true;
        }
        false
    }
}

#[test]
fn sends_nothing_unless_e2e_is_configured() {
    let bench = Bench::after(leader(1), 1..400);
    assert!(!bench.outputs.iter().any(|output| matches!(output, Output::Send { .. })));
}

#[test]
fn delay_reqs_are_random_within_bounds_and_measure_the_path() {
    let mut bench = Bench::new(DelayMechanism::E2e);
    let mut times = Vec::new();
    let mut sequence = 0;
    let chosen = bench.now + INTERVAL;
    while times.len() < 40 {
        sequence += 1;
        bench.send(leader(1), sequence);
        for output in std::mem::take(&mut bench.outputs) {
            let Output::Send { packet, token } = output else { continue };
            times.push(bench.now);
            let request = Packet::parse(&packet).unwrap();
            let Message::DelayReq(body) = request.message else { panic!("{request:?}") };
            assert_eq!((request.header.source, body.local.stratum), (OURS, 255));
            assert_eq!(body.grandmaster.port.uuid, leader(1).uuid);
            bench.handle(Input::Departed { token, timestamp: bench.timestamp() });
            // Ignored: another requester, another sequence number, another device. The last one is valid.
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
                bench.receive(Channel::General, &packet, Err(NoTimestamp::Missing));
            }
        }
    }
    let delay = bench.port.path_delay().unwrap();
    bench.advance(Duration::from_secs(10));
    bench.send_all(leader(1), sequence + 40..sequence + 44);
    assert_eq!(bench.port.path_delay(), Some(delay), "the same leader after a silence: the same path");
    assert!((delay - PATH).abs() < Duration::from_ns(100), "{delay:?}");
    let error = bench.port.map().unwrap().dante_at(bench.now) - bench.line.at(bench.now);
    assert!(error.abs() < Duration::from_ns(100), "the clock map includes the delay: {error:?}");
    let intervals = |span: Duration| span / INTERVAL.ns();
    let first = intervals(times[0] - chosen).ns();
    assert!((4..=8).contains(&first), "first request after {first} intervals");
    let apart: Vec<i64> = times.windows(2).map(|pair| intervals(pair[1] - pair[0]).ns()).collect();
    assert!(apart.iter().all(|n| (1..=31).contains(n)), "{apart:?}");
    assert!(apart.iter().max() > apart.iter().min(), "not random: {apart:?}");
}

#[test]
fn stops_sending_after_five_requests_without_transmit_timestamp() {
    let mut bench = Bench::new(DelayMechanism::E2e);
    let mut kept = Vec::new();
    for sequence in 1..200 {
        bench.send(leader(1), sequence);
        for output in std::mem::take(&mut bench.outputs) {
            match output {
                Output::Send { token, .. } => {
                    bench.handle(Input::Departed { token, timestamp: Err(NoTimestamp::Missing) });
                }
                output => kept.push(output),
            }
        }
    }
    bench.outputs = kept;
    assert_eq!(bench.count(Counter::TxTimestampMissing), 5);
    assert_eq!(bench.port.path_delay(), None);
    assert_eq!(bench.count(Counter::DelayReqSent), 5, "no more after five");
    let reports = bench
        .outputs
        .iter()
        .filter(|output| **output == Output::Diagnostic(Diagnostic::NoTransmitTimestamps))
        .count();
    assert_eq!(reports, 1);
    bench.handle(Input::Failed);
    bench.handle(Input::Opened(OURS));
    bench.send_all(leader(1), 200..300);
    assert!(bench.count(Counter::DelayReqSent) > 5, "new sockets may deliver timestamps");
}

#[test]
fn reports_leader_without_delay_resps() {
    let mut bench = Bench::new(DelayMechanism::E2e);
    for sequence in 1..400 {
        bench.send(leader(1), sequence);
        for output in std::mem::take(&mut bench.outputs) {
            match output {
                Output::Send { token, .. } => {
                    bench.handle(Input::Departed { token, timestamp: bench.timestamp() })
                }
                Output::Diagnostic(Diagnostic::NoDelayResp) => return,
                _ => {}
            }
        }
    }
    panic!("not reported");
}

#[test]
fn given_path_delay_is_used_and_nothing_is_sent() {
    let given = Duration::from_ns(12_345);
    let mut bench = Bench::with(PortConfig {
        delay: DelayMechanism::Fixed(given),
        asymmetry: Duration::from_us(5),
        ..PortConfig::default()
    });
    bench.send_all(leader(1), 1..200);
    assert!(!bench.outputs.iter().any(|output| matches!(output, Output::Send { .. })));
    assert_eq!(bench.port.path_delay(), Some(given), "asymmetry applies only to a measured delay");
    let error = bench.port.map().unwrap().dante_at(bench.now) - (bench.line.at(bench.now) - PATH + given);
    assert!(error.abs() < Duration::from_ns(100), "{error:?}");
}

#[test]
fn path_delay_is_mean_plus_asymmetry_without_outliers() {
    let asymmetry = Duration::from_us(4);
    let mut bench =
        Bench::with(PortConfig { delay: DelayMechanism::E2e, asymmetry, ..PortConfig::default() });
    let mut exchanges = 0;
    for sequence in 1..600 {
        bench.send(leader(1), sequence);
        // Every third request, beginning with the first, is delayed by 0.3 ms.
        let queued = if exchanges % 3 == 0 { Duration::from_us(300) } else { Duration::ZERO };
        if bench.answer(leader(1), PATH + queued) {
            exchanges += 1;
            let off = bench.port.path_delay().unwrap() - PATH - asymmetry;
            assert!(exchanges == 1 || off.abs() < Duration::from_ns(200), "exchange {exchanges}: {off:?}");
        }
    }
    assert!(exchanges > 9);
}

#[test]
fn path_delay_survives_a_jump_but_not_a_leader_change() {
    let mut bench = Bench::new(DelayMechanism::E2e);
    let mut sequence = 1;
    while bench.port.path_delay().is_none() {
        bench.send(leader(5), sequence);
        bench.answer(leader(5), PATH);
        sequence += 1;
    }
    let delay = bench.port.path_delay();
    bench.line.at0 = bench.line.at0 + Duration::from_secs(100);
    let jumped = bench.port.timeline() + 1;
    while bench.port.timeline() < jumped {
        bench.send(leader(5), sequence);
        sequence += 1;
    }
    assert_eq!(bench.port.path_delay(), delay);
    bench.send_all(leader(5), sequence..sequence + 10);
    bench.send_all(leader(1), 1..10);
    assert_eq!((bench.port.timeline(), bench.port.path_delay()), (jumped + 1, None));
}

#[test]
fn occasional_delay_resps_prevent_the_report() {
    let mut bench = Bench::new(DelayMechanism::E2e);
    let (mut requests, mut reported) = (0, false);
    for sequence in 1..800 {
        bench.send(leader(1), sequence);
        reported |= bench.diagnostics().contains(&Diagnostic::NoDelayResp);
        requests += bench.outputs.iter().filter(|output| matches!(output, Output::Send { .. })).count();
        if requests % 4 == 0 {
            bench.answer(leader(1), PATH);
        }
        bench.outputs.clear();
    }
    assert!(requests > 20 && !reported, "{requests} requests");
}
