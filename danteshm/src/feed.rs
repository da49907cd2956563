//! The main loop of danteshm: it passes the pages of dante4l and dante2sys to the engine, and the engine's outputs to the outputs
//! of danteshm, the log and the pages of danteshm.

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

pub struct Feed {
    leader: PageFollower<Dante4l>,
    steerer: PageReader<Dante2sys>,
    relay: Relay,
    outputs: Outputs,
    pages: Publisher<Danteshm, DanteshmStatus>,
    /// Rate limits of log lines: alternating leaders must not suppress lines about the epoch offset (K).
    complaints: Complaints,
    leader_changes: Budget,
    epoch_changes: Budget,
    summary: Summary,
}

impl Feed {
    pub fn start(
        args: &Args,
        outputs: Outputs,
        pages: Publisher<Danteshm, DanteshmStatus>,
        published: Option<PublishedEpoch>,
    ) -> Self {
        let common = &args.common;
        Self {
            leader: PageFollower::new(PageName::new(common.instance.as_ref())),
            steerer: PageReader::new(PageName::new(common.instance.as_ref())),
            relay: Relay::new(config(args), published, suspended()),
            outputs,
            pages,
            complaints: Complaints::about("clock page of dante4l"),
            leader_changes: Budget::about("states"),
            epoch_changes: Budget::about("epoch offset (K)"),
            summary: Summary::new(Duration::from_secs(i64::from(common.summary_interval))),
        }
    }

    fn handle(&mut self, now: Timestamp<Raw>, input: Input<'_>) {
        self.relay.handle(now, input);
        while let Some(output) = self.relay.poll() {
            match output {
                Output::Write(sample) => self.write(&sample),
                Output::Withdraw => self.outputs.withdraw(now),
                Output::Feeding => self
                    .leader_changes
                    .info(now, format_args!("writing samples: locked to a leader, epoch offset (K) known")),
                Output::Stopped(loss) => {
                    self.leader_changes.info(now, format_args!("samples stopped: {loss}"))
                }
                Output::Fixed(fixed) => self.epoch_changes.info(now, format_args!("{fixed}")),
                Output::Epoch(change) => self.epoch_changes.info(now, format_args!("{change}")),
                Output::Paused(why) => self.leader_changes.info(now, format_args!("{why}")),
                Output::NoUtc(kernel) if self.outputs.has_refclocks() => {
                    self.epoch_changes.info(now, format_args!("{}", no_utc(kernel)));
                }
                Output::NoUtc(_) => {}
                Output::Overlay(overlay) => self.outputs.send(now, &overlay),
                Output::Slept(slept) => log::info!("host was suspended for {:.3} s", slept.secs_f64()),
            }
        }
    }

    fn write(&mut self, sample: &RefclockSample) {
        let now = raw_now();
        self.outputs.write(now, sample);
        if let Some(line) = self.summary.add(now, sample.ahead()) {
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

/// The engine's configuration by the flags.
fn config(args: &Args) -> Config {
    let rule = match args.epoch {
        EpochFrom::Synchronised => EpochRule::Synchronised,
        EpochFrom::Now => EpochRule::Now,
    };
    Config { rule, every: args.sample_rate.map(|hz| Duration::from_secs(1) / i64::from(hz)) }
}

/// Log line for an epoch offset (K) that cannot be set: the reason, and what to do.
fn no_utc(kernel: Option<KernelSync>) -> &'static str {
    match kernel {
        Some(KernelSync::Synchronised(_)) => "waiting for UTC to set the epoch offset (K)",
        Some(KernelSync::Unsynchronised) => {
            "waiting for UTC to set the epoch offset (K): the kernel reports the system clock as unsynchronised (STA_UNSYNC); \
             chrony clears that flag only with rtcsync in its configuration; --epoch now does not wait"
        }
        None => {
            "waiting for UTC to set the epoch offset (K): dante4l cannot read from the kernel whether the system clock is \
             synchronised (adjtimex refused); --epoch now does not wait"
        }
    }
}

impl Service for Feed {
    fn fds(&self) -> Fds<'_> {
        self.leader.fd().into_iter().chain(self.outputs.fds()).collect()
    }

    fn deadline(&self) -> Timestamp<Raw> {
        let repetition = self.relay.deadline().filter(|_| self.outputs.has_clients());
        let outputs = repetition.into_iter().chain(self.outputs.deadline()).chain(self.leader.deadline());
        outputs.fold(self.pages.renewal(), std::cmp::min)
    }

    /// Reads dante4l's page: after its doorbell, at the deadline, and at least once a second.
    fn wake(&mut self, _: &Wake) -> Result<(), Failure> {
        let (now, suspended) = (raw_now(), suspended());
        self.complaints.tick(now);
        self.leader_changes.tick(now);
        self.epoch_changes.tick(now);
        let dante4l = self.leader.read(now).inspect_err(|error| self.complaints.warn(now, error)).ok();
        let dante2sys = self.relay.needs_epoch().then(|| self.steerer.read(now).ok()).flatten();
        self.handle(now, Input::Page { dante4l: dante4l.as_ref(), dante2sys: dante2sys.as_ref(), suspended });
        self.outputs.attend(now, self.relay.overlay().as_ref());
        self.publish(raw_now());
        Ok(())
    }

    fn status(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        match (self.relay.waiting(), self.relay.lost()) {
            (Waiting::Nothing | Waiting::Utc, None) if !self.outputs.has_refclocks() => {
                to.write_str("sending Dante time to clients")?;
            }
            (Waiting::Nothing, _) if self.outputs.is_read_by_none() => {
                to.write_str("writing samples, which chrony does not get")?;
            }
            (Waiting::Nothing, _) => to.write_str("writing samples")?,
            (_, Some(loss)) => write!(to, "waiting: {loss}")?,
            (Waiting::Leader, None) => to.write_str("waiting for the next usable Sync")?,
            (Waiting::Utc, None) => to.write_str("waiting until the system clock is synchronised to UTC")?,
            (Waiting::Pause, None) => to.write_str("output paused, so that chrony restarts its filter")?,
        }
        self.outputs.status(to)
    }

    /// Withdraws the last sample, so that no segment holds an old one.
    fn end(&mut self) {
        self.handle(raw_now(), Input::End);
        self.publish(raw_now());
    }
}
