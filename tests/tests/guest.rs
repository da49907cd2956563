//! The suite where it steers a real kernel clock: in a guest, which boots once for all of this.
//!
//! Each phase begins with what it needs started and ends with all of the suite stopped; what a phase did to the clock
//! stays. The guest's oscillator is this machine's, and so the leader's `--ppm` is what the guest has to find.

use dante_tests::guest::{Guest, INTERFACE, Setup, Timex};
use dante_tests::judge;
use dante_tests::lab::Leader;
use dante_tests::ntp_server::{Behaviour, NtpServer};
use std::time::{Duration, Instant};

/// What the leader gains on this machine's oscillator.
const PPM: f64 = 37.0;
/// Receive stamps scatter by 0.2 ms under emulation: the rate converges far later than on a real host.
const PATIENCE: Duration = Duration::from_secs(60);
/// `STA_PLL` of `<sys/timex.h>`.
const STA_PLL: i32 = 1;
const TICK: i64 = 10_000;

#[test]
fn the_suite_steers_a_kernel_clock() {
    let Some(mut guest) = Guest::boot(&Setup::default()) else { return };
    guest.phase("the bench itself: dates, reboot, time servers", the_bench);
    let leader = lead(&guest, &[]);
    guest.phase("locks, with what others left in the clock cleared", locks);
    guest.phase("a step by another program is adopted", adopts_a_step);
    guest.phase("a leader that falls silent", |guest| falls_silent(guest, leader));
    guest.phase("kill -9 leaves the rate", killed);
}

fn lead(guest: &Guest, words: &[&str]) -> Leader {
    guest.leader(&[&[format!("--ppm={PPM}").as_str()], words].concat())
}

/// The date is the guest's own, outlives a reboot in the real-time clock, and is to be had from time servers outside.
fn the_bench(guest: &mut Guest) {
    let before = guest.date_error();
    println!("guest minus this machine: {before}");
    judge("width of the bracket", before.width.secs_f64() * 1e3, 0.4, "ms");
    let ahead = Setup::default().rtc_ahead_s as f64;
    assert!((before.error.secs_f64() - ahead).abs() < 2.0, "{before}");
    guest.check("date -s '+1 hour' && hwclock --systohc --utc");
    guest.reboot();
    let after = guest.date_error();
    println!("after a reboot: {after}");
    assert!((after.error.secs_f64() - ahead - 3600.0).abs() < 3.0, "{after}");

    let (real, other) = (guest.switch.host(3), guest.switch.host(4));
    let chronyd = guest.chronyd(&real);
    let server = NtpServer::start(&other, Behaviour { offset_ns: 7_000_000_000, ..Behaviour::default() });
    for (number, ahead) in [(3, 0.0), (4, 7.0)] {
        let server = guest.switch.address(number);
        // -Q: says what is wrong with the clock, and leaves it alone.
        let said = guest.check(&format!("chronyd -Q -t 20 'server {server} iburst maxsamples 1' 2>&1"));
        let wrong = said.split("System clock wrong by ").nth(1).and_then(|rest| rest.split(' ').next());
        let wrong: f64 = wrong.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{said}"));
        let error = wrong - ahead + after.error.secs_f64();
        judge(&format!("date by {server}, against the bracket"), error * 1e3, 2.0, "ms");
    }
    assert!(!server.requests().is_empty());
    chronyd.stop().expect(0, &[]);

    let slept = guest.suspend(3);
    let woken = guest.date_error();
    println!("after a sleep of {slept:.2} s: {woken}");
    assert!((1.0..10.0).contains(&slept));
    assert!(
        (woken.error - after.error).secs_f64().abs() < 2.0,
        "the date is not the real-time clock's: {woken}"
    );
    guest.reset();
}

fn locks(guest: &mut Guest) {
    guest.check(&format!("adjtimex --tick 10010 --frequency 0 --status {STA_PLL}"));
    let before = guest.timex();
    assert_eq!((before.tick, before.status & STA_PLL), (10_010, STA_PLL), "{before:?}");
    let begun = Instant::now();
    guest.daemon("dante4l", &["-i", INTERFACE]);
    guest.daemon("dante2sys", &["--clock=realtime"]);
    guest.wait_for("dante2sys", "state", "LOCKED", PATIENCE);
    println!("LOCKED after {:.1} s", begun.elapsed().as_secs_f64());
    let said = guest.journal("dante2sys");
    assert!(said.contains("tick was 10010 us, left by another program"), "{said}");
    // Until the rate is near, within what the scatter of stamps allows.
    let near = dante_tests::wait_for("the leader's rate", PATIENCE, || {
        let timex = guest.timex();
        ((timex.frequency_ppb / 1e3 - PPM).abs() < 2.0).then_some(timex)
    });
    println!("within 2 ppm after {:.1} s", begun.elapsed().as_secs_f64());
    assert_eq!((near.tick, near.status & STA_PLL), (TICK, 0), "{near:?}");
    let (published, kernel) = alike(guest);
    println!("published {published:+.3} ppb, in the kernel {kernel:+.3} ppb");
}

/// What dante2sys publishes is what the kernel has, ppb. Corrections come four times a second, and each reading takes a
/// good part of that: a pair is looked for between which no correction came.
fn alike(guest: &mut Guest) -> (f64, f64) {
    let said = guest
        .check("for i in {1..15}; do pmc-lite get status --json; echo @; adjtimex --print; echo @; done");
    let parts: Vec<_> = said.split("@\n").collect();
    let pair = |pair: &[&str]| {
        let status: serde_json::Value = serde_json::from_str(pair[0]).expect("JSON of pmc-lite");
        let published = status["dante2sys"]["frequency_ppb"].as_f64().expect("frequency_ppb");
        (published, Timex::parse(pair[1]).frequency_ppb)
    };
    let seen: Vec<_> = parts.chunks_exact(2).map(pair).collect();
    // pmc-lite prints tenths.
    let alike = seen.iter().find(|(published, kernel)| (published - kernel).abs() < 0.1);
    *alike.unwrap_or_else(|| panic!("published, in the kernel: {seen:?}"))
}

fn adopts_a_step(guest: &mut Guest) {
    let before = guest.date_error();
    guest.check("date -s '+5 sec'");
    std::thread::sleep(Duration::from_secs(4));
    guest.wait_for("dante2sys", "state", "LOCKED", PATIENCE);
    let after = guest.date_error();
    // date sets whole seconds, or rather its own reading of them some ms later.
    let stepped = (after.error - before.error).secs_f64();
    assert!((stepped - 5.0).abs() < 1.0, "the clock did not stay where it was set: {stepped} s");
    let said = guest.journal("dante2sys");
    let lines: Vec<_> = said.lines().filter(|line| line.contains("stepped by")).collect();
    println!("stepped by {stepped:+.4} s: {lines:?}");
    assert_eq!(lines.len(), 1, "{said}");
}

fn falls_silent(guest: &mut Guest, leader: Leader) {
    leader.program.kill();
    guest.wait_for("dante2sys", "state", "HOLDOVER", Duration::from_secs(15));
    let held = guest.timex();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(guest.timex(), held, "holdover changes the rate");
    let _leader = lead(guest, &[]);
    guest.wait_for("dante2sys", "state", "LOCKED", PATIENCE);
    guest.wait_for("dante4l", "timeline", 2, PATIENCE);
}

fn killed(guest: &mut Guest) {
    guest.kill("dante2sys");
    let left = guest.timex();
    assert!((left.frequency_ppb / 1e3 - PPM).abs() < 5.0, "{left:?}");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(guest.timex(), left);
    guest.stop("dante4l");
}
