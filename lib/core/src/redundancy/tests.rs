use super::*;
use crate::time::{Affine, Correlation, Dante, Ratio, Uncertainty, Wander};

/// Two networks, and the time that each one's leader tells, from one moment to the next.
struct Bench {
    redundancy: Redundancy,
    now: Timestamp<Raw>,
    networks: [Network; 2],
    changes: Vec<NetworkChange>,
}

fn map(at: i64, now: Timestamp<Raw>) -> ClockMap {
    ClockMap {
        line: Affine { raw0: now, at0: Timestamp::<Dante>::from_ns(at), rate: Ratio::ZERO },
        sigma: Uncertainty { offset: Duration::from_us(1), rate: Ratio::from_ppb(10.0) },
        correlation: Correlation::ZERO,
        wander: Wander::from_ppb(1.0),
    }
}

impl Bench {
    /// Both SLAVE for a while, the secondary's time `apart` from the primary's.
    fn new(apart: Duration) -> Self {
        let now = Timestamp::from_ns(1_000_000_000_000);
        let listening = Network { state: State::Listening, timeline: 0, map: None, quality: None };
        let mut bench =
            Self { redundancy: Redundancy::default(), now, networks: [listening; 2], changes: Vec::new() };
        bench.pass(1);
        bench.lock(0, Duration::ZERO);
        bench.lock(1, apart);
        bench.pass(40);
        bench
    }

    /// A port has a map, on the next of its timelines.
    fn lock(&mut self, place: usize, apart: Duration) {
        let time = 699_000_000_000 + (self.now.ns() - 1_000_000_000_000) + apart.ns();
        let network = &mut self.networks[place];
        network.state = State::Slave;
        network.timeline += 1;
        network.map = Some(map(time, self.now));
        self.consider();
    }

    fn lose(&mut self, place: usize) {
        self.networks[place].state = State::Listening;
        self.consider();
    }

    fn consider(&mut self) {
        self.changes.extend(self.redundancy.consider(self.now, &self.networks));
    }

    fn pass(&mut self, quarters: i64) {
        for _ in 0..quarters {
            self.now = self.now + Duration::from_ms(250);
            self.consider();
        }
    }

    fn seen(&self) -> (usize, u64) {
        (self.redundancy.selected(), self.redundancy.timeline(self.redundancy.selected()))
    }
}

#[test]
fn a_network_that_dies_is_replaced_at_once_and_the_timeline_goes_on() {
    let mut bench = Bench::new(Duration::from_us(60));
    assert_eq!((bench.seen(), bench.redundancy.timeline(1)), ((0, 1), 1));
    assert_eq!(bench.changes, [NetworkChange::OneClock]);
    bench.lose(0);
    assert_eq!(bench.seen(), (1, 1));
    let Some(NetworkChange::Selected { to: 1, moved: Some(moved), continues: true }) = bench.changes.last()
    else {
        panic!("{:?}", bench.changes)
    };
    assert!((*moved - Duration::from_us(60)).abs() < Duration::from_us(2), "{moved:?}");
    bench.lock(0, Duration::ZERO);
    bench.pass(400);
    assert_eq!(bench.seen(), (1, 1), "no better, and so no change back");
    bench.lose(1);
    assert_eq!(bench.seen(), (0, 1));
}

#[test]
fn another_time_is_taken_only_after_patience_and_raises_the_timeline_once() {
    let mut bench = Bench::new(Duration::from_secs(4_000));
    assert_eq!((bench.seen(), bench.redundancy.timeline(1)), ((0, 1), 0));
    assert!(matches!(bench.changes[..], [NetworkChange::TwoClocks(by)] if by == Duration::from_secs(4_000)));
    bench.lose(0);
    bench.pass(39);
    assert_eq!(bench.seen(), (0, 1), "it may come back");
    bench.pass(1);
    assert_eq!(bench.seen(), (1, 2));
    bench.lock(0, Duration::ZERO);
    bench.pass(400);
    assert_eq!(bench.seen(), (1, 2), "and stays");
}

#[test]
fn one_clock_that_reboots_raises_the_timeline_once_whichever_port_sees_it_first() {
    for (first, second) in [(0, 1), (1, 0)] {
        for lag in [0, 1, 4] {
            let mut bench = Bench::new(Duration::from_us(20));
            bench.lock(first, Duration::from_secs(-600));
            bench.pass(lag);
            bench.networks[second].state = State::Uncalibrated;
            bench.lock(second, Duration::from_secs(-600));
            bench.pass(100);
            assert_eq!(bench.seen().1, 2, "network {first} first, by {lag} Syncs: {:?}", bench.changes);
            let two = bench.changes.iter().any(|change| matches!(change, NetworkChange::TwoClocks(_)));
            assert!(!two, "it is one clock all the time");
        }
    }
}

#[test]
fn one_port_alone_keeps_its_own_numbers() {
    let mut bench = Bench::new(Duration::ZERO);
    let mut alone = Redundancy::default();
    for timeline in 0..5 {
        bench.networks[0].timeline = timeline;
        assert!(alone.consider(bench.now, &bench.networks[..1]).is_empty());
        assert_eq!((alone.selected(), alone.timeline(0)), (0, timeline));
    }
}

#[test]
fn a_more_certain_network_takes_over_after_half_a_minute_and_an_alike_one_never() {
    let mut bench = Bench::new(Duration::from_us(5));
    bench.pass(400);
    assert_eq!(bench.seen(), (0, 1));
    for quarter in 0..200 {
        for (network, us) in bench.networks.iter_mut().zip([10, 1]) {
            let time = 699_000_000_000 + (bench.now.ns() - 1_000_000_000_000);
            let mut map = map(time, bench.now);
            map.sigma.offset = Duration::from_us(us);
            network.map = Some(map);
        }
        bench.pass(1);
        let switched = bench.seen() == (1, 1);
        assert_eq!(switched, quarter >= 120, "after {quarter} quarters of a second");
    }
}
