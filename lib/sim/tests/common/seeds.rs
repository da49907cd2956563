//! The seeds of a test with random input: seed 1 by default, one seed with `SEED=7`, seeds 0 to 199 with `SOAK=200`.

use std::ops::Range;

/// Returns the seeds to run.
pub fn seeds() -> Range<u64> {
    match (variable("SEED"), variable("SOAK")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(count)) => 0..count,
        (None, None) => 1..2,
    }
}

/// Whether one seed was chosen, whose events are to be printed.
pub fn is_one_chosen() -> bool {
    variable("SEED").is_some()
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|number| number.parse().ok())
}
