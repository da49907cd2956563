//! The main loop: passes packets to the engine, and its outputs to the network, the log and the pages.

mod host;
mod network;
mod schedule;
mod search;
mod status;

use crate::link::{Link, LinkConfig, LinkError};
use crate::rates_file::RatesFile;
use anyhow::anyhow;
use dante_core::candidates::{Change, MAX_CANDIDATES};
use dante_core::observe::{Observer as Engine, Output};
use dante_core::page::{Dante4l, Dante4lStatus};
use dante_core::port::{self, Channel, Port, PortConfig, Sample, State};
use dante_core::time::{Duration, Raw, Timestamp};
use dante_core::track::KernelSync;
use dante_os::clock::{raw_now, timex};
use dante_os::daemon::{self, CommonArgs, Exit, Failure, Service, random};
use dante_os::log::{Summary, SummaryLine};
use dante_os::net::Watch;
use dante_os::page::Publisher;
use dante_os::poll::{Fds, Wake};
use dante4l::args::Interfaces;
use host::Host;
use network::NetworkDriver;
use search::Search;
use std::fmt;
use std::os::fd::AsFd;

/// Maximum number of packets taken from each socket before deadlines and pages are served.
const BATCH: usize = 64;

pub struct Observer {
    /// The kernel's notifications about interfaces, if available.
    watch: Option<Watch>,
    host: Host,
    /// One for each `-i`, or for each candidate.
    networks: Vec<NetworkDriver>,
    engine: Engine,
    /// With `interface = "auto"`.
    search: Option<Search>,
    rates: RatesFile,
    pages: Publisher<Dante4l, Dante4lStatus>,
    summary: Summary,
}

impl Observer {
    /// Opens the interfaces and publishes the pages. All ports have the configuration `port`, but different seeds.
    pub fn start(
        interfaces: Interfaces<'_>,
        link: &LinkConfig,
        port: PortConfig,
        rates: RatesFile,
        no_wait: bool,
        common: &CommonArgs,
    ) -> Result<Self, Failure> {
        // Before the interfaces are read, so that no change is missed in between.
        let watch = Watch::open()
            .inspect_err(|cause| {
                log::info!(
                    "no notifications of the kernel about interfaces ({cause}): checking them every second"
                );
            })
            .ok();
        let port = PortConfig { rates: rates.rates.clone(), ..port };
        let has_notifications = watch.is_some();
        let host = Host::new(raw_now(), has_notifications);
        let summary = Summary::new(Duration::from_secs(i64::from(common.summary_interval)));
        let mut networks = Vec::new();
        let (engine, search) = match interfaces {
            Interfaces::Auto => {
                let mut search = Search::new(link.clone(), port, has_notifications);
                let mut engine = Engine::auto();
                search.look(raw_now(), &mut engine, &mut networks);
                (engine, Some(search))
            }
            Interfaces::Named(names) => {
                let mut ports = Vec::new();
                for (place, interface) in names.iter().cloned().enumerate() {
                    let seed = random()?;
                    ports.push(PortConfig { seed, ..port.clone() });
                    let config = LinkConfig { interface, ..link.clone() };
                    networks.push(NetworkDriver::new(place, config, seed, has_notifications));
                }
                (Engine::new(networks.iter().map(NetworkDriver::name).zip(ports)), None)
            }
        };
        let pages = daemon::publish(common)?;
        let mut observer = Self { watch, host, networks, engine, search, rates, pages, summary };
        // The only candidate is used from the start.
        observer.drain();
        observer.open(no_wait)?;
        observer.list();
        observer.publish(raw_now(), true);
        Ok(observer)
    }

    /// Opens all interfaces for the first time.
    fn open(&mut self, no_wait: bool) -> Result<(), Failure> {
        let links: Vec<_> = self.networks.iter().map(NetworkDriver::open_link).collect();
        let is_any_open = links.iter().any(Result::is_ok);
        for (network, link) in self.networks.iter().zip(&links) {
            let Err(error) = link else { continue };
            // One candidate is enough.
            let is_needed = network.is_used() || !is_any_open;
            let unwaited = matches!(error, LinkError::Interface(_)) && no_wait;
            let exit = error.fatal().or(unwaited.then_some(Exit::NoInterface));
            if let Some(exit) = exit.filter(|_| is_needed) {
                return Err(Failure::new(exit, anyhow::Error::msg(error.to_string())));
            }
        }
        if links.is_empty() && no_wait {
            return Err(Failure::new(Exit::NoInterface, anyhow!("this host has no wired interface")));
        }
        for (place, link) in links.into_iter().enumerate() {
            if let Some(network) = self.networks.get_mut(place) {
                network.opened(&mut self.engine, raw_now(), link);
            }
            self.drain();
        }
        Ok(())
    }

    /// Logs the candidates, if they are others than before.
    fn list(&mut self) {
        if let Some(search) = &mut self.search {
            search.list(raw_now(), &self.engine, &self.networks);
        }
    }

    /// Takes packets of both sockets in turn, the event socket first: after a stall each Sync is processed before its Follow_Up,
    /// and neither socket blocks the other. `first` is the index of the network's first descriptor.
    fn receive(&mut self, wake: &Wake, place: usize, first: usize) -> Result<(), LinkError> {
        if wake.error(first) {
            while self.take(place, |network, engine, _| network.take_departure(engine))? {}
        }
        let mut more = [first, first + 1].map(|socket| wake.ready(socket) || wake.error(socket));
        for _ in 0..BATCH {
            for (channel, more) in [Channel::Event, Channel::General].into_iter().zip(&mut more) {
                *more = *more
                    && self.take(place, |network, engine, host| {
                        network.take_packet(engine, &host.addresses, channel)
                    })?;
            }
            if more == [false; 2] {
                break;
            }
        }
        Ok(())
    }

    /// Takes one packet or timestamp from a network's sockets, if any, and processes the outputs.
    fn take<E>(
        &mut self,
        place: usize,
        take: impl FnOnce(&mut NetworkDriver, &mut Engine, &Host) -> Result<bool, E>,
    ) -> Result<bool, E> {
        let Some(network) = self.networks.get_mut(place) else { return Ok(false) };
        let taken = take(network, &mut self.engine, &self.host)?;
        self.drain();
        Ok(taken)
    }

    /// Processes the outputs of the engine.
    fn drain(&mut self) {
        while let Some((place, output)) = self.engine.poll() {
            let Some(network) = self.networks.get_mut(place) else { continue };
            match output {
                Output::Port(port::Output::Send { packet, token }) => {
                    network.send(&mut self.engine, &packet, token);
                }
                Output::Port(port::Output::Rate(known)) => self.rates.learn(raw_now(), known),
                Output::Port(port::Output::Sample(sample)) => {
                    let line = self.summary.add(sample.arrived.raw, sample.residual);
                    if let Some((line, port)) = line.zip(self.engine.port(place)) {
                        log_summary(port, &sample, &line);
                    }
                }
                Output::Port(port::Output::Diagnostic(diagnostic)) => network.warn(&self.engine, diagnostic),
                Output::Port(port::Output::Changed { from, to, reason }) => {
                    network.changed(&self.engine, from, to, reason);
                }
                Output::Port(port::Output::Timeline { number: 0, reason }) => {
                    network.info(format_args!("{reason}"));
                }
                Output::Port(port::Output::Timeline { number, reason }) => {
                    network.info(format_args!("timeline {number} of Dante time starts: {reason}"));
                }
                Output::Network(change) => network.info(format_args!("{change}")),
                Output::Choice(change) => self.choose(change),
            }
        }
    }

    /// Logs which interfaces are the networks from now on, and prepares them.
    fn choose(&mut self, change: Change) {
        let Self { search: Some(search), engine, networks, .. } = self else { return };
        search.chosen(raw_now(), change, engine, networks);
        let used = engine.networks();
        for (place, network) in networks.iter_mut().enumerate() {
            network.set_used(engine, used.contains(&place));
        }
    }

    /// Processes the kernel's notifications about interfaces.
    fn handle_notifications(&mut self, now: Timestamp<Raw>) {
        let Self { watch: Some(watch), host, networks, search, engine, .. } = self else { return };
        let mut is_affected = [false; MAX_CANDIDATES];
        let (mut is_any, mut is_host_affected) = (false, false);
        watch.read(|news| {
            is_any = true;
            is_host_affected = is_host_affected || Host::is_affected(news);
            for (network, is_affected) in networks.iter().zip(&mut is_affected) {
                *is_affected = *is_affected || network.is_affected(news);
            }
        });
        if is_host_affected {
            host.look(now);
        }
        if let Some(search) = search.as_mut().filter(|_| is_any) {
            search.look(now, engine, networks);
        }
        for (place, _) in is_affected.iter().enumerate().filter(|(_, is_affected)| **is_affected) {
            if let Some(network) = self.networks.get_mut(place) {
                network.check_interface(&mut self.engine, now);
            }
            self.drain();
        }
    }

    /// Publishes the pages if `is_due`, or if their content has changed.
    fn publish(&mut self, now: Timestamp<Raw>, is_due: bool) {
        for (place, network) in self.networks.iter().enumerate() {
            self.engine.set_timestamp_source(place, network.timestamp_source());
            self.engine.set_fault(place, network.fault);
        }
        if is_due || self.engine.is_changed() {
            let (clock, status) = self.engine.pages(now, kernel_sync());
            self.pages.publish(now, clock, status);
        }
    }
}

/// Whether the kernel has the system clock as synchronised: danteshm, which has no right to read that, takes UTC from the system
/// clock only then.
fn kernel_sync() -> Option<KernelSync> {
    let timex = timex().ok()?;
    Some(if timex.is_synchronised() {
        KernelSync::Synchronised(timex.max_error)
    } else {
        KernelSync::Unsynchronised
    })
}

/// Logs each Sync with its offset, or rms and max over the interval, in the format of ptp4l.
fn log_summary(port: &Port, sample: &Sample, line: &SummaryLine) {
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
        let networks = self.networks.iter().filter_map(NetworkDriver::deadline);
        let search = self.search.iter().filter_map(Search::deadline);
        networks
            .chain(search)
            .chain(self.host.deadline())
            .chain(self.engine.deadline())
            .fold(self.pages.renewal(), Timestamp::min)
    }

    fn wake(&mut self, wake: &Wake) -> Result<(), Failure> {
        // In the order of `fds`.
        let mut first = usize::from(self.watch.is_some());
        for place in 0..self.networks.len() {
            if self.networks.get(place).is_none_or(|network| network.link.is_none()) {
                continue;
            }
            if let Err(error) = self.receive(wake, place, first) {
                if let Some(network) = self.networks.get_mut(place) {
                    network.close_after(&mut self.engine, error);
                }
                self.drain();
            }
            first += 2;
        }
        let now = raw_now();
        if self.watch.is_some() && (wake.ready(0) || wake.error(0)) {
            self.handle_notifications(now);
        }
        self.host.act(now);
        if let Some(search) = &mut self.search {
            search.act(now, &mut self.engine, &mut self.networks);
        }
        for place in 0..self.networks.len() {
            if let Some(network) = self.networks.get_mut(place) {
                network.act(&mut self.engine, now);
            }
            self.drain();
        }
        self.rates.write_if_due(now);
        // Once a second even if nothing is measured: the counters show why.
        let is_idle = now >= self.pages.renewal();
        if is_idle {
            let links = self.networks.iter_mut().filter_map(|network| network.link.as_mut());
            links.for_each(|link| link.timestamps.refresh());
            self.list();
        }
        self.publish(now, is_idle);
        Ok(())
    }

    fn status(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        status::write(self, to)
    }

    /// Saves the rates. The pages need no update: readers detect that the writer ended.
    fn end(&mut self) {
        let ports = (0..self.networks.len()).filter_map(|place| self.engine.port(place));
        for known in ports.filter_map(Port::well_known_rate) {
            self.rates.learn(raw_now(), known);
        }
        self.rates.finish(raw_now());
    }
}

/// A path delay for a log line, without allocation: ns, or a dash if it is not known.
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
