//! How a command ended, and the exit status that it leads to: one convention for all commands.

use dante_core::named;
use dante_os::daemon::{self, Failure};
use std::process::ExitCode;

named! {
    /// The state of a service after the Monitoring Plugins Development Guidelines, from the best to the worst.
    #[derive(PartialOrd, Ord)]
    pub enum Service {
        Ok "OK",
        Unknown "UNKNOWN",
        Warning "WARNING",
        Critical "CRITICAL",
    }
}

impl Service {
    /// The exit status that the guidelines give to it. Of all of pmc-lite, only `check` has these numbers.
    pub const fn status(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }
}

/// How a command ended that could do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The answer is yes: 0.
    Yes,
    /// The answer is no, for a reason that is not in the output already: 1.
    No(Option<String>),
    /// `check` judged this host: the number of the service's state.
    Judged(Service),
}

/// Of a command. A failure has an exit status of its own, as in the daemons: 1 failed, 2 wrong flags, 3 refused, 4 a right is
/// missing, 5 no such interface.
pub type Ended = Result<Outcome, Failure>;

impl Outcome {
    /// Yes or no, without a reason.
    pub const fn of(is_yes: bool) -> Self {
        if is_yes { Self::Yes } else { Self::No(None) }
    }

    /// Yes, unless there is a reason against it.
    pub fn unless(reason: Option<String>) -> Self {
        reason.map_or(Self::Yes, |reason| Self::No(Some(reason)))
    }
}

/// The exit status; the reason goes to standard error.
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
