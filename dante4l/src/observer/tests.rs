use super::*;
use clap::Parser;
use dante_core::page::{Dante4l, Dante4lStatus};
use dante_core::port::follower_identity;
use dante_core::time::Ratio;
use dante_core::wire::Subdomain;
use dante_os::net::Interface;
use dante_os::page::{Instance, PageName};
use dante_os::poll::Poll;
use dante_os::socket::{PtpSocket, TimestampReader, Timestamping};
use dante_sim::leader::{self, Leader, LeaderConfig};
use dante_sim::oscillator::Oscillator;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::ReuseAddr;
use nix::unistd::geteuid;
use std::net::{SocketAddrV4, UdpSocket};
use std::panic::resume_unwind;
use std::process::Command;

#[derive(Debug, Parser)]
#[command(version, disable_version_flag = true)]
struct Flags {
    #[command(flatten)]
    common: CommonArgs,
}

/// A leader on loopback in this thread, which acts only when called.
struct LoopbackLeader {
    leader: Leader,
    event: PtpSocket,
    general: PtpSocket,
    to: [SocketAddrV4; 2],
    timestamps: TimestampReader,
}

impl LoopbackLeader {
    fn new(config: &LinkConfig) -> Self {
        let interface = Interface::find(&config.interface).unwrap();
        let uptime = Timestamp::ZERO + Duration::from_secs(699);
        let oscillator = Oscillator::new(raw_now(), uptime, Ratio::from_ppm(12.0), Ratio::ZERO);
        let identity = follower_identity([2, 0, 0, 0, 0, 1], 0);
        let config_of_leader = LeaderConfig { sync_interval: -4, ..LeaderConfig::dante(identity) };
        Self {
            leader: Leader::new(config_of_leader, oscillator, raw_now()),
            event: PtpSocket::sender(&interface, Channel::Event).unwrap(),
            general: PtpSocket::sender(&interface, Channel::General).unwrap(),
            to: [config.event_port, config.general_port].map(|port| SocketAddrV4::new(config.group, port)),
            timestamps: TimestampReader::start(),
        }
    }

    /// Sends the Sync that is due and its Follow_Up.
    fn act(&mut self) {
        self.leader.handle(raw_now(), leader::Input::Deadline);
        while let Some(output) = self.leader.poll() {
            match output {
                leader::Output::Sync { packet, token } => {
                    self.event.send(&packet, self.to[0]).unwrap();
                    let departure = loop {
                        if let Some(departure) = self.event.transmit_timestamp().unwrap() {
                            break departure;
                        }
                    };
                    let timestamp = self.timestamps.translate(Some(departure.timestamp));
                    self.leader.handle(raw_now(), leader::Input::Departed { token, timestamp });
                }
                leader::Output::General { packet } => _ = self.general.send(&packet, self.to[1]).unwrap(),
                leader::Output::ForeignLeader(other) => panic!("{other}"),
            }
        }
    }
}

/// Number of measured Syncs.
fn measured(observer: &Observer) -> u64 {
    observer.engine.port(0).and_then(Port::last_sample).map_or(0, |sample| sample.number)
}

fn is_slave(observer: &Observer) -> bool {
    observer.engine.port(0).map(Port::state) == Some(State::Slave)
}

/// Runs until `done`. The limit covers stalls of the machine, during which the leader is silent.
fn exchange(
    observer: &mut Observer,
    sender: &mut LoopbackLeader,
    poll: &mut Poll,
    status: &mut String,
    done: impl Fn(&Observer) -> bool,
) {
    let limit = raw_now() + Duration::from_secs(60);
    while !done(observer) {
        assert!(raw_now() < limit, "after 60 s: {status}");
        let deadline = observer.deadline().min(sender.leader.deadline());
        let wake = poll.wait(&observer.fds(), Some(deadline)).unwrap();
        observer.wake(&wake).unwrap();
        status.clear();
        observer.status(status).unwrap();
        sender.act();
    }
}

/// Runs `test` in a thread. As root it has a network namespace of its own, where no other program sends packets.
fn on_lo(test: impl FnOnce() + Send) {
    let ip = |words: &[&str]| Command::new("ip").args(words).output().is_ok_and(|it| it.status.success());
    let thread = || {
        if geteuid().is_root() && ip(&["-V"]) && unshare(CloneFlags::CLONE_NEWNET).is_ok() {
            assert!(ip(&["link", "set", "lo", "up"]), "lo stays down");
        }
        test();
    };
    std::thread::scope(|scope| scope.spawn(thread).join()).unwrap_or_else(|panic| resume_unwind(panic));
}

/// A socket that reserves its port: only sockets with SO_REUSEADDR can be bound to it.
fn reservation() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // Set after the bind: otherwise the kernel may give the port to two reservations.
    setsockopt(&socket, ReuseAddr, &true).unwrap();
    socket
}

#[test]
fn packet_path_does_not_allocate_after_start() {
    on_lo(measure_allocations);
}

fn measure_allocations() {
    let reserved = [(); 2].map(|()| reservation());
    let [event_port, general_port] = reserved.each_ref().map(|socket| socket.local_addr().unwrap().port());
    let group = Subdomain::DFLT.group();
    let timestamping = Timestamping::Auto;
    let config =
        LinkConfig { interface: "lo".into(), group, event_port, general_port, timestamping, sends: false };
    let instance = format!("test-{:x}", random().unwrap());
    let flags = Flags::parse_from(["test", "--instance", &instance]);
    let mut poll = Poll::new().unwrap();
    let rates = RatesFile::read("/nonexistent/rates".into());
    let names = [config.interface.clone()];
    let interfaces = Interfaces::Named(&names);
    let mut observer =
        Observer::start(interfaces, &config, PortConfig::default(), rates, true, &flags.common).unwrap();
    drop(reserved);
    let mut sender = LoopbackLeader::new(&config);
    let mut status = String::with_capacity(256);
    exchange(&mut observer, &mut sender, &mut poll, &mut status, |it| measured(it) >= 20 && is_slave(it));

    let before = measured(&observer);
    let allocated = allocation_counter::measure(|| {
        exchange(&mut observer, &mut sender, &mut poll, &mut status, |it| measured(it) >= before + 32);
    });
    let taken = measured(&observer) - before;
    exchange(&mut observer, &mut sender, &mut poll, &mut status, is_slave);
    status.clear();
    observer.status(&mut status).unwrap();
    let instance: Option<Instance> = instance.parse().ok();
    _ = std::fs::remove_file(PageName::<Dante4l>::new(instance.as_ref()).path());
    _ = std::fs::remove_file(PageName::<Dante4lStatus>::new(instance.as_ref()).path());
    let end = measured(&observer);
    assert_eq!(observer.engine.pages(raw_now(), None).0.samples, end, "each sample is on the page");
    assert!(status.starts_with("SLAVE of 02:00:00:00:00:01/1 on lo, rate "), "{status}");
    assert_eq!(allocated.count_total, 0, "{allocated:?} over {taken} Syncs, including the leader");
    let other = allocation_counter::measure(|| drop(std::hint::black_box(vec![0u8; 10])));
    assert_eq!(other.count_total, 1, "the counter must count");
}
