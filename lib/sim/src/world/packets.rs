//! dante4l where it observes packets: its sockets, the kernel's timestamps and the engine.

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
    pub stamp: Option<Timestamp<Real>>,
}

/// The program.
pub(super) struct Packets {
    config: PortConfig,
    networks: usize,
    pub observer: Observer,
    translator: TimestampTranslator,
    socket: Vec<Received>,
    is_waking: bool,
    pub stamps_from: True,
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
            stamps_from: now,
            sent: Vec::new(),
        }
    }

    /// The program ends and starts again; its sockets are opened at its next look around.
    pub fn restart(&mut self) {
        self.observer = observer(&self.config, self.networks);
        self.socket.clear();
        self.is_waking = false;
    }

    /// Once a second: a reading while nothing arrives.
    pub fn look_around(&mut self, now: True, clock: &SimClock, records: &mut Records) {
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

    /// Whether the program, which sleeps, is to be woken for this packet.
    pub fn receives(&mut self, now: True, clock: &SimClock, packet: Received) -> bool {
        let is_stamped = packet.channel == Channel::Event && now >= self.stamps_from;
        self.socket.push(Received { stamp: is_stamped.then(|| clock.at(now)), ..packet });
        !std::mem::replace(&mut self.is_waking, true)
    }

    /// The program reads its sockets, first those of the event packets.
    pub fn read_sockets(&mut self, now: True, clock: &SimClock, records: &mut Records) {
        self.is_waking = false;
        let mut waiting = std::mem::take(&mut self.socket);
        waiting.sort_by_key(|received| received.channel == Channel::General);
        for Received { network, source, channel, bytes, stamp } in waiting {
            let arrived = match channel {
                Channel::Event => self.translate(now, clock, stamp),
                Channel::General => Err(NoTimestamp::Missing),
            };
            let input = port::Input::Packet { channel, bytes: &bytes, source, arrived };
            self.handle(now, clock, records, network, input);
        }
    }

    /// Whether a deadline had come.
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
                    let real = (now >= self.stamps_from).then(|| clock.at(now));
                    let stamp = self.translate(now, clock, real);
                    self.observer.handle(raw, network, port::Input::Departed { token, stamp });
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
        stamp: Option<Timestamp<Real>>,
    ) -> Result<port::PacketTimestamp, NoTimestamp> {
        self.translator.translate(clock.raw_at(now), stamp, || Some(clock.reading(now)))
    }
}

fn observer(config: &PortConfig, networks: usize) -> Observer {
    let seeded = |network| ("", PortConfig { seed: config.seed + network, ..config.clone() });
    Observer::new((0..networks as u64).map(seeded))
}
