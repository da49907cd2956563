//! dante4l with packets: its sockets, the kernel's timestamps and its engine.

use super::{Records, SimClock, True};
use dante_core::observe::{Observer, Output};
use dante_core::port::{self, Channel, NoTimestamp, PortConfig, State};
use dante_core::time::{Real, Timestamp, TimestampTranslator};
use dante_core::wire::Buffer;
use std::net::SocketAddrV4;

/// A packet in a socket.
#[derive(Debug)]
pub(super) struct Received {
    pub network: usize,
    pub source: SocketAddrV4,
    pub channel: Channel,
    pub bytes: Buffer,
    pub timestamp: Option<Timestamp<Real>>,
}

/// dante4l.
pub(super) struct Packets {
    config: PortConfig,
    networks: usize,
    pub observer: Observer,
    translator: TimestampTranslator,
    socket: Vec<Received>,
    is_waking: bool,
    /// The kernel makes no timestamps before this time.
    pub timestamps_from: True,
    pub sent: Vec<(True, usize, Buffer)>,
}

impl Packets {
    pub fn new(config: PortConfig, networks: usize, now: True) -> Self {
        Self {
            observer: observer(&config, networks),
            config,
            networks,
            translator: TimestampTranslator::default(),
            socket: Vec::new(),
            is_waking: false,
            timestamps_from: now,
            sent: Vec::new(),
        }
    }

    /// Restarts the program; its sockets are opened at its next tick.
    pub fn restart(&mut self) {
        self.observer = observer(&self.config, self.networks);
        self.socket.clear();
        self.is_waking = false;
    }

    /// Reads the clocks once a second, for the conversion of timestamps. Opens the sockets after a start.
    pub fn tick(&mut self, now: True, clock: &SimClock, records: &mut Records) {
        for network in 0..self.networks {
            if self.observer.port(network).is_some_and(|port| port.state() == State::Initializing) {
                self.translator = TimestampTranslator::default();
                self.translator.note(clock.reading(now));
                let identity = port::follower_identity([0; 6], self.config.seed + network as u64);
                self.handle(now, clock, records, network, port::Input::Opened(identity));
            }
        }
        self.translator.note(clock.reading(now));
    }

    /// Puts a packet into the socket. Returns whether the program has to be woken: not if a wake-up is pending.
    pub fn receive(&mut self, now: True, clock: &SimClock, packet: Received) -> bool {
        let has_timestamp = packet.channel == Channel::Event && now >= self.timestamps_from;
        self.socket.push(Received { timestamp: has_timestamp.then(|| clock.at(now)), ..packet });
        !std::mem::replace(&mut self.is_waking, true)
    }

    /// Reads the sockets, those of event packets first.
    pub fn read_sockets(&mut self, now: True, clock: &SimClock, records: &mut Records) {
        self.is_waking = false;
        let mut waiting = std::mem::take(&mut self.socket);
        waiting.sort_by_key(|received| received.channel == Channel::General);
        for Received { network, source, channel, bytes, timestamp } in waiting {
            let arrived = match channel {
                Channel::Event => self.translate(now, clock, timestamp),
                Channel::General => Err(NoTimestamp::Missing),
            };
            let input = port::Input::Packet {
                channel,
                bytes: &bytes,
                source,
                route: port::Route::Multicast,
                arrived,
            };
            self.handle(now, clock, records, network, input);
        }
    }

    /// Handles the deadlines of the ports. Returns whether one was reached.
    pub fn deadlines_due(&mut self, now: True, clock: &SimClock, records: &mut Records) -> bool {
        let raw = clock.raw_at(now);
        let mut was_due = false;
        for network in 0..self.networks {
            let due = self.observer.port(network).and_then(port::Port::deadline);
            if due.is_some_and(|at| at <= raw) {
                self.handle(now, clock, records, network, port::Input::Deadline);
                was_due = true;
            }
        }
        was_due
    }

    fn handle(
        &mut self,
        now: True,
        clock: &SimClock,
        records: &mut Records,
        network: usize,
        input: port::Input<'_>,
    ) {
        let raw = clock.raw_at(now);
        self.observer.handle(raw, network, input);
        while let Some((network, output)) = self.observer.poll() {
            match output {
                Output::Port(port::Output::Send { packet, token }) => {
                    self.sent.push((now, network, packet));
                    let real = (now >= self.timestamps_from).then(|| clock.at(now));
                    let timestamp = self.translate(now, clock, real);
                    self.observer.handle(raw, network, port::Input::Departed { token, timestamp });
                }
                Output::Port(port::Output::Sample(_)) => {}
                output => records.observer.push((now, network, output)),
            }
        }
    }

    fn translate(
        &mut self,
        now: True,
        clock: &SimClock,
        timestamp: Option<Timestamp<Real>>,
    ) -> Result<port::PacketTimestamp, NoTimestamp> {
        self.translator.translate(clock.raw_at(now), timestamp, || Some(clock.reading(now)))
    }
}

fn observer(config: &PortConfig, networks: usize) -> Observer {
    let seeded = |network| ("", PortConfig { seed: config.seed + network, ..config.clone() });
    Observer::new((0..networks as u64).map(seeded))
}
