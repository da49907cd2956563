//! The suite where there is a PTP hardware clock, that of an emulated igb card in a guest: dante4l has the card stamp packets,
//! and dante2sys steers its clock. Runs only where SOAK is set,
//! since QEMU 10 and a disk of its own are fetched for it.
//!
//! Each change of this card's frequency also moves its phase, whoever changes it: by (change x time since the card
//! started), and by 2^41 ns where the frequency falls. No card of silicon does so. Rates are judged here, never phases.

use dante_tests::guest::{Card, Guest, INTERFACE, Setup};
use dante_tests::{judge, wait_for, wait_until};
use std::time::{Duration, Instant};

/// What the leader gains on this machine's oscillator, and so on that of the card.
const PPM: f64 = 37.0;
/// Receive stamps scatter by 0.2 ms under emulation.
const PATIENCE: Duration = Duration::from_secs(90);
/// Where another program leaves the clock.
const OTHER_PPB: f64 = 1000.0;

#[test]
fn the_suite_steers_a_hardware_clock() {
    if std::env::var_os("SOAK").is_none() {
        println!("not run: SOAK is not set");
        return;
    }
    let setup = Setup { card: Card::Igb, ..Setup::default() };
    let Some(mut guest) = Guest::boot("phc", &setup) else { return };
    let _leader = guest.leader(&[&format!("--ppm={PPM}")]);
    let (date, timex) = (guest.utc_error(), guest.timex());
    assert!(frequency(&mut guest).abs() < 1e-3, "somebody steers the card's clock");
    guest.phase("hardware time stamps that stay away", stamps_stay_away);
    guest.phase("hardware time stamps and nothing else", hardware_alone);
    guest.phase("a filter of another program", foreign_filter);
    guest.phase("locks", locks);
    guest.phase("kill -9 leaves the rate", killed);
    guest.phase("another program sets the frequency", disturbed);
    assert_eq!(guest.timex(), timex, "the system clock was touched");
    let moved = (guest.utc_error().error - date.error).secs_f64() * 1e3;
    judge("the guest's date moved by", moved, 1.0, "ms");
}

/// The frequency that the driver has, ppb.
fn frequency(guest: &mut Guest) -> f64 {
    dialled(&guest.check("phc_ctl /dev/ptp0 freq 2>&1"))
}

fn dialled(said: &str) -> f64 {
    let number = said.split("frequency offset is ").nth(1).and_then(|rest| rest.split("ppb").next());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no frequency: {said}"))
}

/// CLOCK_REALTIME minus the card's clock, ns, and the guest's uptime then, s.
fn compared(guest: &mut Guest) -> (f64, f64) {
    let said = guest.check("phc_ctl /dev/ptp0 cmp 2>&1; cat /proc/uptime");
    let offset =
        said.split_whitespace().find_map(|word| word.strip_suffix("ns").and_then(|ns| ns.parse().ok()));
    let uptime = said.lines().last().and_then(|line| line.split(' ').next()?.parse().ok());
    offset.zip(uptime).unwrap_or_else(|| panic!("{said}"))
}

/// What the card is set to: tx_type and rx_filter, by their numbers. hwstamp_ctl asks and changes nothing.
fn stamping(guest: &mut Guest) -> [i64; 2] {
    let said = guest.check(&format!("hwstamp_ctl -i {INTERFACE} 2>&1"));
    let number = |key: &str| -> i64 {
        let word = said.split(key).nth(1).and_then(|rest| rest.split_whitespace().next());
        word.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no {key}: {said}"))
    };
    [number("tx_type"), number("rx_filter")]
}

/// This card takes the filter for PTPv1's Syncs, and stamps none: software stamps stand in within seconds.
fn stamps_stay_away(guest: &mut Guest) {
    assert_eq!(stamping(guest), [0, 0], "somebody uses the card's stamps");
    let begun = Instant::now();
    guest.daemon("dante4l", &["-i", INTERFACE, "-l", "7", "--delay=e2e"]);
    wait_until("software stamps", PATIENCE, || {
        guest.status()["dante4l"]["ports"][0]["timestamping"] == "software"
    });
    println!("software stamps after {:.1} s", begun.elapsed().as_secs_f64());
    guest.wait_for("dante4l", "state", "SLAVE", PATIENCE);
    println!("SLAVE after {:.1} s", begun.elapsed().as_secs_f64());
    let said = guest.journal("dante4l");
    let place = |words: &str| said.find(words).unwrap_or_else(|| panic!("not said: {words}: {said}"));
    let event = place("filter ptpv1-l4-event asked for: ERANGE");
    let sync = place("filter ptpv1-l4-sync asked for, ptpv1-l4-sync set");
    let used = place("listening, time stamps: hardware, filter ptpv1-l4-sync, clock /dev/ptp0");
    let away =
        place("Syncs without a hardware time stamp: the card took the filter and does not stamp PTPv1");
    assert!(event < sync && sync < used && used < away, "{said}");
    assert_eq!(said.matches("Syncs without a hardware time stamp").count(), 1, "said once: {said}");
    assert_eq!(stamping(guest), [0, 0], "the card was not left as it was found");
    guest.stop("dante4l");
}

/// What dante4l has said since it had said `before` bytes, in this run or others.
fn said_since(guest: &mut Guest, before: usize) -> String {
    guest.journal("dante4l").split_off(before)
}

/// Told so, it does not fall back; what it sends itself, the card does stamp. Two programs share the setting.
fn hardware_alone(guest: &mut Guest) {
    let before = guest.journal("dante4l").len();
    let begun = Instant::now();
    guest.daemon("dante4l", &["-i", INTERFACE, "-l", "7", "--delay=e2e", "--timestamping=hardware"]);
    let said = wait_for("a transmit stamp of the card", PATIENCE, || {
        let said = said_since(guest, before);
        said.contains("hardware transmit stamp").then_some(said)
    });
    println!("a transmit stamp of the card after {:.1} s", begun.elapsed().as_secs_f64());
    assert!(said.contains("the PTP hardware clock is read by ExtendedRealtime"), "{said}");
    let complaint = "nothing is measured without (--timestamping hardware)";
    wait_until(complaint, PATIENCE, || said_since(guest, before).contains(complaint));
    let part = guest.status()["dante4l"].take();
    let port = &part["ports"][0];
    assert_eq!(port["timestamping"], "hardware", "{part}");
    assert_eq!(
        (&part["state"], port["counters"]["clock_stepped"].as_u64()),
        (&"UNCALIBRATED".into(), Some(0)),
        "{part}"
    );
    assert!(port["counters"]["rx_timestamp_missing"].as_u64() >= Some(6), "{part}");
    assert_eq!(
        port["counters"]["tx_timestamp_missing"], 0,
        "a transmit stamp came and was not understood: {part}"
    );
    assert_eq!(stamping(guest), [1, 4]);
    guest.stop("dante4l");
    assert_eq!(stamping(guest), [0, 0], "the card was not left as it was found");
}

/// What another program has set is left to it, and so is what it sets later.
fn foreign_filter(guest: &mut Guest) {
    const V2_EVENT: [i64; 2] = [1, 12];
    guest.check(&format!("hwstamp_ctl -i {INTERFACE} -t 1 -r 12"));
    assert_eq!(stamping(guest), V2_EVENT);
    let before = guest.journal("dante4l").len();
    guest.daemon("dante4l", &["-i", INTERFACE]);
    guest.wait_for("dante4l", "state", "SLAVE", PATIENCE);
    assert_eq!(guest.status()["dante4l"]["ports"][0]["timestamping"], "software");
    assert_eq!(stamping(guest), V2_EVENT, "the other's filter was changed");
    let said = said_since(guest, before);
    assert!(
        said.contains("another program has set eth0 to stamp ptpv2-event, which leaves PTPv1 out"),
        "{said}"
    );
    guest.stop("dante4l");
    guest.check(&format!("hwstamp_ctl -i {INTERFACE} -t 0 -r 0"));
    guest.daemon("dante4l", &["-i", INTERFACE, "--timestamping=hardware"]);
    wait_until("the card's setting", PATIENCE, || stamping(guest) == [0, 4]);
    guest.check(&format!("hwstamp_ctl -i {INTERFACE} -t 1 -r 12"));
    guest.stop("dante4l");
    assert_eq!(stamping(guest), V2_EVENT, "what was set since was set back");
    guest.check(&format!("hwstamp_ctl -i {INTERFACE} -t 0 -r 0"));
}

fn steer(guest: &mut Guest) {
    guest.daemon("dante2sys", &["--clock=/dev/ptp0", "--utc=none"]);
}

fn locks(guest: &mut Guest) {
    let begun = Instant::now();
    guest.daemon("dante4l", &["-i", INTERFACE]);
    steer(guest);
    guest.wait_for("dante2sys", "state", "LOCKED", PATIENCE);
    println!("LOCKED after {:.1} s", begun.elapsed().as_secs_f64());
    wait_until("the leader's rate", PATIENCE, || (frequency(guest) / 1e3 - PPM).abs() < 2.0);
    println!("within 2 ppm after {:.1} s", begun.elapsed().as_secs_f64());
    let (published, driver) = alike(guest);
    println!("published {published:+.3} ppb, in the driver {driver:+.3} ppb");
    let status = guest.status();
    assert_eq!(status["dante2sys"]["clock"], "hardware", "{status}");
}

/// What dante2sys publishes is what the driver has, ppb: a pair is looked for between which no correction came.
fn alike(guest: &mut Guest) -> (f64, f64) {
    let both = "pmc-lite get status --json; echo @; phc_ctl /dev/ptp0 freq 2>&1; echo @";
    let said = guest.check(&format!("for i in {{1..15}}; do {both}; done"));
    let parts: Vec<_> = said.split("@\n").collect();
    let pair = |pair: &[&str]| {
        let status: serde_json::Value = serde_json::from_str(pair[0]).expect("JSON of pmc-lite");
        (status["dante2sys"]["frequency_ppb"].as_f64().expect("frequency_ppb"), dialled(pair[1]))
    };
    let seen: Vec<_> = parts.chunks_exact(2).map(pair).collect();
    let alike = seen.iter().find(|(published, driver)| (published - driver).abs() < 0.1);
    *alike.unwrap_or_else(|| panic!("published, in the driver: {seen:?}"))
}

/// The clock runs on as it was left, and truly at what the driver says.
fn killed(guest: &mut Guest) {
    guest.kill("dante2sys");
    let left = frequency(guest);
    judge("rate left, off the leader's", left / 1e3 - PPM, 5.0, "ppm");
    let (before, then) = compared(guest);
    std::thread::sleep(Duration::from_secs(20));
    let (after, now) = compared(guest);
    let rate = (before - after) / (now - then) / 1e3;
    judge("rate by the clocks, off the driver's", rate - left / 1e3, 1.0, "ppm");
    assert!((frequency(guest) - left).abs() < 1e-3, "the rate changed by itself");
}

fn disturbed(guest: &mut Guest) {
    steer(guest);
    guest.wait_for("dante2sys", "state", "LOCKED", PATIENCE);
    guest.check(&format!("phc_ctl /dev/ptp0 freq {OTHER_PPB}"));
    let begun = Instant::now();
    let part = guest.wait_for("dante2sys", "state", "YIELDED", Duration::from_secs(5));
    println!("YIELDED after {:.1} s", begun.elapsed().as_secs_f64());
    // The card's own jumps are counted there too.
    assert!(part["interference"].as_u64() >= Some(1), "{part}");
    assert!((frequency(guest) - OTHER_PPB).abs() < 0.1, "the other's frequency was not left alone");
    guest.wait_for("dante2sys", "state", "LOCKED", PATIENCE);
    println!("taken again after {:.1} s", begun.elapsed().as_secs_f64());
    let rate = frequency(guest) / 1e3;
    judge("rate after that, off the leader's", rate - PPM, 5.0, "ppm");
    guest.stop("dante2sys");
    guest.stop("dante4l");
    judge("rate at the end, off the leader's", frequency(guest) / 1e3 - PPM, 5.0, "ppm");
    let said = guest.journal("dante2sys");
    assert!(said.contains("set the clock's frequency to +1000.000 ppb"), "{said}");
}
