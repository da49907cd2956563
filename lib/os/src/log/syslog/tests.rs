use super::*;
use crate::scratch::Scratch;
use std::io::Read;
use std::os::unix::net::{UnixDatagram, UnixListener};

/// A log of one test. Every line is checked for its fixed parts, and returned without them.
struct Lines {
    directory: Scratch,
    syslog: Syslog,
}

impl Lines {
    fn new() -> Self {
        let directory = Scratch::new();
        // The first path does not exist, as on a host with another syslog daemon.
        let syslog = Syslog::new("dante4l", [directory.0.join("nowhere"), directory.0.join("log")]);
        Self { directory, syslog }
    }

    /// The socket of a syslog daemon that starts now.
    fn daemon(&self) -> UnixDatagram {
        let path = self.directory.0.join("log");
        _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    }

    fn send(&mut self, ms: i64, text: &str) {
        let at = Timestamp::ZERO + Duration::from_ms(ms);
        self.syslog.send(&Line { at, level: Level::Info, text });
    }
}

fn received(daemon: &UnixDatagram) -> Vec<String> {
    let mut bytes = [0; 512];
    let lines = std::iter::from_fn(|| daemon.recv(&mut bytes).ok().map(|length| bytes[..length].to_vec()));
    lines.map(|line| content(&line)).collect()
}

/// `<30>Nov 30 12:00:00 dante4l[812]: [1.000] text` without the time and the process id.
fn content(line: &[u8]) -> String {
    let line = std::str::from_utf8(line).unwrap();
    let (begin, text) = line.split_once(&format!(" dante4l[{}]: ", std::process::id())).unwrap();
    let (priority, _) = begin.split_once('>').unwrap();
    format!("{priority}> {text}")
}

#[test]
fn full_socket_loses_lines_without_blocking_and_states_their_number() {
    let mut log = Lines::new();
    let daemon = log.daemon();
    // More than any queue (net.unix.max_dgram_qlen, 10 by default; some hosts have 512).
    let sent = 20_000;
    (0..sent).for_each(|n| log.send(0, &format!("line {n}")));
    let before = received(&daemon);
    assert_eq!(before.first().unwrap(), "<30> [0.000] line 0");
    let lost = sent - before.len();
    log.send(20, "next");
    let after = [
        format!("<28> [0.020] lines of this log lost, as syslog did not accept them: {lost}"),
        "<30> [0.020] next".into(),
    ];
    assert_eq!(received(&daemon), after);
    log.send(30, "last");
    assert_eq!(received(&daemon), ["<30> [0.030] last"], "the number is stated once");
}

#[test]
fn restarted_syslog_gets_lines_again_within_a_second() {
    let mut log = Lines::new();
    log.send(0, "no daemon yet");
    let daemon = log.daemon();
    log.send(999, "not tried again so soon");
    assert_eq!(received(&daemon), [""; 0]);
    log.send(1_000, "first");
    assert_eq!(
        received(&daemon),
        ["<28> [1.000] lines of this log lost, as syslog did not accept them: 2", "<30> [1.000] first"]
    );
    drop(daemon);
    log.send(1_500, "lost");
    let daemon = log.daemon();
    log.send(2_400, "sent");
    assert_eq!(
        received(&daemon),
        ["<28> [2.400] lines of this log lost, as syslog did not accept them: 1", "<30> [2.400] sent"]
    );
}

/// A stopped syslog daemon whose name another one has taken.
#[test]
fn full_socket_is_left_for_the_one_that_has_its_name_now() {
    let mut log = Lines::new();
    let stopped = log.daemon();
    (0..20_000).for_each(|_| log.send(0, "fill"));
    let running = log.daemon();
    log.send(1_000, "sent");
    let lines = received(&running);
    assert!(lines.len() == 2 && lines[1] == "<30> [1.000] sent", "{lines:?}");
    drop(stopped);
}

#[test]
fn stream_socket_gets_lines_that_end_with_nul() {
    let mut log = Lines::new();
    let listener = UnixListener::bind(log.directory.0.join("log")).unwrap();
    log.send(0, "one");
    log.send(0, "two");
    let mut stream = listener.accept().unwrap().0;
    // More than the buffer: a part of a line is not followed by another line on this connection.
    (0..100_000).for_each(|_| log.send(0, "fill"));
    drop(log);
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let whole = &bytes[..=bytes.iter().rposition(|byte| *byte == 0).unwrap()];
    let lines: Vec<String> =
        whole.strip_suffix(&[0]).unwrap().split(|byte| *byte == 0).map(content).collect();
    assert_eq!(&lines[..2], ["<30> [0.000] one", "<30> [0.000] two"]);
    assert!(lines[2..].iter().all(|line| line == "<30> [0.000] fill"));
}
