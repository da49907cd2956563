//! What one test has for itself: an instance name, an SHM unit, a folder for logs. All of it is removed in the end.

use crate::program::{Ended, Program, built};
use dante_core::page::Body;
use dante_os::ntpshm::NtpShm;
use dante_os::page::{Instance, PageName, PageReader};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The daemons, each with a page.
pub const DAEMONS: [&str; 3] = ["dante4l", "dante2sys", "danteshm"];

/// Names of one test's own.
#[derive(Debug)]
pub struct Stage {
    number: u32,
    folder: PathBuf,
    unit: u32,
    logs: AtomicU32,
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl Stage {
    /// A stage that shares nothing with that of any other test.
    ///
    /// # Panics
    /// When there is no room for logs, or no SHM unit is free.
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("dante-tests-{}-{number}", std::process::id()));
        // A process that was killed may have had this one's number.
        _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("a folder for logs");
        // Programs that run as another user are put here.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("the folder's mode");
        let first = 100_000 + (std::process::id() % 20_000) * 40_000 + number * 8;
        let unit = (first..first + 8).find(|unit| !NtpShm::exists(*unit)).expect("a free SHM unit");
        Self { number, folder, unit, logs: AtomicU32::new(0) }
    }

    /// What the names of this test's namespaces begin with, and the number of its network.
    pub fn hosts(&self) -> (String, u8) {
        let net = u8::try_from(self.number % 250).unwrap_or(0) + 1;
        (format!("{}-{}", std::process::id(), self.number), net)
    }

    /// `--instance` of all programs.
    pub fn instance(&self) -> String {
        format!("t{}-{}", std::process::id(), self.number)
    }

    /// `--shm` of danteshm.
    pub fn unit(&self) -> u32 {
        self.unit
    }

    /// Where logs and other files go.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts `command` with a log of its own.
    pub fn start(&self, name: &str, command: Command) -> Program {
        let number = self.logs.fetch_add(1, Ordering::Relaxed);
        Program::start(command, self.folder.join(format!("{number:02}-{name}.log")))
    }

    /// A program of the suite with `words`, outside of any namespace.
    pub fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(built(program));
        command.args(words);
        if DAEMONS.contains(&program) {
            command.args(self.daemon_words());
        }
        command
    }

    /// What every daemon is given here: its instance, messages to stdout, none to syslog.
    pub fn daemon_words(&self) -> [String; 3] {
        [format!("--instance={}", self.instance()), "-m".into(), "-q".into()]
    }

    /// Runs a program of the suite to its end.
    pub fn run(&self, program: &str, words: &[&str]) -> Ended {
        self.start(program, self.command(program, words)).ended(Duration::from_secs(60))
    }

    /// The words that run a program of the suite without any right: user and group 65534, no capability.
    ///
    /// # Panics
    /// When the program cannot be copied to where that user may run it.
    pub fn unprivileged(&self, program: &str) -> Vec<String> {
        let copy = self.folder.join(program);
        if !copy.exists() {
            crate::program::copy(&built(program), &copy);
        }
        let own = copy.display().to_string();
        let set = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"];
        let set = set.into_iter().chain(["--bounding-set=-all", "--no-new-privs", &own]);
        set.map(str::to_owned).collect()
    }

    /// A reader of a daemon's page.
    pub fn reader<B: Body>(&self) -> PageReader<B> {
        PageReader::new(self.page_name())
    }

    /// The file of a daemon's page.
    pub fn page<B: Body>(&self) -> PathBuf {
        self.page_name::<B>().path().into()
    }

    /// The name of a daemon's page.
    ///
    /// # Panics
    /// When the instance's name is none.
    pub fn page_name<B: Body>(&self) -> PageName<B> {
        let instance: Instance = self.instance().parse().expect("an instance name");
        PageName::new(Some(&instance))
    }

    /// `pmc-lite get status --json`.
    ///
    /// # Panics
    /// When it prints no JSON.
    pub fn status(&self) -> Value {
        let output = self.pmc(&["--json"]);
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"))
    }

    /// `pmc-lite get status` for people.
    pub fn screen(&self) -> String {
        self.pmc(&[])
    }

    fn pmc(&self, words: &[&str]) -> String {
        let instance = format!("--instance={}", self.instance());
        let mut command = self.command("pmc-lite", &["get", "status", &instance]);
        let output = command.args(words).output().expect("pmc-lite");
        String::from_utf8(output.stdout).expect("text")
    }

    /// `pmc-lite metrics --listen` of an instance, and where it listens.
    pub fn exporter(&self, instance: &str) -> (Program, String) {
        let words = ["metrics", "--listen=127.0.0.1:0", "--instance", instance];
        let program = self.start("exporter", self.command("pmc-lite", &words));
        let at = crate::wait_for("an exporter", Duration::from_secs(20), || {
            Some(program.output().split_once("http://")?.1.split_once('/')?.0.to_owned())
        });
        (program, at)
    }

    /// Waits until the programs' part of the status has `key` at `value`, and returns the part.
    pub fn wait_for(&self, program: &str, key: &str, value: &str, limit: Duration) -> Value {
        crate::wait_for(&format!("{program}: {key} {value}"), limit, || {
            let part = self.status().get_mut(program)?.take();
            (part[key] == value).then_some(part)
        })
    }

    fn show_logs(&self) {
        let mut logs: Vec<_> = fs::read_dir(&self.folder).into_iter().flatten().flatten().collect();
        logs.sort_by_key(fs::DirEntry::file_name);
        for log in logs.iter().filter(|log| log.path().extension().is_some_and(|end| end == "log")) {
            let said = fs::read(log.path()).unwrap_or_default();
            println!("--- {}\n{}", log.file_name().display(), String::from_utf8_lossy(&said).trim_end());
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
        for daemon in DAEMONS {
            for form in ["", ".status"] {
                _ = fs::remove_file(format!("/dev/shm/{daemon}@{}{form}", self.instance()));
            }
        }
        if NtpShm::exists(self.unit) {
            _ = NtpShm::remove(self.unit);
        }
        _ = fs::remove_dir_all(&self.folder);
    }
}
