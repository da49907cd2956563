//! A fool with a packet generator.

use dante_core::port::{Channel, State};
use dante_core::wire::{PortIdentity, Uuid};
use dante_os::clock::raw_now;
use dante_tests::capture::{Capture, hardware_address};
use dante_tests::lab::{Lab, map_error, proc_status, sample_error};
use dante_tests::stranger::{Generator, sync};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::time::Duration;

/// Packets a second.
const RATE: u32 = 100_000;
const INTERVAL_S: f64 = 0.25;
/// What the allocator and the pages that are touched for the first time come to.
const GROWTH_KB: u64 = 256;
const LINES: usize = 20;
/// Error of the clock map beyond that of its samples: what the rate's error comes to from one Sync to the next.
const MAP_ERROR_US: f64 = 10.0;
/// Error of a sample beyond which it is none of the leader's: no queue is as long as this.
const FORGED_US: f64 = 1e6;

/// A third of noise, a third of messages cut short, a third of Syncs of 10,000 leaders, better than the real one.
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

#[test]
fn a_flood_does_not_disturb_the_lock() {
    let Some((lab, host)) = Lab::with_stranger() else { return };
    let soak = std::env::var_os("SOAK").is_some();
    let span = Duration::from_secs(if soak { 30 } else { 5 });
    let (leader, dante4l) = lab.following(&["--ppm=12", "--force"], &[]);
    let mut eyes = lab.eyes();
    std::thread::sleep(Duration::from_secs(if soak { 20 } else { 10 }));
    let own = format!("ether src {} or src host {}", hardware_address(&lab.near), lab.far_address());
    let capture = Capture::of(&lab.stage, &lab.near, &own);
    // It stands on this machine, too, which has its packets to send, to carry and to take in.
    lab.spare_the_leader();
    let stranger = Generator::on(&host);
    let packets = packets();

    let resident = || proc_status(dante4l.pid(), "VmRSS").expect("VmRSS");
    let (resident_before, said_before) = (resident(), dante4l.output());
    let page = |eyes: &mut dante_tests::lab::Eyes| eyes.dante4l().expect("dante4l's page").body;
    let clock = |eyes: &mut dante_tests::lab::Eyes| eyes.clock().expect("dante4l's page").body;
    let (page_before, measured_before, begun) = (page(&mut eyes), clock(&mut eyes).samples, raw_now());
    // The map is made of samples from before the flood, too.
    let (truth, mut measured) = (leader.truth(), 0);
    let us = |error: dante_core::time::Duration| error.ns().abs() as f64 / 1e3;
    let (mut worst_sample_us, mut worst_map_us, mut worst_ppb) = (0.0f64, 0.0f64, 0.0f64);
    let sent = std::thread::scope(|scope| {
        let flood = scope.spawn(|| stranger.flood(Channel::Event, &packets, RATE, span));
        while !flood.is_finished() {
            let page = page(&mut eyes);
            let port = page.selected().expect("a port");
            assert_eq!((port.state(), port.timeline), (Some(State::Slave), 1), "{}", dante4l.output());
            let (map, clock) = (port.map().expect("a map"), clock(&mut eyes));
            worst_map_us = worst_map_us.max(us(map_error(&map, &truth)));
            worst_sample_us = clock
                .samples_after(measured)
                .map(|sample| us(sample_error(sample, &truth)))
                .fold(worst_sample_us, f64::max);
            measured = clock.samples;
            worst_ppb = worst_ppb.max((map.line.rate - truth.line.rate).ppb().abs());
            std::thread::sleep(Duration::from_millis(50));
        }
        flood.join().expect("the flood")
    });
    let (page_after, lasted) = (page(&mut eyes), (raw_now() - begun).secs_f64());

    let count = |name: &str| -> u64 {
        let of = |page: &dante_core::page::Dante4lStatus| {
            let counters = page.selected().expect("a port").counters();
            counters.by_name().find(|(of, _)| *of == name).expect("a counter").1
        };
        of(&page_after) - of(&page_before)
    };
    for name in ["sync", "too_many_leaders", "wrong_length", "unknown_version", "malformed", "kernel_dropped"]
    {
        println!("{name}: {}", count(name));
    }
    println!("sent {sent} packets in {lasted:.1} s: {:.0} a second", sent as f64 / lasted);
    assert!(count("too_many_leaders") > 1000, "the flood did not arrive");
    let measured = (measured - measured_before) as f64;
    println!(
        "of the leader's Syncs {:.1} % were lost",
        100.0 * (1.0 - measured * INTERVAL_S / lasted).max(0.0)
    );
    // Queues and processors are full of the flood, so the leader's Syncs arrive late by what depends on the machine: the
    // map is held against the samples that it was made of. A forged Sync is years off.
    println!(
        "worst error: samples {worst_sample_us:.1} us, map {worst_map_us:.1} us, rate {worst_ppb:.1} ppb"
    );
    assert!(measured >= lasted / INTERVAL_S / 2.0, "half of the leader's Syncs were lost");
    assert!(worst_sample_us < FORGED_US, "a forged Sync became a sample");
    assert!(
        worst_map_us <= 2.0 * worst_sample_us + MAP_ERROR_US,
        "the map is worse than what it was made of"
    );
    let grown = resident().saturating_sub(resident_before);
    println!("resident: {resident_before} kB before, {grown} kB more after");
    assert!(grown <= GROWTH_KB, "the memory grew by {grown} kB");
    let said = dante4l.output();
    let said = said.strip_prefix(&said_before).expect("a log that goes on");
    println!("{said}");
    assert!(said.lines().count() < LINES, "{} lines", said.lines().count());
    assert!(said.contains("more leaders are heard than are remembered"), "dante4l says what it sees");
    dante4l.stop().expect(0, &[]);
    let sent = capture.stop().requests_of(&lab.near);
    assert!(sent.is_empty(), "sent: {sent:?}");
}
