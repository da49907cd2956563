//! `pmc-lite log`: writes each sample as one line, for analysis.

use crate::args::{LogArgs, LogFormat};
use crate::history::{Entry, Follower};
use crate::output;
use crate::pages::Pages;
use anyhow::{Context, Result, bail};
use dante_core::printable::printable_json;
use dante_core::time::Duration;
use dante_os::clock::raw_now;
use dante_os::page::Instance;
use dante_os::poll::Poll;
use dante_os::statefile;
use std::io::{self, Write};

#[cfg(test)]
mod tests;

/// Writes lines until a signal, until `--seconds` have passed, or until the reader closes the pipe.
pub fn log(args: &LogArgs, instance: Option<&Instance>) -> Result<()> {
    let poll = Poll::new()?;
    let target = args.output.as_ref().map_or("standard output".into(), |path| path.display().to_string());
    let out: Box<dyn Write> = match &args.output {
        Some(path) => Box::new(statefile::create(path)?),
        None => Box::new(io::stdout()),
    };
    match run(poll, Lines::new(out, args.format), args.seconds, instance) {
        Err(error) => match error.downcast::<io::Error>() {
            Ok(error) if output::is_closed(&error) => Ok(()),
            Ok(error) => Err(error).with_context(|| format!("cannot write {target}")),
            Err(error) => Err(error),
        },
        Ok(0) if args.seconds > 0 => bail!("no sample came within {} s", args.seconds),
        Ok(_) => Ok(()),
    }
}

fn run(poll: Poll, mut lines: Lines, seconds: u32, instance: Option<&Instance>) -> Result<u64> {
    let end = (seconds > 0).then(|| raw_now() + Duration::from_secs(seconds.into()));
    let mut messages = Messages::default();
    let mut written = 0;
    Follower::new(instance).follow(poll, end, |pages, entries| {
        messages.report_state(pages);
        for entry in &entries {
            messages.report_gap(entry);
            lines.write(entry)?;
            written += 1;
        }
        Ok(())
    })?;
    Ok(written)
}

/// Writes whole lines and flushes each, so that a reader of the pipe or file never sees a part of one.
struct Lines {
    out: Box<dyn Write>,
    format: LogFormat,
    has_heading: bool,
}

impl Lines {
    fn new(out: Box<dyn Write>, format: LogFormat) -> Self {
        Self { out, format, has_heading: false }
    }

    fn write(&mut self, entry: &Entry) -> Result<()> {
        let heading = !std::mem::replace(&mut self.has_heading, true);
        self.out.write_all(&line(entry, self.format, heading)?)?;
        Ok(self.out.flush()?)
    }
}

/// Formats one line; with `heading`, the names of the columns in CSV come before it.
pub(crate) fn line(entry: &Entry, format: LogFormat, heading: bool) -> Result<Vec<u8>> {
    match format {
        LogFormat::Csv => {
            let mut writer = csv::WriterBuilder::new().has_headers(heading).from_writer(Vec::new());
            writer.serialize(entry)?;
            let bytes = writer.into_inner().map_err(|error| anyhow::anyhow!("{error}"))?;
            Ok(output::lines(&String::from_utf8_lossy(&bytes)).into_owned().into_bytes())
        }
        LogFormat::Json => {
            let line = serde_json::to_string(entry)?;
            Ok(format!("{}\n", printable_json(&line)).into_bytes())
        }
    }
}

/// Messages on standard error about interruptions and gaps.
#[derive(Default)]
struct Messages {
    waiting: bool,
    instance: String,
}

impl Messages {
    fn report_state(&mut self, pages: &Pages) {
        let not_running = pages.not_running("");
        if let Some(why) = not_running.as_ref().filter(|_| !self.waiting) {
            crate::report(&format!("waiting: {why}"));
        }
        self.waiting = not_running.is_some();
    }

    fn report_gap(&mut self, entry: &Entry) {
        if !self.instance.is_empty() && self.instance != entry.instance {
            crate::report(&format!("{}: dante4l was restarted", entry.time));
        }
        self.instance.clone_from(&entry.instance);
        if entry.missed > 0 {
            crate::report(&format!("{}: {} samples before this one were missed", entry.time, entry.missed));
        }
    }
}
