//! What systemd reports about the clock: `timedatectl`, and systemd-time-wait-sync, on which units with After=time-sync.target wait
//! where it is enabled. Both must report a synchronised clock only while dante2sys declares UTC as synchronised.

use super::{CLOCK_S, EVENT_TIMEOUT};
use dante_tests::guest::Guest;
use dante_tests::wait_until;

/// systemd's unit that waits until the clock is synchronised.
const WAIT: &str = "systemd-time-wait-sync.service";
/// File that ends its wait; dante2sys-time-wait-sync.service creates and removes it.
const FILE: &str = "/run/systemd/timesync/synchronized";

/// Checks that `timedatectl`, which reads the kernel's maximum error, and the kernel's status agree that the clock is synchronised
/// to UTC, or that it is not.
#[track_caller]
pub fn expect_synchronised(guest: &mut Guest, expected: bool) {
    let timedatectl = guest.check("timedatectl show --property=NTPSynchronized --value");
    let timex = guest.timex();
    let reported = (timedatectl.trim() == "yes", timex.is_synchronised());
    assert_eq!(reported, (expected, expected), "timedatectl and STA_UNSYNC: {timex:?}");
}

/// Enables and starts systemd-time-wait-sync: the clock is not synchronised yet, so it waits.
pub fn enable_wait(guest: &mut Guest) {
    guest.check(&format!("systemctl enable --quiet {WAIT} && systemctl start --no-block {WAIT}"));
    wait_until("systemd-time-wait-sync waiting", EVENT_TIMEOUT, || state(guest) == "activating");
}

/// Checks that systemd-time-wait-sync waits for UTC.
#[track_caller]
pub fn expect_waiting(guest: &mut Guest) {
    assert_eq!(state(guest), "activating", "systemd-time-wait-sync has ended without UTC");
}

/// Waits until systemd-time-wait-sync has ended with success.
pub fn wait_for_its_end(guest: &mut Guest) {
    wait_until("systemd-time-wait-sync ended", EVENT_TIMEOUT, || state(guest) == "active");
}

/// Waits until the file that ends systemd-time-wait-sync exists, or until it does not exist.
pub fn wait_for_file(guest: &mut Guest, exists: bool) {
    let script = format!("test -e {FILE}");
    wait_until(&format!("{FILE} exists: {exists}"), EVENT_TIMEOUT, || {
        (guest.run(&script).code == 0) == exists
    });
}

fn state(guest: &mut Guest) -> String {
    guest.run(&format!("systemctl is-active {WAIT}")).stdout.trim().to_owned()
}

/// Checks what the collector timex of node_exporter reads from the kernel against dante2sys' status. UTC has to be synchronised.
pub fn node_exporter(guest: &mut Guest) {
    let bound_s = |guest: &mut Guest| {
        let status = guest.status();
        let part = &status["dante2sys"];
        let number = |value: &serde_json::Value| value.as_f64().unwrap_or_else(|| panic!("{status}"));
        (number(&part["utc"]["bound_ns"]) / 1e9, number(&part["frequency_ppb"]))
    };
    let (before, frequency_ppb) = bound_s(guest);
    let text = guest.check(
        "systemd-run --quiet --collect --unit=exporter prometheus-node-exporter --collector.disable-defaults --collector.timex \
             --web.listen-address=127.0.0.1:9100
         for i in {1..100}; do (: >/dev/tcp/127.0.0.1/9100) 2>/dev/null && break; sleep 0.2; done
         exec 3<>/dev/tcp/127.0.0.1/9100; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3; systemctl stop exporter",
    );
    let (after, _) = bound_s(guest);
    let metric = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("node_timex_{name} ")));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name}: {text}"))
    };
    let (max_error, est_error) = (metric("maxerror_seconds"), metric("estimated_error_seconds"));
    println!(
        "node_exporter: maxerror {max_error} s, esterror {est_error} s; UTC bound {before} s, then {after} s"
    );
    assert_eq!(metric("sync_status"), 1.0);
    // The kernel increases it by 0.5 ms a second between two declarations.
    assert!(
        max_error > 0.0 && max_error < before.max(after) + CLOCK_S,
        "{max_error} s, bound {before} s, {after} s"
    );
    assert!(est_error <= max_error, "{est_error} s, {max_error} s");
    let ratio_ppb = (metric("frequency_adjustment_ratio") - 1.0) * 1e9;
    // The phase correction changes it by up to 5 ppm.
    assert!((ratio_ppb - frequency_ppb).abs() < 10_000.0, "{ratio_ppb} ppb, {frequency_ppb} ppb");
    // No slew of the kernel, and no TAI offset: dante2sys sets neither.
    assert_eq!((metric("offset_seconds"), metric("tai_offset_seconds")), (0.0, 0.0));
}
