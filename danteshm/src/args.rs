//! The flags of danteshm, and their checks.

use clap::{Parser, ValueEnum};
use dante_core::page::MAX_OUTPUTS;
use dante_os::daemon::{CommonArgs, DaemonArgs, EXIT_STATUS};
use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Default SHM unit where no output is named: the first one that ntpd and gpsd do not reserve for root.
const UNIT: u32 = 2;
/// Longest path of a Unix socket, bytes, without the final NUL (unix(7)).
const LONGEST_PATH: usize = 107;

/// Relay dante4l's measurements to chrony
#[derive(Debug, Parser)]
#[command(version, disable_version_flag = true, after_help = EXIT_STATUS)]
pub struct Args {
    /// Unit of an NTP SHM segment, as in chrony's `refclock SHM UNIT`; may be repeated [default: 2 if no output is named]
    #[arg(long, value_name = "UNIT")]
    pub shm: Vec<u32>,

    /// Permissions of the segments that danteshm makes, octal; it gives each segment to root, because chronyd attaches it as root
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = permissions)]
    pub shm_perm: u32,

    /// Socket of chronyd, as in its `refclock SOCK PATH`; may be repeated. Debian's AppArmor profile allows
    /// /run/chrony.dante.sock
    #[arg(long, value_name = "PATH")]
    pub sock: Vec<PathBuf>,

    /// Serve Dante time on this socket to usrvclock clients such as Inferno; they usually expect /tmp/ptp-usrvclock
    #[arg(long, value_name = "PATH")]
    pub usrvclock: Option<PathBuf>,

    /// Permissions of the usrvclock socket, octal: users with write permission can be clients
    #[arg(long, value_name = "MODE", default_value = "666", value_parser = permissions)]
    pub usrvclock_perm: u32,

    /// Source of UTC for the samples: synchronised (dante2sys if its UTC is synchronised, else the system clock once the kernel
    /// reports it as synchronised), now (dante2sys if it runs, else the system clock as it is)
    #[arg(long, value_enum, value_name = "FROM", default_value_t = EpochFrom::Synchronised)]
    pub epoch: EpochFrom,

    /// Samples per second, each a mean, instead of one sample for each Sync
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u32).range(1..=8))]
    pub sample_rate: Option<u32>,

    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum EpochFrom {
    Synchronised,
    Now,
}

impl Args {
    pub fn units(&self) -> Vec<u32> {
        let is_none = self.shm.is_empty() && self.sock.is_empty() && self.usrvclock.is_none();
        if is_none { vec![UNIT] } else { self.shm.clone() }
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        self.sock.iter().chain(&self.usrvclock).map(PathBuf::as_path)
    }
}

impl DaemonArgs for Args {
    const PROGRAM: &'static str = "danteshm";
    const EXAMPLE: &'static str = include_str!("../../files/dante4l.toml");
    const RENAMED: &'static [(&'static str, &'static str)] =
        &[("rate", "sample-rate"), ("usrvclock-mode", "usrvclock-perm")];

    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn check(&self) -> Result<(), String> {
        if let Some(long) = self.paths().find(|path| path.as_os_str().as_bytes().len() > LONGEST_PATH) {
            return Err(format!("{}: the path of a socket has at most {LONGEST_PATH} bytes", long.display()));
        }
        if let Some(relative) = self.paths().find(|path| !path.is_absolute()) {
            return Err(format!("{}: the path of a socket must be absolute", relative.display()));
        }
        let (mut units, mut paths) = (HashSet::new(), HashSet::new());
        let twice = self.units().into_iter().find(|unit| !units.insert(*unit)).map(|unit| unit.to_string());
        let twice = twice.or_else(|| {
            self.paths().find(|path| !paths.insert(*path)).map(|path| path.display().to_string())
        });
        if let Some(twice) = twice {
            return Err(format!("{twice} is named twice: name each output once"));
        }
        let outputs = self.units().len() + self.paths().count();
        if outputs > MAX_OUTPUTS {
            return Err(format!("{outputs} outputs: at most {MAX_OUTPUTS} are supported"));
        }
        Ok(())
    }
}

fn permissions(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text.trim_start_matches("0o"), 8) {
        Ok(mode) if mode & !0o666 == 0 => Ok(mode),
        _ => Err("expected octal permissions without execute bits, like 600 or 660".into()),
    }
}
