//! The manual: man pages and shell completions, made of what the programs say of their own flags, and of prose.
//!
//! NAME, SYNOPSIS, the options and the configuration's keys come from each program's clap `Command`, so that they cannot
//! drift from the program; the rest is written by hand, one Markdown file for each page in `files/man`.
#![forbid(unsafe_code)]

pub mod keys;
pub mod page;
pub mod prose;
