use super::*;

#[test]
fn overlay_equals_the_clock_map_and_is_kept_until_the_next_lock() {
    let mut bench = Bench::new(NOW);
    bench.measure(PortState::Uncalibrated);
    assert_eq!((bench.read(), bench.relay.overlay(), bench.relay.deadline()), (vec![], None, None));
    bench.sync();
    let overlay = bench.relay.overlay().unwrap();
    let line = bench.leader.line.anchored_at(Timestamp::ZERO);
    for raw in [0, 1_000_000_007, 86_400_000_000_000] {
        let t = Timestamp::from_ns(raw);
        let added = (t - overlay.last_sync) * overlay.freq_scale;
        assert_eq!(raw + overlay.shift.ns() + added.ns(), line.at(t).ns());
    }
    assert_eq!(bench.read(), [], "an unchanged overlay is sent once");
    bench.leader.key.number = 2;
    bench.leader.line.at0 = Timestamp::from_ns(5);
    bench.measure(PortState::Uncalibrated);
    bench.read();
    assert_eq!(bench.relay.overlay(), Some(overlay), "the overlay is kept while the new leader is acquired");
    bench.sync();
    assert_eq!(bench.relay.overlay(), Some(bench.leader.map().line.into()));
}

#[test]
fn unchanged_overlay_is_repeated_every_900_ms() {
    let mut bench = Bench::feeding(4);
    let overlay = Output::Overlay(bench.relay.overlay().unwrap());
    let due = bench.now() + Duration::from_ms(900);
    assert_eq!(bench.relay.deadline(), Some(due));
    bench.idle = Duration::from_ns(899_999_999);
    assert_eq!(bench.read(), []);
    bench.idle = Duration::from_ms(900);
    assert_eq!(bench.read(), [overlay]);
    assert_eq!(bench.relay.deadline(), Some(due + Duration::from_ms(900)));
    // Also in holdover.
    bench.idle = Duration::from_ms(1_800);
    assert_eq!(bench.read_page(None), [Output::Stopped(Loss::NoPage), Output::Withdraw, overlay]);
}

#[test]
fn suspend_discards_the_overlay() {
    let mut bench = Bench::feeding(4);
    bench.suspended = bench.suspended + Duration::from_ms(1);
    assert_eq!(bench.read(), [], "a suspend of 1 ms is ignored");
    bench.suspended = bench.suspended + Duration::from_secs(3);
    bench.idle = Duration::from_ms(900);
    assert_eq!(
        bench.read(),
        [Output::Slept(Duration::from_secs(3))],
        "the map was measured before the suspend"
    );
    assert_eq!((bench.relay.overlay(), bench.relay.deadline()), (None, None));
    // Another map measured before the end of the suspend.
    let before = bench.now();
    bench.measure(PortState::Slave);
    bench.dante4l.body.map.raw0_ns = before.ns();
    bench.read();
    assert_eq!(bench.relay.overlay(), None);
    (0..4).for_each(|_| bench.measure(PortState::Slave));
    assert!(matches!(bench.read().last(), Some(Output::Overlay(_))));
}
