//! The suite on two hosts: the leader on one, its followers on the other.

use crate::namespace::{CABLE, Namespace};
use crate::program::{Program, built};
use crate::stage::Stage;
use crate::switch::Switch;
use crate::{Attempts, EVENT_TIMEOUT};
use dante_core::page::{
    Body, Dante2sysStatus, Dante4l, Dante4lStatus, DanteshmStatus, Freshness, PortRecord, SampleRecord, View,
};
use dante_core::time::{ClockMap, Raw, Timestamp};
use dante_core::{port, relay, steer};
use dante_os::clock::raw_now;
use dante_os::page::PageReader;
use dante_sim::oscillator::{Oscillator, Truth};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Two hosts on one network, and the names of one test.
#[derive(Debug)]
pub struct Lab {
    /// The leader's host.
    pub far: Namespace,
    /// The host of the daemons under test.
    pub near: Namespace,
    /// Names, logs, pages.
    pub stage: Stage,
    net: u8,
    /// The switch between the hosts; `None`: a cable.
    switch: Option<Switch>,
}

/// A leader, and the file from which its true time is known.
#[derive(Debug)]
pub struct LeaderProcess {
    /// `dantesim leader`.
    pub program: Program,
    file: PathBuf,
}

impl LeaderProcess {
    /// Starts a leader on a host's cable, with these flags besides its interface.
    pub fn start(stage: &Stage, host: &Namespace, words: &[&str]) -> Self {
        Self::start_on(stage, host, CABLE, words)
    }

    /// Starts a leader on this cable of the host.
    pub fn start_on(stage: &Stage, host: &Namespace, cable: &str, words: &[&str]) -> Self {
        let name = format!("truth-{}.json", raw_now().ns());
        let file = stage.folder().join(name);
        let truth = format!("--truth={}", file.display());
        let mut command = host.command(built("dantesim"));
        command.args(["leader", "-i", cable, &truth]).args(words);
        Self { program: stage.start("dantesim", command), file }
    }

    /// File of its true time, for the other port of the same clock.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Its true time as a function of CLOCK_MONOTONIC_RAW, known before it sends the first Sync.
    pub fn truth(&self) -> Oscillator {
        let found = || serde_json::from_str::<Truth>(&std::fs::read_to_string(&self.file).ok()?).ok();
        crate::wait_for("the leader's true time", EVENT_TIMEOUT, found).into()
    }
}

impl Lab {
    /// Creates the hosts. `None` if a right or a tool is missing, which is printed.
    pub fn new() -> Option<Self> {
        let (stage, net, name) = Self::names()?;
        let [far, near] = Namespace::pair(&name, net);
        Some(Self { far, near, stage, net, switch: None })
    }

    /// Creates the hosts on a switch, and a third host on it for packets that no honest device sends.
    pub fn with_third_host() -> Option<(Self, Namespace)> {
        let (stage, net, name) = Self::names()?;
        let switch = Switch::new(&name, net);
        let [far, near, third] = [1, 2, 3].map(|number| switch.host(number));
        Some((Self { far, near, stage, net, switch: Some(switch) }, third))
    }

    /// From now on the switch forwards nothing between the leader's host and the third one.
    ///
    /// # Panics
    /// If there is no third host.
    pub fn isolate_leader(&self) {
        self.switch.as_ref().expect("a switch").isolate(&[1, 3]);
    }

    fn names() -> Option<(Stage, u8, String)> {
        if !may_use(&["ip", "sysctl", "setpriv", "tshark"]) {
            return None;
        }
        let stage = Stage::new();
        let (name, net) = stage.hosts();
        Some((stage, net, name))
    }

    /// Connects the hosts by a second network.
    pub fn second_cable(&self) {
        Namespace::second_cable(&self.far, &self.near, self.net);
    }

    /// Address of the leader's host.
    pub fn far_address(&self) -> String {
        self.address(1)
    }

    /// Address of the leader's host on the second network.
    pub fn second_far_address(&self) -> String {
        format!("10.79.{}.1", self.net)
    }

    /// Address of the daemons' host.
    pub fn near_address(&self) -> String {
        self.address(2)
    }

    fn address(&self, number: u8) -> String {
        match &self.switch {
            Some(switch) => switch.address(number),
            None => format!("10.77.{}.{number}", self.net),
        }
    }

    /// Starts a leader with these flags besides its interface.
    pub fn leader(&self, words: &[&str]) -> LeaderProcess {
        LeaderProcess::start(&self.stage, &self.far, words)
    }

    /// Starts a leader and dante4l, each with its flags, and waits until dante4l follows the leader.
    pub fn following(&self, leader: &[&str], dante4l: &[&str]) -> (LeaderProcess, Program) {
        let both = (self.leader(leader), self.dante4l(dante4l));
        self.readers().wait_for_port(port::State::Slave, EVENT_TIMEOUT);
        both
    }

    /// Starts dante4l with these flags besides its interface.
    pub fn dante4l(&self, words: &[&str]) -> Program {
        self.start("dante4l", &[&["-i", CABLE], words].concat())
    }

    /// Starts dante2sys on a virtual clock.
    pub fn dante2sys(&self) -> Program {
        self.start("dante2sys", &["--clock=virtual"])
    }

    /// Starts all three daemons, each before the one whose page it reads: danteshm, dante2sys, dante4l.
    pub fn daemons(&self) -> [Program; 3] {
        [self.danteshm(), self.dante2sys(), self.dante4l(&[])]
    }

    /// Starts danteshm for the stage's SHM unit. `--epoch=now`: the clock of the test machine need not be synchronised.
    pub fn danteshm(&self) -> Program {
        self.danteshm_with(&[])
    }

    /// Starts danteshm with further flags.
    pub fn danteshm_with(&self, words: &[&str]) -> Program {
        let unit = format!("--shm={}", self.stage.unit());
        self.start("danteshm", &[&["--epoch=now", &unit], words].concat())
    }

    /// Starts a program of the suite on the daemons' host.
    pub fn start(&self, program: &str, words: &[&str]) -> Program {
        self.stage.start(program, self.command(program, words))
    }

    /// Returns the command that runs a program of the suite on the daemons' host.
    pub fn command(&self, program: &str, words: &[&str]) -> Command {
        self.stage.with_words(self.near.command(built(program)), program, words)
    }

    /// Returns the command that runs it as `nobody`, without any capability.
    pub fn unprivileged(&self, program: &str, words: &[&str]) -> Command {
        let prefix = self.stage.unprivileged(program);
        let mut command = self.near.command(&prefix[0]);
        command.args(&prefix[1..]);
        self.stage.with_words(command, program, words)
    }

    /// Returns readers of all pages.
    pub fn readers(&self) -> Readers {
        Readers::of(&self.stage)
    }
}

/// Whether this is root and these tools are installed; prints what is missing.
pub fn may_use(tools: &[&str]) -> bool {
    may_be_root("network namespaces need root") && may_run(tools)
}

/// Whether this is root; prints `why` it has to be.
pub fn may_be_root(why: &str) -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        crate::skip(why);
    }
    is_root
}

/// Whether these tools are installed; prints which one is missing.
pub fn may_run(tools: &[&str]) -> bool {
    let missing = tools.iter().find(|tool| !has(tool));
    if let Some(tool) = missing {
        crate::skip(&format!("{tool} is not installed"));
    }
    missing.is_none()
}

/// Whether PATH has this program.
pub fn has(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).exists())
}

/// Returns the clock map minus the leader's true time, now.
pub fn map_error(map: &ClockMap, truth: &Oscillator) -> dante_core::time::Duration {
    let now = raw_now();
    map.dante_at(now) - truth.at(now)
}

/// Returns the origin timestamp of a Sync minus the leader's true time at its arrival: minus the delay of the Sync.
pub fn sample_error(sample: &SampleRecord, truth: &Oscillator) -> dante_core::time::Duration {
    Timestamp::from_ns(sample.origin_ns) - truth.at(Timestamp::from_ns(sample.arrived_raw_ns))
}

/// Readers of all pages.
pub struct Readers {
    clock: PageReader<Dante4l>,
    dante4l: PageReader<Dante4lStatus>,
    dante2sys: PageReader<Dante2sysStatus>,
    danteshm: PageReader<DanteshmStatus>,
}

impl Readers {
    /// Returns the readers of this stage's pages.
    pub fn of(stage: &Stage) -> Self {
        Self {
            clock: stage.reader(),
            dante4l: stage.reader(),
            dante2sys: stage.reader(),
            danteshm: stage.reader(),
        }
    }

    /// Reads dante4l's clock page; `None` if it is rejected, or its writer has ended.
    pub fn clock(&mut self) -> Option<View<Dante4l>> {
        look(&mut self.clock)
    }

    /// Reads dante4l's status page.
    pub fn dante4l(&mut self) -> Option<View<Dante4lStatus>> {
        look(&mut self.dante4l)
    }

    /// Reads dante2sys' status page.
    pub fn dante2sys(&mut self) -> Option<View<Dante2sysStatus>> {
        look(&mut self.dante2sys)
    }

    /// Reads danteshm's status page.
    pub fn danteshm(&mut self) -> Option<View<DanteshmStatus>> {
        look(&mut self.danteshm)
    }

    /// State of dante4l's port.
    pub fn port(&mut self) -> Option<port::State> {
        self.selected()?.state()
    }

    /// The port that dante4l follows.
    pub fn selected(&mut self) -> Option<PortRecord> {
        self.dante4l()?.body.selected().copied()
    }

    /// Clock map of that port.
    pub fn map(&mut self) -> Option<ClockMap> {
        self.selected()?.map()
    }

    /// Waits until dante4l's port is in this state. Returns when that was first seen.
    pub fn wait_for_port(&mut self, state: port::State, limit: Duration) -> Timestamp<Raw> {
        crate::wait_for(&format!("dante4l {state}"), limit, || (self.port() == Some(state)).then(raw_now))
    }

    /// Waits until dante2sys is in this state. Returns its page.
    pub fn wait_for_steerer(&mut self, state: steer::State, limit: Duration) -> Dante2sysStatus {
        crate::wait_for(&format!("dante2sys {state}"), limit, || {
            self.dante2sys().map(|view| view.body).filter(|body| body.state() == Some(state))
        })
    }

    /// Waits until danteshm is in this state, and returns its page then.
    pub fn wait_for_relay(&mut self, state: relay::State, limit: Duration) -> DanteshmStatus {
        crate::wait_for(&format!("danteshm {state}"), limit, || {
            self.danteshm().map(|view| view.body).filter(|body| body.state() == Some(state))
        })
    }
}

fn look<B: Body>(reader: &mut PageReader<B>) -> Option<View<B>> {
    // After a stall of the machine the page may be stale, and its writer, which renews it each second, not yet scheduled.
    let mut attempts = Attempts::new(Duration::from_secs(1));
    loop {
        let freshness = match reader.read(raw_now()) {
            Ok(view) if view.freshness == Freshness::Fresh => return Some(view),
            Ok(view) => view.freshness,
            Err(error) => error.freshness(),
        };
        if freshness != Freshness::Stale || !attempts.again() {
            return None;
        }
    }
}

/// Returns a number from `/proc/PID/status`.
pub fn proc_status(pid: u32, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}
