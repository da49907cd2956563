//! What happens between two sleeps: packets to the port, its outputs to the wire, the log and the page.

mod network;
mod status;

use crate::link::{Link, LinkConfig, LinkError};
use crate::rates_file::RatesFile;
use dante_core::page::{Dante4l, MAX_PORTS, PortRecord, SampleRecord};
use dante_core::port::{Channel, Input, Output, Port, PortConfig, Sample, State};
use dante_core::redundancy::{Change, Redundancy};
use dante_core::time::{Duration, Raw, Timestamp};
use dante_core::timescale::KernelWord;
use dante_os::clock::{raw_now, timex};
use dante_os::daemon::{self, CommonArgs, Exit, Failure, Service, random};
use dante_os::log::{Summary, SummaryLine};
use dante_os::page::PageWriter;
use dante_os::poll::{Fds, Wake};
use dante_os::socket::SocketError;
use network::Network;
use std::fmt;

/// How often an interface that failed is tried again, and one that works is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Packets taken from each socket before deadlines and the page have their turn.
const BATCH: usize = 64;

/// The program's state.
pub struct Observer {
    /// One for each `-i`.
    networks: Vec<Network>,
    redundancy: Redundancy,
    rates: RatesFile,
    page: PageWriter<Dante4l>,
    body: Box<Dante4l>,
    dirty: bool,
    next_look: Timestamp<Raw>,
    summary: Summary,
}

impl Observer {
    /// `port` is what all ports are told; each has its own seed.
    pub fn start(
        configs: Vec<LinkConfig>,
        port: PortConfig,
        rates: RatesFile,
        no_wait: bool,
        common: &CommonArgs,
    ) -> Result<Self, Failure> {
        let links: Vec<_> = configs.iter().map(Link::open).collect();
        for error in links.iter().filter_map(|link| link.as_ref().err()) {
            let unwaited = matches!(error, LinkError::Interface(_)) && no_wait;
            if let Some(exit) = error.fatal().or(unwaited.then_some(Exit::NoInterface)) {
                return Err(Failure::new(exit, anyhow::Error::msg(error.to_string())));
            }
        }
        let page = daemon::publish(common)?;
        let mut networks = Vec::new();
        for config in configs {
            let rates = rates.rates().clone();
            networks.push(Network::new(config, PortConfig { seed: random()?, rates, ..port.clone() }));
        }
        let mut observer = Self {
            networks,
            redundancy: Redundancy::default(),
            rates,
            page,
            body: Box::default(),
            dirty: true,
            next_look: raw_now() + LOOK,
            summary: Summary::new(Duration::from_secs(i64::from(common.summary_interval))),
        };
        observer.look_at_kernel();
        for (place, link) in links.into_iter().enumerate() {
            if let Some(network) = observer.networks.get_mut(place) {
                network.opened(raw_now(), link);
            }
            observer.drain(place);
        }
        observer.publish(raw_now());
        Ok(observer)
    }

    /// A packet of each socket in turn, the event socket first: after a stall a Follow_Up finds its Sync, and neither
    /// socket starves the other. The network's descriptors begin with `first`.
    fn receive(&mut self, wake: &Wake, place: usize, first: usize) -> Result<(), SocketError> {
        if wake.error(first) {
            while self.on(place, Network::take_departure)? {}
        }
        let mut more = [first, first + 1].map(|socket| wake.ready(socket) || wake.error(socket));
        for _ in 0..BATCH {
            for (channel, more) in [Channel::Event, Channel::General].into_iter().zip(&mut more) {
                *more = *more && self.on(place, |network| network.take_packet(channel))?;
            }
            if more == [false; 2] {
                break;
            }
        }
        Ok(())
    }

    /// Does something on a network, and what comes of it. False where there is no such network.
    fn on<E>(&mut self, place: usize, act: impl FnOnce(&mut Network) -> Result<bool, E>) -> Result<bool, E> {
        let done = self.networks.get_mut(place).map_or(Ok(false), act)?;
        self.drain(place);
        Ok(done)
    }

    /// Does and tells what a port wants.
    fn drain(&mut self, place: usize) {
        while let Some(output) = self.networks.get_mut(place).and_then(Network::poll) {
            let now = raw_now();
            match output {
                Output::Rate(known) => self.rates.learn(now, known),
                Output::Timeline { reason, .. } => {
                    self.choose(now);
                    let is_used = place == self.redundancy.selected();
                    let number = self.redundancy.timeline(place);
                    if let Some(Network { config, changes, .. }) = self.networks.get_mut(place) {
                        let interface = &config.interface;
                        if is_used {
                            changes.info(now, format_args!("port {interface}: timeline {number}: {reason}"));
                        } else {
                            changes.info(now, format_args!("port {interface}: {reason}"));
                        }
                    }
                }
                Output::Sample(sample) => {
                    self.choose(now);
                    self.sample(place, &sample);
                }
                _ => {}
            }
            self.dirty = true;
        }
        self.choose(raw_now());
    }

    /// Which network is to be used?
    fn choose(&mut self, now: Timestamp<Raw>) {
        let ports: [_; MAX_PORTS] =
            std::array::from_fn(|place| self.networks.get(place).map(|it| (&it.port).into()));
        let changes = match ports {
            [Some(primary), Some(secondary)] => self.redundancy.consider(now, &[primary, secondary]),
            [Some(only), None] => self.redundancy.consider(now, &[only]),
            _ => return,
        };
        for change in changes {
            let place = match change {
                Change::Selected { to, .. } => to,
                Change::TwoClocks(_) | Change::OneClock => 1 - self.redundancy.selected().min(1),
            };
            if let Some(Network { config, changes, .. }) = self.networks.get_mut(place) {
                changes.info(now, format_args!("port {}: {change}", config.interface));
            }
            self.dirty = true;
        }
    }

    /// Of the network that is used the samples are told.
    fn sample(&mut self, place: usize, sample: &Sample) {
        let Some(network) = self.networks.get(place).filter(|_| place == self.redundancy.selected()) else {
            return;
        };
        self.body.push(record(sample, place, &network.port, &self.redundancy));
        if let Some(line) = self.summary.add(sample.arrived.raw, sample.residual) {
            tell(&network.port, sample, &line);
        }
    }

    /// Once a second. The page is published even where nothing is measured: its counters tell why.
    fn look(&mut self, now: Timestamp<Raw>) {
        self.next_look = now + LOOK;
        self.look_at_kernel();
        self.dirty = true;
        for place in 0..self.networks.len() {
            if let Some(network) = self.networks.get_mut(place) {
                network.look(now);
            }
            self.drain(place);
        }
        self.rates.keep(now);
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

    fn publish(&mut self, now: Timestamp<Raw>) {
        self.body.selected = u32::try_from(self.redundancy.selected()).unwrap_or(0);
        self.body.port_count = u32::try_from(self.networks.len()).unwrap_or(0);
        for (place, (to, network)) in self.body.ports.iter_mut().zip(&self.networks).enumerate() {
            *to = PortRecord::of(&network.port, network.name(), network.stamp_source());
            to.timeline = self.redundancy.timeline(place);
            if let Some(sample) = network.port.last_sample() {
                to.last = record(sample, place, &network.port, &self.redundancy);
            }
        }
        self.page.publish(now, &self.body);
        self.dirty = false;
    }
}

/// A sample as the page has it: its timeline is that of the suite, not its port's own.
fn record(sample: &Sample, place: usize, port: &Port, redundancy: &Redundancy) -> SampleRecord {
    let is_current = sample.timeline == port.timeline();
    let timeline = if is_current { redundancy.timeline(place) } else { 0 };
    SampleRecord::of(&Sample { timeline, ..*sample }, u32::try_from(place).unwrap_or(0))
}

/// As ptp4l: each Sync with its offset, or rms and max over the interval.
fn tell(port: &Port, sample: &Sample, line: &SummaryLine) {
    let servo = match port.state() {
        State::Slave => "s2",
        State::Uncalibrated => "s1",
        _ => "s0",
    };
    let Some(map) = port.map() else { return };
    let (rate, sigma) = (map.line.rate.ppb(), map.sigma.rate.ppb());
    let delay = OrDash(port.path_delay());
    if line.count == 1 {
        let offset = sample.residual.ns();
        log::info!("leader offset {offset:+} {servo} rate {rate:+.0} path delay {delay}");
    } else {
        let (rms, max) = (line.rms.ns(), line.largest.ns());
        log::info!("rms {rms} max {max} {servo} rate {rate:+.0} +/- {sigma:.0} path delay {delay}");
    }
}

impl Service for Observer {
    fn fds(&self) -> Fds<'_> {
        self.networks.iter().filter_map(|network| network.link.as_ref()).flat_map(Link::fds).collect()
    }

    fn deadline(&self) -> Timestamp<Raw> {
        let ports = self.networks.iter().filter_map(|network| network.port.deadline());
        ports.chain([self.page.renewal(), self.next_look]).min().unwrap_or(self.next_look)
    }

    fn wake(&mut self, wake: &Wake) -> Result<(), Failure> {
        // As `fds` numbers them.
        let mut first = 0;
        for place in 0..self.networks.len() {
            if self.networks.get(place).is_none_or(|network| network.link.is_none()) {
                continue;
            }
            if let Err(error) = self.receive(wake, place, first) {
                if let Some(network) = self.networks.get_mut(place) {
                    network.close(&error.to_string());
                }
                self.drain(place);
            }
            first += 2;
        }
        let now = raw_now();
        for place in 0..self.networks.len() {
            if let Some(network) = self.networks.get_mut(place)
                && network.port.deadline().is_some_and(|due| now >= due)
            {
                network.port.handle(now, Input::Deadline);
                self.drain(place);
            }
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
    fn end(&mut self) {
        for known in self.networks.iter().filter_map(|network| network.port.well_known_rate()) {
            self.rates.learn(raw_now(), known);
        }
        self.rates.end(raw_now());
    }
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
