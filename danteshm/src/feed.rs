//! From dante4l's page through the relay to the outputs, and what was done to the page of danteshm.

use crate::args::{Args, EpochFrom};
use crate::outputs::Outputs;
use dante_core::page::{Dante2sys, Dante4l, Danteshm, Freshness, STEER_DATE_GOOD, SteeredClock, View};
use dante_core::relay::{
    Config, EpochRule, Evidence, Input, Output, OverlayKeeper, RefclockSample, Relay, Steered, Told, Waiting,
};
use dante_core::time::{Duration, Raw, Timestamp};
use dante_core::track::{KernelWord, Loss, TimelineKey};
use dante_os::clock::{raw_now, suspended};
use dante_os::daemon::{Failure, Service};
use dante_os::log::{Budget, Summary, Throttle};
use dante_os::page::{PageFollower, PageName, PageReader, PageWriter};
use dante_os::poll::{Fds, Wake};
use std::fmt;
use std::os::fd::AsFd;

/// Clients of a usrvclock hear at least this often, also through holdover.
const TELL: Duration = Duration::from_ms(900);
/// CLOCK_BOOTTIME - CLOCK_MONOTONIC is read to some hundred ns; a sleep is longer.
const SLEPT: Duration = Duration::from_ms(1);

/// The program's state.
pub struct Feed {
    leader: PageFollower<Dante4l>,
    steerer: PageReader<Dante2sys>,
    /// dante4l's instance, and how many of its samples were looked at.
    seen: Option<(u64, u64)>,
    relay: Relay,
    /// Why nothing is relayed.
    lost: Option<Loss>,
    keeper: OverlayKeeper,
    slept: Duration,
    next_telling: Timestamp<Raw>,
    outputs: Outputs,
    /// What chrony was told last, in this run or the one before.
    told: Option<Told>,
    page: PageWriter<Danteshm>,
    complaints: Throttle<String>,
    changes: Budget,
    summary: Summary,
}

impl Feed {
    pub fn start(
        args: &Args,
        outputs: Outputs,
        page: PageWriter<Danteshm>,
        told: Option<Told>,
    ) -> Result<Self, Failure> {
        let common = &args.common;
        Ok(Self {
            leader: PageFollower::new(PageName::new(common.instance.as_ref()))?,
            steerer: PageReader::new(PageName::new(common.instance.as_ref())),
            seen: None,
            relay: Relay::new(chosen(args), told),
            lost: None,
            keeper: OverlayKeeper::default(),
            slept: suspended(),
            next_telling: raw_now(),
            outputs,
            told,
            page,
            complaints: Throttle::default(),
            changes: Budget::default(),
            summary: Summary::new(Duration::from_secs(i64::from(common.summary_interval))),
        })
    }

    fn take(&mut self, now: Timestamp<Raw>, view: &View<Dante4l>) {
        let Some(track) = view.body.track(view.instance) else { return };
        if track.live_map().is_none() {
            self.handle(now, Input::Lost(Loss::NoLeader));
        }
        if self.relay.timescale().is_none() {
            let kernel = view.body.kernel_word();
            let steered = self.steered(now);
            self.handle(now, Input::Date(Evidence { steered, kernel }));
        }
        let path_delay = view.body.selected().and_then(|port| port.path_delay()).unwrap_or_default();
        // What was measured before this program looked for the first time is too old to tell.
        let seen = match self.seen {
            Some((instance, seen)) if instance == view.instance => seen,
            Some(_) => 0,
            None => view.body.samples,
        };
        for record in view.body.samples_after(seen) {
            self.handle(now, Input::Sync { track, sample: (*record).into(), path_delay });
        }
        self.seen = Some((view.instance, view.body.samples));
        // What chrony waits for came first.
        if let Some(overlay) = self.keeper.follow(&track) {
            self.next_telling = now + TELL;
            self.outputs.tell(now, &overlay);
        }
    }

    /// dante2sys' K, while it runs and steers a clock that shows a date.
    fn steered(&mut self, now: Timestamp<Raw>) -> Option<Steered> {
        let view = self.steerer.read(now).ok().filter(|view| view.freshness == Freshness::Fresh)?;
        let key = TimelineKey { instance: view.body.key_instance, number: view.body.key_number };
        let is_good = view.body.flags & STEER_DATE_GOOD != 0;
        let shows_date = view.body.clock != SteeredClock::Hardware as u8;
        view.body.epoch().filter(|_| shows_date).map(|epoch| Steered { key, epoch, is_good })
    }

    fn handle(&mut self, now: Timestamp<Raw>, input: Input) {
        match input {
            Input::Lost(loss) => self.lost = Some(loss),
            Input::Sync { .. } => self.lost = None,
            Input::Date(_) => {}
        }
        self.relay.handle(now, input);
        while let Some(output) = self.relay.poll() {
            match output {
                Output::Write(sample) => self.write(&sample),
                Output::Withdraw => self.outputs.withdraw(),
                Output::Feeding => self.changes.info(now, format_args!("a sample for each Sync from now on")),
                Output::Stopped(loss) => self.changes.info(now, format_args!("no more samples: {loss}")),
                Output::Fixed(fixed) => self.changes.info(now, format_args!("{fixed}")),
                Output::Epoch(change) => self.changes.info(now, format_args!("{change}")),
                Output::Hushed(why) => self.changes.info(now, format_args!("{why}")),
                Output::Undated(word) => self.changes.info(now, format_args!("{}", undated(word))),
            }
        }
    }

    fn write(&mut self, sample: &RefclockSample) {
        self.outputs.write(sample);
        let now = raw_now();
        if let Some((scale, source)) = self.relay.timescale() {
            self.told = Some(Told { key: scale.key(), epoch: scale.epoch(), source, last: now });
        }
        if let Some(line) = self.summary.add(now, sample.ahead()) {
            log::info!(
                "{} samples, reference minus system clock: rms {} max {}",
                line.count,
                line.rms.ns(),
                line.largest.ns()
            );
        }
    }

    /// CLOCK_MONOTONIC_RAW stands still while the host sleeps, and the leader does not.
    fn mind_sleep(&mut self, now: Timestamp<Raw>) {
        let slept = suspended();
        if slept - self.slept > SLEPT {
            log::info!("the host slept for {:.3} s", (slept - self.slept).secs_f64());
            self.keeper.slept(now);
        }
        self.slept = slept;
    }

    fn publish(&mut self, now: Timestamp<Raw>) {
        let records = self.outputs.records();
        let mut body = Danteshm {
            state: self.relay.state() as u8,
            waiting: self.relay.waiting() as u8,
            output_count: u32::try_from(records.len()).unwrap_or(0),
            ..Danteshm::default()
        };
        for (to, from) in body.outputs.iter_mut().zip(records) {
            *to = from;
        }
        if let Some(told) = &self.told {
            body.set_told(told);
        }
        self.page.publish(now, &body);
    }
}

/// What the flags amount to.
fn chosen(args: &Args) -> Config {
    let rule = match args.epoch {
        EpochFrom::Synchronised => EpochRule::Synchronised,
        EpochFrom::Now => EpochRule::Now,
    };
    Config { rule, every: args.rate.map(|hz| Duration::from_secs(1) / i64::from(hz)) }
}

/// Why there is no K, and what to do.
fn undated(word: Option<KernelWord>) -> &'static str {
    match word {
        Some(KernelWord::Synchronised(_)) => "K waits for a date",
        Some(KernelWord::Unsynchronised) => {
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
        [Some(self.leader.as_fd()), self.outputs.fd()].into_iter().flatten().collect()
    }

    fn deadline(&self) -> Timestamp<Raw> {
        match self.keeper.overlay() {
            Some(_) if self.outputs.fd().is_some() => self.page.renewal().min(self.next_telling),
            _ => self.page.renewal(),
        }
    }

    /// Looks at dante4l's page: its doorbell rang, or a second has passed without it.
    fn wake(&mut self, _: &Wake) -> Result<(), Failure> {
        let now = raw_now();
        self.mind_sleep(now);
        match self.leader.read(now) {
            Ok(view) => match view.freshness {
                Freshness::Fresh => self.take(now, &view),
                Freshness::Stopped => self.handle(now, Input::Lost(Loss::Stopped)),
                _ => self.handle(now, Input::Lost(Loss::Stale)),
            },
            Err(error) => {
                let text = error.to_string();
                if self.complaints.allows(text.clone(), now) {
                    log::warn!("{text}");
                }
                self.handle(now, Input::Lost(Loss::NoPage));
            }
        }
        let overlay = self.keeper.overlay();
        self.outputs.attend(now, overlay.as_ref());
        if let Some(overlay) = overlay.filter(|_| now >= self.next_telling) {
            self.next_telling = now + TELL;
            self.outputs.tell(now, &overlay);
        }
        self.publish(raw_now());
        Ok(())
    }

    fn status(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        match (self.relay.waiting(), self.lost) {
            (Waiting::Nothing, _) => to.write_str("a sample for each Sync")?,
            (_, Some(loss)) => write!(to, "waiting: {loss}")?,
            (Waiting::Leader, None) => to.write_str("waiting for the next Sync that may be told")?,
            (Waiting::Date, None) => to.write_str("waiting until the system clock is synchronised")?,
            (Waiting::Silence, None) => to.write_str("silent for a while, so that chrony sees no jump")?,
        }
        self.outputs.status(to)
    }

    /// Leaves nothing in a segment that could be taken for a fresh sample.
    fn end(&mut self) {
        self.handle(raw_now(), Input::Lost(Loss::Ending));
        self.publish(raw_now());
    }
}
