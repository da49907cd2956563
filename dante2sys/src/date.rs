//! Where the date comes from: time servers, or the leader.

use crate::args::Args;
use dante_core::date::servers::{Input, NoVerdict, Output, Servers};
use dante_core::date::{Leap, Verdict};
use dante_core::page::{Dante4l, PortRecord, UtcSource};
use dante_core::port::State;
use dante_core::time::{Duration, Ratio, Raw, Real, Timestamp};
use dante_os::log::Throttle;
use dante_os::ntp::NtpClient;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// The leader's time is looked at so often.
const LEADER_INTERVAL: Duration = Duration::from_secs(16);
/// And once the map is known to this.
const LEADER_FROM: Ratio = Ratio::from_ppb(200.0);

const UPTIME: &str = "the leader's time is its uptime and no date: --utc leader is of no use here";

/// When the program was built: no date before it is believed.
pub fn built() -> Timestamp<Real> {
    let seconds = env!("BUILT_AT").parse().unwrap_or(0);
    Timestamp::from_ns(0) + Duration::from_secs(seconds)
}

/// A source of dates.
pub enum DateSource {
    None,
    Ntp(Box<Ntp>),
    Leader(LeaderDate),
}

impl DateSource {
    pub fn start(args: &Args, now: Timestamp<Raw>) -> io::Result<Self> {
        let servers = &args.ntp_servers;
        Ok(match args.utc_source() {
            UtcSource::None => Self::None,
            UtcSource::Leader => Self::Leader(LeaderDate {
                earliest: built(),
                next: now,
                complaints: Throttle::default(),
                is_uptime: false,
            }),
            UtcSource::Ntp => Self::Ntp(Box::new(Ntp {
                client: NtpClient::start(servers.to_vec())?,
                servers: Servers::new(servers.len(), now).with_shortest_interval(args.ntp_min_interval()),
                names: servers.to_vec(),
                verdicts: VecDeque::new(),
                agreeing: 0,
                complaints: Throttle::default(),
                trouble: None,
            })),
        })
    }

    pub fn kind(&self) -> UtcSource {
        match self {
            Self::None => UtcSource::None,
            Self::Ntp(_) => UtcSource::Ntp,
            Self::Leader(_) => UtcSource::Leader,
        }
    }

    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Ntp(ntp) => Some(ntp.client.as_fd()),
            Self::None | Self::Leader(_) => None,
        }
    }

    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        match self {
            Self::Ntp(ntp) => ntp.servers.deadline(),
            Self::None | Self::Leader(_) => None,
        }
    }

    /// What the source says now, if anything new; `leader` is dante4l's page, where it tells something.
    pub fn verdict(&mut self, now: Timestamp<Raw>, leader: Option<&Dante4l>) -> Option<Verdict> {
        match self {
            Self::None => None,
            Self::Ntp(ntp) => ntp.verdict(now),
            Self::Leader(date) => date.verdict(now, leader.and_then(Dante4l::selected)?),
        }
    }

    /// The raw clock stood still: all that was told is void.
    pub fn begin_anew(&mut self, now: Timestamp<Raw>) {
        match self {
            Self::Ntp(ntp) => {
                ntp.verdicts.clear();
                ntp.handle(now, Input::Anew);
            }
            Self::Leader(date) => date.next = now,
            Self::None => {}
        }
    }

    /// How far apart the servers are to be asked, given how far apart it is now.
    pub fn set_interval(&mut self, of: impl FnOnce(Duration) -> Duration) {
        if let Self::Ntp(ntp) = self {
            ntp.servers.set_interval(of(ntp.servers.interval()));
        }
    }

    pub fn interval(&self) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Ntp(ntp) => ntp.servers.interval(),
            Self::Leader(_) => LEADER_INTERVAL,
        }
    }

    /// Why there is no date, or none that is new.
    pub fn trouble(&self) -> Option<&str> {
        match self {
            Self::Ntp(ntp) => ntp.trouble.as_deref(),
            Self::Leader(date) => date.is_uptime.then_some(UPTIME),
            Self::None => None,
        }
    }

    /// How many servers agreed the last time.
    pub fn agreeing(&self) -> u8 {
        match self {
            Self::Ntp(ntp) => ntp.agreeing,
            Self::None | Self::Leader(_) => 0,
        }
    }
}

/// Time servers.
pub struct Ntp {
    client: NtpClient,
    servers: Servers,
    names: Vec<String>,
    verdicts: VecDeque<Verdict>,
    agreeing: u8,
    complaints: Throttle<String>,
    /// What was wrong last, until they agree again.
    trouble: Option<String>,
}

impl Ntp {
    fn verdict(&mut self, now: Timestamp<Raw>) -> Option<Verdict> {
        for reply in self.client.take() {
            if let Some(said) = reply.said {
                let name = self.names.get(reply.server).map_or("?", String::as_str);
                self.complain(now, format!("NTP server {name}: {said}"));
            }
            self.handle(now, Input::Answer { server: reply.server, answer: reply.answer });
        }
        self.handle(now, Input::Deadline);
        self.verdicts.pop_front()
    }

    fn handle(&mut self, now: Timestamp<Raw>, input: Input) {
        self.servers.handle(now, input);
        while let Some(output) = self.servers.poll() {
            match output {
                Output::Ask(server) => self.client.ask(server),
                Output::Round(Ok(verdict)) => {
                    self.agreeing = verdict.agreeing;
                    self.trouble = None;
                    self.verdicts.push_back(verdict);
                }
                Output::Round(Err(none)) => {
                    self.agreeing = 0;
                    // Which of them failed and why was said of each.
                    if let NoVerdict::NoMajority(_) = none {
                        self.complain(now, none.to_string());
                    }
                }
            }
        }
    }

    fn complain(&mut self, now: Timestamp<Raw>, text: String) {
        if self.complaints.allows(text.clone(), now) {
            log::warn!("{text}");
        }
        self.trouble = Some(text);
    }
}

/// The leader's own time.
pub struct LeaderDate {
    earliest: Timestamp<Real>,
    next: Timestamp<Raw>,
    complaints: Throttle<String>,
    is_uptime: bool,
}

impl LeaderDate {
    fn verdict(&mut self, now: Timestamp<Raw>, port: &PortRecord) -> Option<Verdict> {
        let map = port.map().filter(|_| port.state() == Some(State::Slave))?;
        let sigma = map.uncertainty_at(now);
        if now < self.next || sigma.rate > LEADER_FROM {
            return None;
        }
        self.next = now + LEADER_INTERVAL;
        let dante = map.dante_at(now);
        let behind = port.leader().map_or(0, |leader| i64::from(leader.utc_offset_s));
        let utc = Timestamp::from_ns(dante.ns()) - Duration::from_secs(behind);
        self.is_uptime = utc < self.earliest;
        if self.is_uptime {
            if self.complaints.allows(UPTIME.into(), now) {
                let hours = (dante - Timestamp::from_ns(0)).secs_f64() / 3600.0;
                log::warn!("{UPTIME} (it says {hours:.1} h)");
            }
            return None;
        }
        Some(Verdict { raw: now, utc, margin: sigma.offset * 3, leap: Leap::None, agreeing: 1, answered: 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::built;

    #[test]
    fn a_build_knows_its_date() {
        assert!(built().ns() > 1_700_000_000_000_000_000, "{}", built().ns());
    }
}
