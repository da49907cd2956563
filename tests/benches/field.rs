//! Accuracy of running followers on real packets, beside load: through a Linux bridge with processes that thrash the caches, and
//! through a veth pair with a build.
//!
//! ```text
//! cargo build --release --workspace --bins && cargo bench -p dante-tests --bench field
//! cargo bench -p dante-tests --bench field -- bridge          # only this setup; or veth
//! FIELD_RUNS=1 FIELD_SECONDS=300 cargo bench -p dante-tests --bench field
//! FIELD_TABLES=/tmp cargo bench -p dante-tests --bench field  # keeps the Syncs, for replay --rate-ppb 12000
//! ```
//! It prints figures and does not fail on them: they depend on the machine.

use dante_tests::field::{Figures, HEADLINE, Recording, bridge, veth};
use std::time::Duration;

/// Runs of the bridge, each with new processes; environment variable FIELD_RUNS.
const RUNS: u64 = 3;
/// Duration of a run, s; environment variable FIELD_SECONDS.
const SECONDS: u64 = 600;
/// Time after the first Sync from which on errors count: the estimator has converged.
const AFTER: Duration = Duration::from_secs(60);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_requested = |setup: &str| words.is_empty() || words.iter().any(|word| word == setup);
    let (runs, span) = (number("FIELD_RUNS", RUNS), Duration::from_secs(number("FIELD_SECONDS", SECONDS)));
    println!("Runs of {} s each; errors from {} s on.", span.as_secs(), AFTER.as_secs());
    println!("hindsight: the best filter with constant measurement noise, selected by its true error.");
    println!("{HEADLINE}");
    if is_requested("bridge") {
        measure("bridge", runs, |run| bridge(span, run));
    }
    if is_requested("veth") {
        measure("veth", 1, |_| veth(span));
    }
}

/// Prints a line for each follower of each run and a pooled one.
fn measure(setup: &str, runs: u64, run: impl Fn(u64) -> Option<Vec<Recording>>) {
    let mut all = Vec::new();
    for number in 1..=runs {
        let Some(recordings) = run(number) else { return };
        for (follower, recording) in (1..).zip(&recordings) {
            let figures = Figures::of(recording, AFTER);
            println!("{}", figures.line(&format!("{setup}, run {number}, follower {follower}")));
            if let Ok(folder) = std::env::var("FIELD_TABLES") {
                let file = format!("{folder}/{setup}-{number}-{follower}.csv");
                std::fs::write(&file, recording.table()).unwrap_or_else(|error| panic!("{file}: {error}"));
            }
            all.push(figures);
        }
    }
    println!("{}", Figures::pooled(&all).line(&format!("{setup}, pooled")));
}

fn number(variable: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(variable) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number"))
}
