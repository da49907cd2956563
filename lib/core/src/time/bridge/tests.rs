use super::*;
use std::cell::Cell;

const SECOND: i64 = 1_000_000_000;

fn raw(ns: i64) -> Timestamp<Raw> {
    Timestamp::from_ns(ns)
}

fn reading(raw_ns: i64, real_ns: i64) -> Reading {
    Reading { raw: raw(raw_ns), real: Timestamp::from_ns(real_ns), width: Duration::from_ns(60) }
}

#[test]
fn timestamp_is_interpolated_between_readings() {
    let mut bridge = Bridge::default();
    bridge.note(reading(0, 1_000_000_000));
    bridge.note(reading(2_000_000_000, 3_000_074_000)); // 2 s at +37 ppm: a single reading would err by 74 us
    let at = |real| bridge.to_raw(Timestamp::from_ns(real)).unwrap().ns();
    assert_eq!(at(2_000_037_000), 1_000_000_000);
    assert_eq!(at(1_000_000_000), 0);
    assert_eq!(at(3_000_074_100), 2_000_000_100, "a timestamp after the last reading");
    assert_eq!(at(999_999_900), -100, "a timestamp before the first reading");
}

#[test]
fn to_real_inverts_to_raw() {
    let mut bridge = Bridge::default();
    assert_eq!(bridge.to_real(Timestamp::from_ns(0)), None);
    bridge.note(reading(0, 1_000_000_000));
    bridge.note(reading(2_000_000_000, 3_000_074_000));
    for raw in [-5, 0, 1_000_000_000, 1_999_999_999, 2_000_000_000, 2_000_000_040] {
        let raw = Timestamp::from_ns(raw);
        assert_eq!(bridge.to_raw(bridge.to_real(raw).unwrap()), Ok(raw));
    }
    // Across a step: the time of the clock after the step.
    bridge.note(reading(3_000_000_000, 14_000_074_000));
    assert_eq!(bridge.to_real(Timestamp::from_ns(2_500_000_000)), Some(Timestamp::from_ns(13_500_074_000)));
}

#[test]
fn rejects_timestamp_from_before_a_step() {
    let mut bridge = Bridge::default();
    bridge.note(reading(0, 1_000_000_000));
    bridge.note(reading(250_000_000, 11_250_000_000)); // stepped by +10 s
    assert_eq!(
        bridge.to_raw(Timestamp::from_ns(1_200_000_000)),
        Err(Untranslatable::Stepped),
        "taken before the step"
    );
    assert_eq!(
        bridge.to_raw(Timestamp::from_ns(11_249_999_000)),
        Err(Untranslatable::Stepped),
        "may be from before or after the step"
    );
    assert!(bridge.to_raw(Timestamp::from_ns(11_250_000_100)).is_ok());
    let back = bridge.to_raw(Timestamp::from_ns(18_450_000_000));
    assert_eq!(
        back,
        Err(Untranslatable::Stepped),
        "the clock was stepped back by two hours between timestamp and reading"
    );
    bridge.note(reading(500_000_000, 11_500_000_000));
    assert_eq!(bridge.to_raw(Timestamp::from_ns(11_400_000_000)).unwrap(), raw(400_000_000));
    bridge.note(reading(750_000_000, 1_750_000_000)); // stepped back
    assert_eq!(bridge.to_raw(Timestamp::from_ns(1_749_999_900)), Err(Untranslatable::Stepped));
    assert!(Bridge::default().to_raw(Timestamp::from_ns(0)).is_err());
}

#[test]
fn discards_the_oldest_reading_and_ignores_one_that_is_older_than_the_last() {
    let mut bridge = Bridge::default();
    for s in 0..80 {
        bridge.note(reading(s * 1_000_000_000, s * 1_000_000_000));
    }
    bridge.note(reading(5, 5));
    assert_eq!(bridge.latest(), Some(reading(79_000_000_000, 79_000_000_000)));
    assert_eq!(bridge.to_raw(Timestamp::from_ns(16_000_000_000)), Ok(raw(16_000_000_000)));
    assert_eq!(bridge.to_raw(Timestamp::from_ns(15_000_000_000)), Err(Untranslatable::TooOld));
}

/// The packets of a stall of 2 to 60 s are read one by one, each more than 1 ms after the one before it, so that each needs a reading.
#[test]
fn step_during_a_stall_is_detected_for_every_packet_of_the_backlog() {
    for stall in [2, 12, 60] {
        for step in [0, 40_000_000, -3 * SECOND] {
            let mut bench = Bench::new();
            // Four packets a second before the step at half of the stall.
            let early: Vec<_> = (1..=2 * stall).map(|n| (bench.now + n * SECOND / 4, bench.ahead)).collect();
            bench.now += stall * SECOND;
            bench.ahead += step;
            for (place, (at, ahead)) in early.iter().enumerate() {
                bench.now += 1_500_000;
                let real = Timestamp::from_ns(at + ahead);
                let translated = bench.translate(Some(real));
                if step == 0 {
                    assert_eq!(translated, Ok(PacketTimestamp { raw: raw(*at), real }), "packet {place}");
                } else {
                    assert!(translated.is_err(), "packet {place}: {translated:?} across a step of {step} ns");
                }
            }
        }
    }
}

#[test]
fn rejects_timestamp_that_precedes_all_readings() {
    let mut bench = Bench::new();
    let before = |bench: &Bench, by: i64| Some(Timestamp::from_ns(bench.now + bench.ahead - by));
    let (slightly, much) = (before(&bench, 40_000), before(&bench, 60_000));
    assert!(bench.translate(slightly).is_ok());
    assert_eq!(bench.translate(much), Err(NoTimestamp::TooOld));
}

/// A clock that is `ahead` ns ahead of CLOCK_MONOTONIC_RAW and was read `reads` times.
#[derive(Default)]
struct Bench {
    translator: TimestampTranslator,
    now: i64,
    ahead: i64,
    reads: Cell<u32>,
    is_gone: bool,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self { now: 10 * SECOND, ahead: SECOND, ..Self::default() };
        bench.translator.note(bench.reading());
        bench
    }

    fn reading(&self) -> Reading {
        Reading { raw: raw(self.now), real: self.timestamp(), width: Duration::ZERO }
    }

    /// The timestamp of a packet that arrives now.
    fn timestamp(&self) -> Timestamp<Real> {
        Timestamp::from_ns(self.now + self.ahead)
    }

    fn translate(&mut self, timestamp: Option<Timestamp<Real>>) -> Result<PacketTimestamp, NoTimestamp> {
        let reading = (!self.is_gone).then(|| self.reading());
        let reads = &self.reads;
        self.translator.translate(raw(self.now), timestamp, || {
            reads.set(reads.get() + 1);
            reading
        })
    }
}

#[test]
fn one_reading_is_used_for_a_burst_and_for_no_timestamp_1_ms_later() {
    let mut bench = Bench::new();
    let burst: Vec<_> = (1..=4).map(|n| (bench.now + n * 1_000, bench.ahead)).collect();
    bench.now += 10_000;
    for (at, ahead) in &burst {
        let timestamp = Timestamp::from_ns(at + ahead);
        assert_eq!(bench.translate(Some(timestamp)), Ok(PacketTimestamp { raw: raw(*at), real: timestamp }));
    }
    assert_eq!(bench.reads.get(), 1, "the first timestamp of the burst needs a new reading");
    let (old, last) = (Timestamp::from_ns(burst[3].0 + bench.ahead), bench.now);
    for (age, reads) in [(1_000_000, 1), (1_000_001, 2)] {
        bench.now = last + age;
        bench.translate(Some(old)).unwrap();
        assert_eq!(bench.reads.get(), reads, "a reading {age} ns old");
    }
}

#[test]
fn timestamp_read_after_a_stall_is_interpolated_between_two_readings() {
    let mut bench = Bench::new();
    let (begin, arrival) = (bench.now, bench.now + SECOND);
    // 2 s at +37 ppm: the clock at the arrival, after half of the stall, and at its end.
    let arrived = Timestamp::from_ns(arrival + bench.ahead + 37_000);
    bench.now = begin + 2 * SECOND;
    bench.ahead += 74_000;
    assert_eq!(bench.translate(Some(arrived)), Ok(PacketTimestamp { raw: raw(arrival), real: arrived }));
    assert_eq!(bench.reads.get(), 1);
}

#[test]
fn rejects_timestamp_if_the_clock_is_stepped_forwards_or_back_before_the_reading() {
    for step in [10 * SECOND, -10 * SECOND] {
        let mut bench = Bench::new();
        bench.now += SECOND;
        let timestamp = bench.timestamp();
        bench.ahead += step;
        bench.now += 50_000;
        assert_eq!(bench.translate(Some(timestamp)), Err(NoTimestamp::ClockStepped), "step of {step} ns");
        bench.now += 250_000_000;
        let next = bench.timestamp();
        bench.now += 50_000;
        assert_eq!(
            bench.translate(Some(next)),
            Ok(PacketTimestamp { raw: raw(bench.now - 50_000), real: next })
        );
    }
}

#[test]
fn timestamp_after_a_step_back_is_not_translated_by_the_reading_before_the_step() {
    let mut bench = Bench::new();
    bench.now += 100_000_000;
    bench.ahead -= 7_200 * SECOND;
    let timestamp = bench.timestamp();
    bench.now += 50_000;
    assert_eq!(bench.translate(Some(timestamp)), Err(NoTimestamp::ClockStepped), "not two hours ago");
    assert_eq!(bench.reads.get(), 1, "the timestamp looks older than the last reading, which is not fresh");
}

#[test]
fn missing_timestamp_causes_no_reading() {
    let mut bench = Bench::new();
    assert_eq!((bench.translate(None), bench.reads.get()), (Err(NoTimestamp::Missing), 0));
}

#[test]
fn unreadable_clock_is_translated_by_earlier_readings() {
    let mut bench = Bench::new();
    bench.is_gone = true;
    bench.now += 20_000;
    let timestamp = bench.timestamp();
    assert_eq!(
        bench.translate(Some(timestamp)),
        Ok(PacketTimestamp { raw: raw(bench.now), real: timestamp })
    );
    bench.now += SECOND;
    let later = bench.timestamp();
    assert_eq!(bench.translate(Some(later)), Err(NoTimestamp::ClockStepped));
    let mut never = Bench { is_gone: true, now: SECOND, ..Bench::default() };
    assert_eq!(never.translate(Some(timestamp)), Err(NoTimestamp::ClockStepped));
    assert_eq!(never.translator.real_at(raw(5), raw(3), || None), None);
}

#[test]
fn real_at_takes_a_reading_by_the_same_rule() {
    let mut bench = Bench::new();
    let begin = bench.now;
    let reading =
        |at: i64| Reading { raw: raw(at), real: Timestamp::from_ns(at + SECOND), width: Duration::ZERO };
    let mut real_at = |now, at| {
        let mut reads = 0;
        let real = bench.translator.real_at(raw(now), raw(at), || {
            reads += 1;
            Some(reading(now))
        });
        (real, reads)
    };
    let shows = |at| Some(Timestamp::from_ns(at + SECOND));
    assert_eq!(real_at(begin + 9_000, begin + 5_000), (shows(begin + 5_000), 1));
    assert_eq!(real_at(begin + 9_500, begin + 8_999), (shows(begin + 8_999), 0));
    assert_eq!(real_at(begin + 1_009_001, begin + 8_999), (shows(begin + 8_999), 1));
}
