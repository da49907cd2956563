//! Two networks: Dante's primary and secondary.

use crate::*;

/// The other port of the clock that leads on the primary: another UUID, the same time, a way of its own.
fn one_clock(seed: u64, link: Profile, apart: Duration) -> Trial {
    let primary = role(0, seed, link, pc(), 699);
    let other = role(1, seed, link, pc(), 699);
    let link = Profile { delay: link.delay + apart, ..link };
    Trial::redundant(seed, primary.clone(), Role { path: primary.path, link, ..other })
}

fn second() -> LeaderId {
    LeaderId::nth(1)
}

/// The secondary's way is 20 us longer: so much of phase, and no more, when it is used.
const APART: Duration = Duration::from_us(20);
const SWITCH: Figures = Figures { phase_us: 24.0, phase_left_us: 21.5, excursion_us: 24.0, ..VETH };

scenario! {
    both_networks_serve, 180, VETH, |seed| one_clock(seed, Profile::VETH, APART);
    primary_dies, 180, SWITCH, |seed| one_clock(seed, Profile::VETH, APART).then(60, Act::Stop(first()));
    // The primary is back: nothing changes for that.
    primary_is_out_for_20_s, 180, SWITCH, |seed| {
        one_clock(seed, Profile::VETH, APART).then(60, Act::Silence(first(), s(20)))
    };
    primary_and_secondary_die_in_turn, 400, SWITCH, |seed| {
        (1..=6).fold(one_clock(seed, Profile::VETH, APART), |trial, n| {
            trial.then(50 * n, Act::Silence(if n % 2 == 1 { first() } else { second() }, s(30)))
        })
    };
    secondary_dies, 180, VETH, |seed| one_clock(seed, Profile::VETH, APART).then(60, Act::Stop(second()));
    both_die_and_come_back, 240, Figures { unlocked_s: 32.0, phase_us: 24.0, excursion_us: 24.0, phase_left_us: 21.5, ..VETH }, |seed| {
        one_clock(seed, Profile::VETH, APART)
            .then(60, Act::Silence(first(), s(30)))
            .then(60, Act::Silence(second(), s(32)))
    };
    // One clock, seen by two ports: the timeline rises once.
    redundant_leader_reboots, 180,
        Figures { unlocked_s: 10.0, phase_us: 24.0, phase_left_us: 21.5, excursion_us: 30.0, timelines: 2, ..VETH },
        |seed| {
            one_clock(seed, Profile::VETH, APART)
                .then(60, Act::Reboot(first(), s(5)))
                .then(60, Act::Reboot(second(), s(5)))
        };
    // Two clocks: the secondary's has another time and another rate, and is none to go over to at once.
    two_clocks_and_the_primary_dies, 180,
        Figures { unlocked_s: 13.0, phase_us: 2.5, excursion_us: 6.0, timelines: 2, ..VETH },
        |seed| {
            let primary = role(0, seed, Profile::VETH, pc(), 699);
            let secondary = role(1, seed, Profile::VETH, Model::PC.at_ppm(-3.0), 541_867);
            Trial::redundant(seed, primary, secondary).then(60, Act::Stop(first()))
        };
    two_clocks_and_the_primary_is_out_for_8_s, 180, Figures { unlocked_s: 9.0, ..VETH }, |seed| {
        let primary = role(0, seed, Profile::VETH, pc(), 699);
        let secondary = role(1, seed, Profile::VETH, Model::PC.at_ppm(-3.0), 541_867);
        Trial::redundant(seed, primary, secondary).then(60, Act::Silence(first(), s(8)))
    };
    primary_dies_dante, 300, Figures { phase_us: 50.0, phase_left_us: 32.0, excursion_us: 76.0, ..DANTE }, |seed| {
        one_clock(seed, Profile::DANTE, APART).then(150, Act::Stop(first()))
    };
}

#[test]
fn two_clocks_are_told_of_and_one_is_not() {
    let mut one = one_clock(1, Profile::VETH, APART).world;
    one.run(s(60));
    let records: Vec<_> = one.host().records().network_changes().collect();
    assert_eq!(records, [NetworkChange::OneClock]);
    let primary = role(0, 1, Profile::VETH, pc(), 699);
    let mut two = Trial::redundant(1, primary, role(1, 1, Profile::VETH, pc(), 541_867)).world;
    two.run(s(60));
    let records: Vec<_> = two.host().records().network_changes().collect();
    assert!(matches!(records[..], [NetworkChange::TwoClocks(by)] if by > s(541_000)), "{records:?}");
    assert_eq!(two.host().observer().unwrap().selected(), 0);
}
