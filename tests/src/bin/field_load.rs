//! Load beside the programs that the field bench measures: `field-load memory SEED` copies buffers in random bursts, so that caches
//! are thrashed; `field-load build CARGO FOLDER TARGET` builds dante-core of the workspace FOLDER from scratch in TARGET again and
//! again. Either runs until it is killed.
#![forbid(unsafe_code)]

use dante_os::process::Bound;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::hint::black_box;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Size of each of the two buffers, bytes: many times a processor's last cache.
const BUFFER: usize = 96 << 20;
/// Longest burst and longest pause, s.
const MAX_SPAN_S: f64 = 4.0;
/// Longest duration of a build.
const BUILD_TIMEOUT: Duration = Duration::from_secs(600);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["memory", seed] => copy_memory(seed.parse().expect("a seed")),
        ["build", cargo, folder, target] => build(cargo, folder, target),
        _ => panic!("usage: field-load memory SEED | build CARGO FOLDER TARGET"),
    }
}

fn copy_memory(seed: u64) {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let (from, mut to) = (vec![1u8; BUFFER], vec![0u8; BUFFER]);
    let mut span = || Duration::from_secs_f64(rng.random_range(0.0..MAX_SPAN_S));
    loop {
        let end = Instant::now() + span();
        while Instant::now() < end {
            to.copy_from_slice(black_box(&from));
            black_box(&mut to);
        }
        std::thread::sleep(span());
    }
}

fn build(cargo: &str, folder: &str, target: &str) {
    loop {
        _ = std::fs::remove_dir_all(target);
        let mut command = Command::new(cargo);
        command.args([
            "build",
            "--quiet",
            "--locked",
            "--release",
            "-p",
            "dante-core",
            "--target-dir",
            target,
        ]);
        command.current_dir(folder).stdin(Stdio::null());
        let mut child = Bound::spawn(&mut command).unwrap_or_else(|error| panic!("{cargo}: {error}"));
        let status = child.wait(BUILD_TIMEOUT).expect("the state of a child");
        assert!(status.is_some_and(|status| status.success()), "the build failed: {status:?}");
    }
}
