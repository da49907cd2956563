//! `pmc-lite plot`: draws residual, rate, phase error and a histogram of the rate as a picture.

mod figure;
mod picture;
#[cfg(test)]
mod tests;

use crate::args::PlotArgs;
use crate::history::{Entry, Follower};
use anyhow::{Context, Result, bail};
use dante_core::time::Duration;
use dante_os::clock::raw_now;
use dante_os::page::Instance;
use dante_os::poll::Poll;
use dante_os::statefile;
use figure::Figure;
use picture::Format;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Draws new samples, or those of a log. The picture is written completely or not at all.
pub fn plot(args: &PlotArgs, instance: Option<&Instance>) -> Result<()> {
    let format = Format::of(&args.picture)?;
    statefile::check(&args.picture)?;
    let entries = match &args.input {
        Some(path) => read(path).with_context(|| format!("cannot read {}", path.display()))?,
        None => record(args.seconds, instance)?,
    };
    if entries.is_empty() {
        bail!("no sample to draw: dante4l has to be running and SLAVE; see `pmc-lite get status`");
    }
    let host = match &args.input {
        Some(path) => {
            path.file_name().map_or("standard input".into(), |name| name.to_string_lossy().into_owned())
        }
        None => fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
    };
    let bytes = picture::draw(&Figure::of(&entries, &host), format)?;
    Ok(statefile::replace(&args.picture, &bytes)?)
}

/// Returns the picture of these samples in the format of the file name.
#[cfg(test)]
pub fn picture(entries: &[Entry], source: &str, file: &str) -> Vec<u8> {
    let format = Format::of(Path::new(file)).expect("a format");
    picture::draw(&Figure::of(entries, source), format).expect("drawn")
}

/// Records samples for this time, or until a signal.
fn record(seconds: u32, instance: Option<&Instance>) -> Result<Vec<Entry>> {
    let poll = Poll::new()?;
    let follower = Follower::new(instance);
    let end = raw_now() + Duration::from_secs(seconds.into());
    if io::stderr().is_terminal() {
        crate::report(&format!("recording for {seconds} s; Ctrl-C ends that and draws the picture"));
    }
    let mut entries = Vec::new();
    follower.follow(poll, Some(end), |_, more| {
        entries.extend(more);
        Ok(())
    })?;
    Ok(entries)
}

/// Reads the output of `pmc-lite log` in either format.
fn read(path: &Path) -> Result<Vec<Entry>> {
    let source: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(open(path)?) };
    parse(BufReader::new(source))
}

/// Opens a regular file or a FIFO, as that of a shell's `<(zcat log.gz)`: a device may be endless.
fn open(path: &Path) -> Result<File> {
    let found = fs::metadata(path)?;
    if !found.is_file() && !found.file_type().is_fifo() && !statefile::is_null(&found) {
        bail!("it is neither a regular file nor a FIFO");
    }
    Ok(File::open(path)?)
}

fn parse(mut source: impl BufRead) -> Result<Vec<Entry>> {
    if source.fill_buf()?.first() == Some(&b'{') {
        let lines = source.lines().zip(1u64..);
        return lines
            .map(|(line, number)| {
                serde_json::from_str(&line?)
                    .with_context(|| format!("line {number} is not a line of `pmc-lite log`"))
            })
            .collect();
    }
    let rows = csv::Reader::from_reader(source).into_deserialize();
    rows.map(|row| row.context("not an output of `pmc-lite log`")).collect()
}
