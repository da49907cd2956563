//! The date: every policy, and time servers that fail and lie.

use super::{EAGER, PATIENCE, PPM, off_s, seconds, utc_status, wait_for_state};
use dante_core::time::Duration as Span;
use dante_tests::guest::{Guest, INTERFACE, Setup};
use dante_tests::ntp::{Answer, Behaviour, NtpServer};
use dante_tests::{judge, wait_for, wait_until};
use std::time::{Duration, Instant};

/// A slope is as expected within this, ppm: brackets are good to some 0.15 ms.
const SLOPE_PPM: f64 = 15.0;

pub fn phases(guest: &mut Guest) {
    let _leader = guest.leader(&[&format!("--ppm={PPM}")]);
    let real = guest.switch.host(3);
    let _chronyd = guest.chronyd(&real);
    let liar = NtpServer::start(&guest.switch.host(4), Behaviour::default());
    guest.daemon("dante4l", &["-i", INTERFACE]);
    guest.phase("step, with a server that lies, babbles and falls silent", |guest| step(guest, &liar));
    guest.phase("slew", slew);
    guest.phase("free", free);
    guest.phase("utc", utc);
    guest.stop("dante4l");
}

fn steer(guest: &mut Guest, server: u8, words: &[&str]) {
    let server = guest.switch.address(server);
    guest.daemon("dante2sys", &[&["--ntp-server", &server, EAGER], words].concat());
    wait_for_state(guest, "LOCKED");
}

/// The guest's date minus the truth, ms.
fn off_ms(guest: &mut Guest) -> f64 {
    off_s(guest) * 1e3
}

/// Looks every second or so for so long, and returns the worst that the date was off, ms.
fn worst_for(guest: &mut Guest, span: Duration) -> f64 {
    let end = Instant::now() + span;
    let mut worst: f64 = 0.0;
    while Instant::now() < end {
        worst = worst.max(off_ms(guest).abs());
        std::thread::sleep(Duration::from_millis(700));
    }
    worst
}

/// How the date drifts, ppm: as is expected, or the brackets must be able to excuse it; the longer it takes, the less they
/// are.
fn judge_slope(guest: &mut Guest, expected_ppm: f64, span: Duration) -> f64 {
    let (begun, before) = (Instant::now(), guest.utc_error());
    loop {
        std::thread::sleep(span);
        let after = guest.utc_error();
        let ppm = |span: Span| span.secs_f64() / begun.elapsed().as_secs_f64() * 1e6;
        let (slope, doubt) = (ppm(after.error - before.error), ppm((before.width + after.width) / 2));
        if (slope - expected_ppm).abs() < SLOPE_PPM {
            return slope;
        }
        assert!(doubt > SLOPE_PPM / 2.0, "{slope} ppm, good to {doubt} ppm, and not {expected_ppm}");
    }
}

/// The sizes of the steps since the boot, s.
fn steps(guest: &mut Guest) -> Vec<f64> {
    let said = guest.journal("dante2sys");
    let sizes =
        said.lines().filter_map(|line| line.split("the clock is stepped by ").nth(1)?.split(' ').next());
    sizes.map(|size| size.parse().expect("the size of a step")).collect()
}

/// One step at the start, over 30 days; then the date is held by steps of about the threshold. What the server does in
/// between does not move it.
fn step(guest: &mut Guest, server: &NtpServer) {
    // The kernel writes the RTC when it is told that the date is good, and then every 11 minutes.
    let words = ["--ntp-server", &guest.switch.address(4), EAGER, "--step-threshold=2ms", "--rtc=kernel"];
    guest.daemon("dante2sys", &words);
    wait_until("the first step", PATIENCE, || steps(guest).len() == 1);
    let first = steps(guest);
    println!("first step: {first:?} s");
    let expected = Setup::default().rtc_ahead_s as f64;
    assert!((first[0] + expected).abs() < 10.0, "{first:?}");
    let begun = Instant::now();
    wait_for_state(guest, "LOCKED");
    println!("LOCKED {:.1} s after the step", begun.elapsed().as_secs_f64());
    wait_until("a good date", PATIENCE, || utc_status(guest)["synchronised"] == true);
    assert_eq!(guest.timex().status & 0x40, 0, "STA_UNSYNC");
    let honest = worst_for(guest, seconds(5, 300));

    server.change(|server| server.offset_ns = 1_000_000_000);
    let mut lied = worst_for(guest, seconds(0, 300));
    wait_for("a lie of 1 s doubted", PATIENCE, || {
        lied = lied.max(worst_for(guest, Duration::from_secs(1)));
        guest.journal("dante2sys").contains("not believed yet").then_some(())
    });
    // What is babbled or not answered at all moves nothing either: in namespaces, and here where there is time.
    server.change(|server| (server.offset_ns, server.answer) = (0, Answer::Garbage));
    let babbled = worst_for(guest, seconds(0, 300));
    server.change(|server| server.answer = Answer::Nothing);
    let silent = worst_for(guest, seconds(0, 300));
    server.change(|server| server.answer = Answer::Time);
    // From the wrong side of the truth it takes twice as long.
    let after = wait_for("a step by the threshold", PATIENCE * 2, || {
        let worst = worst_for(guest, Duration::from_secs(1));
        (steps(guest).len() > 1).then_some(worst)
    });
    println!(
        "worst, ms: honest {honest:.2}, lying {lied:.2}, garbage {babbled:.2}, silent {silent:.2}, {after:.2}"
    );
    // The threshold is 2 ms, a step comes a minute after the last one, and brackets are good to 0.15 ms.
    for worst in [honest, lied, babbled, silent, after] {
        judge("date off", worst, 4.0, "ms");
        assert!(worst < 100.0, "a server that lies by 1 s moved the date: {worst} ms");
    }
    let sizes = steps(guest);
    println!("steps: {sizes:?} s");
    for size in &sizes[1..] {
        assert!((-0.010..-0.0019).contains(size), "steps of about the threshold: {sizes:?}");
    }
    judge("rate - leader's", guest.timex().frequency_ppb / 1e3 - PPM, 1.0, "ppm");
    let rtc = guest.rtc_error();
    println!("the RTC, written by the kernel, is off by {rtc:+.3} s");
    assert!(rtc.abs() < 1.0, "{rtc} s: it was {expected} s ahead");
    guest.stop("dante2sys");
}

/// No step; the date drifts by what the bound leaves, and the page says so.
fn slew(guest: &mut Guest) {
    let before = steps(guest).len();
    steer(guest, 3, &["--utc-policy=slew"]);
    // A first answer that was held up on this machine makes the server a bad one for a while.
    wait_for("slewing at the bound", PATIENCE * 2, || {
        let slewed = utc_status(guest)["slew_ppb"].as_f64()?;
        ((slewed + 5_000.0).abs() < 0.1).then_some(())
    });
    let slope = judge_slope(guest, PPM - 5.0, seconds(12, 300));
    let drift = utc_status(guest)["drift_ppb"].as_f64().expect("a drift") / 1e3;
    println!("the date drifts by {slope:+.1} ppm, the page says {drift:+.1}");
    assert!((drift - (PPM - 5.0)).abs() < SLOPE_PPM, "{drift}");
    assert_eq!(steps(guest).len(), before, "slew does not step");
    assert!(guest.journal("dante2sys").contains("differ by more than the clock may be slewed"));
    guest.stop("dante2sys");
}

/// The leader's rate, and a date that drifts by all of it.
fn free(guest: &mut Guest) {
    let before = steps(guest).len();
    steer(guest, 3, &["--utc-policy=free"]);
    let slope = judge_slope(guest, PPM, seconds(12, 300));
    println!("the date drifts by {slope:+.1} ppm");
    assert_eq!(steps(guest).len(), before);
    assert_eq!(utc_status(guest)["slew_ppb"], 0.0);
    guest.stop("dante2sys");
}

/// Set at the start, and held from then on without a step.
fn utc(guest: &mut Guest) {
    let before = steps(guest).len();
    steer(guest, 3, &["--utc-policy=utc", "--first-step-threshold=1ms"]);
    // The leader's rate against UTC has to be known first, which takes some rounds here.
    let mut worst: f64 = 0.0;
    wait_for("running at UTC's rate", PATIENCE, || {
        worst = worst.max(worst_for(guest, Duration::from_secs(1)));
        ((utc_status(guest)["slew_ppb"].as_f64()? / 1e3 + PPM).abs() < SLOPE_PPM).then_some(())
    });
    let worst = worst.max(worst_for(guest, seconds(0, 300)));
    let slope = judge_slope(guest, 0.0, seconds(12, 300));
    let worst = worst.max(off_ms(guest).abs());
    println!("worst {worst:.2} ms, drifting by {slope:+.1} ppm at the end");
    judge("date off", worst, 2.0, "ms");
    assert!(steps(guest).len() <= before + 1, "no step but the first: {:?}", steps(guest));
    guest.stop("dante2sys");
}
