//! Control of the guest: lines over a virtio serial port, answered by the shell script `tests/guest/agent`.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Result of a script in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit code; 124 if it was ended at its time limit.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// This machine's end of the port.
#[derive(Debug)]
pub(super) struct Agent {
    port: UnixStream,
    number: u64,
    received: Vec<u8>,
}

impl Agent {
    /// Connects to the port; `None` while QEMU has not opened its end.
    pub(super) fn connect(socket: &Path) -> Option<Self> {
        let port = UnixStream::connect(socket).ok()?;
        Some(Self { port, number: 0, received: Vec::new() })
    }

    /// Returns the guest's CLOCK_REALTIME, ns since 1970, in whole microseconds.
    pub(super) fn time(&mut self, limit: Duration) -> Option<i64> {
        let answer = self.request("time", limit)?;
        let (seconds, micros) = answer.split_once('.')?;
        Some(seconds.parse::<i64>().ok()? * 1_000_000_000 + micros.parse::<i64>().ok()? * 1_000)
    }

    /// Runs a script. `None` if there is no answer after its time limit.
    pub(super) fn run(&mut self, script: &str, limit: Duration) -> Option<Output> {
        let request = format!("run {} {}", limit.as_secs().max(1), base64(script.as_bytes(), &[]));
        // Additional time for bash and base64 in the guest.
        let answer = self.request(&request, limit + Duration::from_secs(5))?;
        let mut words = answer.split(' ');
        let code = words.next()?.parse().ok()?;
        let mut text = || {
            let bytes = base64(words.next()?.strip_prefix('.')?.as_bytes(), &["-d"]);
            Some(bytes)
        };
        Some(Output { code, stdout: text()?, stderr: text()? })
    }

    /// Sends a request with a new number, and returns the answer with that number. Late answers to earlier requests are skipped.
    fn request(&mut self, request: &str, limit: Duration) -> Option<String> {
        self.number += 1;
        let number = format!("{} ", self.number);
        // The first line end ends a request of which a guest that rebooted has read only a part.
        let line = format!("\n{number}{request}\n");
        let end = Instant::now() + limit;
        self.port.set_nonblocking(false).expect("the port's mode");
        self.port.set_write_timeout(Some(limit)).expect("the port's time limit");
        self.port.write_all(line.as_bytes()).ok()?;
        loop {
            let line = self.line(end)?;
            if let Some(answer) = line.strip_prefix(&number) {
                return Some(answer.to_owned());
            }
        }
    }

    fn line(&mut self, end: Instant) -> Option<String> {
        loop {
            if let Some(length) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=length).collect();
                return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            self.port.set_read_timeout(Some(left)).expect("the port's time limit");
            let mut buffer = [0; 65536];
            match self.port.read(&mut buffer) {
                Ok(0) => return None,
                Ok(length) => self.received.extend(buffer.iter().take(length)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }
}

/// Runs base64 of coreutils, which both ends of the port use.
fn base64(bytes: &[u8], words: &[&str]) -> String {
    let mut command = Command::new("base64");
    command.args(["-w", "0"]).args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("base64 of coreutils");
    let mut stdin = child.stdin.take().expect("its input");
    let output = std::thread::scope(|scope| {
        // The text may be larger than a pipe: it is written while the result is read.
        scope.spawn(move || stdin.write_all(bytes));
        child.wait_with_output().expect("base64 of coreutils")
    });
    String::from_utf8_lossy(&output.stdout).into_owned()
}
