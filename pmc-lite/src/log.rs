//! `pmc-lite log`: each sample a line, for analysis.

use crate::args::{LogArgs, LogFormat};
use crate::history::{Entry, Follower};
use crate::pages::Pages;
use anyhow::{Context, Result, bail};
use dante_core::time::Duration;
use dante_os::clock::raw_now;
use dante_os::page::Instance;
use dante_os::poll::Poll;
use std::fs::File;
use std::io::{self, ErrorKind, Write};

#[cfg(test)]
mod tests;

/// Writes lines until it is told to end, by a signal or by time; a reader that has seen enough ends it too.
pub fn log(args: &LogArgs, instance: Option<&Instance>) -> Result<()> {
    let poll = Poll::new()?;
    let target = args.output.as_ref().map_or("standard output".into(), |path| path.display().to_string());
    let out: Box<dyn Write> = match &args.output {
        Some(path) => Box::new(File::create(path).with_context(|| format!("cannot write {target}"))?),
        None => Box::new(io::stdout()),
    };
    match run(poll, Lines::new(out, args.format), args.seconds, instance) {
        Err(error) => match error.downcast::<io::Error>() {
            Ok(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            Ok(error) => Err(error).with_context(|| format!("cannot write {target}")),
            Err(error) => Err(error),
        },
        Ok(0) if args.seconds > 0 => bail!("no sample came within {} s", args.seconds),
        Ok(_) => Ok(()),
    }
}

fn run(poll: Poll, mut lines: Lines, seconds: u32, instance: Option<&Instance>) -> Result<u64> {
    let end = (seconds > 0).then(|| raw_now() + Duration::from_secs(seconds.into()));
    let mut words = Words::default();
    let mut written = 0;
    Follower::new(instance)?.follow(poll, end, |pages, entries| {
        words.about(pages);
        for entry in &entries {
            words.gap(entry);
            lines.write(entry)?;
            written += 1;
        }
        Ok(())
    })?;
    Ok(written)
}

/// What is written, a line at a time: whoever reads along sees whole lines at once.
struct Lines {
    out: Box<dyn Write>,
    format: LogFormat,
    begun: bool,
}

impl Lines {
    fn new(out: Box<dyn Write>, format: LogFormat) -> Self {
        Self { out, format, begun: false }
    }

    fn write(&mut self, entry: &Entry) -> Result<()> {
        let heading = !std::mem::replace(&mut self.begun, true);
        self.out.write_all(&line(entry, self.format, heading)?)?;
        Ok(self.out.flush()?)
    }
}

/// One line, below the names of the columns if that is asked for.
fn line(entry: &Entry, format: LogFormat, heading: bool) -> Result<Vec<u8>> {
    match format {
        LogFormat::Csv => {
            let mut writer = csv::WriterBuilder::new().has_headers(heading).from_writer(Vec::new());
            writer.serialize(entry)?;
            Ok(writer.into_inner().map_err(|error| anyhow::anyhow!("{error}"))?)
        }
        LogFormat::Json => {
            let mut line = serde_json::to_vec(entry)?;
            line.push(b'\n');
            Ok(line)
        }
    }
}

/// What is said on standard error, so that no gap is silent.
#[derive(Default)]
struct Words {
    waiting: bool,
    instance: String,
}

impl Words {
    fn about(&mut self, pages: &Pages) {
        let silence = pages.silence("");
        if let Some(why) = silence.as_ref().filter(|_| !self.waiting) {
            crate::report(&format!("waiting: {why}"));
        }
        self.waiting = silence.is_some();
    }

    fn gap(&mut self, entry: &Entry) {
        if !self.instance.is_empty() && self.instance != entry.instance {
            crate::report(&format!("{}: dante4l was restarted", entry.time));
        }
        self.instance.clone_from(&entry.instance);
        if entry.missed > 0 {
            crate::report(&format!("{}: {} samples before this one are lost", entry.time, entry.missed));
        }
    }
}
