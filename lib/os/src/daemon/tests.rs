use super::*;
use crate::scratch::Scratch;
use clap::Parser;
use std::ffi::OsString;

#[derive(Debug, Parser)]
#[command(version, disable_version_flag = true)]
struct Args {
    #[command(flatten)]
    common: CommonArgs,
    #[arg(short, long)]
    interface: Option<String>,
    #[arg(long, default_value_t = 319)]
    event_port: u16,
    #[arg(long)]
    no_wait: bool,
    #[arg(long, value_parser = ["none", "e2e"])]
    delay: Option<String>,
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=99))]
    priority: Option<u8>,
    #[arg(long)]
    server: Vec<String>,
}

impl DaemonArgs for Args {
    const PROGRAM: &'static str = "dante4l";
    const EXAMPLE: &'static str = "[dante4l]\ninterface = \"eth0\"\n#event-port = 319\n#log-level = 6\n\
        [dante2sys]\n#first-step-threshold = \"20ms\"\n#log-level = 6\n[danteshm]\n#shm = 2\n";
    fn common(&self) -> &CommonArgs {
        &self.common
    }
}

fn with_file(bytes: impl AsRef<[u8]>, flags: &[&str]) -> Result<Args, String> {
    let directory = Scratch::new();
    directory.write("suite.toml", bytes);
    let place = format!("{}/", directory.0.display());
    let mut words = vec!["dante4l".to_owned(), "-f".to_owned(), format!("{place}suite.toml")];
    words.extend(flags.iter().map(|flag| (*flag).to_owned()));
    let result = arguments_of::<Args>(words.into_iter().map(OsString::from).collect());
    result.map_err(|error| error.to_string().replace(&place, ""))
}

#[test]
fn key_acts_as_its_flag_and_the_command_line_overrides_it() {
    let text =
        "[dante4l]\ninterface = \"eth0\"\nevent-port = 5319\nno-wait = true\n[dante2sys]\nwhatever = 1\n";
    let args = with_file(text, &["-i", "eth1"]).unwrap();
    assert_eq!((args.interface.as_deref(), args.event_port, args.no_wait), (Some("eth1"), 5319, true));
    let args = with_file("[dante4l]\nno-wait = false\n", &[]).unwrap();
    assert_eq!((args.interface, args.no_wait), (None, false));
    assert!(with_file("", &[]).is_ok());
    let list = "[dante4l]\nserver = [\"a\", \"b\"]\n";
    assert_eq!(with_file(list, &[]).unwrap().server, ["a", "b"]);
    assert_eq!(
        with_file(list, &["--server=c"]).unwrap().server,
        ["c"],
        "the flag must replace the list in the file"
    );
}

/// The error for a file whose third line, the first in its section, is `line`.
fn error_for(line: &str) -> String {
    with_file(format!("# The suite\n[dante4l]\n{line}\n"), &[]).unwrap_err()
}

#[test]
fn configuration_errors_name_file_line_and_correction() {
    let errors = [
        // Keys.
        ("intreface = \"eth0\"", "unknown key intreface; did you mean interface?"),
        ("event_port = 5319", "unknown key event_port; did you mean event-port?"),
        ("shm = 2", "shm is a key of section [danteshm], not of [dante4l]: move it there"),
        (
            "first-step-threshold = 1",
            "first-step-threshold is a key of section [dante2sys], not of [dante4l]: move it there",
        ),
        ("config = \"/x\"", "config is allowed on the command line only"),
        (
            "interface = \"eth0\"\ninterface = \"eth1\"",
            "interface is set twice in this section: remove one of them",
        ),
        // Quotes.
        ("interface = eth1", "text must be in quotes: write interface = \"eth1\""),
        ("interface = eth1   # the card", "text must be in quotes: write interface = \"eth1\""),
        ("interface = eth1.2", "text must be in quotes: write interface = \"eth1.2\""),
        ("interface = \u{201c}eth1\u{201d}", "these are typographic quotes: write interface = \"eth1\""),
        ("interface = \u{201e}eth1\u{201c}", "these are typographic quotes: write interface = \"eth1\""),
        ("interface = \u{2018}eth1\u{2019}", "these are typographic quotes: write interface = \"eth1\""),
        ("event-port = \u{201c}5319\u{201d}", "these are typographic quotes: write event-port = 5319"),
        ("interface = \"eth1", "text must be in quotes: write interface = \"eth1\""),
        ("interface eth1", "missing = between key and value: write interface = \"eth1\""),
        ("interface\teth1", "missing = between key and value: write interface = \"eth1\""),
        ("interface: eth1", "missing = between key and value: write interface = \"eth1\""),
        ("interface =", "missing value: write interface = \"value\""),
        ("interface", "missing value: write interface = \"value\""),
        // Values.
        ("event-port = 70000", "event-port cannot be 70000: 70000 is not in 0..=65535"),
        ("priority = 100", "priority cannot be 100: 100 is not in 1..=99"),
        ("priority = \"high\"", "priority cannot be high: a whole number is required"),
        ("delay = \"e2\"", "delay cannot be \"e2\": valid values are none, e2e; did you mean e2e?"),
        ("no-wait = \"yes\"", "no-wait must be true or false, without quotes"),
        ("no-wait = 1", "no-wait must be true or false, without quotes"),
        ("interface = true", "interface must be a text in quotes, or a number"),
        ("interface = 2026-01-01", "interface must be a text in quotes, or a number"),
        ("interface = [\"eth0\", \"eth1\"]", "interface must be one value, not a list"),
        ("server = [[\"a\"]]", "server must be a text in quotes, or a number"),
        ("interface = { a = 1 }", "interface must be a text in quotes, or a number"),
    ];
    for (line, what) in errors {
        let at = if line.contains('\n') { 4 } else { 3 };
        assert_eq!(error_for(line), format!("suite.toml:{at}: {what}"), "{line}");
    }
    let unknown = error_for("qqq = 1");
    assert!(
        unknown
            .starts_with("suite.toml:3: unknown key qqq in [dante4l]; valid keys are instance, log-level,"),
        "{unknown}"
    );
    assert!(unknown.contains(", interface, ") && !unknown.contains("check-config"), "{unknown}");
}

#[test]
fn wrong_sections_are_reported_with_a_correction() {
    let errors = [
        ("[dante4]\ninterface = \"x\"\n", "1: unknown section [dante4]; did you mean [dante4l]?"),
        ("\n[ptp]\n", "2: unknown section [ptp]; sections are dante4l, dante2sys, danteshm"),
        ("[dante4l\ninterface = \"x\"\n", "1: invalid section header: write [dante4l] on a line of its own"),
        (
            "[dante4l]\n[dante2sys]\n[dante4l]\n",
            "3: section [dante4l] occurs twice: put all its keys into one section",
        ),
        ("interface = \"x\"\n", "1: interface is outside of a section: write [dante4l] on a line above it"),
        (
            "log-level = 6\n",
            "1: log-level is outside of a section: sections are [dante4l], [dante2sys], [danteshm]",
        ),
        ("dante4l = 3\n", "1: dante4l is a section: write [dante4l] on a line of its own"),
        ("[dante4l.interface]\n", "1: interface is a key, not a section: write interface = \"value\""),
    ];
    for (text, what) in errors {
        assert_eq!(with_file(text, &[]).unwrap_err(), format!("suite.toml:{what}"), "{text}");
    }
}

#[test]
fn accepts_crlf_byte_order_mark_tabs_and_quoted_numbers() {
    let read = |bytes: &[u8]| with_file(bytes, &[]).unwrap();
    let args = read(b"[dante4l]\r\ninterface = \"eth1\"\r\nevent-port = 5319\r\n");
    assert_eq!((args.interface.as_deref(), args.event_port), (Some("eth1"), 5319));
    let args = read(b"\xef\xbb\xbf[dante4l]\n\tinterface\t=\t'eth1'\t# tabs");
    assert_eq!(args.interface.as_deref(), Some("eth1"));
    let args =
        read(b"[dante4l]\nevent-port = \"5319\"\nserver = [\"a\", \"b\"]\ndelay = \"e2e\"\npriority = 7\n");
    assert_eq!((args.event_port, args.server.join(" "), args.priority), (5319, "a b".into(), Some(7)));
    assert_eq!(args.delay.as_deref(), Some("e2e"));
    assert_eq!(read(b"").interface, None);
    assert_eq!(read(b"[dante4l]\nserver = \"a\"\n").server, ["a"]);
}

#[test]
fn rejects_file_that_is_not_utf8() {
    let latin1 = with_file(b"[dante4l]\n# f\xfcr Dante\ninterface = \"eth1\"\n", &[]).unwrap_err();
    assert_eq!(latin1, "suite.toml:2: this is not UTF-8 text: save the file as UTF-8");
    let utf16 = with_file(b"\xff\xfe[\0d\0", &[]).unwrap_err();
    assert_eq!(utf16, "suite.toml:1: this is not UTF-8 text: save the file as UTF-8");
    let words = ["dante4l", "-f", "/"].map(OsString::from).to_vec();
    let directory = arguments_of::<Args>(words).unwrap_err().to_string();
    assert!(directory.starts_with("cannot read /: it is a directory"), "{directory}");
}

#[test]
fn reports_missing_file() {
    let words = ["dante4l", "-f", "/nowhere/suite.toml"].map(OsString::from).to_vec();
    let error = arguments_of::<Args>(words).unwrap_err().to_string();
    assert!(error.starts_with("cannot read /nowhere/suite.toml: No such file"), "{error}");
}

#[test]
fn denial_determines_the_exit_status() {
    use crate::page::WriteError;
    use crate::process::ProcessError;
    use crate::socket::SocketError;
    use dante_core::port::Channel;
    use nix::errno::Errno;
    let exit = |failure: Failure| failure.exit;
    let tried = "locking memory";
    assert_eq!(exit(Failure::of(ProcessError::Refused { tried, need: "CAP_IPC_LOCK" })), Exit::NotPermitted);
    assert_eq!(exit(Failure::of(ProcessError::Failed { tried, cause: Errno::EINVAL })), Exit::Failed);
    let in_use = SocketError::PortInUse { port: 319, channel: Channel::Event };
    assert_eq!(exit(Failure::of(in_use)), Exit::Refused);
    let page = |cause: Errno| WriteError::Os {
        action: "open",
        path: "/dev/shm/dante4l".into(),
        cause: cause.into(),
    };
    assert_eq!(exit(Failure::of(page(Errno::EACCES))), Exit::NotPermitted);
    assert_eq!(exit(Failure::of(page(Errno::ENOSPC))), Exit::Failed);
    assert_eq!(exit(Failure::of(WriteError::Running { program: "dante4l", pid: 812 })), Exit::Refused);
}

#[test]
fn error_for_a_key_of_every_section_suggests_no_single_section() {
    let error = with_file("messages = true\n", &[]).unwrap_err();
    assert!(error.ends_with("sections are [dante4l], [dante2sys], [danteshm]"), "{error}");
    let error = with_file("[dante4l]\nsubdomain = \"_DFLT\"\n[dante4l]\n", &[]).unwrap_err();
    assert_eq!(error, "suite.toml:3: section [dante4l] occurs twice: put all its keys into one section");
    let error = with_file("[danteshm]\nevent-port = 1\n[dante4l]\nevent-port = x\n", &[]).unwrap_err();
    assert!(
        error.ends_with("text must be in quotes: write event-port = \"x\""),
        "same key in another section: {error}"
    );
}
