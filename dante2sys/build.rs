//! Passes the time of the build to the program: an earlier UTC is implausible.

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    // As https://reproducible-builds.org/specs/source-date-epoch demands.
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo:rerun-if-changed=build.rs");
    let given = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.trim().parse::<u64>().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    println!("cargo:rustc-env=BUILT_AT={}", given.unwrap_or(now));
}
