//! Replays a log of `pmc-lite log` through the estimator and prints whether its stated uncertainty is consistent with the log.
#![forbid(unsafe_code)]

use anyhow::Context;
use clap::Parser;
use dante_bench::replay::Replay;
use dante_bench::replay::consistency::Figures;
use dante_bench::replay::truth::RateErrors;
use dante_core::time::Ratio;
use dante_sim::link::Recording;
use std::path::PathBuf;

/// Replay a log of `pmc-lite log` through the estimator
#[derive(Debug, Parser)]
struct Args {
    /// The log, CSV with the columns raw_ns and origin_ns
    #[arg(value_name = "LOG.csv")]
    log: PathBuf,
    /// True rate of the leader relative to CLOCK_MONOTONIC_RAW, constant, +: the leader is fast; also print the errors of the rate
    #[arg(long, value_name = "PPB", allow_negative_numbers = true, value_parser = finite)]
    rate_ppb: Option<f64>,
    /// Time after the first Sync from which on the errors of the rate count, seconds [default: when its stated uncertainty is below
    /// 50 ppb]
    #[arg(long, value_name = "S", value_parser = seconds, requires = "rate_ppb")]
    after: Option<f64>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let name = args.log.display();
    let text = std::fs::read_to_string(&args.log).with_context(|| format!("cannot read {name}"))?;
    let recording = Recording::parse(&text).with_context(|| format!("{name} is not a log in CSV format"))?;
    let replay = Replay::of(&recording).with_context(|| format!("cannot evaluate {name}"))?;
    let truth = args.rate_ppb.map(|ppb| RateErrors::of(&replay, Ratio::from_ppb(ppb), args.after));
    let errors = truth.transpose().with_context(|| format!("cannot evaluate {name}"))?;
    print!("{}", Figures::of(&replay));
    if let Some(errors) = errors {
        println!("{errors}");
    }
    Ok(())
}

fn finite(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|value: &f64| value.is_finite()).ok_or("not a number".into())
}

fn seconds(text: &str) -> Result<f64, String> {
    finite(text).ok().filter(|value| *value >= 0.0).ok_or("not a number of seconds, 0 or more".into())
}
