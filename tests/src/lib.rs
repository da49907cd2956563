//! The lab of the tests that cross programs: two hosts on one wire, made of network namespaces, and the suite on them.
//!
//! Build the programs first (`cargo build --workspace`, with `--release` for the benchmark): they are looked for beside
//! the test itself. No test steps, slews or sets a clock of the machine: whatever is steered is `--clock virtual`.
#![forbid(unsafe_code)]

pub mod capture;
pub mod chronyd;
pub mod clock_watch;
pub mod consumer;
pub mod guest;
pub mod lab;
pub mod namespace;
pub mod ntp;
pub mod package;
pub mod program;
pub mod segment;
pub mod stage;
pub mod stranger;
pub mod switch;
pub mod targets;
pub mod tmux;

use std::time::{Duration, Instant};

/// Limits that a healthy machine keeps are printed beside each figure; a test fails beyond this many times them, since
/// machines that run tests are noisy.
pub const TOLERANCE: f64 = 10.0;

/// Looks every 10 ms until there is something, and returns it.
///
/// # Panics
/// When there is nothing within `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let mut patience = Patience::new(limit);
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(patience.goes_on(), "not seen within {limit:?}: {what}");
    }
}

/// Looks every 10 ms until it is so.
///
/// # Panics
/// When it is not within `limit`.
pub fn wait_until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    wait_for(what, limit, || is_so().then_some(()));
}

/// Time to look at something over and over: until a limit, and often also where the machine was held up meanwhile.
#[derive(Debug)]
pub struct Patience {
    end: Instant,
    looks: u32,
}

impl Patience {
    /// From now on for so long.
    pub fn new(limit: Duration) -> Self {
        Self { end: Instant::now() + limit, looks: 100 }
    }

    /// Whether there is another look, 10 ms from now.
    pub fn goes_on(&mut self) -> bool {
        self.looks = self.looks.saturating_sub(1);
        std::thread::sleep(Duration::from_millis(10));
        self.looks > 0 || Instant::now() < self.end
    }
}

/// Prints one figure beside its limit, and fails when it is beyond [`TOLERANCE`] times the limit.
///
/// # Panics
/// Then, and when the figure is no number.
pub fn judge(what: &str, figure: f64, limit: f64, unit: &str) {
    println!("{what}: {figure:.3} {unit} (limit {limit} {unit})");
    assert!(
        figure.abs() <= limit * TOLERANCE,
        "{what}: {figure} {unit} is beyond {TOLERANCE} times {limit} {unit}"
    );
}

/// Whether a test that needs what is missing may be passed over. Where CI=true is set it may not.
///
/// # Panics
/// Where it may not.
pub fn skip(missing: &str) {
    let strict = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!strict, "CI=true, and this test cannot run: {missing}");
    println!("skipped: {missing}");
}
