//! What the programs send, decoded and judged by tshark.

use dante_core::port::{Channel, State};
use dante_core::time::Timestamp;
use dante_core::wire::{DelayResp, FollowUp, GetForeignDataSet, Management, Payload, PortIdentity, Uuid};
use dante_tests::capture::{Capture, Caught, Packet, hardware_address};
use dante_tests::lab::{Eyes, Lab};
use dante_tests::stranger::{Stranger, header, sync};
use dante_tests::{judge, wait_for};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const SYNC: &str = "ptp.controlfield == 0";
const FOLLOW_UP: &str = "ptp.controlfield == 2";
const DELAY_RESP: &str = "ptp.controlfield == 3";
/// 2^-2 s.
const INTERVAL_S: f64 = 0.25;

#[test]
fn every_packet_is_as_real_devices_send_it() {
    let Some(lab) = Lab::new() else { return };
    let capture = Capture::start(&lab.stage, &lab.near);
    let _dante4l = lab.dante4l(&["--delay=e2e"]);
    let leader = lab.leader(&["--ppm=12", "--uptime=541867"]);
    let mut eyes = lab.eyes();
    eyes.wait_for_port(State::Slave, Duration::from_secs(20));
    let four_exchanges = Duration::from_secs(45);
    wait_for("four Delay_Resps", four_exchanges, || {
        let counters = lab.stage.status()["dante4l"]["ports"][0]["counters"].take();
        (counters["delay_resp"].as_u64()? >= 4).then_some(())
    });
    judge_delay(&lab, &mut eyes, &leader);
    let caught = capture.stop();

    let broken = caught.packets("_ws.malformed || _ws.expert");
    assert!(broken.is_empty(), "tshark complains of {broken:?}");
    let strangers = caught.packets("udp && !ptp");
    assert!(strangers.is_empty(), "not PTP: {strangers:?}");
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

/// The delay that dante4l has measured, and what the map makes of it.
fn judge_delay(lab: &Lab, eyes: &mut Eyes, leader: &dante_tests::lab::LeaderProcess) {
    let status = lab.stage.status();
    let delay = status["dante4l"]["path_delay_ns"].as_f64().expect("a measured path delay");
    assert!(delay > 0.0, "{delay}");
    judge("path delay", delay / 1e3, 50.0, "us");
    let map = eyes.map().expect("a map");
    let error = map.line.at0 - leader.truth().at(map.line.raw0);
    judge("map with the delay - truth", error.ns() as f64 / 1e3, 5.0, "us");
}

fn assert_channel(packet: &Packet, dscp: i64, port: i64, message_type: i64, bytes: i64) {
    assert_eq!(packet.number("ip.dsfield.dscp"), dscp);
    assert_eq!(packet.number("udp.dstport"), port);
    assert_eq!(packet.number("ptp.messagetype"), message_type);
    assert_eq!(packet.number("udp.length"), bytes + 8);
}

/// The Syncs by their sequence number.
fn judge_syncs(caught: &Caught, lab: &Lab) -> BTreeMap<i64, Packet> {
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
    let mut off: Vec<f64> =
        syncs.windows(2).map(|pair| (pair[1].time() - pair[0].time() - INTERVAL_S).abs()).collect();
    off.sort_by(f64::total_cmp);
    println!("Sync spacing - 250 ms, worst: {:.3} ms", off[off.len() - 1] * 1e3);
    // A machine with other work sends one late now and then; the rest are on time.
    judge("Sync spacing - 250 ms, nine of ten", off[off.len() * 9 / 10] * 1e3, 5.0, "ms");
    syncs.into_iter().map(|sync| (sync.number("ptp.sequenceid"), sync)).collect()
}

fn judge_follow_ups(caught: &Caught, syncs: &BTreeMap<i64, Packet>) {
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
        // The Sync says 61 us too little, and the packet leaves some us after its time was written.
        assert!(later >= 61_000, "the Follow_Up says {later} ns more than the Sync");
        laters.push(later as f64 / 1e3);
    }
    // A machine with other work holds the leader up now and then.
    for (what, mut figures) in
        [("Follow_Up after its Sync", delays), ("departure after the Sync's time", laters)]
    {
        figures.sort_by(f64::total_cmp);
        println!("{what}, worst: {:.0} us", figures[figures.len() - 1]);
        judge(&format!("{what}, nine of ten"), figures[figures.len() * 9 / 10], 1000.0, "us");
    }
    let mut all: Vec<i64> = syncs.keys().copied().collect();
    // The last one's Follow_Up may have come after the end of the capture.
    if answered.len() < all.len() {
        all.pop();
    }
    assert_eq!(answered, all, "every Sync has its one Follow_Up");
}

fn judge_requests(caught: &Caught, lab: &Lab, syncs: &BTreeMap<i64, Packet>) {
    let requests = caught.requests_of(&lab.near);
    let answers = caught.packets(DELAY_RESP);
    let [leader, second] = syncs.values().take(2).collect::<Vec<_>>()[..] else { panic!("two Syncs") };
    for request in &requests {
        assert_eq!(request.text("ip.src"), lab.near_address());
        assert_eq!(request.text("ptp.sdr.grandmasterclockuuid"), leader.text("ptp.sourceuuid"));
        assert_eq!(request.text("ptp.sdr.parentuuid"), leader.text("ptp.sourceuuid"));
        assert_eq!(request.number("ptp.sdr.syncinterval"), -2);
    }
    // The leader is chosen at its second Sync; the first request comes 4 to 7 intervals after that.
    let first = (requests[0].time() - second.time()) / INTERVAL_S;
    assert!(
        (3.9..7.5).contains(&first),
        "the first Delay_Req came {first:.2} intervals after the second Sync"
    );
    for pair in requests.windows(2) {
        let apart = (pair[1].time() - pair[0].time()) / INTERVAL_S;
        println!("Delay_Reqs {apart:.2} intervals apart");
        assert!((1.9..30.5).contains(&apart), "{apart} intervals apart");
    }
    for answer in &answers {
        assert_channel(answer, 46, 320, 2, 60);
        assert_eq!(answer.text("ip.src"), lab.far_address());
        let sequence = answer.number("ptp.dr.requestingsourcesequenceid");
        let request = requests.iter().find(|request| request.number("ptp.sequenceid") == sequence);
        let request = request.unwrap_or_else(|| panic!("nobody sent Delay_Req {sequence}"));
        assert_eq!(answer.text("ptp.dr.requestingsourceuuid"), request.text("ptp.sourceuuid"));
        assert_eq!(answer.number("ptp.dr.requestingsourceportid"), request.number("ptp.sourceportid"));
    }
    assert!(requests.len() >= 4 && answers.len() + 1 >= requests.len(), "{} answers", answers.len());
}

#[test]
fn dante4l_sends_nothing_unless_asked_to() {
    let Some(lab) = Lab::new() else { return };
    let capture = Capture::start(&lab.stage, &lab.near);
    let [_danteshm, _dante2sys, dante4l] = lab.daemons();
    let _leader = lab.leader(&[]);
    lab.eyes().wait_for_port(State::Slave, Duration::from_secs(20));
    // Longer than a first Delay_Req would wait.
    std::thread::sleep(Duration::from_secs(5));
    let syncs = || lab.stage.status()["dante4l"]["ports"][0]["counters"]["sync"].as_u64();
    wait_for("Syncs enough", Duration::from_secs(20), || (syncs()? > 24).then_some(()));
    dante4l.stop().expect(0, &[]);
    let caught = capture.stop();
    assert!(caught.packets(SYNC).len() > 20, "the capture caught the leader at least");
    let joins = caught.packets(&format!("ip.src == {} && igmp", lab.near_address()));
    assert!(!joins.is_empty(), "the capture sees what this host sends: the IGMP join");
    let own = caught.requests_of(&lab.near);
    assert!(own.is_empty(), "sent: {own:?}");
}

/// Neither questions nor forgeries make dante4l say anything else, nor say it more often.
#[test]
fn nothing_but_requests_is_sent_whatever_is_heard() {
    let Some((lab, host)) = Lab::with_stranger() else { return };
    let capture = Capture::start(&lab.stage, &lab.near);
    let (leader, dante4l) = lab.following(&["--ppm=12", "--force"], &["--delay=e2e"]);
    let mut stranger = Stranger::on(&host);
    let begun = Instant::now();
    let mut sequence = 0;
    while begun.elapsed() < Duration::from_secs(12) {
        sequence += 1;
        provocations(sequence, &hardware_address(&lab.near))
            .for_each(|(channel, bytes)| stranger.say(channel, &bytes));
        std::thread::sleep(Duration::from_millis(50));
    }
    let requests = wait_for("two requests", Duration::from_secs(30), || {
        let counters = lab.stage.status()["dante4l"]["ports"][0]["counters"].take();
        counters["delay_req_sent"].as_u64().filter(|sent| *sent >= 2)
    });
    println!("{}", dante4l.output());
    dante4l.stop().expect(0, &[]);
    let caught = capture.stop();
    let sent = caught.requests_of(&lab.near);
    assert!(sent.len() as u64 >= requests, "{} of {requests} were seen", sent.len());
    // The shortest interval that a leader can advertise is 62.5 ms, and two lie between requests at the least.
    for pair in sent.windows(2) {
        assert!(pair[1].time() - pair[0].time() > 0.1, "{pair:?}");
    }
    assert!(caught.packets("ptp.controlfield == 4").len() > 100, "the questions were there");
    leader.program.stop().expect(0, &[]);
}

/// Questions of all kinds, requests as of another follower, answers to none, and Syncs with the wildest intervals of a
/// leader that is better than the real one.
fn provocations(sequence: u16, near: &str) -> impl Iterator<Item = (Channel, Vec<u8>)> {
    let uuid = |last| Uuid([0, 0x1d, 0xc1, 0, 0, last]);
    let source = PortIdentity { technology: 1, uuid: uuid(1), port_id: 1 };
    let near = PortIdentity { technology: 1, uuid: near.parse().expect("a UUID"), port_id: 1 };
    let head = header(source, sequence);
    let questions = [
        Payload::ObtainIdentity,
        Payload::GetDefaultDataSet,
        Payload::GetCurrentDataSet,
        Payload::GetParentDataSet,
        Payload::GetPortDataSet,
        Payload::GetGlobalTimeDataSet,
        Payload::GetForeignDataSet(GetForeignDataSet { record_key: 0 }),
    ];
    let asked = questions.into_iter().map(move |payload| {
        let body = Management { target: near, starting_boundary_hops: 1, boundary_hops: 1, payload };
        (Channel::General, head.management(&body).expect("a question").to_vec())
    });
    let mut wild = sync(source, sequence, true).to_vec();
    wild[SYNC_INTERVAL] = if sequence % 100 < 50 { 0x80 } else { 0x7f };
    let mut request = sync(PortIdentity { uuid: uuid(2), ..source }, sequence, false).to_vec();
    request[CONTROL] = 1;
    let answer = head.delay_resp(&DelayResp {
        received: Timestamp::from_ns(i64::from(sequence)),
        requesting: near,
        requesting_sequence_id: sequence,
    });
    let follow_up = FollowUp { associated_sequence_id: sequence, precise_origin: Timestamp::from_ns(1) };
    let follow_up = head.follow_up(&follow_up).to_vec();
    let v2 = vec![0x0b, 2, 0, 64];
    asked.chain([
        (Channel::Event, wild),
        (Channel::Event, request),
        (Channel::General, answer.to_vec()),
        (Channel::General, follow_up),
        (Channel::General, v2),
    ])
}

/// Bytes of a message (IEEE 1588-2002, 8.2 and 8.3).
const CONTROL: usize = 32;
const SYNC_INTERVAL: usize = 83;
