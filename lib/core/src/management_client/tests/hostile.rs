//! What is not asked for, not understood or not meant well.

use super::*;
use proptest::prelude::*;

#[test]
fn ten_thousand_made_up_clocks_take_a_fixed_place_and_the_end_is_in_time() {
    let mut bench = Bench::new(config(None));
    let mut network = honest(1);
    bench.run(|target, question| {
        let mut answers = network(target, question);
        // After each question, whatever it was.
        let flood = (2..10_002).map(|n| {
            let identity = answer_of(clock(n), &Payload::ObtainIdentity).unwrap();
            (said_by(clock(n), OURS, identity), home(n))
        });
        answers.extend(flood);
        answers
    });
    let found: Vec<_> = bench.client.clocks().collect();
    assert_eq!(found.len(), 16);
    assert_eq!(bench.client.clocks.capacity(), 16);
    assert!(found[0].is_complete(), "who answered first is there");
    // Made-up clocks give no data sets, and are not asked for them again.
    assert_eq!(bench.sent.len(), 1 + 16 * GETS);
    let tally = bench.tally();
    assert_eq!(tally.no_room + tally.repeated, 10_000 * bench.sent.len() as u64 - 15);
    assert!(tally.no_room > 9_000 * bench.sent.len() as u64);
}

#[test]
fn the_one_that_is_named_is_found_among_ten_thousand_others() {
    let mut bench = Bench::new(config(Some(clock(1).uuid)));
    let mut network = honest(1);
    bench.run(|target, question| {
        let of = |n| (said_by(clock(n), OURS, answer_of(clock(n), question).unwrap()), home(n));
        (2..10_002).map(of).chain(network(target, question)).collect()
    });
    let found: Vec<_> = bench.client.clocks().collect();
    assert!(found.len() == 1 && found[0].is_complete());
    let tally = bench.tally();
    assert_eq!((tally.answers, tally.unasked), (1 + GETS as u64, 10_000 * (1 + GETS as u64)));
}

#[test]
fn an_answer_that_belongs_to_no_question_is_not_taken() {
    let mut bench = Bench::new(config(Some(clock(1).uuid)));
    let answer = |payload| answer_of(clock(1), &payload).unwrap();
    let identity = answer(Payload::ObtainIdentity);
    // Asked for is the identity of clock 1, by this host, under this port number.
    let other_program = PortIdentity { port_id: 4712, ..OURS };
    let other_host = PortIdentity { uuid: clock(9).uuid, ..OURS };
    bench.hear(&said_by(clock(1), other_program, identity), home(1));
    bench.hear(&said_by(clock(1), other_host, identity), home(1));
    bench.hear(&said_by(clock(1), clock(1), identity), home(1));
    assert_eq!(bench.tally(), Tally { asked: 1, other: 3, ..Tally::default() });
    bench.hear(&said_by(clock(2), OURS, identity), home(2));
    bench.hear(&said_by(clock(1), OURS, answer(Payload::GetDefaultDataSet)), home(1));
    bench.hear(&said_by(clock(1), OURS, Payload::GetDefaultDataSet), home(1));
    assert_eq!(bench.tally(), Tally { asked: 1, other: 3, unasked: 3, ..Tally::default() });
    assert_eq!(bench.client.clocks().count(), 0);
    bench.hear(&said_by(clock(1), OURS, identity), home(1));
    assert_eq!(bench.client.clocks().count(), 1);
    bench.hear(&said_by(clock(1), OURS, identity), home(1));
    assert_eq!((bench.tally().answers, bench.tally().repeated), (1, 1));
}

#[test]
fn who_answers_in_anothers_name_from_another_address_is_told_and_not_believed() {
    let mut bench = Bench::new(config(None));
    let mut network = honest(1);
    bench.run(|target, question| {
        let mut answers = network(target, question);
        let Some(mut forged) = answer_of(clock(1), question) else { return answers };
        if let Payload::CurrentDataSet(data) = &mut forged {
            data.offset_from_master = Offset::from_ns(1_000_000);
        }
        answers.push((said_by(clock(1), OURS, forged), home(66)));
        answers
    });
    let found = bench.client.clocks().next().unwrap();
    assert_eq!(found.source.unwrap().1, home(1));
    assert_eq!(found.second_address, Some(home(66)));
    assert_eq!(found.current.unwrap().offset_from_master, Offset::from_ns(-40));
    assert_eq!(bench.tally().second_address, GETS as u64, "the last one came after the end");
}

#[test]
fn garbage_is_counted_by_its_reason_and_changes_nothing() {
    let mut bench = Bench::new(config(None));
    let whole = said_by(clock(1), OURS, answer_of(clock(1), &Payload::GetParentDataSet).unwrap());
    for length in 0..148 {
        bench.hear(&whole[..length], home(1));
    }
    let mut v2 = whole.clone();
    v2[1] = 2;
    bench.hear(&v2, home(1));
    let mut elsewhere = whole;
    elsewhere[4] = b'X';
    bench.hear(&elsewhere, home(1));
    let tally = Tally { asked: 1, unreadable: 148, ptp_v2: 1, other_subdomain: 1, ..Tally::default() };
    assert_eq!(bench.tally(), tally);
    assert_eq!(bench.client.clocks().count(), 0);
    bench.run(honest(1));
    assert!(bench.client.clocks().all(Clock::is_complete));
}

#[test]
fn more_ports_than_are_remembered_are_counted() {
    let mut bench = Bench::new(config(Some(clock(1).uuid)));
    bench.run(|_, question| match question {
        Payload::GetPortDataSet => (0..100)
            .map(|n| (said_by(clock(1), OURS, Payload::PortDataSet(port(clock(1), n))), home(1)))
            .collect(),
        _ => Vec::new(),
    });
    assert_eq!(bench.client.clocks().next().unwrap().ports.len(), MAX_PORTS);
    assert_eq!(bench.tally().no_room, 96);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Answers right and wrong, changed at random: it ends in time, asks no more than it may, and counts each packet once.
    #[test]
    fn whatever_is_answered_it_ends_in_time(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u16), 1..40),
        named in any::<bool>(),
    ) {
        let whom = named.then(|| clock(1).uuid);
        let mut bench = Bench::new(ManagementClientConfig { max_clocks: 3, ..config(whom) });
        let (mut network, mut heard, mut turn) = (honest(5), 0, 0);
        bench.run(|target, question| {
            let mut answers = network(target, question);
            for (bytes, address) in &mut answers {
                let (place, value, elsewhere) = &changes[turn % changes.len()];
                turn += 1;
                let place = place.index(bytes.len());
                bytes[place] = *value;
                if *elsewhere == 0 { *address = home(66) }
            }
            heard += answers.len() as u64;
            answers
        });
        let tally = bench.tally();
        let Tally { asked, answers, unasked, repeated, second_address, no_room, other_subdomain, ptp_v2, unreadable, other } = tally;
        let counted = answers + unasked + repeated + second_address + no_room + other_subdomain + ptp_v2 + unreadable + other;
        // What comes after the end is not looked at.
        prop_assert!(counted <= heard && heard - counted <= 5, "{tally:?} of {heard}");
        prop_assert_eq!(asked, bench.sent.len() as u64);
        prop_assert!(bench.client.clocks().count() <= 3);
        prop_assert!(asked <= 2 + 2 * 3 * (1 + GETS as u64));
    }
}
