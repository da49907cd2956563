//! Unsolicited, malformed and malicious packets.

use super::*;
use proptest::prelude::*;

#[test]
fn response_flood_uses_fixed_memory_and_ends_in_time() {
    let mut bench = Bench::new(config(None));
    let mut network = honest(1);
    bench.run(|target, query| {
        let mut responses = network(target, query);
        // After each query of any kind.
        let flood = (2..10_002).map(|n| {
            let identity = response_of(clock(n), &Payload::ObtainIdentity).unwrap();
            (encoded(clock(n), OURS, identity), address(n))
        });
        responses.extend(flood);
        responses
    });
    let found: Vec<_> = bench.client.clocks().collect();
    assert_eq!(found.len(), 16);
    assert_eq!(bench.client.clocks.capacity(), 16);
    assert!(found[0].is_complete(), "the clock that responded first is kept");
    // Clocks that do not exist send no data sets, and are not queried again.
    assert_eq!(bench.sent.len(), 1 + 16 * GETS);
    let tally = bench.tally();
    assert_eq!(tally.no_room + tally.repeated, 10_000 * bench.sent.len() as u64 - 15);
    assert!(tally.no_room > 9_000 * bench.sent.len() as u64);
}

#[test]
fn named_clock_is_found_among_ten_thousand_others() {
    let mut bench = Bench::new(config(Some(clock(1).uuid)));
    let mut network = honest(1);
    bench.run(|target, query| {
        let of = |n| (encoded(clock(n), OURS, response_of(clock(n), query).unwrap()), address(n));
        (2..10_002).map(of).chain(network(target, query)).collect()
    });
    let found: Vec<_> = bench.client.clocks().collect();
    assert!(found.len() == 1 && found[0].is_complete());
    let tally = bench.tally();
    assert_eq!((tally.responses, tally.unsolicited), (1 + GETS as u64, 10_000 * (1 + GETS as u64)));
}

#[test]
fn rejects_responses_that_match_no_query() {
    let mut bench = Bench::new(config(Some(clock(1).uuid)));
    let response = |payload| response_of(clock(1), &payload).unwrap();
    let identity = response(Payload::ObtainIdentity);
    // The pending query is for the identity of clock 1, from this host and this port number.
    let other_program = PortIdentity { port_id: 4712, ..OURS };
    let other_host = PortIdentity { uuid: clock(9).uuid, ..OURS };
    bench.receive(&encoded(clock(1), other_program, identity), address(1));
    bench.receive(&encoded(clock(1), other_host, identity), address(1));
    bench.receive(&encoded(clock(1), clock(1), identity), address(1));
    assert_eq!(bench.tally(), Tally { queries: 1, other: 3, ..Tally::default() });
    bench.receive(&encoded(clock(2), OURS, identity), address(2));
    bench.receive(&encoded(clock(1), OURS, response(Payload::GetDefaultDataSet)), address(1));
    bench.receive(&encoded(clock(1), OURS, Payload::GetDefaultDataSet), address(1));
    assert_eq!(bench.tally(), Tally { queries: 1, other: 3, unsolicited: 3, ..Tally::default() });
    assert_eq!(bench.client.clocks().count(), 0);
    bench.receive(&encoded(clock(1), OURS, identity), address(1));
    assert_eq!(bench.client.clocks().count(), 1);
    bench.receive(&encoded(clock(1), OURS, identity), address(1));
    assert_eq!((bench.tally().responses, bench.tally().repeated), (1, 1));
}

#[test]
fn rejects_and_records_responses_from_a_second_address() {
    let mut bench = Bench::new(config(None));
    let mut network = honest(1);
    bench.run(|target, query| {
        let mut responses = network(target, query);
        let Some(mut forged) = response_of(clock(1), query) else { return responses };
        if let Payload::CurrentDataSet(data) = &mut forged {
            data.offset_from_master = Offset::from_ns(1_000_000);
        }
        responses.push((encoded(clock(1), OURS, forged), address(66)));
        responses
    });
    let found = bench.client.clocks().next().unwrap();
    assert_eq!(found.source.unwrap().1, address(1));
    assert_eq!(found.second_address, Some(address(66)));
    assert_eq!(found.current.unwrap().offset_from_master, Offset::from_ns(-40));
    assert_eq!(bench.tally().second_address, GETS as u64, "the last one arrived after the end");
}

#[test]
fn invalid_packets_are_counted_by_reason_and_ignored() {
    let mut bench = Bench::new(config(None));
    let whole = encoded(clock(1), OURS, response_of(clock(1), &Payload::GetParentDataSet).unwrap());
    for length in 0..148 {
        bench.receive(&whole[..length], address(1));
    }
    let mut v2 = whole.clone();
    v2[1] = 2;
    bench.receive(&v2, address(1));
    let mut other_subdomain = whole;
    other_subdomain[4] = b'X';
    bench.receive(&other_subdomain, address(1));
    let tally = Tally { queries: 1, unreadable: 148, ptp_v2: 1, other_subdomain: 1, ..Tally::default() };
    assert_eq!(bench.tally(), tally);
    assert_eq!(bench.client.clocks().count(), 0);
    bench.run(honest(1));
    let found: Vec<_> = bench.client.clocks().collect();
    assert!(found.len() == 1 && found[0].is_complete(), "{found:?}");
}

#[test]
fn ports_beyond_the_limit_are_counted() {
    let mut bench = Bench::new(config(Some(clock(1).uuid)));
    bench.run(|_, query| match query {
        Payload::GetPortDataSet => (0..100)
            .map(|n| (encoded(clock(1), OURS, Payload::PortDataSet(port(clock(1), n))), address(1)))
            .collect(),
        _ => Vec::new(),
    });
    assert_eq!(bench.client.clocks().next().unwrap().ports.len(), MAX_PORTS);
    assert_eq!(bench.tally().no_room, 96);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Responses with random changes: the client ends in time, limits its queries, and counts each packet once.
    #[test]
    fn ends_in_time_with_corrupted_responses(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u16), 1..40),
        named in any::<bool>(),
    ) {
        let clock_to_query = named.then(|| clock(1).uuid);
        let mut bench = Bench::new(ManagementClientConfig { max_clocks: 3, ..config(clock_to_query) });
        let (mut network, mut received, mut turn) = (honest(5), 0, 0);
        bench.run(|target, query| {
            let mut responses = network(target, query);
            for (bytes, source) in &mut responses {
                let (place, value, moved) = &changes[turn % changes.len()];
                turn += 1;
                let place = place.index(bytes.len());
                bytes[place] = *value;
                if *moved == 0 { *source = address(66) }
            }
            received += responses.len() as u64;
            responses
        });
        let tally = bench.tally();
        let Tally {
            queries, responses, unsolicited, repeated, second_address, no_room, other_subdomain, ptp_v2, unreadable, other
        } = tally;
        let counted =
            responses + unsolicited + repeated + second_address + no_room + other_subdomain + ptp_v2 + unreadable + other;
        // Packets after the end are ignored.
        prop_assert!(counted <= received && received - counted <= 5, "{tally:?} of {received}");
        prop_assert_eq!(queries, bench.sent.len() as u64);
        prop_assert!(bench.client.clocks().count() <= 3);
        prop_assert!(queries <= 2 + 2 * 3 * (1 + GETS as u64));
    }
}
