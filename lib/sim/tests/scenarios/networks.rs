//! Two networks: Dante's primary and secondary.

use crate::*;
use dante_core::observe;

/// A leader clock with two ports: the same time on both networks, with another UUID and path on the secondary.
fn one_clock(seed: u64, link: Profile, apart: Duration) -> Trial {
    let primary = role(0, seed, link, pc(), 699);
    let other = role(1, seed, link, pc(), 699);
    let link = Profile { delay: link.delay + apart, ..link };
    Trial::redundant(seed, primary.clone(), Role { path: primary.path, link: link.into(), ..other })
}

fn second() -> LeaderId {
    LeaderId::nth(1)
}

/// The path on the secondary network is 20 us longer. The phase error changes by that much while it is used.
const APART: Duration = Duration::from_us(20);
const SWITCH: Figures = Figures { phase_us: 24.0, phase_left_us: 21.5, excursion_us: 24.0, ..VETH };

scenario! {
    both_networks_work, 180, VETH, |seed| one_clock(seed, Profile::VETH, APART);
    better_leader_without_follow_ups_on_the_primary, 180, SWITCH, |seed| {
        let mut better = role(2, seed, Profile::VETH, Model::PC.at_ppm(-13.0), 541_867);
        (better.config.preferred, better.faults.lost) = (true, 1.0);
        one_clock(seed, Profile::VETH, APART).then(30, Act::Lead(Box::new(better)))
    };
    primary_leader_stops, 180, SWITCH, |seed| one_clock(seed, Profile::VETH, APART).then(60, Act::Stop(first()));
    // The secondary stays selected when the primary works again.
    primary_is_silent_for_20_s, 180, SWITCH, |seed| {
        one_clock(seed, Profile::VETH, APART).then(60, Act::Silence(first(), s(20)))
    };
    primary_and_secondary_are_silent_in_turn, 400, SWITCH, |seed| {
        (1..=6).fold(one_clock(seed, Profile::VETH, APART), |trial, n| {
            trial.then(50 * n, Act::Silence(if n % 2 == 1 { first() } else { second() }, s(30)))
        })
    };
    secondary_leader_stops, 180, VETH, |seed| one_clock(seed, Profile::VETH, APART).then(60, Act::Stop(second()));
    both_are_silent_for_30_s, 240, Figures { unlocked_s: 32.0, phase_us: 24.0, excursion_us: 24.0, phase_left_us: 21.5, ..VETH }, |seed| {
        one_clock(seed, Profile::VETH, APART)
            .then(60, Act::Silence(first(), s(30)))
            .then(60, Act::Silence(second(), s(32)))
    };
    // One clock on two networks: the timeline changes once.
    redundant_leader_reboots, 180,
        Figures { unlocked_s: 10.0, phase_us: 24.0, phase_left_us: 21.5, excursion_us: 30.0, timelines: 2, ..VETH },
        |seed| {
            one_clock(seed, Profile::VETH, APART)
                .then(60, Act::Reboot(first(), s(5)))
                .then(60, Act::Reboot(second(), s(5)))
        };
    // Two clocks: the leader on the secondary has another time and rate, so it is not followed at once.
    two_clocks_and_primary_leader_stops, 180,
        Figures { unlocked_s: 13.0, phase_us: 2.5, excursion_us: 6.0, timelines: 2, ..VETH },
        |seed| {
            let primary = role(0, seed, Profile::VETH, pc(), 699);
            let secondary = role(1, seed, Profile::VETH, Model::PC.at_ppm(-3.0), 541_867);
            Trial::redundant(seed, primary, secondary).then(60, Act::Stop(first()))
        };
    two_clocks_and_primary_is_silent_for_8_s, 180, Figures { unlocked_s: 9.0, ..VETH }, |seed| {
        let primary = role(0, seed, Profile::VETH, pc(), 699);
        let secondary = role(1, seed, Profile::VETH, Model::PC.at_ppm(-3.0), 541_867);
        Trial::redundant(seed, primary, secondary).then(60, Act::Silence(first(), s(8)))
    };
    primary_leader_stops_dante, 300, Figures { phase_us: 50.0, phase_left_us: 32.0, excursion_us: 76.0, ..DANTE }, |seed| {
        one_clock(seed, Profile::DANTE, APART).then(150, Act::Stop(first()))
    };
}

/// Returns the changes of the selection between the networks.
fn network_changes(world: &World) -> Vec<NetworkChange> {
    let outputs = world.host().records().observer.iter();
    outputs
        .filter_map(|(.., output)| match output {
            observe::Output::Network(change) => Some(*change),
            _ => None,
        })
        .collect()
}

#[test]
fn reports_whether_the_leaders_are_one_clock() {
    let mut one = one_clock(1, Profile::VETH, APART).world;
    one.run(s(60));
    assert_eq!(network_changes(&one), [NetworkChange::OneClock]);
    // The second clock has the time of the first at the start, and another rate: at 250 us they are two.
    let drifting = role(1, 1, Profile::VETH, Model::PC.at_ppm(13.0), 699);
    let mut one = Trial::redundant(1, role(0, 1, Profile::VETH, pc(), 699), drifting).world;
    one.run(s(400));
    let changes = network_changes(&one);
    assert!(
        matches!(changes[..], [NetworkChange::OneClock, NetworkChange::TwoClocks(by)] if by < Duration::from_us(300)),
        "{changes:?}"
    );
    let primary = role(0, 1, Profile::VETH, pc(), 699);
    let mut two = Trial::redundant(1, primary, role(1, 1, Profile::VETH, pc(), 541_867)).world;
    two.run(s(60));
    let changes = network_changes(&two);
    assert!(matches!(changes[..], [NetworkChange::TwoClocks(by)] if by > s(541_000)), "{changes:?}");
    assert_eq!(two.host().observer().unwrap().selected(), Some(0));
}
