//! Debian, booted in QEMU: the only place where a test may steer, step or set a kernel's clock and write a real-time clock. It
//! cannot reach a clock of this machine.
//!
//! ```text
//!  guest 10.78.N.2 --tap-- bridge in a namespace --cable-- 10.78.N.1, the leader's namespace
//!                                  |
//!                                  +------------cable-- further hosts: switch.host(3), ...
//! ```
//! QEMU runs in the bridge's namespace. `tests/guest/image.sh` makes the disk once. What a guest writes to it survives reboots,
//! and is discarded when the guest ends. The programs are on a second disk, at /opt/dante. The guest is always emulated, never
//! run by KVM: its oscillator is then exactly this machine's, and it runs on every machine.

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
use dante_core::time::Reading;
use dante_os::clock::read_realtime;
use machine::{Image, second_disk, start};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Name of the guest's interface on the bridge.
pub const INTERFACE: &str = "eth0";

/// Name of its second interface, of [`Card::Virtio`], on a network without another host. It is down after the boot.
pub const SECOND_INTERFACE: &str = "eth1";

/// Rate of the leader of most tests against CLOCK_MONOTONIC_RAW of this machine, ppm. See [`Guest::machine_ppm`].
pub const PPM: f64 = 37.0;

/// Longest time to boot; it takes 10 s on a machine with two idle cores.
const BOOT_TIMEOUT: Duration = Duration::from_secs(400);
/// A guest that takes longer to boot has miscalibrated timers, and runs too slowly; it is booted again.
const SLOW_BOOT: Duration = Duration::from_secs(75);
/// Prints the identity of the present boot.
const BOOT_ID: &str = "cat /proc/sys/kernel/random/boot_id";
/// Longest time for a script, unless its caller gives another limit.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(300);

/// Properties of a guest.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The guest's real-time clock minus this machine's time at its start, s. systemd moves a time before its own build to that.
    pub rtc_ahead_s: i64,
    /// Further words of the kernel's command line.
    pub kernel_words: Vec<String>,
    /// Network card.
    pub card: Card,
    /// Versions of the Debian package on the second disk, as /opt/dante/VERSION.deb.
    pub packages: Vec<String>,
}

/// A network card for the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Card {
    /// A card without a clock.
    Virtio,
    /// A card with a PTP hardware clock, /dev/ptp0. It needs QEMU 10, which `tests/guest/igb.sh` downloads.
    Igb,
}

impl Default for Setup {
    /// A time 30 days ahead, which the guest cannot have from any other clock.
    fn default() -> Self {
        Self { rtc_ahead_s: 30 * 86_400, kernel_words: Vec::new(), card: Card::Virtio, packages: Vec::new() }
    }
}

/// A guest that has booted, ended on drop.
#[derive(Debug)]
pub struct Guest {
    name: &'static str,
    agent: Agent,
    qemu: Program,
    started: Instant,
    /// This machine's clocks when the guest was started.
    reading: Reading,
    chrony: PathBuf,
    /// The switch that it is connected to.
    pub switch: Switch,
    /// Host 1, for the leader.
    pub far: Namespace,
    /// Names, logs.
    pub stage: Stage,
}

/// Returns the folder with the chronyd of the guest's disk, for [`chronyd::chronyd_with`]. `None` if the disk cannot be made;
/// the reason is printed.
pub fn chrony() -> Option<PathBuf> {
    crate::lab::may_use(&["ip", "sysctl", "mmdebstrap", "mke2fs"]).then(|| Image::ready(Card::Virtio).chrony)
}

impl Guest {
    /// Boots a guest. Its lines on stderr carry `name`. `None` if a right or a tool is missing, which is printed.
    ///
    /// # Panics
    /// If it does not boot.
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
        report(name, &format!("image ready after {:.1} s", started.elapsed().as_secs_f64()));
        let stage = Stage::new();
        let (hosts, net) = stage.hosts();
        let switch = Switch::new(&hosts, net);
        let far = switch.host(1);
        switch.tap("tap0");
        let programs = second_disk(&stage, &setup.packages);
        let disks = [image.disk.as_path(), &programs];
        let (qemu, agent) = start(&image, disks, setup, &switch, &stage);
        let chrony = image.chrony.clone();
        let reading = read_realtime();
        let mut guest = Self { name, agent, qemu, started, reading, chrony, switch, far, stage };
        if !guest.is_up_within(SLOW_BOOT) {
            guest.report("boots too slowly: started again");
            guest.qemu.signal(Signal::SIGKILL);
            crate::wait_until("QEMU's end", BOOT_TIMEOUT, || !guest.qemu.runs());
            let (qemu, agent) = start(&image, disks, setup, &guest.switch, &guest.stage);
            (guest.qemu, guest.agent) = (qemu, agent);
        }
        guest.wait_until_up(BOOT_TIMEOUT);
        guest.report(&format!("up after {:.1} s", guest.started.elapsed().as_secs_f64()));
        Some(guest)
    }

    fn report(&self, line: &str) {
        report(self.name, line);
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

    /// Runs a part of a test. Prints its name and its duration.
    pub fn phase(&mut self, name: &str, part: impl FnOnce(&mut Self)) {
        let begun = Instant::now();
        self.report(&format!("{name} ..."));
        part(self);
        let (took, total) = (begun.elapsed().as_secs_f64(), self.started.elapsed().as_secs_f64());
        self.report(&format!("{name}: {took:.1} s, {total:.1} s since the start"));
    }

    /// Runs a bash script in the guest as root until it ends. Its PATH has /opt/dante/bin.
    ///
    /// # Panics
    /// If the guest does not answer.
    pub fn run(&mut self, script: &str) -> Output {
        self.run_within(script, SCRIPT_TIMEOUT)
    }

    /// Runs a script with a time limit, after which it ends with code 124.
    ///
    /// # Panics
    /// If the guest does not answer.
    pub fn run_within(&mut self, script: &str, limit: Duration) -> Output {
        let output = self.agent.run(script, limit);
        output.unwrap_or_else(|| panic!("the guest did not answer within {limit:?}: {script}"))
    }

    /// Runs a script, and returns its standard output.
    ///
    /// # Panics
    /// If it does not end with code 0.
    #[track_caller]
    pub fn check(&mut self, script: &str) -> String {
        let output = self.run(script);
        assert_eq!(output.code, 0, "{script}: {output:?}");
        output.stdout
    }

    /// Starts a program of the suite as the unit `name`.
    pub fn start(&mut self, name: &str, program: &str, words: &[&str]) {
        let words = words.join(" ");
        // --collect: otherwise the name of a unit that failed would stay in use.
        self.check(&format!("systemd-run --quiet --collect --unit={name} /opt/dante/bin/{program} {words}"));
    }

    /// Starts a daemon of the suite as the unit with its own name. It logs to its standard output, and so to the journal.
    pub fn daemon(&mut self, program: &str, words: &[&str]) {
        self.start(program, program, &[&["-m", "-q"], words].concat());
    }

    /// Stops a unit with `systemctl stop`.
    pub fn stop(&mut self, unit: &str) {
        self.check(&format!("systemctl stop {unit}"));
    }

    /// Kills a unit with SIGKILL, and waits until it has ended.
    pub fn kill(&mut self, unit: &str) {
        self.check(&format!(
            "systemctl kill --signal=KILL {unit}; while systemctl --quiet is-active {unit}; do sleep 0.05; done"
        ));
    }

    /// Returns the journal of a unit since the boot.
    pub fn journal(&mut self, unit: &str) -> String {
        self.check(&format!("journalctl --quiet --output=cat --boot --unit={unit}"))
    }

    /// Returns what a unit has logged since its journal had `before` bytes.
    pub fn journal_since(&mut self, unit: &str, before: usize) -> String {
        self.journal(unit).get(before..).unwrap_or_default().to_owned()
    }

    /// Output of `pmc-lite get status --json` in the guest.
    ///
    /// # Panics
    /// If it prints no JSON.
    pub fn status(&mut self) -> Value {
        let output = self.run("pmc-lite get status --json");
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// Waits until the program's part of the status has `key` at `value`, and returns the part.
    ///
    /// # Panics
    /// If it does not have it within `limit`.
    pub fn wait_for(&mut self, program: &str, key: &str, value: impl Into<Value>, limit: Duration) -> Value {
        crate::wait_for_status(|| self.status(), program, key, &value.into(), limit)
    }

    /// Returns the rate of this machine's CLOCK_REALTIME against CLOCK_MONOTONIC_RAW since the guest was started, ppm: not zero if
    /// another program steers this machine's clock. The guest's oscillator is the former, a leader's the latter.
    pub fn machine_ppm(&self) -> f64 {
        let now = read_realtime();
        let (raw, real) = (now.raw - self.reading.raw, now.real - self.reading.real);
        ((real - raw).secs_f64() / raw.secs_f64()) * 1e6
    }

    /// The guest's address.
    pub fn address(&self) -> String {
        self.switch.address(2)
    }

    /// Starts a leader on host 1, with these flags besides its interface.
    pub fn leader(&self, words: &[&str]) -> LeaderProcess {
        LeaderProcess::start(&self.stage, &self.far, words)
    }

    /// Starts chronyd as a server of stratum 3 with this machine's time, on port 123 of `host`.
    pub fn chronyd(&self, host: &Namespace) -> Program {
        chronyd::serve(&self.chrony, &self.stage, host)
    }

    /// Reboots, and waits until the guest is up again. The real-time clock continues, and the disk keeps what was written.
    ///
    /// The kernel sometimes calibrates its timers against an emulated one that stood still for a moment; the guest then runs too
    /// slowly, or does not come up, and is reset.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn reboot(&mut self) {
        let begun = Instant::now();
        let before = self.check(BOOT_ID);
        // The guest may shut down before it answers.
        _ = self.agent.run("systemctl --no-block reboot", Duration::from_secs(1));
        if self.next_boot_id(&before, SLOW_BOOT).is_none() {
            self.report("boots too slowly: reset");
            machine::reset(&self.stage);
            assert!(self.next_boot_id(&before, BOOT_TIMEOUT).is_some(), "no boot within {BOOT_TIMEOUT:?}");
        }
        self.report(&format!("rebooted in {:.1} s", begun.elapsed().as_secs_f64()));
    }

    /// Identity of the present boot, if the guest answers.
    fn boot_id(&mut self) -> Option<String> {
        let output = self.agent.run(BOOT_ID, Duration::from_secs(2))?;
        (output.code == 0).then_some(output.stdout)
    }

    /// Waits for another boot than `before`.
    fn next_boot_id(&mut self, before: &str, limit: Duration) -> Option<String> {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            assert!(self.qemu.runs(), "QEMU ended: {}", self.qemu.output());
            if let Some(id) = self.boot_id().filter(|id| id != before) {
                return Some(id);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        None
    }

    /// Suspends to RAM (ACPI S3) until the real-time clock wakes the guest `seconds` later. Returns CLOCK_BOOTTIME minus
    /// CLOCK_MONOTONIC, s: the time that the guest has slept since the boot. The time of day afterwards is that of the real-time
    /// clock, to within a second. Suspend-to-idle (`freeze`) never wakes under QEMU 7.2.
    ///
    /// # Panics
    /// If it does not wake.
    pub fn suspend(&mut self, seconds: u8) -> f64 {
        let script = format!("rtcwake --utc --mode mem --seconds {seconds}");
        let slept = self.run_within(&script, Duration::from_secs(u64::from(seconds)) + SCRIPT_TIMEOUT);
        assert_eq!(slept.code, 0, "{slept:?}");
        let text = self.check("cat /proc/uptime; grep -m 1 'now at' /proc/timer_list");
        let mut numbers = text.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
        let (boottime, monotonic_ns) = (numbers.next(), numbers.next_back());
        boottime.zip(monotonic_ns).map_or_else(|| panic!("{text}"), |(boot, ns)| boot - ns / 1e9)
    }
}

impl Drop for Guest {
    /// If the test failed: saves the guest's journal with the other logs of the stage, which prints them.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let journal =
                self.agent.run("journalctl --boot --no-pager --output=short-monotonic", SCRIPT_TIMEOUT);
            let text = journal.map_or("the guest does not answer".into(), |output| output.stdout);
            _ = std::fs::write(self.stage.folder().join("journal.log"), text);
        }
    }
}

/// Writes to stderr: the harness captures what tests print to stdout until they end.
fn report(name: &str, line: &str) {
    _ = writeln!(std::io::stderr(), "guest {name}: {line}");
}
