//! Outcome of a command and its exit status: one convention for all commands.

use dante_core::named;
use dante_os::daemon::{self, Failure};
use std::process::ExitCode;

named! {
    /// State of a service by the Monitoring Plugins Development Guidelines, from best to worst.
    #[derive(PartialOrd, Ord)]
    pub enum Service {
        Ok "OK",
        Unknown "UNKNOWN",
        Warning "WARNING",
        Critical "CRITICAL",
    }
}

impl Service {
    /// The exit status by the guidelines. Only `check` uses these numbers.
    pub const fn status(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }
}

/// Outcome of a command that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The answer is yes: 0.
    Yes,
    /// The answer is no, with a reason unless the output contains it: 1.
    No(Option<String>),
    /// Result of `check`: the number of the service's state.
    Judged(Service),
}

/// Result of a command. A failure has its own exit status, as in the daemons: 1 failed, 2 wrong flags, 3 refused, 4 a privilege is
/// missing, 5 no such interface.
pub type Ended = Result<Outcome, Failure>;

impl Outcome {
    /// Yes or no, without a reason.
    pub const fn of(is_yes: bool) -> Self {
        if is_yes { Self::Yes } else { Self::No(None) }
    }

    /// No with this reason; yes without one.
    pub fn unless(reason: Option<String>) -> Self {
        reason.map_or(Self::Yes, |reason| Self::No(Some(reason)))
    }
}

/// Returns the exit status, and writes the reason to standard error.
pub fn exit(ended: Ended) -> ExitCode {
    match ended {
        Ok(Outcome::Yes) => ExitCode::SUCCESS,
        Ok(Outcome::No(reason)) => {
            if let Some(reason) = reason {
                crate::report(&reason);
            }
            ExitCode::FAILURE
        }
        Ok(Outcome::Judged(service)) => ExitCode::from(service.status()),
        Err(failure) => daemon::exit("pmc-lite", Err(failure)),
    }
}
