//! Followers on real packets beside load: the rate of each clock map against the leader's true rate, and the delays of the Syncs.

use crate::lab::{Lab, LeaderProcess, Readers, may_run, may_use, sample_error};
use crate::namespace::{CABLE, Namespace};
use crate::program::{Program, built, target_folder};
use crate::stage::Stage;
use crate::switch::Switch;
use crate::{EVENT_TIMEOUT, SYNC_INTERVAL_S};
use dante_bench::hindsight;
use dante_core::estimate::Measurement;
use dante_core::page::SampleRecord;
use dante_core::port::State;
use dante_core::time::{ClockMap, Raw, Timestamp};
use dante_sim::oscillator::Oscillator;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// A constant rate: what remains is the error of the follower.
const LEADER: [&str; 2] = ["--ppm=12", "--wander=0"];
/// Processes that thrash the caches.
const MEMORY_LOADS: u64 = 2;
/// Interval at which the pages are read: less than a Sync interval.
const READ_INTERVAL: Duration = Duration::from_millis(100);
/// Lags of the autocorrelation, Syncs: one, 1 s, 4 s and 16 s at 4 Hz.
const LAGS: [u64; 4] = [1, 4, 16, 64];

/// What one follower published during a run.
#[derive(Debug)]
pub struct Recording {
    truth: Oscillator,
    /// The clock map after new samples, with the arrival of the last one.
    maps: Vec<(Timestamp<Raw>, ClockMap)>,
    samples: Vec<SampleRecord>,
    /// Number of changes of the timeline.
    timeline_changes: usize,
    end_state: Option<State>,
}

impl Recording {
    /// State of the port at the end.
    pub fn end_state(&self) -> Option<State> {
        self.end_state
    }

    /// The samples as a table that `replay` reads.
    pub fn table(&self) -> String {
        let mut table = String::from("raw_ns,origin_ns\n");
        for sample in &self.samples {
            _ = writeln!(table, "{},{}", sample.arrived_raw_ns, sample.origin_ns);
        }
        table
    }
}

/// Two followers of one leader on a Linux bridge, beside processes that copy memory in bursts, for `span`. `seed` selects the bursts.
/// `None` if a right or a tool is missing, which is printed.
pub fn bridge(span: Duration, seed: u64) -> Option<Vec<Recording>> {
    if !may_use(&["ip", "sysctl"]) {
        return None;
    }
    let stages = [(); 2].map(|()| Stage::new());
    let (name, net) = stages[0].hosts();
    let switch = Switch::new(&name, net);
    let hosts = [1, 2, 3].map(|number| switch.host(number));
    let [leader_host, follower_hosts @ ..] = &hosts;
    let leader = LeaderProcess::start(&stages[0], leader_host, &LEADER);
    let loads =
        (0..MEMORY_LOADS).map(|number| Load::memory(&stages[0], seed * MEMORY_LOADS + number)).collect();
    let followers =
        stages.iter().zip(follower_hosts).map(|(stage, host)| Follower::start(stage, host)).collect();
    Some(record(&leader, followers, loads, span))
}

/// One follower on a cable to its leader, beside a build, for `span`. `None` if a right or a tool is missing, which is printed.
pub fn veth(span: Duration) -> Option<Vec<Recording>> {
    if !may_run(&["cargo"]) {
        return None;
    }
    let lab = Lab::new()?;
    let leader = lab.leader(&LEADER);
    let loads = vec![Load::build(&lab.stage)];
    let followers = vec![Follower::start(&lab.stage, &lab.near)];
    Some(record(&leader, followers, loads, span))
}

/// A process beside the followers, killed on drop with its children.
struct Load {
    program: Program,
    /// Folder that is removed afterwards.
    folder: Option<PathBuf>,
}

impl Load {
    fn memory(stage: &Stage, seed: u64) -> Self {
        let mut command = Command::new(built("field-load"));
        command.args(["memory", &seed.to_string()]);
        Self { program: stage.start("field-load", command), folder: None }
    }

    fn build(stage: &Stage) -> Self {
        let program = built("field-load");
        let target = target_folder().join(format!("field-{}", stage.instance()));
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(program);
        command.arg("build").arg(cargo).arg(crate::package::sources()).arg(&target);
        Self { program: stage.start("field-load", command), folder: Some(target) }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Each program leads a process group of its own.
        _ = killpg(Pid::from_raw(self.program.pid().cast_signed()), Signal::SIGKILL);
        if let Some(folder) = &self.folder {
            // A child of the build may end a moment later and leave a file.
            let is_gone = || std::fs::remove_dir_all(folder).is_ok() || !folder.exists();
            (0..100).any(|_| {
                is_gone() || {
                    std::thread::sleep(Duration::from_millis(10));
                    false
                }
            });
        }
    }
}

/// A running dante4l, and what it has published so far.
struct Follower {
    _dante4l: Program,
    readers: Readers,
    maps: Vec<(Timestamp<Raw>, ClockMap)>,
    samples: Vec<SampleRecord>,
    timelines: Vec<u64>,
    /// Number of samples that the page has counted.
    seen: u64,
}

impl Follower {
    fn start(stage: &Stage, host: &Namespace) -> Self {
        let command = stage.with_words(host.command(built("dante4l")), "dante4l", &["-i", CABLE]);
        Self {
            _dante4l: stage.start("dante4l", command),
            readers: Readers::of(stage),
            maps: Vec::new(),
            samples: Vec::new(),
            timelines: Vec::new(),
            seen: 0,
        }
    }

    fn read(&mut self) {
        let Some(view) = self.readers.clock() else { return };
        let page = view.body;
        if page.timeline != 0 && self.timelines.last() != Some(&page.timeline) {
            self.timelines.push(page.timeline);
        }
        if page.samples == self.seen {
            return;
        }
        self.samples.extend(page.samples_after(self.seen));
        self.seen = page.samples;
        if let (Some(sample), Some(map)) = (self.samples.last(), page.map()) {
            self.maps.push((Timestamp::from_ns(sample.arrived_raw_ns), map));
        }
    }

    fn recording(mut self, truth: Oscillator) -> Recording {
        Recording {
            truth,
            end_state: self.readers.port(),
            maps: self.maps,
            samples: self.samples,
            timeline_changes: self.timelines.len().saturating_sub(1),
        }
    }
}

/// Records the followers for `span` from the first sample on.
fn record(
    leader: &LeaderProcess,
    mut followers: Vec<Follower>,
    mut loads: Vec<Load>,
    span: Duration,
) -> Vec<Recording> {
    let truth = leader.truth();
    for follower in &mut followers {
        crate::wait_until("a sample", EVENT_TIMEOUT, || {
            follower.read();
            !follower.samples.is_empty()
        });
    }
    let begin = Instant::now();
    while begin.elapsed() < span {
        followers.iter_mut().for_each(Follower::read);
        std::thread::sleep(READ_INTERVAL);
    }
    for load in &mut loads {
        assert!(load.program.runs(), "the load ended: {}", load.program.output());
    }
    followers.into_iter().map(|follower| follower.recording(truth)).collect()
}

/// Sums over the Syncs of one recording or of several, and the figures that follow from them.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    maps: f64,
    /// Rate errors: their squares, ppb^2, the largest, ppb, and the number within two stated standard deviations.
    squares: f64,
    worst_ppb: f64,
    within: f64,
    samples: f64,
    rejected: f64,
    /// Squares of the residuals, ns^2.
    energy: f64,
    /// For each lag the sum of the products of residuals, ns^2, and the number of pairs.
    products: [(f64, f64); LAGS.len()],
    /// Squares of the rate error of the hindsight filter, ppb^2, per sample.
    hindsight: f64,
    timeline_changes: usize,
}

/// Headline of [`Figures::line`].
pub const HEADLINE: &str = concat!(
    "                              rate error, ppb      within  hindsight    residual  rejected",
    "   autocorrelation after       timeline\n",
    "                                rms     worst  2 sigma, %   ppb ratio         ns         %",
    "  1 Sync    1 s    4 s   16 s   changes"
);

impl Figures {
    /// Returns the figures of one follower from `after` its first sample on.
    pub fn of(recording: &Recording, after: Duration) -> Self {
        let Recording { truth, maps, samples, timeline_changes, .. } = recording;
        let mut sums = Self { timeline_changes: *timeline_changes, ..Self::default() };
        let Some(first) = samples.first() else { return sums };
        let is_counted = |raw: Timestamp<Raw>| {
            (raw - Timestamp::from_ns(first.arrived_raw_ns)).secs_f64() >= after.as_secs_f64()
        };
        for (raw, map) in maps.iter().filter(|(raw, _)| is_counted(*raw)) {
            let error = (map.line.rate - truth.rate_at(*raw)).ppb();
            let sigma = map.uncertainty_at(*raw).rate.ppb();
            sums.maps += 1.0;
            sums.squares += error * error;
            sums.worst_ppb = sums.worst_ppb.max(error.abs());
            sums.within += f64::from(u8::from(error.abs() <= 2.0 * sigma));
        }
        let counted = samples.iter().filter(|sample| is_counted(Timestamp::from_ns(sample.arrived_raw_ns)));
        sums.add_residuals(&counted.copied().collect::<Vec<_>>(), truth);
        let measurement = |sample: &SampleRecord| Measurement {
            raw: Timestamp::from_ns(sample.arrived_raw_ns),
            dante: Timestamp::from_ns(sample.origin_ns),
        };
        let measurements: Vec<_> = samples.iter().map(measurement).collect();
        let rms = hindsight::rate_rms(&measurements, |raw| truth.rate_at(raw).ppb(), after.as_secs_f64());
        sums.hindsight = rms * rms * sums.samples;
        sums
    }

    fn add_residuals(&mut self, samples: &[SampleRecord], truth: &Oscillator) {
        let delays = samples.iter().map(|sample| (sample.number, -sample_error(sample, truth).ns_f64()));
        let delays: BTreeMap<u64, f64> = delays.collect();
        let mean = delays.values().sum::<f64>() / delays.len() as f64;
        self.samples = samples.len() as f64;
        self.rejected = samples.iter().filter(|sample| sample.accepted == 0).count() as f64;
        self.energy = delays.values().map(|delay| (delay - mean).powi(2)).sum();
        self.products = LAGS.map(|lag| {
            let pairs =
                delays.iter().filter_map(|(number, delay)| Some((delay, delays.get(&(number + lag))?)));
            pairs.fold((0.0, 0.0), |(sum, count), (a, b)| (sum + (a - mean) * (b - mean), count + 1.0))
        });
    }

    /// Returns the figures over all Syncs of these recordings.
    pub fn pooled(all: &[Self]) -> Self {
        all.iter().fold(Self::default(), |mut sums, of| {
            sums.maps += of.maps;
            sums.squares += of.squares;
            sums.worst_ppb = sums.worst_ppb.max(of.worst_ppb);
            sums.within += of.within;
            sums.samples += of.samples;
            sums.rejected += of.rejected;
            sums.energy += of.energy;
            sums.hindsight += of.hindsight;
            sums.timeline_changes += of.timeline_changes;
            for (to, from) in sums.products.iter_mut().zip(of.products) {
                *to = (to.0 + from.0, to.1 + from.1);
            }
            sums
        })
    }

    /// Rms error of the rate, ppb; NaN without a clock map.
    pub fn rate_rms_ppb(&self) -> f64 {
        (self.squares / self.maps).sqrt()
    }

    /// Share of rate errors within two stated standard deviations, %.
    pub fn within_percent(&self) -> f64 {
        100.0 * self.within / self.maps
    }

    /// Rms error of the rate of the hindsight filter, ppb.
    pub fn hindsight_ppb(&self) -> f64 {
        (self.hindsight / self.samples).sqrt()
    }

    /// Number of timeline changes.
    pub fn timeline_changes(&self) -> usize {
        self.timeline_changes
    }

    /// Returns a line of the table below [`HEADLINE`].
    pub fn line(&self, name: &str) -> String {
        let variance = self.energy / self.samples;
        let correlations = self.products.map(|(sum, count)| format!("{:>7.2}", sum / count / variance));
        format!(
            "{name:<28}{:>9.1}{:>10.1}{:>12.1}{:>6.1}{:>7.2}{:>10.0}{:>10.2}{}{:>10}",
            self.rate_rms_ppb(),
            self.worst_ppb,
            self.within_percent(),
            self.hindsight_ppb(),
            self.rate_rms_ppb() / self.hindsight_ppb(),
            variance.sqrt(),
            100.0 * self.rejected / self.samples,
            correlations.concat(),
            self.timeline_changes,
        )
    }
}

const _: () = assert!(SYNC_INTERVAL_S == 0.25, "LAGS are for 4 Hz");

#[cfg(test)]
mod tests {
    use super::*;
    use dante_core::time::{Affine, Correlation, Ratio, Uncertainty, Wander};

    /// Syncs at 4 Hz for 100 s with delays of 10 us +- 1 us in turn, and clock maps whose rate is `error_ppb` too high.
    fn recording(error_ppb: f64) -> Recording {
        let rate = Ratio::from_ppm(12.0);
        let truth = Oscillator::new(Timestamp::ZERO, Timestamp::ZERO, rate, Ratio::ZERO);
        let sigma =
            Uncertainty { offset: dante_core::time::Duration::from_us(1), rate: Ratio::from_ppb(10.0) };
        let (mut maps, mut samples) = (Vec::new(), Vec::new());
        for number in 1..=400 {
            let sent = Timestamp::from_ns(250_000_000 * number);
            let delay = dante_core::time::Duration::from_us(if number % 2 == 0 { 11 } else { 9 });
            let raw = sent + delay;
            let line =
                Affine { raw0: raw, at0: truth.at(raw), rate: Ratio::from_ppb(rate.ppb() + error_ppb) };
            let correlation = Correlation::new(0.0);
            maps.push((raw, ClockMap { line, sigma, correlation, wander: Wander::from_ppb(1.0) }));
            samples.push(SampleRecord {
                number: number.unsigned_abs(),
                timeline: 1,
                arrived_raw_ns: raw.ns(),
                arrived_real_ns: 0,
                origin_ns: truth.at(sent).ns(),
                residual_ns: 0,
                accepted: u32::from(number != 400),
                port: 0,
            });
        }
        Recording { truth, maps, samples, timeline_changes: 0, end_state: Some(State::Slave) }
    }

    #[test]
    fn figures_of_known_errors_are_right() {
        let [within, beyond] =
            [-15.0, 30.0].map(|error| Figures::of(&recording(error), Duration::from_secs(60)));
        assert!((within.rate_rms_ppb() - 15.0).abs() < 1e-6 && (beyond.worst_ppb - 30.0).abs() < 1e-6);
        assert_eq!((within.within_percent(), beyond.within_percent()), (100.0, 0.0));
        let pooled = Figures::pooled(&[within, beyond]);
        assert!((pooled.rate_rms_ppb() - 562.5f64.sqrt()).abs() < 1e-6);
        assert!((pooled.within_percent() - 50.0).abs() < 1e-6);
        assert!(pooled.hindsight_ppb() < 15.0);
        let line = pooled.line("pooled");
        let words: Vec<&str> = line.split_whitespace().collect();
        // Residual, ns; rejected, %; autocorrelation after one Sync, 1 s, 4 s and 16 s; timeline changes.
        assert_eq!(words[6..], ["1000", "0.62", "-1.00", "1.00", "1.00", "1.00", "0"], "{line}");
    }
}
