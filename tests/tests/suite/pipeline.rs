//! All programs on real packets: leader, dante4l, dante2sys, danteshm, pmc-lite.

use dante_core::page::SampleRecord;
use dante_core::port::State;
use dante_core::time::{Duration, Raw, Timestamp};
use dante_core::{relay, steer};
use dante_os::clock::{raw_now, read_realtime};
use dante_os::ntpshm::NtpShm;
use dante_os::process::Bound;
use dante_sim::oscillator::Oscillator;
use dante_tests::lab::{Lab, Readers, sample_error};
use dante_tests::namespace::Namespace;
use dante_tests::program::built;
use dante_tests::segment::{Fields, Seen, seen};
use dante_tests::stage::{DAEMONS, Stage};
use dante_tests::{EVENT_TIMEOUT, judge, wait_for, wait_until};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration as Span;

/// Nanoseconds per microsecond.
const US: f64 = 1e3;
/// Times of day with the same epoch offset (K) differ by less than this also where a program slews CLOCK_REALTIME by 500 ppm.
const UTC_LIMIT: Duration = Duration::from_ms(100);

/// Errors against the true time of a leader at +12 ppm.
///
/// Without `--delay e2e` the path delay is not measured, so the steered clock lags the leader's true time by the delay. The test
/// computes the delay: the true time at each arrival minus the time in the Follow_Up. The clock is judged by
/// `clock - (truth + K - delay)` with the median delay of the window; K is the epoch offset. The error without this correction is
/// printed.
#[test]
fn chain_follows_leader_within_limits() {
    let Some(lab) = Lab::new() else { return };
    let [danteshm, _dante2sys, _dante4l] = lab.daemons();
    let leader = lab.leader(&["--ppm=12"]);
    let truth = leader.truth();
    let first_sync = truth.line.raw0;
    let mut readers = lab.readers();

    let slave = readers.wait_for_port(State::Slave, EVENT_TIMEOUT);
    judge("SLAVE after the first Sync", (slave - first_sync).secs_f64(), 2.0, "s");

    sleep_until(slave + Duration::from_secs(15));
    let map = readers.map().expect("a map");
    let error = map.line.rate - truth.rate_at(map.line.raw0);
    judge("rate 15 s later, against the truth", error.ppb(), 100.0, "ppb");

    sleep_until(first_sync + Duration::from_secs(20));
    let mut reader = Command::new(env!("CARGO_BIN_EXE_shm-reader"));
    reader.arg(lab.stage.unit().to_string());
    let reader = lab.stage.start("shm-reader", reader);
    let mut samples = judge_clock(&mut readers, &truth);
    let seen = seen(&reader);
    take_samples(&mut readers, &mut samples);
    judge_segment(&mut readers, &truth, &samples, &seen);
    judge_fields(&mut readers, danteshm.pid(), lab.stage.unit());
    judge_status(&lab, &mut readers);
}

fn sleep_until(raw: Timestamp<Raw>) {
    std::thread::sleep((raw - raw_now()).to_std());
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Judges dante2sys' clock each 100 ms for 10 s. Returns the samples that dante4l measured meanwhile.
fn judge_clock(readers: &mut Readers, truth: &Oscillator) -> BTreeMap<u64, SampleRecord> {
    let mut offsets = Vec::new();
    let mut samples = BTreeMap::new();
    let (mut stale, mut unlocked) = (0, 0);
    for _ in 0..100 {
        std::thread::sleep(Span::from_millis(100));
        let (Some(page), Some(_)) = (readers.dante2sys(), readers.clock()) else {
            stale += 1;
            continue;
        };
        let page = page.body;
        if page.state() != Some(steer::State::Locked) {
            unlocked += 1;
            continue;
        }
        let (line, epoch) = (page.line().expect("a line"), page.epoch().expect("K"));
        let now = raw_now();
        offsets.push((line.at(now) - epoch.utc_of(truth.at(now))).ns() as f64);
        // The virtual clock started at CLOCK_REALTIME: with a wrong epoch offset (K) it would show another time of day.
        let system = read_realtime();
        assert!(
            (line.at(system.raw) - system.real).abs() < UTC_LIMIT,
            "time of day {:?}, CLOCK_REALTIME {:?}",
            line.at(system.raw),
            system.real
        );
        take_samples(readers, &mut samples);
    }
    println!("{} looks at a LOCKED dante2sys, {unlocked} at one that is not, {stale} stale", offsets.len());
    // A daemon that the machine delays for seconds has a stale page and loses its lock.
    assert!(unlocked == 0 || stale > 0, "dante2sys was not LOCKED {unlocked} times");
    assert!(offsets.len() >= 50, "dante2sys was LOCKED {} times of 100", offsets.len());
    let delay = |sample: &SampleRecord| -sample_error(sample, truth).ns() as f64;
    let delay = median(samples.values().map(delay).collect());
    let mean = offsets.iter().sum::<f64>() / offsets.len() as f64;
    let worst = offsets.iter().map(|offset| (offset + delay).abs()).fold(0.0, f64::max);
    let spread = offsets.iter().map(|offset| (offset - mean).abs()).fold(0.0, f64::max);
    println!("clock - (truth + K): mean {:+.2} us, at most {:.2} us from the mean", mean / US, spread / US);
    assert!(delay > 0.0, "packets arrive before they are sent");
    // The time in a Sync is 61 us earlier than in its Follow_Up: a dante4l that used it would fail here.
    judge("path delay, median", delay / US, 5.0, "us");
    judge("clock - (truth + K - delay), worst of 10 s", worst / US, 5.0, "us");
    samples
}

fn take_samples(readers: &mut Readers, samples: &mut BTreeMap<u64, SampleRecord>) {
    let view = readers.clock().expect("dante4l's page");
    samples.extend(view.body.samples_after(0).map(|sample| (sample.number, *sample)));
}

/// In these 10 s a reader of the segment received each Sync that dante4l accepted, once.
fn judge_segment(
    readers: &mut Readers,
    truth: &Oscillator,
    samples: &BTreeMap<u64, SampleRecord>,
    seen: &[Seen],
) {
    let page = readers.danteshm().expect("danteshm's page").body;
    assert_eq!(page.state(), Some(relay::State::Feeding));
    let epoch = page.published_epoch().expect("K").epoch;
    let (first, last) = (seen.first().expect("a sample"), seen.last().expect("a sample"));
    let window = first.received.ns()..=last.received.ns();
    let during: Vec<_> = samples.values().filter(|one| window.contains(&one.arrived_real_ns)).collect();
    let accepted = during.iter().filter(|sample| sample.accepted == 1).count();
    println!("SHM: {} samples in 10 s, of {} Syncs, {accepted} accepted", seen.len(), during.len());
    assert!(seen.len() >= 20, "{} samples in 10 s at 4 Syncs per second", seen.len());
    assert!(
        seen.windows(2).all(|pair| pair[1].received > pair[0].received),
        "a sample was written twice: {seen:?}"
    );
    let written = (last.count - first.count) / 2 + 1;
    assert_eq!(usize::try_from(written), Ok(accepted), "the count rises by 2 with each sample");
    for one in seen {
        let of = during.iter().find(|sample| sample.arrived_real_ns == one.received.ns());
        let sample = of.unwrap_or_else(|| panic!("dante4l has no such sample: {one:?}"));
        assert_eq!(sample.accepted, 1, "a rejected sample was written: {sample:?}");
        assert_eq!(epoch.utc_of(Timestamp::from_ns(sample.origin_ns)), one.reference);
        let offset = one.reference - one.received;
        assert!(offset.abs() < UTC_LIMIT, "the epoch offset (K) is not from the system clock: {offset:?}");
    }
    let error = |one: &Seen| (one.reference - epoch.utc_of(truth.at(one.raw))).ns() as f64;
    let errors: Vec<f64> = seen.iter().map(error).collect();
    let middle = median(errors.clone());
    let worst = errors.iter().map(|error| (error - middle).abs()).fold(0.0, f64::max);
    judge("SHM: reference - (truth + K), median, without the path delay", middle / US, 5.0, "us");
    judge("SHM: reference - (truth + K) - median, worst", worst / US, 50.0, "us");
}

/// Judges the segment's bytes while danteshm writes several samples.
fn judge_fields(readers: &mut Readers, pid: u32, unit: u32) {
    for _ in 0..8 {
        let fields = Fields::of_process(pid, unit);
        assert_eq!((fields.mode, fields.leap, fields.valid, fields.precision), (1, 0, 1, -20), "{fields:?}");
        assert_eq!(fields.count % 2, 0, "{fields:?}");
        for (_, us, ns) in [fields.clock, fields.receive] {
            assert!(ns < 1_000_000_000, "{fields:?}");
            assert_eq!(us, i32::try_from(ns / 1000).expect("us"), "truncated, not rounded: {fields:?}");
        }
        // The receive timestamp is the one that dante4l published.
        let received = fields.receive.0 * 1_000_000_000 + i64::from(fields.receive.2);
        let view = readers.clock().expect("dante4l's page");
        assert!(view.body.samples_after(0).any(|sample| sample.arrived_real_ns == received), "{fields:?}");
        std::thread::sleep(Span::from_millis(270));
    }
}

/// linuxptp's data sets and the parts of the status, as scripts read them.
fn judge_parts(lab: &Lab, leader: &str) {
    let instance = lab.stage.instance();
    let ask = |words: &[&str], code, expected: &[&str]| {
        let words = [words, &["--instance", &instance]].concat();
        let ended = lab.stage.run("pmc-lite", &words);
        ended.expect(code, expected);
        ended.output
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
    ask(&["SET PRIORITY1 1"], 2, &["supports only GET"]);
    ask(&["GET NOTHING"], 2, &["CURRENT_DATA_SET"]);
    ask(&["get", "leader"], 0, &[leader, "followed"]);
    ask(&["get", "port"], 0, &["veth0", "SLAVE"]);
    ask(&["get", "counters"], 0, &["follow_up"]);
    let samples: serde_json::Value =
        serde_json::from_str(&ask(&["get", "samples", "--json"], 0, &[])).expect("JSON");
    assert_eq!(samples.as_array().expect("an array").len(), 64);
    let other = format!("{instance}-other");
    let not_running = lab.stage.run("pmc-lite", &["GET CURRENT_DATA_SET", "--instance", &other]);
    not_running.expect(1, &["sending: GET CURRENT_DATA_SET", "not running"]);
}

/// The JSON status has the values of the pages, under the keys that other programs depend on.
fn judge_status(lab: &Lab, readers: &mut Readers) {
    // On a busy machine one status may have a finding about a late Sync.
    let chronyd = NtpShm::create(lab.stage.unit(), 0o600).expect("the segment");
    let status = wait_for("a status without a finding", EVENT_TIMEOUT, || {
        chronyd.take();
        let is_read =
            |status: &serde_json::Value| status["danteshm"]["outputs"][0]["delivery"] == "delivered";
        let status = Some(lab.stage.status()).filter(is_read);
        status.filter(|status| status["findings"] == serde_json::json!([]))
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
        "advertised_sync_interval_ms",
        "candidates",
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
    assert_eq!(observer["path_delay_ns"], serde_json::Value::Null, "not measured");
    assert_eq!(
        (&observer["sync_interval_ms"], &observer["advertised_sync_interval_ms"]),
        (&250.into(), &250.into())
    );
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
    let leaders = observer["ports"][0]["leaders"].as_array().expect("leaders");
    assert_eq!(
        (leaders.len(), &leaders[0]["id"], &leaders[0]["qualified"]),
        (1, &leader["id"], &true.into())
    );
    assert_ne!(observer["ports"][0]["uuid"], leader["id"], "the port's own identity");
    let counters = &observer["ports"][0]["counters"];
    let (syncs, follow_ups) = (&counters["sync"], &counters["follow_up"]);
    let (syncs, follow_ups) = (syncs.as_u64().expect("sync"), follow_ups.as_u64().expect("follow_up"));
    assert!(syncs > 100 && syncs - follow_ups <= 1, "{counters}");
    let rate = observer["rate_ppb"].as_f64().expect("rate_ppb");
    assert!((rate - 12_000.0).abs() < 1_000.0, "{rate}");
    let age = observer["last_sync_age_s"].as_f64().expect("last_sync_age_s");
    assert!((0.0..1.5).contains(&age), "{age}");
    // Seconds and nanoseconds of the offset together are an offset on the page.
    let offset = (observer["offset"]["s"].as_i64(), observer["offset"]["ns"].as_i64());
    let (s, ns) = (offset.0.expect("s"), offset.1.expect("ns"));
    let view = readers.clock().expect("dante4l's page");
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
    assert_eq!((&output["delivery"], &output["recreated"]), (&"delivered".into(), &0.into()), "{output}");
    assert!(output["samples"].as_u64().expect("samples") > 90, "{output}");
    assert_eq!(status["verdict"], "synchronised");
    let words = [
        "synchronised to the leader (virtual clock): a rehearsal, the system clock is not steered\n",
        "SLAVE",
        "LOCKED",
        "timestamps software",
    ];
    wait_for("the same status as text", EVENT_TIMEOUT, || {
        let screen = lab.stage.screen();
        words.iter().all(|part| screen.contains(part)).then_some(())
    });
    judge_parts(lab, leader["id"].as_str().expect("uuid"));
}

/// The suite on loopback as a new user first runs it, once to its end and once interrupted.
#[test]
fn demo_locks_and_leaves_no_page_segment_or_folder() {
    let stage = Stage::new();
    // In a namespace its UDP ports collide with no other program; without root's rights it runs on the host.
    let host =
        nix::unistd::geteuid().is_root().then(|| Namespace::lone(&format!("{}-demo", stage.hosts().0)));
    let start = |seconds: &str| {
        let program = built("dantesim");
        let mut command = host.as_ref().map_or(Command::new(&program), |host| host.command(&program));
        command.args(["demo", seconds]).env("TMPDIR", stage.folder());
        let demo = stage.start("demo", command);
        let traces = wait_for("the names in the demo's command lines", EVENT_TIMEOUT, || {
            Traces::of(demo.pid(), stage.folder())
        });
        let wanted = traces.expected();
        wait_until("pages, segment and folder of the demo", EVENT_TIMEOUT, || {
            let found = traces.found();
            wanted.iter().all(|name| found.contains(name))
        });
        (demo, traces)
    };
    let (demo, traces) = start("--seconds=30");
    let ended = demo.ended(EVENT_TIMEOUT * 4);
    ended.expect(0, &["Everything locked", "SLAVE", "LOCKED"]);
    assert!(!ended.output.contains("no program gets the samples"), "{}", ended.output);
    assert_eq!(traces.found(), [""; 0], "the demo left these behind");
    let (demo, traces) = start("--seconds=50");
    let ended = demo.stop();
    assert_ne!(ended.code, Some(0), "the interrupted demo reports success: {}", ended.output);
    assert_eq!(traces.found(), [""; 0], "the interrupted demo left these behind");
}

/// The names that one run of the demo uses: its instance, its NTP SHM unit, and the folder of its logs.
struct Traces {
    instance: String,
    unit: u32,
    folder: PathBuf,
}

impl Traces {
    /// Reads the names from the command lines of the demo's child processes; `None` until danteshm runs.
    fn of(demo: u32, folder: &Path) -> Option<Self> {
        let children = std::fs::read_to_string(format!("/proc/{demo}/task/{demo}/children")).ok()?;
        children.split_whitespace().find_map(|pid| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
            let value = |flag| line.split('\0').find_map(|word| word.strip_prefix(flag)).map(str::to_owned);
            let (instance, unit) = (value("--instance=")?, value("--shm=")?.parse().ok()?);
            Some(Self { instance, unit, folder: folder.into() })
        })
    }

    /// Names that exist while the demo runs.
    fn expected(&self) -> Vec<String> {
        let pages = DAEMONS.into_iter().flat_map(|daemon| ["", ".status"].map(|form| (daemon, form)));
        let pages = pages.map(|(daemon, form)| format!("/dev/shm/{daemon}@{}{form}", self.instance));
        let folder = self.folder.join(format!("dantesim-{}", self.instance));
        pages.chain([folder.display().to_string(), self.segment()]).collect()
    }

    fn segment(&self) -> String {
        format!("segment of unit {}", self.unit)
    }

    /// Files and folders with the instance's name, and the segment.
    fn found(&self) -> Vec<String> {
        let folders = [Path::new("/dev/shm"), &self.folder];
        let entries =
            folders.into_iter().flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
        let names = entries.map(|entry| entry.path().display().to_string());
        let names = names.filter(|name| name.contains(&self.instance));
        names.chain(NtpShm::exists(self.unit).then(|| self.segment())).collect()
    }
}

/// The kernel kills a program that a test started when the test's thread ends.
#[test]
fn child_program_ends_with_its_parent_thread() {
    let stage = Stage::new();
    let mut command = stage.command("dante4l", &["-i", "nosuch0"]);
    let child = std::thread::spawn(move || Bound::spawn(&mut command).map(std::mem::ManuallyDrop::new));
    // The thread has ended.
    let mut child = std::mem::ManuallyDrop::into_inner(child.join().expect("a thread").expect("dante4l"));
    assert!(child.wait(EVENT_TIMEOUT).expect("its state").is_some(), "the program still runs");
}
