//! The flags, and what they amount to.

use clap::{Parser, ValueEnum};
use dante_core::page::MAX_OUTPUTS;
use dante_os::daemon::{CommonArgs, DaemonArgs, EXIT_STATUS};
use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where samples go if nothing is said: the first unit that chrony, ntpd and gpsd leave to anybody.
const UNIT: u32 = 2;
/// The path of a Unix socket, without the NUL that ends it (unix(7)).
const LONGEST_PATH: usize = 107;

/// Relay dante4l's measurements to chrony
#[derive(Debug, Parser)]
#[command(version, disable_version_flag = true, after_help = EXIT_STATUS)]
pub struct Args {
    /// Unit of an NTP SHM segment, as in chrony's `refclock SHM UNIT`; may be repeated [default: 2, where no output is
    /// named]
    #[arg(long, value_name = "UNIT")]
    pub shm: Vec<u32>,

    /// Permissions of the segments, octal, where they are made here; each is given to root, who is chronyd at its start
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = permissions)]
    pub shm_perm: u32,

    /// A socket of chronyd's, as in its `refclock SOCK PATH`; may be repeated. /run/chrony.dante.sock is one that Debian's
    /// AppArmor lets it make
    #[arg(long, value_name = "PATH")]
    pub sock: Vec<PathBuf>,

    /// Serve Dante's own time here to programs that ask for it, as Inferno does; customary is /tmp/ptp-usrvclock
    #[arg(long, value_name = "PATH")]
    pub usrvclock: Option<PathBuf>,

    /// Permissions of that socket, octal: who may write to it may ask
    #[arg(long, value_name = "MODE", default_value = "666", value_parser = permissions)]
    pub usrvclock_perm: u32,

    /// What the date of the samples is taken from: synchronised (dante2sys if its date is good, else the system clock once
    /// the kernel calls it synchronised), now (the system clock as it is)
    #[arg(long, value_enum, value_name = "FROM", default_value_t = EpochFrom::Synchronised)]
    pub epoch: EpochFrom,

    /// So many samples a second, each a mean, instead of one for each Sync
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
            return Err(format!("{}: a socket's path has at most {LONGEST_PATH} bytes", long.display()));
        }
        if let Some(relative) = self.paths().find(|path| !path.is_absolute()) {
            return Err(format!("{}: name a socket by its whole path, from /", relative.display()));
        }
        let (mut units, mut paths) = (HashSet::new(), HashSet::new());
        let twice = self.units().into_iter().find(|unit| !units.insert(*unit)).map(|unit| unit.to_string());
        let twice = twice.or_else(|| {
            self.paths().find(|path| !paths.insert(*path)).map(|path| path.display().to_string())
        });
        if let Some(twice) = twice {
            return Err(format!("{twice} is named twice: one output each"));
        }
        let outputs = self.units().len() + self.paths().count();
        if outputs > MAX_OUTPUTS {
            return Err(format!("{outputs} outputs: at most {MAX_OUTPUTS} are provided for"));
        }
        Ok(())
    }
}

fn permissions(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text.trim_start_matches("0o"), 8) {
        Ok(mode) if mode & !0o666 == 0 => Ok(mode),
        _ => Err("octal permissions of reading and writing, as 600 or 660".into()),
    }
}
