//! `pmc-lite query` on real packets: what it asks, what is answered, and what it makes of bad answers.

use dante_core::management_client::{self, SPACING};
use dante_core::port::{Channel, NoTimestamp, State};
use dante_core::time::{Ratio, Timestamp};
use dante_core::wire::{
    ClockIdentity, GENERAL_PORT, Management, Message, Packet as Parsed, Payload, PortIdentity, Subdomain,
    Uuid,
};
use dante_os::clock::raw_now;
use dante_sim::leader::{self, Leader, LeaderConfig};
use dante_sim::oscillator::Oscillator;
use dante_tests::capture::{Capture, Caught, Packet, hardware_address};
use dante_tests::lab::{Lab, proc_status};
use dante_tests::namespace::{CABLE, Namespace};
use dante_tests::program::{Ended, Program};
use dante_tests::stranger::{Generator, Stranger, header};
use dante_tests::wait_for;
use nix::sys::signal::Signal;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const TO_ALL: &str = "00:00:00:00:00:00";

/// Keys of all questions, in their order (IEEE 1588-2002, 8.6).
fn questions() -> Vec<i64> {
    management_client::questions().map(|question| question.key().into()).collect()
}

/// Keys of the answers: each is the one after its question's.
fn answer_keys() -> Vec<i64> {
    questions().into_iter().map(|key| key + 1).collect()
}

fn start(lab: &Lab, words: &[&str]) -> Program {
    lab.start("pmc-lite", &[&["query", "-i", CABLE], words].concat())
}

fn query(lab: &Lab, words: &[&str]) -> Ended {
    start(lab, words).ended(PATIENCE)
}

/// The clocks of `--json`, without the remarks.
fn clocks(ended: &Ended) -> Vec<Value> {
    let json: String = ended.said.lines().filter(|line| !line.starts_with("pmc-lite: ")).collect();
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {}", ended.said))
}

fn complete(clock: &Value) -> bool {
    let sets =
        ["identity", "default_data_set", "current_data_set", "parent_data_set", "global_time_data_set"];
    sets.iter().all(|set| clock[set].is_object()) && clock["port_data_sets"][0].is_object()
}

/// All that is asked and answered is right in the eyes of tshark, and dante4l on the same host, with the same port open, is
/// not disturbed.
#[test]
fn what_is_asked_and_answered_is_well_formed_and_dante4l_stays_locked_beside_it() {
    let Some(lab) = Lab::new() else { return };
    let (leader, dante4l) = lab.following(&["--ppm=12", "--uptime=541867", "--force"], &[]);
    let capture = Capture::start(&lab.stage, &lab.near);
    let (far, near) = (hardware_address(&lab.far), hardware_address(&lab.near));
    let all = query(&lab, &["--json", "--timeout=5"]);
    all.expect(0, &[]);
    let named = query(&lab, &["--json", "-b", "2", "--timeout=9", &far]);
    named.expect(0, &[]);
    let text = query(&lab, &["--timeout=9", &far]);
    text.expect(0, &[&far, "dantesim", "MASTER", "stratum 153 DFLT", &lab.far_address()]);
    let caught = capture.stop();

    for clocks in [clocks(&all), clocks(&named)] {
        assert_eq!(clocks.len(), 1, "{clocks:?}");
        let clock = &clocks[0];
        assert!(complete(clock), "{clock}");
        assert_eq!(clock["uuid"], far);
        assert_eq!(clock["address"], lab.far_address());
        assert_eq!(clock["second_address"], Value::Null);
        assert_eq!(clock["default_data_set"]["stratum"], 153);
        assert_eq!(clock["port_data_sets"][0]["state"], "MASTER");
        assert_eq!(clock["port_data_sets"][0]["group"], "224.0.1.129");
        assert_eq!(clock["parent_data_set"]["grandmaster"]["uuid"], far);
        let time = clock["global_time_data_set"]["local_time"]["s"].as_i64().expect("seconds");
        assert!((541_867..541_967).contains(&time), "{time}");
    }
    judge(&caught, &lab, &near, &far);

    let status = lab.stage.status();
    assert_eq!(status["dante4l"]["state"], "SLAVE", "{}", dante4l.output());
    assert_eq!(status["dante4l"]["timeline"], 1);
    let counters = &status["dante4l"]["ports"][0]["counters"];
    assert_eq!(counters["management"], json!(3 * questions().len()), "both programs heard the same answers");
    assert_eq!(sent(&caught, &lab.near).len(), 3 * questions().len(), "nothing but the questions");
    leader.program.stop().expect(0, &[]);
}

fn judge(caught: &Caught, lab: &Lab, near: &str, far: &str) {
    let broken = caught.packets("_ws.malformed || _ws.expert");
    assert!(broken.is_empty(), "tshark complains of {broken:?}");
    let asked = caught.packets(&format!("ptp.controlfield == 4 && eth.src == {near}"));
    let keys: Vec<i64> = asked.iter().map(|packet| packet.number("ptp.mm.managementmessagekey")).collect();
    assert_eq!(keys, questions().repeat(3), "once each, and nothing else");
    let targets: Vec<&str> = asked.iter().map(|packet| packet.text("ptp.mm.targetuuid")).collect();
    assert_eq!(
        (targets[0], targets.iter().filter(|target| **target == far).count()),
        (TO_ALL, 3 * questions().len() - 1)
    );
    for packet in &asked {
        judge_head(packet, near, &lab.near_address());
        assert_eq!(packet.number("ptp.mm.parameterlength"), 0);
        assert_eq!(packet.number("ptp.mm.targetportid"), 0);
    }
    let hops = |packet: &Packet| {
        (packet.number("ptp.mm.startingboundaryhops"), packet.number("ptp.mm.boundaryhops"))
    };
    assert_eq!([hops(&asked[0]), hops(&asked[6])], [(0, 0), (2, 2)]);
    // Between the questions of one run. A busy machine may send one late, and the next is nearer then.
    let gaps = asked.chunks(6).flat_map(|run| run.windows(2).map(|pair| pair[1].time() - pair[0].time()));
    let mut gaps: Vec<f64> = gaps.collect();
    gaps.sort_by(f64::total_cmp);
    assert!(gaps[gaps.len() / 2] > SPACING.secs_f64() * 0.95, "{gaps:?}");
    let answers = caught.packets(&format!("ptp.controlfield == 4 && eth.src == {far}"));
    let keys: Vec<i64> = answers.iter().map(|packet| packet.number("ptp.mm.managementmessagekey")).collect();
    assert_eq!(keys, answer_keys().repeat(3));
    for (question, answer) in asked.iter().zip(&answers) {
        judge_head(answer, far, &lab.far_address());
        assert_eq!(answer.text("ptp.mm.targetuuid"), near);
        assert_eq!(answer.text("ptp.mm.targetportid"), question.text("ptp.sourceportid"));
    }
    let one = |key: usize| &answers[key];
    assert_eq!(one(1).number("ptp.mm.default.data.set.clockstratum"), 153);
    assert_eq!(one(1).number("ptp.mm.default.data.set.syncinterval"), -2);
    assert_eq!(one(3).text("ptp.mm.parent.data.set.grandmasteruuidfield"), far);
    assert_eq!(one(4).number("ptp.mm.port.data.set.portstate"), 5);
    assert!((541_867..541_967).contains(&one(5).number("ptp.mm.global.time.data.set.localtimeseconds")));
}

fn judge_head(packet: &Packet, mac: &str, address: &str) {
    assert_eq!((packet.number("ptp.versionptp"), packet.number("ptp.messagetype")), (1, 2));
    assert_eq!(packet.text("ptp.subdomain"), "_DFLT");
    assert_eq!(packet.text("ptp.sourceuuid"), mac);
    assert_eq!((packet.text("ip.src"), packet.text("ip.dst")), (address, "224.0.1.129"));
    assert_eq!((packet.number("ip.ttl"), packet.number("ip.dsfield.dscp")), (1, 46));
    assert_eq!(packet.number("udp.dstport"), 320);
    assert!(packet.number("udp.srcport") >= 1024, "as real devices, from an ephemeral port");
}

#[test]
fn nobody_answers_and_what_is_in_the_way_is_said() {
    let Some(lab) = Lab::new() else { return };
    let nobody = query(&lab, &["--timeout=0.2", "--json"]);
    nobody.expect(1, &[&format!("nobody answered on {CABLE} in subdomain _DFLT (2 questions)")]);
    assert!(clocks(&nobody).is_empty());
    let named = query(&lab, &["--timeout=0.2", "00:1d:c1:00:00:01", "--subdomain=_ALT1"]);
    named.expect(1, &["00:1d:c1:00:00:01 has not answered", "_ALT1"]);
    lab.start("pmc-lite", &["query", "-i", "eth77"]).ended(PATIENCE).expect(5, &["eth77", "there are: lo"]);
    query(&lab, &["--timeout=0"]).expect(2, &["0.1 to 60"]);
    query(&lab, &["no-uuid"]).expect(2, &["six pairs"]);
    // std sets no SO_REUSEADDR on UDP sockets.
    let socket = lab.near.within(|| UdpSocket::bind(("0.0.0.0", 320)).expect("a free port"));
    query(&lab, &[]).expect(3, &["UDP port 320 is taken", "ss -ulnp", "general messages"]);
    drop(socket);
    let unprivileged = |words: &[&str]| {
        let mut command = lab.unprivileged("pmc-lite", &["query", "-i", CABLE, "--timeout=0.1"]);
        command.args(words);
        lab.stage.start("pmc-lite", command).ended(PATIENCE)
    };
    unprivileged(&[]).expect(4, &["UDP port 320 on veth0", "CAP_NET_BIND_SERVICE", "general messages"]);
    unprivileged(&["--general-port=5320"]).expect(1, &["nobody answered"]);
}

/// Without any right on ports of one's own, as dantesim's demonstration has them.
#[test]
fn it_asks_on_other_ports_and_in_other_subdomains_too() {
    let Some(lab) = Lab::new() else { return };
    let ports = ["--event-port=5319", "--general-port=5320"];
    let _leader =
        lab.leader(&[&ports[..], &["--subdomain=_ALT2", "--uuid=00:1d:c1:00:00:07", "--force"]].concat());
    wait_for("an answer", PATIENCE, || {
        let ended = query(&lab, &["--general-port=5320", "--subdomain=_ALT2", "--timeout=0.2"]);
        (ended.code == Some(0)).then(|| ended.expect(0, &["00:1d:c1:00:00:07/1", "224.0.1.131", "5319"]))
    });
    let elsewhere = query(&lab, &["--general-port=5320", "--timeout=0.2"]);
    elsewhere.expect(1, &["nobody answered"]);
}

/// Nobody says how a device has to answer: here in turn to where it was asked from, and to the general port of the host,
/// which dante4l has too.
#[test]
fn answers_by_unicast_are_heard_beside_dante4l() {
    let Some(lab) = Lab::new() else { return };
    let _dante4l = lab.dante4l(&[]);
    lab.eyes().wait_for_port(State::Listening, PATIENCE);
    let socket = lab.far.within(|| {
        let socket = UdpSocket::bind(("0.0.0.0", GENERAL_PORT)).expect("a free port");
        let own: Ipv4Addr = lab.far_address().parse().expect("an address");
        socket.join_multicast_v4(&Subdomain::DFLT.group(), &own).expect("membership");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        socket
    });
    let source = PortIdentity { technology: 1, uuid: Uuid([0, 0x1d, 0xc1, 0, 0, 5]), port_id: 1 };
    let start_of_time = Oscillator::new(raw_now(), Timestamp::ZERO, Ratio::ZERO, Ratio::ZERO);
    let mut device = Leader::new(LeaderConfig::dante(source), start_of_time, raw_now());
    let mut asking = start(&lab, &["--json", "--timeout=2"]);
    let (mut buffer, mut answers) = ([0; 256], 0);
    while asking.runs() {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let arrived = Err(NoTimestamp::Missing);
        device.handle(raw_now(), leader::Input::Packet { bytes: &buffer[..length], arrived });
        while let Some(leader::Output::General { packet }) = device.poll() {
            answers += 1;
            let to = if answers % 2 == 0 { from } else { (from.ip(), GENERAL_PORT).into() };
            socket.send_to(&packet, to).expect("an answer sent");
        }
    }
    let ended = asking.ended(PATIENCE);
    ended.expect(0, &[]);
    let clocks = clocks(&ended);
    assert!(clocks.len() == 1 && complete(&clocks[0]), "{clocks:?}");
    assert!(answers >= 6 && clocks[0]["uuid"] == "00:1d:c1:00:00:05", "{answers}: {clocks:?}");
}

/// What is in a flood: garbage, messages cut short, and answers to these questioners by clocks that do not exist.
fn flood(askers: &[PortIdentity]) -> Vec<Vec<u8>> {
    let mut rng = Pcg64Mcg::seed_from_u64(1588);
    let made_up = |number: u32| {
        let [_, a, b, c] = number.to_be_bytes();
        PortIdentity { technology: 1, uuid: Uuid([0, 0xba, 0xd0, a, b, c]), port_id: 1 }
    };
    let four = |number: u32| {
        let noise = (0..rng.random_range(0..200)).map(|_| rng.random()).collect();
        let source = made_up(number);
        let identity = Payload::ClockIdentity(ClockIdentity { port: source, manufacturer: [b'!'; 48] });
        let answer = |target| {
            let body = Management { target, starting_boundary_hops: 1, boundary_hops: 1, payload: identity };
            header(source, 1).management(&body).expect("an answer").to_vec()
        };
        let whole: Vec<_> = askers.iter().map(|asker| answer(*asker)).collect();
        let cut = whole[0][..rng.random_range(0..whole[0].len())].to_vec();
        [vec![noise, cut], whole].concat()
    };
    (0..10_000).flat_map(four).collect()
}

/// The questioners that were heard asking, so many of them.
fn askers(stranger: &mut Stranger, count: usize) -> Vec<PortIdentity> {
    let mut askers = Vec::new();
    wait_for("questions", PATIENCE, || {
        for (_, bytes) in stranger.heard() {
            let Ok(Parsed { header, message: Message::Management(body) }) = Parsed::parse(&bytes) else {
                continue;
            };
            let asks = matches!(body.payload, Payload::ObtainIdentity);
            if asks && !askers.contains(&header.source) {
                askers.push(header.source);
            }
        }
        (askers.len() == count).then_some(())
    });
    askers
}

/// Thousands of answers a second of clocks that do not exist, amid garbage, from the first question on.
#[test]
fn garbage_and_a_flood_of_answers_are_counted_and_the_end_is_in_time() {
    let Some((lab, host)) = Lab::with_stranger() else { return };
    let leader = lab.leader(&["--force"]);
    leader.truth();
    let far = hardware_address(&lab.far);
    let mut stranger = Stranger::on(&host);
    // Nobody has all answers before the flood comes.
    leader.program.signal(Signal::SIGSTOP);
    let to_all = start(&lab, &["--json", "--max-clocks=4"]);
    let to_one = start(&lab, &["--json", "--timeout=9", &far]);
    let askers = askers(&mut stranger, 2);
    assert_ne!(askers[0].port_id, askers[1].port_id, "two on one host are told apart");
    let packets = flood(&askers);
    let generator = Generator::on(&host);
    let (ends, resident) = std::thread::scope(|scope| {
        scope.spawn(|| generator.flood(Channel::General, &packets, RATE, Duration::from_secs(4)));
        leader.program.signal(Signal::SIGCONT);
        let mut most = 0;
        let mut programs = vec![Some(to_all), Some(to_one)];
        let mut ends = Vec::new();
        for program in &mut programs {
            let mut program = program.take().expect("a program");
            wait_for("its end", PATIENCE, || {
                most = most.max(proc_status(program.pid(), "VmHWM").unwrap_or(0));
                (!program.runs()).then_some(())
            });
            ends.push(program.ended(PATIENCE));
        }
        (ends, most)
    });
    let [to_all, to_one] = &ends[..] else { panic!("{ends:?}") };
    println!("{}\n{}\nat most {resident} kB resident", to_all.said, to_one.said);
    to_all.expect(0, &["unreadable packets"]);
    let refused =
        to_all.said.split(" answers of more clocks").next().and_then(|said| said.rsplit(' ').next());
    let refused: u32 = refused.and_then(|count| count.parse().ok()).expect("a count of those refused");
    assert!(refused > 1000, "the flood did not arrive: {refused}");
    assert_eq!(clocks(to_all).len(), 4);
    // On a busy machine the kernel may drop an answer twice, which is said.
    if !to_one.said.contains("packets that this host dropped") {
        to_one.expect(0, &["heard and not used", "answers that nobody asked for"]);
        let one = clocks(to_one);
        assert!(one.len() == 1 && complete(&one[0]) && one[0]["uuid"] == far, "{one:?}");
    }
    assert!(resident < MOST_KB, "{resident} kB");
    leader.program.stop().expect(0, &[]);
}

/// Packets a second.
const RATE: u32 = 10_000;
/// Programs of the suite are some 3 MB large, and allocate next to nothing.
const MOST_KB: u64 = 16_384;

/// Somebody else answers in the leader's name.
#[test]
fn a_forger_is_told_of() {
    let Some((lab, host)) = Lab::with_stranger() else { return };
    let leader = lab.leader(&["--force"]);
    let far = hardware_address(&lab.far);
    let mut stranger = Stranger::on(&host);
    let source = PortIdentity { technology: 1, uuid: far.parse().expect("a UUID"), port_id: 1 };
    // It waits for so long before it asks anything else.
    let asking = start(&lab, &["--json", "--timeout=3"]);
    let asker = wait_for("the leader's answer", PATIENCE, || {
        let answer = stranger.heard().into_iter().find(|(_, bytes)| bytes.get(KEY) == Some(&IDENTITY))?.1;
        let Message::Management(body) = Parsed::parse(&answer).ok()?.message else { return None };
        Some(body.target)
    });
    let identity =
        ClockIdentity { port: source, manufacturer: *b"forgedforgedforgedforgedforgedforgedforgedforged" };
    let payload = Payload::ClockIdentity(identity);
    let body = Management { target: asker, starting_boundary_hops: 1, boundary_hops: 1, payload };
    stranger.say(Channel::General, &header(source, 1).management(&body).expect("an answer"));
    let ended = asking.ended(PATIENCE);
    ended.expect(0, &["answers in the name of a clock with another address"]);
    let clocks = clocks(&ended);
    assert!(clocks.len() == 1 && complete(&clocks[0]), "{clocks:?}");
    assert_eq!(clocks[0]["address"], lab.far_address());
    assert!(clocks[0]["second_address"].is_string(), "{}", clocks[0]);
    assert!(!ended.said.contains("forged"));
    leader.program.stop().expect(0, &[]);
}

/// Where the key of a management message stands, and that of CLOCK_IDENTITY.
const KEY: usize = 55;
const IDENTITY: u8 = 2;

/// Everything else only reads pages.
const SILENT: [&[&str]; 12] = [
    &["get", "status"],
    &["get", "status", "--json"],
    &["get", "leader"],
    &["get", "port"],
    &["get", "counters"],
    &["get", "samples"],
    &["wait", "--timeout=1"],
    &["GET CURRENT_DATA_SET"],
    &["check"],
    &["metrics"],
    &["doctor"],
    &["log", "--seconds=1"],
];

#[test]
fn no_other_command_sends_anything() {
    let Some(lab) = Lab::new() else { return };
    let _both = lab.following(&["--force"], &[]);
    let capture = Capture::start(&lab.stage, &lab.near);
    let instance = format!("--instance={}", lab.stage.instance());
    for words in SILENT {
        let ended = lab.start("pmc-lite", &[words, &[&instance]].concat()).ended(PATIENCE);
        assert!(ended.code.is_some_and(|code| code < 2), "{words:?}: {}", ended.said);
    }
    // This is how it would be seen: its questions are all that was sent.
    query(&lab, &["--timeout=9", &hardware_address(&lab.far)]).expect(0, &[]);
    let sent = sent(&capture.stop(), &lab.near);
    let keys: Vec<i64> = sent.iter().map(|packet| packet.number("ptp.mm.managementmessagekey")).collect();
    assert_eq!(keys, questions(), "{sent:?}");
}

/// What this host sent, besides what its kernel says of groups and addresses.
fn sent(caught: &Caught, host: &Namespace) -> Vec<Packet> {
    let mac = hardware_address(host);
    caught.packets(&format!("eth.src == {mac} && !igmp && !arp"))
}
