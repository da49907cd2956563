//! Simulated states of the daemons for tests: each output is tested in each of these scenes.

use crate::pages::{Master, Occupant, Pages, Read, Surroundings};
use dante_core::announcement::PtpVersion;
use dante_core::candidates::{PassedOver, Role};
use dante_core::page::{
    Body, CandidateRecord, Dante2sysStatus, Dante4l, Dante4lStatus, DanteshmStatus, DiagnosticRecord,
    ForeignLeaderRecord, Form, Freshness, LeaderRecord, MapRecord, OutputRecord, PORT_HAS_LEADER,
    PORT_HAS_MAP, PORT_HAS_SAMPLE, PortRecord, RING, STATUS_HAS_PHASE, STATUS_HAS_SCALE, STATUS_HAS_UTC,
    STATUS_UTC_SYNCHRONISED, SampleRecord, SocketPath, Text, UtcRecord, View,
};
use dante_core::port::TimestampSource;
use dante_core::port::{self, Defect, Diagnostic, InterfaceFault, SyncInterval};
use dante_core::relay::{Delivery, OutputKind, Waiting};
use dante_core::steer::{RtcMode, SteeredClock, UtcSource};
use dante_core::time::Timestamp;
use dante_core::track::KernelClock;
use dante_core::utc::Policy;
use dante_core::wire::Subdomain;
use dante_core::{relay, steer};
use dante_os::page::{Fault, ReadError};
use zerocopy::FromZeros;

/// Current time of all scenes, CLOCK_MONOTONIC_RAW, ns.
const NOW: i64 = 100_000_000_000;
const SECOND: i64 = 1_000_000_000;
/// UTC at `NOW`, ns since 1970: 2026-11-18 10:55:00.
const UTC: i64 = 1_794_999_300 * SECOND;
/// Dante time at `NOW`, ns: time since the start of the leader.
const UPTIME: i64 = 541_867 * SECOND;

/// Returns all scenes with their names.
pub fn all() -> Vec<(&'static str, Pages)> {
    vec![
        ("no_daemon", no_daemon()),
        ("stale", stale()),
        ("listening", listening(None)),
        ("listening_ptp_v2", listening(Some(Diagnostic::OnlyPtpV2))),
        ("listening_other_subdomain", listening(Some(Diagnostic::OtherSubdomain(Subdomain::ALT1)))),
        ("wifi", wifi()),
        ("faulty", faulty()),
        ("locked", locked()),
        ("far_from_target", far_from_target()),
        ("holdover", holdover()),
        ("two_leaders", two_leaders()),
        ("passed_over", passed_over()),
        ("yielded", yielded()),
        ("chrony", chrony()),
        ("fed_to_nobody", fed_to_nobody()),
        ("not_read_yet", not_read_yet()),
        ("foreign_page", foreign_page()),
        ("no_follower", Pages { dante2sys: absent(), ..locked() }),
        ("dante2sys_refused", dante2sys_refused()),
        ("virtual_clock", virtual_clock()),
        ("pull_up", pull_up()),
        ("auto_no_leader", auto_no_leader()),
        ("auto_ports_in_use", auto_ports_in_use()),
        ("auto_no_wired_interface", auto_no_wired_interface()),
        ("auto_compares", auto_compares()),
        ("auto_two_clocks", auto_two_clocks()),
        ("auto_another_clock", auto_another_clock()),
        ("auto_spare", auto_spare()),
        ("usrvclock_taken", usrvclock_taken()),
        ("usrvclock_alone", usrvclock_alone()),
    ]
}

/// Renders every scene and returns each distinct text once: the name of the first scene with that text, and the text below a line
/// with the names of all scenes that share it. Scenes without a text are left out.
pub fn distinct(render: impl Fn(&Pages) -> Option<String>) -> Vec<(&'static str, String)> {
    let mut texts: Vec<(Vec<&'static str>, String)> = Vec::new();
    for (name, pages) in all() {
        let Some(text) = render(&pages) else { continue };
        match texts.iter_mut().find(|(_, known)| *known == text) {
            Some((names, _)) => names.push(name),
            None => texts.push((vec![name], text)),
        }
    }
    let titled = texts.into_iter().map(|(names, text)| match names[..] {
        [name] => (name, text),
        _ => (names[0], format!("scenes: {}\n{text}", names.join(", "))),
    });
    titled.collect()
}

/// No daemon was started.
pub fn no_daemon() -> Pages {
    Pages {
        instance: None,
        now: Timestamp::from_ns(NOW),
        clock: absent(),
        dante4l: absent(),
        dante2sys: absent(),
        danteshm: absent(),
        surroundings: Surroundings::default(),
    }
}

/// dante4l and dante2sys were killed, danteshm was stopped.
pub fn stale() -> Pages {
    Pages {
        clock: with_freshness(Freshness::Stale, sampled()),
        dante4l: with_freshness(Freshness::Stale, observer(slave())),
        dante2sys: with_freshness(Freshness::Stale, steered()),
        danteshm: with_freshness(Freshness::Stopped, feeding()),
        ..no_daemon()
    }
}

/// No leader, with a diagnostic if there is one.
pub fn listening(diagnostic: Option<Diagnostic>) -> Pages {
    let mut port = PortRecord { state: port::State::Listening as u8, ..opened("eth1") };
    if let Some(diagnostic) = diagnostic {
        port.diagnostics[diagnostic.kind()] =
            DiagnosticRecord::of(diagnostic, Timestamp::from_ns(NOW - SECOND));
    }
    let steered = Dante2sysStatus { utc_source: UtcSource::None as u8, ..waiting() };
    let (clock, dante4l) = (fresh(Dante4l::default()), fresh(observer(port)));
    Pages { clock, dante4l, dante2sys: fresh(steered), ..no_daemon() }
}

/// The clock is locked, and far from Dante time + K.
fn far_from_target() -> Pages {
    let steered = Dante2sysStatus { phase_error_ns: -21_000_000, ..steered() };
    Pages { dante2sys: fresh(steered), ..locked() }
}

/// Syncs over Wi-Fi, which scatter too much for a lock.
pub fn wifi() -> Pages {
    let mut port = PortRecord {
        state: port::State::Uncalibrated as u8,
        flags: PORT_HAS_LEADER | PORT_HAS_SAMPLE,
        ..slave()
    };
    port.map = MapRecord::new_zeroed();
    let diagnostic = Diagnostic::Scattering(58);
    port.diagnostics[diagnostic.kind()] =
        DiagnosticRecord::of(diagnostic, Timestamp::from_ns(NOW - SECOND / 8));
    let steered = Dante2sysStatus { utc_source: UtcSource::None as u8, ..waiting() };
    let (clock, dante4l) = (fresh(Dante4l::default()), fresh(observer(port)));
    Pages { clock, dante4l, dante2sys: fresh(steered), ..no_daemon() }
}

/// The interface does not exist.
pub fn faulty() -> Pages {
    let port = PortRecord {
        interface: Text::new("eth7"),
        subdomain: Subdomain::DFLT.0,
        state: port::State::Faulty as u8,
        fault: InterfaceFault::Absent as u8,
        ..PortRecord::new_zeroed()
    };
    Pages { clock: fresh(Dante4l::default()), dante4l: fresh(observer(port)), ..no_daemon() }
}

/// No problem; dante2sys steers the system clock.
pub fn locked() -> Pages {
    let (clock, dante4l) = (fresh(sampled()), fresh(observer(slave())));
    Pages { clock, dante4l, dante2sys: fresh(steered()), ..no_daemon() }
}

/// No Sync for 12 s.
pub fn holdover() -> Pages {
    let mut port = PortRecord {
        state: port::State::Listening as u8,
        flags: PORT_HAS_MAP | PORT_HAS_SAMPLE,
        foreign_leader_count: 0,
        ..slave()
    };
    port.last.arrived_raw_ns -= 12 * SECOND;
    let steered = Dante2sysStatus {
        state: steer::State::Holdover as u8,
        flags: steered().flags & !STATUS_HAS_PHASE,
        phase_sigma_ns: 2310,
        ..steered()
    };
    Pages { dante4l: fresh(observer(port)), dante2sys: fresh(steered), ..locked() }
}

/// Two leaders send; one is followed.
pub fn two_leaders() -> Pages {
    let mut port = slave();
    let other = LeaderRecord {
        id: [0, 0x1d, 0xc1, 0xa1, 0x72, 0x99, 0, 0],
        address: [169, 254, 77, 5],
        variance: 0x7060,
        preferred: 0,
        ..leader()
    };
    port.foreign_leaders[1] = ForeignLeaderRecord { leader: other, ..foreign_leader() };
    port.foreign_leader_count = 2;
    Pages { dante4l: fresh(observer(port)), ..locked() }
}

/// A better leader sends no Follow_Ups; the followed one sends faster than it advertises.
pub fn passed_over() -> Pages {
    let mut port = slave();
    port.leader.advertised_interval_log2 = 0;
    let better = LeaderRecord {
        id: [0, 0x1d, 0xc1, 0xa1, 0x72, 0x11, 0, 0],
        grandmaster: [0, 0x1d, 0xc1, 0xa1, 0x72, 0x11, 0, 0],
        address: [169, 254, 77, 5],
        ..leader()
    };
    let defect = Defect::NoFollowUp;
    port.foreign_leaders[0].leader = port.leader;
    port.foreign_leaders[1] =
        ForeignLeaderRecord { leader: better, defect: defect as u32, ..foreign_leader() };
    port.foreign_leader_count = 2;
    let (measured, advertised) = (SyncInterval::from_log2(-2), port.leader.advertised_interval());
    for diagnostic in [
        Diagnostic::PassedOver(better.identity(), better.address(), defect),
        Diagnostic::Interval(port.leader.identity(), port.leader.address(), advertised, measured),
    ] {
        port.diagnostics[diagnostic.kind()] =
            DiagnosticRecord::of(diagnostic, Timestamp::from_ns(NOW - SECOND / 8));
    }
    Pages { dante4l: fresh(observer(port)), ..locked() }
}

/// Another program steers the clock.
pub fn yielded() -> Pages {
    let steered =
        Dante2sysStatus { state: steer::State::Yielded as u8, disturbances: 2, flags: 0, ..steered() };
    Pages { dante2sys: fresh(steered), ..locked() }
}

/// dante2sys ended at its start.
pub fn dante2sys_refused() -> Pages {
    Pages { dante2sys: with_freshness(Freshness::Stopped, waiting()), ..locked() }
}

/// dante4l follows a pull-up subdomain; dante2sys is not permitted to.
pub fn pull_up() -> Pages {
    let port = PortRecord { subdomain: Subdomain::ALT2.0, ..slave() };
    Pages { dante4l: fresh(observer(port)), dante2sys: fresh(waiting()), ..locked() }
}

/// dante2sys steers a virtual clock (dry run).
pub fn virtual_clock() -> Pages {
    let steered = Dante2sysStatus {
        clock: SteeredClock::Virtual as u8,
        utc_source: UtcSource::None as u8,
        flags: steered().flags & !(STATUS_HAS_UTC | STATUS_UTC_SYNCHRONISED),
        ..steered()
    };
    Pages { dante2sys: fresh(steered), ..locked() }
}

/// chrony steers the clock, by danteshm.
pub fn chrony() -> Pages {
    Pages { dante2sys: absent(), danteshm: fresh(feeding()), ..locked() }
}

/// danteshm writes samples, and chronyd reads neither the segment nor the socket.
pub fn fed_to_nobody() -> Pages {
    let mut body = feeding();
    body.outputs[0].delivery = Delivery::NotAttached as u8;
    body.outputs[0].last_read_raw_ns = NOW - 80 * SECOND;
    body.outputs[0].recreated = 1;
    body.outputs[2] = OutputRecord { unit: 3, delivery: Delivery::NotRead as u8, ..body.outputs[0] };
    body.output_count = 3;
    Pages { danteshm: fresh(body), ..chrony() }
}

/// danteshm has just been started.
pub fn not_read_yet() -> Pages {
    let mut body = feeding();
    body.output_count = 1;
    body.outputs[0].delivery = Delivery::Pending as u8;
    body.outputs[0].last_read_raw_ns = 0;
    Pages { danteshm: fresh(body), ..chrony() }
}

/// Another server has the path of the only output, and dante2sys was not started.
pub fn usrvclock_taken() -> Pages {
    let path = "/run/ptp-usrvclock";
    let mut body = feeding();
    body.output_count = 1;
    body.outputs[0] = OutputRecord {
        kind: OutputKind::Usrvclock as u8,
        delivery: Delivery::Unavailable as u8,
        path: SocketPath::new(path),
        ..OutputRecord::new_zeroed()
    };
    let occupants = vec![(path.into(), Occupant::Socket(None))];
    let surroundings = Surroundings { occupants, ..Surroundings::default() };
    Pages { danteshm: fresh(body), surroundings, ..chrony() }
}

/// danteshm serves a client, the system clock is not synchronised, and dante2sys was not started.
fn usrvclock_alone() -> Pages {
    let mut pages = usrvclock_taken();
    if let Ok(view) = &mut pages.danteshm {
        let body = &mut view.body;
        (body.state, body.waiting) = (relay::State::Waiting as u8, Waiting::Utc as u8);
        let output = &mut body.outputs[0];
        (output.ready, output.delivery) = (1, Delivery::Delivered as u8);
        (output.clients, output.samples, output.last_sample_raw_ns) = (1, 96, NOW - SECOND / 8);
    }
    Pages { surroundings: Surroundings::default(), ..pages }
}

/// The candidates of a host with `interface = "auto"`; Wi-Fi and a bridge for containers are passed over.
fn with_candidates(mut body: Dante4lStatus, candidates: &[CandidateRecord]) -> Dante4lStatus {
    let passed_over = [
        ("lo", PassedOver::Loopback),
        ("wlan0", PassedOver::Wireless),
        ("docker0", PassedOver::ContainerBridge),
    ];
    let passed_over = passed_over.map(|(name, why)| CandidateRecord::of_passed_over(name, why));
    let all = candidates.iter().copied().chain(passed_over);
    body.is_auto = 1;
    for (to, from) in body.candidates.iter_mut().zip(all) {
        *to = from;
        body.candidate_count += 1;
    }
    body
}

/// An interface without a leader.
fn listens(interface: &str, fault: InterfaceFault) -> CandidateRecord {
    CandidateRecord {
        interface: Text::new(interface),
        role: Role::NoLeader as u8,
        fault: fault as u8,
        state: if fault == InterfaceFault::None { port::State::Listening } else { port::State::Faulty } as u8,
        ..CandidateRecord::new_zeroed()
    }
}

/// An interface with a leader.
fn receives(interface: &str, role: Role) -> CandidateRecord {
    CandidateRecord {
        role: role as u8,
        state: port::State::Slave as u8,
        leader: leader(),
        ..listens(interface, InterfaceFault::None)
    }
}

/// An interface with the leader of another clock.
fn receives_another(interface: &str) -> CandidateRecord {
    let leader =
        LeaderRecord { id: [0, 0x1d, 0xc1, 0xa1, 0x72, 0x99, 0, 0], address: [169, 254, 77, 5], ..leader() };
    let role = Role::OtherClock;
    CandidateRecord {
        leader,
        difference_ns: -3_200_000_000,
        rate_difference: 2.5e-6,
        ..receives(interface, role)
    }
}

/// dante4l looks for a leader; dante2sys waits.
fn searching(candidates: &[CandidateRecord]) -> Pages {
    let body = with_candidates(Dante4lStatus { port_count: 0, ..observer(slave()) }, candidates);
    Pages { clock: fresh(Dante4l::default()), dante4l: fresh(body), ..listening(None) }
}

/// No candidate receives a leader: no cable on one, PTPv2 on the other one.
pub fn auto_no_leader() -> Pages {
    let mut ptp_v2 = listens("eth1", InterfaceFault::None);
    let diagnostic = Diagnostic::OnlyPtpV2;
    ptp_v2.kind = u32::try_from(diagnostic.kind()).unwrap_or_default();
    ptp_v2.diagnostic = DiagnosticRecord::of(diagnostic, Timestamp::from_ns(NOW - SECOND));
    searching(&[listens("eth0", InterfaceFault::NoCarrier), ptp_v2])
}

/// Another program uses the UDP ports on both candidates.
pub fn auto_ports_in_use() -> Pages {
    searching(&["eth0", "eth1"].map(|name| listens(name, InterfaceFault::PortInUse)))
}

/// No candidate receives anything, and one has no carrier.
pub fn auto_silent() -> Pages {
    searching(&[listens("eth0", InterfaceFault::NoCarrier), listens("eth1", InterfaceFault::None)])
}

/// The leader on the interface that was chosen is no longer received.
pub fn auto_lost() -> Pages {
    let mut body = observer(PortRecord { state: port::State::Listening as u8, ..opened("eth1") });
    body.is_auto = 1;
    Pages { dante4l: fresh(body), ..listening(None) }
}

/// The interface is a port of a bridge.
pub fn port_of_a_bridge() -> Pages {
    let mut pages = faulty();
    if let Ok(view) = &mut pages.dante4l {
        let port = &mut view.body.ports[0];
        (port.interface, port.fault) = (Text::new("eth1"), InterfaceFault::Port as u8);
    }
    let master = Master { port: "eth1".into(), kind: "bridge".into(), name: "br0".into() };
    Pages { surroundings: Surroundings { masters: vec![master], ..Surroundings::default() }, ..pages }
}

/// The kernel refuses corrections of the clock.
pub fn clock_refused() -> Pages {
    let steered = Dante2sysStatus { state: steer::State::Refused as u8, ..steered() };
    Pages { dante2sys: fresh(steered), ..locked() }
}

/// There is no candidate.
pub fn auto_no_wired_interface() -> Pages {
    searching(&[])
}

/// Both candidates receive a leader, which are compared.
pub fn auto_compares() -> Pages {
    searching(&["eth0", "eth1"].map(|name| receives(name, Role::Comparing)))
}

/// The candidates receive two clocks.
pub fn auto_two_clocks() -> Pages {
    searching(&[receives("eth0", Role::OtherClock), receives_another("eth1")])
}

/// One candidate is used; another one receives another clock, a third one nothing.
pub fn auto_another_clock() -> Pages {
    let none = listens("eth2", InterfaceFault::NoCarrier);
    let candidates = [receives_another("eth0"), receives("eth1", Role::Primary), none];
    Pages { dante4l: fresh(with_candidates(observer(slave()), &candidates)), ..locked() }
}

/// Two candidates are used, a third one receives the same clock.
pub fn auto_spare() -> Pages {
    let mut body = observer(slave());
    body.ports[1] = PortRecord { interface: Text::new("eth2"), ..slave() };
    body.port_count = 2;
    let candidates = [("eth0", Role::Spare), ("eth1", Role::Primary), ("eth2", Role::Secondary)];
    let body = with_candidates(body, &candidates.map(|(name, role)| receives(name, role)));
    Pages { dante4l: fresh(body), ..locked() }
}

/// A page of another user, and one of an older version.
pub fn foreign_page() -> Pages {
    let foreign =
        ReadError { page: "/dev/shm/dante4l".into(), program: "dante4l", fault: Fault::Owner(1000) };
    Pages {
        clock: Err(foreign.clone()),
        dante4l: Err(foreign),
        danteshm: Err(ReadError {
            page: "/dev/shm/danteshm.status".into(),
            program: "danteshm",
            fault: Fault::Version { form: Form::Status, found: 3, wanted: 4 },
        }),
        ..locked()
    }
}

fn with_freshness<B: Body>(freshness: Freshness, body: B) -> Read<B> {
    Ok(View { freshness, pid: 812, instance: 7, body })
}

pub fn fresh<B: Body>(body: B) -> Read<B> {
    with_freshness(Freshness::Fresh, body)
}

fn absent<B: Body>() -> Read<B> {
    let page = format!("/dev/shm/{}", B::PROGRAM);
    Err(ReadError { page, program: B::PROGRAM, fault: Fault::Absent })
}

/// A port with open sockets that has received nothing.
fn opened(interface: &str) -> PortRecord {
    PortRecord {
        interface: Text::new(interface),
        subdomain: Subdomain::DFLT.0,
        timestamp_source: TimestampSource::Software as u8,
        uuid: [0x3c, 0xec, 0xef, 0x11, 0x22, 0x33],
        port_id: 1,
        ..PortRecord::new_zeroed()
    }
}

fn leader() -> LeaderRecord {
    LeaderRecord {
        protocol: PtpVersion::V1 as u8,
        id: [0, 0x1d, 0xc1, 0xa1, 0x72, 0x3c, 0, 0],
        port_id: 1,
        address: [169, 254, 61, 114],
        identifier: *b"DFLT",
        variance: 0x7060,
        class: 0x99,
        preferred: 1,
        grandmaster: [0, 0x1d, 0xc1, 0xa1, 0x72, 0x3c, 0, 0],
        boundary_clock: 1,
        advertised_interval_log2: -2,
        sync_interval_ns: SECOND / 4,
        ..LeaderRecord::new_zeroed()
    }
}

fn foreign_leader() -> ForeignLeaderRecord {
    ForeignLeaderRecord { leader: leader(), last_sync_raw_ns: NOW - SECOND / 8, qualified: 1, defect: 0 }
}

/// A port that follows a leader.
fn slave() -> PortRecord {
    let mut port = PortRecord {
        state: port::State::Slave as u8,
        flags: PORT_HAS_LEADER | PORT_HAS_MAP | PORT_HAS_SAMPLE,
        leader: leader(),
        timeline: 1,
        map: MapRecord {
            raw0_ns: NOW,
            dante0_ns: UPTIME,
            rate: 12.0469e-6,
            offset_sigma_ns: 106,
            rate_sigma: 8.7e-9,
            correlation: 0.0,
            wander: 1e-10,
        },
        last: sample(320),
        ..opened("eth1")
    };
    // sync, follow_up
    port.counters[0] = 321;
    port.counters[1] = 321;
    port.foreign_leaders[0] = foreign_leader();
    port.foreign_leader_count = 1;
    port
}

/// Sample `number`; number 320 arrived 125 ms ago.
fn sample(number: u64) -> SampleRecord {
    let ago = (320 - number.cast_signed()) * SECOND / 4 + SECOND / 8;
    // Deterministic noise.
    let residual_ns = (number.cast_signed() * 7919) % 613 - 306;
    SampleRecord {
        number,
        timeline: 1,
        arrived_raw_ns: NOW - ago,
        arrived_real_ns: UTC - ago,
        origin_ns: UPTIME - ago - residual_ns,
        residual_ns,
        accepted: 1,
        port: 0,
    }
}

fn observer(port: PortRecord) -> Dante4lStatus {
    let mut body = Dante4lStatus {
        port_count: 1,
        kernel_clock: KernelClock::Synchronised as u8,
        kernel_max_error_ns: 1_512_345,
        ..Dante4lStatus::default()
    };
    body.ports[0] = port;
    body
}

/// The clock page with a full ring.
fn sampled() -> Dante4l {
    let mut body = Dante4l { samples: 320 - RING as u64, ..Dante4l::default() };
    (body.samples + 1..=320).for_each(|number| body.push(sample(number)));
    body
}

fn waiting() -> Dante2sysStatus {
    Dante2sysStatus { state: steer::State::Waiting as u8, ..Dante2sysStatus::default() }
}

fn steered() -> Dante2sysStatus {
    Dante2sysStatus {
        state: steer::State::Locked as u8,
        clock: SteeredClock::Realtime as u8,
        utc_source: UtcSource::Ntp as u8,
        flags: STATUS_HAS_SCALE | STATUS_HAS_PHASE | STATUS_HAS_UTC | STATUS_UTC_SYNCHRONISED,
        policy: Policy::Step as u8,
        rtc: RtcMode::Device as u8,
        agreeing: 3,
        frequency: 12.0376e-6,
        rate_error: -9.3e-9,
        phase_error_ns: 37,
        epoch_ns: UTC - UPTIME,
        key_instance: 7,
        key_number: 1,
        corrections: 412,
        phase_sigma_ns: 106,
        rate_sigma: 8.7e-9,
        utc: UtcRecord {
            error_ns: 812_345,
            sigma_ns: 41_234,
            bound_ns: 1_512_345,
            measured_raw_ns: NOW - 12 * SECOND,
            leader_rate: 12.3104e-6,
            leader_rate_sigma: 31.2e-9,
        },
        interval_ns: 64 * SECOND,
        utc_steps: 3,
        rtc_written_ns: UTC - 300 * SECOND,
        ..Dante2sysStatus::default()
    }
}

fn feeding() -> DanteshmStatus {
    let mut body = DanteshmStatus {
        state: relay::State::Feeding as u8,
        epoch_source: 1,
        waiting: Waiting::Nothing as u8,
        output_count: 2,
        epoch_ns: UTC - UPTIME,
        key_instance: 7,
        key_number: 1,
        last_sample_raw_ns: NOW,
        ..DanteshmStatus::default()
    };
    body.outputs[0] = OutputRecord {
        kind: OutputKind::Shm as u8,
        ready: 1,
        delivery: Delivery::Delivered as u8,
        unit: 2,
        samples: 96,
        last_sample_raw_ns: NOW - SECOND / 8,
        last_read_raw_ns: NOW - SECOND / 16,
        ..OutputRecord::new_zeroed()
    };
    body.outputs[1] = OutputRecord {
        kind: OutputKind::Sock as u8,
        delivery: Delivery::NotAttached as u8,
        samples: 90,
        lost: 6,
        last_sample_raw_ns: NOW - 2 * SECOND,
        path: SocketPath::new("/run/chrony.dante.sock"),
        ..OutputRecord::new_zeroed()
    };
    body
}
