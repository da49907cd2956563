//! A real chronyd with -x, which does not set the clock: as a time server, and with the suite's samples as reference clocks.

use crate::EVENT_TIMEOUT;
use crate::namespace::Namespace;
use crate::program::Program;
use crate::stage::Stage;
use dante_core::time::Civil;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A running chronyd.
#[derive(Debug)]
pub struct Chronyd {
    /// Its process.
    pub program: Program,
    folder: PathBuf,
}

/// A sample of a reference clock driver, from refclocks.log.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// UTC of the sample, us since 1970.
    pub at_us: i64,
    /// Identifier of the reference clock.
    pub refid: String,
    /// Offset that the driver received, s.
    pub offset_s: f64,
}

impl Chronyd {
    /// Starts chronyd on `host` with these lines of configuration, and without the capability `without` (a name of
    /// `setpriv --bounding-set`). It continues the log files of an earlier chronyd on that host.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(chrony: &Path, stage: &Stage, host: &Namespace, lines: &str, without: Option<&str>) -> Self {
        let set = without.map(|capability| format!("--bounding-set=-{capability}"));
        let before: Vec<&str> = set.iter().flat_map(|set| ["setpriv", set]).collect();
        Self::start_behind(&before, chrony, stage, host, lines)
    }

    /// Starts it through a program that execs it, such as `unshare -i`.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_behind(
        before: &[&str],
        chrony: &Path,
        stage: &Stage,
        host: &Namespace,
        lines: &str,
    ) -> Self {
        let text = |folder: &Path| format!("{lines}\nlogdir {}\n", folder.display());
        let program = chronyd_behind(before, chrony, stage, host, text);
        Self { program, folder: stage.folder().join(format!("chronyd-{}", host.name())) }
    }

    /// Returns the samples of drivers in refclocks.log (`log refclocks`), without chronyd's filtered ones.
    ///
    /// # Panics
    /// If a line has another format.
    pub fn logged(&self) -> Vec<Logged> {
        let text = std::fs::read_to_string(self.folder.join("refclocks.log")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        // 2026-11-21 08:00:00.123456 DSHM    3 N 1  4.900000e-07 -6.741777e-07  1.000e-06
        let words = whole.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let samples = words.filter(|words| words.len() == 9 && words[0].starts_with("20") && words[3] != "-");
        samples.map(|words| of_words(&words)).collect()
    }

    /// Reach register of the reference clock `refid`, a bit for each of the last eight polls; `chronyc sources` shows it in
    /// octal. `None` while chronyd does not answer.
    pub fn reach(&self, refid: &str) -> Option<u16> {
        let own = self.folder.join("tests.sock");
        _ = std::fs::remove_file(&own);
        let socket = UnixDatagram::bind(&own).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        socket.connect(self.folder.join("chronyd.sock")).ok()?;
        let found = (0..8).find_map(|index| reach_of(&socket, index, refid));
        _ = std::fs::remove_file(&own);
        found
    }

    /// Waits until each of the last eight polls of the reference clock had a sample.
    ///
    /// # Panics
    /// If that takes longer than [`REACH_TIMEOUT`].
    pub fn wait_for_reach(&self, refid: &str) {
        crate::wait_for(&format!("reach 377 of {refid}"), REACH_TIMEOUT, || {
            std::thread::sleep(Duration::from_millis(200));
            (self.reach(refid) == Some(0o377)).then_some(())
        });
    }
}

/// Longest wait for a full reach register: eight polls take 32 s at `poll 2`.
pub const REACH_TIMEOUT: Duration = Duration::from_secs(300);

/// Sends the request SOURCE_DATA of chrony's command protocol (candm.h, version 6) for the source with this index.
fn reach_of(socket: &UnixDatagram, index: u8, refid: &str) -> Option<u16> {
    // chronyd answers only if the request is at least as long as the reply.
    let mut request = [0; 200];
    request[0] = 6;
    request[1] = 1;
    request[5] = 15;
    request[23] = index;
    socket.send(&request).ok()?;
    let mut reply = [0; 512];
    let length = socket.recv(&mut reply).ok()?;
    // The address field has the identifier of a reference clock.
    let is_it = length >= 60 && reply[28..32].starts_with(refid.as_bytes());
    is_it.then(|| u16::from_be_bytes([reply[58], reply[59]]))
}

fn of_words(words: &[&str]) -> Logged {
    let number = |text: &str| text.parse::<i64>().unwrap_or_else(|_| panic!("no number: {words:?}"));
    let numbers = |text: &str, between| text.split(between).map(number).collect::<Vec<_>>();
    let (clock, us) = words[1].split_once('.').unwrap_or_else(|| panic!("no time: {words:?}"));
    let &[year, month, day, hour, minute, second] =
        &[numbers(words[0], '-'), numbers(clock, ':')].concat()[..]
    else {
        panic!("no date: {words:?}")
    };
    let date = Civil { year, month, day, hour, minute, second };
    Logged {
        at_us: date.seconds().expect("a date") * 1_000_000 + number(us),
        refid: words[2].to_owned(),
        offset_s: words[6].parse().unwrap_or_else(|_| panic!("no offset: {words:?}")),
    }
}

/// Starts chronyd as a server of stratum 3 with this machine's time, on port 123 of `host`.
///
/// # Panics
/// If it does not start.
pub fn serve(chrony: &Path, stage: &Stage, host: &Namespace) -> Program {
    chronyd_with(chrony, stage, host, |_| "local stratum 3\nallow all\n".into())
}

/// Starts chronyd with the configuration that `text` returns for the folder of its files, chronyd-HOST of the stage. Its
/// command socket is chronyd.sock in that folder. -x: it does not set the clock.
///
/// # Panics
/// If it does not start.
pub fn chronyd_with(
    chrony: &Path,
    stage: &Stage,
    host: &Namespace,
    text: impl FnOnce(&Path) -> String,
) -> Program {
    chronyd_behind(&[], chrony, stage, host, text)
}

/// Starts chronyd through a program that execs it, such as setpriv. Files of an earlier chronyd on that host are kept.
///
/// # Panics
/// If it does not start.
fn chronyd_behind(
    before: &[&str],
    chrony: &Path,
    stage: &Stage,
    host: &Namespace,
    text: impl FnOnce(&Path) -> String,
) -> Program {
    let folder = stage.folder().join(format!("chronyd-{}", host.name()));
    // chronyd rejects a command socket in a folder that other users can read.
    let made = DirBuilder::new().mode(0o750).create(&folder);
    assert!(made.is_ok() || folder.is_dir(), "a folder for chronyd: {made:?}");
    let file = folder.join("chrony.conf");
    let place = folder.display();
    // chronyd uses the last of several lines with the same directive.
    let own = format!("cmdport 0\nbindcmdaddress {place}/chronyd.sock\npidfile {place}/chronyd.pid\n");
    std::fs::write(&file, text(&folder) + "\n" + &own).expect("chronyd's configuration");
    let mut words = before.iter().map(PathBuf::from).chain([chrony.join(LOADER)]);
    let mut command = host.command(words.next().unwrap_or_default());
    command.args(words).args(loader_words(chrony)).args(["-x", "-d", "-u", "root", "-f"]).arg(&file);
    let mut chronyd = stage.start("chronyd", command);
    crate::wait_for("chronyd", EVENT_TIMEOUT, || {
        assert!(chronyd.runs(), "chronyd ended: {}", chronyd.output());
        // The last line that it logs before it serves.
        chronyd.output().contains("Running with root privileges").then_some(())
    });
    assert!(chronyd.output().contains("Disabled control of system clock"), "{}", chronyd.output());
    chronyd
}

/// Runs `chronyd -p`, which reads a configuration file and prints it, and does nothing else.
///
/// # Errors
/// What chronyd reports if it rejects the file.
///
/// # Panics
/// If chronyd cannot be run.
pub fn chronyd_accepts(chrony: &Path, file: &Path) -> Result<String, String> {
    let mut command = Command::new(chrony.join(LOADER));
    let output = command.args(loader_words(chrony)).args(["-p", "-f"]).arg(file).output().expect("chronyd");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// chronyd is run from the folder `chrony`, where it was copied from the guest's disk with its libraries: Debian's package would
/// start a daemon that steers the clock of this machine.
const LOADER: &str = "ld-linux-x86-64.so.2";

/// Arguments of the loader.
fn loader_words(chrony: &Path) -> [PathBuf; 3] {
    ["--library-path".into(), chrony.into(), chrony.join("chronyd")]
}
