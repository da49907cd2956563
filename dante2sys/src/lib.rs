//! The command line of dante2sys, which steers the clock. Used by the program, the manual and tests.
#![forbid(unsafe_code)]

#[expect(
    missing_docs,
    reason = "the help of each flag describes it, and a doc comment would change the help"
)]
pub mod args;
