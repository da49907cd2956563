//! pmc-lite. The code is in the library, where the generator of the manual reads the command line.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    pmc_lite::run()
}
