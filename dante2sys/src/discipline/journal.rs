//! The log lines of dante2sys, and what the status line repeats of them.

use dante_core::page::{Dante4l, View};
use dante_core::port;
use dante_core::steer::{Config, Jump, Output, Reason, Report, State, Steerer, UtcSource};
use dante_core::time::{Duration, Ratio, Raw, Reading, Timestamp};
use dante_core::track::Loss;
use dante_core::utc::UtcEvent;
use dante_core::utc::servers::NoMeasurement;
use dante_core::wire::PortIdentity;
use dante_os::log::{Budget, Complaints, Summary, Throttle};
use dante_os::page::ReadError;
use std::fmt;
use std::mem::Discriminant;

/// The leader's rate against UTC is worth a line when it is known to this; then so often.
const LEADER_RATE_KNOWN: Ratio = Ratio::from_ppb(100.0);
const LEADER_RATE_EVERY: Duration = Duration::from_secs(3600);
const UPTIME: &str = "the leader's time is its uptime and no date: --utc leader is of no use here";

/// What was written, and what is to be.
pub(super) struct Journal {
    config: Config,
    /// Who leads, and the state of dante4l's port, as its page showed last; why that page shows no leader now.
    pub followed: Option<PortIdentity>,
    pub port: Option<port::State>,
    pub page_trouble: Option<String>,
    /// Why the state is what it is, and since when the clock is held over.
    pub reason: Option<Reason>,
    pub held_since: Timestamp<Raw>,
    pub clock: Complaints,
    pub utc: Complaints,
    page: Complaints,
    news: Throttle<Discriminant<UtcEvent>>,
    /// What other programs and the network can cause without end.
    changes: Budget,
    summary: Summary,
    /// A new phase error is there.
    has_phase: bool,
    leader_rate_at: Option<Timestamp<Raw>>,
    /// When UTC and a holdover are written about next, and how far apart.
    next: Timestamp<Raw>,
    every: Duration,
}

impl Journal {
    pub fn new(config: Config, summary_interval: u32, now: Timestamp<Raw>) -> Self {
        Self {
            config,
            followed: None,
            port: None,
            page_trouble: None,
            reason: None,
            held_since: now,
            clock: Complaints::default(),
            utc: Complaints::default(),
            page: Complaints::default(),
            news: Throttle::default(),
            changes: Budget::default(),
            summary: Summary::new(Duration::from_secs(i64::from(summary_interval))),
            has_phase: false,
            leader_rate_at: None,
            next: now,
            every: Duration::from_secs(i64::from(summary_interval.max(1))),
        }
    }

    /// dante4l's page, as it was read.
    pub fn page(&mut self, now: Timestamp<Raw>, page: &Result<View<Dante4l>, ReadError>) {
        let body = page.as_ref().ok().map(|view| &view.body);
        let track = self.config.track(page.as_ref().ok());
        self.has_phase = track.is_ok();
        self.page_trouble = match (page, track) {
            (Err(error), _) => Some(error.to_string()),
            (_, Err(Loss::PullUp)) => body.map(|body| {
                let subdomain = body.subdomain();
                format!(
                    "dante4l follows {subdomain}, a pull-up domain, whose rate is per cents off: it is not followed (--allow-pull-up)"
                )
            }),
            (_, Err(loss @ (Loss::Stale | Loss::Stopped))) => Some(loss.to_string()),
            _ => None,
        };
        if let (Some(trouble), true) = (&self.page_trouble, matches!(track, Err(Loss::NoPage | Loss::PullUp)))
        {
            self.page.warn(now, trouble);
        }
        if matches!(track, Ok(_) | Err(Loss::PullUp | Loss::NoLeader)) {
            self.port = body.and_then(Dante4l::state);
            self.followed = body.and_then(Dante4l::sender).or(self.followed);
        }
    }

    /// A time server gave no time.
    pub fn server_failed(&mut self, now: Timestamp<Raw>, name: &str, said: &str) {
        self.utc.warn(now, format_args!("NTP server {name}: {said}"));
    }

    /// What the steerer reports, and what was done to the clock.
    pub fn write<E: fmt::Display>(&mut self, now: Timestamp<Raw>, report: &Report<E>) {
        match report {
            Report::Output(output) => self.output(now, output),
            Report::Frequency(_) => {}
            Report::Step(by) => {
                log::warn!("the clock is stepped by {:+.6} s for the date's sake", by.secs_f64());
            }
            Report::Leftover(leftover) => log::warn!("{leftover}"),
            Report::Failed(fault) => self.clock.warn(now, fault),
        }
    }

    fn output(&mut self, now: Timestamp<Raw>, output: &Output) {
        match *output {
            Output::Changed { from, to, reason } => {
                self.reason = Some(reason);
                if to == State::Holdover {
                    self.held_since = now;
                }
                self.changes.info(now, format_args!("{from} to {to}: {reason}"));
            }
            Output::Slept(span) => {
                log::info!("the host slept for {:.1} s: the date is found anew", span.secs_f64());
            }
            Output::LeapSecond => log::info!("the kernel passes a leap second"),
            Output::Disturbed(disturbance) => self.clock.warn(now, disturbance),
            Output::Adopted(size, jump) => {
                let why = match jump {
                    Jump::Slept => "while the host slept",
                    Jump::Leap => "by a leap second",
                    Jump::Set => "by another program",
                };
                self.changes.info(
                    now,
                    format_args!(
                        "the clock was stepped by {:+.6} s {why}: K is fixed anew, the clock stays where it is",
                        size.span().secs_f64()
                    ),
                );
            }
            Output::Epoch(change) => self.changes.info(now, format_args!("{change}")),
            Output::Date(news) => {
                if self.news.allows(std::mem::discriminant(&news), now) {
                    log::info!("{news}");
                }
            }
            Output::Synchronised(bound) => {
                let ms = bound.secs_f64() * 1e3;
                log::info!("the date is good to {ms:.3} ms: the clock is declared synchronised");
            }
            Output::Unsynchronised(bound) => {
                let ms = bound.secs_f64() * 1e3;
                log::warn!("the date may be off by {ms:.3} ms: the clock is declared unsynchronised");
            }
            Output::Round(Ok(_)) => self.utc.clear(),
            // Which servers failed, and why, was written of each.
            Output::Round(Err(NoMeasurement::NoAnswer)) => {}
            Output::Round(Err(none)) => self.utc.warn(now, none),
            Output::LeaderIsUptime(uptime) => {
                let hours = uptime.secs_f64() / 3600.0;
                self.utc.warn_as(now, UPTIME, format_args!("{UPTIME} (it says {hours:.1} h)"));
            }
            // Carried out elsewhere.
            Output::Ask(_) | Output::Correct(_) | Output::Take | Output::Declare(_) => {}
        }
    }

    /// The lines that come at intervals. As phc2sys: offset, frequency; rms and max over the interval.
    pub fn summarise(&mut self, steerer: &Steerer, now: &Reading) {
        let phase = steerer.phase_error().filter(|_| self.has_phase);
        if let Some(error) = phase
            && let Some(line) = self.summary.add(now.raw, error.span())
        {
            let frequency = steerer.frequency().ppb();
            if line.count == 1 {
                log::info!("offset {:+} s2 freq {frequency:+.0}", error.ns());
            } else {
                log::info!("rms {} max {} s2 freq {frequency:+.0}", line.rms.ns(), line.largest.ns());
            }
        }
        if steerer.utc().source() == UtcSource::Leader && !steerer.utc().leader_is_uptime() {
            self.utc.clear();
        }
        self.leader_rate(steerer, now);
        if now.raw >= self.next {
            self.next = now.raw + self.every;
            self.holdover_and_utc(steerer, now);
        }
    }

    fn holdover_and_utc(&self, steerer: &Steerer, now: &Reading) {
        if let (State::Holdover, Some(scale)) = (steerer.state(), steerer.timescale()) {
            let sigma = scale.map().uncertainty_at(now.raw);
            log::info!(
                "HOLDOVER for {:.0} s: freq {:+.0} +/- {:.0}, phase known to {} ns",
                (now.raw - self.held_since).secs_f64(),
                steerer.frequency().ppb(),
                sigma.rate.ppb(),
                sigma.offset.ns()
            );
        }
        if let Some(date) = steerer.utc_error(now) {
            log::info!(
                "date {:+.1} us off UTC +/- {:.1}, from {} {:.0} s ago, policy {}",
                date.error.span().secs_f64() * 1e6,
                date.sigma.secs_f64() * 1e6,
                steerer.utc().source(),
                (now.raw - date.measured_at).secs_f64(),
                steerer.utc().keeper().rules().policy
            );
        }
    }

    fn leader_rate(&mut self, steerer: &Steerer, now: &Reading) {
        let is_early = self.leader_rate_at.is_some_and(|at| now.raw - at < LEADER_RATE_EVERY);
        if is_early || steerer.state() != State::Locked || steerer.utc().source() == UtcSource::None {
            return;
        }
        let Some(date) = steerer.utc_error(now) else { return };
        if date.leader_rate_sigma < LEADER_RATE_KNOWN {
            self.leader_rate_at = Some(now.raw);
            log::info!(
                "leader runs {:+.2} ppm against UTC (known to {:.3}): the date would drift {:.2} s a day",
                date.leader_rate.ppm(),
                date.leader_rate_sigma.ppm(),
                date.leader_rate.fraction() * 86_400.0
            );
        }
    }
}
