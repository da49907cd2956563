//! Text output of all commands. Names of processes, units, files, chains and interfaces come from other users; a terminal must not
//! act on them. Standard output and standard error are written only here, in `log`, which uses [`lines`], and in
//! [`dante_os::daemon::exit`].

use dante_core::printable::{printable, printable_json, printable_lines, printable_styled};
use std::borrow::Cow;
use std::io::Write;
use std::process::ExitCode;

/// Prints on standard output; colours only on a terminal.
pub fn print(text: &str) {
    // A reader that closes the pipe early needs no more output.
    _ = writeln!(anstream::stdout().lock(), "{}", printable_styled(text.trim_end()));
}

/// Writes a message of one line to standard error.
pub fn report(message: &str) {
    // Fails if the terminal is gone; there is no other place for the message.
    _ = writeln!(std::io::stderr(), "pmc-lite: {}", printable(message));
}

/// Prints the help, or the error of wrong flags, and returns the exit status. The error contains the words of the command line.
pub fn help_or_usage(error: &clap::Error) -> ExitCode {
    let text = error.render().ansi().to_string();
    let text = printable_styled(&text);
    // The same as for the other outputs.
    _ = if error.use_stderr() {
        write!(anstream::stderr().lock(), "{text}")
    } else {
        write!(anstream::stdout().lock(), "{text}")
    };
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(u8::MAX))
}

/// Formats indented JSON.
pub fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    let text =
        serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"));
    printable_json(&text).into_owned()
}

/// Lines of a file or a response: CSV, SVG, metrics.
pub fn lines(text: &str) -> Cow<'_, str> {
    printable_lines(text)
}
