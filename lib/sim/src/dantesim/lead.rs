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
use dante_os::statefile;
use dante_sim::leader::{Input, Leader, LeaderConfig, Output, SyncToken};
use dante_sim::oscillator::{Oscillator, Truth};
use std::net::SocketAddrV4;
use std::os::fd::AsFd;
use std::path::Path;

/// Time in which another leader is looked for before the first Sync: ten Sync intervals of a Dante leader.
const LISTEN_TIME: Duration = Duration::from_ms(2500);

/// Leads until SIGTERM or SIGINT, or until a Sync of another leader is received.
pub fn lead(args: &LeaderArgs) -> Result<(), Failure> {
    let interface =
        Interface::find(&args.interface).map_err(|error| Failure::new(Exit::NoInterface, error))?;
    if args.force && interface.kind == Kind::Other {
        let why =
            anyhow!("--force works on lo, veth and tap interfaces only: {} may carry audio", interface.name);
        return Err(Failure::new(Exit::Refused, why));
    }
    let mut poll = Poll::new()?;
    let identity = identity(args, &interface)?;
    let mut sockets = Sockets::open(args, &interface)?;
    let config = LeaderConfig {
        subdomain: args.subdomain,
        stratum: args.stratum,
        preferred: args.preferred,
        event_port: args.event_port,
        general_port: args.general_port,
        ..LeaderConfig::dante(identity)
    };
    let start = if args.force { raw_now() } else { raw_now() + LISTEN_TIME };
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
        "dantesim: leading subdomain {} on {} as {identity} at {:+} ppm, first Sync in {:.1} s",
        args.subdomain,
        interface.name,
        args.ppm,
        (start - raw_now()).secs_f64()
    );
    loop {
        let fds = [sockets.event_receiver.as_fd(), sockets.event.as_fd(), sockets.general_receiver.as_fd()];
        let wake = poll.wait(&fds, Some(leader.deadline()))?;
        if matches!(wake.signal, Some(Signal::SIGTERM | Signal::SIGINT)) {
            return Ok(());
        }
        for (fd, channel) in [(0, Channel::Event), (2, Channel::General)] {
            if wake.ready(fd) {
                sockets.receive(channel, &mut leader, args.force)?;
            }
        }
        // Before the next Sync, even if that is due.
        if wake.error(1) {
            sockets.departures(&mut leader)?;
            sockets.perform(&mut leader, args.force)?;
        }
        leader.handle(raw_now(), Input::Deadline);
        sockets.perform(&mut leader, args.force)?;
    }
}

fn read_truth(path: &Path) -> anyhow::Result<Oscillator> {
    let failed = || format!("cannot read the true time of another leader from {}", path.display());
    let text = statefile::read_regular(path, statefile::MAX_LENGTH as u64).with_context(failed)?;
    Ok(serde_json::from_slice::<Truth>(&text).with_context(failed)?.into())
}

fn write_truth(oscillator: Oscillator, path: &Path) -> anyhow::Result<()> {
    let text = serde_json::to_string(&Truth::from(oscillator))?;
    statefile::replace(path, text.as_bytes()).context("cannot save the leader's true time")
}

/// Returns the leader's identity: its UUID is `--uuid`, or the interface's hardware address, or random and locally administered if
/// there is none.
fn identity(args: &LeaderArgs, interface: &Interface) -> Result<PortIdentity, Failure> {
    let own = dante_core::port::follower_identity(interface.mac, random()?);
    Ok(PortIdentity { uuid: args.uuid.unwrap_or(own.uuid), ..own })
}

/// The sockets of the leader. It sends from ephemeral ports, as real devices do.
struct Sockets {
    /// Receives Delay_Req, and Syncs of other leaders.
    event_receiver: PtpSocket,
    /// Receives management queries.
    general_receiver: PtpSocket,
    event: PtpSocket,
    general: PtpSocket,
    event_to: SocketAddrV4,
    general_to: SocketAddrV4,
    timestamps: TimestampReader,
    /// The last Sync, until its transmit timestamp is read: the key of that timestamp, and the Sync's token.
    sent: Option<(u32, SyncToken)>,
}

impl Sockets {
    fn open(args: &LeaderArgs, interface: &Interface) -> Result<Self, Failure> {
        let group = args.subdomain.group();
        let open = |port, channel| {
            PtpSocket::open(interface, group, port, channel, TimestampSource::Software).map_err(Failure::of)
        };
        Ok(Self {
            event_receiver: open(args.event_port, Channel::Event)?,
            general_receiver: open(args.general_port, Channel::General)?,
            event: PtpSocket::sender(interface, Channel::Event).map_err(Failure::of)?,
            general: PtpSocket::sender(interface, Channel::General).map_err(Failure::of)?,
            event_to: SocketAddrV4::new(group, args.event_port),
            general_to: SocketAddrV4::new(group, args.general_port),
            timestamps: TimestampReader::start(),
            sent: None,
        })
    }

    fn receive(&mut self, channel: Channel, leader: &mut Leader, force: bool) -> Result<(), Failure> {
        let mut buffer = [0; 512];
        for _ in 0..64 {
            let socket = match channel {
                Channel::Event => &mut self.event_receiver,
                Channel::General => &mut self.general_receiver,
            };
            let Some(received) = socket.receive(&mut buffer)? else { break };
            let arrived = match channel {
                Channel::Event => self.timestamps.translate(received.timestamp),
                Channel::General => Err(NoTimestamp::Missing),
            };
            leader.handle(raw_now(), Input::Packet { bytes: received.bytes, arrived });
            self.perform(leader, force)?;
        }
        Ok(())
    }

    fn departures(&mut self, leader: &mut Leader) -> Result<(), Failure> {
        while let Some(departure) = self.event.transmit_timestamp()? {
            if let Some((_, token)) = self.sent.take_if(|(key, _)| *key == departure.key) {
                let timestamp = self.timestamps.translate(Some(departure.timestamp));
                leader.handle(raw_now(), Input::Departed { token, timestamp });
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
                Output::ForeignLeader(_) if force => {}
                Output::ForeignLeader(other) => {
                    let why = anyhow!(
                        "{other} already leads this subdomain: a second leader would disturb its devices"
                    );
                    return Err(Failure::new(Exit::Refused, why));
                }
            }
        }
        Ok(())
    }
}
