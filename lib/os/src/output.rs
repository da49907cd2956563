//! What the outputs of a relay have in common: whether their samples reach a program, and warnings for the log.

use dante_core::relay::Delivery;
use dante_core::time::{Raw, Timestamp};

/// State of an output to a reference clock driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputState {
    /// Whether the segment or socket is open.
    pub is_ready: bool,
    /// Whether its samples reach a program.
    pub delivery: Delivery,
    /// When a program last took a sample, or the socket last accepted one.
    pub last_read: Option<Timestamp<Raw>>,
    /// How often it was made or opened again after another process removed or replaced it.
    pub recreated: u64,
}

/// A warning for the log. Its text may contain names that other users choose, so its kind is what a rate limit has to count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Kind, the key of the rate limit.
    pub kind: &'static str,
    /// Text of one line.
    pub text: String,
}

impl Diagnostic {
    pub(crate) fn new(kind: &'static str, text: impl ToString) -> Self {
        Self { kind, text: text.to_string() }
    }
}
