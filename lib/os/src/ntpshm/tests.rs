use super::*;
use crate::sandbox::{NOBODY, is_root, unprivileged};
use std::sync::atomic::AtomicBool;

/// A unit that no daemon uses, removed even if the test fails.
struct Unit(u32);

impl Unit {
    fn private() -> Self {
        // Above the units of the tests of the suite, and below 2^31 - KEY; random, as other copies of these tests may run.
        const UNITS: std::ops::Range<u32> = 0x3100_0000..0x31ab_0000;
        let random =
            || u32::try_from(crate::daemon::random().unwrap() % u64::from(UNITS.end - UNITS.start)).unwrap();
        let mut units = std::iter::repeat_with(|| UNITS.start + random());
        Self(units.find(|unit| !NtpShm::exists(*unit)).unwrap())
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let _ = NtpShm::remove(self.0);
    }
}

/// A new segment and a reader of it.
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
fn reads_the_sample_that_was_written() {
    let (_unit, mut shm, reader) = segment();
    assert_eq!(reader.read(), None, "new segment");
    let first = sample(1_795_000_000_123_456_789);
    shm.write(&first);
    assert_eq!(reader.read(), Some((first, 2)));
    assert_eq!(reader.read(), Some((first, 2)), "the first read took the sample away");
    let before_1970 = sample(-1);
    shm.write(&before_1970);
    assert_eq!(reader.read(), Some((before_1970, 4)));
}

#[test]
fn fields_are_those_of_chrony() {
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
fn withdrawn_sample_is_not_read() {
    let (_unit, mut shm, reader) = segment();
    shm.write(&sample(5));
    shm.withdraw();
    assert_eq!(reader.read(), None);
    shm.write(&sample(6));
    assert_eq!(reader.read(), Some((sample(6), 6)));
}

#[test]
fn sample_that_chrony_took_is_not_read_again() {
    let (unit, mut shm, reader) = segment();
    let chrony = NtpShm::create(unit.0, 0o600).unwrap();
    shm.write(&sample(5));
    chrony.memory.fields().valid.store(0, Relaxed);
    assert_eq!(reader.read(), None);
}

#[test]
fn ignores_nanoseconds_that_contradict_the_microseconds() {
    let (_unit, mut shm, reader) = segment();
    shm.write(&sample(7_000_123_456));
    shm.memory.fields().clock_nsec.store(0, Relaxed); // a writer without ns
    assert_eq!(reader.read().unwrap().0.reference, Timestamp::from_ns(7_000_123_000));
}

#[test]
fn segment_outlives_its_writer_and_is_attached_again() {
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

/// Takes a sample as chrony does: clears `valid` after reading, so that no sample is read twice.
fn take(unit: u32, reader: &NtpShmReader) -> Option<RefclockSample> {
    let (sample, _) = reader.read()?;
    let fields = Mapping::create(unit, 0o600).unwrap();
    fields.fields().valid.store(0, Relaxed);
    Some(sample)
}

/// Pins the calling thread to one core, if there is more than one.
fn stay_on_core(nth: usize) {
    let cores = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).unwrap();
    let mut usable = (0..nix::sched::CpuSet::count()).filter(|core| cores.is_set(*core).unwrap());
    if let Some(core) = usable.nth(nth) {
        let mut one = nix::sched::CpuSet::new();
        one.set(core).unwrap();
        nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &one).unwrap();
    }
}

/// Ends the writer when dropped.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// A writer at full speed on one core, a reader on another: two seconds, with SOAK a minute.
#[test]
fn reader_never_accepts_a_torn_sample() {
    let seconds = if std::env::var_os("SOAK").is_some() { 60 } else { 2 };
    let (unit, mut shm, reader) = segment();
    let done = AtomicBool::new(false);
    let (mut accepted, mut taken, mut dropped) = (0u64, 0u64, 0u64);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            stay_on_core(0);
            let mut n: i64 = 0;
            while !done.load(Relaxed) {
                // Every field depends on every other. The seconds of a sample have room for 10^9 such samples.
                shm.write(&sample((n % 1_000_000_000 + 1) * 3_000_000_007));
                n += 1;
            }
            n
        });
        stay_on_core(1);
        // Ends the writer also if an assertion below fails.
        let ended = Ended(&done);
        let begun = std::time::Instant::now();
        // Longer if this thread got too little time on a busy machine.
        while begun.elapsed().as_secs() < seconds
            || (accepted.min(dropped) <= 100 && begun.elapsed().as_secs() < seconds + 30)
        {
            for nth in 0..1000 {
                // Every thousandth time like chrony, which takes the sample, else as a passive reader.
                let read = if nth == 0 { take(unit.0, &reader) } else { reader.read().map(|(read, _)| read) };
                match read {
                    Some(read) => {
                        accepted += 1;
                        taken += u64::from(nth == 0);
                        assert_eq!(read, sample(read.reference.ns()), "after {accepted} samples");
                        assert_eq!(read.reference.ns() % 3_000_000_007, 0, "after {accepted} samples");
                    }
                    None => dropped += 1,
                }
            }
        }
        drop(ended);
        let written = writer.join().unwrap();
        println!(
            "{written} written, {accepted} accepted, {taken} of them taken, {dropped} dropped because of a change"
        );
    });
    assert!(accepted > 100 && dropped > 100, "too few reads: {accepted} accepted, {dropped} dropped");
}

#[test]
fn error_for_a_segment_of_another_size_names_its_key() {
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
fn refuses_unit_out_of_range() {
    assert_eq!(NtpShm::create(u32::MAX, 0o600).unwrap_err(), ShmError::NoSuchUnit { unit: u32::MAX });
    assert_eq!(NtpShm::create(0x4000_0000, 0o600).unwrap_err(), ShmError::NoSuchUnit { unit: 0x4000_0000 });
}

#[test]
fn another_user_cannot_attach_the_segment_before_owning_it() {
    if !is_root("becomes another user") {
        return;
    }
    let unit = Unit::private();
    let shm = NtpShm::create(unit.0, 0o600).unwrap();
    let attach =
        || unprivileged(|| (NtpShm::create(unit.0, 0o600).map(drop), NtpShmReader::attach(unit.0).map(drop)));
    let refused = Err(ShmError::Refused { unit: unit.0 });
    assert_eq!(attach(), (refused, refused));
    shm.give_to(NOBODY).unwrap();
    let foreign = NtpShm::create(unit.0, 0o600).unwrap_err();
    assert!(matches!(foreign, ShmError::Foreign { owner: NOBODY, .. }), "{foreign}");
    assert_eq!(attach(), (Ok(()), Ok(())));
}
