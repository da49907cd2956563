//! Pages that must not be believed: /dev/shm is open to everybody. No network is needed for these.

use dante_core::page::{Body, Dante4l};
use dante_tests::lab::may_be_root;
use dante_tests::stage::Stage;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);
/// dante4l waits for this interface, and publishes its page meanwhile.
const WAITING: &[&str] = &["-i", "nosuch0"];
const NOBODY: u32 = 65534;

/// A page that dante4l made and left: as it should be, to be spoilt in one respect.
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
        dante2sys.wait_to_say(word, PATIENCE);
    }
    stage.wait_for("dante2sys", "state", "WAITING", PATIENCE);
    dante2sys.stop().expect(0, &[]);
}

/// dante4l makes a page of its own in place of the one that is there.
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
    see_refused(&stage, "foreign", &["is not believed", "belongs to user 65534"]);
    see_writer_refuse(&stage, &["is in the way", "belongs to user 65534", "remove it"]);
}

#[test]
fn that_others_may_write() {
    for mode in [0o664, 0o646] {
        let stage = Stage::new();
        fs::set_permissions(page_of(&stage), Permissions::from_mode(mode)).expect("chmod");
        see_refused(&stage, "foreign", &["is not believed", "others may write to it"]);
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
    see_refused(&stage, "foreign", &["is not believed"]);
    see_writer_refuse(&stage, &["is in the way", "not a regular file"]);
}

#[test]
fn of_another_size() {
    for size in [17, 64, 4096, Dante4l::SIZE - 8, Dante4l::SIZE + 8, 1 << 20] {
        let stage = Stage::new();
        let file = fs::OpenOptions::new().write(true).open(page_of(&stage)).expect("the page");
        file.set_len(size as u64).expect("another size");
        see_refused(&stage, "layout", &["layout", &format!("{size} bytes")]);
        see_replaced(&stage);
    }
}

#[test]
fn of_another_layout() {
    let stage = Stage::new();
    let page = page_of(&stage);
    let mut bytes = fs::read(&page).expect("the page");
    let next = u32::from_ne_bytes(bytes[8..12].try_into().expect("4 bytes")) + 1;
    bytes[8..12].copy_from_slice(&next.to_ne_bytes());
    fs::write(&page, bytes).expect("the page");
    let words = [format!("layout {next}"), format!("reads layout {}", Dante4l::VERSION)];
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
    see_refused(&stage, "layout", &["no page of this suite"]);
    see_replaced(&stage);
}

/// The head is right and the rest is not: a reader must neither die of it nor hang.
#[test]
fn with_garbage_behind_a_good_head() {
    let stage = Stage::new();
    let page = page_of(&stage);
    let mut bytes = fs::read(&page).expect("the page");
    for (at, byte) in bytes.iter_mut().enumerate().skip(64) {
        *byte = (at % 251) as u8 | 0x80;
    }
    fs::write(&page, &bytes).expect("the page");
    let screen = stage.screen();
    assert!(screen.contains("dante4l    stopped"), "{screen}");
    assert_eq!(stage.status()["dante4l"]["page"], "stopped");
    // A writer that died while it wrote: the sequence stays odd.
    bytes[56..64].copy_from_slice(&1u64.to_ne_bytes());
    fs::write(&page, &bytes).expect("the page");
    assert_eq!(stage.status()["dante4l"]["page"], "stale");
    let dante2sys = stage.start("dante2sys", stage.command("dante2sys", &["--clock=virtual"]));
    stage.wait_for("dante2sys", "state", "WAITING", PATIENCE);
    dante2sys.stop().expect(0, &[]);
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

/// A page that is replaced while it is being read: the reader goes over to the new one.
#[test]
fn that_are_replaced_under_a_reader() {
    let stage = Stage::new();
    let page = page_of(&stage);
    let mut reader = stage.reader::<Dante4l>();
    let first = reader.read(dante_os::clock::raw_now()).expect("the page").instance;
    let mut bytes = fs::read(&page).expect("the page");
    bytes[8] ^= 1;
    fs::write(&page, bytes).expect("the page");
    see_replaced(&stage);
    let second = reader.read(dante_os::clock::raw_now()).expect("the new page").instance;
    assert_ne!(first, second);
}
