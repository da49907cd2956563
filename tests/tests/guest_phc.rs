//! The suite with a PTP hardware clock, that of an emulated igb card in a guest: dante4l enables the card's timestamps, and dante2sys
//! steers the card's clock. Only for `make soak`: QEMU 10 and a disk of its own have to be downloaded for it (800 MB). Without SOAK
//! the test does nothing, prints that, and succeeds, also with CI=true.
//!
//! Each change of this card's frequency, by whatever program, also changes its phase: by (change x time since the card started), and
//! by 2^41 ns if the frequency falls. Real cards do not do that. Rates are judged here, phases are not.

use dante_tests::guest::{Card, Guest, INTERFACE, PPM, Setup};
use dante_tests::{judge, wait_for, wait_until};
use std::time::{Duration, Instant};

/// Longest wait for an event in the guest: receive timestamps scatter by 0.2 ms under emulation, so it takes long to lock.
const EVENT_TIMEOUT: Duration = Duration::from_secs(90);
/// Frequency that another program sets, ppb.
const OTHER_PPB: f64 = 1000.0;

#[test]
fn steers_a_ptp_hardware_clock() {
    if !dante_tests::soaks() {
        println!("not run: this test is for `make soak`, which sets SOAK");
        return;
    }
    let setup = Setup { card: Card::Igb, ..Setup::default() };
    let Some(mut guest) = Guest::boot("phc", &setup) else { return };
    let _leader = guest.leader(&[&format!("--ppm={PPM}")]);
    let (before, timex) = (guest.utc_error(), guest.timex());
    assert!(frequency(&mut guest).abs() < 1e-3, "another program steers the card's clock");
    guest.phase("missing hardware timestamps", missing_timestamps);
    guest.phase("only hardware timestamps", hardware_only);
    guest.phase("a filter of another program", foreign_filter);
    guest.phase("the card's clock fails once", clock_lost);
    guest.phase("locks", locks);
    guest.phase("kill -9 leaves the rate", killed);
    guest.phase("another program sets the frequency", disturbed);
    assert_eq!(guest.timex(), timex, "the system clock was steered");
    let moved = (guest.utc_error().error - before.error).secs_f64() * 1e3;
    judge("the system clock moved by", moved, 1.0, "ms");
    guest.phase("the card is removed", card_removed);
}

/// Returns the frequency that the driver has set, ppb.
fn frequency(guest: &mut Guest) -> f64 {
    parse_frequency(&guest.check("phc_ctl /dev/ptp0 freq 2>&1"))
}

fn parse_frequency(text: &str) -> f64 {
    let number = text.split("frequency offset is ").nth(1).and_then(|rest| rest.split("ppb").next());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no frequency: {text}"))
}

/// Returns CLOCK_REALTIME minus the card's clock, ns, and the guest's uptime at that moment, s.
fn compare_clocks(guest: &mut Guest) -> (f64, f64) {
    let text = guest.check("phc_ctl /dev/ptp0 cmp 2>&1; cat /proc/uptime");
    let offset =
        text.split_whitespace().find_map(|word| word.strip_suffix("ns").and_then(|ns| ns.parse().ok()));
    let uptime = text.lines().last().and_then(|line| line.split(' ').next()?.parse().ok());
    offset.zip(uptime).unwrap_or_else(|| panic!("{text}"))
}

/// Returns the timestamp setting of the card: tx_type and rx_filter, as numbers. hwstamp_ctl reads it without changing it.
fn timestamp_setting(guest: &mut Guest) -> [i64; 2] {
    let text = guest.check(&format!("hwstamp_ctl -i {INTERFACE} 2>&1"));
    let number = |key: &str| -> i64 {
        let word = text.split(key).nth(1).and_then(|rest| rest.split_whitespace().next());
        word.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no {key}: {text}"))
    };
    [number("tx_type"), number("rx_filter")]
}

/// This card accepts the filter for PTPv1 Syncs, but timestamps none: dante4l uses software timestamps within seconds.
fn missing_timestamps(guest: &mut Guest) {
    assert_eq!(timestamp_setting(guest), [0, 0], "another program uses the card's timestamps");
    let begun = Instant::now();
    guest.daemon("dante4l", &["-i", INTERFACE, "-l", "7", "--delay=e2e"]);
    wait_until("software timestamps", EVENT_TIMEOUT, || {
        guest.status()["dante4l"]["ports"][0]["timestamping"] == "software"
    });
    println!("software timestamps after {:.1} s", begun.elapsed().as_secs_f64());
    guest.wait_for("dante4l", "state", "SLAVE", EVENT_TIMEOUT);
    println!("SLAVE after {:.1} s", begun.elapsed().as_secs_f64());
    let journal = guest.journal("dante4l");
    let place = |words: &str| journal.find(words).unwrap_or_else(|| panic!("not logged: {words}: {journal}"));
    let event = place("requested timestamp filter ptpv1-l4-event: ERANGE");
    let sync = place("requested timestamp filter ptpv1-l4-sync, got ptpv1-l4-sync");
    let used = place("listening, timestamps: hardware, filter ptpv1-l4-sync, clock /dev/ptp0");
    let missing = place(
        "Syncs without a hardware timestamp: the card accepted the filter but does not timestamp PTPv1",
    );
    assert!(event < sync && sync < used && used < missing, "{journal}");
    assert_eq!(journal.matches("Syncs without a hardware timestamp").count(), 1, "{journal}");
    assert_eq!(timestamp_setting(guest), [0, 0], "the card's setting was not restored");
    guest.stop("dante4l");
}

/// With --timestamping hardware dante4l does not use software timestamps. The card timestamps what dante4l sends.
fn hardware_only(guest: &mut Guest) {
    let before = guest.journal("dante4l").len();
    let begun = Instant::now();
    guest.daemon("dante4l", &["-i", INTERFACE, "-l", "7", "--delay=e2e", "--timestamping=hardware"]);
    let journal = wait_for("a transmit timestamp of the card", EVENT_TIMEOUT, || {
        let journal = guest.journal_since("dante4l", before);
        journal.contains("hardware transmit timestamp").then_some(journal)
    });
    println!("a transmit timestamp of the card after {:.1} s", begun.elapsed().as_secs_f64());
    assert!(journal.contains("reading the PTP hardware clock by method ExtendedRealtime"), "{journal}");
    let warning = "nothing can be measured without them (--timestamping hardware)";
    wait_until(warning, EVENT_TIMEOUT, || guest.journal_since("dante4l", before).contains(warning));
    let part = guest.status()["dante4l"].take();
    let port = &part["ports"][0];
    assert_eq!(port["timestamping"], "hardware", "{part}");
    assert_eq!(
        (&part["state"], port["counters"]["clock_stepped"].as_u64()),
        (&"UNCALIBRATED".into(), Some(0)),
        "{part}"
    );
    assert!(port["counters"]["rx_timestamp_missing"].as_u64() >= Some(6), "{part}");
    assert_eq!(port["counters"]["tx_timestamp_missing"], 0, "a transmit timestamp was not matched: {part}");
    assert_eq!(timestamp_setting(guest), [1, 4]);
    guest.stop("dante4l");
    assert_eq!(timestamp_setting(guest), [0, 0], "the card's setting was not restored");
}

/// dante4l does not change a timestamp filter that another program has set, before or after dante4l's start.
fn foreign_filter(guest: &mut Guest) {
    const V2_EVENT: [i64; 2] = [1, 12];
    guest.check(&format!("hwstamp_ctl -i {INTERFACE} -t 1 -r 12"));
    assert_eq!(timestamp_setting(guest), V2_EVENT);
    let before = guest.journal("dante4l").len();
    guest.daemon("dante4l", &["-i", INTERFACE]);
    guest.wait_for("dante4l", "state", "SLAVE", EVENT_TIMEOUT);
    assert_eq!(guest.status()["dante4l"]["ports"][0]["timestamping"], "software");
    assert_eq!(timestamp_setting(guest), V2_EVENT, "the filter of another program was changed");
    let journal = guest.journal_since("dante4l", before);
    assert!(
        journal
            .contains("another program has set the timestamp filter of eth0 to ptpv2-event, without PTPv1"),
        "{journal}"
    );
    guest.stop("dante4l");
    guest.check(&format!("hwstamp_ctl -i {INTERFACE} -t 0 -r 0"));
    guest.daemon("dante4l", &["-i", INTERFACE, "--timestamping=hardware"]);
    wait_until("the card's setting", EVENT_TIMEOUT, || timestamp_setting(guest) == [0, 4]);
    guest.check(&format!("hwstamp_ctl -i {INTERFACE} -t 1 -r 12"));
    guest.stop("dante4l");
    assert_eq!(timestamp_setting(guest), V2_EVENT, "a later setting of another program was changed");
    guest.check(&format!("hwstamp_ctl -i {INTERFACE} -t 0 -r 0"));
}

/// One reading of the card's clock fails as if its driver had registered the clock again: dante4l opens the card again. strace makes
/// that reading fail.
fn clock_lost(guest: &mut Guest) {
    let before = guest.journal("dante4l").len();
    guest.daemon("dante4l", &["-i", INTERFACE, "--timestamping=hardware"]);
    wait_until("the card's setting", EVENT_TIMEOUT, || timestamp_setting(guest) == [0, 4]);
    guest.check(
        "systemd-run --quiet --collect --unit=failure strace -qq -o /dev/null -P /dev/ptp0 -e trace=ioctl \
             -e inject=ioctl:error=ENODEV:when=1 -p $(systemctl show --value -p MainPID dante4l)",
    );
    let lost = "the PTP hardware clock of eth0 was removed, or its driver registered it again";
    let opened = "listening, timestamps: hardware";
    let journal = wait_for("the card opened again", EVENT_TIMEOUT, || {
        let journal = guest.journal_since("dante4l", before);
        journal.split(lost).nth(1).is_some_and(|then| then.contains(opened)).then_some(journal)
    });
    assert_eq!(journal.matches(lost).count(), 1, "{journal}");
    guest.stop("failure");
    assert_eq!(timestamp_setting(guest), [0, 4]);
    guest.stop("dante4l");
    assert_eq!(timestamp_setting(guest), [0, 0], "the card's setting was not restored");
}

/// The driver gives up the card: dante2sys ends, so that its service can start it with the clock that the file names then.
fn card_removed(guest: &mut Guest) {
    guest.daemon("dante4l", &["-i", INTERFACE]);
    steer(guest);
    guest.wait_for("dante2sys", "state", "LOCKED", EVENT_TIMEOUT);
    let before = guest.journal("dante2sys").len();
    guest.check(&format!(
        "device=$(basename $(readlink -f /sys/class/net/{INTERFACE}/device)) && \
         echo $device >/sys/bus/pci/drivers/igb/unbind && echo $device >/sys/bus/pci/drivers/igb/bind"
    ));
    let ended = "the clock was removed, or its driver registered it again";
    wait_until(ended, EVENT_TIMEOUT, || guest.journal_since("dante2sys", before).contains(ended));
    wait_until("dante2sys ended", EVENT_TIMEOUT, || {
        guest.run("systemctl is-active dante2sys").stdout.trim() != "active"
    });
    // The clock that is registered now is another one.
    assert_eq!(frequency(guest), 0.0);
    guest.stop("dante4l");
}

fn steer(guest: &mut Guest) {
    guest.daemon("dante2sys", &["--clock=/dev/ptp0", "--utc=none"]);
}

fn locks(guest: &mut Guest) {
    let begun = Instant::now();
    guest.daemon("dante4l", &["-i", INTERFACE]);
    steer(guest);
    guest.wait_for("dante2sys", "state", "LOCKED", EVENT_TIMEOUT);
    println!("LOCKED after {:.1} s", begun.elapsed().as_secs_f64());
    wait_until("the leader's rate", EVENT_TIMEOUT, || (frequency(guest) / 1e3 - PPM).abs() < 2.0);
    println!("within 2 ppm after {:.1} s", begun.elapsed().as_secs_f64());
    let (published, driver) = equal_frequencies(guest);
    println!("published {published:+.3} ppb, set in the driver {driver:+.3} ppb");
    let status = guest.status();
    assert_eq!(status["dante2sys"]["clock"], "hardware", "{status}");
}

/// Returns the frequency that dante2sys publishes and that of the driver, ppb, which are equal. Reads both several times, until
/// there was no correction between the two reads.
fn equal_frequencies(guest: &mut Guest) -> (f64, f64) {
    let both = "pmc-lite get status --json; echo @; phc_ctl /dev/ptp0 freq 2>&1; echo @";
    let text = guest.check(&format!("for i in {{1..15}}; do {both}; done"));
    let parts: Vec<_> = text.split("@\n").collect();
    let pair = |pair: &[&str]| {
        let status: serde_json::Value = serde_json::from_str(pair[0]).expect("JSON of pmc-lite");
        (status["dante2sys"]["frequency_ppb"].as_f64().expect("frequency_ppb"), parse_frequency(pair[1]))
    };
    let seen: Vec<_> = parts.chunks_exact(2).map(pair).collect();
    let equal = seen.iter().find(|(published, driver)| (published - driver).abs() < 0.1);
    *equal.unwrap_or_else(|| panic!("published, in the driver: {seen:?}"))
}

/// After kill -9 of dante2sys the clock keeps the frequency of the driver, which is its true rate.
fn killed(guest: &mut Guest) {
    guest.kill("dante2sys");
    let left = frequency(guest);
    judge("rate left - leader's", left / 1e3 - PPM, 5.0, "ppm");
    let (before, then) = compare_clocks(guest);
    std::thread::sleep(Duration::from_secs(20));
    let (after, now) = compare_clocks(guest);
    let rate = (before - after) / (now - then) / 1e3;
    judge("measured rate - driver's", rate - left / 1e3, 1.0, "ppm");
    assert!((frequency(guest) - left).abs() < 1e-3, "the frequency changed after kill -9");
}

fn disturbed(guest: &mut Guest) {
    steer(guest);
    guest.wait_for("dante2sys", "state", "LOCKED", EVENT_TIMEOUT);
    guest.check(&format!("phc_ctl /dev/ptp0 freq {OTHER_PPB}"));
    let begun = Instant::now();
    let part = guest.wait_for("dante2sys", "state", "YIELDED", Duration::from_secs(5));
    println!("YIELDED after {:.1} s", begun.elapsed().as_secs_f64());
    // The phase jumps of the emulated card are counted too.
    assert!(part["interference"].as_u64() >= Some(1), "{part}");
    assert!((frequency(guest) - OTHER_PPB).abs() < 0.1, "the frequency of another program was changed");
    guest.wait_for("dante2sys", "state", "LOCKED", EVENT_TIMEOUT);
    println!("LOCKED again after {:.1} s", begun.elapsed().as_secs_f64());
    let rate = frequency(guest) / 1e3;
    judge("rate after that - leader's", rate - PPM, 5.0, "ppm");
    guest.stop("dante2sys");
    guest.stop("dante4l");
    judge("rate at the end - leader's", frequency(guest) / 1e3 - PPM, 5.0, "ppm");
    let journal = guest.journal("dante2sys");
    assert!(journal.contains("set the clock frequency to +1000.000 ppb"), "{journal}");
}
