//! The whole chain on real packets: leader, dante4l, dante2sys, danteshm, pmc-lite.

use dante_core::page::SampleRecord;
use dante_core::port::State;
use dante_core::time::{Duration, Raw, Timestamp};
use dante_core::{relay, steer};
use dante_os::clock::{raw_now, read_realtime};
use dante_os::process::Bound;
use dante_sim::oscillator::Oscillator;
use dante_tests::lab::{Eyes, Lab, sample_error};
use dante_tests::segment::{Fields, Seen, seen};
use dante_tests::stage::Stage;
use dante_tests::{judge, wait_for, wait_until};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration as Span;

const US: f64 = 1e3;

/// Figures of a leader at +12 ppm, each against the leader's true time.
///
/// The path delay is not measured in listen-only mode, so Dante's time as it is seen here is the true one minus the
/// delay of the way, and that is what the clock has to be held on. The delay is known from outside: it is the true
/// time at each arrival minus the time that the leader wrote into the Follow_Up. So the clock is judged by
/// `clock - (truth + K - delay)` with the median delay over the window; the offset without this correction is printed.
#[test]
fn the_chain_follows_a_leader_within_its_limits() {
    let Some(lab) = Lab::new() else { return };
    let [danteshm, _dante2sys, _dante4l] = lab.daemons();
    let leader = lab.leader(&["--ppm=12"]);
    let truth = leader.truth();
    let first_sync = truth.line.raw0;
    let mut eyes = lab.eyes();

    let slave = eyes.wait_for_port(State::Slave, Span::from_secs(25));
    judge("SLAVE after the first Sync", (slave - first_sync).secs_f64(), 2.0, "s");

    sleep_until(slave + Duration::from_secs(15));
    let map = eyes.map().expect("a map");
    let error = map.line.rate - truth.rate_at(map.line.raw0);
    judge("rate 15 s later, against the truth", error.ppb(), 100.0, "ppb");

    sleep_until(first_sync + Duration::from_secs(20));
    let mut reader = Command::new(env!("CARGO_BIN_EXE_shm-reader"));
    reader.arg(lab.stage.unit().to_string());
    let reader = lab.stage.start("shm-reader", reader);
    let mut samples = judge_clock(&mut eyes, &truth);
    let seen = seen(&reader);
    take_samples(&mut eyes, &mut samples);
    judge_segment(&mut eyes, &truth, &samples, &seen);
    judge_fields(&mut eyes, danteshm.pid(), lab.stage.unit());
    judge_status(&lab, &mut eyes);
}

fn sleep_until(raw: Timestamp<Raw>) {
    std::thread::sleep((raw - raw_now()).to_std());
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Ten seconds of dante2sys' clock, every 100 ms. Returns the samples that dante4l took meanwhile.
fn judge_clock(eyes: &mut Eyes, truth: &Oscillator) -> BTreeMap<u64, SampleRecord> {
    let mut offsets = Vec::new();
    let mut samples = BTreeMap::new();
    for _ in 0..100 {
        let page = eyes.dante2sys().expect("dante2sys' page").body;
        assert_eq!(page.state(), Some(steer::State::Locked));
        let (line, epoch) = (page.line().expect("a line"), page.epoch().expect("K"));
        let now = raw_now();
        offsets.push((line.at(now) - epoch.date_of(truth.at(now))).ns() as f64);
        // K is a date, or it would hold with any clock: that of the system, which the virtual clock started from.
        let system = read_realtime();
        assert!(
            (line.at(system.raw) - system.real).abs() < Duration::from_ms(5),
            "{:?}",
            line.at(system.raw)
        );
        take_samples(eyes, &mut samples);
        std::thread::sleep(Span::from_millis(100));
    }
    let delay = |sample: &SampleRecord| -sample_error(sample, truth).ns() as f64;
    let delay = median(samples.values().map(delay).collect());
    let mean = offsets.iter().sum::<f64>() / offsets.len() as f64;
    let worst = offsets.iter().map(|offset| (offset + delay).abs()).fold(0.0, f64::max);
    let spread = offsets.iter().map(|offset| (offset - mean).abs()).fold(0.0, f64::max);
    println!("clock - (truth + K): mean {:+.2} us, at most {:.2} us from the mean", mean / US, spread / US);
    assert!(delay > 0.0, "packets arrive before they leave");
    // Far less than the 61 us by which a Sync's own time is early: who uses that one instead of the Follow_Up's, fails.
    judge("delay of the way, median", delay / US, 5.0, "us");
    judge("clock - (truth + K - delay), worst of 10 s", worst / US, 5.0, "us");
    samples
}

fn take_samples(eyes: &mut Eyes, samples: &mut BTreeMap<u64, SampleRecord>) {
    let view = eyes.clock().expect("dante4l's page");
    samples.extend(view.body.samples_after(0).map(|sample| (sample.number, *sample)));
}

/// What a reader of the segment got in these ten seconds: each Sync that dante4l believed, once.
fn judge_segment(eyes: &mut Eyes, truth: &Oscillator, samples: &BTreeMap<u64, SampleRecord>, seen: &[Seen]) {
    let page = eyes.danteshm().expect("danteshm's page").body;
    assert_eq!(page.state(), Some(relay::State::Feeding));
    let epoch = page.published_epoch().expect("K").epoch;
    let (first, last) = (seen.first().expect("a sample"), seen.last().expect("a sample"));
    let window = first.received.ns()..=last.received.ns();
    let during: Vec<_> = samples.values().filter(|one| window.contains(&one.arrived_real_ns)).collect();
    let believed = during.iter().filter(|sample| sample.accepted == 1).count();
    println!("SHM: {} samples in 10 s, of {} Syncs, {believed} believed", seen.len(), during.len());
    assert!(seen.len() >= 20, "one for each Sync at 4 Hz, not {}", seen.len());
    assert!(
        seen.windows(2).all(|pair| pair[1].received > pair[0].received),
        "a sample was given twice: {seen:?}"
    );
    let written = (last.count - first.count) / 2 + 1;
    assert_eq!(usize::try_from(written), Ok(believed), "the count rises by one Sync each");
    for one in seen {
        let of = during.iter().find(|sample| sample.arrived_real_ns == one.received.ns());
        let sample = of.unwrap_or_else(|| panic!("dante4l has no such sample: {one:?}"));
        assert_eq!(sample.accepted, 1, "it was not believed: {sample:?}");
        assert_eq!(epoch.date_of(Timestamp::from_ns(sample.origin_ns)), one.reference);
        let offset = one.reference - one.received;
        assert!(offset.abs() < Duration::from_ms(5), "K was not taken from the system clock: {offset:?}");
    }
    let error = |one: &Seen| (one.reference - epoch.date_of(truth.at(one.raw))).ns() as f64;
    let errors: Vec<f64> = seen.iter().map(error).collect();
    let middle = median(errors.clone());
    let worst = errors.iter().map(|error| (error - middle).abs()).fold(0.0, f64::max);
    judge("SHM: reference - (truth + K), which is less by the delay: median", middle / US, 5.0, "us");
    judge("SHM: reference - (truth + K) - median, worst", worst / US, 50.0, "us");
}

/// The segment's bytes, while several samples come.
fn judge_fields(eyes: &mut Eyes, pid: u32, unit: u32) {
    for _ in 0..8 {
        let fields = Fields::of_process(pid, unit);
        assert_eq!((fields.mode, fields.leap, fields.valid, fields.precision), (1, 0, 1, -20), "{fields:?}");
        assert_eq!(fields.count % 2, 0, "{fields:?}");
        for (_, us, ns) in [fields.clock, fields.receive] {
            assert!(ns < 1_000_000_000, "{fields:?}");
            assert_eq!(us, i32::try_from(ns / 1000).expect("us"), "truncated, not rounded: {fields:?}");
        }
        // It is the very stamp that dante4l took.
        let received = fields.receive.0 * 1_000_000_000 + i64::from(fields.receive.2);
        let view = eyes.clock().expect("dante4l's page");
        assert!(view.body.samples_after(0).any(|sample| sample.arrived_real_ns == received), "{fields:?}");
        std::thread::sleep(Span::from_millis(270));
    }
}

/// linuxptp's data sets and the parts of the status, as scripts ask for them.
fn judge_parts(lab: &Lab, leader: &str) {
    let instance = lab.stage.instance();
    let ask = |words: &[&str], code, said: &[&str]| {
        let words = [words, &["--instance", &instance]].concat();
        let answer = lab.stage.run("pmc-lite", &words);
        answer.expect(code, said);
        answer.said
    };
    let clock = leader.replace(':', "");
    let (front, back) = clock.split_at(6);
    let parent = format!("parentPortIdentity                    {front}.fffe.{back}-1\n");
    ask(&["GET PARENT_DATA_SET"], 0, &["sending: GET PARENT_DATA_SET\n\t", &parent]);
    let two = ask(&["-u", "-b", "0", "GET CURRENT_DATA_SET", "GET PORT_DATA_SET"], 0, &[]);
    for line in [
        "\t\tstepsRemoved     1\n",
        "-1 seq 0 RESPONSE MANAGEMENT PORT_DATA_SET \n",
        "portState               SLAVE\n",
    ] {
        assert!(two.contains(line), "{two}");
    }
    ask(&["SET PRIORITY1 1"], 2, &["never"]);
    ask(&["GET NOTHING"], 2, &["CURRENT_DATA_SET"]);
    ask(&["get", "leader"], 0, &[leader, "followed"]);
    ask(&["get", "port"], 0, &["veth0", "SLAVE"]);
    ask(&["get", "counters"], 0, &["follow_up"]);
    let samples: serde_json::Value =
        serde_json::from_str(&ask(&["get", "samples", "--json"], 0, &[])).expect("JSON");
    assert_eq!(samples.as_array().expect("an array").len(), 64);
    let nobody = lab.stage.run("pmc-lite", &["GET CURRENT_DATA_SET", "--instance", "nobody"]);
    nobody.expect(1, &["sending: GET CURRENT_DATA_SET", "not running"]);
}

/// The JSON says what the pages say, in the form that other programs depend on.
fn judge_status(lab: &Lab, eyes: &mut Eyes) {
    // Where the machine was held up, a Sync may be late at one look.
    let status = wait_for("a status without a finding", Span::from_secs(20), || {
        Some(lab.stage.status()).filter(|status| status["findings"] == serde_json::json!([]))
    });
    let keys = |part: &serde_json::Value| -> Vec<String> {
        let mut keys: Vec<_> = part.as_object().expect("an object").keys().cloned().collect();
        keys.sort();
        keys
    };
    assert_eq!(status["schema"], 2);
    assert_eq!(keys(&status), ["dante2sys", "dante4l", "danteshm", "findings", "schema", "verdict"]);
    for program in ["dante4l", "dante2sys", "danteshm"] {
        assert_eq!(status[program]["running"], true, "{status:#}");
        assert_eq!(status[program]["page"], "fresh", "{status:#}");
    }
    let observer = &status["dante4l"];
    let wanted = [
        "last_sync_age_s",
        "leader",
        "offset",
        "offset_uncertainty_ns",
        "page",
        "path_delay_ns",
        "ports",
        "rate_ppb",
        "rate_uncertainty_ppb",
        "residual_ns",
        "running",
        "selected",
        "state",
        "sync_interval_ms",
        "timeline",
    ];
    assert_eq!(keys(observer), wanted);
    assert_eq!(observer["state"], "SLAVE");
    assert_eq!(observer["timeline"], 1);
    assert_eq!(observer["path_delay_ns"], serde_json::Value::Null, "nothing measured it");
    assert_eq!(observer["sync_interval_ms"], 250);
    let leader = &observer["leader"];
    let wanted = [
        "address",
        "clock_accuracy",
        "clock_class",
        "domain",
        "grandmaster",
        "id",
        "identifier",
        "port_id",
        "preferred",
        "priority1",
        "priority2",
        "protocol",
        "steps_removed",
        "stratum",
        "subdomain",
        "utc_offset_s",
        "variance",
    ];
    assert_eq!(keys(leader), wanted);
    assert_eq!(leader["protocol"], "ptpv1");
    assert_eq!(leader["grandmaster"]["id"], leader["id"]);
    assert_eq!((&leader["subdomain"], &leader["domain"]), (&"_DFLT".into(), &serde_json::Value::Null));
    assert_eq!(leader["address"], lab.far_address());
    assert_eq!(leader["stratum"], 153);
    assert_eq!(leader["identifier"], "DFLT");
    assert_eq!(leader["variance"], 28768);
    assert_eq!(leader["preferred"], false);
    assert_eq!(observer["ports"][0]["interface"], "veth0");
    assert_eq!(observer["ports"][0]["subdomain"], "_DFLT");
    assert_eq!(observer["ports"][0]["timestamping"], "software");
    let heard = observer["ports"][0]["leaders"].as_array().expect("leaders");
    assert_eq!((heard.len(), &heard[0]["id"], &heard[0]["qualified"]), (1, &leader["id"], &true.into()));
    assert_ne!(observer["ports"][0]["uuid"], leader["id"], "its own");
    let counters = &observer["ports"][0]["counters"];
    let (syncs, follow_ups) = (&counters["sync"], &counters["follow_up"]);
    let (syncs, follow_ups) = (syncs.as_u64().expect("sync"), follow_ups.as_u64().expect("follow_up"));
    assert!(syncs > 100 && syncs - follow_ups <= 1, "{counters}");
    let rate = observer["rate_ppb"].as_f64().expect("rate_ppb");
    assert!((rate - 12_000.0).abs() < 1_000.0, "{rate}");
    let age = observer["last_sync_age_s"].as_f64().expect("last_sync_age_s");
    assert!((0.0..1.5).contains(&age), "{age}");
    // The offset, put together again, is the page's.
    let offset = (observer["offset"]["s"].as_i64(), observer["offset"]["ns"].as_i64());
    let (s, ns) = (offset.0.expect("s"), offset.1.expect("ns"));
    let view = eyes.clock().expect("dante4l's page");
    let is_a_samples = view
        .body
        .samples_after(0)
        .any(|sample| sample.arrived_real_ns - sample.origin_ns == s * 1_000_000_000 + ns);
    assert!(is_a_samples && ns.abs() < 1_000_000_000, "{}", observer["offset"]);
    assert_eq!(status["dante2sys"]["state"], "LOCKED");
    assert_eq!(status["dante2sys"]["clock"], "virtual");
    assert_eq!(status["dante2sys"]["utc"]["source"], "none");
    let output = &status["danteshm"]["outputs"][0];
    assert_eq!(output["kind"], "shm");
    assert_eq!(output["unit"], lab.stage.unit());
    assert_eq!(status["danteshm"]["waiting_for"], serde_json::Value::Null);
    assert_eq!((&output["ready"], &output["lost"]), (&true.into(), &0.into()));
    assert!(output["samples"].as_u64().expect("samples") > 90, "{output}");
    assert_eq!(status["verdict"], "synchronised");
    let words = ["in step with Dante (virtual clock)\n", "SLAVE", "LOCKED", "software time stamps"];
    wait_for("the same in words", Span::from_secs(20), || {
        let screen = lab.stage.screen();
        words.iter().all(|part| screen.contains(part)).then_some(())
    });
    judge_parts(lab, leader["id"].as_str().expect("uuid"));
}

/// The same without root, on loopback, as a newcomer first sees it. It leaves nothing behind.
#[test]
fn demo_locks_and_leaves_nothing() {
    let stage = Stage::new();
    let before = leftovers();
    let command = stage.command("dantesim", &["demo", "--seconds=15"]);
    let demo = stage.start("demo", command);
    let pages = ".demo-";
    let nothing_is_left = || {
        let mut left = leftovers();
        left.retain(|name| name.contains(pages) && !before.contains(name));
        assert_eq!(left, [""; 0], "left behind");
    };
    wait_until("the demonstration's pages", Span::from_secs(10), || {
        leftovers().iter().filter(|name| name.contains(pages)).count() >= 3
    });
    demo.ended(Span::from_secs(60)).expect(0, &["Everything locked", "SLAVE", "LOCKED"]);
    nothing_is_left();
    // An interruption is no excuse.
    let demo = stage.start("demo", stage.command("dantesim", &["demo", "--seconds=50"]));
    std::thread::sleep(Span::from_secs(2));
    let ended = demo.stop();
    assert_ne!(ended.code, Some(0), "an interrupted demonstration has shown nothing: {}", ended.said);
    nothing_is_left();
}

/// Pages, folders and segments of this machine.
fn leftovers() -> Vec<String> {
    let folders = ["/dev/shm".into(), std::env::temp_dir()];
    let names = folders.iter().flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
    names.map(|entry| entry.path().display().to_string()).collect()
}

/// Whoever starts these programs for a while must not leave them behind, however he ends.
#[test]
fn programs_end_with_the_test_that_started_them() {
    let stage = Stage::new();
    let mut command = stage.command("dante4l", &["-i", "nosuch0"]);
    let child = std::thread::spawn(move || Bound::spawn(&mut command).map(std::mem::ManuallyDrop::new));
    // The thread is over, and with it the child.
    let mut child = std::mem::ManuallyDrop::into_inner(child.join().expect("a thread").expect("dante4l"));
    assert!(child.wait(Span::from_secs(5)).expect("its state").is_some(), "it lives on");
}
