//! Lines to stderr at the start and the end of a program, without a thread: the system call filter denies to start one.

use dante_core::printable::printable;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::io::{Write, stderr};
use std::os::fd::AsFd;
use std::time::Duration;

/// A pipe that is ready takes that many bytes without blocking: PIPE_BUF of Linux.
const MAX_BYTES: usize = 4096;

/// Writes one line to stderr if it accepts one within `limit`. A closed or stopped terminal loses the line.
pub(crate) fn write_line(text: &str, limit: Duration) {
    let to = stderr();
    let mut polled = [PollFd::new(to.as_fd(), PollFlags::POLLOUT)];
    if matches!(ppoll(&mut polled, Some(TimeSpec::from_duration(limit)), None), Ok(1..)) {
        // One call: a second one could block.
        _ = to.lock().write(&line(text));
    }
}

fn line(text: &str) -> Vec<u8> {
    let mut bytes = printable(text).into_owned().into_bytes();
    bytes.truncate(MAX_BYTES - 1);
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_on_stderr_is_one_harmless_line_that_fits_into_a_pipe() {
        assert_eq!(line("no \x1b[2J\neth0"), b"no \\u{1b}[2J\\neth0\n");
        let long = line(&"x".repeat(10_000));
        assert_eq!((long.len(), long.last()), (4096, Some(&b'\n')));
    }
}
