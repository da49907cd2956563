//! Text output of all commands. Names of processes, units, files, chains and interfaces come from other users; a terminal must not
//! act on them. Standard output and standard error are written only here, in `log`, which uses [`lines`], and in
//! [`dante_os::daemon::exit`].

use anyhow::Context;
use dante_core::printable::{printable, printable_json, printable_lines, printable_styled};
use std::borrow::Cow;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

/// Prints on standard output; colours only on a terminal.
///
/// # Errors
/// Output is lost. Not if the reader closed the pipe: it needs no more output.
pub fn print(text: &str) -> anyhow::Result<()> {
    print_to_reader(text).map(drop)
}

/// Prints on standard output, and returns whether it still has a reader: false if that closed the pipe.
///
/// # Errors
/// Output is lost for another reason.
pub fn print_to_reader(text: &str) -> anyhow::Result<bool> {
    write(&format!("{}\n", printable_styled(text.trim_end())))
}

fn write(text: &str) -> anyhow::Result<bool> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if !is_closed(&error) => Err(error).context("cannot write standard output"),
        written => Ok(written.is_ok()),
    }
}

/// Whether the reader closed the pipe.
pub fn is_closed(error: &io::Error) -> bool {
    error.kind() == ErrorKind::BrokenPipe
}

/// Writes a message of one line to standard error.
pub fn report(message: &str) {
    // Fails if the terminal is gone; there is no other place for the message.
    _ = writeln!(io::stderr(), "pmc-lite: {}", printable(message));
}

/// Prints the help, or the error of wrong flags, and returns the exit status. The error contains the words of the command line.
pub fn help_or_usage(error: &clap::Error) -> ExitCode {
    let text = error.render().ansi().to_string();
    let text = printable_styled(&text);
    if error.use_stderr() {
        // As in `report`.
        _ = write!(anstream::stderr().lock(), "{text}");
    } else if let Err(error) = write(&text) {
        report(&format!("{error:#}"));
        return ExitCode::FAILURE;
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(u8::MAX))
}

/// Formats indented JSON.
pub fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    formatted(serde_json::to_string_pretty(value))
}

/// Formats JSON in one line.
pub fn json_line<T: serde::Serialize + ?Sized>(value: &T) -> String {
    formatted(serde_json::to_string(value))
}

fn formatted(text: serde_json::Result<String>) -> String {
    let text = text.unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"));
    printable_json(&text).into_owned()
}

/// Lines of a file or a response: CSV, SVG, metrics.
pub fn lines(text: &str) -> Cow<'_, str> {
    printable_lines(text)
}
