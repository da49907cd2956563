//! What happens between two sleeps: packets to the port, its outputs to the wire, the log and the page.

mod network;
mod status;

use crate::link::{Link, LinkConfig, LinkError};
use crate::rates_file::RatesFile;
use dante_core::page::{Dante4l, MAX_PORTS, PortRecord, SampleRecord};
use dante_core::port::{Channel, Output, Port, PortConfig, Sample, State};
use dante_core::redundancy::{Change, Redundancy};
use dante_core::time::{Duration, Raw, Timestamp};
use dante_core::track::KernelWord;
use dante_os::clock::{raw_now, timex};
use dante_os::daemon::{self, CommonArgs, Exit, Failure, Service, random};
use dante_os::log::{Summary, SummaryLine};
use dante_os::net::Watch;
use dante_os::page::PageWriter;
use dante_os::poll::{Fds, Wake};
use dante_os::socket::SocketError;
use network::Network;
use std::fmt;
use std::os::fd::AsFd;

/// Packets taken from each socket before deadlines and the page have their turn.
const BATCH: usize = 64;

/// The program's state.
pub struct Observer {
    /// What the kernel tells of interfaces, if it does.
    watch: Option<Watch>,
    /// One for each `-i`.
    networks: Vec<Network>,
    redundancy: Redundancy,
    rates: RatesFile,
    page: PageWriter<Dante4l>,
    body: Box<Dante4l>,
    dirty: bool,
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
        // Before one looks for the first time, so that nothing is missed in between.
        let watch = Watch::open()
            .inspect_err(|cause| {
                log::info!(
                    "the kernel does not tell of interfaces ({cause}): they are looked at each second"
                );
            })
            .ok();
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
            let port = PortConfig { seed: random()?, rates, ..port.clone() };
            networks.push(Network::new(config, port, watch.is_some()));
        }
        let mut observer = Self {
            watch,
            networks,
            redundancy: Redundancy::default(),
            rates,
            page,
            body: Box::default(),
            dirty: true,
            summary: Summary::new(Duration::from_secs(i64::from(common.summary_interval))),
        };
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

    /// What the kernel told of interfaces since the last time.
    fn hear_news(&mut self, now: Timestamp<Raw>) {
        let Self { watch: Some(watch), networks, .. } = self else { return };
        let mut is_meant = [false; MAX_PORTS];
        watch.read(|news| {
            for (network, is_meant) in networks.iter().zip(&mut is_meant) {
                *is_meant = *is_meant || network.is_meant(news);
            }
        });
        for (place, _) in is_meant.into_iter().enumerate().filter(|(_, is_meant)| *is_meant) {
            if let Some(network) = self.networks.get_mut(place) {
                network.look(now);
            }
            self.drain(place);
            self.dirty = true;
        }
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
        self.body.set_kernel_word(kernel_word());
        self.page.publish(now, &self.body);
        self.dirty = false;
    }
}

/// Whether the system clock is kept by anybody: danteshm, which may not ask, takes a date from it only then.
fn kernel_word() -> Option<KernelWord> {
    let timex = timex().ok()?;
    Some(if timex.is_synchronised() {
        KernelWord::Synchronised(timex.max_error)
    } else {
        KernelWord::Unsynchronised
    })
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
        let watch = self.watch.iter().map(AsFd::as_fd);
        let links = self.networks.iter().filter_map(|network| network.link.as_ref());
        watch.chain(links.flat_map(Link::fds)).collect()
    }

    fn deadline(&self) -> Timestamp<Raw> {
        let networks = self.networks.iter().filter_map(Network::deadline);
        networks.fold(self.page.renewal(), Timestamp::min)
    }

    fn wake(&mut self, wake: &Wake) -> Result<(), Failure> {
        // As `fds` numbers them.
        let mut first = usize::from(self.watch.is_some());
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
        if self.watch.is_some() && (wake.ready(0) || wake.error(0)) {
            self.hear_news(now);
        }
        for place in 0..self.networks.len() {
            if self.networks.get_mut(place).is_some_and(|network| network.act(now)) {
                self.drain(place);
            }
        }
        self.rates.keep(now);
        // Once a second also where nothing is measured: the counters tell why.
        let is_idle = now >= self.page.renewal();
        if is_idle {
            self.networks.iter_mut().filter_map(|network| network.link.as_mut()).for_each(Link::refresh);
        }
        if self.dirty || is_idle {
            self.publish(now);
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
