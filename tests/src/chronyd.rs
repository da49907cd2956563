//! A real chronyd, which touches no clock: as a time server, and with reference clocks beside the suite, and what it makes
//! of their samples.

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

/// A chronyd that runs.
#[derive(Debug)]
pub struct Chronyd {
    /// The process.
    pub program: Program,
    folder: PathBuf,
}

/// A line of refclocks.log that tells a sample of a driver.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// UTC of the sample, us since 1970.
    pub at_us: i64,
    /// Which reference clock.
    pub refid: String,
    /// As the driver got it, s.
    pub offset_s: f64,
}

impl Chronyd {
    /// Starts one in `host` with these lines of configuration, and takes a right away from it if one is named (as
    /// `setpriv --bounding-set` names them). Files of one that ran there before go on.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(chrony: &Path, stage: &Stage, host: &Namespace, lines: &str, without: Option<&str>) -> Self {
        let right = without.map(|right| format!("--bounding-set=-{right}"));
        let before: Vec<&str> = right.iter().flat_map(|right| ["setpriv", right]).collect();
        let text = |folder: &Path| format!("{lines}\nlogdir {}\n", folder.display());
        let program = chronyd_behind(&before, chrony, stage, host, text);
        Self { program, folder: stage.folder().join(format!("chronyd-{}", host.name())) }
    }

    /// The samples in refclocks.log (`log refclocks`), without those that chronyd made of them.
    ///
    /// # Panics
    /// When a line is none.
    pub fn logged(&self) -> Vec<Logged> {
        let text = std::fs::read_to_string(self.folder.join("refclocks.log")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        // 2026-11-21 08:00:00.123456 DSHM    3 N 1  4.900000e-07 -6.741777e-07  1.000e-06
        let words = whole.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let samples = words.filter(|words| words.len() == 9 && words[0].starts_with("20") && words[3] != "-");
        samples.map(|words| of_words(&words)).collect()
    }

    /// How far the reference clock `refid` was reached at its last eight polls, as `chronyc sources` shows it in octal.
    /// `None` while chronyd does not answer.
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

    /// Waits until all of the last eight polls of the reference clock brought a sample.
    ///
    /// # Panics
    /// When that does not come.
    pub fn wait_for_reach(&self, refid: &str) {
        crate::wait_for(&format!("reach 377 of {refid}"), Duration::from_secs(300), || {
            std::thread::sleep(Duration::from_millis(200));
            (self.reach(refid) == Some(0o377)).then_some(())
        });
    }
}

/// One request of chrony's command protocol (candm.h, version 6): SOURCE_DATA of the source with this index.
fn reach_of(socket: &UnixDatagram, index: u8, refid: &str) -> Option<u16> {
    // A request is as long as its reply, at least.
    let mut request = [0; 200];
    request[0] = 6;
    request[1] = 1;
    request[5] = 15;
    request[23] = index;
    socket.send(&request).ok()?;
    let mut reply = [0; 512];
    let length = socket.recv(&mut reply).ok()?;
    // The identifier of a reference clock stands in place of an address.
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

/// chronyd as a server of stratum 3 with this machine's date, on port 123 of `host`.
///
/// # Panics
/// When it does not start.
pub fn serve(chrony: &Path, stage: &Stage, host: &Namespace) -> Program {
    chronyd_with(chrony, stage, host, |_| "local stratum 3\nallow all\n".into())
}

/// chronyd with what `text` says for a folder in which it may put its files. -x: it touches no clock. Its command socket is
/// chronyd.sock in that folder, chronyd-HOST of the stage.
///
/// # Panics
/// When it does not start.
pub fn chronyd_with(
    chrony: &Path,
    stage: &Stage,
    host: &Namespace,
    text: impl FnOnce(&Path) -> String,
) -> Program {
    chronyd_behind(&[], chrony, stage, host, text)
}

/// The same, run by another program that becomes it, as setpriv does. What one that ran there before left is there still.
///
/// # Panics
/// When it does not start.
fn chronyd_behind(
    before: &[&str],
    chrony: &Path,
    stage: &Stage,
    host: &Namespace,
    text: impl FnOnce(&Path) -> String,
) -> Program {
    let folder = stage.folder().join(format!("chronyd-{}", host.name()));
    // chronyd refuses a command socket in a folder that others may read.
    let made = DirBuilder::new().mode(0o750).create(&folder);
    assert!(made.is_ok() || folder.is_dir(), "a folder for chronyd: {made:?}");
    let file = folder.join("chrony.conf");
    let place = folder.display();
    // The last line of a kind counts.
    let own = format!("cmdport 0\nbindcmdaddress {place}/chronyd.sock\npidfile {place}/chronyd.pid\n");
    std::fs::write(&file, text(&folder) + "\n" + &own).expect("chronyd's configuration");
    let mut words = before.iter().map(PathBuf::from).chain([chrony.join(LOADER)]);
    let mut command = host.command(words.next().unwrap_or_default());
    command.args(words).args(loader_words(chrony)).args(["-x", "-d", "-u", "root", "-f"]).arg(&file);
    let mut chronyd = stage.start("chronyd", command);
    crate::wait_for("chronyd", Duration::from_secs(10), || {
        assert!(chronyd.runs(), "chronyd ended: {}", chronyd.output());
        // The last that it says before it serves.
        chronyd.output().contains("Running with root privileges").then_some(())
    });
    assert!(chronyd.output().contains("Disabled control of system clock"), "{}", chronyd.output());
    chronyd
}

/// Whether chronyd takes a configuration file, and what it says to it: it prints it, or what is wrong. It does nothing else.
///
/// # Panics
/// When chronyd cannot be run.
pub fn chronyd_takes(chrony: &Path, file: &Path) -> Result<String, String> {
    let mut command = Command::new(chrony.join(LOADER));
    let output = command.args(loader_words(chrony)).args(["-p", "-f"]).arg(file).output().expect("chronyd");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
}

/// chronyd is that of the guest's disk, taken out with its libraries to the folder `chrony`: the Debian package would start
/// a daemon that steers the machine which runs the tests.
const LOADER: &str = "ld-linux-x86-64.so.2";

/// The loader's words.
fn loader_words(chrony: &Path) -> [PathBuf; 3] {
    ["--library-path".into(), chrony.into(), chrony.join("chronyd")]
}
