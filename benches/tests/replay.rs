//! The program `replay`: its errors, and the accuracy on recorded networks.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use dante_bench::replay::Replay;
use dante_bench::replay::truth::RateErrors;
use dante_bench::trace::recorded;
use dante_core::time::Ratio;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// True rate of the leader in the recordings, constant.
const TRUTH: Ratio = Ratio::from_ppb(12_000.0);

fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../lib/sim/recordings")
}

fn replay(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_replay")).args(args).output().unwrap()
}

/// Writes a file and returns its path.
fn file(name: &str, text: &str) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().into()
}

fn assert_fails(args: &[&str], code: i32, parts: &[&str]) {
    let output = replay(args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(output.stdout.is_empty(), "nothing is printed before an error");
    assert!(parts.iter().all(|part| error.contains(part)), "{parts:?} not in: {error}");
}

#[test]
fn reports_missing_file() {
    assert_fails(&["/nonexistent/log.csv"], 1, &["cannot read /nonexistent/log.csv", "No such file"]);
}

#[test]
fn reports_missing_column() {
    let path = file("column.csv", "raw_ns,residual_ns\n1,2\n2,3\n");
    assert_fails(&[&path], 1, &[&path, "no column origin_ns"]);
}

#[test]
fn reports_line_of_a_bad_number() {
    let path = file("number.csv", "raw_ns,origin_ns\n1,2\n2,x\n");
    assert_fails(&[&path], 1, &[&path, "line 3", "origin_ns"]);
}

#[test]
fn reports_too_few_syncs() {
    assert_fails(&[&file("empty.csv", "")], 1, &["no column raw_ns"]);
    assert_fails(&[&file("one.csv", "raw_ns,origin_ns\n1,2\n")], 1, &["fewer than two Syncs"]);
    let three = file("three.csv", "raw_ns,origin_ns\n0,0\n250000000,250000000\n500000000,500000000\n");
    assert_fails(&[&three], 1, &["too few Syncs", "3 Syncs"]);
}

#[test]
fn reports_after_beyond_the_end() {
    let path = recordings().join("bridge-rough-3min.csv");
    let args = [path.to_str().unwrap(), "--rate-ppb", "12000", "--after", "600"];
    assert_fails(&args, 1, &["no Sync is 600 s after the first", "the log ends after 19"]);
}

#[test]
fn rejects_wrong_usage() {
    assert_fails(&[], 2, &["LOG.csv"]);
    assert_fails(&["log.csv", "--after", "5"], 2, &["--rate-ppb"]);
    assert_fails(&["log.csv", "--rate-ppb", "nan"], 2, &["not a number"]);
    assert_fails(&["log.csv", "--rate-ppb", "-5", "--after=-1"], 2, &["0 or more"]);
}

#[test]
fn prints_rate_errors_as_one_line_only_with_a_true_rate() {
    let path = recordings().join("bridge-rough-3min.csv");
    let path = path.to_str().unwrap();
    let lines = |args: &[&str]| {
        let output = replay(args);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        (text.lines().count(), text.lines().filter(|line| line.starts_with("rate_rms_ppb=")).count())
    };
    let (without, none) = lines(&[path]);
    assert_eq!(none, 0);
    assert_eq!(lines(&[path, "--rate-ppb", "12000", "--after", "60"]), (without + 1, 1));
}

/// Limits of the rms error of the rate, ppb, and of the share within two sigma, from so many seconds after the first Sync on, or from a small uncertainty on.
#[test]
fn rate_on_recorded_networks_is_within_limits() {
    for (name, after_s, limit_ppb, least_share) in [
        ("bridge-calm-10min", Some(60.0), 7.0, 0.93),
        ("bridge-mild-25min", Some(300.0), 10.0, 0.9),
        ("bridge-rough-3min", None, 30.0, 0.88),
        ("bridge-rough-12min", Some(300.0), 12.0, 0.9),
    ] {
        let replay = Replay::of(&recorded(name).unwrap()).unwrap();
        let errors = RateErrors::of(&replay, TRUTH, after_s).unwrap();
        println!("{name} after {after_s:?} s: {errors}");
        assert!(errors.rms_ppb <= limit_ppb, "{name}: {errors}");
        assert!(errors.within_2_sigma >= least_share, "{name}: {errors}");
    }
}
