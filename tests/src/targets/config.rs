//! The configuration file.

use dante_os::daemon::{ConfigError, DaemonArgs, arguments_of};
use std::cell::RefCell;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::AsRawFd;

/// Reads any bytes as the configuration file of each daemon, which accepts it or reports an error with a line of the file.
///
/// # Panics
/// If the line is not in the file, or the error has no text.
pub fn config(bytes: &[u8]) {
    thread_local! {
        static FILE: RefCell<Option<File>> = const { RefCell::new(None) };
    }
    FILE.with_borrow_mut(|file| {
        let file = file.get_or_insert_with(|| {
            let name = c"configuration";
            let made = nix::sys::memfd::memfd_create(name, nix::sys::memfd::MFdFlags::MFD_CLOEXEC);
            File::from(made.expect("a file in memory"))
        });
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(bytes)).expect("a file");
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        read::<dante4l::args::Args>(&path, bytes);
        read::<dante2sys::args::Args>(&path, bytes);
        read::<danteshm::args::Args>(&path, bytes);
    });
}

fn read<A: DaemonArgs>(path: &str, bytes: &[u8]) {
    match arguments_of::<A>([A::PROGRAM, "-f", path].map(Into::into).to_vec()) {
        Ok(args) => {
            assert!(args.common().config.is_some());
            _ = args.check();
        }
        Err(ConfigError::At { line, what, .. }) => {
            let lines = 1 + bytes.iter().filter(|byte| **byte == b'\n').count();
            assert!((1..=lines).contains(&line), "line {line} of {lines}: {what}");
            assert!(!what.trim().is_empty());
        }
        // Each flag is valid, but they exclude each other.
        Err(ConfigError::Clap(error)) => assert!(!error.to_string().is_empty()),
        Err(error @ ConfigError::Read { .. }) => panic!("{error}"),
    }
}
