use super::may_serve_utc;
use crate::args::{CheckArgs, Form, What};
use crate::outcome::Service;
use crate::pages::Pages;
use crate::verdict::{self, Verdict};
use crate::{check, get, metrics, scenes};
use dante_core::page::{
    Dante2sys, Dante2sysStatus, Freshness, STATUS_UTC_BY_HAND, STATUS_UTC_SYNCHRONISED, STEER_UTC_BY_HAND,
    STEER_UTC_SYNCHRONISED, View,
};
use dante_core::relay::{Delivery, OutputKind};
use dante_core::steer::{State, SteeredClock, UtcSource};

/// Every scene: the first line of `get status`, the verdict in JSON and in the metrics, `check` and `wait` answer alike whether the
/// host is synchronised.
#[test]
fn all_commands_agree_whether_the_host_is_synchronised() {
    for (name, pages) in scenes::all() {
        let expected = [
            "locked",
            "two_leaders",
            "passed_over",
            "chrony",
            "foreign_page",
            "virtual_clock",
            "auto_another_clock",
            "auto_spare",
        ];
        let expected = expected.contains(&name);
        assert_eq!(verdict::of(&pages).verdict == Verdict::Synchronised, expected, "{name}: verdict");
        let awaited = verdict::awaited(&pages);
        assert_eq!(awaited.is_ok(), expected, "{name}: wait: {awaited:?}");
        let text = get::output(&What::Status(Form { json: false }), &pages);
        let first = text.lines().next().unwrap_or_default();
        assert_eq!(first.contains("msynchronised to the leader"), expected, "{name}: {first:?}");
        let json = get::output(&What::Status(Form { json: true }), &pages);
        assert_eq!(json.contains("\"verdict\": \"synchronised\""), expected, "{name}: JSON");
        let metrics = metrics::of(&pages, metrics::Format::Openmetrics);
        let gauge = "dante_verdict{state=\"synchronised\"} 1.0\n";
        assert_eq!(metrics.contains(gauge), expected, "{name}: metrics");
        // Findings beside a synchronised clock make OK a warning.
        let (service, line) = check::judge(&pages, &CheckArgs::default());
        let agrees = match expected {
            true => [Service::Ok, Service::Warning].contains(&service),
            false => service != Service::Ok,
        };
        assert!(agrees, "{name}: {line}");
        assert!(!expected || !line.contains("not yet"), "{name}: {line}");
    }
}

/// A rehearsal must not be taken for the system clock.
#[test]
fn all_commands_name_a_virtual_clock_as_a_rehearsal() {
    let pages = scenes::virtual_clock();
    let status = get::output(&What::Status(Form { json: false }), &pages);
    let (_, check) = check::judge(&pages, &CheckArgs::default());
    let wait = verdict::awaited(&pages).expect("a rehearsal is awaited, too");
    for text in [status.lines().next().unwrap_or_default(), &check, &wait] {
        assert!(
            text.contains("virtual clock") && text.contains(": a rehearsal, the system clock is not steered"),
            "{text}"
        );
    }
    let metrics = metrics::of(&pages, metrics::Format::Openmetrics);
    assert!(metrics.contains("dante_verdict 1 for") && metrics.contains("it is a rehearsal"), "{metrics}");
    let error = verdict::awaited_of_dante2sys(&pages).expect_err("not the system clock");
    assert!(error.contains("virtual clock, not the system clock"), "{error}");
}

/// danteshm as a server of Dante time (usrvclock) steers no clock, and chrony is not fed.
#[test]
fn host_without_a_steered_clock_is_not_synchronised_by_a_usrvclock() {
    let mut stopped = scenes::locked().dante2sys;
    stopped.as_mut().expect("a page").freshness = Freshness::Stopped;
    for (dante2sys, expected) in
        [(stopped, Verdict::NotSynchronised), (scenes::chrony().dante2sys, Verdict::Unused)]
    {
        let mut pages = Pages { dante2sys, ..scenes::chrony() };
        let body = &mut pages.danteshm.as_mut().expect("a page").body;
        body.output_count = 1;
        body.outputs[0].kind = OutputKind::Usrvclock as u8;
        assert_eq!(verdict::of(&pages).verdict, expected);
        assert!(verdict::awaited(&pages).is_err() && verdict::awaited_of_dante2sys(&pages).is_err());
        let (service, line) = check::judge(&pages, &CheckArgs::default());
        assert_ne!(service, Service::Ok, "{line}");
    }
}

/// No chronyd runs where dante2sys steers the system clock: nobody reads danteshm's samples, and that is no fault.
#[test]
fn samples_that_nobody_reads_are_no_fault_where_dante2sys_steers_the_clock() {
    let beside = |clock: SteeredClock| {
        let mut pages = Pages { danteshm: scenes::fed_to_nobody().danteshm, ..scenes::locked() };
        pages.dante2sys.as_mut().expect("a page").body.clock = clock as u8;
        pages
    };
    let (service, line) = check::judge(&beside(SteeredClock::Realtime), &CheckArgs::default());
    let (alone, _) = check::judge(&scenes::locked(), &CheckArgs::default());
    assert_eq!(service, alone, "{line}");
    let (service, line) = check::judge(&beside(SteeredClock::Hardware), &CheckArgs::default());
    assert_eq!(service, Service::Warning, "{line}");
    let mut unavailable = beside(SteeredClock::Realtime);
    unavailable.danteshm.as_mut().expect("a page").body.outputs[0].delivery = Delivery::Unavailable as u8;
    assert_eq!(check::judge(&unavailable, &CheckArgs::default()).0, Service::Warning);
}

/// The unit dante2sys-wait must neither wait for danteshm nor be satisfied by it.
#[test]
fn danteshm_does_not_count_where_dante2sys_is_awaited() {
    assert_eq!(verdict::awaited_of_dante2sys(&scenes::locked()), Ok("the clock is steered".into()));
    assert!(verdict::awaited_of_dante2sys(&scenes::chrony()).is_err());
    let beside = Pages { danteshm: scenes::fed_to_nobody().danteshm, ..scenes::locked() };
    assert!(verdict::awaited_of_dante2sys(&beside).is_ok());
    for clock in [SteeredClock::Virtual as u8, SteeredClock::Hardware as u8, 99] {
        let mut pages = scenes::locked();
        pages.dante2sys.as_mut().expect("a page").body.clock = clock;
        assert!(verdict::awaited_of_dante2sys(&pages).is_err(), "clock {clock}");
    }
}

fn steered(change: impl FnOnce(&mut Dante2sysStatus)) -> Result<String, String> {
    let mut pages = scenes::locked();
    change(&mut pages.dante2sys.as_mut().expect("a page").body);
    let both = [verdict::awaited(&pages), verdict::awaited_of_dante2sys(&pages)];
    assert_eq!(both[0], both[1]);
    let [answer, _] = both;
    answer
}

#[test]
fn synchronised_clock_is_awaited_with_utc_if_there_is_a_source() {
    for state in State::ALL {
        assert_eq!(steered(|body| body.state = state as u8).is_ok(), state == State::Locked, "{state}");
    }
    assert!(steered(|body| body.state = 99).is_err());
    let utc = |flag: u8, source: UtcSource| {
        steered(|body| {
            body.flags = body.flags & !STATUS_UTC_SYNCHRONISED | flag;
            body.utc_source = source as u8;
        })
    };
    assert!(utc(0, UtcSource::Ntp).expect_err("no UTC").contains("UTC is not synchronised"));
    assert!(utc(0, UtcSource::None).is_ok());
    // A time set by hand is intended.
    assert!(utc(STATUS_UTC_BY_HAND, UtcSource::Ntp).is_ok());
    assert!(utc(STATUS_UTC_SYNCHRONISED, UtcSource::Leader).is_ok());
}

/// A changing value in the text would be reported five times a second.
#[test]
fn text_of_what_is_missing_has_no_measured_value() {
    for phase_error_ns in [-21_000_000, -20_999_000] {
        let missing = steered(|body| body.phase_error_ns = phase_error_ns).expect_err("far");
        assert_eq!(missing, "dante2sys LOCKED, not yet at its target");
    }
}

/// The page of a dante2sys that is LOCKED on the system clock with UTC from NTP servers, after `change`.
fn page(change: impl FnOnce(&mut View<Dante2sys>)) -> View<Dante2sys> {
    let body = Dante2sys {
        state: State::Locked as u8,
        clock: SteeredClock::Realtime as u8,
        utc_source: UtcSource::Ntp as u8,
        flags: STEER_UTC_SYNCHRONISED,
        ..Dante2sys::default()
    };
    let mut view = View { freshness: Freshness::Fresh, pid: 1, instance: 1, body };
    change(&mut view);
    view
}

/// Asserts whether UTC of the page may be served.
#[track_caller]
fn assert_served(page: &View<Dante2sys>, expected: bool) {
    assert_eq!(may_serve_utc(page).is_ok(), expected, "{page:?}");
}

#[test]
fn only_some_states_permit_serving_utc() {
    for state in State::ALL {
        let served = matches!(state, State::Locked | State::Holdover);
        assert_served(&page(|view| view.body.state = state as u8), served);
    }
    assert_served(&page(|view| view.body.state = 99), false);
}

#[test]
fn utc_goal_needs_synchronised_utc_from_a_source() {
    assert_served(&page(|_| {}), true);
    assert_served(&page(|view| view.body.flags = 0), false);
    // Set by hand: good enough for this host, not for others. Also on a page with both flags.
    assert_served(&page(|view| view.body.flags = STEER_UTC_BY_HAND), false);
    assert_served(&page(|view| view.body.flags |= STEER_UTC_BY_HAND), false);
    assert_served(&page(|view| view.body.utc_source = UtcSource::None as u8), false);
    assert_served(&page(|view| view.body.utc_source = UtcSource::Leader as u8), true);
}

/// A time server on this host serves the system clock.
#[test]
fn utc_goal_needs_the_system_clock() {
    assert_served(&page(|view| view.body.clock = SteeredClock::Virtual as u8), false);
    assert_served(&page(|view| view.body.clock = SteeredClock::Hardware as u8), false);
    assert_served(&page(|view| view.body.clock = 99), false);
}

#[test]
fn utc_goal_needs_a_running_dante2sys() {
    for freshness in [Freshness::Stale, Freshness::Stopped] {
        assert_served(&page(|view| view.freshness = freshness), false);
    }
}
