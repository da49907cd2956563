//! Errors and diagnostics as data: what is wrong, and what to do about it, each by itself.

use std::fmt;

/// An error or a diagnostic that a user reads, and of which another part of the suite may make a finding: by its kind and by
/// these two, never by its text.
pub trait Explain {
    /// What is wrong, on what, and why.
    fn what(&self) -> String;

    /// What to do about it; several ways stand on a line each. `None` where there is nothing to do.
    fn remedy(&self) -> Option<String>;
}

/// Both in one sentence, for [`fmt::Display`]: `what; remedy`.
///
/// # Errors
/// As the formatter's.
pub fn sentence(explained: &impl Explain, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(&explained.what())?;
    match explained.remedy() {
        Some(remedy) => write!(f, "; {}", remedy.replace('\n', "; ")),
        None => Ok(()),
    }
}
