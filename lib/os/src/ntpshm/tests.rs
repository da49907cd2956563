use super::*;
use crate::sandbox::{NOBODY, is_root, unprivileged};
use dante_core::relay::Delivery;
use dante_core::time::Raw;
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
    assert!(chrony.take());
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

fn at(s: i64) -> Timestamp<Raw> {
    Timestamp::from_ns(s * 1_000_000_000)
}

/// An output for a new unit, owned by this process' user.
fn output(unit: &Unit) -> ShmOutput {
    ShmOutput::open(at(0), unit.0, 0o600, nix::unistd::geteuid().as_raw()).unwrap()
}

/// A reader in the manner of chronyd, which stays attached to the segment that it finds.
fn chronyd(unit: &Unit) -> NtpShm {
    NtpShm::create(unit.0, 0o600).unwrap()
}

/// Writes a sample a second, and runs the checks of these seconds.
fn feed(output: &mut ShmOutput, seconds: std::ops::Range<i64>) -> Delivery {
    for s in seconds.clone() {
        output.check(at(s));
        output.write(at(s), &sample(s));
    }
    output.state(at(seconds.end - 1)).delivery
}

#[test]
fn segment_without_an_attached_program_is_noticed_within_seconds() {
    let unit = Unit::private();
    let mut output = output(&unit);
    assert_eq!(feed(&mut output, 0..5), Delivery::Pending);
    assert_eq!(feed(&mut output, 5..7), Delivery::NotAttached);
    // A program attaches, reads, and ends.
    let chronyd = chronyd(&unit);
    assert_eq!(feed(&mut output, 7..9), Delivery::Pending, "attached, nothing read");
    assert!(chronyd.take());
    assert_eq!(feed(&mut output, 9..10), Delivery::Delivered);
    assert_eq!(output.state(at(9)).last_read, Some(at(9)));
    drop(chronyd);
    assert_eq!(feed(&mut output, 10..14), Delivery::Delivered, "a restart of chronyd takes some seconds");
    assert_eq!(feed(&mut output, 14..17), Delivery::NotAttached);
    let _next = self::chronyd(&unit);
    assert_eq!(
        feed(&mut output, 17..19),
        Delivery::Pending,
        "another program attached, and has read nothing"
    );
}

#[test]
fn attached_program_that_does_not_read_is_noticed_after_64_s() {
    let unit = Unit::private();
    let mut output = output(&unit);
    let passive = NtpShmReader::attach(unit.0).unwrap();
    assert_eq!(feed(&mut output, 0..64), Delivery::Pending);
    assert!(passive.read().is_some());
    assert_eq!(feed(&mut output, 64..70), Delivery::NotRead, "a passive reader takes no sample");
    // chronyd with dpoll 5.
    let chronyd = chronyd(&unit);
    for s in (70..300).step_by(32) {
        assert!(chronyd.take());
        assert_eq!(feed(&mut output, s..s + 32), Delivery::Delivered, "{s} s");
    }
    // Without samples there is nothing to read.
    output.withdraw(at(300));
    for s in 300..500 {
        output.check(at(s));
    }
    assert_eq!(output.state(at(499)).delivery, Delivery::Delivered);
    assert_eq!(feed(&mut output, 500..563), Delivery::Delivered);
    assert_eq!(feed(&mut output, 563..570), Delivery::NotRead);
}

#[test]
fn removed_segment_is_made_again_and_its_reader_keeps_its_samples() {
    let unit = Unit::private();
    let mut output = output(&unit);
    let old = chronyd(&unit);
    feed(&mut output, 0..2);
    NtpShm::remove(unit.0).unwrap();
    assert!(old.take() && !NtpShm::exists(unit.0));
    assert_eq!(feed(&mut output, 2..3), Delivery::Delivered);
    assert_eq!((output.state(at(2)).recreated, NtpShm::exists(unit.0)), (1, true));
    let diagnostics = output.diagnostics();
    assert!(diagnostics.len() == 1 && diagnostics[0].text.contains("until it ends"), "{diagnostics:?}");
    assert!(old.take(), "no sample in the old segment");
    let new = chronyd(&unit);
    feed(&mut output, 3..4);
    assert!(old.take() && new.take(), "samples have to be in both segments");
    assert_eq!(feed(&mut output, 4..5), Delivery::Delivered);
    // The reader of the old segment ends: the last attachment is this program's.
    let id = old.memory.id();
    drop(old);
    feed(&mut output, 5..7);
    assert!(segment::is_gone(id), "the old segment was not detached");
    assert!(new.take());
    assert_eq!(feed(&mut output, 7..8), Delivery::Delivered);
    // Nobody is attached to a removed segment.
    drop(new);
    NtpShm::remove(unit.0).unwrap();
    feed(&mut output, 8..10);
    let diagnostics = output.diagnostics();
    assert!(
        diagnostics.len() == 1 && diagnostics[0].text.ends_with("removed the segment"),
        "{diagnostics:?}"
    );
    assert_eq!((output.state(at(9)).recreated, NtpShm::exists(unit.0)), (2, true));
}

#[test]
fn key_of_another_user_is_used_once_it_is_free() {
    if !is_root("becomes another user") {
        return;
    }
    let unit = Unit::private();
    unprivileged(|| drop(NtpShm::create(unit.0, 0o666).unwrap()));
    let mut output = output(&unit);
    assert_eq!(feed(&mut output, 0..3), Delivery::Unavailable);
    let diagnostics = output.diagnostics();
    assert_eq!(diagnostics.len(), 3, "one attempt a second");
    assert!(diagnostics.iter().all(|one| one.kind == "unavailable"
        && one.text.contains("user 65534")
        && one.text.contains("ipcrm")));
    assert!(!output.write(at(3), &sample(3)));
    NtpShm::remove(unit.0).unwrap();
    output.check(at(3));
    let chronyd = chronyd(&unit);
    output.write(at(3), &sample(3));
    assert!(output.state(at(3)).is_ready && chronyd.take());
    // While it runs: the key is removed, and another user takes it.
    NtpShm::remove(unit.0).unwrap();
    unprivileged(|| drop(NtpShm::create(unit.0, 0o600).unwrap()));
    assert_eq!(feed(&mut output, 4..6), Delivery::Delivered, "the old segment still has a reader");
    assert!(!output.state(at(5)).is_ready && chronyd.take());
    drop(chronyd);
    assert_eq!(feed(&mut output, 6..8), Delivery::Unavailable);
    NtpShm::remove(unit.0).unwrap();
    feed(&mut output, 8..9);
    assert!(output.state(at(8)).is_ready);
}

#[test]
fn unit_out_of_range_is_an_error_of_the_output() {
    let error = ShmOutput::open(at(0), 0x4000_0000, 0o600, 0).unwrap_err();
    assert_eq!(error, ShmError::NoSuchUnit { unit: 0x4000_0000 });
}
