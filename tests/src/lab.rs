//! The suite on two hosts: the leader on one, its followers on the other.

use crate::Patience;
use crate::namespace::{CABLE, Namespace};
use crate::program::{Program, built};
use crate::stage::Stage;
use crate::switch::Switch;
use dante_core::page::{
    Body, Dante2sysStatus, Dante4l, Dante4lStatus, DanteshmStatus, Freshness, PortRecord, SampleRecord, View,
};
use dante_core::time::{ClockMap, Raw, Timestamp};
use dante_core::{port, relay, steer};
use dante_os::clock::raw_now;
use dante_os::page::PageReader;
use dante_sim::oscillator::Oscillator;
use dante_sim::oscillator::Truth;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Two hosts on one cable, and what one test has for itself.
#[derive(Debug)]
pub struct Lab {
    /// Where the leader is.
    pub far: Namespace,
    /// Where the suite is.
    pub near: Namespace,
    /// Names, logs, pages.
    pub stage: Stage,
    net: u8,
    /// The switch between the hosts, where it is more than a cable.
    switch: Option<Switch>,
}

/// A leader, and what its time truly is.
#[derive(Debug)]
pub struct LeaderProcess {
    /// `dantesim leader`.
    pub program: Program,
    file: PathBuf,
}

impl LeaderProcess {
    /// A leader on a host's cable, with these flags besides its interface.
    pub fn start(stage: &Stage, host: &Namespace, words: &[&str]) -> Self {
        Self::start_on(stage, host, CABLE, words)
    }

    /// The same, on this cable.
    pub fn start_on(stage: &Stage, host: &Namespace, cable: &str, words: &[&str]) -> Self {
        let name = format!("truth-{}.json", raw_now().ns());
        let file = stage.folder().join(name);
        let truth = format!("--truth={}", file.display());
        let mut command = host.command(built("dantesim"));
        command.args(["leader", "-i", cable, &truth]).args(words);
        Self { program: stage.start("dantesim", command), file }
    }

    /// Where its time stands, for the other port of the same clock.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Its time as a function of CLOCK_MONOTONIC_RAW, from which the first Sync on it is sent.
    pub fn truth(&self) -> Oscillator {
        let found = || serde_json::from_str::<Truth>(&std::fs::read_to_string(&self.file).ok()?).ok();
        crate::wait_for("the leader's truth", Duration::from_secs(30), found).into()
    }
}

impl Lab {
    /// Sets it up; `None` where that needs a right or a tool that is missing, which is said.
    pub fn new() -> Option<Self> {
        let (stage, net, name) = Self::place()?;
        let [far, near] = Namespace::pair(&name, net);
        Some(Self { far, near, stage, net, switch: None })
    }

    /// The same on a switch, with a third host on it, of which no good is to be expected.
    pub fn with_stranger() -> Option<(Self, Namespace)> {
        let (stage, net, name) = Self::place()?;
        let switch = Switch::new(&name, net);
        let [far, near, stranger] = [1, 2, 3].map(|number| switch.host(number));
        Some((Self { far, near, stage, net, switch: Some(switch) }, stranger))
    }

    /// The leader does not hear the third host from now on.
    ///
    /// # Panics
    /// Where there is no third host.
    pub fn spare_the_leader(&self) {
        self.switch.as_ref().expect("a switch").isolate(&[1, 3]);
    }

    fn place() -> Option<(Stage, u8, String)> {
        if !may_use(&["ip", "sysctl", "setpriv", "tshark"]) {
            return None;
        }
        let stage = Stage::new();
        let (name, net) = stage.hosts();
        Some((stage, net, name))
    }

    /// A second network between the same hosts.
    pub fn second_cable(&self) {
        Namespace::second_cable(&self.far, &self.near, self.net);
    }

    /// The leader's address.
    pub fn far_address(&self) -> String {
        self.address(1)
    }

    /// The suite's address.
    pub fn near_address(&self) -> String {
        self.address(2)
    }

    fn address(&self, number: u8) -> String {
        match &self.switch {
            Some(switch) => switch.address(number),
            None => format!("10.77.{}.{number}", self.net),
        }
    }

    /// A leader with these flags besides its interface.
    pub fn leader(&self, words: &[&str]) -> LeaderProcess {
        LeaderProcess::start(&self.stage, &self.far, words)
    }

    /// A leader and a dante4l that follows it, each with its flags.
    pub fn following(&self, leader: &[&str], dante4l: &[&str]) -> (LeaderProcess, Program) {
        let both = (self.leader(leader), self.dante4l(dante4l));
        self.eyes().wait_for_port(port::State::Slave, Duration::from_secs(30));
        both
    }

    /// dante4l with these flags besides its interface.
    pub fn dante4l(&self, words: &[&str]) -> Program {
        self.start("dante4l", &[&["-i", CABLE], words].concat())
    }

    /// dante2sys on a virtual clock.
    pub fn dante2sys(&self) -> Program {
        self.start("dante2sys", &["--clock=virtual"])
    }

    /// All three daemons, from the end of the chain to its beginning: danteshm, dante2sys, dante4l.
    pub fn daemons(&self) -> [Program; 3] {
        [self.danteshm(), self.dante2sys(), self.dante4l(&[])]
    }

    /// danteshm into the unit of the stage. Nobody vouches for the clock of a machine that runs tests.
    pub fn danteshm(&self) -> Program {
        self.danteshm_with(&[])
    }

    /// The same with more outputs.
    pub fn danteshm_with(&self, words: &[&str]) -> Program {
        let unit = format!("--shm={}", self.stage.unit());
        self.start("danteshm", &[&["--epoch=now", &unit], words].concat())
    }

    /// A daemon beside the leader's followers.
    pub fn start(&self, program: &str, words: &[&str]) -> Program {
        self.stage.start(program, self.command(program, words))
    }

    /// Its command.
    pub fn command(&self, program: &str, words: &[&str]) -> Command {
        self.command_of(self.near.command(built(program)), program, words)
    }

    /// The same without any right.
    pub fn unprivileged(&self, program: &str, words: &[&str]) -> Command {
        let prefix = self.stage.unprivileged(program);
        let mut command = self.near.command(&prefix[0]);
        command.args(&prefix[1..]);
        self.command_of(command, program, words)
    }

    fn command_of(&self, mut command: Command, program: &str, words: &[&str]) -> Command {
        command.args(words);
        if crate::stage::DAEMONS.contains(&program) {
            command.args(self.stage.daemon_words());
        }
        command
    }

    /// Readers of all pages.
    pub fn eyes(&self) -> Eyes {
        Eyes::of(&self.stage)
    }
}

/// Whether there are root's rights and these tools; says what is missing.
pub fn may_use(tools: &[&str]) -> bool {
    may_be_root("network namespaces need root") && may_run(tools)
}

/// Whether there are root's rights; says what needs them.
pub fn may_be_root(why: &str) -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        crate::skip(why);
    }
    is_root
}

/// Whether there are these tools; says what is missing.
pub fn may_run(tools: &[&str]) -> bool {
    let missing = tools.iter().find(|tool| !has(tool));
    if let Some(tool) = missing {
        crate::skip(&format!("{tool} is not installed"));
    }
    missing.is_none()
}

/// Whether there is such a program in PATH.
pub fn has(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).exists())
}

/// The clock map minus the leader's true time, at this moment.
pub fn map_error(map: &ClockMap, truth: &Oscillator) -> dante_core::time::Duration {
    let now = raw_now();
    map.dante_at(now) - truth.at(now)
}

/// The time that a Sync states minus the leader's true time when it arrived: the less, the later it is.
pub fn sample_error(sample: &SampleRecord, truth: &Oscillator) -> dante_core::time::Duration {
    Timestamp::from_ns(sample.origin_ns) - truth.at(Timestamp::from_ns(sample.arrived_raw_ns))
}

/// Readers of all pages.
pub struct Eyes {
    clock: PageReader<Dante4l>,
    dante4l: PageReader<Dante4lStatus>,
    dante2sys: PageReader<Dante2sysStatus>,
    danteshm: PageReader<DanteshmStatus>,
}

impl Eyes {
    /// Those of this stage.
    pub fn of(stage: &Stage) -> Self {
        Self {
            clock: stage.reader(),
            dante4l: stage.reader(),
            dante2sys: stage.reader(),
            danteshm: stage.reader(),
        }
    }

    /// dante4l's clock page, if it is trusted and its writer lives.
    pub fn clock(&mut self) -> Option<View<Dante4l>> {
        look(&mut self.clock)
    }

    /// dante4l's status page, likewise.
    pub fn dante4l(&mut self) -> Option<View<Dante4lStatus>> {
        look(&mut self.dante4l)
    }

    /// dante2sys' status page.
    pub fn dante2sys(&mut self) -> Option<View<Dante2sysStatus>> {
        look(&mut self.dante2sys)
    }

    /// danteshm's status page.
    pub fn danteshm(&mut self) -> Option<View<DanteshmStatus>> {
        look(&mut self.danteshm)
    }

    /// The state of dante4l's port.
    pub fn port(&mut self) -> Option<port::State> {
        self.selected()?.state()
    }

    /// The port that dante4l uses.
    pub fn selected(&mut self) -> Option<PortRecord> {
        self.dante4l()?.body.selected().copied()
    }

    /// What that port knows of the leader's time.
    pub fn map(&mut self) -> Option<ClockMap> {
        self.selected()?.map()
    }

    /// Waits until dante4l's port is in this state, and says when that was first seen.
    pub fn wait_for_port(&mut self, state: port::State, limit: Duration) -> Timestamp<Raw> {
        crate::wait_for(&format!("dante4l {state}"), limit, || (self.port() == Some(state)).then(raw_now))
    }

    /// Waits until dante2sys is in this state, and returns its page then.
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
    // Where the machine was held up, this may be first: a writer that lives renews its page within a second.
    let mut patience = Patience::new(Duration::from_secs(1));
    loop {
        let freshness = match reader.read(raw_now()) {
            Ok(view) if view.freshness == Freshness::Fresh => return Some(view),
            Ok(view) => view.freshness,
            Err(error) => error.freshness(),
        };
        if freshness != Freshness::Stale || !patience.goes_on() {
            return None;
        }
    }
}

/// A number from `/proc/PID/status`.
pub fn proc_status(pid: u32, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}
