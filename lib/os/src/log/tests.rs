use super::*;
use crate::scratch::Scratch;
use std::io::{Read, pipe};
use std::os::unix::net::UnixDatagram;

/// A name with ESC and a line break reaches neither the terminal nor syslog as such.
#[test]
fn names_of_others_inject_no_line_and_no_escape_sequence() {
    let directory = Scratch::new();
    let path = directory.0.join("log");
    let reader = UnixDatagram::bind(&path).unwrap();
    let (mut output, input) = pipe().unwrap();
    let messages = Messages {
        program: "dante4l",
        stdout: Some(Stdout::start("dante4l", input).unwrap()),
        syslog: Some(Mutex::new(Syslog::new("dante4l", [path]))),
    };
    let name = "eth0\u{1b}[2J\ndante4l[1.000]: forged\u{202e}";
    messages.log(&Record::builder().level(Level::Warn).args(format_args!("port {name}: down")).build());
    messages.flush();
    let expected = r"port eth0\u{1b}[2J\ndante4l[1.000]: forged\u{202e}: down";
    let mut bytes = [0; 512];
    let length = reader.recv(&mut bytes).unwrap();
    let sent = String::from_utf8(bytes[..length].to_vec()).unwrap();
    let length = output.read(&mut bytes).unwrap();
    let written = String::from_utf8(bytes[..length].to_vec()).unwrap();
    for line in [sent.as_str(), written.trim_end_matches('\n')] {
        assert!(line.ends_with(expected), "{line:?}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

#[test]
fn stamp_is_seconds_with_milliseconds() {
    assert_eq!(Stamp(Timestamp::from_ns(5_439_103_999_999)).to_string(), "5439.103");
}
