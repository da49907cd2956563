//! The flags and the configuration derived from them.

use clap::{Parser, ValueEnum};
use dante_core::steer::Limits;
use dante_core::steer::{RtcMode, UtcSource};
use dante_core::time::{Duration, Ratio, Real, Timestamp};
use dante_core::utc::{Policy, UtcRules};
use dante_os::daemon::{CommonArgs, DaemonArgs, EXIT_STATUS};
use dante_os::ntp::NtpClient;
use dante_os::quantity::{Span, ppm};
use std::path::PathBuf;
use std::str::FromStr;

/// Largest --max-utc-error. The kernel declares the clock unsynchronised by itself when the error reaches 16 s (NTP_PHASE_LIMIT,
/// kernel/time/ntp.c).
const MAX_UTC_ERROR: Duration = Duration::from_secs(15);

/// Steer the system clock to the leader that dante4l follows
#[derive(Debug, Parser)]
#[command(version, disable_version_flag = true, after_help = EXIT_STATUS)]
pub struct Args {
    /// Clock to steer: realtime (the system clock), virtual (a simulated clock in this process: sets no clock, logs what would
    /// be done), or a PTP hardware clock, /dev/ptpN
    #[arg(short, long, value_name = "CLOCK", default_value = "realtime")]
    pub clock: Clock,

    /// Source of UTC; by default ntp if a server is configured, else none. With none only the rate is steered
    #[arg(long, value_enum, value_name = "SOURCE")]
    pub utc: Option<Utc>,

    /// NTP server, HOST or HOST:PORT; with three or more, a wrong one is outvoted
    #[arg(long = "ntp-server", value_name = "HOST", value_parser = NtpClient::server_name)]
    pub ntp_servers: Vec<String>,

    /// Shortest time between two rounds of NTP requests; the time grows to 1024 s while the UTC error is known well enough. Set
    /// less than 16 s only for your own servers: public servers refuse it
    #[arg(long, value_name = "SECONDS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(4..=1024))]
    pub ntp_min_interval: u32,

    /// What to do when leader and UTC run at different rates: step (keep the leader's rate, step the clock to UTC), slew (change
    /// the rate by at most --max-slew to follow UTC), free (keep the leader's rate, do not correct UTC), utc (run at UTC's rate
    /// over hours, at the leader's over minutes)
    #[arg(long, value_enum, value_name = "POLICY", default_value_t = UtcPolicy::Step)]
    pub utc_policy: UtcPolicy,

    /// At the start, and after a suspend, step the clock if its UTC error is larger than this
    #[arg(long, value_name = "TIME", default_value = "20ms")]
    pub first_step_threshold: Span,

    /// With --utc-policy step: step the clock if its UTC error is larger than this and known to better than this
    #[arg(long, value_name = "TIME", default_value = "10ms")]
    pub step_threshold: Span,

    /// With --utc-policy slew: largest difference from the leader's rate; with --utc-policy utc: largest correction of a UTC error
    #[arg(long, value_name = "PPM", default_value_t = 5.0, value_parser = ppm)]
    pub max_slew: f64,

    /// Declare the clock unsynchronised to the kernel (STA_UNSYNC) while its UTC error may be larger than this (at most 15 s), or the
    /// clock was set by hand
    #[arg(long, value_name = "TIME", default_value = "100ms")]
    pub max_utc_error: Span,

    /// Largest frequency that is ever set; the kernel's own limit is 500
    #[arg(long, value_name = "PPM", default_value_t = 490.0, value_parser = ppm)]
    pub max_frequency: f64,

    /// Which program sets the RTC, from which the time of day is read at boot: device (dante2sys: after lock, hourly, at exit),
    /// kernel (every 11 minutes while UTC is synchronised), off (left to another program)
    #[arg(long, value_enum, value_name = "PROGRAM", default_value_t = Rtc::Device)]
    pub rtc: Rtc,

    /// RTC device
    #[arg(long, value_name = "FILE", default_value = "/dev/rtc0")]
    pub rtc_device: PathBuf,

    /// File that stores the clock's frequency between runs [default: /var/lib/dante2sys/drift, with --instance drift.NAME; none
    /// unless the system clock is steered]. UTC by the leader's time is stored in FILE.utc
    #[arg(long, value_name = "FILE")]
    pub drift_file: Option<PathBuf>,

    /// Start although another program seems to steer the system clock
    #[arg(long)]
    pub force: bool,

    /// Follow a leader in a pull-up domain if its rate is within --max-frequency (at most 500 ppm). The nominal pull-ups, +-1000
    /// ppm and about +-4 %, are beyond it
    #[arg(long)]
    pub allow_pull_up: bool,

    /// Run with this real-time priority (SCHED_FIFO)
    #[arg(long, value_name = "1..99", value_parser = clap::value_parser!(u8).range(1..=99))]
    pub rt_priority: Option<u8>,

    /// Lock all memory in RAM
    #[arg(long)]
    pub lock_memory: bool,

    /// Only restore the stored frequency of the system clock after a dante2sys died, then exit: for ExecStopPost= of a unit
    #[arg(long)]
    pub restore_frequency: bool,

    #[command(flatten)]
    pub common: CommonArgs,
}

impl DaemonArgs for Args {
    const PROGRAM: &'static str = "dante2sys";
    const EXAMPLE: &'static str = include_str!("../../files/dante4l.toml");
    const COMMAND_LINE_ONLY: &'static [&'static str] = &["restore-frequency"];
    const RENAMED: &'static [(&'static str, &'static str)] =
        &[("date", "utc-policy"), ("max-date-error", "max-utc-error"), ("leave", "restore-frequency")];

    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn check(&self) -> Result<(), String> {
        let wrong = |what: &str| Err(what.to_owned());
        if self.utc_source() == UtcSource::Ntp && self.ntp_servers.is_empty() {
            return wrong("--utc ntp needs a server: --ntp-server HOST");
        }
        if self.utc_source() != UtcSource::Ntp && !self.ntp_servers.is_empty() {
            return wrong("--ntp-server needs --utc ntp");
        }
        if matches!(self.clock, Clock::Hardware(_)) && self.utc_source() != UtcSource::None {
            return wrong("a PTP hardware clock is steered to the leader's rate only: use --utc none");
        }
        if self.ntp_servers.len() > dante_core::utc::servers::MAX_SERVERS {
            return wrong("too many NTP servers: eight at most");
        }
        if self.max_utc_error.0 > MAX_UTC_ERROR {
            return wrong(
                "--max-utc-error: at most 15 s, as the kernel declares a clock unsynchronised at 16 s",
            );
        }
        Ok(())
    }
}

/// The clock to steer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clock {
    Realtime,
    Virtual,
    Hardware(PathBuf),
}

impl FromStr for Clock {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "realtime" => Ok(Self::Realtime),
            "virtual" => Ok(Self::Virtual),
            path if path.starts_with('/') => Ok(Self::Hardware(path.into())),
            _ => {
                Err("expected realtime, virtual, or the path of a PTP hardware clock, for example /dev/ptp0"
                    .into())
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Utc {
    Ntp,
    None,
    /// The leader's time, if it is UTC and not its uptime
    Leader,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UtcPolicy {
    Step,
    Slew,
    Free,
    Utc,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rtc {
    Device,
    Kernel,
    Off,
}

impl Args {
    pub fn utc_source(&self) -> UtcSource {
        match self.utc {
            Some(Utc::Ntp) => UtcSource::Ntp,
            Some(Utc::Leader) => UtcSource::Leader,
            Some(Utc::None) => UtcSource::None,
            None if self.ntp_servers.is_empty() => UtcSource::None,
            None => UtcSource::Ntp,
        }
    }

    pub fn ntp_min_interval(&self) -> Duration {
        Duration::from_secs(self.ntp_min_interval.into())
    }

    /// Returns the UTC policy and its bounds; a time before `earliest` is implausible.
    pub fn rules(&self, earliest: Timestamp<Real>) -> UtcRules {
        UtcRules {
            policy: match self.utc_policy {
                UtcPolicy::Step => Policy::Step,
                UtcPolicy::Slew => Policy::Slew,
                UtcPolicy::Free => Policy::Free,
                UtcPolicy::Utc => Policy::Utc,
            },
            first_step: self.first_step_threshold.0,
            step_threshold: self.step_threshold.0,
            max_slew: Ratio::from_ppm(self.max_slew),
            max_error: self.max_utc_error.0,
            earliest,
        }
    }

    /// Returns the bounds of the law for a clock that accepts frequencies up to `limit`.
    pub fn limits(&self, limit: Ratio) -> Limits {
        let frequency = Ratio::from_ppm(self.max_frequency).clamp(limit);
        Limits { frequency, ..Limits::default() }
    }

    /// Returns which program writes the RTC; none unless the system clock is steered.
    pub fn rtc_mode(&self) -> RtcMode {
        match self.rtc {
            _ if self.clock != Clock::Realtime => RtcMode::Off,
            Rtc::Device => RtcMode::Device,
            Rtc::Kernel => RtcMode::Kernel,
            Rtc::Off => RtcMode::Off,
        }
    }

    pub fn drift_path(&self) -> Option<PathBuf> {
        let ours = || match &self.common.instance {
            Some(name) => format!("/var/lib/dante2sys/drift.{name}").into(),
            None => "/var/lib/dante2sys/drift".into(),
        };
        self.drift_file.clone().or_else(|| (self.clock == Clock::Realtime).then(ours))
    }
}

#[cfg(test)]
mod tests;
