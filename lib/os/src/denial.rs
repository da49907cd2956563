//! Denials: the kinds of errors that determine a program's exit status, and the common text form of errors.

use dante_core::explain::Explain;

/// Why the kernel denied a request; determines the exit status of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// A permission is missing.
    NotPermitted,
    /// Another program uses the resource.
    InUse,
}

/// An error that may be a denial.
pub trait Denied: Explain + std::error::Error + Send + Sync + 'static {
    /// Kind of the denial; `None`: the request failed for another reason.
    fn denial(&self) -> Option<Denial>;
}

/// Implements `Display` for errors: what is wrong, then what to do.
macro_rules! display_explained {
    ($($error:ty),+) => {
        $(impl std::fmt::Display for $error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                dante_core::explain::sentence(self, f)
            }
        })+
    };
}
pub(crate) use display_explained;
