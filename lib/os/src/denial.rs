//! Errors of this crate as data: the kinds by which a caller decides what to do, and one form of their text.

use crate::page::WriteError;
use dante_core::explain::Explain;
use std::io::ErrorKind;

/// Why the kernel denied something that it could grant: what the exit status of a program depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// A right is missing.
    NotPermitted,
    /// Another program has it.
    InUse,
}

/// An error that may be a denial.
pub trait Denied: Explain + std::error::Error + Send + Sync + 'static {
    /// Why it was denied; `None`: it failed for another reason.
    fn denial(&self) -> Option<Denial>;
}

impl Denied for WriteError {
    fn denial(&self) -> Option<Denial> {
        match self {
            Self::Running { .. } | Self::InTheWay { .. } => Some(Denial::InUse),
            Self::Os { cause, .. } => {
                (cause.kind() == ErrorKind::PermissionDenied).then_some(Denial::NotPermitted)
            }
        }
    }
}

/// The text of these errors is what is wrong and what to do about it.
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
