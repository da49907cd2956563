//! Pages that programs must not trust, because every user may create files in /dev/shm; pages that are changed while programs use
//! them; pages of other versions.

use dante_core::page::{
    Array, Body, Dante2sys, Dante2sysStatus, Dante4l, Dante4lStatus, Danteshm, DanteshmStatus, HEAD_SIZE,
    Head, RING, SampleRecord, Shape, TAIL_SIZE, layout_word, tail_of,
};
use dante_core::{port, relay, steer};
use dante_os::clock::{raw_now, read_realtime};
use dante_tests::clock_watch::ClockWatch;
use dante_tests::lab::{Lab, LeaderProcess, Readers, may_be_root};
use dante_tests::program::Program;
use dante_tests::stage::Stage;
use dante_tests::{EVENT_TIMEOUT, NOBODY, wait_for};
use nix::sys::signal::Signal;
use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::FileExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use zerocopy::IntoBytes;

/// dante4l waits for this interface, and publishes its page meanwhile.
const WAITING: &[&str] = &["-i", "nosuch0"];

/// Returns a valid clock page of a dante4l that has ended; the test damages it.
fn page_of(stage: &Stage) -> PathBuf {
    let dante4l = stage.start("dante4l", stage.command("dante4l", WAITING));
    stage.wait_for("dante4l", "page", "fresh", EVENT_TIMEOUT);
    dante4l.stop().expect(0, &[]);
    let page = stage.page::<Dante4l>();
    assert_eq!(fs::metadata(&page).expect("the page").mode() & 0o7777, 0o644);
    page
}

/// pmc-lite and dante2sys reject the page of dante4l: they use none of its values and state the reason.
fn expect_rejected(stage: &Stage, as_what: &str, words: &[&str]) {
    let status = stage.status();
    assert_eq!(status["dante4l"]["page"], as_what, "{status:#}");
    assert_eq!(status["dante4l"]["running"], false, "{status:#}");
    assert_eq!(status["dante4l"].as_object().map(|part| part.len()), Some(2), "values are shown: {status:#}");
    let page = stage.page::<Dante4l>().display().to_string();
    let screen = stage.screen();
    for word in words.iter().copied().chain([page.as_str()]) {
        assert!(screen.contains(word), "{word:?} is not in: {screen}");
    }
    let dante2sys = stage.start("dante2sys", stage.command("dante2sys", &["--clock=virtual"]));
    for word in words.iter().copied().chain([page.as_str()]) {
        dante2sys.wait_for_output(word, EVENT_TIMEOUT);
    }
    stage.wait_for("dante2sys", "state", "WAITING", EVENT_TIMEOUT);
    dante2sys.stop().expect(0, &[]);
}

/// dante4l replaces the page by its own.
fn expect_replaced(stage: &Stage) {
    let before = fs::metadata(stage.page::<Dante4l>()).expect("the page").ino();
    let dante4l = stage.start("dante4l", stage.command("dante4l", WAITING));
    stage.wait_for("dante4l", "page", "fresh", EVENT_TIMEOUT);
    assert_ne!(fs::metadata(stage.page::<Dante4l>()).expect("the page").ino(), before);
    dante4l.stop().expect(0, &[]);
}

/// dante4l refuses to start and leaves the page unchanged.
fn expect_writer_refuses(stage: &Stage, words: &[&str]) {
    let page = stage.page::<Dante4l>();
    let before = (fs::metadata(&page).expect("the page").ino(), fs::read(&page).expect("the page"));
    stage.run("dante4l", WAITING).expect(3, words);
    let after = (fs::metadata(&page).expect("the page").ino(), fs::read(&page).expect("the page"));
    assert!(before == after, "dante4l changed a page of another owner");
}

#[test]
fn programs_reject_page_of_another_user() {
    if !may_be_root("giving a file to another user needs root") {
        return;
    }
    let stage = Stage::new();
    chown(page_of(&stage), Some(NOBODY), Some(NOBODY)).expect("chown");
    expect_rejected(&stage, "foreign", &["is not trusted", "belongs to user 65534"]);
    expect_writer_refuses(&stage, &["cannot use", "belongs to user 65534", "remove it"]);
}

#[test]
fn programs_reject_page_writable_by_others() {
    for mode in [0o664, 0o646] {
        let stage = Stage::new();
        fs::set_permissions(page_of(&stage), Permissions::from_mode(mode)).expect("chmod");
        expect_rejected(&stage, "foreign", &["is not trusted", "others may write to it"]);
        expect_writer_refuses(&stage, &["cannot use", "others may write to it"]);
    }
}

#[test]
fn programs_reject_link_in_place_of_page() {
    let stage = Stage::new();
    let page = page_of(&stage);
    let elsewhere = stage.folder().join("page");
    fs::copy(&page, &elsewhere).expect("a copy");
    fs::remove_file(&page).expect("removing");
    std::os::unix::fs::symlink(&elsewhere, &page).expect("a link");
    expect_rejected(&stage, "foreign", &["is not trusted"]);
    expect_writer_refuses(&stage, &["cannot use", "not a regular file"]);
}

#[test]
fn page_of_other_size_is_rejected_and_replaced() {
    for size in [17, 64, 4096, Dante4l::SIZE - 8, Dante4l::SIZE + 8, 1 << 20] {
        let stage = Stage::new();
        let file = fs::OpenOptions::new().write(true).open(page_of(&stage)).expect("the page");
        file.set_len(size as u64).expect("another size");
        expect_rejected(&stage, "layout", &[&format!("{size} bytes instead of {}", Dante4l::SIZE)]);
        expect_replaced(&stage);
    }
}

#[test]
fn page_of_other_major_version_is_rejected_and_replaced() {
    let stage = Stage::new();
    let page = page_of(&stage);
    let mut bytes = fs::read(&page).expect("the page");
    let next = u32::from_ne_bytes(bytes[8..12].try_into().expect("4 bytes")) + 1;
    bytes[8..12].copy_from_slice(&next.to_ne_bytes());
    fs::write(&page, bytes).expect("the page");
    let words = [format!("clock page version {next}"), format!("this program reads {}", Dante4l::VERSION)];
    expect_rejected(&stage, "layout", &words.each_ref().map(String::as_str));
    expect_replaced(&stage);
}

#[test]
fn page_of_garbage_is_rejected_and_replaced() {
    let stage = Stage::new();
    let page = page_of(&stage);
    // Every field has an invalid value.
    let garbage: Vec<u8> = (0..Dante4l::SIZE).map(|at| (at % 251) as u8 | 0x80).collect();
    fs::write(&page, garbage).expect("the page");
    expect_rejected(&stage, "layout", &["does not contain data of"]);
    expect_replaced(&stage);
}

#[test]
fn readers_survive_garbage_behind_valid_header() {
    let stage = Stage::new();
    let page = page_of(&stage);
    let mut bytes = fs::read(&page).expect("the page");
    for (at, byte) in bytes.iter_mut().enumerate().skip(HEAD_SIZE) {
        *byte = (at % 251) as u8 | 0x80;
    }
    write_tail(&mut bytes);
    fs::write(&page, &bytes).expect("the page");
    let screen = stage.screen();
    assert!(screen.contains("dante4l    stopped"), "{screen}");
    assert_eq!(stage.status()["dante4l"]["page"], "stopped");
    // As left by a writer that was killed while it wrote: the sequence is odd.
    bytes[56..64].copy_from_slice(&1u64.to_ne_bytes());
    write_tail(&mut bytes);
    fs::write(&page, &bytes).expect("the page");
    assert_eq!(stage.status()["dante4l"]["page"], "stale");
    let dante2sys = stage.start("dante2sys", stage.command("dante2sys", &["--clock=virtual"]));
    stage.wait_for("dante2sys", "state", "WAITING", EVENT_TIMEOUT);
    dante2sys.stop().expect(0, &[]);
}

/// Readers do not take the zeros at the end for values.
#[test]
fn programs_reject_truncated_and_extended_page() {
    let stage = Stage::new();
    resize(&page_of(&stage), &[192, Dante4l::SIZE as u64]);
    expect_rejected(&stage, "stale", &["is inconsistent", "another process changed it"]);
    resize(&stage.page::<Dante4l>(), &[0, Dante4l::SIZE as u64]);
    expect_rejected(&stage, "absent", &["is not complete"]);
}

/// No program blocks on the FIFO.
#[test]
fn programs_reject_fifo_in_place_of_page() {
    let stage = Stage::new();
    let page = page_of(&stage);
    fs::remove_file(&page).expect("removing");
    nix::unistd::mkfifo(&page, nix::sys::stat::Mode::from_bits_truncate(0o644)).expect("a FIFO");
    expect_rejected(&stage, "foreign", &["is not trusted", "not a regular file"]);
    stage.run("dante4l", WAITING).expect(3, &["cannot use", "not a regular file"]);
}

#[test]
fn programs_reject_directory_in_place_of_page() {
    let stage = Stage::new();
    let page = page_of(&stage);
    fs::remove_file(&page).expect("removing");
    fs::create_dir(&page).expect("a directory");
    expect_rejected(&stage, "foreign", &["is not trusted", "not a regular file"]);
    stage.run("dante4l", WAITING).expect(3, &["cannot use", "not a regular file"]);
    fs::remove_dir(&page).expect("removing");
}

/// A running daemon reports a directory in place of its page at once and each minute, and recreates the page when the directory is
/// removed.
#[test]
fn running_daemon_reports_directory_in_place_of_its_page_each_minute() {
    let stage = Stage::new();
    let dante4l = stage.start("dante4l", stage.command("dante4l", WAITING));
    stage.wait_for("dante4l", "page", "fresh", EVENT_TIMEOUT);
    let page = stage.page::<Dante4l>();
    fs::remove_file(&page).expect("removing");
    fs::create_dir(&page).expect("a directory");
    let report = format!("cannot use {}", page.display());
    let wait_for_reports = |count: usize, limit: Duration| {
        wait_for(&format!("{report:?} {count} times"), limit, || {
            (dante4l.output().matches(&report).count() >= count).then(Instant::now)
        })
    };
    let first = wait_for_reports(1, EVENT_TIMEOUT);
    let interval = (wait_for_reports(2, EVENT_TIMEOUT * 3) - first).as_secs_f64();
    println!("second report after {interval:.1} s");
    assert!((55.0..90.0).contains(&interval), "second report after {interval} s");
    fs::remove_dir(&page).expect("removing");
    stage.wait_for("dante4l", "page", "fresh", EVENT_TIMEOUT);
    dante4l.stop().expect(0, &[]);
}

/// A status page of another version, as an upgrade leaves it.
#[test]
fn status_page_of_other_version_is_replaced() {
    let stage = Stage::new();
    let page = stage.page::<Dante4lStatus>();
    let mut bytes = vec![0x77; Dante4lStatus::SIZE + 400];
    let shape = Shape { size: bytes.len(), array: None };
    write_head(&mut bytes, layout_word::<Dante4lStatus>() + 1, shape, 7);
    // Its writer has ended.
    bytes[40..48].copy_from_slice(&1_i64.to_ne_bytes());
    write_tail(&mut bytes);
    fs::write(&page, bytes).expect("a page");
    let before = fs::metadata(&page).expect("the page").ino();
    let dante4l = stage.start("dante4l", stage.command("dante4l", WAITING));
    stage.wait_for("dante4l", "page", "fresh", EVENT_TIMEOUT);
    stage.reader::<Dante4lStatus>().read(raw_now()).expect("a status page of this version");
    assert_ne!(fs::metadata(&page).expect("the page").ino(), before);
    dante4l.stop().expect(0, &[]);
}

#[test]
fn daemon_without_status_page_does_not_start_and_keeps_clock_page() {
    let stage = Stage::new();
    let clock = page_of(&stage);
    let before = fs::read(&clock).expect("the page");
    fs::remove_file(stage.page::<Dante4lStatus>()).expect("removing");
    fs::create_dir(stage.page::<Dante4lStatus>()).expect("a folder");
    stage.run("dante4l", WAITING).expect(3, &["cannot use", ".status: it is not a regular file"]);
    assert!(fs::read(&clock).expect("the page") == before, "the clock page of the previous run changed");
    fs::remove_dir(stage.page::<Dante4lStatus>()).expect("removing");
}

/// tmpfiles.d creates an empty file at boot.
#[test]
fn reserved_page_is_used_in_place() {
    let stage = Stage::new();
    let page = page_of(&stage);
    fs::write(&page, "").expect("the page");
    assert_eq!(stage.status()["dante4l"]["page"], "absent");
    let before = fs::metadata(&page).expect("the page").ino();
    let dante4l = stage.start("dante4l", stage.command("dante4l", WAITING));
    stage.wait_for("dante4l", "page", "fresh", EVENT_TIMEOUT);
    assert_eq!(fs::metadata(&page).expect("the page").ino(), before, "the reserved file was replaced");
    dante4l.stop().expect(0, &[]);
}

#[test]
fn reader_follows_recreated_page() {
    let stage = Stage::new();
    let page = page_of(&stage);
    let mut reader = stage.reader::<Dante4l>();
    let first = reader.read(raw_now()).expect("the page").instance;
    let mut bytes = fs::read(&page).expect("the page");
    bytes[8] ^= 1;
    fs::write(&page, bytes).expect("the page");
    expect_replaced(&stage);
    let second = reader.read(raw_now()).expect("the new page").instance;
    assert_ne!(first, second);
}

/// All three daemons beside a leader.
struct Chain {
    /// danteshm, dante2sys, dante4l.
    daemons: [Program; 3],
    readers: Readers,
    _leader: LeaderProcess,
    lab: Lab,
}

impl Chain {
    fn new() -> Option<Self> {
        let lab = Lab::new()?;
        let _leader = lab.leader(&["--ppm=12"]);
        let mut chain = Self { daemons: lab.daemons(), readers: lab.readers(), _leader, lab };
        chain.wait_for_operation("at the start");
        Some(chain)
    }

    /// Waits until all daemons are SLAVE, LOCKED and FEEDING in the processes that were started.
    fn wait_for_operation(&mut self, after: &str) {
        let Self { daemons, readers, .. } = self;
        let pids = daemons.each_ref().map(|program| Some(program.pid()));
        wait_for(&format!("all daemons in operation, {after}"), EVENT_TIMEOUT, || {
            assert!(
                daemons.iter_mut().all(Program::runs),
                "{after}: {}",
                daemons.each_ref().map(Program::output).concat()
            );
            let (observer, steerer, relay) = (readers.dante4l()?, readers.dante2sys()?, readers.danteshm()?);
            let are_fresh = [Some(relay.pid), Some(steerer.pid), Some(observer.pid)] == pids;
            let clock = readers.clock()?;
            let is_operating = port::State::from_number(clock.body.state) == Some(port::State::Slave)
                && steerer.body.state() == Some(steer::State::Locked)
                && relay.body.state() == Some(relay::State::Feeding);
            (are_fresh && is_operating).then_some(())
        });
    }

    fn pages(&self) -> [(&'static str, usize, PathBuf); 6] {
        let stage = &self.lab.stage;
        [
            ("dante4l", 2, stage.page::<Dante4l>()),
            ("dante2sys", 1, stage.page::<Dante2sys>()),
            ("danteshm", 0, stage.page::<Danteshm>()),
            ("dante4l", 2, stage.page::<Dante4lStatus>()),
            ("dante2sys", 1, stage.page::<Dante2sysStatus>()),
            ("danteshm", 0, stage.page::<DanteshmStatus>()),
        ]
    }
}

/// Sets the size of the page's file to each of `sizes` in turn.
pub fn resize(page: &Path, sizes: &[u64]) {
    let file = OpenOptions::new().write(true).open(page).expect("the page");
    sizes.iter().for_each(|size| file.set_len(*size).expect("another size"));
}

/// Replaces the page's file by another one.
pub fn replace(page: &Path) {
    let other = page.with_extension("other");
    fs::write(&other, [0x5a; 4000]).expect("another file");
    fs::rename(&other, page).expect("in its place");
}

/// Changes to files in /dev/shm by root, by mistake, or by a compromised service user. danteshm runs with its seccomp filter.
#[test]
fn daemons_survive_changed_pages_and_recreate_them() {
    let Some(mut chain) = Chain::new() else { return };
    type Act = fn(&Path);
    let acts: [(&str, &str, Act); 8] = [
        ("cut short", "was changed by another process (0 bytes", |page| resize(page, &[0])),
        ("shortened", "was changed by another process (136 bytes", |page| resize(page, &[136])),
        ("lengthened", "was changed by another process (1048576 bytes", |page| resize(page, &[1 << 20])),
        ("emptied", "was changed by another process", |page| {
            let size = fs::metadata(page).expect("the page").len();
            resize(page, &[0, size]);
        }),
        // The next publication makes it consistent.
        ("cut inside and extended", "", |page| {
            let size = fs::metadata(page).expect("the page").len();
            resize(page, &[192, size]);
        }),
        ("renamed", "was removed by another process", |page| {
            fs::rename(page, page.with_extension("renamed")).expect("another name");
        }),
        ("deleted", "was removed by another process", |page| fs::remove_file(page).expect("removing")),
        ("replaced", "was removed by another process", replace),
    ];
    for (what, words, act) in acts {
        for (program, place, page) in chain.pages() {
            let reports = chain.daemons[place].output().matches(words).count();
            act(&page);
            let after = format!("{what}: {}", page.display());
            chain.wait_for_operation(&after);
            _ = fs::remove_file(page.with_extension("renamed"));
            wait_for(&format!("a report of {program}, {after}"), EVENT_TIMEOUT, || {
                (words.is_empty() || chain.daemons[place].output().matches(words).count() > reports)
                    .then_some(())
            });
        }
    }
    for daemon in chain.daemons {
        daemon.stop().expect(0, &[]);
    }
}

/// dante4l's clock page is empty for some seconds: dante2sys goes into HOLDOVER and back to LOCKED without a step, danteshm writes
/// no samples meanwhile.
#[test]
fn unusable_clock_page_causes_holdover_without_a_step() {
    let Some(mut chain) = Chain::new() else { return };
    let watch = ClockWatch::start(&chain.lab.stage);
    std::thread::sleep(Duration::from_secs(2));
    // dante4l is stopped so that it does not recreate its page at once.
    chain.daemons[2].signal(Signal::SIGSTOP);
    resize(&chain.lab.stage.page::<Dante4l>(), &[0]);
    chain.readers.wait_for_steerer(steer::State::Holdover, EVENT_TIMEOUT);
    let samples = chain.readers.wait_for_relay(relay::State::Waiting, EVENT_TIMEOUT).outputs()[0].samples;
    assert_eq!(chain.lab.stage.status()["dante4l"]["page"], "absent");
    std::thread::sleep(Duration::from_secs(2));
    let relay = chain.readers.danteshm().expect("danteshm's page").body;
    assert_eq!((relay.state(), relay.outputs()[0].samples), (Some(relay::State::Waiting), samples));
    chain.daemons[2].signal(Signal::SIGCONT);
    chain.wait_for_operation("the clock page was recreated");
    std::thread::sleep(Duration::from_secs(4));
    watch.finish().judge(&[12.0]);
    assert_eq!(chain.lab.stage.status()["dante2sys"]["utc"]["steps"], 0);
}

/// Files of another user in the place of all pages: the writers report them and leave them unchanged, readers reject them, and the
/// daemons continue after they are removed.
#[test]
fn files_of_another_user_are_rejected_until_removed() {
    let Some(mut chain) = Chain::new() else { return };
    let pages = chain.pages();
    for (_, _, page) in &pages {
        let planted = page.with_extension("planted");
        fs::copy(page, &planted).expect("a copy");
        chown(&planted, Some(NOBODY), Some(NOBODY)).expect("chown");
        fs::rename(&planted, page).expect("in its place");
    }
    for (_, place, page) in &pages {
        let words = format!(
            "other programs cannot read this program's state: cannot use {}: it belongs to user 65534",
            page.display()
        );
        chain.daemons[*place].wait_for_output(&words, EVENT_TIMEOUT);
    }
    chain.daemons[1].wait_for_output("is not trusted: it belongs to user 65534", EVENT_TIMEOUT);
    for program in ["dante4l", "dante2sys", "danteshm"] {
        chain.lab.stage.wait_for(program, "page", "foreign", EVENT_TIMEOUT);
    }
    assert!(chain.daemons.iter_mut().all(Program::runs));
    for (_, _, page) in &pages {
        assert_eq!(fs::metadata(page).expect("the page").uid(), NOBODY);
        fs::remove_file(page).expect("removing");
    }
    chain.wait_for_operation("the files were removed");
}

/// Returns the clock page of a version of dante4l with the first `fields` bytes of this version's body and this array of samples.
pub fn version_of(body: &Dante4l, fields: usize, array: Array, instance: u64) -> Vec<u8> {
    let shape = Shape { size: array.offset + array.stride * array.entries + TAIL_SIZE, array: Some(array) };
    let mut bytes = vec![0xa5; shape.size];
    bytes[HEAD_SIZE..HEAD_SIZE + fields].copy_from_slice(&body.as_bytes()[..fields]);
    let count = usize::try_from(body.samples).expect("a count");
    for n in count.saturating_sub(array.entries.min(RING))..count {
        let at = array.offset + n % array.entries * array.stride;
        bytes[at..at + size_of::<SampleRecord>()].copy_from_slice(body.ring[n % RING].as_bytes());
    }
    write_head(&mut bytes, layout_word::<Dante4l>(), shape, instance);
    bytes
}

/// A later version: two more fields, longer samples, a longer ring.
pub fn later_version(body: &Dante4l, instance: u64) -> Vec<u8> {
    let own = Dante4l::ARRAY.expect("a ring");
    let array = Array { offset: own.offset + 16, stride: own.stride + 16, entries: 2 * RING };
    version_of(body, own.offset - HEAD_SIZE, array, instance)
}

/// An earlier version: neither path delay nor count of samples, and a ring of 16.
pub fn earlier_version(body: &Dante4l, instance: u64) -> Vec<u8> {
    let fields = std::mem::offset_of!(Dante4l, path_delay_ns);
    let array = Array { offset: HEAD_SIZE + fields, stride: size_of::<SampleRecord>(), entries: 16 };
    version_of(body, fields, array, instance)
}

fn write_head(bytes: &mut [u8], layout: u64, shape: Shape, instance: u64) {
    let until = (raw_now() + dante_core::time::Duration::from_secs(2)).ns().cast_unsigned();
    let [size, array, entries] = shape.words();
    let life = dante_core::page::Life::Live.word(std::process::id());
    let words = [dante_core::page::MAGIC, layout, size, life, instance, until, 0, 2, array, entries];
    bytes[..HEAD_SIZE].fill(0);
    for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    assert_eq!(bytes.len(), shape.size);
    write_tail(bytes);
}

/// Writes the tail that fits the other bytes.
pub fn write_tail(bytes: &mut [u8]) {
    let (tail, place) = (tail_of(bytes), bytes.len() - TAIL_SIZE);
    bytes[place..].copy_from_slice(&tail.to_ne_bytes());
}

/// A dante4l of another version: publishes the measurements of the real one in its own layouts, under another instance name.
struct Translated {
    page: PathBuf,
    status: PathBuf,
    translate: fn(&Dante4l, u64) -> Vec<u8>,
}

impl Translated {
    /// Publishes the present contents of the real clock page.
    fn publish(&self, readers: &mut Readers) {
        let Some(view) = readers.clock() else { return };
        let mut bytes = (self.translate)(&view.body, view.instance);
        let even = view.body.samples * 2 + 2;
        bytes[56..64].copy_from_slice(&even.to_ne_bytes());
        write_tail(&mut bytes);
        // In the order of a writer: the body under an odd sequence, then the doorbell.
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).open(&self.page).expect("a page");
        let write =
            |word: Head, value: u64| file.write_all_at(&value.to_ne_bytes(), word.offset()).expect("a word");
        write(Head::Sequence, even - 1);
        file.write_all_at(&bytes[HEAD_SIZE..], HEAD_SIZE as u64).expect("a body");
        file.write_all_at(&bytes[..56], 0).expect("a head");
        file.write_all_at(&bytes[64..HEAD_SIZE], 64).expect("a head");
        write(Head::Sequence, even);
        write(Head::Doorbell, view.body.samples);
        let mut status = vec![0x77; Dante4lStatus::SIZE + 400];
        let shape = Shape { size: status.len(), array: None };
        write_head(&mut status, layout_word::<Dante4lStatus>() + 1, shape, view.instance);
        fs::write(&self.status, status).expect("a status page");
    }
}

/// As while programs are upgraded one by one: daemons of this version beside a dante4l of another version, whose clock page is
/// longer or shorter and whose status page has another layout.
#[test]
fn daemons_follow_clock_pages_of_other_versions_of_dante4l() {
    let Some(lab) = Lab::new() else { return };
    let (_leader, _dante4l) = lab.following(&["--ppm=12"], &[]);
    let mut here = lab.readers();
    for (translate, version) in
        [(later_version as fn(&Dante4l, u64) -> Vec<u8>, "later"), (earlier_version, "earlier")]
    {
        let other = Stage::new();
        let (page, status) = (other.page::<Dante4l>(), other.page::<Dante4lStatus>());
        let translated = Translated { page, status, translate };
        let mut there = Readers::of(&other);
        translated.publish(&mut here);
        let unit = format!("--shm={}", other.unit());
        let mut daemons = [("dante2sys", vec!["--clock=virtual"]), ("danteshm", vec!["--epoch=now", &unit])]
            .map(|(program, words)| other.start(program, other.command(program, &words)));
        // A page without a count of samples has none to relay.
        let feeds = version == "later";
        wait_for(&format!("both follow the {version} version"), EVENT_TIMEOUT, || {
            translated.publish(&mut here);
            std::thread::sleep(Duration::from_millis(100));
            assert!(
                daemons.iter_mut().all(Program::runs),
                "{}",
                daemons.each_ref().map(Program::output).concat()
            );
            let (steerer, relay) = (there.dante2sys()?, there.danteshm()?);
            let is_feeding = relay.body.outputs().first()?.samples > 3;
            (steerer.body.state() == Some(steer::State::Locked) && is_feeding == feeds).then_some(())
        });
        if !feeds {
            for _ in 0..20 {
                translated.publish(&mut here);
                std::thread::sleep(Duration::from_millis(100));
            }
            let relay = there.danteshm().expect("danteshm's page").body;
            assert_eq!(relay.outputs()[0].samples, 0, "samples of a page without a count of samples");
        }
        let rate = there.dante2sys().expect("dante2sys").body.frequency * 1e6;
        assert!((rate - 12.0).abs() < 6.0, "{version}: {rate} ppm");
        let (found, wanted) = (Dante4lStatus::VERSION + 1, Dante4lStatus::VERSION);
        let screen = other.screen();
        assert!(screen.contains(&format!("status layout {found}, this program reads {wanted}")), "{screen}");
        for daemon in daemons {
            daemon.stop().expect(0, &[]);
        }
    }
}

/// danteshm of this version beside a dante2sys whose clock page is longer.
#[test]
fn danteshm_takes_epoch_offset_of_later_dante2sys() {
    let Some(lab) = Lab::new() else { return };
    let (_leader, _dante4l) = lab.following(&["--ppm=12"], &[]);
    let mut readers = lab.readers();
    let clock = readers.clock().expect("dante4l's page");
    let map = clock.body.map().expect("a map");
    let now = read_realtime();
    let off = dante_core::time::Duration::from_ms(7);
    let body = Dante2sys {
        state: steer::State::Locked as u8,
        flags: dante_core::page::STEER_HAS_PIECE | dante_core::page::STEER_UTC_SYNCHRONISED,
        key_instance: clock.instance,
        key_number: clock.body.timeline,
        piece: dante_core::page::PieceRecord {
            origin: 1,
            serial: 1,
            dante0_ns: map.dante_at(now.raw).ns(),
            utc0_ns: (now.real + off).ns(),
            slope: 0,
        },
        ..Dante2sys::default()
    };
    let size = Dante2sys::SIZE + 24;
    let mut bytes = vec![0xa5; size];
    bytes[HEAD_SIZE..HEAD_SIZE + size_of::<Dante2sys>()].copy_from_slice(body.as_bytes());
    write_head(&mut bytes, layout_word::<Dante2sys>(), Shape { size, array: None }, 9);
    // The page is fresh until the end of the test.
    bytes[40..48].copy_from_slice(&i64::MAX.to_ne_bytes());
    fs::write(lab.stage.page::<Dante2sys>(), bytes).expect("a page");
    let danteshm = lab.danteshm();
    danteshm.wait_for_output("set from dante2sys; reference minus system clock +0.00", EVENT_TIMEOUT);
    let status = lab.stage.wait_for("danteshm", "epoch_source", "dante2sys", EVENT_TIMEOUT);
    assert_eq!(status["state"], "FEEDING", "{status:#}");
    danteshm.stop().expect(0, &[]);
}
