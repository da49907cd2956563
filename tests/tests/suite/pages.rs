//! Pages that must not be trusted, since /dev/shm is open to everybody; pages that are changed under the programs that use
//! them; and pages of other versions.

use dante_core::page::{
    Array, Body, Dante2sys, Dante2sysStatus, Dante4l, Dante4lStatus, Danteshm, DanteshmStatus, HEAD_SIZE,
    Head, RING, SampleRecord, Shape, TAIL_SIZE, layout_word, tail_of,
};
use dante_core::{port, relay, steer};
use dante_os::clock::raw_now;
use dante_tests::lab::{Eyes, Lab, LeaderProcess, may_be_root};
use dante_tests::program::Program;
use dante_tests::stage::Stage;
use dante_tests::wait_for;
use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::FileExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zerocopy::IntoBytes;

const PATIENCE: Duration = Duration::from_secs(20);
/// dante4l waits for this interface, and publishes its page meanwhile.
const WAITING: &[&str] = &["-i", "nosuch0"];
const NOBODY: u32 = 65534;

/// A clock page that dante4l made and left: as it should be, to be spoilt in one respect.
fn page_of(stage: &Stage) -> PathBuf {
    let dante4l = stage.start("dante4l", stage.command("dante4l", WAITING));
    stage.wait_for("dante4l", "page", "fresh", PATIENCE);
    dante4l.stop().expect(0, &[]);
    let page = stage.page::<Dante4l>();
    assert_eq!(fs::metadata(&page).expect("the page").mode() & 0o7777, 0o644);
    page
}

/// What every reader makes of it: no value of it is shown, and the reason is told in a sentence.
fn see_refused(stage: &Stage, as_what: &str, words: &[&str]) {
    let status = stage.status();
    assert_eq!(status["dante4l"]["page"], as_what, "{status:#}");
    assert_eq!(status["dante4l"]["running"], false, "{status:#}");
    assert_eq!(status["dante4l"].as_object().map(|part| part.len()), Some(2), "it is shown: {status:#}");
    let page = stage.page::<Dante4l>().display().to_string();
    let screen = stage.screen();
    for word in words.iter().copied().chain([page.as_str()]) {
        assert!(screen.contains(word), "{word:?} is not in: {screen}");
    }
    // The one that steers a clock by it.
    let dante2sys = stage.start("dante2sys", stage.command("dante2sys", &["--clock=virtual"]));
    for word in words.iter().copied().chain([page.as_str()]) {
        dante2sys.wait_for_output(word, PATIENCE);
    }
    stage.wait_for("dante2sys", "state", "WAITING", PATIENCE);
    dante2sys.stop().expect(0, &[]);
}

/// dante4l puts a page of its own in the place of the one that is there.
fn see_replaced(stage: &Stage) {
    let before = fs::metadata(stage.page::<Dante4l>()).expect("the page").ino();
    let dante4l = stage.start("dante4l", stage.command("dante4l", WAITING));
    stage.wait_for("dante4l", "page", "fresh", PATIENCE);
    assert_ne!(fs::metadata(stage.page::<Dante4l>()).expect("the page").ino(), before);
    dante4l.stop().expect(0, &[]);
}

/// dante4l does not touch it.
fn see_writer_refuse(stage: &Stage, words: &[&str]) {
    let page = stage.page::<Dante4l>();
    let before = (fs::metadata(&page).expect("the page").ino(), fs::read(&page).expect("the page"));
    stage.run("dante4l", WAITING).expect(3, words);
    let after = (fs::metadata(&page).expect("the page").ino(), fs::read(&page).expect("the page"));
    assert!(before == after, "dante4l changed a page that is not its own");
}

#[test]
fn of_another_user() {
    if !may_be_root("giving a file to another user needs root") {
        return;
    }
    let stage = Stage::new();
    chown(page_of(&stage), Some(NOBODY), Some(NOBODY)).expect("chown");
    see_refused(&stage, "foreign", &["is not trusted", "belongs to user 65534"]);
    see_writer_refuse(&stage, &["is in the way", "belongs to user 65534", "remove it"]);
}

#[test]
fn that_others_may_write() {
    for mode in [0o664, 0o646] {
        let stage = Stage::new();
        fs::set_permissions(page_of(&stage), Permissions::from_mode(mode)).expect("chmod");
        see_refused(&stage, "foreign", &["is not trusted", "others may write to it"]);
        see_writer_refuse(&stage, &["is in the way", "others may write to it"]);
    }
}

#[test]
fn that_are_links() {
    let stage = Stage::new();
    let page = page_of(&stage);
    let elsewhere = stage.folder().join("page");
    fs::copy(&page, &elsewhere).expect("a copy");
    fs::remove_file(&page).expect("removing");
    std::os::unix::fs::symlink(&elsewhere, &page).expect("a link");
    see_refused(&stage, "foreign", &["is not trusted"]);
    see_writer_refuse(&stage, &["is in the way", "not a regular file"]);
}

#[test]
fn of_another_size() {
    for size in [17, 64, 4096, Dante4l::SIZE - 8, Dante4l::SIZE + 8, 1 << 20] {
        let stage = Stage::new();
        let file = fs::OpenOptions::new().write(true).open(page_of(&stage)).expect("the page");
        file.set_len(size as u64).expect("another size");
        see_refused(&stage, "layout", &[&format!("{size} bytes long instead of {}", Dante4l::SIZE)]);
        see_replaced(&stage);
    }
}

#[test]
fn of_another_major_version() {
    let stage = Stage::new();
    let page = page_of(&stage);
    let mut bytes = fs::read(&page).expect("the page");
    let next = u32::from_ne_bytes(bytes[8..12].try_into().expect("4 bytes")) + 1;
    bytes[8..12].copy_from_slice(&next.to_ne_bytes());
    fs::write(&page, bytes).expect("the page");
    let words = [format!("clock page version {next}"), format!("this program reads {}", Dante4l::VERSION)];
    see_refused(&stage, "layout", &words.each_ref().map(String::as_str));
    see_replaced(&stage);
}

#[test]
fn of_garbage() {
    let stage = Stage::new();
    let page = page_of(&stage);
    // Not random, and no zeros: every field has a value that it cannot have.
    let garbage: Vec<u8> = (0..Dante4l::SIZE).map(|at| (at % 251) as u8 | 0x80).collect();
    fs::write(&page, garbage).expect("the page");
    see_refused(&stage, "layout", &["does not hold a page of this suite"]);
    see_replaced(&stage);
}

/// The head is right and the rest is not: a reader must neither die of it nor hang.
#[test]
fn with_garbage_behind_a_good_head() {
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
    // A writer that died while it wrote: the sequence stays odd.
    bytes[56..64].copy_from_slice(&1u64.to_ne_bytes());
    write_tail(&mut bytes);
    fs::write(&page, &bytes).expect("the page");
    assert_eq!(stage.status()["dante4l"]["page"], "stale");
    let dante2sys = stage.start("dante2sys", stage.command("dante2sys", &["--clock=virtual"]));
    stage.wait_for("dante2sys", "state", "WAITING", PATIENCE);
    dante2sys.stop().expect(0, &[]);
}

/// Zeros from some place on are not taken for values.
#[test]
fn that_were_cut_inside_and_extended_again() {
    let stage = Stage::new();
    resize(&page_of(&stage), &[192, Dante4l::SIZE as u64]);
    see_refused(&stage, "stale", &["is not whole", "another process changed it"]);
    resize(&stage.page::<Dante4l>(), &[0, Dante4l::SIZE as u64]);
    see_refused(&stage, "absent", &["is being made"]);
}

/// Nobody waits for the other end of it.
#[test]
fn that_are_fifos() {
    let stage = Stage::new();
    let page = page_of(&stage);
    fs::remove_file(&page).expect("removing");
    nix::unistd::mkfifo(&page, nix::sys::stat::Mode::from_bits_truncate(0o644)).expect("a FIFO");
    see_refused(&stage, "foreign", &["is not trusted", "not a regular file"]);
    stage.run("dante4l", WAITING).expect(3, &["is in the way", "not a regular file"]);
}

/// A status page that cannot be made keeps a daemon from starting, and costs nothing of what the clock page holds.
#[test]
fn that_a_daemon_has_only_one_of() {
    let stage = Stage::new();
    let clock = page_of(&stage);
    let before = fs::read(&clock).expect("the page");
    fs::remove_file(stage.page::<Dante4lStatus>()).expect("removing");
    fs::create_dir(stage.page::<Dante4lStatus>()).expect("a folder");
    stage.run("dante4l", WAITING).expect(3, &[".status is in the way", "not a regular file"]);
    assert!(fs::read(&clock).expect("the page") == before, "what the run before left");
    fs::remove_dir(stage.page::<Dante4lStatus>()).expect("removing");
}

/// An empty file is what tmpfiles.d puts there at boot.
#[test]
fn that_are_only_reserved() {
    let stage = Stage::new();
    let page = page_of(&stage);
    fs::write(&page, "").expect("the page");
    assert_eq!(stage.status()["dante4l"]["page"], "absent");
    let before = fs::metadata(&page).expect("the page").ino();
    let dante4l = stage.start("dante4l", stage.command("dante4l", WAITING));
    stage.wait_for("dante4l", "page", "fresh", PATIENCE);
    assert_eq!(fs::metadata(&page).expect("the page").ino(), before, "it is used as it is");
    dante4l.stop().expect(0, &[]);
}

/// A page that is made again while it is being read: the reader goes over to the new one.
#[test]
fn that_are_made_again_under_a_reader() {
    let stage = Stage::new();
    let page = page_of(&stage);
    let mut reader = stage.reader::<Dante4l>();
    let first = reader.read(raw_now()).expect("the page").instance;
    let mut bytes = fs::read(&page).expect("the page");
    bytes[8] ^= 1;
    fs::write(&page, bytes).expect("the page");
    see_replaced(&stage);
    let second = reader.read(raw_now()).expect("the new page").instance;
    assert_ne!(first, second);
}

/// All three daemons at work.
struct Chain {
    /// danteshm, dante2sys, dante4l.
    daemons: [Program; 3],
    eyes: Eyes,
    _leader: LeaderProcess,
    lab: Lab,
}

impl Chain {
    fn new() -> Option<Self> {
        let lab = Lab::new()?;
        let _leader = lab.leader(&["--ppm=12"]);
        let mut chain = Self { daemons: lab.daemons(), eyes: lab.eyes(), _leader, lab };
        chain.see_at_work("at the start");
        Some(chain)
    }

    /// Each of them runs, as the process that was started, and does what it is there for.
    fn see_at_work(&mut self, after: &str) {
        let Self { daemons, eyes, .. } = self;
        let pids = daemons.each_ref().map(|program| Some(program.pid()));
        wait_for(&format!("all are at work, {after}"), PATIENCE, || {
            assert!(
                daemons.iter_mut().all(Program::runs),
                "{after}: {}",
                daemons.each_ref().map(Program::output).concat()
            );
            let (observer, steerer, relay) = (eyes.dante4l()?, eyes.dante2sys()?, eyes.danteshm()?);
            let are_fresh = [Some(relay.pid), Some(steerer.pid), Some(observer.pid)] == pids;
            let clock = eyes.clock()?;
            let do_work = clock.body.state() == Some(port::State::Slave)
                && steerer.body.state() == Some(steer::State::Locked)
                && relay.body.state() == Some(relay::State::Feeding);
            (are_fresh && do_work).then_some(())
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

pub fn resize(page: &Path, sizes: &[u64]) {
    let file = OpenOptions::new().write(true).open(page).expect("the page");
    sizes.iter().for_each(|size| file.set_len(*size).expect("another size"));
}

/// Puts another file in its place.
pub fn replace(page: &Path) {
    let other = page.with_extension("other");
    fs::write(&other, [0x5a; 4000]).expect("another file");
    fs::rename(&other, page).expect("in its place");
}

/// What may happen to a file in /dev/shm, by root, by mistake, or by a service user that was taken over. danteshm is behind its
/// filter over system calls.
#[test]
fn that_are_changed_under_the_daemons_kill_none_and_are_made_again() {
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
        // Its next publication makes it whole.
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
            let heard = chain.daemons[place].output().matches(words).count();
            act(&page);
            let after = format!("{what}: {}", page.display());
            chain.see_at_work(&after);
            _ = fs::remove_file(page.with_extension("renamed"));
            wait_for(&format!("{program} reports it, {after}"), PATIENCE, || {
                (words.is_empty() || chain.daemons[place].output().matches(words).count() > heard)
                    .then_some(())
            });
        }
    }
    for daemon in chain.daemons {
        daemon.stop().expect(0, &[]);
    }
}

/// Another user's file in the place of one that was deleted: the writer does not touch it and reports it, readers do not trust it,
/// and once it is gone everything goes on.
#[test]
fn that_are_planted_under_the_daemons_are_refused_until_they_are_gone() {
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
            "readers do not see this program: {} is in the way: it belongs to user 65534",
            page.display()
        );
        chain.daemons[*place].wait_for_output(&words, PATIENCE);
    }
    chain.daemons[1].wait_for_output("is not trusted: it belongs to user 65534", PATIENCE);
    for program in ["dante4l", "dante2sys", "danteshm"] {
        chain.lab.stage.wait_for(program, "page", "foreign", PATIENCE);
    }
    assert!(chain.daemons.iter_mut().all(Program::runs));
    for (_, _, page) in &pages {
        assert_eq!(fs::metadata(page).expect("the page").uid(), NOBODY);
        fs::remove_file(page).expect("removing");
    }
    chain.see_at_work("the planted files are gone");
}

/// The clock page of a version of dante4l that has the first `fields` bytes of this one's body, and this array of samples.
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

/// A later one: two fields more, longer samples, a longer ring.
pub fn later_version(body: &Dante4l, instance: u64) -> Vec<u8> {
    let own = Dante4l::ARRAY.expect("a ring");
    let array = Array { offset: own.offset + 16, stride: own.stride + 16, entries: 2 * RING };
    version_of(body, own.offset - HEAD_SIZE, array, instance)
}

/// An earlier one: neither path delay nor count of samples, and a ring of 16.
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

/// The tail that belongs to the rest.
pub fn write_tail(bytes: &mut [u8]) {
    let (tail, place) = (tail_of(bytes), bytes.len() - TAIL_SIZE);
    bytes[place..].copy_from_slice(&tail.to_ne_bytes());
}

/// A dante4l of another version, which publishes what the real one measures in its own layouts, under another instance's names.
struct Translated {
    page: PathBuf,
    status: PathBuf,
    translate: fn(&Dante4l, u64) -> Vec<u8>,
}

impl Translated {
    /// Publishes what `eyes` see.
    fn publish(&self, eyes: &mut Eyes) {
        let Some(view) = eyes.clock() else { return };
        let mut bytes = (self.translate)(&view.body, view.instance);
        let even = view.body.samples * 2 + 2;
        bytes[56..64].copy_from_slice(&even.to_ne_bytes());
        write_tail(&mut bytes);
        // As a writer does: the body under an odd sequence, then the doorbell.
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

/// An upgrade of one program at a time: daemons of this version beside a dante4l of another, whose clock page is longer (or
/// shorter) and whose status page they cannot read.
#[test]
fn of_other_versions_of_dante4l_are_followed_by_daemons_of_this_one() {
    let Some(lab) = Lab::new() else { return };
    let (_leader, _dante4l) = lab.following(&["--ppm=12"], &[]);
    let mut here = lab.eyes();
    for (translate, version) in
        [(later_version as fn(&Dante4l, u64) -> Vec<u8>, "later"), (earlier_version, "earlier")]
    {
        let other = Stage::new();
        let (page, status) = (other.page::<Dante4l>(), other.page::<Dante4lStatus>());
        let translated = Translated { page, status, translate };
        let mut there = Eyes::of(&other);
        translated.publish(&mut here);
        let unit = format!("--shm={}", other.unit());
        let mut daemons = [("dante2sys", vec!["--clock=virtual"]), ("danteshm", vec!["--epoch=now", &unit])]
            .map(|(program, words)| other.start(program, other.command(program, &words)));
        // A page without a count of samples gives none to relay.
        let feeds = version == "later";
        wait_for(&format!("both follow the {version} version"), PATIENCE, || {
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

/// The other way round: danteshm of this version beside a dante2sys whose clock page is longer.
#[test]
fn of_a_later_dante2sys_give_danteshm_its_k() {
    let Some(lab) = Lab::new() else { return };
    let (_leader, _dante4l) = lab.following(&["--ppm=12"], &[]);
    let mut eyes = lab.eyes();
    let clock = eyes.clock().expect("dante4l's page");
    let map = clock.body.map().expect("a map");
    let now = raw_now();
    let off = dante_core::time::Duration::from_ms(7);
    let body = Dante2sys {
        state: steer::State::Locked as u8,
        flags: dante_core::page::STEER_HAS_PIECE | dante_core::page::STEER_UTC_SYNCHRONISED,
        key_instance: clock.instance,
        key_number: clock.body.timeline,
        piece: dante_core::page::PieceRecord {
            origin: 1,
            serial: 1,
            dante0_ns: map.dante_at(now).ns(),
            utc0_ns: (dante_os::clock::read_realtime().real + off).ns(),
            slope: 0,
        },
        ..Dante2sys::default()
    };
    let size = Dante2sys::SIZE + 24;
    let mut bytes = vec![0xa5; size];
    bytes[HEAD_SIZE..HEAD_SIZE + size_of::<Dante2sys>()].copy_from_slice(body.as_bytes());
    write_head(&mut bytes, layout_word::<Dante2sys>(), Shape { size, array: None }, 9);
    // Its writer lives for as long as the test may take.
    bytes[40..48].copy_from_slice(&i64::MAX.to_ne_bytes());
    fs::write(lab.stage.page::<Dante2sys>(), bytes).expect("a page");
    let danteshm = lab.danteshm();
    danteshm.wait_for_output("from dante2sys' K: the first; the reference is +0.00", PATIENCE);
    let status = lab.stage.wait_for("danteshm", "epoch_source", "dante2sys", PATIENCE);
    assert_eq!(status["state"], "FEEDING", "{status:#}");
    danteshm.stop().expect(0, &[]);
}
