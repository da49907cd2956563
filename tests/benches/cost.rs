//! What the suite costs while it runs: wake-ups, processor time and memory of each daemon, against the goals.
//!
//! ```text
//! cargo build --release --workspace && cargo bench -p dante-tests --bench cost
//! cargo bench -p dante-tests --bench cost -- polled   # what monitoring costs, alone
//! cargo bench -p dante-tests --bench cost -- delays   # from a Sync to its sample in the segment, alone
//! ```
//! It prints and judges nothing: a busy machine wakes no program more often, but it may make it sleep in between.

use dante_core::{port, steer};
use dante_os::clock::raw_now;
use dante_tests::capture::{Capture, Packet};
use dante_tests::lab::{Lab, proc_status};
use dante_tests::program::Program;
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(20);
const WAKE_UPS: u32 = 100;
const GOALS: &str = "at most 12 wake-ups/s (dante4l at 4 Hz), 1-2/s when nothing rings, 4096 kB resident";

fn main() {
    let Some(lab) = Lab::new() else { return };
    let is_asked = |what: &str| std::env::args().any(|word| word == what);
    if is_asked("polled") || is_asked("delays") {
        let _leader = lab.leader(&["--ppm=12"]);
        let programs = start(&lab, &[]);
        return if is_asked("delays") { delays(&lab) } else { polled(&lab, &programs) };
    }
    println!("Goals: {GOALS}. Wake-ups are voluntary context switches, each window {} s.", WINDOW.as_secs());
    println!(
        "{:<28}{:<11}{:>11}{:>10}{:>12}{:>9}{:>9}{:>9}",
        "", "", "wake-ups/s", "CPU %", "preempted/s", "RSS kB", "anon kB", "peak kB"
    );
    let leader = lab.leader(&["--ppm=12"]);
    let programs = start(&lab, &[]);
    measure("4 Hz, listening only", &programs);
    delays(&lab);
    polled(&lab, &programs);
    drop(programs);
    let programs = start(&lab, &["--delay=e2e"]);
    measure("4 Hz, --delay e2e", &programs);
    leader.program.signal(Signal::SIGSTOP);
    lab.eyes().wait_for_port(port::State::Listening, PATIENCE);
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
    lab.eyes().wait_for_steerer(steer::State::Locked, PATIENCE);
    programs
}

/// How long after a Sync's arrival its sample stands in the segment. It has to wait for its Follow_Up, which a Dante device
/// sends 53 to 103 us after the Sync; what follows is the suite's own: two programs wake up. tshark tells the one from the
/// other.
fn delays(lab: &Lab) {
    let capture = Capture::start(&lab.stage, &lab.near);
    let mut eyes = lab.eyes();
    // When each Sync arrived, and how much later its sample was written.
    let mut told = BTreeMap::new();
    let end = Instant::now() + WINDOW;
    while Instant::now() < end {
        if let (Some(heard), Some(page)) = (eyes.dante4l(), eyes.danteshm())
            && let Some(sample) = heard.body.selected().and_then(|port| port.last_sample())
            && let Some(output) = page.body.outputs().first()
        {
            // The page tells when a sample had been written; one that is on its way still belongs to the Sync before.
            let delay = output.last_sample_raw_ns - sample.arrived.raw.ns();
            if sample.accepted && delay > 0 {
                told.entry(sample.number).or_insert((sample.arrived.real.ns(), delay as f64 / 1e3));
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let follow_ups = capture.stop().packets("udp.dstport == 320 && ptp.controlfield == 2");
    let times: Vec<f64> = follow_ups.iter().map(Packet::time).collect();
    // As tshark writes it: seconds since 1970, of which a float holds some tenths of a us.
    let waited = |arrived: i64| {
        let arrived = arrived as f64 / 1e9;
        times.iter().map(|time| (time - arrived) * 1e6).find(|us| (0.0..100_000.0).contains(us))
    };
    let (mut waits, mut own, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for (arrived, delay) in told.into_values() {
        all.push(delay);
        if let Some(wait) = waited(arrived) {
            waits.push(wait);
            own.push(delay - wait);
        }
    }
    println!("Goals from a Sync's arrival to its sample in the segment: median 100 us, worst 1000 us.");
    let figures = [
        ("all of it", all),
        ("until the Follow_Up", waits),
        ("from then on", own),
        ("a wake-up, as of anything", wake_ups()),
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

/// How long this machine takes, idle, to wake up a thread that waits at a pipe, us: the suite does that twice after a Follow_Up.
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
    let mut rung = Vec::new();
    for _ in 0..WAKE_UPS {
        std::thread::sleep(Duration::from_millis(50));
        rung.push(raw_now());
        writer.write_all(&[0]).expect("a reader");
    }
    drop(writer);
    let woken = sleeper.join().expect("no panic");
    woken.into_iter().zip(rung).map(|(woken, rung)| (woken - rung).ns() as f64 / 1e3).collect()
}

/// What /proc tells of one process.
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

/// What one process used in a time, a second.
#[derive(Clone, Copy, Default)]
struct Rates {
    wakes: f64,
    preempted: f64,
    /// Of a processor.
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

/// Looks at an instance as a monitoring host does, by `check`, by `metrics` and at the exporter.
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

    fn look(&self) {
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

    /// Looks ten times a second until `ended`; returns how often.
    fn watch(&self, ended: &AtomicBool) -> u32 {
        let mut looks = 0;
        let mut next = Instant::now();
        while !ended.load(Ordering::Relaxed) {
            self.look();
            looks += 1;
            next += Duration::from_millis(100);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        looks
    }
}

/// What a monitoring host that looks ten times a second costs those that it looks at: as much as one that looks elsewhere. Windows
/// in which nobody looks, and in which the same programs look at an instance that is not there, take turns with those that count,
/// so that what else the machine does falls on all. dante4l wakes up once for a Sync and its Follow_Up or for each of both, by how
/// quickly the machine wakes it: from 4 to 8 times a second at 4 Hz, whoever looks.
fn polled(lab: &Lab, programs: &[(&'static str, Program)]) {
    const TURNS: u32 = 8;
    let window = WINDOW / 4;
    const KINDS: [&str; 3] = ["nobody", "elsewhere", "here"];
    let monitors = [None, Some(Monitor::of(lab, "elsewhere")), Some(Monitor::of(lab, &lab.stage.instance()))];
    let mut seen = [const { Vec::new() }; KINDS.len()];
    let mut looks = 0;
    for _ in 0..TURNS {
        for (monitor, seen) in monitors.iter().zip(&mut seen) {
            let ended = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let watching = monitor.as_ref().map(|monitor| scope.spawn(|| monitor.watch(&ended)));
                seen.push(rates(programs, window));
                ended.store(true, Ordering::Relaxed);
                looks = watching.map_or(0, |watching| watching.join().expect("looks"));
            });
        }
    }
    let per_second = f64::from(looks) / window.as_secs_f64();
    println!(
        "Goal: who is looked at {per_second:.1} times a second, each time in three ways, does what it does anyway."
    );
    println!("{:<11}{:<12}{:>11}{:>10}{:>14}", "", "looked at", "wake-ups/s", "CPU %", "preempted/s");
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
