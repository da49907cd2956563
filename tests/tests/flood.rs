//! A packet flood on dante4l's network.

use dante_core::page::Dante4lStatus;
use dante_core::port::{Channel, State};
use dante_core::time::Duration as Span;
use dante_core::wire::{PortIdentity, Uuid};
use dante_os::clock::raw_now;
use dante_tests::capture::{Capture, hardware_address};
use dante_tests::lab::{Lab, Readers, map_error, proc_status, sample_error};
use dante_tests::program::Program;
use dante_tests::raw_sender::{Generator, sync};
use dante_tests::{EVENT_TIMEOUT, SYNC_INTERVAL_S, soaks, wait_until};
use nix::sys::signal::Signal;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::time::Duration;

/// Packets per second.
const RATE: u32 = 100_000;
/// How long dante4l is stopped during a second flood.
const STALL: Duration = Duration::from_millis(500);
/// Memory by which dante4l may grow: that of the allocator, and pages that are touched for the first time.
const GROWTH_KB: u64 = 256;
/// Log lines that a flood may cause.
const LINES: usize = 20;
/// Error of the clock map in addition to that of its samples: the error of the rate, from one Sync to the next.
const MAP_ERROR_US: f64 = 10.0;
/// Error from which on a sample is not one of the leader: no queue delays a Sync by that much.
const FORGED_US: f64 = 1e6;

/// A third random bytes, a third truncated messages, a third Syncs of 10,000 leaders, all better than the real one.
fn packets() -> Vec<Vec<u8>> {
    let mut rng = Pcg64Mcg::seed_from_u64(1588);
    let of = |number: u32| {
        let [_, a, b, c] = number.to_be_bytes();
        PortIdentity { technology: 1, uuid: Uuid([0, 0x1d, 0xc1, a, b, c]), port_id: 1 }
    };
    let three = |number: u32| {
        let noise = (0..rng.random_range(0..200)).map(|_| rng.random()).collect();
        let whole = sync(of(number), rng.random(), true).to_vec();
        let cut = whole[..rng.random_range(0..whole.len())].to_vec();
        [noise, cut, whole]
    };
    (0..10_000).flat_map(three).collect()
}

/// The leader's host and the flood share the processors of this machine. If it is too slow for both, so that Syncs arrive too late
/// or are lost, a second flood has a quarter of the rate.
#[test]
fn lock_survives_packet_flood() {
    let Some(first) = flood(RATE) else { return };
    if let Err(disturbance) = first {
        println!("{disturbance}: repeated with a quarter of the rate");
        flood(RATE / 4).expect("network namespaces").expect("lock during the flood");
    }
}

/// Floods dante4l with `rate` packets per second. Returns how the lock was disturbed; `None` if there are no network namespaces.
///
/// # Panics
/// If a forged packet has any effect, memory or log grow, or drops are not reported.
fn flood(rate: u32) -> Option<Result<(), String>> {
    let (lab, host) = Lab::with_third_host()?;
    let span = Duration::from_secs(if soaks() { 30 } else { 5 });
    let (leader, dante4l) = lab.following(&["--ppm=12", "--force"], &[]);
    let mut readers = lab.readers();
    std::thread::sleep(Duration::from_secs(if soaks() { 20 } else { 10 }));
    let own = format!("ether src {} or src host {}", hardware_address(&lab.near), lab.far_address());
    let capture = Capture::of(&lab.stage, &lab.near, &own);
    // Otherwise the flood would also load the leader's host.
    lab.isolate_leader();
    let generator = Generator::on(&host);
    let packets = packets();

    let resident = || proc_status(dante4l.pid(), "VmRSS").expect("VmRSS");
    let (resident_before, log_before) = (resident(), dante4l.output());
    let page = |readers: &mut Readers| readers.dante4l().expect("dante4l's page").body;
    let clock = |readers: &mut Readers| readers.clock().expect("dante4l's page").body;
    let (page_before, measured_before, begun) = (page(&mut readers), clock(&mut readers).samples, raw_now());
    // From sample 0: the clock map is also made of samples from before the flood.
    let (truth, mut measured) = (leader.truth(), 0);
    let us = |error: Span| error.ns().abs() as f64 / 1e3;
    let (mut worst_sample_us, mut worst_map_us, mut worst_ppb) = (0.0f64, 0.0f64, 0.0f64);
    let mut disturbance = None;
    let sent = std::thread::scope(|scope| {
        let flood = scope.spawn(|| generator.flood(Channel::Event, &packets, rate, span));
        while !flood.is_finished() {
            let page = page(&mut readers);
            let port = page.selected().expect("a port");
            let (map, clock) = (port.map(), clock(&mut readers));
            if (port.state(), port.timeline) != (Some(State::Slave), 1) {
                disturbance = Some(format!("{:?}, timeline {}", port.state(), port.timeline));
            }
            worst_sample_us = clock
                .samples_after(measured)
                .map(|sample| us(sample_error(sample, &truth)))
                .fold(worst_sample_us, f64::max);
            measured = clock.samples;
            if let Some(map) = map {
                worst_map_us = worst_map_us.max(us(map_error(&map, &truth)));
                worst_ppb = worst_ppb.max((map.line.rate - truth.line.rate).ppb().abs());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        flood.join().expect("the flood")
    });
    let (page_after, lasted) = (page(&mut readers), (raw_now() - begun).secs_f64());
    let count = |name| counter(&page_after, name) - counter(&page_before, name);
    for name in ["sync", "too_many_leaders", "wrong_length", "unknown_version", "malformed", "kernel_dropped"]
    {
        println!("{name}: {}", count(name));
    }
    println!("sent {sent} packets in {lasted:.1} s: {:.0} a second", sent as f64 / lasted);
    assert!(count("too_many_leaders") > 1000, "the flood did not arrive");
    let measured = (measured - measured_before) as f64;
    let expected = lasted / SYNC_INTERVAL_S;
    println!("{:.1} % of the leader's Syncs were lost", 100.0 * (1.0 - measured / expected).max(0.0));
    if measured < expected / 2.0 {
        disturbance.get_or_insert("more than half of the leader's Syncs were lost".into());
    }
    // The flood delays the leader's Syncs by an amount that depends on the machine: the clock map is compared with the samples
    // that it was made of. The time of a forged Sync is wrong by years.
    println!(
        "worst error: samples {worst_sample_us:.1} us, clock map {worst_map_us:.1} us, rate {worst_ppb:.1} ppb"
    );
    assert!(worst_sample_us < FORGED_US, "a forged Sync became a sample");
    assert!(worst_map_us <= 2.0 * worst_sample_us + MAP_ERROR_US, "the clock map is worse than its samples");
    let grown = resident().saturating_sub(resident_before);
    println!("resident: {resident_before} kB before, {grown} kB more after");
    assert!(grown <= GROWTH_KB, "the memory grew by {grown} kB");
    judge_dropped(&lab, &mut readers, &dante4l);
    let log = dante4l.output();
    let log = log.strip_prefix(&log_before).expect("a log that continues");
    println!("{log}");
    assert!(log.lines().count() < LINES, "{} lines", log.lines().count());
    assert!(log.contains("more leaders are received than the table of leaders holds"), "{log}");
    // Stopped, dante4l takes no packet, and the kernel drops those that its socket buffer does not hold.
    dante4l.signal(Signal::SIGSTOP);
    generator.flood(Channel::Event, &packets, rate, STALL);
    dante4l.signal(Signal::SIGCONT);
    assert!(judge_dropped(&lab, &mut readers, &dante4l) > 0, "the kernel dropped nothing");
    dante4l.stop().expect(0, &[]);
    let sent = capture.stop().requests_of(&lab.near);
    assert!(sent.is_empty(), "sent: {sent:?}");
    Some(disturbance.map_or(Ok(()), Err))
}

fn counter(page: &Dante4lStatus, name: &str) -> u64 {
    let counters = page.selected().expect("a port").counters();
    counters.by_name().find(|(of, _)| *of == name).expect("a counter").1
}

/// Checks that dante4l counts every packet that the kernel dropped, and logs that there are some. Returns their number. The kernel
/// reports it with the next packet that it delivers.
fn judge_dropped(lab: &Lab, readers: &mut Readers, dante4l: &Program) -> u64 {
    let mut counts = (0, 0);
    wait_until("dante4l counts the packets that the kernel dropped", EVENT_TIMEOUT, || {
        let counted = readers.dante4l().map_or(0, |view| counter(&view.body, "kernel_dropped"));
        counts = (kernel_dropped(lab), counted);
        counts.0 == counts.1
    });
    let (kernel, _) = counts;
    println!("dropped by the kernel: {kernel}");
    let log = dante4l.output();
    assert_eq!(log.contains("the kernel drops packets"), kernel > 0, "{log}");
    kernel
}

/// Returns the number of packets that the kernel dropped at the PTP ports of dante4l's host.
fn kernel_dropped(lab: &Lab) -> u64 {
    let table =
        lab.near.within(|| std::fs::read_to_string("/proc/thread-self/net/udp").expect("the UDP sockets"));
    let of_line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let port = words.get(1)?.rsplit(':').next().and_then(|hex| u16::from_str_radix(hex, 16).ok())?;
        // The last column.
        matches!(port, 319 | 320).then(|| words.last()?.parse::<u64>().ok()).flatten()
    };
    table.lines().skip(1).filter_map(of_line).sum()
}
