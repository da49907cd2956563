//! What happens between two sleeps: packets to the port, its outputs to the wire, the log and the page.

use crate::link::{Link, LinkConfig, LinkError};
use dante_core::page::{Dante4l, PortRecord, SampleRecord, StampSource};
use dante_core::port::{
    Channel, DelayMechanism, Input, NoStamp, Notice, Output, Port, PortConfig, Sample, SendToken, State,
    follower_identity,
};
use dante_core::time::{Duration, Raw, Timestamp};
use dante_core::timescale::KernelWord;
use dante_core::wire::{Buffer, Subdomain};
use dante_os::clock::{raw_now, timex};
use dante_os::daemon::{self, CommonArgs, Exit, Failure, Service, random};
use dante_os::log::{Budget, Summary, SummaryLine, Throttle};
use dante_os::page::PageWriter;
use dante_os::poll::{Fds, Wake};
use dante_os::socket::SocketError;
use dante_os::stamps::Stamps;
use std::fmt;

mod status;

/// How often an interface that failed is tried again, and one that works is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Packets taken from each socket before deadlines and the page have their turn.
const BATCH: usize = 64;
/// Longer than any PTPv1 message; what is cut off is not looked at.
const LONGEST: usize = 512;

/// The program's state.
pub struct Observer {
    config: LinkConfig,
    link: Option<Link>,
    /// Why there is no link.
    hindrance: String,
    port: Port,
    /// What explains why there is no lock.
    notice: Option<Notice>,
    /// For what has to be random: the times of requests, and a name where the interface gives none.
    seed: u64,
    stamps: Stamps,
    page: PageWriter<Dante4l>,
    body: Box<Dante4l>,
    dirty: bool,
    next_look: Timestamp<Raw>,
    changes: Budget,
    notices: Throttle<Notice>,
    troubles: Throttle<String>,
    summary: Summary,
}

impl Observer {
    pub fn start(
        config: LinkConfig,
        subdomain: Subdomain,
        delay: DelayMechanism,
        no_wait: bool,
        common: &CommonArgs,
    ) -> Result<Self, Failure> {
        let link = Link::open(&config);
        if let Err(error) = &link {
            let unwaited = matches!(error, LinkError::Interface(_)) && no_wait;
            if let Some(exit) = error.fatal().or(unwaited.then_some(Exit::NoInterface)) {
                return Err(Failure::new(exit, anyhow::Error::msg(error.to_string())));
            }
        }
        let seed = random()?;
        let port = Port::new(PortConfig { subdomain, delay, seed, ..PortConfig::default() });
        let page = daemon::publish(common)?;
        let mut observer = Self {
            config,
            link: None,
            hindrance: String::new(),
            port,
            notice: None,
            seed,
            stamps: Stamps::start(),
            page,
            body: Box::default(),
            dirty: true,
            next_look: raw_now() + LOOK,
            changes: Budget::default(),
            notices: Throttle::default(),
            troubles: Throttle::default(),
            summary: Summary::new(Duration::from_secs(i64::from(common.summary_interval))),
        };
        observer.body.port_count = 1;
        observer.look_at_kernel();
        observer.opened(raw_now(), link);
        observer.drain();
        observer.publish(raw_now());
        Ok(observer)
    }

    /// A packet of each socket in turn, the event socket first: after a stall a Follow_Up finds its Sync, and neither
    /// socket starves the other.
    fn receive(&mut self, wake: &Wake) -> Result<(), SocketError> {
        if wake.error(0) {
            self.take_departures()?;
        }
        let mut more = [0, 1].map(|socket| wake.ready(socket) || wake.error(socket));
        for _ in 0..BATCH {
            for (channel, more) in [Channel::Event, Channel::General].into_iter().zip(&mut more) {
                *more = *more && self.take_packet(channel)?;
            }
            if more == [false; 2] {
                break;
            }
        }
        Ok(())
    }

    /// Whether there was one.
    fn take_packet(&mut self, channel: Channel) -> Result<bool, SocketError> {
        let mut buffer = [0; LONGEST];
        let Some(link) = &mut self.link else { return Ok(false) };
        let socket = match channel {
            Channel::Event => &mut link.event,
            Channel::General => &mut link.general,
        };
        let Some(received) = socket.receive(&mut buffer)? else { return Ok(false) };
        let arrived = match channel {
            Channel::Event => self.stamps.translate(received.stamp),
            Channel::General => Err(NoStamp::Missing),
        };
        let input = Input::Packet { channel, bytes: received.bytes, source: received.source, arrived };
        self.port.handle(raw_now(), input);
        self.drain();
        Ok(true)
    }

    fn take_departures(&mut self) -> Result<(), SocketError> {
        while let Some((token, stamp)) = self.link.as_mut().map_or(Ok(None), Link::departed)? {
            let stamp = self.stamps.translate(Some(stamp));
            self.port.handle(raw_now(), Input::Departed { token, stamp });
            self.drain();
        }
        Ok(())
    }

    /// Does and tells what the port wants.
    fn drain(&mut self) {
        while let Some(output) = self.port.poll() {
            match output {
                Output::Send { packet, token } => self.send(&packet, token),
                Output::Sample(sample) => self.sample(&sample),
                Output::Changed { from, to, reason } => {
                    let interface = &self.config.interface;
                    self.changes.info(raw_now(), format_args!("port {interface}: {from} to {to}: {reason}"));
                    self.notice = self.notice.filter(|_| to.is_open() && to != State::Slave);
                    self.dirty = true;
                }
                Output::Timeline { number, reason } => {
                    let interface = &self.config.interface;
                    self.changes
                        .info(raw_now(), format_args!("port {interface}: timeline {number}: {reason}"));
                    self.dirty = true;
                }
                Output::Notice(notice) => {
                    self.notice = Some(notice);
                    if self.notices.allows(notice, raw_now()) {
                        log::warn!("port {}: {notice}", self.config.interface);
                    }
                }
            }
        }
    }

    fn send(&mut self, packet: &Buffer, token: SendToken) {
        let Some(link) = &mut self.link else { return };
        let (unstamped, result) = link.send(packet, token);
        let stamped = link.stamps() == StampSource::Software;
        if let Err(error) = result {
            log::debug!("{error}");
        }
        if let Some(token) = unstamped {
            self.port.handle(raw_now(), Input::Departed { token, stamp: Err(NoStamp::Missing) });
        }
        if !stamped {
            self.trouble("no transmit stamps: the path delay cannot be measured");
        }
    }

    fn sample(&mut self, sample: &Sample) {
        self.body.push(SampleRecord::of(sample, 0));
        self.dirty = true;
        if let Some(line) = self.summary.add(sample.arrived.raw, sample.residual) {
            self.tell(sample, &line);
        }
    }

    /// As ptp4l: each Sync with its offset, or rms and max over the interval.
    fn tell(&self, sample: &Sample, line: &SummaryLine) {
        let servo = match self.port.state() {
            State::Slave => "s2",
            State::Uncalibrated => "s1",
            _ => "s0",
        };
        let Some(map) = self.port.map() else { return };
        let (rate, sigma) = (map.line.rate.ppb(), map.sigma.rate.ppb());
        let delay = OrDash(self.port.path_delay());
        if line.count == 1 {
            let offset = sample.residual.ns();
            log::info!("leader offset {offset:+} {servo} rate {rate:+.0} path delay {delay}");
        } else {
            let (rms, max) = (line.rms.ns(), line.largest.ns());
            log::info!("rms {rms} max {max} {servo} rate {rate:+.0} +/- {sigma:.0} path delay {delay}");
        }
    }

    /// Once a second: is the interface still the one that it was, or is it back?
    fn look(&mut self, now: Timestamp<Raw>) {
        self.next_look = now + LOOK;
        self.stamps.refresh();
        self.look_at_kernel();
        match &self.link {
            Some(link) if link.is_current() => {}
            Some(_) => self.close("the interface is gone, or another one has its name"),
            None => {
                let link = Link::open(&self.config);
                self.opened(now, link);
            }
        }
        self.drain();
    }

    /// Whether the system clock is kept by anybody: danteshm, which may not ask, takes a date from it only then.
    fn look_at_kernel(&mut self) {
        let word = timex().ok().map(|timex| match timex.is_synchronised() {
            true => KernelWord::Synchronised(timex.max_error),
            false => KernelWord::Unsynchronised,
        });
        // The error grows by itself all the time: it goes out with what else is published.
        let kind = |word: Option<KernelWord>| word.as_ref().map(std::mem::discriminant);
        self.dirty |= kind(self.body.kernel_word()) != kind(word);
        self.body.set_kernel_word(word);
    }

    fn opened(&mut self, now: Timestamp<Raw>, link: Result<Link, LinkError>) {
        match link {
            Ok(link) => {
                let interface = &self.config.interface;
                self.changes
                    .info(now, format_args!("port {interface}: listening, time stamps: {}", link.stamps()));
                let identity = follower_identity(link.interface.mac, self.seed);
                self.link = Some(link);
                self.port.handle(now, Input::Opened(identity));
            }
            Err(error) => {
                self.hindrance = error.to_string();
                self.trouble(&format!("{error}; waiting for it"));
            }
        }
        self.dirty = true;
    }

    fn trouble(&mut self, what: &str) {
        if self.troubles.allows(what.to_owned(), raw_now()) {
            log::warn!("port {}: {what}", self.config.interface);
        }
    }

    fn close(&mut self, why: &str) {
        self.trouble(why);
        self.hindrance = why.to_owned();
        self.link = None;
        self.port.handle(raw_now(), Input::Failed);
        self.drain();
    }

    fn publish(&mut self, now: Timestamp<Raw>) {
        let stamps = self.link.as_ref().map_or(StampSource::None, Link::stamps);
        if let Some(record) = self.body.ports.first_mut() {
            *record = PortRecord::of(&self.port, &self.config.interface, stamps);
        }
        self.page.publish(now, &self.body);
        self.dirty = false;
    }
}

impl Service for Observer {
    fn fds(&self) -> Fds<'_> {
        self.link.iter().flat_map(Link::fds).collect()
    }

    fn deadline(&self) -> Timestamp<Raw> {
        let due = [self.port.deadline(), Some(self.page.renewal()), Some(self.next_look)];
        due.into_iter().flatten().min().unwrap_or(self.next_look)
    }

    fn wake(&mut self, wake: &Wake) -> Result<(), Failure> {
        if let Err(error) = self.receive(wake) {
            self.close(&error.to_string());
        }
        let now = raw_now();
        if self.port.deadline().is_some_and(|due| now >= due) {
            self.port.handle(now, Input::Deadline);
            self.drain();
        }
        if now >= self.next_look {
            self.look(now);
        }
        if self.dirty {
            self.publish(now);
        } else if now >= self.page.renewal() {
            self.page.heartbeat(now);
        }
        Ok(())
    }

    fn status(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        status::write(self, to)
    }

    /// The page says by itself that its writer ended.
    fn end(&mut self) {}
}

/// A path delay as a log line shows it, without allocating: ns, or a dash where it is not measured.
struct OrDash(Option<Duration>);

impl fmt::Display for OrDash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(delay) => write!(f, "{}", delay.ns()),
            None => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests;
