use super::*;
use crate::time::{Affine, Correlation, Dante, Ratio, Uncertainty, Wander};

/// Two networks with leaders of known time.
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
    /// Both ports have been SLAVE for 10 s; the secondary's time minus the primary's is `apart`.
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

    /// The port gets a map on its next timeline and is SLAVE.
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

    fn selection(&self) -> (usize, u64) {
        (self.redundancy.selected(), self.redundancy.timeline(self.redundancy.selected()))
    }
}

#[test]
fn failed_network_is_replaced_at_once_and_the_timeline_continues() {
    let mut bench = Bench::new(Duration::from_us(60));
    assert_eq!((bench.selection(), bench.redundancy.timeline(1)), ((0, 1), 1));
    assert_eq!(bench.changes, [NetworkChange::OneClock]);
    bench.lose(0);
    assert_eq!(bench.selection(), (1, 1));
    let Some(NetworkChange::Selected { to: 1, moved: Some(moved), continues: true }) = bench.changes.last()
    else {
        panic!("{:?}", bench.changes)
    };
    assert!((*moved - Duration::from_us(60)).abs() < Duration::from_us(2), "{moved:?}");
    bench.lock(0, Duration::ZERO);
    bench.pass(400);
    assert_eq!(bench.selection(), (1, 1), "the primary is not better, so there is no change back");
    bench.lose(1);
    assert_eq!(bench.selection(), (0, 1));
}

#[test]
fn network_with_another_clock_is_selected_after_10_s_on_a_new_timeline() {
    let mut bench = Bench::new(Duration::from_secs(4_000));
    assert_eq!((bench.selection(), bench.redundancy.timeline(1)), ((0, 1), 0));
    assert!(matches!(bench.changes[..], [NetworkChange::TwoClocks(by)] if by == Duration::from_secs(4_000)));
    bench.lose(0);
    bench.pass(39);
    assert_eq!(bench.selection(), (0, 1), "the primary may return within 10 s");
    bench.pass(1);
    assert_eq!(bench.selection(), (1, 2));
    bench.lock(0, Duration::ZERO);
    bench.pass(400);
    assert_eq!(bench.selection(), (1, 2), "the secondary stays selected");
}

#[test]
fn reboot_of_one_clock_on_both_networks_starts_one_timeline() {
    for (first, second) in [(0, 1), (1, 0)] {
        for lag in [0, 1, 4] {
            let mut bench = Bench::new(Duration::from_us(20));
            bench.lock(first, Duration::from_secs(-600));
            bench.pass(lag);
            bench.networks[second].state = State::Uncalibrated;
            bench.lock(second, Duration::from_secs(-600));
            bench.pass(100);
            assert_eq!(
                bench.selection().1,
                2,
                "network {first} detects it {lag} Syncs earlier: {:?}",
                bench.changes
            );
            let two = bench.changes.iter().any(|change| matches!(change, NetworkChange::TwoClocks(_)));
            assert!(!two, "reported as two clocks");
        }
    }
}

#[test]
fn single_network_keeps_the_timelines_of_its_port() {
    let mut bench = Bench::new(Duration::ZERO);
    let mut alone = Redundancy::default();
    for timeline in 0..5 {
        bench.networks[0].timeline = timeline;
        assert!(alone.consider(bench.now, &bench.networks[..1]).is_empty());
        assert_eq!((alone.selected(), alone.timeline(0)), (0, timeline));
    }
}

#[test]
fn network_with_smaller_uncertainty_is_selected_after_30_s_and_an_equal_one_never() {
    let mut bench = Bench::new(Duration::from_us(5));
    bench.pass(400);
    assert_eq!(bench.selection(), (0, 1));
    for quarter in 0..200 {
        for (network, us) in bench.networks.iter_mut().zip([10, 1]) {
            let time = 699_000_000_000 + (bench.now.ns() - 1_000_000_000_000);
            let mut map = map(time, bench.now);
            map.sigma.offset = Duration::from_us(us);
            network.map = Some(map);
        }
        bench.pass(1);
        let switched = bench.selection() == (1, 1);
        assert_eq!(switched, quarter >= 120, "after {quarter} quarters of a second");
    }
}
