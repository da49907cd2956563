//! Helpers of the tests that run several programs: hosts made of network namespaces, joined by veth, and the suite on them.
//!
//! Build the programs first (`cargo build --workspace`, with `--release` for the benchmark): the tests run those in their own
//! target directory. No test steps, slews or sets a clock of this machine: dante2sys runs with `--clock virtual`.
#![forbid(unsafe_code)]

pub mod capture;
pub mod chronyd;
pub mod clock_watch;
pub mod consumer;
pub mod field;
pub mod guest;
pub mod host;
pub mod lab;
pub mod namespace;
pub mod ntp;
pub mod package;
pub mod pid_namespace;
pub mod program;
pub mod raw_leader;
pub mod raw_sender;
pub mod realtime;
mod run;
pub mod segment;
pub mod stage;
pub mod switch;
pub mod targets;
pub mod tmux;

use serde_json::Value;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// Each measured value is printed with the limit that a quiet machine keeps. A test fails only beyond this multiple of the
/// limit, since the machine has other work.
pub const TOLERANCE: f64 = 10.0;

/// Longest time that a test waits for an event: many times what an event takes on a machine with other work.
pub const EVENT_TIMEOUT: Duration = Duration::from_secs(120);

/// User and group id of `nobody`, which has no rights.
pub const NOBODY: u32 = 65534;

/// Sync interval of a Dante leader, s (2^-2).
pub const SYNC_INTERVAL_S: f64 = 0.25;

/// Whether long tests run: the environment variable SOAK is set, as by `make soak`.
pub fn soaks() -> bool {
    std::env::var_os("SOAK").is_some()
}

/// Calls `look` repeatedly until it returns a value, and returns that. See [`Attempts`].
///
/// # Panics
/// If there is none within `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let mut attempts = Attempts::new(limit);
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(attempts.again(), "not seen within {limit:?}: {what}");
    }
}

/// Waits until `condition` holds; it is checked repeatedly. See [`Attempts`].
///
/// # Panics
/// If it does not hold within `limit`.
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, limit, || condition().then_some(()));
}

/// Waits until the program's part of `pmc-lite get status --json`, which `status` returns, has `key` at `value`. Returns that
/// part.
///
/// # Panics
/// If it does not have it within `limit`.
pub fn wait_for_status(
    mut status: impl FnMut() -> Value,
    program: &str,
    key: &str,
    value: &Value,
    limit: Duration,
) -> Value {
    wait_for(&format!("{program}: {key} {value}"), limit, || {
        let part = status().get_mut(program)?.take();
        (part[key] == *value).then_some(part)
    })
}

/// Repeated checks: until a time limit, and 100 checks at least, so that a test which was held up for longer than its limit still
/// checks often enough. They are 10 ms apart; after a check that takes long, as a script in a guest does, as long as that, but 250 ms at
/// most: the checks leave processor time to what they wait for.
#[derive(Debug)]
pub struct Attempts {
    end: Instant,
    left: u32,
    /// When the present check began.
    began: Instant,
}

const PAUSES: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_millis(250);

impl Attempts {
    /// Attempts for `limit` from now on.
    pub fn new(limit: Duration) -> Self {
        let now = Instant::now();
        Self { end: now + limit, left: 100, began: now }
    }

    /// Pauses. Returns whether there is another attempt.
    pub fn again(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        std::thread::sleep(self.began.elapsed().clamp(*PAUSES.start(), *PAUSES.end()));
        self.began = Instant::now();
        self.left > 0 || self.began < self.end
    }
}

/// Prints a measured value with its limit.
///
/// # Panics
/// If the value is beyond [`TOLERANCE`] times the limit, or NaN.
pub fn judge(what: &str, figure: f64, limit: f64, unit: &str) {
    println!("{what}: {figure:.3} {unit} (limit {limit} {unit}, {:.2} of it)", figure.abs() / limit);
    assert!(
        figure.abs() <= limit * TOLERANCE,
        "{what}: {figure} {unit} is beyond {TOLERANCE} times {limit} {unit}"
    );
}

/// Reports that a test is skipped because something is missing.
///
/// # Panics
/// If CI=true is set: no test may be skipped there.
pub fn skip(missing: &str) {
    let strict = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!strict, "CI=true, and this test cannot run: {missing}");
    println!("skipped: {missing}");
}
