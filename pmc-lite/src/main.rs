//! pmc-lite, of which all is in the library: the manual reads its command line there.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    pmc_lite::run()
}
