//! Names that no other test uses: an instance, an SHM unit, a folder for logs. What stands under them is removed at the end.

use crate::EVENT_TIMEOUT;
use crate::program::{Ended, Program, built};
use crate::run;
use dante_core::page::Body;
use dante_os::daemon::random;
use dante_os::ntpshm::NtpShm;
use dante_os::page::{Instance, PageName, PageReader};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The daemons; each has a clock page and a status page.
pub const DAEMONS: [&str; 3] = ["dante4l", "dante2sys", "danteshm"];

/// Longest time for a program that ends by itself.
const RUN_TIMEOUT: Duration = Duration::from_secs(60);

/// Names of one test.
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
    /// Creates a stage that shares nothing with that of any other test.
    ///
    /// # Panics
    /// If the folder cannot be created.
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("dante-tests-{}-{number}", run::name()));
        fs::create_dir(&folder).expect("a folder for logs");
        // Tests run programs from it as another user.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("the folder's mode");
        let stage = Self { number, folder, unit: free_unit(), logs: AtomicU32::new(0) };
        stage.remove_pages();
        stage
    }

    /// Returns the prefix of the names of this test's namespaces, and the number of its network.
    pub fn hosts(&self) -> (String, u8) {
        let net = u8::try_from(self.number % 250).unwrap_or(0) + 1;
        (format!("{}-{}", run::name(), self.number), net)
    }

    /// Value of `--instance` of all programs.
    pub fn instance(&self) -> String {
        format!("t{}-{}", run::name(), self.number)
    }

    /// Value of `--shm` of danteshm. The next unit is free, too. Both segments are removed at the end.
    pub fn unit(&self) -> u32 {
        self.unit
    }

    /// Folder for logs and other files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts `command`, with its output in a log of its own.
    pub fn start(&self, name: &str, command: Command) -> Program {
        let number = self.logs.fetch_add(1, Ordering::Relaxed);
        Program::start(command, self.folder.join(format!("{number:02}-{name}.log")))
    }

    /// Returns the command that runs a program of the suite with `words`, outside of any namespace.
    pub fn command(&self, program: &str, words: &[&str]) -> Command {
        self.with_words(Command::new(built(program)), program, words)
    }

    /// Adds `words` to a command that runs `program`, and the flags of every daemon if it is one.
    pub fn with_words(&self, mut command: Command, program: &str, words: &[&str]) -> Command {
        command.args(words);
        if DAEMONS.contains(&program) {
            command.args(self.daemon_words());
        }
        command
    }

    /// Flags of every daemon: its instance, messages to stdout, none to syslog.
    pub fn daemon_words(&self) -> [String; 3] {
        [format!("--instance={}", self.instance()), "-m".into(), "-q".into()]
    }

    /// Runs a program of the suite until it ends.
    pub fn run(&self, program: &str, words: &[&str]) -> Ended {
        self.start(program, self.command(program, words)).ended(RUN_TIMEOUT)
    }

    /// Returns the words that run a program of the suite as `nobody`, without any capability.
    ///
    /// # Panics
    /// If the program cannot be copied to where that user may run it.
    pub fn unprivileged(&self, program: &str) -> Vec<String> {
        let copy = self.folder.join(program);
        if !copy.exists() {
            crate::program::copy(&built(program), &copy);
        }
        let own = copy.display().to_string();
        let (user, group) = (format!("--reuid={}", crate::NOBODY), format!("--regid={}", crate::NOBODY));
        let words = ["setpriv", &user, &group, "--clear-groups", "--inh-caps=-all"];
        let words = words.into_iter().chain(["--bounding-set=-all", "--no-new-privs", &own]);
        words.map(str::to_owned).collect()
    }

    /// Returns a reader of a daemon's page.
    pub fn reader<B: Body>(&self) -> PageReader<B> {
        PageReader::new(self.page_name())
    }

    /// Path of a daemon's page.
    pub fn page<B: Body>(&self) -> PathBuf {
        self.page_name::<B>().path().into()
    }

    /// Name of a daemon's page.
    ///
    /// # Panics
    /// If the instance has no valid name.
    pub fn page_name<B: Body>(&self) -> PageName<B> {
        let instance: Instance = self.instance().parse().expect("an instance name");
        PageName::new(Some(&instance))
    }

    /// Output of `pmc-lite get status --json`.
    ///
    /// # Panics
    /// If it prints no JSON.
    pub fn status(&self) -> Value {
        let output = self.pmc(&["--json"]);
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"))
    }

    /// Output of `pmc-lite get status`.
    pub fn screen(&self) -> String {
        self.pmc(&[])
    }

    fn pmc(&self, words: &[&str]) -> String {
        let instance = format!("--instance={}", self.instance());
        let mut command = self.command("pmc-lite", &["get", "status", &instance]);
        let output = command.args(words).output().expect("pmc-lite");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Starts `pmc-lite metrics --listen` of an instance. Returns it and its address.
    pub fn exporter(&self, instance: &str) -> (Program, String) {
        let words = ["metrics", "--listen=127.0.0.1:0", "--instance", instance];
        let program = self.start("exporter", self.command("pmc-lite", &words));
        let at = crate::wait_for("the exporter's address", EVENT_TIMEOUT, || {
            Some(program.output().split_once("http://")?.1.split_once('/')?.0.to_owned())
        });
        (program, at)
    }

    /// Waits until the program's part of the status has `key` at `value`, and returns the part.
    pub fn wait_for(&self, program: &str, key: &str, value: &str, limit: Duration) -> Value {
        crate::wait_for_status(|| self.status(), program, key, &value.into(), limit)
    }

    /// Removes everything in /dev/shm that carries this instance's name: pages, and what a test put beside or in place of them.
    fn remove_pages(&self) {
        let instance = self.instance();
        for entry in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let own = name.to_str().and_then(|name| name.split_once('@')?.1.strip_prefix(&instance));
            if own.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) {
                _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
            }
        }
    }

    /// Outputs so far of the programs that were started under this name.
    pub fn output_of(&self, name: &str) -> String {
        let own = format!("-{name}.log");
        self.logs().into_iter().filter(|(file, _)| file.ends_with(&own)).map(|(_, text)| text).collect()
    }

    /// The logs with their names, in the order in which the programs were started.
    fn logs(&self) -> Vec<(String, String)> {
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let named = files.filter_map(|file| Some((file.file_name().into_string().ok()?, file.path())));
        let logs = named.filter(|(name, _)| name.ends_with(".log"));
        let text = |path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        let mut logs: Vec<_> = logs.map(|(name, path)| (name, text(path))).collect();
        logs.sort();
        logs
    }

    fn show_logs(&self) {
        for (name, text) in self.logs() {
            println!("--- {name}\n{}", text.trim_end());
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
        self.remove_pages();
        for unit in [self.unit, self.unit + 1].into_iter().filter(|unit| NtpShm::exists(*unit)) {
            _ = NtpShm::remove(unit);
        }
        _ = fs::remove_dir_all(&self.folder);
    }
}

/// Returns a random SHM unit such that neither it nor the next one exists.
fn free_unit() -> u32 {
    /// Beyond the units that a person would choose; "NTP0" (0x4e545030) plus the unit is a key within 31 bits.
    const UNITS: std::ops::Range<u64> = 100_000..800_000_000;
    let offset = || random().expect("random bits of the kernel") % (UNITS.end - UNITS.start);
    let candidates = std::iter::repeat_with(|| UNITS.start + offset());
    let mut units = candidates.filter_map(|unit| u32::try_from(unit).ok());
    units.find(|unit| !NtpShm::exists(*unit) && !NtpShm::exists(*unit + 1)).expect("a free SHM unit")
}
