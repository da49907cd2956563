//! From dante4l's page and the date's source through the steerer to the clock, and what was done to the page of dante2sys.

use crate::args::Args;
use crate::date::{self, DateSource};
use crate::drift_file::DriftFile;
use crate::hands::Hands;
use crate::publish;
use crate::rtc::RtcKeeper;
use dante_core::date::{DateNews, Leap, is_leap_day};
use dante_core::page::{Dante2sys, Dante4l, Freshness, PortRecord, UtcSource};
use dante_core::port;
use dante_core::steer::{Input, Jump, Output, Reason, State, Steerer};
use dante_core::time::{Duration, Ratio, Raw, Reading, Timestamp};
use dante_core::track::Loss;
use dante_core::wire::{PortIdentity, Subdomain, Uuid};
use dante_os::clock::raw_now;
use dante_os::daemon::{Failure, Service};
use dante_os::log::{Budget, Summary, Throttle};
use dante_os::page::{PageFollower, PageName, PageWriter};
use dante_os::poll::{Fds, Wake};
use std::fmt;
use std::mem::Discriminant;
use std::os::fd::AsFd;

mod status;

/// The leader's rate against UTC is worth a line when it is known to this; then so often.
const LEADER_RATE_KNOWN: Ratio = Ratio::from_ppb(100.0);
const LEADER_RATE_EVERY: Duration = Duration::from_secs(3600);
/// The largest error that the kernel keeps (NTP_PHASE_LIMIT, include/linux/timex.h).
const UNKNOWN: Duration = Duration::from_secs(16);
/// A frequency is worth remembering when it is known to this: what a clock is locked at.
const FREQUENCY_KNOWN: Ratio = Ratio::from_ppm(2.0);

/// The program's state.
pub struct Discipline {
    hands: Hands,
    leader: PageFollower<Dante4l>,
    steerer: Steerer,
    source: DateSource,
    rtc: RtcKeeper,
    rtc_due: Option<Timestamp<Raw>>,
    drift_file: DriftFile,
    allows_pull_up: bool,
    /// Who leads, and the state of dante4l's port, as its page said last; why that page says nothing now.
    followed: Option<PortIdentity>,
    port: Option<port::State>,
    page_trouble: Option<String>,
    /// Why the state is what it is.
    reason: Option<Reason>,
    page: PageWriter<Dante2sys>,
    complaints: Throttle<String>,
    news: Throttle<Discriminant<DateNews>>,
    /// What other programs and the network can cause without end.
    changes: Budget,
    summary: Summary,
    leader_rate_told: Option<Timestamp<Raw>>,
    /// When the date and a holdover are told next, and how far apart.
    told_next: Timestamp<Raw>,
    told_every: Duration,
    held_since: Timestamp<Raw>,
}

impl Discipline {
    pub fn start(mut hands: Hands, page: PageWriter<Dante2sys>, args: &Args) -> Result<Self, Failure> {
        let leader = PageFollower::new(PageName::new(args.common.instance.as_ref()))?;
        let limits = args.limits(hands.clock().limit());
        let rules = args.rules(date::built());
        let drift_file = DriftFile::new(args.drift_path());
        let clock = hands.clock_mut();
        let frequency = match drift_file.read() {
            Some(frequency) => clock.set_frequency(frequency.clamp(limits.frequency))?,
            None => clock.frequency()?,
        };
        let mut discipline = Self {
            hands,
            leader,
            steerer: Steerer::new(limits, rules, frequency),
            source: DateSource::start(args, raw_now())?,
            rtc: RtcKeeper::new(args.rtc_mode(), args.rtc_device.clone()),
            rtc_due: None,
            drift_file,
            allows_pull_up: args.allow_pull_up,
            followed: None,
            port: None,
            page_trouble: None,
            reason: None,
            page,
            complaints: Throttle::default(),
            news: Throttle::default(),
            changes: Budget::default(),
            summary: Summary::new(Duration::from_secs(i64::from(args.common.summary_interval))),
            leader_rate_told: None,
            told_next: raw_now(),
            told_every: Duration::from_secs(i64::from(args.common.summary_interval.max(1))),
            held_since: raw_now(),
        };
        discipline.wake(&Wake::default())?;
        Ok(discipline)
    }

    /// dante4l's page, and what it means for the clock.
    fn look(&mut self, now: Timestamp<Raw>) -> (Input, Option<Dante4l>) {
        let view = match self.leader.read(now) {
            Ok(view) => view,
            Err(error) => {
                self.complain(now, error.to_string());
                self.page_trouble = Some(error.to_string());
                return (Input::Lost(Loss::NoPage), None);
            }
        };
        let loss = match view.freshness {
            Freshness::Fresh => None,
            Freshness::Stopped => Some(Loss::Stopped),
            _ => Some(Loss::Stale),
        };
        self.page_trouble = loss.map(|loss| loss.to_string());
        if let Some(loss) = loss {
            return (Input::Lost(loss), None);
        }
        self.note(view.body.selected());
        let subdomain = view.body.selected().map_or(Subdomain::DFLT, |port| Subdomain(port.subdomain));
        if subdomain.is_pull_up() && !self.allows_pull_up {
            let text = format!(
                "dante4l follows {subdomain}, a pull-up domain, whose rate is per cents off: it is not followed (--allow-pull-up)"
            );
            self.page_trouble = Some(text.clone());
            self.complain(now, text);
            return (Input::Lost(Loss::PullUp), None);
        }
        let track = view.body.track(view.instance);
        (track.map_or(Input::Lost(Loss::NoLeader), Input::Leader), Some(view.body))
    }

    /// What the status is to say of dante4l.
    fn note(&mut self, port: Option<&PortRecord>) {
        self.port = port.and_then(PortRecord::state);
        if let Some(leader) = port.and_then(PortRecord::leader) {
            let technology = PortIdentity::ETHERNET;
            self.followed =
                Some(PortIdentity { technology, uuid: Uuid(leader.uuid), port_id: leader.port_id });
        }
    }

    fn handle(&mut self, input: Input) {
        let reading = self.hands.read();
        self.steerer.handle(reading, input);
        while let Some(output) = self.steerer.poll() {
            match output {
                Output::Correct(correction) => {
                    let done = self.hands.correct(correction);
                    self.steerer.handle(self.hands.read(), done);
                }
                Output::Take => {
                    let taken = self.hands.take();
                    self.steerer.handle(self.hands.read(), taken);
                }
                Output::Changed { from, to, reason } => {
                    self.reason = Some(reason);
                    if to == State::Holdover {
                        self.held_since = reading.raw;
                    }
                    self.changes.info(reading.raw, format_args!("{from} to {to}: {reason}"));
                }
                Output::Adopted(size, jump) => {
                    let why = match jump {
                        Jump::Slept => "while the host slept",
                        Jump::Leap => "by a leap second",
                        Jump::Set => "by another program",
                    };
                    self.changes.info(
                        reading.raw,
                        format_args!(
                            "the clock was stepped by {:+.6} s {why}: K is fixed anew, the clock stays where it is",
                            size.span().secs_f64()
                        ),
                    );
                    self.hands.was_stepped();
                }
                Output::Epoch(change) => self.changes.info(reading.raw, format_args!("{change}")),
                Output::Date(news) => {
                    if self.news.allows(std::mem::discriminant(&news), reading.raw) {
                        log::info!("{news}");
                    }
                }
            }
        }
        if matches!(input, Input::Leader(_)) {
            self.summarise(&reading);
        }
    }

    /// As phc2sys: offset, frequency; rms and max over the interval.
    fn summarise(&mut self, reading: &Reading) {
        let Some(error) = self.steerer.phase_error() else { return };
        let Some(line) = self.summary.add(reading.raw, error.span()) else { return };
        let frequency = self.steerer.frequency().ppb();
        if line.count == 1 {
            log::info!("offset {:+} s2 freq {frequency:+.0}", error.ns());
        } else {
            log::info!("rms {} max {} s2 freq {frequency:+.0}", line.rms.ns(), line.largest.ns());
        }
    }

    /// Tells the kernel, keeps the RTC and the drift file, and publishes.
    fn keep(&mut self) {
        let now = self.hands.read();
        let is_ours = !matches!(self.steerer.state(), State::Yielded | State::Refused);
        if self.source.kind() != UtcSource::None && is_ours {
            let leap = if is_leap_day(now.real) { self.steerer.date().leap() } else { Leap::None };
            let (is_good, bounds) = self.date_worth(&now);
            self.hands.declare(now.raw, is_good, bounds, leap);
        }
        self.rtc_due = self.rtc.keep(self.hands.read(), self.is_worth_keeping(&now) && is_ours);
        let known = self.known_frequency(now.raw).filter(|_| self.steerer.state() == State::Locked);
        self.drift_file.keep(now.raw, known);
        self.tell_leader_rate(&now);
        if now.raw >= self.told_next {
            self.told_next = now.raw + self.told_every;
            self.tell_summary(&now);
        }
        let body = publish::body(&self.steerer, &self.hands, &self.source, &self.rtc, &now);
        self.page.publish(raw_now(), &body);
    }

    /// Whether the clock's date is good enough, how far it may be off, and how far it is expected to be.
    fn date_worth(&self, now: &Reading) -> (bool, (Duration, Duration)) {
        let Some(date) = self.steerer.date_error(now) else { return (false, (UNKNOWN, UNKNOWN)) };
        let is_good = date.bound < self.steerer.date().rules().max_error && !self.steerer.date().is_left();
        (is_good, (date.bound, date.error.span().abs() + date.sigma))
    }

    /// The clock tells a date that the RTC should tell too: a good one, or, where nobody tells a date, the only one.
    fn is_worth_keeping(&self, now: &Reading) -> bool {
        match self.source.kind() {
            UtcSource::None => {
                self.steerer.timescale().is_some() && now.real > self.steerer.date().rules().earliest
            }
            UtcSource::Ntp | UtcSource::Leader => {
                self.hands.is_good() && matches!(self.steerer.state(), State::Locked | State::Holdover)
            }
        }
    }

    /// The frequency to go on with where there is no leader, and what it may be wrong by.
    fn known_frequency(&self, now: Timestamp<Raw>) -> Option<(Ratio, Ratio)> {
        let sigma = self.steerer.timescale()?.map().uncertainty_at(now).rate;
        Some((self.steerer.lasting_rate()?, sigma)).filter(|_| sigma < FREQUENCY_KNOWN)
    }

    /// Beside the line that tells rms and frequency: what a holdover is worth, and the date.
    fn tell_summary(&self, now: &Reading) {
        if let (State::Holdover, Some(scale)) = (self.steerer.state(), self.steerer.timescale()) {
            let sigma = scale.map().uncertainty_at(now.raw);
            log::info!(
                "HOLDOVER for {:.0} s: freq {:+.0} +/- {:.0}, phase known to {} ns",
                (now.raw - self.held_since).secs_f64(),
                self.steerer.frequency().ppb(),
                sigma.rate.ppb(),
                sigma.offset.ns()
            );
        }
        if let Some(date) = self.steerer.date_error(now) {
            log::info!(
                "date {:+.1} us off UTC +/- {:.1}, from {} {:.0} s ago, policy {}",
                date.error.span().secs_f64() * 1e6,
                date.sigma.secs_f64() * 1e6,
                self.source.kind(),
                (now.raw - date.measured_at).secs_f64(),
                self.steerer.date().rules().policy
            );
        }
    }

    fn tell_leader_rate(&mut self, now: &Reading) {
        let is_early = self.leader_rate_told.is_some_and(|at| now.raw - at < LEADER_RATE_EVERY);
        if is_early || self.steerer.state() != State::Locked || self.source.kind() == UtcSource::None {
            return;
        }
        let Some(date) = self.steerer.date_error(now) else { return };
        if date.leader_rate_sigma < LEADER_RATE_KNOWN {
            self.leader_rate_told = Some(now.raw);
            log::info!(
                "leader runs {:+.2} ppm against UTC (known to {:.3}): the date would drift {:.2} s a day",
                date.leader_rate.ppm(),
                date.leader_rate_sigma.ppm(),
                date.leader_rate.fraction() * 86_400.0
            );
        }
    }

    fn complain(&mut self, now: Timestamp<Raw>, text: String) {
        if self.complaints.allows(text.clone(), now) {
            log::warn!("{text}");
        }
    }
}

impl Service for Discipline {
    fn fds(&self) -> Fds<'_> {
        [self.leader.as_fd()].into_iter().chain(self.source.fd()).collect()
    }

    fn deadline(&self) -> Timestamp<Raw> {
        let wanted = [self.steerer.deadline(), self.source.deadline(), self.rtc_due];
        wanted.into_iter().flatten().fold(self.page.renewal(), Timestamp::min)
    }

    /// Looks at everything: a doorbell rang, or it did not for up to a second, and a dead writer rings no more.
    fn wake(&mut self, _: &Wake) -> Result<(), Failure> {
        let now = raw_now();
        for happened in self.hands.look(now, self.steerer.state() != State::Yielded) {
            self.handle(happened);
            if matches!(happened, Input::Jumped(Jump::Slept)) {
                self.source.begin_anew(now);
            }
        }
        let (input, leader) = self.look(now);
        while let Some(verdict) = self.source.verdict(now, leader.as_ref()) {
            self.handle(Input::Date(verdict));
            let date = self.steerer.date();
            let is_doubted = date.is_doubted();
            self.source.set_interval(|now| if is_doubted { Duration::ZERO } else { date.interval(now) });
        }
        self.handle(input);
        if self.steerer.deadline().is_some_and(|due| now >= due) {
            self.handle(Input::Deadline);
        }
        self.keep();
        Ok(())
    }

    fn status(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        self.write_status(to)
    }

    /// Leaves the clock at the leader's rate, without the phase term.
    fn end(&mut self) {
        self.handle(Input::Lost(Loss::Ending));
        log::info!("the clock is left at {:+.0} ppb, without a phase term", self.steerer.frequency().ppb());
        let may = self.is_worth_keeping(&self.hands.read())
            && !matches!(self.steerer.state(), State::Yielded | State::Refused);
        self.rtc.end(|| self.hands.read(), may);
        self.drift_file.end(self.known_frequency(raw_now()));
        let now = self.hands.read();
        self.page.publish(now.raw, &publish::body(&self.steerer, &self.hands, &self.source, &self.rtc, &now));
    }
}
