//! A Debian that is booted in QEMU: the one place where a test may steer, step or set a kernel's clock and write a
//! real-time clock. Nothing that happens in it reaches a clock of this machine.
//!
//! ```text
//!  guest 10.78.N.2 --tap-- bridge in a namespace --cable-- 10.78.N.1, the leader's namespace
//!                                  |
//!                                  +------------cable-- further hosts: switch.host(3), ...
//! ```
//! QEMU runs in the bridge's namespace. The disk is made once by `tests/guest/image.sh`, and what a guest writes to it is
//! gone with that guest, but survives its reboots. The programs come on a second disk, at /opt/dante. Always emulated,
//! never KVM: the guest's oscillator is then exactly this machine's, and it runs on every machine.

mod agent;
mod clocks;
mod machine;

pub use agent::Output;
pub use clocks::{Timex, UtcError};

use crate::chronyd;
use crate::lab::LeaderProcess;
use crate::namespace::Namespace;
use crate::program::Program;
use crate::stage::Stage;
use crate::switch::Switch;
use agent::Agent;
use machine::{Image, second_disk, start};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The guest's interface on the bridge.
pub const INTERFACE: &str = "eth0";

/// How long the guest may take to boot: it takes 10 s on a machine with two idle cores.
const BOOT: Duration = Duration::from_secs(180);
/// One that takes so long runs in slow motion, or not at all.
const SLOW: Duration = Duration::from_secs(75);
/// The reset button: nothing is ended, nothing is written.
const RESET: &str = "(sleep 0.2; echo b >/proc/sysrq-trigger) >/dev/null 2>&1 &";
/// How long a script may take where nothing else is said.
const SCRIPT: Duration = Duration::from_secs(300);

/// What a guest is to be like.
#[derive(Debug, Clone)]
pub struct Setup {
    /// How far the guest's real-time clock is ahead of this machine's date at its start, s. systemd moves a date before
    /// its own build on to that.
    pub rtc_ahead_s: i64,
    /// Further words of the kernel's command line.
    pub kernel_words: Vec<String>,
    /// Its network card.
    pub card: Card,
    /// Versions of the Debian package that are on the second disk, as /opt/dante/VERSION.deb.
    pub packages: Vec<String>,
}

/// A network card for the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Card {
    /// One without a clock.
    Virtio,
    /// One with a PTP hardware clock, /dev/ptp0. QEMU has it from version 10 on, and `tests/guest/igb.sh` fetches one.
    Igb,
}

impl Default for Setup {
    /// A date 30 days ahead: a date of its own, far from every one that is to be had from outside.
    fn default() -> Self {
        Self { rtc_ahead_s: 30 * 86_400, kernel_words: Vec::new(), card: Card::Virtio, packages: Vec::new() }
    }
}

/// A guest that has booted. It is ended when this is dropped.
#[derive(Debug)]
pub struct Guest {
    name: &'static str,
    agent: Agent,
    qemu: Program,
    started: Instant,
    chrony: PathBuf,
    /// What it is connected to.
    pub switch: Switch,
    /// The host at address 1, for the leader.
    pub far: Namespace,
    /// Names, logs.
    pub stage: Stage,
}

/// The folder of the chronyd that is on the guest's disk, for [`chronyd::chronyd_with`]; `None` where the disk cannot be
/// made, which is said.
pub fn chrony() -> Option<PathBuf> {
    crate::lab::may_use(&["ip", "sysctl", "mmdebstrap", "mke2fs"]).then(|| Image::ready(Card::Virtio).chrony)
}

impl Guest {
    /// Boots one, called so where several speak at once; `None` where that needs a right or a tool that is missing, which is said.
    ///
    /// # Panics
    /// When it does not boot.
    pub fn boot(name: &'static str, setup: &Setup) -> Option<Self> {
        let mut tools = vec!["ip", "sysctl", "mmdebstrap", "mke2fs"];
        if !setup.packages.is_empty() {
            tools.extend(["make", "dpkg-shlibdeps", "strip"]);
        }
        if setup.card == Card::Virtio {
            tools.push("qemu-system-x86_64");
        }
        if !crate::lab::may_use(&tools) || !(setup.packages.is_empty() || crate::package::may_make_deb()) {
            return None;
        }
        let started = Instant::now();
        let image = Image::ready(setup.card);
        say(name, &format!("image ready after {:.1} s", started.elapsed().as_secs_f64()));
        let stage = Stage::new();
        let (hosts, net) = stage.hosts();
        let switch = Switch::new(&hosts, net);
        let far = switch.host(1);
        switch.tap("tap0");
        let programs = second_disk(&stage, &setup.packages);
        let disks = [image.disk.as_path(), &programs];
        let (qemu, agent) = start(&image, disks, setup, &switch, &stage);
        let chrony = image.chrony.clone();
        let mut guest = Self { name, agent, qemu, started, chrony, switch, far, stage };
        if !guest.is_up_within(SLOW) {
            guest.say("in slow motion, and started anew");
            guest.qemu.signal(Signal::SIGKILL);
            crate::wait_until("QEMU's end", BOOT, || !guest.qemu.runs());
            let (qemu, agent) = start(&image, disks, setup, &guest.switch, &guest.stage);
            (guest.qemu, guest.agent) = (qemu, agent);
        }
        guest.wait_until_up(BOOT);
        guest.say(&format!("up after {:.1} s", guest.started.elapsed().as_secs_f64()));
        Some(guest)
    }

    fn say(&self, line: &str) {
        say(self.name, line);
    }

    fn is_up_within(&mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while self.agent.time(Duration::from_secs(2)).is_none() {
            assert!(self.qemu.runs(), "QEMU ended: {}", self.qemu.output());
            if Instant::now() > end {
                return false;
            }
        }
        true
    }

    fn wait_until_up(&mut self, limit: Duration) {
        assert!(self.is_up_within(limit), "the guest is not up within {limit:?}");
    }

    /// Runs a part of a test under a name, which is printed with the time that it took.
    pub fn phase(&mut self, name: &str, part: impl FnOnce(&mut Self)) {
        let begun = Instant::now();
        self.say(&format!("{name} ..."));
        part(self);
        let (took, total) = (begun.elapsed().as_secs_f64(), self.started.elapsed().as_secs_f64());
        self.say(&format!("{name}: {took:.1} s, {total:.1} s since the start"));
    }

    /// Runs a script for bash in the guest, as root, to its end. /opt/dante/bin is in its PATH.
    ///
    /// # Panics
    /// When the guest does not answer.
    pub fn run(&mut self, script: &str) -> Output {
        self.run_within(script, SCRIPT)
    }

    /// The same with a time limit, after which it ends with code 124.
    ///
    /// # Panics
    /// When the guest does not answer.
    pub fn run_within(&mut self, script: &str, limit: Duration) -> Output {
        let output = self.agent.run(script, limit);
        output.unwrap_or_else(|| panic!("the guest did not answer within {limit:?}: {script}"))
    }

    /// Runs a script that has to end with code 0, and returns what it wrote to its standard output.
    ///
    /// # Panics
    /// When it ends with another.
    #[track_caller]
    pub fn check(&mut self, script: &str) -> String {
        let output = self.run(script);
        assert_eq!(output.code, 0, "{script}: {output:?}");
        output.stdout
    }

    /// Starts a program of the suite as the unit `name`, of its own name or another.
    pub fn start(&mut self, name: &str, program: &str, words: &[&str]) {
        let words = words.join(" ");
        // Without --collect a unit that failed would keep its name.
        self.check(&format!("systemd-run --quiet --collect --unit={name} /opt/dante/bin/{program} {words}"));
    }

    /// Starts a daemon of the suite as the unit of its own name. It writes to its standard output, that is, to the journal.
    pub fn daemon(&mut self, program: &str, words: &[&str]) {
        self.start(program, program, &[&["-m", "-q"], words].concat());
    }

    /// Ends a unit as `systemctl stop` does.
    pub fn stop(&mut self, unit: &str) {
        self.check(&format!("systemctl stop {unit}"));
    }

    /// Ends a unit as `kill -9` does, and waits until it is gone.
    pub fn kill(&mut self, unit: &str) {
        self.check(&format!(
            "systemctl kill --signal=KILL {unit}; while systemctl --quiet is-active {unit}; do sleep 0.05; done"
        ));
    }

    /// What a unit has said since the boot.
    pub fn journal(&mut self, unit: &str) -> String {
        self.check(&format!("journalctl --quiet --output=cat --boot --unit={unit}"))
    }

    /// `pmc-lite get status --json` in the guest.
    ///
    /// # Panics
    /// When it prints no JSON.
    pub fn status(&mut self) -> Value {
        let output = self.run("pmc-lite get status --json");
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// Waits until the program's part of the status has `key` at `value`, and returns the part.
    ///
    /// # Panics
    /// When it has not within `limit`.
    pub fn wait_for(&mut self, program: &str, key: &str, value: impl Into<Value>, limit: Duration) -> Value {
        let value = value.into();
        crate::wait_for(&format!("{program}: {key} {value}"), limit, || {
            let part = self.status().get_mut(program)?.take();
            (part[key] == value).then_some(part)
        })
    }

    /// The guest's own address.
    pub fn address(&self) -> String {
        self.switch.address(2)
    }

    /// A leader on the host at address 1, with these flags besides its interface.
    pub fn leader(&self, words: &[&str]) -> LeaderProcess {
        LeaderProcess::start(&self.stage, &self.far, words)
    }

    /// chronyd as a server of stratum 3 with this machine's date, on port 123 of `host`.
    pub fn chronyd(&self, host: &Namespace) -> Program {
        chronyd::serve(&self.chrony, &self.stage, host)
    }

    /// Reboots in good order, and waits until the guest is up again. The real-time clock and the disk go on.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn reboot(&mut self) {
        self.reboot_by("systemctl --no-block reboot");
    }

    /// Reboots as the reset button does: nothing is ended, nothing is written.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn reset(&mut self) {
        self.reboot_by(RESET);
    }

    /// Suspends to RAM (ACPI S3) until the real-time clock wakes the guest `seconds` later, and returns by how much
    /// CLOCK_BOOTTIME has gained on CLOCK_MONOTONIC since the boot, s. The date afterwards is the real-time clock's, good
    /// to a second. Suspend-to-idle (`freeze`) never wakes under QEMU 7.2.
    ///
    /// # Panics
    /// When it does not wake.
    pub fn suspend(&mut self, seconds: u8) -> f64 {
        let script = format!("rtcwake --utc --mode mem --seconds {seconds}");
        let slept = self.run_within(&script, Duration::from_secs(u64::from(seconds)) + SCRIPT);
        assert_eq!(slept.code, 0, "{slept:?}");
        let said = self.check("cat /proc/uptime; grep -m 1 'now at' /proc/timer_list");
        let mut numbers = said.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
        let (boottime, monotonic_ns) = (numbers.next(), numbers.next_back());
        boottime.zip(monotonic_ns).map_or_else(|| panic!("{said}"), |(boot, ns)| boot - ns / 1e9)
    }

    /// Once in a while the kernel calibrates its timers against an emulated one that stood still for a moment, and then all
    /// of the guest runs in slow motion: such a boot is done again, as at the start.
    fn reboot_by(&mut self, script: &str) {
        if self.boot_anew(script) > SLOW {
            self.say("in slow motion, and reset");
            self.boot_anew(RESET);
        }
    }

    fn boot_anew(&mut self, script: &str) -> Duration {
        const BOOT_ID: &str = "cat /proc/sys/kernel/random/boot_id";
        let before = self.check(BOOT_ID);
        let begun = Instant::now();
        // The answer may be lost on the way down.
        _ = self.agent.run(script, Duration::from_secs(1));
        loop {
            self.wait_until_up(BOOT);
            let now = self.agent.run(BOOT_ID, Duration::from_secs(2));
            if now.is_some_and(|output| output.code == 0 && output.stdout != before) {
                break;
            }
            assert!(begun.elapsed() < BOOT, "the guest did not reboot within {BOOT:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
        self.say(&format!("rebooted in {:.1} s", begun.elapsed().as_secs_f64()));
        begun.elapsed()
    }
}

impl Drop for Guest {
    /// The stage shows the log of the console; what the programs said is in the guest's journal.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let journal = self.agent.run("journalctl --boot --no-pager --output=short-monotonic", SCRIPT);
            let said = journal.map_or("the guest does not answer".into(), |output| output.stdout);
            _ = std::fs::write(self.stage.folder().join("journal.log"), said);
        }
    }
}

/// To be seen while the test runs, also where the harness keeps what tests print.
fn say(name: &str, line: &str) {
    _ = writeln!(std::io::stderr(), "guest {name}: {line}");
}
