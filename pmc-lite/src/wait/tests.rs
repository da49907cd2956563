use crate::args::Goal;
use dante_core::page::{Dante2sys, Freshness, STEER_UTC_BY_HAND, STEER_UTC_SYNCHRONISED, View};
use dante_core::steer::State;
use dante_core::steer::{SteeredClock, UtcSource};

/// The page of a dante2sys that is LOCKED on the system clock with UTC from NTP servers, after `change`.
fn page(change: impl FnOnce(&mut View<Dante2sys>)) -> Result<View<Dante2sys>, String> {
    let body = Dante2sys {
        state: State::Locked as u8,
        clock: SteeredClock::Realtime as u8,
        utc_source: UtcSource::Ntp as u8,
        flags: STEER_UTC_SYNCHRONISED,
        ..Dante2sys::default()
    };
    let mut view = View { freshness: Freshness::Fresh, pid: 1, instance: 1, body };
    change(&mut view);
    Ok(view)
}

/// Asserts which goals the page meets. `utc-lost` is the opposite of `utc`.
#[track_caller]
fn assert_met(page: &Result<View<Dante2sys>, String>, steered: bool, utc: bool) {
    assert_eq!(Goal::Steered.check(page).is_ok(), steered, "steered: {page:?}");
    assert_eq!(Goal::Utc.check(page).is_ok(), utc, "utc: {page:?}");
    let (utc, lost) = (Goal::Utc.check(page), Goal::UtcLost.check(page));
    assert_eq!(utc, lost.map_or_else(Ok, Err), "the opposite of each other");
}

#[test]
fn only_some_states_meet_a_goal() {
    for state in State::ALL {
        let (steered, utc) = match state {
            State::Locked => (true, true),
            State::Holdover => (false, true),
            State::Waiting | State::Acquiring | State::Refused | State::Yielded => (false, false),
        };
        assert_met(&page(|view| view.body.state = state as u8), steered, utc);
    }
    assert_met(&page(|view| view.body.state = 99), false, false);
}

#[test]
fn utc_goal_needs_synchronised_utc_from_a_source() {
    // Not synchronised.
    assert_met(&page(|view| view.body.flags = 0), false, false);
    // Set by hand: good enough for this host, not for others. Also on a page with both flags.
    assert_met(&page(|view| view.body.flags = STEER_UTC_BY_HAND), true, false);
    assert_met(&page(|view| view.body.flags |= STEER_UTC_BY_HAND), true, false);
    // No source.
    assert_met(
        &page(|view| (view.body.utc_source, view.body.flags) = (UtcSource::None as u8, 0)),
        true,
        false,
    );
    assert_met(&page(|view| view.body.utc_source = UtcSource::None as u8), true, false);
    assert_met(&page(|view| view.body.utc_source = UtcSource::Leader as u8), true, true);
}

/// A time server on this host serves the system clock.
#[test]
fn utc_goal_needs_the_system_clock() {
    assert_met(&page(|view| view.body.clock = SteeredClock::Virtual as u8), true, false);
    assert_met(&page(|view| view.body.clock = SteeredClock::Hardware as u8), true, false);
    assert_met(&page(|view| view.body.clock = 99), true, false);
}

#[test]
fn no_goal_is_met_without_a_running_dante2sys() {
    assert_met(&page(|_| {}), true, true);
    for freshness in [Freshness::Stale, Freshness::Stopped] {
        assert_met(&page(|view| view.freshness = freshness), false, false);
    }
    assert_met(&Err("there is no page".into()), false, false);
}
