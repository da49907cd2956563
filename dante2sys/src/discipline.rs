//! The driver: passes dante4l's clock page and the NTP servers' replies to the steerer, its corrections to the clock, and the
//! results to the log, the pages of dante2sys, the RTC and the drift file.

mod journal;
mod status;

use crate::args::Args;
use crate::clock::ControlledClock;
use crate::drift_file::DriftFile;
use crate::rtc::RtcKeeper;
use dante_core::page::{Dante2sys, Dante2sysStatus, Dante4l};
use dante_core::steer::{
    Clock, ClockState, Config, EarlierEpoch, Input, Output, Report, State, Steerer, UtcConfig, UtcSource,
    drive, law,
};
use dante_core::time::{Raw, Timestamp};
use dante_core::utc::SavedUtc;
use dante_os::clock::raw_now;
use dante_os::daemon::{Failure, Service};
use dante_os::ntp::NtpClient;
use dante_os::page::{PageFollower, PageName, Publisher};
use dante_os::poll::{Fds, Wake};
use journal::Journal;
use std::fmt;
use std::os::fd::AsFd;

pub struct Discipline {
    clock: ControlledClock,
    /// The last reading of the clock, moved by the steps made since.
    now: ClockState,
    leader: PageFollower<Dante4l>,
    steerer: Steerer,
    ntp: Option<NtpClient>,
    rtc: RtcKeeper,
    rtc_due: Option<Timestamp<Raw>>,
    drift_file: DriftFile,
    pages: Publisher<Dante2sys, Dante2sysStatus>,
    journal: Journal,
}

/// What dante2sys reads. Opening it can fail, and changes no clock.
pub struct Sources {
    leader: PageFollower<Dante4l>,
    ntp: Option<NtpClient>,
}

impl Sources {
    pub fn open(args: &Args) -> Result<Self, Failure> {
        let uses_ntp = args.utc_source() == UtcSource::Ntp;
        Ok(Self {
            leader: PageFollower::new(PageName::new(args.common.instance.as_ref())),
            ntp: uses_ntp.then(|| NtpClient::start(args.ntp_servers.clone())).transpose()?,
        })
    }
}

impl Discipline {
    pub fn start(
        mut clock: ControlledClock,
        Sources { leader, ntp }: Sources,
        pages: Publisher<Dante2sys, Dante2sysStatus>,
        earlier: Option<EarlierEpoch>,
        args: &Args,
    ) -> Result<Self, Failure> {
        let config = config(args, &clock);
        let drift_file = DriftFile::new(args.drift_path());
        let saved = drift_file.read_utc();
        let frequency = drift_file.read().map(|frequency| frequency.clamp(config.limits.frequency));
        let frequency = clock.start(frequency)?;
        let now = clock.read();
        let mut discipline = Self {
            leader,
            steerer: Steerer::new(config, &now, frequency).resuming(earlier, saved),
            ntp,
            rtc: RtcKeeper::new(args.rtc_mode(), args.rtc_device.clone()),
            rtc_due: None,
            drift_file,
            pages,
            journal: Journal::new(config, args.common.summary_interval, now.reading.raw),
            clock,
            now,
        };
        discipline.wake(&Wake::default())?;
        Ok(discipline)
    }

    fn drive(&mut self, input: Input<'_>) {
        let Self { steerer, clock, ntp, journal, .. } = self;
        let at = raw_now();
        self.now = drive(steerer, clock, input, |report| match (report, &ntp) {
            (Report::Output(Output::Ask(server)), Some(ntp)) => ntp.query(server),
            (report, _) => journal.write(at, &report),
        });
    }

    /// Updates the RTC and the drift file, and publishes the pages.
    fn keep(&mut self) {
        let now = self.now.reading;
        let may_write_rtc = self.steerer.utc().may_write_rtc(&now, &self.steerer.run());
        self.rtc_due = self.rtc.keep(now, may_write_rtc);
        let is_locked = self.steerer.state() == State::Locked;
        // A rate that is not known yet does not replace that of the last run.
        let utc = self.steerer.utc_to_save(&now).filter(SavedUtc::is_rate_known);
        self.drift_file.keep(now.raw, self.steerer.known_frequency(now.raw).filter(|_| is_locked), utc);
        self.journal.summarise(&self.steerer, &now);
        self.publish();
    }

    fn publish(&mut self) {
        let (kind, now) = (self.clock.kind(), &self.now.reading);
        let clock = Dante2sys::of(&self.steerer, kind, self.pages.instance(), now);
        let status = Dante2sysStatus {
            rtc: self.rtc.mode as u8,
            rtc_written_ns: self.rtc.written.map_or(0, |written| written.ns()),
            ..Dante2sysStatus::of(&self.steerer, kind, now)
        };
        let status = self.clock.line().map_or(status, |line| status.with_line(line));
        self.pages.publish(raw_now(), &clock, &status);
    }
}

/// Returns the steerer's configuration.
fn config(args: &Args, clock: &ControlledClock) -> Config {
    let utc = match args.utc_source() {
        UtcSource::None => UtcConfig::None,
        UtcSource::Ntp => {
            let shortest_interval = args.ntp_min_interval();
            UtcConfig::Ntp { servers: args.ntp_servers.len(), shortest_interval }
        }
        UtcSource::Leader => UtcConfig::Leader,
    };
    Config {
        limits: args.limits(clock.limit()),
        law: law::synthesis,
        rules: args.rules(crate::built()),
        utc,
        allows_pull_up: args.allow_pull_up,
    }
}

impl Service for Discipline {
    fn fds(&self) -> Fds<'_> {
        self.leader.fd().into_iter().chain(self.ntp.as_ref().map(AsFd::as_fd)).collect()
    }

    fn deadline(&self) -> Timestamp<Raw> {
        let wanted = [self.steerer.deadline(), self.rtc_due, self.leader.deadline()];
        wanted.into_iter().flatten().fold(self.pages.renewal(), Timestamp::min)
    }

    /// Handles all inputs: a doorbell rang, or none did for up to a second; a writer that died rings no more.
    fn wake(&mut self, _: &Wake) -> Result<(), Failure> {
        self.clock.check()?;
        for reply in self.ntp.iter_mut().flat_map(NtpClient::take).collect::<Vec<_>>() {
            if let (Some(warning), Some(ntp)) = (reply.warning, &self.ntp) {
                self.journal.server(raw_now(), reply.server, ntp.name(reply.server), &warning);
            }
            self.drive(Input::Answer { server: reply.server, answer: reply.answer });
        }
        let now = raw_now();
        let page = self.leader.read(now);
        self.journal.tick(now);
        self.journal.page(now, &page);
        self.drive(Input::Page(page.as_ref().ok()));
        self.keep();
        Ok(())
    }

    fn status(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        self.write_status(to)
    }

    /// Leaves the clock at the leader's rate, without the phase term.
    fn end(&mut self) {
        let utc = self.steerer.utc_to_save(&self.now.reading);
        self.drive(Input::End);
        log::info!(
            "stopped steering: clock keeps {:+.0} ppb, without phase correction",
            self.steerer.frequency().ppb()
        );
        let may_write_rtc = self.steerer.utc().may_write_rtc(&self.now.reading, &self.steerer.run());
        self.rtc.end(&mut self.clock, may_write_rtc);
        let now = raw_now();
        self.drift_file.end(now, self.steerer.known_frequency(now), utc);
        self.publish();
    }
}
