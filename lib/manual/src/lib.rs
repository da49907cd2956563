//! The manual: man pages and shell completions, made from the clap `Command` of each program and from prose.
//!
//! NAME, SYNOPSIS, the options and the keys of the configuration file come from the `Command`, so that they are always those of the
//! program. The prose is one Markdown file for each page, in `files/man`.
#![forbid(unsafe_code)]

pub mod keys;
pub mod page;
pub mod prose;
