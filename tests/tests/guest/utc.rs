//! UTC: every policy, and time servers that fail or serve a wrong time.

use super::{
    CLOCK_S, EVENT_TIMEOUT, PPM, RATE_PPM, SHORT_INTERVAL, expect_small, seconds, utc_error_s, utc_status,
    wait_for_frequency, wait_for_state,
};
use dante_core::time::Duration as Span;
use dante_tests::guest::{Guest, INTERFACE, Setup};
use dante_tests::ntp::{Answer, Behaviour, NtpServer};
use dante_tests::{wait_for, wait_until};
use std::time::{Duration, Instant};

/// Longest time to measure a drift.
const DRIFT_TIMEOUT: Duration = Duration::from_secs(1200);
/// Of --max-slew, ppm: the rate with the correction differs clearly from that without.
const MAX_SLEW_PPM: f64 = 20.0;

pub fn phases(guest: &mut Guest) {
    let _leader = guest.leader(&[&format!("--ppm={PPM}")]);
    let correct = guest.switch.host(3);
    let _chronyd = guest.chronyd(&correct);
    let faulty = NtpServer::start(&guest.switch.host(4), Behaviour::default());
    guest.daemon("dante4l", &["-i", INTERFACE]);
    guest.phase("step, with a server that serves a wrong time, garbage and nothing", |guest| {
        step(guest, &faulty)
    });
    guest.phase("slew", slew);
    guest.phase("free", free);
    guest.phase("utc", utc);
    guest.stop("dante4l");
}

fn steer(guest: &mut Guest, server: u8, words: &[&str]) {
    let server = guest.switch.address(server);
    guest.daemon("dante2sys", &[&["--ntp-server", &server, SHORT_INTERVAL], words].concat());
    wait_for_state(guest, "LOCKED");
}

/// Measures the UTC error about once a second for `span`, and once at least. Returns the largest one, s.
fn worst_for(guest: &mut Guest, span: Duration) -> f64 {
    let end = Instant::now() + span;
    let mut worst = utc_error_s(guest).abs();
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(700));
        worst = worst.max(utc_error_s(guest).abs());
    }
    worst
}

/// Measures the drift of the guest's clock, ppm, until it is the expected one. A measurement that differs is repeated over a longer
/// time while its uncertainty can explain the difference.
fn judge_drift(guest: &mut Guest, expected_ppm: f64, span: Duration) -> f64 {
    let (begun, before) = (Instant::now(), guest.utc_error());
    loop {
        std::thread::sleep(span);
        let after = guest.utc_error();
        let ppm = |span: Span| span.secs_f64() / begun.elapsed().as_secs_f64() * 1e6;
        let (drift, uncertainty) = (ppm(after.error - before.error), ppm((before.width + after.width) / 2));
        if (drift - expected_ppm).abs() < RATE_PPM {
            return drift;
        }
        let explained = uncertainty > RATE_PPM / 2.0 && begun.elapsed() < DRIFT_TIMEOUT;
        assert!(explained, "drift {drift} +- {uncertainty} ppm instead of {expected_ppm} ppm");
    }
}

/// Returns the sizes of the steps since the boot, s.
fn steps(guest: &mut Guest) -> Vec<f64> {
    steps_in(&guest.journal("dante2sys"))
}

/// Returns the sizes of the steps in a journal of dante2sys, s.
pub fn steps_in(journal: &str) -> Vec<f64> {
    let sizes = journal.lines().filter_map(|line| line.split("stepping clock by ").nth(1)?.split(' ').next());
    sizes.map(|size| size.parse().expect("the size of a step")).collect()
}

/// dante2sys steps the clock once at the start, by 30 days. Then steps beyond the threshold keep it near UTC. A server that serves a
/// wrong time, garbage or nothing does not move it.
fn step(guest: &mut Guest, server: &NtpServer) {
    // The kernel writes the RTC when STA_UNSYNC is cleared, and then every 11 minutes.
    let words =
        ["--ntp-server", &guest.switch.address(4), SHORT_INTERVAL, "--step-threshold=2ms", "--rtc=kernel"];
    guest.daemon("dante2sys", &words);
    wait_until("the first step", EVENT_TIMEOUT, || steps(guest).len() == 1);
    let first = steps(guest);
    println!("first step: {first:?} s");
    let expected = Setup::default().rtc_ahead_s as f64;
    assert!((first[0] + expected).abs() < 10.0, "{first:?}");
    let begun = Instant::now();
    wait_for_state(guest, "LOCKED");
    println!("LOCKED {:.1} s after the step", begun.elapsed().as_secs_f64());
    wait_until("UTC synchronised", EVENT_TIMEOUT, || utc_status(guest)["synchronised"] == true);
    assert!(guest.timex().is_synchronised(), "STA_UNSYNC is set");
    let correct = worst_for(guest, seconds(5, 300));

    server.change(|server| server.offset_ns = 1_000_000_000);
    let mut wrong = worst_for(guest, seconds(0, 300));
    wait_for("a time that is wrong by 1 s rejected", EVENT_TIMEOUT, || {
        wrong = wrong.max(worst_for(guest, Duration::from_secs(1)));
        guest.journal("dante2sys").contains("rejected as outlier").then_some(())
    });
    // Also tested in namespaces; here for longer with SOAK set.
    server.change(|server| (server.offset_ns, server.answer) = (0, Answer::Garbage));
    let garbage = worst_for(guest, seconds(0, 300));
    server.change(|server| server.answer = Answer::Nothing);
    let silent = worst_for(guest, seconds(0, 300));
    server.change(|server| server.answer = Answer::Time);
    // If the clock is on the other side of UTC, the drift takes twice as long to the threshold.
    let after = wait_for("a step by the threshold", EVENT_TIMEOUT * 2, || {
        let worst = worst_for(guest, Duration::from_secs(1));
        (steps(guest).len() > 1).then_some(worst)
    });
    // A step is delayed until the UTC error is known to the threshold, and for a minute after the last one.
    let worst =
        [("correct", correct), ("wrong", wrong), ("garbage", garbage), ("silent", silent), ("then", after)];
    for (server, worst) in worst {
        expect_small(&format!("largest UTC error, server {server}"), worst);
    }
    let sizes = steps(guest);
    println!("steps: {sizes:?} s");
    for size in &sizes[1..] {
        assert!((-CLOCK_S..-0.0019).contains(size), "not beyond the threshold: {sizes:?}");
    }
    wait_for_frequency(guest, PPM);
    let rtc = guest.rtc_error();
    println!("error of the RTC, written by the kernel: {rtc:+.3} s");
    assert!(rtc.abs() < 1.0, "{rtc} s; before, the RTC was {expected} s ahead");
    guest.stop("dante2sys");
}

/// dante2sys does not step. The clock drifts from UTC by what the bound of the correction leaves, and the status has this drift.
fn slew(guest: &mut Guest) {
    let (before, logged) = (steps(guest).len(), guest.journal("dante2sys").len());
    steer(guest, 3, &["--utc-policy=slew", &format!("--max-slew={MAX_SLEW_PPM}")]);
    // If the first answer was delayed by load of this machine, the server has a large error for a while.
    wait_for("slewing at the bound", EVENT_TIMEOUT * 2, || {
        let slew_ppb = utc_status(guest)["slew_ppb"].as_f64()?;
        ((slew_ppb + MAX_SLEW_PPM * 1e3).abs() < 0.1).then_some(())
    });
    let expected = PPM - guest.machine_ppm() - MAX_SLEW_PPM;
    wait_for_frequency(guest, expected);
    let drift = wait_for("the drift in the status", EVENT_TIMEOUT, || {
        let drift = utc_status(guest)["drift_ppb"].as_f64()? / 1e3;
        ((drift - expected).abs() < RATE_PPM).then_some(drift)
    });
    let measured = judge_drift(guest, expected, seconds(12, 300));
    println!("drift of the clock: measured {measured:+.1} ppm, in the status {drift:+.1} ppm");
    assert_eq!(steps(guest).len(), before, "the policy slew stepped the clock");
    assert!(guest.journal_since("dante2sys", logged).contains("differ by more than the policy may correct"));
    guest.stop("dante2sys");
}

/// The clock keeps the leader's rate, and drifts from UTC by all of it.
fn free(guest: &mut Guest) {
    let before = steps(guest).len();
    steer(guest, 3, &["--utc-policy=free"]);
    let expected = PPM - guest.machine_ppm();
    let drift = judge_drift(guest, expected, seconds(12, 300));
    println!("drift of the clock: {drift:+.1} ppm");
    wait_for_frequency(guest, expected);
    assert_eq!(steps(guest).len(), before, "the policy free stepped the clock");
    assert_eq!(utc_status(guest)["slew_ppb"], 0.0);
    guest.stop("dante2sys");
}

/// The clock is set at the start, and then kept at UTC without a step.
fn utc(guest: &mut Guest) {
    let before = steps(guest).len();
    steer(guest, 3, &["--utc-policy=utc", "--first-step-threshold=1ms"]);
    // dante2sys first has to measure the leader's rate against UTC, which takes some NTP exchanges here.
    let mut worst: f64 = 0.0;
    wait_for("running at UTC's rate", EVENT_TIMEOUT, || {
        worst = worst.max(worst_for(guest, Duration::from_secs(1)));
        ((utc_status(guest)["slew_ppb"].as_f64()? / 1e3 + PPM).abs() < RATE_PPM).then_some(())
    });
    let worst = worst.max(worst_for(guest, seconds(0, 300)));
    let drift = judge_drift(guest, 0.0, seconds(12, 300));
    println!("drift at the end: {drift:+.1} ppm");
    expect_small("largest UTC error", worst.max(utc_error_s(guest).abs()));
    assert!(steps(guest).len() <= before + 1, "stepped after the first step: {:?}", steps(guest));
    guest.stop("dante2sys");
}
