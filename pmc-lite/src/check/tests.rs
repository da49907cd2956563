use super::{Service, judge};
use crate::args::{Action, Args, CheckArgs};
use crate::pages::Pages;
use crate::scenes;
use clap::Parser;
use dante_core::page::{Freshness, View};
use dante_core::relay::OutputKind;
use dante_core::relay::Waiting;
use dante_core::steer::SteeredClock;
use dante_core::track::KernelClock;
use dante_core::{port, relay, steer};

fn limits(words: &[&str]) -> CheckArgs {
    match Args::try_parse_from(["pmc-lite", "check"].iter().chain(words)).expect("flags").action {
        Some(Action::Check(limits)) => limits,
        other => panic!("{other:?}"),
    }
}

fn judged(pages: &Pages, words: &[&str]) -> (Service, String) {
    judge(pages, &limits(words))
}

#[test]
fn prints_one_line_for_every_scene() {
    let words = [
        "--max-offset=200us",
        "--warn-offset=1us",
        "--max-rate-error=1",
        "--max-utc-error=20ms",
        "--max-age=1",
    ];
    for (name, pages) in scenes::all() {
        let lines = [&[][..], &words].map(|words| {
            let (service, line) = judged(&pages, words);
            assert!(line.starts_with(&format!("DANTE {} - ", service.name())), "{line}");
            assert_eq!(line.lines().count(), 1, "{line}");
            format!("{}: {line}", service.status())
        });
        insta::assert_snapshot!(name, lines.join("\n"));
    }
}

#[test]
fn maps_every_state_to_its_service_state() {
    let steered = |state: steer::State| {
        let mut pages = scenes::locked();
        change(&mut pages.dante2sys, |body| body.state = state as u8);
        judged(&pages, &[]).0
    };
    for (state, service) in [
        (steer::State::Waiting, Service::Critical),
        (steer::State::Acquiring, Service::Warning),
        (steer::State::Locked, Service::Ok),
        (steer::State::Holdover, Service::Warning),
        (steer::State::Refused, Service::Critical),
        (steer::State::Yielded, Service::Critical),
    ] {
        assert_eq!(steered(state), service, "{state}");
    }
    for (ns, service) in [(999_000, Service::Ok), (-21_000_000, Service::Warning)] {
        let mut pages = scenes::locked();
        change(&mut pages.dante2sys, |body| body.phase_error_ns = ns);
        let (judged, line) = judged(&pages, &[]);
        assert_eq!(judged, service, "LOCKED, {ns} ns from its target: {line}");
    }
    let relayed = |state: relay::State, waiting: Waiting, port: port::State| {
        let mut pages = scenes::chrony();
        change(&mut pages.danteshm, |body| {
            body.state = state as u8;
            body.waiting = waiting as u8;
            body.output_count = 1;
        });
        change(&mut pages.dante4l, |body| body.ports[0].state = port as u8);
        judged(&pages, &[]).0
    };
    for (state, waiting, port, service) in [
        (relay::State::Feeding, Waiting::Nothing, port::State::Slave, Service::Ok),
        (relay::State::Waiting, Waiting::Pause, port::State::Slave, Service::Warning),
        (relay::State::Waiting, Waiting::Utc, port::State::Slave, Service::Critical),
        (relay::State::Waiting, Waiting::Leader, port::State::Uncalibrated, Service::Warning),
        (relay::State::Waiting, Waiting::Leader, port::State::Listening, Service::Critical),
    ] {
        assert_eq!(relayed(state, waiting, port), service, "{state} {waiting:?} {port}");
    }
    // dante4l alone.
    for state in port::State::ALL {
        let mut pages = Pages { dante2sys: scenes::no_daemon().dante2sys, ..scenes::locked() };
        change(&mut pages.dante4l, |body| body.ports[0].state = state as u8);
        let is_near = [port::State::Slave, port::State::Uncalibrated].contains(&state);
        let service = if is_near { Service::Warning } else { Service::Critical };
        assert_eq!(judged(&pages, &[]).0, service, "{state}");
    }
}

#[test]
fn daemon_that_ended_is_critical_unless_replaced() {
    let gone = |freshness| {
        let mut pages = scenes::locked();
        pages.dante4l = pages.dante4l.map(|view| View { freshness, ..view });
        judged(&pages, &[])
    };
    for freshness in [Freshness::Stale, Freshness::Stopped] {
        let (service, line) = gone(freshness);
        assert_eq!(service, Service::Critical);
        assert!(line.contains("dante4l is not running"), "{line}");
    }
    // danteshm replaces a dante2sys that was stopped, but not one that crashed.
    let replaced = |freshness| {
        let mut pages = scenes::chrony();
        change(&mut pages.danteshm, |body| body.output_count = 1);
        pages.dante2sys = scenes::locked().dante2sys.map(|view| View { freshness, ..view });
        judged(&pages, &[])
    };
    let (service, line) = replaced(Freshness::Stopped);
    assert_eq!(service, Service::Ok, "{line}");
    assert!(line.contains("danteshm FEEDING") && !line.contains("dante2sys"), "{line}");
    assert_eq!(replaced(Freshness::Stale).0, Service::Critical);
}

#[test]
fn value_above_its_limit_changes_the_state() {
    let locked = |words: &[&str]| judged(&scenes::locked(), words);
    for (words, service) in [
        // 37 ns, -0.0093 ppm, 1.512345 ms, 0.125 s.
        (&["--max-offset=38ns"][..], Service::Ok),
        (&["--max-offset=36ns"], Service::Critical),
        (&["--warn-offset=36ns"], Service::Warning),
        (&["--warn-offset=36ns", "--max-offset=1us"], Service::Warning),
        (&["--max-rate-error=0.01"], Service::Ok),
        (&["--max-rate-error=0.009"], Service::Critical),
        (&["--warn-rate-error=0.009"], Service::Warning),
        (&["--max-utc-error=1.6ms"], Service::Ok),
        (&["--max-utc-error=1.5ms"], Service::Critical),
        (&["--max-age=0.13"], Service::Ok),
        (&["--max-age=120ms"], Service::Critical),
        (&["--warn-age=120ms", "--max-age=10"], Service::Warning),
    ] {
        let (found, line) = locked(words);
        assert_eq!(found, service, "{words:?}: {line}");
        assert_eq!(line.contains(", limit "), service != Service::Ok, "{line}");
    }
    let (_, line) = locked(&["--warn-offset=10ns", "--max-offset=20ns"]);
    assert!(line.contains("the phase error is 37 ns, limit 20 ns"), "{line}");
    assert!(line.contains("phase=0.000000037s;-0.000000010:0.000000010;-0.000000020:0.000000020 "), "{line}");

    // The limit applies to the magnitude.
    let mut behind = scenes::locked();
    change(&mut behind.dante2sys, |body| body.phase_error_ns = -250_000);
    assert_eq!(judged(&behind, &["--max-offset=200us"]).0, Service::Critical);
    assert_eq!(judged(&behind, &["--max-offset=300us"]).0, Service::Ok);
}

#[test]
fn unknown_value_with_a_limit_is_not_ok() {
    // In HOLDOVER the limit applies to the uncertainty, 2310 ns.
    let holdover = |words: &[&str]| judged(&scenes::holdover(), words);
    assert_eq!(holdover(&["--max-offset=3us"]).0, Service::Warning);
    let (service, line) = holdover(&["--max-offset=2us"]);
    assert_eq!(service, Service::Critical);
    assert!(
        line.contains("the phase uncertainty is 2.31 us, limit 2 us") && line.contains("phase=U"),
        "{line}"
    );

    // chrony steers: the phase error is unknown, and the bound on the UTC error is the kernel's.
    let mut chrony = scenes::chrony();
    change(&mut chrony.danteshm, |body| body.output_count = 1);
    assert_eq!(judged(&chrony, &[]).0, Service::Ok);
    let (service, line) = judged(&chrony, &["--max-offset=1ms"]);
    assert_eq!(service, Service::Unknown);
    assert!(line.contains("the phase error is unknown"), "{line}");
    assert_eq!(judged(&chrony, &["--max-utc-error=1.6ms"]).0, Service::Ok);
    assert_eq!(judged(&chrony, &["--max-utc-error=1.5ms"]).0, Service::Critical);
    change(&mut chrony.dante4l, |body| body.kernel_clock = KernelClock::Unsynchronised as u8);
    assert_eq!(judged(&chrony, &["--max-utc-error=1"]).0, Service::Critical);

    // No Sync has been measured.
    let mut near = Pages { dante2sys: scenes::no_daemon().dante2sys, ..scenes::listening(None) };
    change(&mut near.dante4l, |body| body.ports[0].state = port::State::Uncalibrated as u8);
    assert_eq!(judged(&near, &[]).0, Service::Warning);
    assert_eq!(judged(&near, &["--max-age=1"]).0, Service::Critical);
}

#[test]
fn rejects_warning_limit_that_is_not_below_the_critical_one() {
    let wrong = |words: &[&str]| super::figures::check(&limits(words)).err();
    assert_eq!(wrong(&["--warn-offset=1us", "--max-offset=2us", "--warn-age=3"]), None);
    for (words, name) in [
        (["--warn-offset=2us", "--max-offset=1us"], "offset"),
        (["--warn-rate-error=2", "--max-rate-error=2"], "rate-error"),
        (["--warn-utc-error=20ms", "--max-utc-error=10ms"], "utc-error"),
        (["--warn-age=2", "--max-age=1"], "age"),
    ] {
        assert!(wrong(&words).expect("an error").contains(&format!("--max-{name}")));
    }
}

/// The line shows that the steered clock is not the system clock.
#[test]
fn names_a_clock_that_is_not_the_system_clock() {
    let mut pages = scenes::locked();
    change(&mut pages.dante2sys, |body| body.clock = SteeredClock::Virtual as u8);
    assert!(
        judged(&pages, &[]).1.contains(", virtual clock: a rehearsal, the system clock is not steered |"),
        "{}",
        judged(&pages, &[]).1
    );
    assert!(!judged(&scenes::locked(), &[]).1.contains("clock"));
}

/// A path may contain a bar, which would end the text, or a line break, which would end the output.
#[test]
fn replaces_bars_and_line_breaks_in_the_text() {
    let mut pages = scenes::chrony();
    change(&mut pages.danteshm, |body| {
        body.outputs[1].kind = OutputKind::Sock as u8;
        body.outputs[1].path = dante_core::page::SocketPath::new("/run/a|b\nc");
    });
    let (_, line) = judged(&pages, &[]);
    assert!(line.contains("/run/a/b"), "{line}");
    assert_eq!((line.matches('|').count(), line.lines().count()), (1, 1), "{line}");
}

fn change<B>(page: &mut crate::pages::Read<B>, edit: impl FnOnce(&mut B)) {
    edit(&mut page.as_mut().unwrap_or_else(|error| panic!("{error}")).body);
}
