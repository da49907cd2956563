//! The suite in booted guests, where it may steer, step and set a clock: in one guest the UTC policies, chrony with danteshm, and
//! the rights of the units; in another what happens to a host with the Debian package.
//!
//! The true time is this machine's CLOCK_REALTIME, which the NTP servers serve. The leader runs at +37 ppm on the oscillator that
//! guest and machine share, and gains that on UTC, apart from the rate at which this machine is steered. Under emulation timestamps
//! scatter by 0.2 ms, and by 70 ms on a busy machine: accuracy is tested in virtual time. With SOAK set the phases take longer.

mod chrony;
mod host;
mod ntpd;
mod package;
mod reports;
mod user;
mod utc;

use dante_tests::guest::{Guest, PPM, Setup};
use dante_tests::wait_until;
use serde_json::Value;
use std::time::Duration;

/// Longest wait for an event in a guest, which is emulated.
const EVENT_TIMEOUT: Duration = Duration::from_secs(600);
/// Limit of a UTC error, and of a change of it while no program may move the clock, s. The faults that are looked for move the clock
/// by a second and more.
const CLOCK_S: f64 = 0.1;
/// Tolerance of a rate, ppm. The rates that a test distinguishes differ by 20 ppm and more.
const RATE_PPM: f64 = 15.0;
/// Flag of dante2sys: shortest interval between requests. The server is the test's own, and rates are to be known soon.
const SHORT_INTERVAL: &str = "--ntp-min-interval=4";

#[test]
fn each_utc_policy_holds_its_bounds() {
    let packages = vec![package::VERSIONS[0].to_owned()];
    if let Some(mut guest) = Guest::boot("utc", &Setup { packages, ..Setup::default() }) {
        utc::phases(&mut guest);
        chrony::phases(&mut guest);
        guest.phase("the rights of the package's units", package::rights);
    }
}

#[test]
fn host_survives_faults_upgrades_and_reboots() {
    let packages = package::VERSIONS.map(String::from).to_vec();
    if let Some(mut guest) = Guest::boot("host", &Setup { rtc_ahead_s: 3600, packages, ..Setup::default() }) {
        guest.phase("the package, installed", package::install);
        host::phases(&mut guest);
        guest.phase("the package, removed and purged", package::remove);
    }
}

/// Duration of a phase in seconds: `short`, or `long` with SOAK set.
fn seconds(short: u64, long: u64) -> Duration {
    Duration::from_secs(if dante_tests::soaks() { long } else { short })
}

/// Returns the UTC error of the guest's clock, s.
fn utc_error_s(guest: &mut Guest) -> f64 {
    guest.utc_error().error.secs_f64()
}

/// Returns the frequency of the guest's kernel clock, ppm.
fn frequency_ppm(guest: &mut Guest) -> f64 {
    guest.timex().frequency_ppb / 1e3
}

/// Prints a UTC error, or a change of it, in s.
///
/// # Panics
/// If it is beyond [`CLOCK_S`].
fn expect_small(what: &str, error_s: f64) {
    println!("{what}: {:+.3} ms", error_s * 1e3);
    assert!(error_s.abs() < CLOCK_S, "{what}: {error_s} s");
}

/// Prints a rate in ppm.
///
/// # Panics
/// If it differs from the expected one by [`RATE_PPM`].
fn expect_rate(what: &str, ppm: f64, expected_ppm: f64) {
    println!("{what}: {ppm:+.3} ppm, expected {expected_ppm:+.3}");
    assert!((ppm - expected_ppm).abs() < RATE_PPM, "{what}: {ppm} ppm instead of {expected_ppm} ppm");
}

/// Waits until the kernel clock has this frequency, ppm.
fn wait_for_frequency(guest: &mut Guest, expected_ppm: f64) {
    wait_until(&format!("kernel clock frequency {expected_ppm} ppm"), EVENT_TIMEOUT, || {
        (frequency_ppm(guest) - expected_ppm).abs() < RATE_PPM
    });
}

/// Returns the UTC part of dante2sys' status.
fn utc_status(guest: &mut Guest) -> Value {
    guest.status()["dante2sys"]["utc"].take()
}

/// Waits until a running dante2sys is in this state. The page of one that has ended still has its last state.
fn wait_for_state(guest: &mut Guest, state: &str) {
    wait_until(&format!("dante2sys {state}"), EVENT_TIMEOUT, || {
        let status = guest.status();
        status["dante2sys"]["running"] == true && status["dante2sys"]["state"] == state
    });
}
