use super::*;
use crate::scratch::{NOBODY, run_as_nobody};
use std::sync::atomic::AtomicBool;

/// A unit that no daemon uses, removed even when the test fails.
struct Unit(u32);

impl Unit {
    fn private() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Process ids stay below 2^22; 16 units each keeps two runs of the tests apart.
        let unit = 0x0100_0000 + std::process::id() * 16 + NEXT.fetch_add(1, Relaxed);
        assert!(!NtpShm::exists(unit), "unit {unit} is in use");
        Self(unit)
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let _ = NtpShm::remove(self.0);
    }
}

/// A new segment, and who reads it.
fn segment() -> (Unit, NtpShm, NtpShmReader) {
    let unit = Unit::private();
    let shm = NtpShm::create(unit.0, 0o600).unwrap();
    let reader = NtpShmReader::attach(unit.0).unwrap();
    (unit, shm, reader)
}

fn sample(ns: i64) -> RefclockSample {
    RefclockSample { reference: Timestamp::from_ns(ns), received: Timestamp::from_ns(ns / 3) }
}

#[test]
fn a_sample_written_is_read_whole() {
    let (_unit, mut shm, reader) = segment();
    assert_eq!(reader.read(), None, "a new segment holds nothing");
    let first = sample(1_795_000_000_123_456_789);
    shm.write(&first);
    assert_eq!(reader.read(), Some((first, 2)));
    assert_eq!(reader.read(), Some((first, 2)), "looking takes nothing away");
    let before_1970 = sample(-1);
    shm.write(&before_1970);
    assert_eq!(reader.read(), Some((before_1970, 4)));
}

#[test]
fn the_fields_are_those_that_chrony_reads() {
    let unit = Unit::private();
    let mut shm = NtpShm::create(unit.0, 0o600).unwrap();
    let fields = Mapping::attach_read_only(unit.0).unwrap();
    let fields = fields.fields();
    fields_hold(fields, [0, 0, 0, 0, 0]);
    shm.write(&sample(1_795_000_000_123_456_789));
    fields_hold(fields, [1, 2, 0, -20, 1]);
    assert_eq!(fields.clock_sec.load(Relaxed), 1_795_000_000);
    assert_eq!((fields.clock_usec.load(Relaxed), fields.clock_nsec.load(Relaxed)), (123_456, 123_456_789));
    assert_eq!(fields.receive_sec.load(Relaxed), 598_333_333);
    assert_eq!(
        (fields.receive_usec.load(Relaxed), fields.receive_nsec.load(Relaxed)),
        (374_485, 374_485_596)
    );
}

fn fields_hold(fields: &Fields, [mode, count, leap, precision, valid]: [i32; 5]) {
    let of = |field: &AtomicI32| field.load(Relaxed);
    assert_eq!(
        (of(&fields.mode), of(&fields.count), of(&fields.leap), of(&fields.precision), of(&fields.valid)),
        (mode, count, leap, precision, valid)
    );
}

#[test]
fn a_withdrawn_sample_is_gone_and_counted() {
    let (_unit, mut shm, reader) = segment();
    shm.write(&sample(5));
    shm.withdraw();
    assert_eq!(reader.read(), None);
    shm.write(&sample(6));
    assert_eq!(reader.read(), Some((sample(6), 6)));
}

#[test]
fn a_sample_that_chrony_took_is_not_read_again() {
    let (unit, mut shm, reader) = segment();
    let chrony = NtpShm::create(unit.0, 0o600).unwrap();
    shm.write(&sample(5));
    chrony.memory.fields().valid.store(0, Relaxed);
    assert_eq!(reader.read(), None);
}

#[test]
fn nanoseconds_that_contradict_the_microseconds_are_ignored() {
    let (_unit, mut shm, reader) = segment();
    shm.write(&sample(7_000_123_456));
    shm.memory.fields().clock_nsec.store(0, Relaxed); // a writer that knows no ns
    assert_eq!(reader.read().unwrap().0.reference, Timestamp::from_ns(7_000_123_000));
}

#[test]
fn the_segment_outlives_its_writer_and_is_attached_again() {
    let unit = Unit::private();
    let mut shm = NtpShm::create(unit.0, 0o600).unwrap();
    shm.write(&sample(9));
    drop(shm);
    assert!(NtpShm::exists(unit.0));
    let mut again = NtpShm::create(unit.0, 0o600).unwrap();
    assert_eq!(NtpShmReader::attach(unit.0).unwrap().read(), Some((sample(9), 2)));
    again.write(&sample(10));
    assert_eq!(NtpShmReader::attach(unit.0).unwrap().read(), Some((sample(10), 4)));
    NtpShm::remove(unit.0).unwrap();
    assert!(!NtpShm::exists(unit.0));
    assert_eq!(NtpShm::remove(unit.0), Err(ShmError::Missing { unit: unit.0 }));
    assert_eq!(NtpShmReader::attach(unit.0).unwrap_err(), ShmError::Missing { unit: unit.0 });
}

/// Takes samples as chrony does: it clears `valid` behind each, so that none is read twice.
fn takes(unit: u32, reader: &NtpShmReader) -> Option<RefclockSample> {
    let (sample, _) = reader.read()?;
    let fields = Mapping::create(unit, 0o600).unwrap();
    fields.fields().valid.store(0, Relaxed);
    Some(sample)
}

/// Keeps the calling thread on one core, if there is more than one.
fn stay_on_core(nth: usize) {
    let cores = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).unwrap();
    let mut usable = (0..nix::sched::CpuSet::count()).filter(|core| cores.is_set(*core).unwrap());
    if let Some(core) = usable.nth(nth) {
        let mut one = nix::sched::CpuSet::new();
        one.set(core).unwrap();
        nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &one).unwrap();
    }
}

/// Tells the writer when it is dropped.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// A writer at full speed on one core, readers on another: two seconds, with SOAK a minute.
#[test]
fn a_torn_sample_is_never_believed() {
    let seconds = if std::env::var_os("SOAK").is_some() { 60 } else { 2 };
    let (unit, mut shm, reader) = segment();
    let done = AtomicBool::new(false);
    let (mut believed, mut taken, mut dropped) = (0u64, 0u64, 0u64);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            stay_on_core(0);
            let mut n: i64 = 0;
            while !done.load(Relaxed) {
                // Every field depends on every other. A thousand million of them fit into the seconds of a sample.
                shm.write(&sample((n % 1_000_000_000 + 1) * 3_000_000_007));
                n += 1;
            }
            n
        });
        stay_on_core(1);
        // Also where what follows fails: the writer ends.
        let ended = Ended(&done);
        let begun = std::time::Instant::now();
        // Longer where the machine held this thread up.
        while begun.elapsed().as_secs() < seconds
            || (believed.min(dropped) <= 100 && begun.elapsed().as_secs() < seconds + 30)
        {
            for nth in 0..1000 {
                // Now and then as one who takes it away, else as one who looks on.
                let read =
                    if nth == 0 { takes(unit.0, &reader) } else { reader.read().map(|(read, _)| read) };
                match read {
                    Some(read) => {
                        believed += 1;
                        taken += u64::from(nth == 0);
                        assert_eq!(read, sample(read.reference.ns()), "after {believed} samples");
                        assert_eq!(read.reference.ns() % 3_000_000_007, 0, "after {believed} samples");
                    }
                    None => dropped += 1,
                }
            }
        }
        drop(ended);
        let written = writer.join().unwrap();
        println!(
            "{written} written, {believed} believed, {taken} of them taken, {dropped} met a change and were dropped"
        );
    });
    assert!(believed > 100 && dropped > 100, "{believed} and {dropped}: this proves nothing");
}

#[test]
fn a_segment_of_another_size_is_named_with_its_key() {
    let unit = Unit::private();
    let key = i32::try_from(segment::KEY + unit.0).unwrap();
    for size in [40, 95, 97, 4096] {
        // SAFETY: shmget takes and returns plain integers.
        assert!(unsafe { libc::shmget(key, size, libc::IPC_CREAT | 0o600) } >= 0);
        let error = NtpShm::create(unit.0, 0o600).unwrap_err();
        assert_eq!(error, ShmError::WrongSize { unit: unit.0 }, "{size}");
        assert!(error.to_string().contains(&format!("ipcrm -M 0x{key:08x}")), "{error}");
        NtpShm::remove(unit.0).unwrap();
    }
}

#[test]
fn a_unit_beyond_the_keys_is_refused() {
    assert_eq!(NtpShm::create(u32::MAX, 0o600).unwrap_err(), ShmError::NoSuchUnit { unit: u32::MAX });
    assert_eq!(NtpShm::create(0x4000_0000, 0o600).unwrap_err(), ShmError::NoSuchUnit { unit: 0x4000_0000 });
}

/// The other half of the next test, as another user; passed over when run by itself.
#[test]
fn child_of_the_refusal_test() {
    let (Ok(unit), Ok(expected)) = (std::env::var("SHM_UNIT"), std::env::var("SHM_EXPECTED")) else {
        return;
    };
    let unit = unit.parse().unwrap();
    let (write, read) = (NtpShm::create(unit, 0o600).map(drop), NtpShmReader::attach(unit).map(drop));
    let refused = Err(ShmError::Refused { unit });
    match expected.as_str() {
        "refused" => assert_eq!((write, read), (refused, refused)),
        _ => assert_eq!((write, read), (Ok(()), Ok(()))),
    }
}

/// Needs root, to become another user; passed over without.
#[test]
fn another_user_is_refused_until_the_segment_is_given_away() {
    if !nix::unistd::Uid::effective().is_root() {
        return;
    }
    let unit = Unit::private();
    let shm = NtpShm::create(unit.0, 0o600).unwrap();
    let run = |expected| {
        let variables = [("SHM_UNIT", &*unit.0.to_string()), ("SHM_EXPECTED", expected)];
        run_as_nobody("ntpshm::tests::child_of_the_refusal_test", &variables);
    };
    run("refused");
    shm.give_to(NOBODY).unwrap();
    let foreign = NtpShm::create(unit.0, 0o600).unwrap_err();
    assert!(matches!(foreign, ShmError::Foreign { owner: NOBODY, .. }), "{foreign}");
    run("allowed");
}
