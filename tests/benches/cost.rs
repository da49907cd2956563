//! What the suite costs while it runs: wake-ups, processor time and memory of each daemon, against the goals.
//!
//! ```text
//! cargo build --release --workspace && cargo bench -p dante-tests --bench cost
//! ```
//! It prints and judges nothing: a busy machine wakes no program more often, but it may make it sleep in between.

use dante_core::{port, steer};
use dante_tests::capture::{Capture, Packet};
use dante_tests::lab::{Lab, proc_status};
use dante_tests::program::Program;
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(20);
const GOALS: &str = "at most 12 wake-ups/s (dante4l at 4 Hz), 1-2/s when nothing rings, 4096 kB resident";

fn main() {
    let Some(lab) = Lab::new() else { return };
    println!("Goals: {GOALS}. Wake-ups are voluntary context switches, each window {} s.", WINDOW.as_secs());
    println!(
        "{:<28}{:<11}{:>11}{:>10}{:>12}{:>9}{:>9}{:>9}",
        "", "", "wake-ups/s", "CPU %", "preempted/s", "RSS kB", "anon kB", "peak kB"
    );
    let leader = lab.leader(&["--ppm=12"]);
    let programs = start(&lab, &[]);
    measure("4 Hz, listening only", &programs);
    delays(&lab);
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
    let figures = [("all of it", all), ("until the Follow_Up", waits), ("from then on", own)];
    for (what, mut us) in figures {
        us.sort_by(f64::total_cmp);
        let at = |share: f64| us.get((us.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
        let worst = us.last().copied().unwrap_or(f64::NAN);
        println!(
            "{what:<28}{:>4} Syncs: median {:>8.1} us, 90 % {:>8.1} us, worst {worst:>8.1} us",
            us.len(),
            at(0.5),
            at(0.9)
        );
    }
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

fn measure(what: &str, programs: &[(&str, Program)]) {
    let begin = Instant::now();
    let before: Vec<Usage> = programs.iter().map(|(_, program)| Usage::of(program.pid())).collect();
    std::thread::sleep(WINDOW);
    let seconds = begin.elapsed().as_secs_f64();
    for ((name, program), before) in programs.iter().zip(before) {
        let after = Usage::of(program.pid());
        let per_second = |after: u64, before: u64| (after - before) as f64 / seconds;
        let kb = |key| proc_status(program.pid(), key).unwrap_or(0);
        println!(
            "{what:<28}{name:<11}{:>11.2}{:>10.3}{:>12.2}{:>9}{:>9}{:>9}",
            per_second(after.wakes, before.wakes),
            per_second(after.cpu_ns, before.cpu_ns) / 1e7,
            per_second(after.preempted, before.preempted),
            kb("VmRSS"),
            kb("RssAnon"),
            kb("VmHWM"),
        );
    }
}
