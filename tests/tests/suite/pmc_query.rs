//! `pmc-lite query` on real packets: its queries, the responses, and responses that are missing, forged or too many.

use dante_core::management_client::QUERY_INTERVAL;
use dante_core::port::{Channel, NoTimestamp, State};
use dante_core::time::{Ratio, Timestamp};
use dante_core::wire::{
    ClockIdentity, GENERAL_PORT, Management, Message, Packet as Parsed, Payload, PortIdentity, Subdomain,
    Uuid,
};
use dante_os::clock::raw_now;
use dante_sim::leader::{self, Leader, LeaderConfig};
use dante_sim::oscillator::Oscillator;
use dante_tests::capture::{Capture, CaptureFile, Packet, hardware_address};
use dante_tests::lab::{Lab, LeaderProcess, may_use, proc_status};
use dante_tests::namespace::{CABLE, Namespace};
use dante_tests::program::{Ended, Program, built};
use dante_tests::raw_sender::{Generator, RawSender, header};
use dante_tests::stage::Stage;
use dante_tests::tmux::Tmux;
use dante_tests::{EVENT_TIMEOUT, wait_for};
use nix::sys::signal::Signal;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

const TO_ALL: &str = "00:00:00:00:00:00";

/// Keys of all queries in their order (IEEE 1588-2002, 8.6).
fn queries() -> Vec<i64> {
    vec![1, 7, 10, 12, 14, 16]
}

/// Keys of the responses: each is the query's key plus 1.
fn response_keys() -> Vec<i64> {
    queries().into_iter().map(|key| key + 1).collect()
}

fn start(lab: &Lab, words: &[&str]) -> Program {
    lab.start("pmc-lite", &[&["query", "-i", CABLE], words].concat())
}

fn query(lab: &Lab, words: &[&str]) -> Ended {
    start(lab, words).ended(EVENT_TIMEOUT)
}

/// Returns the clocks that `--json` prints; messages of the program are left out.
fn clocks(ended: &Ended) -> Vec<Value> {
    let json: String = ended.output.lines().filter(|line| !line.starts_with("pmc-lite: ")).collect();
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {}", ended.output))
}

/// Whether the clock has all data sets.
fn is_complete(clock: &Value) -> bool {
    let sets =
        ["identity", "default_data_set", "current_data_set", "parent_data_set", "global_time_data_set"];
    sets.iter().all(|set| clock[set].is_object()) && clock["port_data_sets"][0].is_object()
}

/// tshark finds no fault in queries and responses; dante4l on the same host, with the same port open, stays locked.
#[test]
fn queries_are_well_formed_and_do_not_disturb_dante4l() {
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
        assert!(is_complete(clock), "{clock}");
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
    assert_eq!(counters["management"], json!(3 * queries().len()), "dante4l receives the same responses");
    assert_eq!(sent(&caught, &lab.near).len(), 3 * queries().len(), "packets besides the queries");
    leader.program.stop().expect(0, &[]);
}

fn judge(caught: &CaptureFile, lab: &Lab, near: &str, far: &str) {
    let broken = caught.packets("_ws.malformed || _ws.expert");
    assert!(broken.is_empty(), "tshark complains of {broken:?}");
    let asked = caught.packets(&format!("ptp.controlfield == 4 && eth.src == {near}"));
    let keys: Vec<i64> = asked.iter().map(|packet| packet.number("ptp.mm.managementmessagekey")).collect();
    assert_eq!(keys, queries().repeat(3), "each query once");
    let targets: Vec<&str> = asked.iter().map(|packet| packet.text("ptp.mm.targetuuid")).collect();
    assert_eq!(
        (targets[0], targets.iter().filter(|target| **target == far).count()),
        (TO_ALL, 3 * queries().len() - 1)
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
    // Intervals within one run. A busy machine may send a query late; the next interval is shorter then.
    let gaps = asked.chunks(6).flat_map(|run| run.windows(2).map(|pair| pair[1].time() - pair[0].time()));
    let mut gaps: Vec<f64> = gaps.collect();
    gaps.sort_by(f64::total_cmp);
    assert!(gaps[gaps.len() / 2] > QUERY_INTERVAL.secs_f64() * 0.95, "{gaps:?}");
    let answers = caught.packets(&format!("ptp.controlfield == 4 && eth.src == {far}"));
    let keys: Vec<i64> = answers.iter().map(|packet| packet.number("ptp.mm.managementmessagekey")).collect();
    assert_eq!(keys, response_keys().repeat(3));
    for (query, answer) in asked.iter().zip(&answers) {
        judge_head(answer, far, &lab.far_address());
        assert_eq!(answer.text("ptp.mm.targetuuid"), near);
        assert_eq!(answer.text("ptp.mm.targetportid"), query.text("ptp.sourceportid"));
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
    assert!(packet.number("udp.srcport") >= 1024, "real devices send from ephemeral ports");
}

#[test]
fn query_reports_missing_responses_and_obstacles() {
    let Some(lab) = Lab::new() else { return };
    let unanswered = query(&lab, &["--timeout=0.2", "--json"]);
    unanswered.expect(1, &[&format!("no clock responded on {CABLE} in subdomain _DFLT (2 queries sent)")]);
    assert!(clocks(&unanswered).is_empty());
    let named = query(&lab, &["--timeout=0.2", "00:1d:c1:00:00:01", "--subdomain=_ALT1"]);
    named.expect(1, &["00:1d:c1:00:00:01 did not respond", "_ALT1"]);
    lab.start("pmc-lite", &["query", "-i", "eth77"])
        .ended(EVENT_TIMEOUT)
        .expect(5, &["eth77", "there are: lo"]);
    query(&lab, &["--timeout=0"]).expect(2, &["0.1 to 60"]);
    query(&lab, &["no-uuid"]).expect(2, &["12 hexadecimal digits"]);
    // std sets no SO_REUSEADDR on UDP sockets.
    let socket = lab.near.within(|| UdpSocket::bind(("0.0.0.0", 320)).expect("a free port"));
    query(&lab, &[]).expect(3, &["UDP port 320 is in use", "ss -ulnp", "general messages"]);
    drop(socket);
    let unprivileged = |words: &[&str]| {
        let mut command = lab.unprivileged("pmc-lite", &["query", "-i", CABLE, "--timeout=0.1"]);
        command.args(words);
        lab.stage.start("pmc-lite", command).ended(EVENT_TIMEOUT)
    };
    unprivileged(&[]).expect(4, &["UDP port 320 on veth0", "CAP_NET_BIND_SERVICE", "general messages"]);
    unprivileged(&["--general-port=5320"]).expect(1, &["no clock responded"]);
}

/// Ports above 1023, as the demo of dantesim uses them.
#[test]
fn queries_other_ports_and_subdomains() {
    let Some(lab) = Lab::new() else { return };
    let ports = ["--event-port=5319", "--general-port=5320"];
    let _leader =
        lab.leader(&[&ports[..], &["--subdomain=_ALT2", "--uuid=00:1d:c1:00:00:07", "--force"]].concat());
    wait_for("an answer", EVENT_TIMEOUT, || {
        let ended = query(&lab, &["--general-port=5320", "--subdomain=_ALT2", "--timeout=0.2"]);
        (ended.code == Some(0)).then(|| ended.expect(0, &["00:1d:c1:00:00:07/1", "224.0.1.131", "5319"]))
    });
    let elsewhere = query(&lab, &["--general-port=5320", "--timeout=0.2"]);
    elsewhere.expect(1, &["no clock responded"]);
}

/// The standard does not define the destination of responses: here they go in turn to the source port of the query and to the
/// general port, which dante4l has open too.
#[test]
fn receives_unicast_responses_beside_dante4l() {
    let Some(lab) = Lab::new() else { return };
    let _dante4l = lab.dante4l(&[]);
    lab.readers().wait_for_port(State::Listening, EVENT_TIMEOUT);
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
    let mut client = start(&lab, &["--json", "--timeout=2"]);
    let (mut buffer, mut answers) = ([0; 256], 0);
    while client.runs() {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let arrived = Err(NoTimestamp::Missing);
        device.handle(raw_now(), leader::Input::Packet { bytes: &buffer[..length], arrived });
        while let Some(leader::Output::General { packet }) = device.poll() {
            answers += 1;
            let to = if answers % 2 == 0 { from } else { (from.ip(), GENERAL_PORT).into() };
            socket.send_to(&packet, to).expect("an answer sent");
        }
    }
    let ended = client.ended(EVENT_TIMEOUT);
    ended.expect(0, &[]);
    let clocks = clocks(&ended);
    assert!(clocks.len() == 1 && is_complete(&clocks[0]), "{clocks:?}");
    assert!(answers >= 6 && clocks[0]["uuid"] == "00:1d:c1:00:00:05", "{answers}: {clocks:?}");
}

/// Packets of a flood: garbage, truncated messages, and responses to these clients from clocks that do not exist.
fn flood(clients: &[PortIdentity]) -> Vec<Vec<u8>> {
    let mut rng = Pcg64Mcg::seed_from_u64(1588);
    let fake = |number: u32| {
        let [_, a, b, c] = number.to_be_bytes();
        PortIdentity { technology: 1, uuid: Uuid([0, 0xba, 0xd0, a, b, c]), port_id: 1 }
    };
    let four = |number: u32| {
        let noise = (0..rng.random_range(0..200)).map(|_| rng.random()).collect();
        let source = fake(number);
        let identity = Payload::ClockIdentity(ClockIdentity { port: source, manufacturer: [b'!'; 48] });
        let answer = |target| {
            let body = Management { target, starting_boundary_hops: 1, boundary_hops: 1, payload: identity };
            header(source, 1).management(&body).expect("an answer").to_vec()
        };
        let whole: Vec<_> = clients.iter().map(|client| answer(*client)).collect();
        let cut = whole[0][..rng.random_range(0..whole[0].len())].to_vec();
        [vec![noise, cut], whole].concat()
    };
    (0..10_000).flat_map(four).collect()
}

/// Returns the identities of this number of management clients by their first queries.
fn clients(sender: &mut RawSender, count: usize) -> Vec<PortIdentity> {
    let mut clients = Vec::new();
    wait_for("queries", EVENT_TIMEOUT, || {
        for (_, bytes) in sender.received() {
            let Ok(Parsed { header, message: Message::Management(body) }) = Parsed::parse(&bytes) else {
                continue;
            };
            let is_query = matches!(body.payload, Payload::ObtainIdentity);
            if is_query && !clients.contains(&header.source) {
                clients.push(header.source);
            }
        }
        (clients.len() == count).then_some(())
    });
    clients
}

/// Thousands of responses per second from clocks that do not exist, among garbage, from the first query on.
#[test]
fn response_flood_is_counted_and_does_not_delay_the_end() {
    let Some((lab, host)) = Lab::with_third_host() else { return };
    let leader = lab.leader(&["--force"]);
    leader.truth();
    let mut sender = RawSender::on(&host);
    let rates = [RATE, RATE / 2, RATE / 4];
    let is_judged = rates.into_iter().any(|rate| judge_flood(&lab, &host, &leader, &mut sender, rate));
    assert!(is_judged, "this machine dropped packets of each of {} floods", rates.len());
    leader.program.stop().expect(0, &[]);
}

/// Two clients during a flood of this rate, packets per second. Returns false where the kernel dropped packets of the client that
/// queries one clock: a busy machine may drop a response twice.
fn judge_flood(
    lab: &Lab,
    host: &Namespace,
    leader: &LeaderProcess,
    sender: &mut RawSender,
    rate: u32,
) -> bool {
    let far = hardware_address(&lab.far);
    sender.received();
    // While the leader is stopped, no client receives all responses before the flood starts.
    leader.program.signal(Signal::SIGSTOP);
    let begun = Instant::now();
    let mut programs =
        [start(lab, &["--json", "--max-clocks=4"]), start(lab, &["--json", "--timeout=9", &far])];
    let clients = clients(sender, 2);
    assert_ne!(clients[0].port_id, clients[1].port_id, "two clients on one host have the same identity");
    let packets = flood(&clients);
    let generator = Generator::on(host);
    let (mut resident, mut ended_after) = (0, [None; 2]);
    std::thread::scope(|scope| {
        scope.spawn(|| generator.flood(Channel::General, &packets, rate, FLOOD));
        leader.program.signal(Signal::SIGCONT);
        wait_for("the end of both queries", EVENT_TIMEOUT * 2, || {
            for (program, ended_after) in programs.iter_mut().zip(&mut ended_after) {
                resident = resident.max(proc_status(program.pid(), "VmHWM").unwrap_or(0));
                if ended_after.is_none() && !program.runs() {
                    *ended_after = Some(begun.elapsed().as_secs_f64());
                }
            }
            ended_after.iter().all(Option::is_some).then_some(())
        });
    });
    let [to_all, to_one] = programs.map(|program| program.ended(EVENT_TIMEOUT));
    println!(
        "{}\n{}\nat most {resident} kB resident; ended after {ended_after:?} s",
        to_all.output, to_one.output
    );
    to_all.expect(0, &["unreadable packets"]);
    let refused =
        to_all.output.split(" responses of more clocks").next().and_then(|before| before.rsplit(' ').next());
    let refused: u32 = refused.and_then(|count| count.parse().ok()).expect("the count of refused responses");
    assert!(refused > 1000, "the flood did not arrive: {refused}");
    assert_eq!(clocks(&to_all).len(), 4);
    assert!(resident < MOST_KB, "{resident} kB");
    // Packets do not postpone the end: the query for all clocks takes 5 s and ends during the flood.
    let [all_s, one_s] = ended_after.map(Option::unwrap_or_default);
    assert!(all_s < FLOOD.as_secs_f64(), "the query for all clocks ended after {all_s} s");
    let longest_s = 2.0 * (queries().len() as f64 * QUERY_INTERVAL.secs_f64() + 9.0);
    assert!(
        one_s <= longest_s + 5.0,
        "the query of at most {longest_s} s for one clock ended after {one_s} s"
    );
    if to_one.output.contains("packets dropped by this host") {
        return false;
    }
    to_one.expect(0, &["received and not used", "unsolicited responses"]);
    let one = clocks(&to_one);
    assert!(one.len() == 1 && is_complete(&one[0]) && one[0]["uuid"] == far, "{one:?}");
    true
}

/// Duration of the flood.
const FLOOD: Duration = Duration::from_secs(10);
/// Packets per second.
const RATE: u32 = 10_000;
/// Limit of resident memory, kB: the programs of the suite have about 3 MB and allocate little.
const MOST_KB: u64 = 16_384;

/// Another host responds with the leader's UUID.
#[test]
fn reports_forged_response_from_a_second_address() {
    let Some((lab, host)) = Lab::with_third_host() else { return };
    let leader = lab.leader(&["--force"]);
    let far = hardware_address(&lab.far);
    let mut sender = RawSender::on(&host);
    let source = PortIdentity { technology: 1, uuid: far.parse().expect("a UUID"), port_id: 1 };
    // The client sends no other query within the timeout.
    let client = start(&lab, &["--json", "--timeout=3"]);
    let target = wait_for("the leader's response", EVENT_TIMEOUT, || {
        let answer = sender.received().into_iter().find(|(_, bytes)| bytes.get(KEY) == Some(&IDENTITY))?.1;
        let Message::Management(body) = Parsed::parse(&answer).ok()?.message else { return None };
        Some(body.target)
    });
    let identity =
        ClockIdentity { port: source, manufacturer: *b"forgedforgedforgedforgedforgedforgedforgedforged" };
    let payload = Payload::ClockIdentity(identity);
    let body = Management { target, starting_boundary_hops: 1, boundary_hops: 1, payload };
    sender.send(Channel::General, &header(source, 1).management(&body).expect("an answer"));
    let ended = client.ended(EVENT_TIMEOUT);
    ended.expect(0, &["responses with the UUID of a clock at another address"]);
    let clocks = clocks(&ended);
    assert!(clocks.len() == 1 && is_complete(&clocks[0]), "{clocks:?}");
    assert_eq!(clocks[0]["address"], lab.far_address());
    assert!(clocks[0]["second_address"].is_string(), "{}", clocks[0]);
    assert!(!ended.output.contains("forged"));
    leader.program.stop().expect(0, &[]);
}

/// Position of the key in a management message.
const KEY: usize = 55;
/// Key of CLOCK_IDENTITY.
const IDENTITY: u8 = 2;

/// All commands but `query`, `watch` and `metrics --listen`, which run until they are ended.
const SILENT: [&[&str]; 17] = [
    &["get", "status"],
    &["get", "status", "--json"],
    &["get", "leader"],
    &["get", "port"],
    &["get", "counters"],
    &["get", "samples"],
    &["wait", "--timeout=1", "--for=steered"],
    &["wait", "--timeout=1", "--for=dante2sys"],
    &["wait", "--timeout=1", "--for=utc"],
    &["wait", "--timeout=1", "--for=utc-lost"],
    &["wait", "--timeout=1", "--for=while-utc"],
    &["GET CURRENT_DATA_SET"],
    &["check"],
    &["metrics"],
    &["doctor"],
    &["log", "--seconds=1"],
    &["plot", "--seconds=2"],
];

#[test]
fn only_query_sends_packets() {
    if !may_use(&["tmux"]) {
        return;
    }
    let Some(lab) = Lab::new() else { return };
    judge_list(&lab.stage);
    let _both = lab.following(&["--force"], &[]);
    let capture = Capture::start(&lab.stage, &lab.near);
    let instance = format!("--instance={}", lab.stage.instance());
    let picture = lab.stage.folder().join("plot.svg").display().to_string();
    for words in SILENT {
        let file = if words[0] == "plot" { &[picture.as_str()][..] } else { &[] };
        let ended = lab.start("pmc-lite", &[words, &[&instance], file].concat()).ended(EVENT_TIMEOUT);
        assert!(ended.code.is_some_and(|code| code < 2), "{words:?}: {}", ended.output);
    }
    let exporter = lab.start("pmc-lite", &["metrics", "--listen=127.0.0.1:0", &instance]);
    exporter.wait_for_output("http://", EVENT_TIMEOUT);
    exporter.stop();
    let terminal = Tmux::start(&lab.stage, (80, 24));
    terminal.line(&format!(
        "ip netns exec {} {} watch {instance}",
        lab.near.name(),
        built("pmc-lite").display()
    ));
    terminal.wait_for("watch", |screen| screen.trim_end().ends_with("q quit"));
    terminal.key("q");
    // Packets of this query show that the capture would have the packets of the other commands.
    query(&lab, &["--timeout=9", &hardware_address(&lab.far)]).expect(0, &[]);
    let sent = sent(&capture.stop(), &lab.near);
    let keys: Vec<i64> = sent.iter().map(|packet| packet.number("ptp.mm.managementmessagekey")).collect();
    assert_eq!(keys, queries(), "{sent:?}");
}

/// The commands of [`only_query_sends_packets`] are all commands of pmc-lite, all parts of the status and all conditions of `wait`.
fn judge_list(stage: &Stage) {
    let listed = |words: &[&str]| -> BTreeSet<String> {
        let help = stage.run("pmc-lite", &[words, &["--help"]].concat()).output;
        let (_, commands) = help.split_once("Commands:\n").expect("a list of commands");
        let lines = commands.lines().take_while(|line| !line.is_empty());
        let lines = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        lines
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| *name != "help")
            .map(str::to_owned)
            .collect()
    };
    let run: BTreeSet<&str> =
        SILENT.iter().map(|words| words[0]).filter(|name| !name.starts_with("GET ")).collect();
    let others = ["query", "watch"];
    assert_eq!(listed(&[]), run.into_iter().chain(others).map(str::to_owned).collect());
    let parts = SILENT.iter().filter(|words| words[0] == "get").map(|words| words[1].to_owned());
    assert_eq!(listed(&["get"]), parts.collect());
    let error = stage.run("pmc-lite", &["wait", "--for=no-such-condition"]).output;
    let values =
        error.split_once("[possible values: ").and_then(|(_, rest)| rest.split_once(']')).expect("a list").0;
    let conditions = SILENT.iter().filter_map(|words| words.get(2)?.strip_prefix("--for="));
    assert_eq!(values.split(", ").collect::<BTreeSet<_>>(), conditions.collect());
}

/// Returns the packets that this host sent, without IGMP and ARP of its kernel.
fn sent(caught: &CaptureFile, host: &Namespace) -> Vec<Packet> {
    let mac = hardware_address(host);
    caught.packets(&format!("eth.src == {mac} && !igmp && !arp"))
}
