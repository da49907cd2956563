//! Another host's sockets, for whatever should not be sent.

use crate::namespace::{CABLE, Namespace};
use dante_core::port::Channel;
use dante_core::port::TimestampSource;
use dante_core::wire::{Buffer, EVENT_PORT, Flags, GENERAL_PORT, Header, PortIdentity, Subdomain, SyncBody};
use dante_os::net::Interface;
use dante_os::socket::PtpSocket;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};
use std::io::IoSlice;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

/// Datagrams given to the kernel at once.
const BATCH: usize = 64;

/// Sockets that hear what PTPv1 devices say, and can say anything to them.
#[derive(Debug)]
pub struct Stranger {
    event: PtpSocket,
    general: PtpSocket,
    sender: PtpSocket,
}

impl Stranger {
    /// On this host.
    ///
    /// # Panics
    /// When it has no sockets to give.
    pub fn on(host: &Namespace) -> Self {
        host.within(|| {
            let interface = Interface::find(CABLE).expect("the cable");
            let group = Subdomain::DFLT.group();
            let open = |port, channel| {
                PtpSocket::open(&interface, group, port, channel, TimestampSource::Software)
                    .expect("a socket")
            };
            let sender = PtpSocket::sender(&interface, Channel::General).expect("a socket");
            Self {
                event: open(EVENT_PORT, Channel::Event),
                general: open(GENERAL_PORT, Channel::General),
                sender,
            }
        })
    }

    /// Says it to all.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn say(&mut self, channel: Channel, bytes: &[u8]) {
        self.sender.send(bytes, to(channel)).expect("a datagram sent");
    }

    /// What was said since this was asked last.
    ///
    /// # Panics
    /// When the sockets fail.
    pub fn heard(&mut self) -> Vec<(Channel, Vec<u8>)> {
        let mut heard = Vec::new();
        let mut buffer = [0; 256];
        for (channel, socket) in [(Channel::Event, &mut self.event), (Channel::General, &mut self.general)] {
            while let Some(received) = socket.receive(&mut buffer).expect("a socket that works") {
                heard.push((channel, received.bytes.to_vec()));
            }
        }
        heard
    }
}

/// A packet generator. It hears nothing, which would cost it time.
#[derive(Debug)]
pub struct Generator(PtpSocket);

impl Generator {
    /// On this host.
    ///
    /// # Panics
    /// When it has no socket to give.
    pub fn on(host: &Namespace) -> Self {
        host.within(|| {
            let interface = Interface::find(CABLE).expect("the cable");
            Self(PtpSocket::sender(&interface, Channel::General).expect("a socket"))
        })
    }

    /// Sends these over and over on a channel, so many a second as far as this machine can, and returns how many it
    /// sent.
    ///
    /// # Panics
    /// When the kernel refuses them.
    pub fn flood(&self, channel: Channel, packets: &[Vec<u8>], rate: u32, span: Duration) -> u64 {
        let to = [Some(SockaddrIn::from(to(channel))); BATCH];
        let mut headers = MultiHeaders::preallocate(BATCH, None);
        let slices: Vec<_> = packets.iter().map(|packet| [IoSlice::new(packet)]).collect();
        let batches: Vec<_> = slices.chunks_exact(BATCH).collect();
        let (begun, mut sent) = (Instant::now(), 0u64);
        for batch in batches.iter().cycle() {
            let elapsed = begun.elapsed();
            if elapsed >= span {
                break;
            }
            if sent as f64 > elapsed.as_secs_f64() * f64::from(rate) {
                std::thread::sleep(Duration::from_micros(200));
                continue;
            }
            let fd = self.0.as_fd().as_raw_fd();
            match sendmmsg(fd, &mut headers, *batch, to, [], MsgFlags::empty()) {
                Ok(results) => sent += results.count() as u64,
                Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS) => {}
                Err(errno) => panic!("sendmmsg: {errno}"),
            }
        }
        sent
    }
}

fn to(channel: Channel) -> SocketAddrV4 {
    let port = match channel {
        Channel::Event => EVENT_PORT,
        Channel::General => GENERAL_PORT,
    };
    SocketAddrV4::new(Subdomain::DFLT.group(), port)
}

/// A Sync as Dante's leaders send it, whoever sends it.
pub fn sync(source: PortIdentity, sequence_id: u16, preferred: bool) -> Buffer {
    let mut said = SyncBody::dante(source);
    (said.grandmaster.sequence_id, said.grandmaster.preferred) = (sequence_id, preferred);
    header(source, sequence_id).sync(&said)
}

/// The head of a two-step Sync and of its Follow_Up.
pub fn header(source: PortIdentity, sequence_id: u16) -> Header {
    let flags = Flags::ASSIST | Flags::BOUNDARY_CLOCK;
    Header { version_network: 1, subdomain: Subdomain::DFLT, source, sequence_id, flags }
}
