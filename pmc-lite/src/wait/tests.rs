use crate::args::Goal;
use dante_core::page::{Dante2sys, Freshness, STEER_UTC_BY_HAND, STEER_UTC_SYNCHRONISED, View};
use dante_core::steer::State;
use dante_core::steer::{SteeredClock, UtcSource};

/// What `pmc-lite wait` sees of a dante2sys that holds the system clock by NTP.
fn seen(change: impl FnOnce(&mut View<Dante2sys>)) -> Result<View<Dante2sys>, String> {
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

/// Whether the clock counts as steered, and its date as one to be passed on. A date is lost exactly where it is not good.
#[track_caller]
fn judge(seen: &Result<View<Dante2sys>, String>, steered: bool, date: bool) {
    assert_eq!(Goal::Steered.look(seen).is_ok(), steered, "steered: {seen:?}");
    assert_eq!(Goal::Utc.look(seen).is_ok(), date, "date: {seen:?}");
    let (date, lost) = (Goal::Utc.look(seen), Goal::UtcLost.look(seen));
    assert_eq!(date, lost.map_or_else(Ok, Err), "the opposite of one another");
}

#[test]
fn every_state() {
    for state in State::ALL {
        let (steered, date) = match state {
            State::Locked => (true, true),
            State::Holdover => (false, true),
            State::Waiting | State::Acquiring | State::Refused | State::Yielded => (false, false),
        };
        judge(&seen(|view| view.body.state = state as u8), steered, date);
    }
    judge(&seen(|view| view.body.state = 99), false, false);
}

#[test]
fn every_date() {
    // Not good.
    judge(&seen(|view| view.body.flags = 0), false, false);
    // Set by hand: that host's own affair, and nothing for others. A page that calls it good all the same is as bad.
    judge(&seen(|view| view.body.flags = STEER_UTC_BY_HAND), true, false);
    judge(&seen(|view| view.body.flags |= STEER_UTC_BY_HAND), true, false);
    // From nowhere.
    judge(&seen(|view| (view.body.utc_source, view.body.flags) = (UtcSource::None as u8, 0)), true, false);
    judge(&seen(|view| view.body.utc_source = UtcSource::None as u8), true, false);
    judge(&seen(|view| view.body.utc_source = UtcSource::Leader as u8), true, true);
}

/// Only the system clock is what a server on this host would serve.
#[test]
fn every_clock() {
    judge(&seen(|view| view.body.clock = SteeredClock::Virtual as u8), true, false);
    judge(&seen(|view| view.body.clock = SteeredClock::Hardware as u8), true, false);
    judge(&seen(|view| view.body.clock = 99), true, false);
}

#[test]
fn every_page() {
    judge(&seen(|_| {}), true, true);
    for freshness in [Freshness::Stale, Freshness::Stopped] {
        judge(&seen(|view| view.freshness = freshness), false, false);
    }
    judge(&Err("there is no page".into()), false, false);
}
