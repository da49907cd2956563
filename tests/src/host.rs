//! A host that `pmc-lite doctor` checks, beside a leader.

use crate::EVENT_TIMEOUT;
use crate::lab::{Lab, LeaderProcess};
use crate::namespace::CABLE;
use crate::pid_namespace::PidNamespace;
use crate::program::{Ended, Program, built};
use dante_core::port::State;
use std::time::Duration;

/// `pmc-lite doctor` listens for 2.2 s and looks at the whole host.
pub const DOCTOR_TIMEOUT: Duration = Duration::from_secs(40);

/// Leader and follower. The follower's programs run in a PID namespace, so that doctor sees no process of the machine that runs the
/// test.
#[derive(Debug)]
pub struct Host {
    /// The follower's processes.
    pub processes: PidNamespace,
    /// Both hosts.
    pub lab: Lab,
}

impl Host {
    /// `None` without root's rights or a tool.
    pub fn new() -> Option<Self> {
        let lab = Lab::new()?;
        Some(Self { processes: PidNamespace::new(), lab })
    }

    /// Starts a program of the suite on the follower.
    pub fn start(&self, program: &str, words: &[&str]) -> Program {
        let command = PidNamespace::command(&self.lab.near, built(program));
        let command = self.lab.stage.with_words(command, program, words);
        self.processes.start(&self.lab.stage, program, command)
    }

    /// Starts `pmc-lite doctor` with these words.
    pub fn start_doctor(&self, words: &[&str]) -> Program {
        let instance = format!("--instance={}", self.lab.stage.instance());
        self.start("pmc-lite", &[&["doctor"], words, &[&instance]].concat())
    }

    /// Runs it until it ends.
    pub fn doctor(&self, words: &[&str]) -> Ended {
        self.start_doctor(words).ended(DOCTOR_TIMEOUT)
    }

    /// Output of `pmc-lite get status` on the follower.
    ///
    /// # Panics
    /// If it cannot be run.
    pub fn screen(&self) -> String {
        let mut command = PidNamespace::command(&self.lab.near, built("pmc-lite"));
        command.args(["get", "status", "--instance", &self.lab.stage.instance()]);
        let output = self.processes.within(|| command.output()).expect("pmc-lite");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts dante4l and waits until it is LISTENING.
    pub fn listening(&self, words: &[&str]) -> Program {
        let dante4l = self.start("dante4l", &[&["-i", CABLE], words].concat());
        self.lab.readers().wait_for_port(State::Listening, EVENT_TIMEOUT);
        dante4l
    }

    /// Starts a leader and a dante4l, and waits until it is SLAVE.
    pub fn following(&self) -> (LeaderProcess, Program) {
        let both = (self.lab.leader(&["--force"]), self.start("dante4l", &["-i", CABLE]));
        self.lab.readers().wait_for_port(State::Slave, EVENT_TIMEOUT);
        both
    }
}
