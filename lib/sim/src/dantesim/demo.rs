//! `dantesim demo`: the whole suite on loopback, judged by the leader's true time.
//!
//! Unprivileged UDP ports, a virtual clock, pages and an SHM unit with names of their own: it needs no root, touches no
//! clock and leaves nothing behind.

use crate::args::DemoArgs;
use anyhow::{Context, anyhow, bail};
use dante_core::page::{Body, Dante2sysStatus, Dante4lStatus, DanteshmStatus};
use dante_core::port::State;
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

/// Limits of the verdict. A busy machine makes stamps on loopback late by some ten us now and then; what is judged is
/// that everything locks and follows, not how well this machine does.
const RATE_PPB: f64 = 1_000.0;
const PHASE: Duration = Duration::from_us(100);
const REFCLOCK: Duration = Duration::from_ms(5);

/// Shows the suite at work; an error if anything did not lock.
pub fn demo(args: &DemoArgs) -> Result<(), Failure> {
    let mut poll = Poll::new()?;
    let mut stage = Stage::set(args)?;
    println!("A leader at {:+} ppm and the four programs, over UDP multicast on loopback.", args.ppm);
    println!(
        "{:>4}  {:<13}{:>11}{:>13}{:>10}  {:<10}{:>10}{:>9}",
        "s", "dante4l", "offset ns", "rate ppb", "error", "dante2sys", "phase ns", "samples"
    );
    let begin = raw_now();
    let mut last = None;
    for second in 1..=i64::from(args.seconds) {
        let until = begin + Duration::from_secs(second);
        if poll.wait(&[], Some(until))?.signal.is_some() {
            return Err(anyhow!("interrupted").into());
        }
        stage.check_alive()?;
        let row = stage.look();
        println!("{second:>4}  {row}");
        last = Some(row);
    }
    stage.show_status()?;
    let verdict = last.context("nothing was seen").and_then(|row| stage.judge(&row));
    if let Err(error) = &verdict {
        println!("\nNot locked: {error:#}");
        stage.show_logs();
    }
    let end = stage.strike();
    verdict?;
    end?;
    println!(
        "\nEverything locked. Nothing is left behind: no process, no page, no segment, no changed clock."
    );
    Ok(())
}

/// What is seen at one moment, beside the truth.
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
        let state = |state: Option<String>| state.unwrap_or("-".into());
        let ns = |span: Option<Duration>| span.map_or("-".into(), |span| format!("{:+}", span.ns()));
        let ppb = |rate: Option<f64>| rate.map_or("-".into(), |rate| format!("{rate:+.1}"));
        write!(
            f,
            "{:<13}{:>11}{:>13}{:>10}  {:<10}{:>10}{:>9}",
            state(self.port.map(|port| port.to_string())),
            ns(self.residual),
            ppb(self.rate_ppb),
            ppb(self.rate_error_ppb),
            state(self.steerer.map(|steerer| steerer.to_string())),
            ns(self.phase_error),
            self.samples
        )
    }
}

/// Everything that the demonstration sets up. It is taken down when this is dropped.
struct Stage {
    /// In the order in which they are ended: nobody loses what it reads from.
    programs: Vec<(&'static str, Bound)>,
    folder: PathBuf,
    instance: String,
    unit: u32,
    dante4l: PageReader<Dante4lStatus>,
    dante2sys: PageReader<Dante2sysStatus>,
    danteshm: PageReader<DanteshmStatus>,
    pmc: PathBuf,
}

/// The folder of the four programs: as built, dantesim's own; as installed, sbin beside its bin.
fn programs_near(own: &Path) -> Option<PathBuf> {
    [own.to_owned(), own.join("../sbin")].into_iter().find(|folder| folder.join("dante4l").exists())
}

impl Stage {
    fn set(args: &DemoArgs) -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let own_folder = own.parent().context("no folder")?;
        let programs = programs_near(own_folder).with_context(|| {
            format!("no dante4l beside {}: build the workspace first (make demo does)", own.display())
        })?;
        let random = random()?;
        let instance = format!("demo-{:x}", random & 0xffff_ffff);
        let name: Instance = instance.parse().map_err(anyhow::Error::msg)?;
        let folder = std::env::temp_dir().join(format!("dantesim-{instance}"));
        std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let (event, general) = free_ports()?;
        let mut stage = Self {
            programs: Vec::new(),
            folder,
            instance,
            unit: free_unit(random)?,
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
        stage.start("danteshm", &programs, words(&[&unit, "--epoch=now"], &common))?;
        stage.start("dante2sys", &programs, words(&["--clock=virtual"], &common))?;
        let observer = words(&["-i", "lo", "--delay=e2e"], &[&common[..], &ports[..]].concat());
        stage.start("dante4l", &programs, observer)?;
        stage.start(
            "dantesim",
            own_folder,
            words(&["leader", "-i", "lo", "--force", &ppm, &truth], &ports),
        )?;
        Ok(stage)
    }

    fn truth_file(&self) -> PathBuf {
        self.folder.join("truth.json")
    }

    fn start(&mut self, program: &'static str, folder: &Path, words: Vec<String>) -> anyhow::Result<()> {
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
                let said = std::fs::read_to_string(log).unwrap_or_default();
                bail!("{name} ended with {status}: {}", said.trim());
            }
        }
        Ok(())
    }

    fn truth(&self) -> Option<Oscillator> {
        let text = std::fs::read_to_string(self.truth_file()).ok()?;
        serde_json::from_str::<Truth>(&text).ok().map(Oscillator::from)
    }

    fn look(&mut self) -> Row {
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
            bail!("dante4l is not SLAVE");
        }
        let error = row.rate_error_ppb.context("dante4l knows no rate")?;
        if error.abs() > RATE_PPB {
            bail!("dante4l's rate is {error:.0} ppb off the truth");
        }
        if row.steerer != Some(steer::State::Locked) {
            bail!("dante2sys is not LOCKED");
        }
        let phase = row.phase_error.context("dante2sys shows no clock")?;
        if phase.abs() > PHASE {
            bail!("the steered clock is {} ns off Dante + K", phase.ns());
        }
        if row.relay != Some(relay::State::Feeding) || row.samples < 8 {
            bail!("danteshm does not feed the SHM segment");
        }
        let reader = NtpShmReader::attach(self.unit)?;
        let (sample, _) = reader.read().context("the SHM segment holds no valid sample")?;
        if (sample.reference - sample.received).abs() > REFCLOCK {
            bail!(
                "the SHM segment's reference is {} ns off the date",
                (sample.reference - sample.received).ns()
            );
        }
        Ok(())
    }

    fn show_status(&self) -> anyhow::Result<()> {
        println!("\npmc-lite get status says:\n");
        let status =
            Command::new(&self.pmc).args(["get", "status", "--instance", &self.instance]).status()?;
        if status.success() { Ok(()) } else { bail!("pmc-lite ended with {status}") }
    }

    fn show_logs(&self) {
        for (name, _) in &self.programs {
            let said =
                std::fs::read_to_string(self.folder.join(name).with_extension("log")).unwrap_or_default();
            println!("--- {name}\n{}", said.trim_end());
        }
    }

    /// Takes everything down.
    fn strike(&mut self) -> anyhow::Result<()> {
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

/// The steered clock against the leader's true time + K, both at `now`.
///
/// K is taken from dante2sys, since it is what the clock is to be held to; that the path delay (a few us on loopback)
/// is measured by dante4l is part of what is judged.
fn true_phase_error(body: &Dante2sysStatus, truth: &Oscillator, now: Timestamp<Raw>) -> Option<Duration> {
    Some(body.line()?.at(now) - body.epoch()?.date_of(truth.at(now)))
}

/// Two free UDP ports; PTP's own need rights that a demonstration should not ask for.
fn free_ports() -> anyhow::Result<(u16, u16)> {
    let bind = || UdpSocket::bind(("0.0.0.0", 0));
    let (event, general) = (bind()?, bind()?);
    Ok((event.local_addr()?.port(), general.local_addr()?.port()))
}

/// An NTP SHM unit that nobody uses.
fn free_unit(random: u64) -> anyhow::Result<u32> {
    let first = u32::try_from(random >> 48)? + 1000;
    (first..first + 100).find(|unit| !NtpShm::exists(*unit)).context("no NTP SHM unit is free")
}
