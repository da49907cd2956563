//! The flags, and what they amount to.

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

/// Steer the system clock by the leader that dante4l follows
#[derive(Debug, Parser)]
#[command(version, disable_version_flag = true, after_help = EXIT_STATUS)]
pub struct Args {
    /// What to steer: realtime (the system clock), virtual (a clock inside this process that shows what would be done),
    /// or a PTP hardware clock, /dev/ptpN
    #[arg(short, long, value_name = "CLOCK", default_value = "realtime")]
    pub clock: Clock,

    /// Where the date comes from; ntp where servers are named, else none: the rate alone is steered
    #[arg(long, value_enum, value_name = "SOURCE")]
    pub utc: Option<Utc>,

    /// A time server, HOST or HOST:PORT; give three or more and a wrong one is outvoted
    #[arg(long = "ntp-server", value_name = "HOST", value_parser = NtpClient::server_name)]
    pub ntp_servers: Vec<String>,

    /// Ask the servers in rounds this far apart where that is needed, and up to 1024 s where it is not. Below 16 s only a
    /// server of your own: public ones complain
    #[arg(long, value_name = "SECONDS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(4..=1024))]
    pub ntp_min_interval: u32,

    /// What gives way where leader and UTC differ: step (the date, by steps), slew (the rate, within --max-slew), free (the
    /// date, which drifts), utc (the rate, which is UTC's in the long run)
    #[arg(long, value_enum, value_name = "POLICY", default_value_t = UtcPolicy::Step)]
    pub utc_policy: UtcPolicy,

    /// At the start set the date if it is off by more than this
    #[arg(long, value_name = "TIME", default_value = "20ms")]
    pub first_step_threshold: Span,

    /// With --utc-policy step: set it when it is off by more than this
    #[arg(long, value_name = "TIME", default_value = "10ms")]
    pub step_threshold: Span,

    /// With --utc-policy slew: run off the leader's rate by at most this
    #[arg(long, value_name = "PPM", default_value_t = 5.0, value_parser = ppm)]
    pub max_slew: f64,

    /// Tell the kernel that the clock is not synchronised where the date may be off by more than this
    #[arg(long, value_name = "TIME", default_value = "100ms")]
    pub max_utc_error: Span,

    /// Never set a frequency beyond this; the kernel's own limit is 500
    #[arg(long, value_name = "PPM", default_value_t = 490.0, value_parser = ppm)]
    pub max_frequency: f64,

    /// Who keeps the hardware clock that tells the date at boot: device (this program: after lock, hourly, at its end), kernel
    /// (every 11 minutes while the date is good), off
    #[arg(long, value_enum, value_name = "WHO", default_value_t = Rtc::Device)]
    pub rtc: Rtc,

    /// That clock
    #[arg(long, value_name = "FILE", default_value = "/dev/rtc0")]
    pub rtc_device: PathBuf,

    /// Where the clock's frequency is remembered [default: /var/lib/dante2sys/drift, with --instance drift.NAME; none
    /// unless the system clock is steered]
    #[arg(long, value_name = "FILE")]
    pub drift_file: Option<PathBuf>,

    /// Start although another program seems to steer the system clock
    #[arg(long)]
    pub force: bool,

    /// Follow a leader of a pull-up domain, whose rate is per cents off
    #[arg(long)]
    pub allow_pull_up: bool,

    /// Run with this real-time priority (SCHED_FIFO)
    #[arg(long, value_name = "1..99", value_parser = clap::value_parser!(u8).range(1..=99))]
    pub rt_priority: Option<u8>,

    /// Keep all memory in RAM
    #[arg(long)]
    pub lock_memory: bool,

    /// Only set the remembered frequency where a dante2sys that died has left the system clock: for ExecStopPost= of a unit
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
            return wrong("--ntp-server is of no use unless the date comes from --utc ntp");
        }
        if matches!(self.clock, Clock::Hardware(_)) && self.utc_source() != UtcSource::None {
            return wrong("a PTP hardware clock is given the leader's rate alone: --utc none");
        }
        if self.ntp_servers.len() > dante_core::utc::servers::MAX_SERVERS {
            return wrong("more time servers than are of use: eight at most");
        }
        Ok(())
    }
}

/// What is steered.
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
                Err("a clock is realtime, virtual, or the path of a PTP hardware clock such as /dev/ptp0"
                    .into())
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Utc {
    Ntp,
    None,
    /// The leader's time, if that is a date and not its uptime
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

    /// The date's policy; no date before `earliest` is believed.
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

    /// The bounds of steering a clock that takes frequencies up to `limit`.
    pub fn limits(&self, limit: Ratio) -> Limits {
        let frequency = Ratio::from_ppm(self.max_frequency).clamp(limit);
        Limits { frequency, ..Limits::default() }
    }

    /// The RTC is the system clock's.
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
