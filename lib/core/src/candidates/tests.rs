use super::*;
use crate::time::{Affine, Correlation, Dante, Uncertainty, Wander};
use crate::wire::Uuid;

/// Interfaces with leaders of known time.
struct Bench {
    candidates: Candidates,
    now: Timestamp<Raw>,
    evidence: Vec<Evidence>,
    changes: Vec<Change>,
}

const IDENTITY: PortIdentity =
    PortIdentity { technology: PortIdentity::ETHERNET, uuid: Uuid([0, 0x1d, 0xc1, 1, 2, 3]), port_id: 1 };

/// What an interface without a leader receives.
const NO_LEADER: Evidence = Evidence { state: State::Listening, leader: None, sender: None, map: None };

/// A leader's time and rate against the first leader's.
const SAME: (Duration, f64) = (Duration::ZERO, 0.0);

impl Bench {
    fn new(count: usize) -> Self {
        let now = Timestamp::from_ns(1_000_000_000_000);
        let evidence = vec![NO_LEADER; count];
        Self { candidates: Candidates::default(), now, evidence, changes: Vec::new() }
    }

    /// A leader appears, and its rate is known after 2 s.
    fn appear(&mut self, place: usize, preference: u8, (apart, ppb): (Duration, f64)) {
        let raw0 = Timestamp::from_ns(0);
        let line = Affine {
            raw0,
            at0: Timestamp::<Dante>::from_ns(699_000_000_000) + apart,
            rate: Ratio::from_ppb(12_000.0 + ppb),
        };
        let sigma = Uncertainty { offset: Duration::from_us(1), rate: Ratio::from_ppb(1.0) };
        let map = ClockMap { line, sigma, correlation: Correlation::ZERO, wander: Wander::from_ppb(0.01) };
        let state = State::Uncalibrated;
        let sender =
            (PortIdentity { port_id: 1 + u16::try_from(place).unwrap(), ..IDENTITY }, Ipv4Addr::LOCALHOST);
        self.evidence[place] =
            Evidence { state, leader: Some(preference), sender: Some(sender), map: Some(map) };
    }

    fn lock(&mut self) {
        let locked = self.evidence.iter_mut().filter(|one| one.leader.is_some());
        locked.for_each(|one| one.state = State::Slave);
    }

    fn lose(&mut self, place: usize) {
        self.evidence[place] = Evidence { state: State::Listening, leader: None, ..self.evidence[place] };
    }

    /// Lets this many milliseconds pass.
    fn pass(&mut self, ms: i64) -> &[Change] {
        let before = self.changes.len();
        for _ in 0..ms / 250 {
            self.now = self.now + Duration::from_ms(250);
            self.changes.extend(self.candidates.consider(self.now, &self.evidence));
        }
        &self.changes[before..]
    }

    fn roles(&self) -> Vec<Role> {
        let places = 0..self.evidence.len();
        places.map(|place| self.candidates.role(self.now, place, &self.evidence)).collect()
    }
}

fn use_of(primary: usize, secondary: Option<usize>) -> Change {
    Change::Use { primary, secondary }
}

#[test]
fn only_interface_with_a_leader_is_used_after_a_wait_for_others() {
    let mut bench = Bench::new(3);
    assert_eq!(bench.pass(60_000), []);
    bench.appear(1, 0, SAME);
    assert_eq!(bench.pass(2_250), [], "another one may receive a leader within that time");
    assert_eq!(bench.pass(1_000), [use_of(1, None)]);
    bench.lock();
    assert_eq!(bench.pass(600_000), []);
    assert_eq!(bench.roles(), [Role::NoLeader, Role::Primary, Role::NoLeader]);
}

#[test]
fn interface_that_cannot_receive_is_not_waited_for() {
    let mut bench = Bench::new(2);
    bench.evidence[0].state = State::Faulty;
    bench.appear(1, 0, SAME);
    assert_eq!(bench.pass(250), [use_of(1, None)]);
}

#[test]
fn only_candidate_is_used_without_a_leader() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.pass(60_000), [Change::Only(0)]);
    // Another one is plugged in later and receives a leader.
    bench.evidence.push(NO_LEADER);
    assert_eq!(bench.pass(60_000), []);
    bench.appear(1, 0, SAME);
    assert_eq!(bench.pass(1_000), [use_of(1, None)]);
}

#[test]
fn one_clock_on_two_interfaces_gives_primary_and_secondary() {
    let mut bench = Bench::new(3);
    bench.appear(2, 0, SAME);
    bench.appear(0, 0, (Duration::from_us(400), 20.0));
    assert_eq!(bench.pass(5_000), []);
    assert_eq!(bench.roles(), [Role::Comparing, Role::NoLeader, Role::Comparing]);
    bench.lock();
    assert_eq!(bench.pass(9_000), [use_of(0, None)]);
    assert_eq!(bench.roles(), [Role::Primary, Role::NoLeader, Role::Comparing]);
    assert_eq!(bench.pass(2_000), [use_of(0, Some(2))]);
    assert_eq!(bench.pass(600_000), []);
    // Each may be lost for a while, and no other change follows.
    bench.lose(0);
    assert_eq!(bench.pass(60_000), []);
}

#[test]
fn two_clocks_are_refused_once_with_both_named() {
    for other in [(Duration::from_secs(90_000), 0.0), (Duration::from_ms(2), 0.0), (Duration::ZERO, 3_000.0)]
    {
        let mut bench = Bench::new(2);
        bench.appear(0, 0, SAME);
        bench.appear(1, 0, other);
        bench.pass(3_000);
        bench.lock();
        let changes = bench.pass(600_000).to_vec();
        assert!(matches!(changes[..], [Change::Conflict(0, 1, _)]), "{other:?}: {changes:?}");
        assert_eq!(bench.candidates.used(), []);
        assert_eq!(bench.roles(), [Role::OtherClock, Role::OtherClock]);
        // One of the leaders is switched off.
        bench.lose(0);
        assert_eq!(bench.pass(1_000), [use_of(1, None)]);
    }
}

#[test]
fn preferred_leader_chooses_between_two_clocks() {
    let mut bench = Bench::new(2);
    bench.appear(0, 1, SAME);
    bench.appear(1, 2, (Duration::from_secs(5), 0.0));
    assert_eq!(bench.pass(5_000), [use_of(1, None)]);
}

#[test]
fn second_network_is_used_when_it_appears_with_the_same_clock() {
    let mut bench = Bench::new(3);
    bench.appear(1, 0, SAME);
    bench.pass(3_000);
    bench.lock();
    bench.pass(60_000);
    bench.appear(0, 0, (Duration::from_secs(7), 0.0));
    bench.appear(2, 0, (Duration::from_us(-300), 0.0));
    bench.lock();
    let changes = bench.pass(30_000).to_vec();
    assert!(
        matches!(changes[..], [Change::OtherClock(0, by), Change::Use { primary: 1, secondary: Some(2) }] if by.time == Duration::from_secs(7)),
        "{changes:?}"
    );
}

#[test]
fn interface_without_leader_is_replaced_after_some_seconds() {
    let mut bench = Bench::new(2);
    bench.appear(0, 0, SAME);
    bench.pass(3_000);
    bench.lock();
    bench.appear(1, 0, (Duration::from_secs(7), 0.0));
    bench.lock();
    bench.pass(30_000);
    bench.lose(0);
    assert_eq!(bench.pass(9_000), []);
    assert_eq!(bench.pass(2_000), [use_of(1, None)]);
    // It returns, and is another clock.
    bench.appear(0, 0, SAME);
    bench.lock();
    let changes = bench.pass(60_000).to_vec();
    assert!(matches!(changes[..], [Change::OtherClock(0, _)]), "{changes:?}");
}

#[test]
fn uncertain_rates_are_compared_until_they_are_known() {
    let mut bench = Bench::new(2);
    bench.appear(0, 0, SAME);
    bench.appear(1, 0, (Duration::ZERO, 3_000.0));
    for one in &mut bench.evidence {
        one.map.as_mut().unwrap().sigma.rate = Ratio::from_ppb(1_000.0);
        // The time is known at the moment.
        one.map.as_mut().unwrap().line.raw0 = Timestamp::from_ns(1_030_000_000_000);
    }
    bench.lock();
    let agrees = bench.pass(20_000).to_vec();
    assert_eq!(agrees, [use_of(0, None), use_of(0, Some(1))], "within the uncertainty");
}

/// Both interfaces are plugged into one switch.
#[test]
fn second_interface_on_the_same_network_is_spare() {
    let mut bench = Bench::new(2);
    bench.appear(0, 0, SAME);
    bench.appear(1, 0, SAME);
    bench.evidence[1].sender = bench.evidence[0].sender;
    assert_eq!(bench.pass(250), [use_of(0, None)]);
    bench.lock();
    assert_eq!(bench.pass(600_000), []);
    assert_eq!(bench.roles(), [Role::Primary, Role::Spare]);
    // Its cable is pulled out.
    bench.lose(0);
    assert_eq!(bench.pass(11_000), [use_of(1, None)]);
}
