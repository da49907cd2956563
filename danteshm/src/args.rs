//! The flags.

use clap::Parser;
use dante_os::daemon::{CommonArgs, DaemonArgs, EXIT_STATUS};

/// Relay dante4l's measurements to chrony
#[derive(Debug, Parser)]
#[command(version, disable_version_flag = true, after_help = EXIT_STATUS)]
pub struct Args {
    /// Unit of the NTP SHM segment, as in chrony's `refclock SHM UNIT`
    #[arg(long, value_name = "UNIT", default_value_t = 2)]
    pub shm: u32,

    /// Permissions of the segment, octal, where it is made here
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = permissions)]
    pub shm_perm: u32,

    #[command(flatten)]
    pub common: CommonArgs,
}

impl DaemonArgs for Args {
    const PROGRAM: &'static str = "danteshm";

    fn common(&self) -> &CommonArgs {
        &self.common
    }
}

fn permissions(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text.trim_start_matches("0o"), 8) {
        Ok(mode) if mode & !0o666 == 0 => Ok(mode),
        _ => Err("octal permissions of reading and writing, as 600 or 660".into()),
    }
}
