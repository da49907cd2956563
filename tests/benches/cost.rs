//! Cost of the running suite: wake-ups, processor time and memory of each daemon, compared with the goals.
//!
//! ```text
//! cargo build --release --workspace && cargo bench -p dante-tests --bench cost
//! cargo bench -p dante-tests --bench cost -- polled   # only the cost of monitoring
//! cargo bench -p dante-tests --bench cost -- delays   # only the delay from a Sync to its sample in the segment
//! ```
//! It prints figures and does not fail: other load on the machine adds wake-ups when it makes a program sleep in between.

use dante_core::{port, steer};
use dante_os::clock::raw_now;
use dante_tests::EVENT_TIMEOUT;
use dante_tests::capture::{Capture, Packet};
use dante_tests::lab::{Lab, proc_status};
use dante_tests::program::Program;
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Duration of each measurement.
const WINDOW: Duration = Duration::from_secs(30);
/// Number of wake-ups of a thread that are timed.
const WAKE_UPS: u32 = 100;
const GOALS: &str =
    "at most 12 wake-ups/s (dante4l at 4 Hz), 1-2/s without doorbell events, 4096 kB resident";

fn main() {
    let Some(lab) = Lab::new() else { return };
    let is_requested = |what: &str| std::env::args().any(|word| word == what);
    if is_requested("polled") || is_requested("delays") {
        let _leader = lab.leader(&["--ppm=12"]);
        let programs = start(&lab, &[]);
        return if is_requested("delays") { delays(&lab) } else { polled(&lab, &programs) };
    }
    println!("Goals: {GOALS}. Wake-ups are voluntary context switches, each window {} s.", WINDOW.as_secs());
    println!(
        "{:<28}{:<11}{:>11}{:>10}{:>12}{:>9}{:>9}{:>9}",
        "", "", "wake-ups/s", "CPU %", "preempted/s", "RSS kB", "anon kB", "peak kB"
    );
    let leader = lab.leader(&["--ppm=12"]);
    let programs = start(&lab, &[]);
    measure("4 Hz, receiving only", &programs);
    delays(&lab);
    polled(&lab, &programs);
    drop(programs);
    let programs = start(&lab, &["--delay=e2e"]);
    measure("4 Hz, --delay e2e", &programs);
    leader.program.signal(Signal::SIGSTOP);
    lab.readers().wait_for_port(port::State::Listening, EVENT_TIMEOUT);
    measure("leader silent", &programs);
    let [dante4l, rest @ ..] = programs;
    let (_, dante4l) = dante4l;
    dante4l.signal(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_secs(3));
    measure("dante4l hangs", &rest);
    dante4l.signal(Signal::SIGCONT);
}

fn start(lab: &Lab, words: &[&str]) -> [(&'static str, Program); 3] {
    let programs =
        [("dante4l", lab.dante4l(words)), ("dante2sys", lab.dante2sys()), ("danteshm", lab.danteshm())];
    lab.readers().wait_for_steerer(steer::State::Locked, EVENT_TIMEOUT);
    programs
}

/// Measures the delay from the arrival of a Sync until its sample is in the segment. The sample has to wait for the Follow_Up, which
/// a Dante device sends 53 to 103 us after the Sync and which tshark captures; the rest is due to the suite: two programs wake up.
fn delays(lab: &Lab) {
    let capture = Capture::start(&lab.stage, &lab.near);
    let mut readers = lab.readers();
    // Arrival of each Sync, ns, and the delay of its sample, us, by sample number.
    let mut delays = BTreeMap::new();
    let end = Instant::now() + WINDOW;
    while Instant::now() < end {
        if let (Some(dante4l), Some(danteshm)) = (readers.dante4l(), readers.danteshm())
            && let Some(sample) = dante4l.body.selected().and_then(|port| port.last_sample())
            && let Some(output) = danteshm.body.outputs().first()
        {
            // The page has the time of the last sample written. If that of this Sync is not written yet, the delay is negative.
            let delay = output.last_sample_raw_ns - sample.arrived.raw.ns();
            if sample.accepted && delay > 0 {
                delays.entry(sample.number).or_insert((sample.arrived.real.ns(), delay as f64 / 1e3));
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let follow_ups = capture.stop().packets("udp.dstport == 320 && ptp.controlfield == 2");
    let times: Vec<f64> = follow_ups.iter().map(Packet::time).collect();
    // tshark prints seconds since 1970, which a float holds to some tenths of a us.
    let waited = |arrived: i64| {
        let arrived = arrived as f64 / 1e9;
        times.iter().map(|time| (time - arrived) * 1e6).find(|us| (0.0..100_000.0).contains(us))
    };
    let (mut waits, mut own, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for (arrived, delay) in delays.into_values() {
        all.push(delay);
        if let Some(wait) = waited(arrived) {
            waits.push(wait);
            own.push(delay - wait);
        }
    }
    println!("Goals from a Sync's arrival to its sample in the segment: median 100 us, worst 1000 us.");
    let figures = [
        ("total", all),
        ("until the Follow_Up", waits),
        ("from the Follow_Up on", own),
        ("wake-up of any thread", wake_ups()),
    ];
    for (what, mut us) in figures {
        us.sort_by(f64::total_cmp);
        let at = |share: f64| us.get((us.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
        let worst = us.last().copied().unwrap_or(f64::NAN);
        println!(
            "{what:<28}{:>4} times: median {:>8.1} us, 90 % {:>8.1} us, worst {worst:>8.1} us",
            us.len(),
            at(0.5),
            at(0.9)
        );
    }
}

/// Measures how long this machine takes, idle, to wake a thread that waits at a pipe, us. The suite wakes up twice after a Follow_Up.
fn wake_ups() -> Vec<f64> {
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    let sleeper = std::thread::spawn(move || {
        let mut woken = Vec::new();
        let mut byte = [0];
        while reader.read(&mut byte).is_ok_and(|count| count > 0) {
            woken.push(raw_now());
        }
        woken
    });
    let mut written = Vec::new();
    for _ in 0..WAKE_UPS {
        std::thread::sleep(Duration::from_millis(50));
        written.push(raw_now());
        writer.write_all(&[0]).expect("a reader");
    }
    drop(writer);
    let woken = sleeper.join().expect("no panic");
    woken.into_iter().zip(written).map(|(woken, written)| (woken - written).ns() as f64 / 1e3).collect()
}

/// Resources that one process has used, from /proc.
struct Usage {
    wakes: u64,
    preempted: u64,
    cpu_ns: u64,
}

impl Usage {
    fn of(pid: u32) -> Self {
        let number = |key| proc_status(pid, key).unwrap_or(0);
        let schedstat = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
        Self {
            wakes: number("voluntary_ctxt_switches"),
            preempted: number("nonvoluntary_ctxt_switches"),
            cpu_ns: schedstat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0),
        }
    }
}

/// Resources that one process uses per second.
#[derive(Clone, Copy, Default)]
struct Rates {
    wakes: f64,
    preempted: f64,
    /// Share of one processor.
    cpu_percent: f64,
}

fn rates(programs: &[(&str, Program)], window: Duration) -> Vec<Rates> {
    let begin = Instant::now();
    let before: Vec<Usage> = programs.iter().map(|(_, program)| Usage::of(program.pid())).collect();
    std::thread::sleep(window);
    let seconds = begin.elapsed().as_secs_f64();
    let rates = programs.iter().zip(before).map(|((_, program), before)| {
        let after = Usage::of(program.pid());
        let per_second = |after: u64, before: u64| (after - before) as f64 / seconds;
        Rates {
            wakes: per_second(after.wakes, before.wakes),
            preempted: per_second(after.preempted, before.preempted),
            cpu_percent: per_second(after.cpu_ns, before.cpu_ns) / 1e7,
        }
    });
    rates.collect()
}

fn measure(what: &str, programs: &[(&str, Program)]) {
    for ((name, program), rates) in programs.iter().zip(rates(programs, WINDOW)) {
        let kb = |key| proc_status(program.pid(), key).unwrap_or(0);
        println!(
            "{what:<28}{name:<11}{:>11.2}{:>10.3}{:>12.2}{:>9}{:>9}{:>9}",
            rates.wakes,
            rates.cpu_percent,
            rates.preempted,
            kb("VmRSS"),
            kb("RssAnon"),
            kb("VmHWM"),
        );
    }
}

/// Queries an instance as a monitoring host does: with `check`, with `metrics`, and at the exporter.
struct Monitor<'a> {
    lab: &'a Lab,
    instance: String,
    address: String,
    _exporter: Program,
}

impl<'a> Monitor<'a> {
    fn of(lab: &'a Lab, instance: &str) -> Self {
        let (exporter, address) = lab.stage.exporter(instance);
        Self { lab, instance: format!("--instance={instance}"), address, _exporter: exporter }
    }

    fn query(&self) {
        for action in ["check", "metrics"] {
            let output = self.lab.stage.command("pmc-lite", &[action, &self.instance]).output();
            let output = output.expect("pmc-lite");
            assert!(!output.stdout.is_empty(), "{output:?}");
        }
        let mut stream = TcpStream::connect(&self.address).expect("the exporter");
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").expect("a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    /// Queries ten times a second until `ended`. Returns the number of queries.
    fn watch(&self, ended: &AtomicBool) -> u32 {
        let mut queries = 0;
        let mut next = Instant::now();
        while !ended.load(Ordering::Relaxed) {
            self.query();
            queries += 1;
            next += Duration::from_millis(100);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        queries
    }
}

/// Measures what ten queries a second cost the daemons, compared with the same queries to an instance that does not exist. Windows
/// without queries, with queries elsewhere and with queries here alternate, so that other load of the machine affects all alike.
/// dante4l wakes up once for a Sync with its Follow_Up, or once for each of them, depending on how quickly the machine wakes it:
/// 4 to 8 times a second at 4 Hz, with or without queries.
fn polled(lab: &Lab, programs: &[(&'static str, Program)]) {
    const TURNS: u32 = 8;
    let window = WINDOW / 4;
    const KINDS: [&str; 3] = ["none", "elsewhere", "here"];
    let monitors = [None, Some(Monitor::of(lab, "elsewhere")), Some(Monitor::of(lab, &lab.stage.instance()))];
    let mut seen = [const { Vec::new() }; KINDS.len()];
    let mut queries = 0;
    for _ in 0..TURNS {
        for (monitor, seen) in monitors.iter().zip(&mut seen) {
            let ended = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let watching = monitor.as_ref().map(|monitor| scope.spawn(|| monitor.watch(&ended)));
                seen.push(rates(programs, window));
                ended.store(true, Ordering::Relaxed);
                queries = watching.map_or(0, |watching| watching.join().expect("the queries"));
            });
        }
    }
    let per_second = f64::from(queries) / window.as_secs_f64();
    println!(
        "Goal: {per_second:.1} queries a second, each in three ways, change nothing for the daemons that are queried."
    );
    println!("{:<11}{:<12}{:>11}{:>10}{:>14}", "", "queries", "wake-ups/s", "CPU %", "preempted/s");
    for (place, (name, _)) in programs.iter().enumerate() {
        for (kind, turns) in KINDS.iter().zip(&seen) {
            let mean = |value: fn(&Rates) -> f64| {
                turns.iter().filter_map(|turn| turn.get(place)).map(value).sum::<f64>() / f64::from(TURNS)
            };
            println!(
                "{name:<11}{kind:<12}{:>11.2}{:>10.4}{:>14.2}",
                mean(|of| of.wakes),
                mean(|of| of.cpu_percent),
                mean(|of| of.preempted)
            );
        }
        let ratio = |value: fn(&Rates) -> f64| {
            let sum = |turns: &[Vec<Rates>]| {
                turns.iter().filter_map(|turn| turn.get(place)).map(value).sum::<f64>()
            };
            sum(&seen[2]) / sum(&seen[1])
        };
        println!(
            "{name:<11}{:<12}{:>11.3}{:>10.3}",
            "ratio",
            ratio(|of| of.wakes),
            ratio(|of| of.cpu_percent)
        );
    }
}
