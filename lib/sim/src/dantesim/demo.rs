//! `dantesim demo`: the suite on loopback, compared with the leader's true time.
//!
//! It uses unprivileged UDP ports, a virtual clock, and pages and an SHM unit of its own. So it needs no root, sets no clock and
//! removes everything that it made.

use crate::args::DemoArgs;
use anyhow::{Context, anyhow, bail};
use dante_core::page::{Body, Dante2sysStatus, Dante4lStatus, DanteshmStatus};
use dante_core::port::State;
use dante_core::relay::RefclockSample;
use dante_core::time::{Duration, Raw, Timestamp};
use dante_core::{relay, steer};
use dante_os::clock::raw_now;
use dante_os::daemon::{Failure, random};
use dante_os::ntpshm::{NtpShm, NtpShmReader};
use dante_os::page::{Instance, PageName, PageReader};
use dante_os::poll::Poll;
use dante_os::process::Bound;
use dante_sim::oscillator::{Oscillator, Truth};
use std::fs::File;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Limit of dante4l's rate error, ppb. This and the next limit are wide, because on a busy machine software timestamps on loopback are
/// late by tens of us at times: the demonstration shows that everything locks, not how accurate this machine is.
const MAX_RATE_ERROR_PPB: f64 = 1_000.0;
/// Limit of the phase error of the virtual clock.
const MAX_PHASE_ERROR: Duration = Duration::from_us(100);
/// Limit of the reference of danteshm's sample minus the system clock. The two are equal when danteshm sets the epoch offset (K), and
/// then diverge at the leader's rate: by 0.6 ms in 50 s at 12 ppm.
const MAX_REFCLOCK_OFFSET: Duration = Duration::from_ms(5);

/// Runs the demonstration. Returns an error if a program did not lock.
pub fn demo(args: &DemoArgs) -> Result<(), Failure> {
    let mut poll = Poll::new()?;
    let mut stage = Stage::start(args)?;
    println!(
        "Simulated Dante leader at {:+} ppm, followed by dante4l, dante2sys (on a virtual clock) and danteshm on loopback.\n\
         The demonstration takes danteshm's samples from the SHM segment, in place of chronyd.\n\
         The columns \"error ppb\" and \"phase ns\" are errors against the leader's true time.\n",
        args.ppm
    );
    println!(
        "{:>4}  {:<13}{:>11}{:>13}{:>10}  {:<10}{:>10}{:>9}",
        "s", "dante4l", "residual ns", "rate ppb", "error ppb", "dante2sys", "phase ns", "samples"
    );
    let begin = raw_now();
    let mut last = None;
    for second in 1..=i64::from(args.seconds) {
        let until = begin + Duration::from_secs(second);
        if poll.wait(&[], Some(until))?.signal.is_some() {
            return Err(anyhow!("interrupted").into());
        }
        stage.check_alive()?;
        stage.take_sample()?;
        let row = stage.row();
        println!("{second:>4}  {row}");
        last = Some(row);
    }
    stage.show_status()?;
    let verdict = last.context("no row was printed").and_then(|row| stage.judge(&row));
    if let Err(error) = &verdict {
        println!("\nFailed: {error:#}");
        stage.show_logs();
    }
    let end = stage.end();
    verdict?;
    end?;
    println!(
        "\nEverything locked. All processes, pages and shared memory of the demonstration are removed; no clock was set."
    );
    Ok(())
}

/// The published values at one time, with their errors against the truth.
struct Row {
    port: Option<State>,
    residual: Option<Duration>,
    rate_ppb: Option<f64>,
    rate_error_ppb: Option<f64>,
    steerer: Option<steer::State>,
    phase_error: Option<Duration>,
    relay: Option<relay::State>,
    samples: u64,
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ns = |span: Option<Duration>| span.map_or("-".into(), |span| format!("{:+}", span.ns()));
        let ppb = |rate: Option<f64>| rate.map_or("-".into(), |rate| format!("{rate:+.1}"));
        write!(
            f,
            "{:<13}{:>11}{:>13}{:>10}  {:<10}{:>10}{:>9}",
            state(self.port),
            ns(self.residual),
            ppb(self.rate_ppb),
            ppb(self.rate_error_ppb),
            state(self.steerer),
            ns(self.phase_error),
            self.samples
        )
    }
}

/// A program's state as text; `-` if it publishes none.
fn state(state: Option<impl std::fmt::Display>) -> String {
    state.map_or("-".into(), |state| state.to_string())
}

/// Everything that the demonstration makes; removed when this is dropped.
struct Stage {
    /// In the order in which they are ended: the reader of a page before its writer.
    programs: Vec<(&'static str, Bound)>,
    folder: PathBuf,
    instance: String,
    unit: u32,
    /// The segment of `unit`, attached as chronyd does, and the last sample that was taken from it.
    segment: Option<NtpShm>,
    taken: Option<RefclockSample>,
    dante4l: PageReader<Dante4lStatus>,
    dante2sys: PageReader<Dante2sysStatus>,
    danteshm: PageReader<DanteshmStatus>,
    pmc: PathBuf,
}

/// Returns the folder of the four programs: dantesim's own after a build, the `sbin` beside its `bin` after an installation.
fn programs_near(own: &Path) -> Option<PathBuf> {
    [own.to_owned(), own.join("../sbin")].into_iter().find(|folder| folder.join("dante4l").exists())
}

impl Stage {
    fn start(args: &DemoArgs) -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let own_folder = own.parent().context("no folder")?;
        let programs = programs_near(own_folder).with_context(|| {
            format!(
                "dante4l is neither beside {} nor in the sbin beside its folder: build the suite first (make demo)",
                own.display()
            )
        })?;
        let random = random()?;
        let instance = format!("demo-{:x}", random & 0xffff_ffff);
        let name: Instance = instance.parse().map_err(anyhow::Error::msg)?;
        let folder = std::env::temp_dir().join(format!("dantesim-{instance}"));
        std::fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let (event, general) = free_ports()?;
        let mut stage = Self {
            programs: Vec::new(),
            folder,
            instance,
            unit: free_unit(random)?,
            segment: None,
            taken: None,
            dante4l: PageReader::new(PageName::new(Some(&name))),
            dante2sys: PageReader::new(PageName::new(Some(&name))),
            danteshm: PageReader::new(PageName::new(Some(&name))),
            pmc: programs.join("pmc-lite"),
        };
        let ports = [format!("--event-port={event}"), format!("--general-port={general}")];
        let truth = format!("--truth={}", stage.truth_file().display());
        let ppm = format!("--ppm={}", args.ppm);
        let unit = format!("--shm={}", stage.unit);
        let common = [format!("--instance={}", stage.instance), "-m".into(), "-q".into()];
        let words = |own: &[&str], more: &[String]| -> Vec<String> {
            own.iter().map(|word| (*word).to_owned()).chain(more.iter().cloned()).collect()
        };
        stage.run("danteshm", &programs, words(&[&unit, "--epoch=now"], &common))?;
        stage.run("dante2sys", &programs, words(&["--clock=virtual"], &common))?;
        let observer = words(&["-i", "lo", "--delay=e2e"], &[&common[..], &ports[..]].concat());
        stage.run("dante4l", &programs, observer)?;
        stage.run("dantesim", own_folder, words(&["leader", "-i", "lo", "--force", &ppm, &truth], &ports))?;
        Ok(stage)
    }

    fn truth_file(&self) -> PathBuf {
        self.folder.join("truth.json")
    }

    fn run(&mut self, program: &'static str, folder: &Path, words: Vec<String>) -> anyhow::Result<()> {
        let log = File::create(self.folder.join(program).with_extension("log"))?;
        let mut command = Command::new(folder.join(program));
        command.args(words).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let bound = Bound::spawn(&mut command).with_context(|| format!("cannot start {program}"))?;
        self.programs.push((program, bound));
        Ok(())
    }

    fn check_alive(&mut self) -> anyhow::Result<()> {
        for (name, program) in &mut self.programs {
            if let Some(status) = program.ended()? {
                let log = self.folder.join(*name).with_extension("log");
                let text = std::fs::read_to_string(log).unwrap_or_default();
                bail!("{name} ended with {status}: {}", text.trim());
            }
        }
        Ok(())
    }

    /// Takes a sample from danteshm's segment, as chronyd does, so that danteshm knows that its samples are read.
    fn take_sample(&mut self) -> anyhow::Result<()> {
        if self.segment.is_none() && NtpShm::exists(self.unit) {
            // It exists: its permissions are kept.
            self.segment = Some(NtpShm::create(self.unit, 0o600)?);
        }
        let Some(segment) = &self.segment else { return Ok(()) };
        if let Some((sample, _)) = NtpShmReader::attach(self.unit)?.read()
            && segment.take()
        {
            self.taken = Some(sample);
        }
        Ok(())
    }

    fn truth(&self) -> Option<Oscillator> {
        let text = std::fs::read_to_string(self.truth_file()).ok()?;
        serde_json::from_str::<Truth>(&text).ok().map(Oscillator::from)
    }

    fn row(&mut self) -> Row {
        let now = raw_now();
        let truth = self.truth();
        let observer = self.dante4l.read(now).ok();
        let port = observer.as_ref().and_then(|view| view.body.selected());
        let rate = port.and_then(|port| port.map()).map(|map| map.line.rate);
        let steerer = self.dante2sys.read(now).ok();
        let relay = self.danteshm.read(now).ok();
        Row {
            port: port.and_then(|port| port.state()),
            residual: port.and_then(|port| port.last_sample()).map(|sample| sample.residual),
            rate_ppb: rate.map(|rate| rate.ppb()),
            rate_error_ppb: rate.zip(truth).map(|(rate, truth)| (rate - truth.rate_at(now)).ppb()),
            steerer: steerer.as_ref().and_then(|view| view.body.state()),
            phase_error: steerer
                .zip(truth)
                .and_then(|(view, truth)| true_phase_error(&view.body, &truth, now)),
            relay: relay.as_ref().and_then(|view| view.body.state()),
            samples: relay.map_or(0, |view| view.body.outputs().iter().map(|output| output.samples).sum()),
        }
    }

    fn judge(&self, row: &Row) -> anyhow::Result<()> {
        if row.port != Some(State::Slave) {
            bail!("dante4l is not locked to the leader: its state is {}, not SLAVE", state(row.port));
        }
        let error = row.rate_error_ppb.context("dante4l publishes no rate")?;
        if error.abs() > MAX_RATE_ERROR_PPB {
            bail!("error of dante4l's rate is {error:+.0} ppb, limit {MAX_RATE_ERROR_PPB} ppb");
        }
        if row.steerer != Some(steer::State::Locked) {
            bail!("dante2sys is not locked: its state is {}, not LOCKED", state(row.steerer));
        }
        let phase = row.phase_error.context("dante2sys publishes no clock")?;
        if phase.abs() > MAX_PHASE_ERROR {
            bail!(
                "phase error of the virtual clock is {:+} ns, limit {} ns",
                phase.ns(),
                MAX_PHASE_ERROR.ns()
            );
        }
        if row.relay != Some(relay::State::Feeding) || row.samples < 8 {
            bail!(
                "danteshm does not write to the SHM segment: its state is {}, samples: {}",
                state(row.relay),
                row.samples
            );
        }
        let sample = self.taken.context("the SHM segment has no valid sample")?;
        let offset = sample.reference - sample.received;
        if offset.abs() > MAX_REFCLOCK_OFFSET {
            bail!(
                "in the SHM segment, reference minus system clock is {:+} ns, limit {} ns",
                offset.ns(),
                MAX_REFCLOCK_OFFSET.ns()
            );
        }
        Ok(())
    }

    fn show_status(&self) -> anyhow::Result<()> {
        println!("\nOutput of pmc-lite get status:\n");
        let status =
            Command::new(&self.pmc).args(["get", "status", "--instance", &self.instance]).status()?;
        if status.success() { Ok(()) } else { bail!("pmc-lite ended with {status}") }
    }

    fn show_logs(&self) {
        for (name, _) in &self.programs {
            let text =
                std::fs::read_to_string(self.folder.join(name).with_extension("log")).unwrap_or_default();
            println!("--- log of {name}\n{}", text.trim_end());
        }
    }

    /// Ends the programs and removes everything.
    fn end(&mut self) -> anyhow::Result<()> {
        for (name, mut program) in self.programs.drain(..) {
            let status = program.end(std::time::Duration::from_secs(5))?;
            if !status.success() {
                bail!("{name} ended with {status}");
            }
        }
        self.clean();
        Ok(())
    }

    fn clean(&mut self) {
        self.programs.clear();
        for program in [Dante4lStatus::PROGRAM, Dante2sysStatus::PROGRAM, DanteshmStatus::PROGRAM] {
            for form in ["", ".status"] {
                _ = std::fs::remove_file(format!("/dev/shm/{program}@{}{form}", self.instance));
            }
        }
        self.segment = None;
        if NtpShm::exists(self.unit) {
            _ = NtpShm::remove(self.unit);
        }
        _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.clean();
    }
}

/// Returns the virtual clock minus (the leader's true time + the epoch offset K), at `now`.
///
/// K is that of dante2sys, to which it steers the clock. The error contains that of the path delay (some us on loopback), which
/// dante4l measures.
fn true_phase_error(body: &Dante2sysStatus, truth: &Oscillator, now: Timestamp<Raw>) -> Option<Duration> {
    Some(body.line()?.at(now) - body.epoch()?.utc_of(truth.at(now)))
}

/// Returns two free UDP ports. The ports of PTP, 319 and 320, need root or CAP_NET_BIND_SERVICE.
fn free_ports() -> anyhow::Result<(u16, u16)> {
    let bind = || UdpSocket::bind(("0.0.0.0", 0));
    let (event, general) = (bind()?, bind()?);
    Ok((event.local_addr()?.port(), general.local_addr()?.port()))
}

/// Returns an unused NTP SHM unit.
fn free_unit(random: u64) -> anyhow::Result<u32> {
    let first = u32::try_from(random >> 48)? + 1000;
    (first..first + 100).find(|unit| !NtpShm::exists(*unit)).context("no NTP SHM unit is free")
}
