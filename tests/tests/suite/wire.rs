//! The packets that the programs send, decoded by tshark.

use dante_core::port::{Channel, State};
use dante_core::time::Timestamp;
use dante_core::wire::{DelayResp, FollowUp, Management, Payload, PortIdentity, Uuid};
use dante_tests::capture::{Capture, CaptureFile, Packet, hardware_address};
use dante_tests::lab::{Lab, Readers};
use dante_tests::raw_sender::{RawSender, header, sync};
use dante_tests::{EVENT_TIMEOUT, SYNC_INTERVAL_S, judge, wait_for};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const SYNC: &str = "ptp.controlfield == 0";
const FOLLOW_UP: &str = "ptp.controlfield == 2";
const DELAY_RESP: &str = "ptp.controlfield == 3";

#[test]
fn packets_match_those_of_real_devices() {
    let Some(lab) = Lab::new() else { return };
    let capture = Capture::start(&lab.stage, &lab.near);
    let _dante4l = lab.dante4l(&["--delay=e2e"]);
    let leader = lab.leader(&["--ppm=12", "--uptime=541867"]);
    let mut readers = lab.readers();
    readers.wait_for_port(State::Slave, EVENT_TIMEOUT);
    // Four exchanges take up to 25 s.
    wait_for("four Delay_Resps", EVENT_TIMEOUT * 2, || {
        let counters = lab.stage.status()["dante4l"]["ports"][0]["counters"].take();
        (counters["delay_resp"].as_u64()? >= 4).then_some(())
    });
    judge_delay(&lab, &mut readers, &leader);
    let caught = capture.stop();

    let broken = caught.packets("_ws.malformed || _ws.expert");
    assert!(broken.is_empty(), "tshark complains of {broken:?}");
    let others = caught.packets("udp && !ptp");
    assert!(others.is_empty(), "not PTP: {others:?}");
    for packet in caught.packets("ptp") {
        assert_eq!(packet.number("ptp.versionptp"), 1);
        assert_eq!(packet.number("ptp.versionnetwork"), 1);
        assert_eq!(packet.text("ptp.subdomain"), "_DFLT");
        assert_eq!(packet.number("ptp.sourcecommunicationtechnology"), 1);
        assert_eq!(packet.number("ip.ttl"), 1);
        assert_eq!(packet.text("ip.dst"), "224.0.1.129");
        assert_eq!(packet.text("ptp.sourceuuid"), packet.text("eth.src"));
    }
    let syncs = judge_syncs(&caught, &lab);
    judge_follow_ups(&caught, &syncs);
    judge_requests(&caught, &lab, &syncs);
}

/// The path delay that dante4l measured, and the clock map with it.
fn judge_delay(lab: &Lab, readers: &mut Readers, leader: &dante_tests::lab::LeaderProcess) {
    let status = lab.stage.status();
    let delay = status["dante4l"]["path_delay_ns"].as_f64().expect("a measured path delay");
    assert!(delay > 0.0, "{delay}");
    judge("path delay", delay / 1e3, 50.0, "us");
    let map = readers.map().expect("a map");
    let error = map.line.at0 - leader.truth().at(map.line.raw0);
    judge("map with the delay - truth", error.ns() as f64 / 1e3, 5.0, "us");
}

fn assert_channel(packet: &Packet, dscp: i64, port: i64, message_type: i64, bytes: i64) {
    assert_eq!(packet.number("ip.dsfield.dscp"), dscp);
    assert_eq!(packet.number("udp.dstport"), port);
    assert_eq!(packet.number("ptp.messagetype"), message_type);
    assert_eq!(packet.number("udp.length"), bytes + 8);
}

/// Judges the Syncs, and returns them by their sequence numbers.
fn judge_syncs(caught: &CaptureFile, lab: &Lab) -> BTreeMap<i64, Packet> {
    let syncs = caught.packets(SYNC);
    assert!(syncs.len() > 20, "only {} Syncs", syncs.len());
    for sync in &syncs {
        assert_channel(sync, 56, 319, 1, 124);
        assert_eq!(sync.text("ip.src"), lab.far_address());
        assert!(sync.number("udp.srcport") >= 1024, "real devices send from ephemeral ports");
        assert_eq!(sync.number("ptp.flags"), 0x000c, "boundary clock and two-step");
        assert_eq!(sync.number("ptp.sdr.syncinterval"), -2);
        assert_eq!(sync.number("ptp.sdr.grandmasterclockstratum"), 153);
        assert_eq!(sync.number("ptp.sdr.localclockstratum"), 153);
        assert_eq!(sync.text("ptp.sdr.grandmasterclockidentifier"), "DFLT");
        assert_eq!(sync.number("ptp.sdr.grandmasterclockvariance"), 0x7060);
        assert_eq!(sync.number("ptp.sdr.grandmasterisboundaryclock"), 1);
        assert_eq!(sync.number("ptp.sdr.grandmasterportid"), 0);
        assert_eq!(sync.text("ptp.sdr.grandmasterclockuuid"), sync.text("eth.src"));
        assert_eq!(sync.number("ptp.sdr.localstepsremoved"), 0);
        assert_eq!(sync.number("ptp.sdr.epochnumber"), 0);
        assert_eq!(sync.number("ptp.sdr.currentutcoffset"), 0);
        assert_eq!(sync.number("ptp.sdr.utcreasonable"), 0);
        let uptime = sync.number("ptp.sdr.origintimestamp_seconds");
        assert!((541_866..541_960).contains(&uptime), "{uptime}");
    }
    for pair in syncs.windows(2) {
        let step = pair[1].number("ptp.sequenceid") - pair[0].number("ptp.sequenceid");
        assert_eq!(step, 1);
    }
    let mut errors: Vec<f64> =
        syncs.windows(2).map(|pair| (pair[1].time() - pair[0].time() - SYNC_INTERVAL_S).abs()).collect();
    errors.sort_by(f64::total_cmp);
    println!("Sync interval - 250 ms, worst: {:.3} ms", errors[errors.len() - 1] * 1e3);
    // A busy machine sends a Sync late now and then.
    judge("Sync interval - 250 ms, nine of ten", errors[errors.len() * 9 / 10] * 1e3, 5.0, "ms");
    syncs.into_iter().map(|sync| (sync.number("ptp.sequenceid"), sync)).collect()
}

fn judge_follow_ups(caught: &CaptureFile, syncs: &BTreeMap<i64, Packet>) {
    let follow_ups = caught.packets(FOLLOW_UP);
    let mut answered: Vec<i64> = Vec::new();
    let (mut delays, mut laters) = (Vec::new(), Vec::new());
    for packet in &follow_ups {
        assert_channel(packet, 46, 320, 2, 52);
        assert!(packet.number("udp.srcport") >= 1024);
        let sequence = packet.number("ptp.fu.associatedsequenceid");
        let sync = syncs.get(&sequence).unwrap_or_else(|| panic!("no Sync {sequence}"));
        answered.push(sequence);
        delays.push((packet.time() - sync.time()) * 1e6);
        let ns = |field: &str, packet: &Packet| -> i64 {
            packet.number(&format!("{field}_seconds")) * 1_000_000_000
                + packet.number(&format!("{field}_nanoseconds"))
        };
        let later = ns("ptp.fu.preciseorigintimestamp", packet) - ns("ptp.sdr.origintimestamp", sync);
        // The time in the Sync is 61 us early, and the packet is sent some us after that time was written.
        assert!(later >= 61_000, "time in the Follow_Up - time in the Sync: {later} ns");
        laters.push(later as f64 / 1e3);
    }
    // A busy machine delays the leader now and then.
    for (what, mut figures) in
        [("Follow_Up after its Sync", delays), ("departure after the Sync's time", laters)]
    {
        figures.sort_by(f64::total_cmp);
        println!("{what}, worst: {:.0} us", figures[figures.len() - 1]);
        judge(&format!("{what}, nine of ten"), figures[figures.len() * 9 / 10], 1000.0, "us");
    }
    let mut all: Vec<i64> = syncs.keys().copied().collect();
    // The Follow_Up of the last Sync may be sent after the end of the capture.
    if answered.len() < all.len() {
        all.pop();
    }
    assert_eq!(answered, all, "every Sync has one Follow_Up");
}

fn judge_requests(caught: &CaptureFile, lab: &Lab, syncs: &BTreeMap<i64, Packet>) {
    let requests = caught.requests_of(&lab.near);
    let answers = caught.packets(DELAY_RESP);
    let [leader, second] = syncs.values().take(2).collect::<Vec<_>>()[..] else { panic!("two Syncs") };
    for request in &requests {
        assert_eq!(request.text("ip.src"), lab.near_address());
        assert_eq!(request.text("ptp.sdr.grandmasterclockuuid"), leader.text("ptp.sourceuuid"));
        assert_eq!(request.text("ptp.sdr.parentuuid"), leader.text("ptp.sourceuuid"));
        assert_eq!(request.number("ptp.sdr.syncinterval"), -2);
    }
    // dante4l selects the leader at its second Sync and sends the first Delay_Req 4 to 7 intervals later, the others 2 to 30
    // intervals apart. The upper limits allow for a machine that delays dante4l.
    let first = (requests[0].time() - second.time()) / SYNC_INTERVAL_S;
    assert!((3.9..15.0).contains(&first), "first Delay_Req {first:.2} intervals after the second Sync");
    for pair in requests.windows(2) {
        let apart = (pair[1].time() - pair[0].time()) / SYNC_INTERVAL_S;
        println!("Delay_Reqs {apart:.2} intervals apart");
        assert!((1.9..34.0).contains(&apart), "Delay_Reqs {apart} intervals apart");
    }
    for answer in &answers {
        assert_channel(answer, 46, 320, 2, 60);
        assert_eq!(answer.text("ip.src"), lab.far_address());
        let sequence = answer.number("ptp.dr.requestingsourcesequenceid");
        let request = requests.iter().find(|request| request.number("ptp.sequenceid") == sequence);
        let request = request.unwrap_or_else(|| panic!("Delay_Resp to an unknown Delay_Req {sequence}"));
        assert_eq!(answer.text("ptp.dr.requestingsourceuuid"), request.text("ptp.sourceuuid"));
        assert_eq!(answer.number("ptp.dr.requestingsourceportid"), request.number("ptp.sourceportid"));
    }
    assert!(requests.len() >= 4 && answers.len() + 1 >= requests.len(), "{} answers", answers.len());
}

#[test]
fn dante4l_sends_nothing_by_default() {
    let Some(lab) = Lab::new() else { return };
    let capture = Capture::start(&lab.stage, &lab.near);
    let [_danteshm, _dante2sys, dante4l] = lab.daemons();
    let _leader = lab.leader(&[]);
    lab.readers().wait_for_port(State::Slave, EVENT_TIMEOUT);
    // Longer than the time to a first Delay_Req.
    std::thread::sleep(Duration::from_secs(5));
    let syncs = || lab.stage.status()["dante4l"]["ports"][0]["counters"]["sync"].as_u64();
    wait_for("25 Syncs", EVENT_TIMEOUT, || (syncs()? > 24).then_some(()));
    dante4l.stop().expect(0, &[]);
    let caught = capture.stop();
    assert!(caught.packets(SYNC).len() > 20, "the capture has the leader's Syncs");
    let joins = caught.packets(&format!("ip.src == {} && igmp", lab.near_address()));
    assert!(!joins.is_empty(), "the capture has packets that this host sends: the IGMP join");
    let own = caught.requests_of(&lab.near);
    assert!(own.is_empty(), "sent: {own:?}");
}

/// Queries and forged packets make dante4l send neither other packets nor more Delay_Reqs.
#[test]
fn sends_only_delay_reqs_whatever_it_receives() {
    let Some((lab, host)) = Lab::with_third_host() else { return };
    let capture = Capture::start(&lab.stage, &lab.near);
    let (leader, dante4l) = lab.following(&["--ppm=12", "--force"], &["--delay=e2e"]);
    let mut sender = RawSender::on(&host);
    let begun = Instant::now();
    let mut sequence = 0;
    while begun.elapsed() < Duration::from_secs(12) {
        sequence += 1;
        provocations(sequence, &hardware_address(&lab.near))
            .for_each(|(channel, bytes)| sender.send(channel, &bytes));
        std::thread::sleep(Duration::from_millis(50));
    }
    let requests = wait_for("two Delay_Reqs", EVENT_TIMEOUT, || {
        let counters = lab.stage.status()["dante4l"]["ports"][0]["counters"].take();
        counters["delay_req_sent"].as_u64().filter(|sent| *sent >= 2)
    });
    println!("{}", dante4l.output());
    dante4l.stop().expect(0, &[]);
    let caught = capture.stop();
    let sent = caught.requests_of(&lab.near);
    assert!(sent.len() as u64 >= requests, "{} Delay_Reqs of {requests} in the capture", sent.len());
    // The shortest Sync interval that dante4l accepts is 62.5 ms, and at least two lie between two Delay_Reqs.
    for pair in sent.windows(2) {
        assert!(pair[1].time() - pair[0].time() > 0.1, "{pair:?}");
    }
    assert!(caught.packets("ptp.controlfield == 4").len() > 100, "the capture has the queries");
    leader.program.stop().expect(0, &[]);
}

/// Returns all queries, Delay_Reqs as of another follower, unsolicited responses, and Syncs with extreme intervals of a leader that
/// is better than the real one.
fn provocations(sequence: u16, near: &str) -> impl Iterator<Item = (Channel, Vec<u8>)> {
    let uuid = |last| Uuid([0, 0x1d, 0xc1, 0, 0, last]);
    let source = PortIdentity { technology: 1, uuid: uuid(1), port_id: 1 };
    let near = PortIdentity { technology: 1, uuid: near.parse().expect("a UUID"), port_id: 1 };
    let head = header(source, sequence);
    let queries = [
        Payload::ObtainIdentity,
        Payload::GetDefaultDataSet,
        Payload::GetCurrentDataSet,
        Payload::GetParentDataSet,
        Payload::GetPortDataSet,
        Payload::GetGlobalTimeDataSet,
    ];
    let queries = queries.into_iter().map(move |payload| {
        let body = Management { target: near, starting_boundary_hops: 1, boundary_hops: 1, payload };
        (Channel::General, head.management(&body).expect("a query").to_vec())
    });
    let mut extreme = sync(source, sequence, true).to_vec();
    extreme[SYNC_INTERVAL] = if sequence % 100 < 50 { 0x80 } else { 0x7f };
    let mut request = sync(PortIdentity { uuid: uuid(2), ..source }, sequence, false).to_vec();
    request[CONTROL] = 1;
    let response = head.delay_resp(&DelayResp {
        received: Timestamp::from_ns(i64::from(sequence)),
        requesting: near,
        requesting_sequence_id: sequence,
    });
    let follow_up = FollowUp { associated_sequence_id: sequence, precise_origin: Timestamp::from_ns(1) };
    let follow_up = head.follow_up(&follow_up).to_vec();
    let v2 = vec![0x0b, 2, 0, 64];
    queries.chain([
        (Channel::Event, extreme),
        (Channel::Event, request),
        (Channel::General, response.to_vec()),
        (Channel::General, follow_up),
        (Channel::General, v2),
    ])
}

/// Position of the control field in a message (IEEE 1588-2002, 8.2).
const CONTROL: usize = 32;
/// Position of the Sync interval in a Sync (IEEE 1588-2002, 8.3).
const SYNC_INTERVAL: usize = 83;
