//! From dante4l's page through the relay to the segment, and what was done to the page of danteshm.

use dante_core::page::{Dante4l, Danteshm, Freshness, OutputKind, OutputRecord, View};
use dante_core::relay::{HUSH, Input, Output, RefclockSample, Relay, State, Told};
use dante_core::steer::Loss;
use dante_core::time::{Duration, Raw, Timestamp};
use dante_os::clock::raw_now;
use dante_os::daemon::{CommonArgs, Failure, Service};
use dante_os::log::{Summary, Throttle};
use dante_os::ntpshm::{NtpShm, ShmSample};
use dante_os::page::{PageFollower, PageName, PageWriter};
use dante_os::poll::{Fds, Wake};
use std::fmt;
use std::os::fd::AsFd;

/// Precision told to the reader, log2 of seconds: about 1 us, that of software stamps. chrony does not look at it.
const PRECISION: i32 = -20;

/// The program's state.
pub struct Feed {
    leader: PageFollower<Dante4l>,
    /// dante4l's instance, and how many of its samples were looked at.
    seen: Option<(u64, u64)>,
    relay: Relay,
    /// Why nothing is relayed.
    lost: Option<Loss>,
    segment: NtpShm,
    output: OutputRecord,
    page: PageWriter<Danteshm>,
    complaints: Throttle<String>,
    summary: Summary,
}

impl Feed {
    pub fn start(
        unit: u32,
        segment: NtpShm,
        page: PageWriter<Danteshm>,
        told: Option<Told>,
        common: &CommonArgs,
    ) -> Result<Self, Failure> {
        let mut feed = Self {
            leader: PageFollower::new(PageName::new(common.instance.as_ref()))?,
            seen: None,
            relay: Relay::new(told),
            lost: None,
            segment,
            output: OutputRecord {
                kind: u32::from(OutputKind::Shm as u8),
                unit,
                samples: 0,
                last_sample_raw_ns: 0,
            },
            page,
            complaints: Throttle::default(),
            summary: Summary::new(Duration::from_secs(i64::from(common.summary_interval))),
        };
        // What a predecessor left there is not ours to vouch for.
        feed.segment.withdraw();
        feed.wake(&Wake::default())?;
        Ok(feed)
    }

    fn take(&mut self, view: &View<Dante4l>) {
        let Some(track) = view.body.track(view.instance) else { return };
        if track.live_map().is_none() {
            self.handle(Input::Lost(Loss::NoLeader));
        }
        let path_delay = view.body.selected().and_then(|port| port.path_delay()).unwrap_or_default();
        // What was measured before this program looked for the first time is too old to tell.
        let seen = match self.seen {
            Some((instance, seen)) if instance == view.instance => seen,
            Some(_) => 0,
            None => view.body.samples,
        };
        for record in view.body.samples_after(seen) {
            self.handle(Input::Sync { track, sample: (*record).into(), path_delay });
        }
        self.seen = Some((view.instance, view.body.samples));
    }

    fn handle(&mut self, input: Input) {
        self.lost = if let Input::Lost(loss) = input { Some(loss) } else { None };
        self.relay.handle(input);
        while let Some(output) = self.relay.poll() {
            match output {
                Output::Write(sample) => self.write(&sample),
                Output::Withdraw => self.segment.withdraw(),
                Output::Feeding => {
                    log::info!("SHM unit {}: a sample for each Sync from now on", self.output.unit)
                }
                Output::Stopped(loss) => log::info!("SHM unit {}: no more samples: {loss}", self.output.unit),
                Output::Hushed(jump) => log::warn!(
                    "SHM unit {}: the reference would jump by {:+.6} s (the system clock was stepped, or K of the last run is lost): silent for {} s, then K is fixed anew",
                    self.output.unit,
                    jump.secs_f64(),
                    HUSH.ms() / 1000
                ),
                Output::Epoch(change) => log::info!("{change}"),
            }
        }
    }

    fn write(&mut self, sample: &RefclockSample) {
        let RefclockSample { reference, received } = *sample;
        self.segment.write(&ShmSample { reference, received, precision: PRECISION });
        let now = raw_now();
        self.output.samples += 1;
        self.output.last_sample_raw_ns = now.ns();
        // As chrony sees it: the reference minus the system clock.
        if let Some(line) = self.summary.add(now, reference - received) {
            log::info!(
                "SHM unit {}: {} samples, rms {} max {}",
                self.output.unit,
                line.count,
                line.rms.ns(),
                line.largest.ns()
            );
        }
    }

    fn publish(&mut self, now: Timestamp<Raw>) {
        let mut body = Danteshm { state: self.relay.state() as u8, output_count: 1, ..Danteshm::default() };
        if let Some(first) = body.outputs.first_mut() {
            *first = self.output;
        }
        if let Some(scale) = self.relay.timescale() {
            body.set_timescale(scale);
        }
        self.page.publish(now, &body);
    }
}

impl Service for Feed {
    fn fds(&self) -> Fds<'_> {
        [self.leader.as_fd()].into_iter().collect()
    }

    fn deadline(&self) -> Timestamp<Raw> {
        self.page.renewal()
    }

    /// Looks at dante4l's page: its doorbell rang, or a second has passed without it.
    fn wake(&mut self, _: &Wake) -> Result<(), Failure> {
        let now = raw_now();
        match self.leader.read(now) {
            Ok(view) => match view.freshness {
                Freshness::Fresh => self.take(&view),
                Freshness::Stopped => self.handle(Input::Lost(Loss::Stopped)),
                _ => self.handle(Input::Lost(Loss::Stale)),
            },
            Err(error) => {
                let text = error.to_string();
                if self.complaints.allows(text.clone(), now) {
                    log::warn!("{text}");
                }
                self.handle(Input::Lost(Loss::NoPage));
            }
        }
        self.publish(raw_now());
        Ok(())
    }

    fn status(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        write!(to, "SHM unit {}: ", self.output.unit)?;
        match (self.relay.state(), self.lost) {
            (State::Feeding, _) => to.write_str("a sample for each Sync"),
            (State::Waiting, Some(loss)) => write!(to, "waiting: {loss}"),
            (State::Waiting, None) => to.write_str("waiting for the next Sync that may be told"),
        }
    }

    /// Leaves nothing in the segment that could be taken for a fresh sample.
    fn end(&mut self) {
        self.handle(Input::Lost(Loss::Ending));
        self.publish(raw_now());
    }
}
