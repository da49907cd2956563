//! The suite in booted guests, where it may steer, step and set a clock: in one the date's policies, chrony
//! with danteshm and the units' rights, in another all that befalls a host with the Debian package. They run side by side, for both wait most of the time.
//!
//! The truth is this machine's CLOCK_REALTIME, which the servers tell, too. The leader runs at +37 ppm on the oscillator
//! that guest and machine share, so that is what it gains on UTC, give or take what this machine is steered by. Under
//! emulation stamps scatter by 0.2 ms: rates are known to about 1 ppm here, and accuracy is for virtual time to judge.
//! With SOAK set the phases take as long as a user would watch them.

mod chrony;
mod host;
mod ntpd;
mod package;
mod utc;

use dante_tests::guest::{Guest, Setup};
use serde_json::Value;
use std::time::Duration;

/// The leader's rate.
const PPM: f64 = 37.0;
const PATIENCE: Duration = Duration::from_secs(300);
/// The server is the tests' own, and rates are to be known soon.
const EAGER: &str = "--ntp-min-interval=4";

#[test]
fn each_policy_does_what_it_says() {
    let packages = vec![package::VERSIONS[0].to_owned()];
    if let Some(mut guest) = Guest::boot("date", &Setup { packages, ..Setup::default() }) {
        utc::phases(&mut guest);
        chrony::phases(&mut guest);
        guest.phase("the rights of the package's units", package::rights);
    }
}

#[test]
fn a_host_is_left_in_good_order_whatever_happens() {
    let packages = package::VERSIONS.map(String::from).to_vec();
    if let Some(mut guest) = Guest::boot("host", &Setup { rtc_ahead_s: 3600, packages, ..Setup::default() }) {
        guest.phase("the package, installed", package::install);
        host::phases(&mut guest);
        guest.phase("the package, removed and purged", package::remove);
    }
}

/// Seconds of a phase: `short`, or `long` with SOAK set.
fn seconds(short: u64, long: u64) -> Duration {
    Duration::from_secs(if std::env::var_os("SOAK").is_some() { long } else { short })
}

/// How far the guest's date is off, s.
fn off_s(guest: &mut Guest) -> f64 {
    guest.utc_error().error.secs_f64()
}

/// What dante2sys' page says of the date.
fn utc_status(guest: &mut Guest) -> Value {
    guest.status()["dante2sys"]["utc"].take()
}

/// By a dante2sys that runs: the page of a dead one tells its last state still.
fn wait_for_state(guest: &mut Guest, state: &str) {
    dante_tests::wait_for(&format!("dante2sys {state}"), PATIENCE, || {
        let status = guest.status();
        (status["dante2sys"]["running"] == true && status["dante2sys"]["state"] == state).then_some(())
    });
}
