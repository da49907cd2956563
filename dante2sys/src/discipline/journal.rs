//! The log lines of dante2sys, and the parts of them that the status line repeats.

use dante_core::page::{Dante4l, View};
use dante_core::port;
use dante_core::steer::{Config, Jump, Output, Reason, Report, State, Steerer, UtcSource};
use dante_core::time::{Duration, Ratio, Raw, Reading, Timestamp};
use dante_core::track::Loss;
use dante_core::utc::servers::{NoMeasurement, Smear};
use dante_core::utc::{UtcEvent, UtcMeasurement};
use dante_core::wire::PortIdentity;
use dante_os::log::{Budget, Complaints, Summary, Throttle};
use dante_os::ntp::Warning;
use dante_os::page::ReadError;
use std::fmt;
use std::mem::Discriminant;

/// The leader's rate against UTC is logged when its uncertainty is below this, and then once per interval.
const LEADER_RATE_MAX_SIGMA: Ratio = Ratio::from_ppb(100.0);
const LEADER_RATE_INTERVAL: Duration = Duration::from_secs(3600);
/// Maximum of lines about different kinds of UTC events in a minute: more than there are.
const UTC_EVENTS: usize = 16;
const UPTIME: &str = "the leader's time is its uptime, not UTC: --utc leader cannot work, use --ntp-server";

/// State and rate limits of the log.
pub(super) struct Journal {
    config: Config,
    /// From dante4l's clock page: the leader, the state of the port, and why there is no leader to follow.
    pub followed: Option<PortIdentity>,
    pub port: Option<port::State>,
    pub page_trouble: Option<String>,
    /// The reason for the last change of state, and the start of the last holdover.
    pub reason: Option<Reason>,
    pub held_since: Timestamp<Raw>,
    pub clock: Complaints,
    pub utc: Complaints,
    page: Complaints,
    /// The key is the kind of the event.
    utc_events: Throttle<Discriminant<UtcEvent>>,
    /// Rate limits of lines that the network, programs of this host, and both can cause.
    leader_changes: Budget,
    clock_changes: Budget,
    epoch_changes: Budget,
    summary: Summary,
    /// There is a leader, so that the phase error is current.
    has_phase: bool,
    leader_rate_at: Option<Timestamp<Raw>>,
    /// When UTC and a holdover are logged next, and the interval.
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
            clock: Complaints::about("clock"),
            utc: Complaints::about("UTC sources"),
            page: Complaints::about("clock page of dante4l"),
            utc_events: Throttle::new("UTC", UTC_EVENTS),
            leader_changes: Budget::about("states"),
            clock_changes: Budget::about("clock"),
            epoch_changes: Budget::about("epoch offset (K)"),
            summary: Summary::new(Duration::from_secs(i64::from(summary_interval))),
            has_phase: false,
            leader_rate_at: None,
            next: now,
            every: Duration::from_secs(i64::from(summary_interval.max(1))),
        }
    }

    /// Handles dante4l's clock page.
    pub fn page(&mut self, now: Timestamp<Raw>, page: &Result<View<Dante4l>, ReadError>) {
        let body = page.as_ref().ok().map(|view| &view.body);
        let track = self.config.track(page.as_ref().ok());
        self.has_phase = track.is_ok();
        self.page_trouble = match (page, track) {
            (Err(error), _) => Some(error.to_string()),
            (_, Err(Loss::PullUp)) => body.map(|body| {
                let subdomain = body.subdomain();
                format!(
                    "dante4l follows {subdomain}, a pull-up domain (nominal rate off by 0.1 % or about 4 %): not followed; set the pull-up of the devices to none"
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
            self.port = body.and_then(|body| port::State::from_number(body.state));
            self.followed = body.and_then(Dante4l::sender).or(self.followed);
        }
    }

    /// Writes why no leader is followed, for the status. What changed the state last may be over: of a leader that dante4l does not
    /// follow any more, nothing else matters.
    pub fn write_loss(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        let has_followed = self.followed.is_some();
        match (&self.page_trouble, self.reason, self.port) {
            (Some(trouble), ..) => to.write_str(trouble),
            (None, _, None) => to.write_str("dante4l has no port yet"),
            (None, Some(reason), Some(port::State::Slave)) => {
                write!(to, "{reason} (dante4l is {})", port::State::Slave)
            }
            (None, _, Some(port)) if has_followed => {
                write!(to, "{} (dante4l is {port})", Loss::NoLeader)
            }
            (None, _, Some(port)) => write!(to, "dante4l has no leader yet (it is {port})"),
        }
    }

    /// Logs the numbers of suppressed lines.
    pub fn tick(&mut self, now: Timestamp<Raw>) {
        [&mut self.clock, &mut self.utc, &mut self.page]
            .into_iter()
            .for_each(|complaints| complaints.tick(now));
        self.utc_events.tick(now);
        let budgets = [&mut self.leader_changes, &mut self.clock_changes, &mut self.epoch_changes];
        budgets.into_iter().for_each(|budget| budget.tick(now));
    }

    /// Logs why a request to an NTP server gave no time, or that the server smooths its time. `server`: its index.
    pub fn server(&mut self, now: Timestamp<Raw>, server: usize, name: &str, warning: &Warning) {
        let Warning { line, cause } = warning;
        let cause = format!("NTP server {name}: {cause}");
        self.utc.warn_from(now, server + 1, &cause, format_args!("NTP server {name}: {line}"));
    }

    /// Logs what the steerer reports and what was done to the clock.
    pub fn write<E: fmt::Display>(&mut self, now: Timestamp<Raw>, report: &Report<E>) {
        match report {
            Report::Output(output) => self.output(now, output),
            Report::Frequency(_) => {}
            Report::Step(by) => {
                log::warn!("stepping clock by {:+.6} s to correct UTC error", by.secs_f64());
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
                self.leader_changes.info(now, format_args!("{from} to {to}: {reason}"));
            }
            Output::Slept(span) => {
                log::info!("host was suspended for {:.1} s: measuring UTC from scratch", span.secs_f64());
            }
            Output::LeapSecond => log::info!("the kernel applies a leap second"),
            Output::Disturbed(disturbance) => self.clock.warn(now, disturbance),
            Output::Adopted(size, jump) => {
                let why = match jump {
                    Jump::Slept => "during suspend",
                    Jump::Leap => "by a leap second",
                    Jump::Set => "by another program",
                };
                self.clock_changes.info(
                    now,
                    format_args!(
                        "clock was stepped by {:+.6} s {why}: not reverted, epoch offset (K, UTC minus Dante time) adjusted",
                        size.span().secs_f64()
                    ),
                );
            }
            Output::Epoch(change) => self.epoch_changes.info(now, format_args!("{change}")),
            Output::SavedUtc(used) => log::info!("{used}"),
            Output::Utc(event) => {
                if self.utc_events.allows(0, std::mem::discriminant(&event), now) {
                    log::info!("{event}");
                }
            }
            Output::Synchronised(bound) => {
                let ms = bound.secs_f64() * 1e3;
                log::info!("UTC error is below {ms:.3} ms: clock declared synchronised");
            }
            Output::Unsynchronised(bound) => {
                let ms = bound.secs_f64() * 1e3;
                log::warn!("UTC error may be {ms:.3} ms: clock declared unsynchronised");
            }
            Output::Round(Ok(UtcMeasurement { smear: Some(smear), .. })) => {
                self.utc.warn_as(now, Smear::CAUSE, format_args!("{smear}"));
            }
            Output::Round(Ok(_)) => self.utc.clear(),
            // The failure of each server was logged.
            Output::Round(Err(NoMeasurement::NoAnswer)) => {}
            Output::Round(Err(none @ NoMeasurement::Smear(..))) => {
                self.utc.warn_as(now, Smear::CAUSE, format_args!("{none}"));
            }
            Output::Round(Err(none)) => self.utc.warn(now, none),
            Output::LeaderIsUptime(uptime) => {
                let hours = uptime.secs_f64() / 3600.0;
                self.utc.warn_as(now, UPTIME, format_args!("{UPTIME} (uptime {hours:.1} h)"));
            }
            // Carried out by the driver.
            Output::Ask(_) | Output::Correct(_) | Output::Take | Output::Declare(_) => {}
        }
    }

    /// Logs the periodic lines. Format of phc2sys: offset and frequency, or rms and maximum over the interval.
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
                "HOLDOVER for {:.0} s: freq {:+.0} +/- {:.0}, phase uncertainty {} ns",
                (now.raw - self.held_since).secs_f64(),
                steerer.frequency().ppb(),
                sigma.rate.ppb(),
                sigma.offset.ns()
            );
        }
        if let Some(error) = steerer.utc_error(now) {
            log::info!(
                "UTC error {:+.1} us +/- {:.1}, source {}, measured {:.0} s ago, policy {}",
                error.error.span().secs_f64() * 1e6,
                error.sigma.secs_f64() * 1e6,
                steerer.utc().source(),
                (now.raw - error.measured_at).secs_f64(),
                steerer.utc().servo().rules().policy
            );
        }
    }

    fn leader_rate(&mut self, steerer: &Steerer, now: &Reading) {
        let is_early = self.leader_rate_at.is_some_and(|at| now.raw - at < LEADER_RATE_INTERVAL);
        if is_early || steerer.state() != State::Locked || steerer.utc().source() == UtcSource::None {
            return;
        }
        let Some(error) = steerer.utc_error(now) else { return };
        if error.leader_rate_sigma < LEADER_RATE_MAX_SIGMA {
            self.leader_rate_at = Some(now.raw);
            log::info!(
                "leader rate {:+.2} ppm against UTC +/- {:.3}: without correction UTC error grows by {:.2} s a day",
                error.leader_rate.ppm(),
                error.leader_rate_sigma.ppm(),
                error.leader_rate.fraction() * 86_400.0
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logged::logged;
    use dante_core::time::Offset;
    use dante_core::utc::Leap;
    use dante_core::wire::Uuid;

    fn journal() -> Journal {
        Journal::new(Config::default(), 60, Timestamp::ZERO)
    }

    /// A host that sends PTP makes the state alternate; another program sets the clock.
    #[test]
    fn alternating_leader_does_not_suppress_lines_about_the_clock() {
        let mut journal = journal();
        let changed = Output::Changed { from: State::Locked, to: State::Holdover, reason: Reason::Uncertain };
        let lines = logged(|| {
            (0..100).for_each(|_| journal.output(Timestamp::ZERO, &changed));
            journal.output(Timestamp::ZERO, &Output::Adopted(Offset::from_ns(2_000_000_000), Jump::Set));
        });
        assert_eq!(lines.len(), 22, "20 changes, their end, and one line about the clock: {lines:?}");
        assert!(
            lines.last().is_some_and(|line| line.contains("stepped by +2.000000 s by another")),
            "{lines:?}"
        );
        let later = Timestamp::ZERO + Duration::from_secs(60);
        let lines = logged(|| journal.tick(later));
        assert_eq!(lines, ["WARN states: 80 more lines within a minute were suppressed"]);
    }

    #[test]
    fn status_names_the_present_reason_for_which_no_leader_is_followed() {
        use port::State::{Listening, Slave, Uncalibrated};
        let leader = PortIdentity {
            technology: PortIdentity::ETHERNET,
            uuid: Uuid([0, 0x1d, 0xc1, 0, 0, 1]),
            port_id: 1,
        };
        let no_leader = Reason::Lost(Loss::NoLeader);
        for (reason, port, followed, expected) in [
            (None, None, None, "dante4l has no port yet"),
            (None, Some(Listening), None, "dante4l has no leader yet (it is LISTENING)"),
            // Another program steered the clock before there was a leader.
            (Some(Reason::Taken), Some(Listening), None, "dante4l has no leader yet (it is LISTENING)"),
            (
                Some(Reason::Accepted),
                Some(Uncalibrated),
                Some(leader),
                "dante4l is not locked to a leader (dante4l is UNCALIBRATED)",
            ),
            (
                Some(no_leader),
                Some(Listening),
                Some(leader),
                "dante4l is not locked to a leader (dante4l is LISTENING)",
            ),
            (
                Some(Reason::Uncertain),
                Some(Slave),
                Some(leader),
                "the leader's rate has become too uncertain (dante4l is SLAVE)",
            ),
            // It became silent after that.
            (
                Some(Reason::Uncertain),
                Some(Listening),
                Some(leader),
                "dante4l is not locked to a leader (dante4l is LISTENING)",
            ),
            (
                Some(Reason::Lost(Loss::TooFast)),
                Some(Slave),
                Some(leader),
                "the leader's rate exceeds --max-frequency (dante4l is SLAVE)",
            ),
        ] {
            let mut text = String::new();
            Journal { reason, port, followed, ..journal() }.write_loss(&mut text).unwrap();
            assert_eq!(text, expected, "{reason:?}");
        }
    }

    #[test]
    fn server_with_many_causes_does_not_suppress_lines_of_another() {
        let mut journal = journal();
        let lines = logged(|| {
            for n in 0..100 {
                let warning = Warning { line: format!("code {n}"), cause: format!("code {n}") };
                journal.server(Timestamp::ZERO, 0, "a", &warning);
            }
            let warning = Warning { line: "no reply".into(), cause: "no reply".into() };
            journal.server(Timestamp::ZERO, 1, "b", &warning);
        });
        assert_eq!(
            (lines.len(), lines.last().map(String::as_str)),
            (17, Some("WARN NTP server b: no reply"))
        );
        assert_eq!(journal.utc.last(), Some("NTP server b: no reply"));
    }

    /// What is logged of a round: whole lines. A new result does not compile without them.
    fn of_round(round: &Result<UtcMeasurement, NoMeasurement>) -> &'static [&'static str] {
        match round {
            Ok(UtcMeasurement { smear: None, .. }) => &[],
            Ok(UtcMeasurement { smear: Some(_), .. }) => &[
                "WARN some NTP servers may smear a leap second, use servers of one kind: they differ by 0.250 s, the majority is used",
            ],
            // The line of each server has the reason.
            Err(NoMeasurement::NoAnswer) => &[],
            Err(NoMeasurement::NoMajority(_)) => &[
                "WARN 2 NTP servers replied, but no majority of them agrees: replies ignored; configure three or more servers",
            ],
            Err(NoMeasurement::Smear(..)) => &[
                "WARN some NTP servers may smear a leap second, use servers of one kind: 2 differ by 0.250 s and are ignored",
            ],
        }
    }

    #[test]
    fn each_server_and_each_round_is_reported_by_its_cause_and_by_nothing_else() {
        let smear = Smear { difference: Duration::from_ms(250) };
        let measurement = UtcMeasurement {
            raw: Timestamp::ZERO,
            utc: Timestamp::ZERO,
            margin: Duration::ZERO,
            server_error: Duration::ZERO,
            leap: Leap::None,
            agreeing: 2,
            answered: 3,
            smear: None,
        };
        for round in [
            Ok(measurement),
            Ok(UtcMeasurement { smear: Some(smear), ..measurement }),
            Err(NoMeasurement::NoAnswer),
            Err(NoMeasurement::NoMajority(2)),
            Err(NoMeasurement::Smear(2, smear)),
        ] {
            let mut journal = journal();
            let lines = logged(|| {
                // Three rounds in a minute.
                for _ in 0..3 {
                    for (server, name) in ["a", "b"].into_iter().enumerate() {
                        let line = "192.0.2.1:123 is not synchronised itself".to_owned();
                        journal.server(Timestamp::ZERO, server, name, &Warning { cause: line.clone(), line });
                    }
                    journal.output(Timestamp::ZERO, &Output::Round(round));
                }
            });
            let servers = [
                "WARN NTP server a: 192.0.2.1:123 is not synchronised itself",
                "WARN NTP server b: 192.0.2.1:123 is not synchronised itself",
            ];
            let expected: Vec<&str> = servers.iter().chain(of_round(&round)).copied().collect();
            assert_eq!(lines, expected, "{round:?}");
        }
    }
}
