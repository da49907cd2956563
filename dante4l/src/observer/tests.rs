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
use std::net::{SocketAddrV4, UdpSocket};

#[derive(Debug, Parser)]
#[command(version, disable_version_flag = true)]
struct Flags {
    #[command(flatten)]
    common: CommonArgs,
}

/// A leader on loopback, in this very thread: it acts only when it is told to.
struct Stage {
    leader: Leader,
    event: PtpSocket,
    general: PtpSocket,
    to: [SocketAddrV4; 2],
    stamps: TimestampReader,
}

impl Stage {
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
            stamps: TimestampReader::start(),
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
                        if let Some(departure) = self.event.departed().unwrap() {
                            break departure;
                        }
                    };
                    let stamp = self.stamps.translate(Some(departure.stamp));
                    self.leader.handle(raw_now(), leader::Input::Departed { token, stamp });
                }
                leader::Output::General { packet } => _ = self.general.send(&packet, self.to[1]).unwrap(),
                leader::Output::AnotherLeader(other) => panic!("{other}"),
            }
        }
    }
}

/// How many Syncs were measured.
fn measured(observer: &Observer) -> u64 {
    observer.engine.port(0).and_then(Port::last_sample).map_or(0, |sample| sample.number)
}

/// Loops until `leader` has sent so many Syncs and the observer has taken them.
fn exchange(observer: &mut Observer, stage: &mut Stage, poll: &mut Poll, syncs: u64, status: &mut String) {
    let end = measured(observer) + syncs;
    while measured(observer) < end {
        let deadline = observer.deadline().min(stage.leader.deadline());
        let wake = poll.wait(&observer.fds(), Some(deadline)).unwrap();
        observer.wake(&wake).unwrap();
        status.clear();
        observer.status(status).unwrap();
        stage.act();
    }
}

#[test]
fn after_start_up_the_packet_path_allocates_nothing() {
    let ports = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    let [event_port, general_port] = ports.map(|socket| socket.local_addr().unwrap().port());
    let group = Subdomain::DFLT.group();
    let timestamping = Timestamping::Auto;
    let config =
        LinkConfig { interface: "lo".into(), group, event_port, general_port, timestamping, sends: false };
    let instance = format!("test-{:x}", random().unwrap());
    let flags = Flags::parse_from(["test", "--instance", &instance]);
    let mut poll = Poll::new().unwrap();
    let rates = RatesFile::read("/nonexistent/rates".into());
    let mut observer =
        Observer::start(vec![config.clone()], PortConfig::default(), rates, true, &flags.common).unwrap();
    let mut stage = Stage::new(&config);
    let mut status = String::with_capacity(256);
    exchange(&mut observer, &mut stage, &mut poll, 20, &mut status);
    // Where the machine was held up, the leader was silent.
    while observer.engine.port(0).map(Port::state) != Some(State::Slave) {
        exchange(&mut observer, &mut stage, &mut poll, 1, &mut status);
    }

    let before = measured(&observer);
    let allocated =
        allocation_counter::measure(|| exchange(&mut observer, &mut stage, &mut poll, 32, &mut status));
    let taken = measured(&observer) - before;
    let instance: Option<Instance> = instance.parse().ok();
    _ = std::fs::remove_file(PageName::<Dante4l>::new(instance.as_ref()).path());
    _ = std::fs::remove_file(PageName::<Dante4lStatus>::new(instance.as_ref()).path());
    assert!(taken >= 32);
    let end = measured(&observer);
    assert_eq!(observer.engine.pages(None).0.samples, end, "each is on the page");
    assert!(status.starts_with("SLAVE of 02:00:00:00:00:01/1 on lo, rate "), "{status}");
    assert_eq!(
        allocated.count_total, 0,
        "{allocated:?} over {taken} Syncs, with the leader's part of the work"
    );
    let other = allocation_counter::measure(|| drop(std::hint::black_box(vec![0u8; 10])));
    assert_eq!(other.count_total, 1, "the counter counts");
}
