//! The command line of danteshm, used by the program, the manual generator and the tests.
#![forbid(unsafe_code)]

#[expect(
    missing_docs,
    reason = "the help of each flag describes it, and a doc comment would change the help"
)]
pub mod args;
