//! `dantesim leader`: the leader engine on real sockets.

use crate::args::LeaderArgs;
use anyhow::{Context, anyhow};
use dante_core::port::TimestampSource;
use dante_core::port::{Channel, NoTimestamp};
use dante_core::time::{Duration, Ratio, Timestamp};
use dante_core::wire::PortIdentity;
use dante_os::clock::raw_now;
use dante_os::daemon::{Exit, Failure, random};
use dante_os::net::{Interface, Kind};
use dante_os::poll::{Poll, Signal};
use dante_os::socket::{PtpSocket, TimestampReader};
use dante_sim::leader::{Input, Leader, LeaderConfig, Output, SyncToken};
use dante_sim::oscillator::{Oscillator, Truth};
use std::net::SocketAddrV4;
use std::os::fd::AsFd;
use std::path::Path;

/// So long the network is listened to before anything is sent: ten intervals of a Dante leader.
const LISTEN: Duration = Duration::from_ms(2500);

/// Leads until it is told to stop, or hears somebody else lead.
pub fn lead(args: &LeaderArgs) -> Result<(), Failure> {
    let interface =
        Interface::find(&args.interface).map_err(|error| Failure::new(Exit::NoInterface, error))?;
    if args.force && interface.kind == Kind::Other {
        let why = anyhow!("--force is for lo, veth and tap interfaces: {} may carry audio", interface.name);
        return Err(Failure::new(Exit::Refused, why));
    }
    let mut poll = Poll::new()?;
    let identity = identity(args, &interface)?;
    let mut stage = Stage::open(args, &interface)?;
    let config = LeaderConfig {
        subdomain: args.subdomain,
        stratum: args.stratum,
        preferred: args.preferred,
        event_port: args.event_port,
        general_port: args.general_port,
        ..LeaderConfig::dante(identity)
    };
    let start = if args.force { raw_now() } else { raw_now() + LISTEN };
    let uptime = Timestamp::ZERO + Duration::from_secs(i64::from(args.uptime));
    let oscillator = match &args.same_clock {
        Some(file) => read_truth(file)?,
        None => Oscillator::new(start, uptime, Ratio::from_ppm(args.ppm), Ratio::from_ppb(args.wander)),
    };
    if let Some(file) = &args.truth {
        write_truth(oscillator, file)?;
    }
    let mut leader = Leader::new(config, oscillator, start);
    println!(
        "dantesim: leading {} on {} as {identity} at {:+} ppm from {:.1} s from now",
        args.subdomain,
        interface.name,
        args.ppm,
        (start - raw_now()).secs_f64()
    );
    loop {
        let fds = [stage.listener.as_fd(), stage.event.as_fd(), stage.questions.as_fd()];
        let wake = poll.wait(&fds, Some(leader.deadline()))?;
        if matches!(wake.signal, Some(Signal::SIGTERM | Signal::SIGINT)) {
            return Ok(());
        }
        for (fd, channel) in [(0, Channel::Event), (2, Channel::General)] {
            if wake.ready(fd) {
                stage.hear(channel, &mut leader, args.force)?;
            }
        }
        // Before the next Sync, also where that is due by now.
        if wake.error(1) {
            stage.departures(&mut leader)?;
            stage.perform(&mut leader, args.force)?;
        }
        leader.handle(raw_now(), Input::Deadline);
        stage.perform(&mut leader, args.force)?;
    }
}

fn read_truth(path: &Path) -> anyhow::Result<Oscillator> {
    let failed = || format!("cannot read the truth from {}", path.display());
    let text = std::fs::read_to_string(path).with_context(failed)?;
    Ok(serde_json::from_str::<Truth>(&text).with_context(failed)?.into())
}

/// Writes it whole or not at all.
fn write_truth(oscillator: Oscillator, path: &Path) -> anyhow::Result<()> {
    let part = path.with_extension("part");
    let text = serde_json::to_string(&Truth::from(oscillator))?;
    std::fs::write(&part, text)
        .and_then(|()| std::fs::rename(&part, path))
        .with_context(|| format!("cannot write the truth to {}", path.display()))
}

/// Of the interface, or a random one, locally administered, where it has no hardware address.
fn identity(args: &LeaderArgs, interface: &Interface) -> Result<PortIdentity, Failure> {
    let own = dante_core::port::follower_identity(interface.mac, random()?);
    Ok(PortIdentity { uuid: args.uuid.unwrap_or(own.uuid), ..own })
}

/// The sockets. Real devices send from ephemeral ports.
struct Stage {
    listener: PtpSocket,
    /// Where others ask about clocks.
    questions: PtpSocket,
    event: PtpSocket,
    general: PtpSocket,
    event_to: SocketAddrV4,
    general_to: SocketAddrV4,
    stamps: TimestampReader,
    sent: Option<(u32, SyncToken)>,
}

impl Stage {
    fn open(args: &LeaderArgs, interface: &Interface) -> Result<Self, Failure> {
        let group = args.subdomain.group();
        let open = |port, channel| {
            PtpSocket::open(interface, group, port, channel, TimestampSource::Software).map_err(Failure::of)
        };
        Ok(Self {
            listener: open(args.event_port, Channel::Event)?,
            questions: open(args.general_port, Channel::General)?,
            event: PtpSocket::sender(interface, Channel::Event).map_err(Failure::of)?,
            general: PtpSocket::sender(interface, Channel::General).map_err(Failure::of)?,
            event_to: SocketAddrV4::new(group, args.event_port),
            general_to: SocketAddrV4::new(group, args.general_port),
            stamps: TimestampReader::start(),
            sent: None,
        })
    }

    fn hear(&mut self, channel: Channel, leader: &mut Leader, force: bool) -> Result<(), Failure> {
        let mut buffer = [0; 512];
        for _ in 0..64 {
            let socket = match channel {
                Channel::Event => &mut self.listener,
                Channel::General => &mut self.questions,
            };
            let Some(received) = socket.receive(&mut buffer)? else { break };
            let arrived = match channel {
                Channel::Event => self.stamps.translate(received.stamp),
                Channel::General => Err(NoTimestamp::Missing),
            };
            leader.handle(raw_now(), Input::Packet { bytes: received.bytes, arrived });
            self.perform(leader, force)?;
        }
        Ok(())
    }

    fn departures(&mut self, leader: &mut Leader) -> Result<(), Failure> {
        while let Some(departure) = self.event.departed()? {
            if let Some((_, token)) = self.sent.take_if(|(key, _)| *key == departure.key) {
                let stamp = self.stamps.translate(Some(departure.stamp));
                leader.handle(raw_now(), Input::Departed { token, stamp });
            }
        }
        Ok(())
    }

    fn perform(&mut self, leader: &mut Leader, force: bool) -> Result<(), Failure> {
        while let Some(output) = leader.poll() {
            match output {
                Output::Sync { packet, token } => {
                    let key = self.event.send(&packet, self.event_to)?;
                    self.sent = Some((key, token));
                }
                Output::General { packet } => {
                    self.general.send(&packet, self.general_to)?;
                }
                Output::AnotherLeader(_) if force => {}
                Output::AnotherLeader(other) => {
                    let why =
                        anyhow!("{other} leads here already: a second leader would disturb the network");
                    return Err(Failure::new(Exit::Refused, why));
                }
            }
        }
        Ok(())
    }
}
