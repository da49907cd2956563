//! The pages of dante4l and dante2sys to the engine, and what it orders to the outputs, the log and the page of danteshm.

use crate::args::{Args, EpochFrom};
use crate::outputs::Outputs;
use dante_core::page::{Dante2sys, Dante4l, Danteshm, DanteshmStatus};
use dante_core::relay::{Config, EpochRule, Input, Output, PublishedEpoch, RefclockSample, Relay, Waiting};
use dante_core::time::{Duration, Raw, Timestamp};
use dante_core::track::KernelSync;
use dante_os::clock::{raw_now, suspended};
use dante_os::daemon::{Failure, Service};
use dante_os::log::{Budget, Complaints, Summary};
use dante_os::page::{PageFollower, PageName, PageReader, Publisher};
use dante_os::poll::{Fds, Wake};
use std::fmt;
use std::os::fd::AsFd;

pub struct Feed {
    leader: PageFollower<Dante4l>,
    steerer: PageReader<Dante2sys>,
    relay: Relay,
    outputs: Outputs,
    pages: Publisher<Danteshm, DanteshmStatus>,
    complaints: Complaints,
    changes: Budget,
    summary: Summary,
}

impl Feed {
    pub fn start(
        args: &Args,
        outputs: Outputs,
        pages: Publisher<Danteshm, DanteshmStatus>,
        told: Option<PublishedEpoch>,
    ) -> Result<Self, Failure> {
        let common = &args.common;
        Ok(Self {
            leader: PageFollower::new(PageName::new(common.instance.as_ref()))?,
            steerer: PageReader::new(PageName::new(common.instance.as_ref())),
            relay: Relay::new(chosen(args), told, suspended()),
            outputs,
            pages,
            complaints: Complaints::default(),
            changes: Budget::default(),
            summary: Summary::new(Duration::from_secs(i64::from(common.summary_interval))),
        })
    }

    fn handle(&mut self, now: Timestamp<Raw>, input: Input<'_>) {
        self.relay.handle(now, input);
        while let Some(output) = self.relay.poll() {
            match output {
                Output::Write(sample) => self.write(&sample),
                Output::Withdraw => self.outputs.withdraw(),
                Output::Feeding => self.changes.info(now, format_args!("a sample for each Sync from now on")),
                Output::Stopped(loss) => self.changes.info(now, format_args!("no more samples: {loss}")),
                Output::Fixed(fixed) => self.changes.info(now, format_args!("{fixed}")),
                Output::Epoch(change) => self.changes.info(now, format_args!("{change}")),
                Output::Paused(why) => self.changes.info(now, format_args!("{why}")),
                Output::NoUtc(word) => self.changes.info(now, format_args!("{}", undated(word))),
                Output::Overlay(overlay) => self.outputs.send(now, &overlay),
                Output::Slept(slept) => log::info!("the host slept for {:.3} s", slept.secs_f64()),
            }
        }
    }

    fn write(&mut self, sample: &RefclockSample) {
        self.outputs.write(sample);
        if let Some(line) = self.summary.add(raw_now(), sample.ahead()) {
            log::info!(
                "{} samples, reference minus system clock: rms {} max {}",
                line.count,
                line.rms.ns(),
                line.largest.ns()
            );
        }
    }

    fn publish(&mut self, now: Timestamp<Raw>) {
        let records = self.outputs.records();
        let mut status = self.relay.status();
        status.output_count = u32::try_from(records.len()).unwrap_or(0);
        for (to, from) in status.outputs.iter_mut().zip(records) {
            *to = from;
        }
        self.pages.publish(now, &self.relay.page(), &status);
    }
}

/// What the flags amount to.
fn chosen(args: &Args) -> Config {
    let rule = match args.epoch {
        EpochFrom::Synchronised => EpochRule::Synchronised,
        EpochFrom::Now => EpochRule::Now,
    };
    Config { rule, every: args.sample_rate.map(|hz| Duration::from_secs(1) / i64::from(hz)) }
}

/// Why there is no K, and what to do.
fn undated(word: Option<KernelSync>) -> &'static str {
    match word {
        Some(KernelSync::Synchronised(_)) => "K waits for a date",
        Some(KernelSync::Unsynchronised) => {
            "K waits for a date: the kernel says that the system clock is not synchronised (STA_UNSYNC). chrony tells it \
             otherwise only if its configuration has rtcsync; --epoch now does not wait"
        }
        None => {
            "K waits for a date: dante4l could not ask the kernel whether the system clock is synchronised (adjtimex was \
             refused); --epoch now does not wait"
        }
    }
}

impl Service for Feed {
    fn fds(&self) -> Fds<'_> {
        std::iter::once(self.leader.as_fd()).chain(self.outputs.fds()).collect()
    }

    fn deadline(&self) -> Timestamp<Raw> {
        let repetition = self.relay.deadline().filter(|_| self.outputs.fds().next().is_some());
        repetition.map_or(self.pages.renewal(), |at| at.min(self.pages.renewal()))
    }

    /// Looks at dante4l's page: its doorbell rang, or a second has passed without it.
    fn wake(&mut self, _: &Wake) -> Result<(), Failure> {
        let (now, suspended) = (raw_now(), suspended());
        let dante4l = self.leader.read(now).inspect_err(|error| self.complaints.warn(now, error)).ok();
        let dante2sys = self.relay.needs_epoch().then(|| self.steerer.read(now).ok()).flatten();
        self.handle(now, Input::Page { dante4l: dante4l.as_ref(), dante2sys: dante2sys.as_ref(), suspended });
        self.outputs.attend(now, self.relay.overlay().as_ref());
        self.publish(raw_now());
        Ok(())
    }

    fn status(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        match (self.relay.waiting(), self.relay.lost()) {
            (Waiting::Nothing, _) => to.write_str("a sample for each Sync")?,
            (_, Some(loss)) => write!(to, "waiting: {loss}")?,
            (Waiting::Leader, None) => to.write_str("waiting for the next Sync that may be told")?,
            (Waiting::Utc, None) => to.write_str("waiting until the system clock is synchronised")?,
            (Waiting::Pause, None) => to.write_str("silent for a while, so that chrony sees no jump")?,
        }
        self.outputs.status(to)
    }

    /// Leaves nothing in a segment that could be taken for a fresh sample.
    fn end(&mut self) {
        self.handle(raw_now(), Input::End);
        self.publish(raw_now());
    }
}
