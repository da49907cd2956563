//! Errors and diagnostics in two parts: what is wrong, and what to do.

use std::fmt;

/// An error or a diagnostic for a user. Other parts of the suite turn it into a finding by its kind and these two parts, without
/// parsing its text.
pub trait Explain {
    /// Returns what is wrong, on what, and why.
    fn what(&self) -> String;

    /// Returns what to do, one action per line, or `None` if there is nothing to do.
    fn remedy(&self) -> Option<String>;
}

/// Writes both parts on one line, for [`fmt::Display`]: `what; remedy`.
///
/// # Errors
/// An error of the formatter.
pub fn sentence(explained: &impl Explain, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(&explained.what())?;
    match explained.remedy() {
        Some(remedy) => write!(f, "; {}", remedy.replace('\n', "; ")),
        None => Ok(()),
    }
}
