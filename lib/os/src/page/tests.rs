use super::*;
use crate::denial::{Denial, Denied};
use crate::sandbox::{NOBODY, is_root, logged, unprivileged, with_umask};
use crate::scratch::Scratch;
use dante_core::page::{
    Array, Dante2sys, Dante4l, Dante4lStatus, Freshness, HEAD_SIZE, HEARTBEAT, Life, MAGIC, SampleRecord,
    Shape, TAIL_SIZE, layout_word, tail_of,
};
use dante_core::time::{Duration, Raw, Timestamp};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, chown};
use std::process::Command;
use zerocopy::IntoBytes;

/// A page with a unique name, removed when the test ends in any way.
struct Scene {
    name: PageName<Dante4l>,
}

impl Scene {
    fn new() -> Self {
        let unique = format!("test-{:x}", crate::daemon::random().unwrap());
        Self { name: PageName::new(Some(&unique.parse().unwrap())) }
    }

    fn writer(&self, instance: u64) -> Result<PageWriter<Dante4l>, WriteError> {
        PageWriter::open(&self.name, instance)
    }

    /// Opens the next writer after the previous one ended. A child process that another test is just starting keeps the previous
    /// writer's lock until its exec.
    fn take_over(&self, instance: u64) -> PageWriter<Dante4l> {
        for _ in 0..1000 {
            match self.writer(instance) {
                Err(error) if error.denial() == Some(Denial::InUse) => {
                    std::thread::sleep(std::time::Duration::from_millis(2))
                }
                opened => return opened.unwrap(),
            }
        }
        panic!("the lock is not released");
    }

    /// Publishes four times a second, as dante4l does, until the reader reads the page again. Returns the time that took, ms.
    fn time_to_heal(
        &self,
        writer: &mut PageWriter<Dante4l>,
        reader: &mut PageReader<Dante4l>,
        from: i64,
    ) -> i64 {
        for ms in (from..from + 2_000).step_by(250) {
            writer.publish(at(ms), &Self::body(7));
            if let Ok(view) = reader.read(at(ms)) {
                assert_eq!((view.freshness, view.body.timeline), (Freshness::Fresh, 7));
                return ms - from;
            }
        }
        panic!("{:?}", reader.read(at(from)).err());
    }

    fn reader(&self) -> PageReader<Dante4l> {
        PageReader::new(self.name.clone())
    }

    fn plant(&self, bytes: &[u8], mode: u32) {
        fs::write(self.name.path(), bytes).unwrap();
        fs::set_permissions(self.name.path(), Permissions::from_mode(mode)).unwrap();
    }

    fn body(timeline: u64) -> Dante4l {
        Dante4l { timeline, ..Dante4l::default() }
    }

    fn file(&self) -> fs::File {
        fs::OpenOptions::new().read(true).write(true).open(self.name.path()).unwrap()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        _ = fs::remove_file(self.name.path());
    }
}

fn at(ms: i64) -> Timestamp<Raw> {
    Timestamp::ZERO + Duration::from_ms(ms)
}

#[test]
fn published_page_is_read_and_becomes_stale_without_a_heartbeat() {
    let scene = Scene::new();
    assert_eq!(scene.reader().read(at(0)).unwrap_err().fault, Fault::Absent);
    let mut writer = scene.writer(42).unwrap();
    writer.publish(at(100), &Scene::body(7));
    let mut reader = scene.reader();
    let view = reader.read(at(100)).unwrap();
    assert_eq!((view.instance, view.pid, view.body.timeline), (42, std::process::id(), 7));
    assert_eq!(view.freshness, Freshness::Fresh);
    let end = at(100) + HEARTBEAT;
    assert_eq!(reader.read(end).unwrap().freshness, Freshness::Fresh);
    assert_eq!(reader.read(end + Duration::from_ns(1)).unwrap().freshness, Freshness::Stale);
    writer.publish(end, &Scene::body(7));
    assert_eq!(reader.read(end + Duration::from_secs(1)).unwrap().freshness, Freshness::Fresh);
    drop(writer);
    assert_eq!(reader.read(end).unwrap().freshness, Freshness::Stopped);
}

#[test]
fn page_is_readable_by_all_and_writable_by_its_owner_only() {
    for umask in [0, 0o077] {
        with_umask(umask, || {
            let scene = Scene::new();
            let _writer = scene.writer(1).unwrap();
            let mode = fs::metadata(scene.name.path()).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, 0o644, "{mode:o}, umask {umask:o}");
        });
    }
}

#[test]
fn refuses_second_writer_until_the_first_ends() {
    let scene = Scene::new();
    let mut first = scene.writer(1).unwrap();
    first.publish(at(0), &Scene::body(1));
    let refused = scene.writer(2).err().unwrap();
    assert_eq!(refused.denial(), Some(Denial::InUse));
    let us = std::process::id();
    assert!(matches!(refused, WriteError::Running { program: "dante4l", pid } if pid == us), "{refused}");
    let mut reader = scene.reader();
    assert_eq!(reader.read(at(0)).unwrap().instance, 1);
    drop(first);
    let mut second = scene.take_over(2);
    second.publish(at(0), &Scene::body(2));
    let view = reader.read(at(0)).unwrap();
    assert_eq!((view.instance, view.body.timeline), (2, 2), "the reader's mapping stays valid");
}

#[test]
fn takes_over_page_left_in_the_middle_of_a_change() {
    let scene = Scene::new();
    scene.writer(1).unwrap().publish(at(0), &Scene::body(1));
    // An odd sequence with a matching tail: only the sequence shows the change.
    let mut bytes = fs::read(scene.name.path()).unwrap();
    bytes[56..64].copy_from_slice(&7u64.to_ne_bytes());
    let (file, tail) = (scene.file(), tail_of(&bytes));
    file.write_all_at(&7u64.to_ne_bytes(), Head::Sequence.offset()).unwrap();
    file.write_all_at(&tail.to_ne_bytes(), (bytes.len() - TAIL_SIZE) as u64).unwrap();
    file.write_all_at(&Life::Live.word(1).to_ne_bytes(), Head::Life.offset()).unwrap();
    let torn = scene.reader().read(at(0)).unwrap_err();
    assert_eq!((torn.fault, torn.freshness()), (Fault::Torn, Freshness::Stale));
    let mut writer = scene.take_over(2);
    writer.publish(at(0), &Scene::body(3));
    assert_eq!(scene.reader().read(at(0)).unwrap().body.timeline, 3);
}

/// The head of a page of this layout and shape, as bytes of a file.
fn head(layout: u64, shape: Shape) -> Vec<u8> {
    let [size, array, entries] = shape.words();
    let words = [MAGIC, layout, size, Life::Live.word(1), 7, 1 << 40, 0, 2, array, entries, 0, 0, 0, 0, 0, 0];
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

#[test]
fn readers_refuse_garbage_and_other_layouts_and_the_writer_replaces_them() {
    let own = Dante4l::SHAPE;
    let page = |layout, shape: Shape, size: usize| {
        let mut bytes = head(layout, shape);
        bytes.resize(size, 0);
        bytes
    };
    let of_size = |size| Shape { size, array: None };
    let cases: [(&str, Vec<u8>, Fault); 7] = [
        ("garbage", vec![0x5a; Dante4l::SIZE], Fault::Garbage),
        ("too short for a head", vec![0x5a; 10], Fault::Size { found: 10, wanted: Dante4l::SIZE }),
        (
            "cut short",
            page(layout_word::<Dante4l>(), own, 400),
            Fault::Size { found: 400, wanted: Dante4l::SIZE },
        ),
        (
            "extended",
            page(layout_word::<Dante4l>(), own, 9000),
            Fault::Size { found: 9000, wanted: Dante4l::SIZE },
        ),
        (
            "another major version",
            page(1 << 32 | 2, own, Dante4l::SIZE),
            Fault::Version { form: Form::Clock, found: 2, wanted: 1 },
        ),
        ("another program", page(layout_word::<Dante2sys>(), of_size(272), 272), Fault::Kind(2)),
        ("array beyond its end", page(layout_word::<Dante4l>(), own, Dante4l::SIZE), Fault::Garbage),
    ];
    for (name, mut bytes, fault) in cases {
        if name == "array beyond its end" {
            bytes[72..80].copy_from_slice(&99u64.to_ne_bytes());
        }
        let scene = Scene::new();
        scene.plant(&bytes, 0o644);
        let mut reader = scene.reader();
        let error = reader.read(at(0)).unwrap_err();
        assert_eq!((error.fault, error.freshness()), (fault, Freshness::Layout), "{name}: {error}");
        // The old file, as a reader that has mapped it.
        let old = scene.file();
        let mut writer = scene.writer(1).unwrap();
        writer.publish(at(0), &Scene::body(1));
        assert_eq!(reader.read(at(0)).unwrap().freshness, Freshness::Fresh, "{name}");
        assert_eq!(
            old.metadata().unwrap().len(),
            bytes.len() as u64,
            "{name}: the old file keeps its size for readers that have mapped it"
        );
        let mut life = [0; 8];
        if bytes.len() >= HEAD_SIZE {
            old.read_exact_at(&mut life, Head::Life.offset()).unwrap();
            assert_eq!(Life::of_word(u64::from_ne_bytes(life)), Life::Replaced, "{name}");
        }
    }
}

#[test]
fn reads_longer_page_of_the_same_major_version() {
    let scene = Scene::new();
    // Two new fields before the ring, and two in each of its entries.
    let array = Array { offset: 384 + 16, stride: 56 + 16, entries: 64 };
    let shape = Shape { size: array.offset + array.stride * array.entries + TAIL_SIZE, array: Some(array) };
    let mut bytes = head(layout_word::<Dante4l>(), shape);
    bytes.resize(shape.size - TAIL_SIZE, 0xee);
    let body = Dante4l { timeline: 5, samples: 1, ..Dante4l::default() };
    bytes[128..384].copy_from_slice(&body.as_bytes()[..256]);
    let sample = SampleRecord { number: 9, timeline: 5, ..body.ring[0] };
    bytes[400..400 + 56].copy_from_slice(sample.as_bytes());
    bytes.extend([0; TAIL_SIZE]);
    let tail = tail_of(&bytes);
    bytes[shape.size - TAIL_SIZE..].copy_from_slice(&tail.to_ne_bytes());
    scene.plant(&bytes, 0o644);
    let view = scene.reader().read(at(0)).unwrap();
    assert_eq!((view.freshness, view.instance, view.body.timeline), (Freshness::Fresh, 7, 5));
    assert_eq!(view.body.samples_after(0).copied().collect::<Vec<_>>(), [sample]);
}

#[test]
fn error_for_status_page_of_another_layout_names_both_layouts() {
    let name = PageName::<Dante4lStatus>::new(Some(
        &format!("test-{:x}", crate::daemon::random().unwrap()).parse().unwrap(),
    ));
    let mut bytes = head(layout_word::<Dante4lStatus>() + 1, Dante4lStatus::SHAPE);
    bytes.resize(Dante4lStatus::SIZE, 0);
    fs::write(name.path(), bytes).unwrap();
    let error = PageReader::new(name.clone()).read(at(0)).unwrap_err();
    fs::remove_file(name.path()).unwrap();
    let (found, wanted) = (Dante4lStatus::VERSION + 1, Dante4lStatus::VERSION);
    assert_eq!(error.fault, Fault::Version { form: Form::Status, found, wanted });
    assert!(
        error.to_string().contains(&format!("status layout {found}, this program reads {wanted}")),
        "{error}"
    );
}

#[test]
fn reserved_page_is_absent_for_readers_and_kept_by_the_writer() {
    let scene = Scene::new();
    scene.plant(&[], 0o644);
    assert_eq!(scene.reader().read(at(0)).unwrap_err().fault, Fault::Reserved);
    let inode = || MetadataExt::ino(&fs::metadata(scene.name.path()).unwrap());
    let before = inode();
    let mut writer = scene.writer(1).unwrap();
    writer.publish(at(0), &Scene::body(1));
    assert_eq!(inode(), before, "another process could have taken the name");
}

#[test]
fn rejects_page_writable_by_others() {
    let scene = Scene::new();
    scene.writer(1).unwrap().publish(at(0), &Scene::body(1));
    fs::set_permissions(scene.name.path(), Permissions::from_mode(0o664)).unwrap();
    let error = scene.reader().read(at(0)).unwrap_err();
    assert_eq!((error.fault, error.freshness()), (Fault::Writable(0o664), Freshness::Foreign));
    let refused = scene.writer(2).err().unwrap();
    assert!(matches!(refused, WriteError::InTheWay { obstacle: Obstacle::Writable(0o664), .. }), "{refused}");
}

#[test]
fn rejects_page_owned_by_another_user() {
    if !is_root("changes the owner of a page") {
        return;
    }
    let scene = Scene::new();
    scene.writer(1).unwrap().publish(at(0), &Scene::body(1));
    chown(scene.name.path(), Some(NOBODY), None).unwrap();
    let error = scene.reader().read(at(0)).unwrap_err();
    assert_eq!((error.fault, error.freshness()), (Fault::Owner(NOBODY), Freshness::Foreign));
    let refused = scene.writer(2).err().unwrap();
    let obstacle = Obstacle::Owner { owner: NOBODY, us: 0 };
    assert!(matches!(refused, WriteError::InTheWay { obstacle: it, .. } if it == obstacle), "{refused}");
    assert!(scene.name.path().exists(), "removed a file of another user");
}

#[test]
fn reader_and_writer_do_not_follow_a_link() {
    let (scene, target) = (Scene::new(), Scene::new());
    target.writer(1).unwrap().publish(at(0), &Scene::body(1));
    let before = fs::read(target.name.path()).unwrap();
    std::os::unix::fs::symlink(target.name.path(), scene.name.path()).unwrap();
    assert_eq!(scene.reader().read(at(0)).unwrap_err().fault, Fault::NoFile);
    let refused = scene.writer(2).err().unwrap();
    assert!(matches!(refused, WriteError::InTheWay { obstacle: Obstacle::NoFile, .. }), "{refused}");
    let view = target.reader().read(at(0)).unwrap();
    assert_eq!((view.instance, view.body.timeline), (1, 1));
    assert_eq!(fs::read(target.name.path()).unwrap(), before, "the link's target was changed");
}

fn rung<B: Body>(follower: &PageFollower<B>) -> bool {
    let mut fds = [PollFd::new(follower.fd().unwrap(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(200u8)).unwrap() == 1
}

#[test]
fn doorbell_wakes_a_follower_also_after_the_page_was_replaced() {
    let scene = Scene::new();
    let mut writer = scene.writer(1).unwrap();
    writer.publish(at(0), &Scene::body(1));
    let mut follower = PageFollower::new(scene.name.clone());
    assert_eq!(follower.read(at(0)).unwrap().body.timeline, 1);
    assert!(!rung(&follower), "event without a publication");
    writer.publish(at(0), &Scene::body(2));
    assert!(rung(&follower));
    assert_eq!(follower.read(at(0)).unwrap().body.timeline, 2);
    drop(writer);
    assert!(rung(&follower), "no event at the writer's end");
    follower.read(at(0)).unwrap();
    fs::remove_file(scene.name.path()).unwrap();
    assert!(rung(&follower), "no event at unlink");
    assert!(follower.read(at(0)).is_err());
    let mut writer = scene.take_over(2);
    writer.publish(at(0), &Scene::body(3));
    assert_eq!(follower.read(at(0)).unwrap().body.timeline, 3);
    follower.read(at(0)).unwrap();
    writer.publish(at(0), &Scene::body(4));
    assert!(rung(&follower), "no event of the new page");
}

/// The limits count per user namespace, which needs a process of its own: a child runs this test again.
#[test]
fn page_that_cannot_be_watched_is_read_often_and_the_setting_is_logged_once() {
    const NAME: &str =
        "page::tests::page_that_cannot_be_watched_is_read_often_and_the_setting_is_logged_once";
    const VARIABLE: &str = "TEST_INOTIFY_LIMIT";
    let settings = [
        ("max_inotify_instances", "fs.inotify.max_user_instances"),
        ("max_inotify_watches", "fs.inotify.max_user_watches"),
    ];
    let own = std::env::var(VARIABLE).unwrap_or_default();
    if let Some((limit, setting)) = settings.iter().find(|(limit, _)| *limit == own) {
        fs::write(format!("/proc/sys/user/{limit}"), "0").unwrap();
        let scene = Scene::new();
        let mut writer = scene.writer(1).unwrap();
        let mut follower = PageFollower::<Dante4l>::new(scene.name.clone());
        let lines = logged(|| {
            assert!(follower.read(at(0)).is_err(), "not published yet");
            assert_eq!(follower.deadline(), None);
            writer.publish(at(0), &Scene::body(1));
            for ms in [0, 125, 250] {
                assert_eq!(follower.read(at(ms)).unwrap().body.timeline, 1);
                assert_eq!(follower.deadline(), Some(at(ms + 125)), "{limit}");
            }
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("WARN changes of /dev/shm/"), "{lines:?}");
        assert!(lines[0].ends_with(&format!("read every 125 ms instead; raise {setting}")), "{lines:?}");
        return;
    }
    if !is_root("creates user namespaces") {
        return;
    }
    for (limit, _) in settings {
        let own = std::env::current_exe().unwrap();
        let mut child = Command::new("unshare");
        child.args(["--user", "--map-root-user"]).arg(own).args(["--exact", NAME]).env(VARIABLE, limit);
        let output = child.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{limit}: {text}");
    }
}

#[test]
fn publishes_both_pages_and_rings_the_clock_page_only() {
    let instance: Instance = format!("test-{:x}", crate::daemon::random().unwrap()).parse().unwrap();
    let (clock, status) = (PageName::<Dante4l>::new(Some(&instance)), PageName::new(Some(&instance)));
    let mut publisher = Publisher::<Dante4l, Dante4lStatus>::open(Some(&instance), 5).unwrap();
    publisher.publish(at(0), &Scene::body(1), &Dante4lStatus { port_count: 1, ..Dante4lStatus::default() });
    let mut clocks = PageFollower::new(clock.clone());
    let mut statuses = PageFollower::<Dante4lStatus>::new(status.clone());
    assert_eq!(clocks.read(at(0)).unwrap().body.timeline, 1);
    assert_eq!(statuses.read(at(0)).unwrap().body.port_count, 1);
    publisher.publish(at(0), &Scene::body(2), &Dante4lStatus { port_count: 2, ..Dante4lStatus::default() });
    assert_eq!((rung(&clocks), rung(&statuses)), (true, false));
    assert_eq!(statuses.read(at(0)).unwrap().body.port_count, 2);
    drop(publisher);
    assert_eq!(statuses.read(at(0)).unwrap().freshness, Freshness::Stopped);
    for path in [clock.path(), status.path()] {
        fs::remove_file(path).unwrap();
    }
}

/// Also while the daemon publishes four times a second.
#[test]
fn removed_page_is_recreated_within_a_second() {
    let scene = Scene::new();
    let mut writer = scene.writer(5).unwrap();
    writer.publish(at(0), &Scene::body(6));
    let mut reader = scene.reader();
    reader.read(at(0)).unwrap();
    fs::remove_file(scene.name.path()).unwrap();
    assert_eq!(reader.read(at(0)).unwrap_err().fault, Fault::Absent);
    assert!(scene.time_to_heal(&mut writer, &mut reader, 250) <= 1_000);
    assert_eq!(reader.read(at(2_000)).unwrap().instance, 5);
}

#[test]
fn truncated_or_extended_page_is_recreated_within_a_second() {
    let size = Dante4l::SIZE as u64;
    let cases: [(&str, &[u64]); 9] = [
        ("emptied", &[0]),
        ("cut within its body and extended again", &[192, size]),
        ("cut at its tail and extended again", &[size - 8, size]),
        ("cut within its head and extended again", &[40, size]),
        ("within its head", &[40]),
        ("within its body", &[300]),
        ("by a word", &[size - 8]),
        ("extended", &[1 << 20]),
        ("zeroed", &[0, size]),
    ];
    for (name, sizes) in cases {
        let scene = Scene::new();
        let mut writer = scene.writer(5).unwrap();
        writer.publish(at(0), &Scene::body(1));
        let mut reader = scene.reader();
        reader.read(at(0)).unwrap();
        let inode = || MetadataExt::ino(&fs::metadata(scene.name.path()).unwrap());
        let before = inode();
        sizes.iter().for_each(|size| scene.file().set_len(*size).unwrap());
        let error = reader.read(at(0)).unwrap_err();
        let is_seen =
            matches!(error.fault, Fault::Reserved | Fault::BeingMade | Fault::Size { .. } | Fault::Torn);
        assert!(is_seen, "{name}: {error}");
        let fresh = scene.reader().read(at(0)).unwrap_err();
        assert_eq!(fresh.fault, error.fault, "{name}, new reader");
        assert!(scene.time_to_heal(&mut writer, &mut reader, 250) <= 1_000, "{name}");
        assert_eq!(inode(), before, "{name}: another process could have taken the name");
        assert_eq!(reader.read(at(2_000)).unwrap().instance, 5, "{name}");
        writer.publish(at(2_500), &Scene::body(2));
        let mut follower = PageFollower::<Dante4l>::new(scene.name.clone());
        assert_eq!(follower.read(at(2_500)).unwrap().body.timeline, 2, "{name}");
    }
}

/// Readers and the writer run while another thread truncates and extends the file at various sizes.
#[test]
fn truncation_during_reads_and_publications_gives_no_wrong_value_and_no_crash() {
    let scene = Scene::new();
    let mut writer = scene.writer(5).unwrap();
    let body = |number: u64| {
        let mut body = Scene::body(number);
        body.ring.iter_mut().for_each(|it| it.number = number);
        body
    };
    writer.publish(at(0), &body(1));
    let ended = std::sync::atomic::AtomicBool::new(false);
    // Readers that have read a publication.
    let successful = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for keeps in [true, false] {
            let (scene, ended, successful) = (&scene, &ended, &successful);
            scope.spawn(move || {
                let mut reader = scene.reader();
                let mut has_read = false;
                while !ended.load(Ordering::Relaxed) {
                    if !keeps {
                        reader = scene.reader();
                    }
                    // Truncation in the middle of a read gives an error, never a wrong value.
                    if let Ok(view) = reader.read(at(0)) {
                        let number = view.body.timeline;
                        let is_torn = view.body.ring.iter().any(|it| it.number != number);
                        // After the writer has recreated the page, it contains zeros until the first publication.
                        assert!(!is_torn, "{number}, and {:?}", view.body.ring.map(|it| it.number));
                        if number > 0 && !std::mem::replace(&mut has_read, true) {
                            successful.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                for size in [0, 40, 64, 192, 1000, 3000, Dante4l::SIZE as u64 - 8, 20_000] {
                    scene.file().set_len(size).unwrap();
                    std::thread::yield_now();
                    scene.file().set_len(Dante4l::SIZE as u64).unwrap();
                    std::thread::sleep(std::time::Duration::from_micros(100));
                }
            }
        });
        let begun = std::time::Instant::now();
        for number in 1.. {
            writer.publish(at(i64::try_from(number).unwrap()), &body(number));
            let is_enough = number >= 20_000 && successful.load(Ordering::Relaxed) == 2;
            if is_enough || begun.elapsed().as_secs() >= 60 {
                break;
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
    assert_eq!(successful.load(Ordering::Relaxed), 2, "a reader read no publication within 60 s");
    let end = 1 << 40;
    for ms in [end, end + 1_100] {
        writer.publish(at(ms), &body(9));
    }
    assert_eq!(scene.reader().read(at(end + 1_100)).unwrap().body.timeline, 9);
}

/// After a rename the old file is intact, but no longer the page.
#[test]
fn readers_find_the_new_page_after_a_rename() {
    let scene = Scene::new();
    let mut writer = scene.writer(5).unwrap();
    writer.publish(at(0), &Scene::body(1));
    let (mut reader, mut follower) = (scene.reader(), PageFollower::new(scene.name.clone()));
    reader.read(at(0)).unwrap();
    follower.read(at(0)).unwrap();
    let elsewhere = Scene::new();
    fs::rename(scene.name.path(), elsewhere.name.path()).unwrap();
    assert!(rung(&follower), "no event at the rename");
    assert!(scene.time_to_heal(&mut writer, &mut reader, 250) <= 1_000);
    writer.publish(at(1_500), &Scene::body(8));
    assert_eq!(reader.read(at(1_500)).unwrap().body.timeline, 8);
    assert_eq!(follower.read(at(1_500)).unwrap().body.timeline, 8);
    writer.publish(at(1_750), &Scene::body(9));
    assert!(rung(&follower), "no event of the new page");
    assert_eq!(elsewhere.reader().read(at(1_500)).unwrap().freshness, Freshness::Stopped);
}

#[test]
fn reader_and_writer_reject_a_fifo_without_blocking() {
    let scene = Scene::new();
    nix::unistd::mkfifo(scene.name.path(), nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
    assert_eq!(scene.reader().read(at(0)).unwrap_err().fault, Fault::NoFile);
    let refused = scene.writer(2).err().unwrap();
    assert!(matches!(refused, WriteError::InTheWay { obstacle: Obstacle::NoFile, .. }), "{refused}");
}

/// The next run needs the clock page of the previous one: dante2sys --restore-frequency, epoch offset (K) of danteshm.
#[test]
fn failure_to_create_the_status_page_keeps_the_previous_clock_page() {
    let instance: Instance = format!("test-{:x}", crate::daemon::random().unwrap()).parse().unwrap();
    let clock = Scene { name: PageName::new(Some(&instance)) };
    let status = PageName::<Dante4lStatus>::new(Some(&instance));
    let mut killed = clock.writer(1).unwrap();
    killed.publish(at(0), &Scene::body(6));
    // The page as left by kill -9.
    killed.has_begun = false;
    drop(killed);
    fs::create_dir(status.path()).unwrap();
    let refused = Publisher::<Dante4l, Dante4lStatus>::open(Some(&instance), 2).err().unwrap();
    fs::remove_dir(status.path()).unwrap();
    assert_eq!(refused.denial(), Some(Denial::InUse), "{refused}");
    let view = clock.reader().read(at(0)).unwrap();
    assert_eq!((view.freshness, view.instance, view.body.timeline), (Freshness::Fresh, 1, 6));
}

/// The guard handles faults in pages only; another fault ends the program.
#[test]
fn sigbus_outside_of_pages_ends_the_program() {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};
    let scene = Scene::new();
    let _writer = scene.writer(1).unwrap();
    let file = scene.file();
    // SAFETY: the child calls nothing but mmap, ftruncate and the load that kills it.
    match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => {
            let status = waitpid(child, None).unwrap();
            let WaitStatus::Signaled(_, nix::sys::signal::Signal::SIGBUS, _) = status else {
                panic!("{status:?}")
            };
        }
        ForkResult::Child => {
            // SAFETY: a mapping of the test's own file.
            unsafe {
                let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
                let start = libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, fd, 0);
                libc::ftruncate(fd, 0);
                std::ptr::read_volatile(start.cast::<u8>());
                libc::_exit(0);
            }
        }
    }
}

#[test]
fn readers_lock_neither_blocks_the_writer_nor_admits_a_second_one() {
    let scene = Scene::new();
    scene.writer(1).unwrap().publish(at(0), &Scene::body(1));
    let file = fs::File::open(scene.name.path()).unwrap();
    let shared = libc::flock { l_type: 0, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
    // Waits for the first writer's lock: a child process that another test is just starting keeps it until its exec.
    nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_OFD_SETLKW(&shared)).unwrap();
    let mut writer = scene.take_over(2);
    writer.publish(at(0), &Scene::body(2));
    assert_eq!(scene.reader().read(at(0)).unwrap().instance, 2);
    // Once the reader has closed the file, the writer takes the lock.
    drop(file);
    // A child process that another test is just starting keeps the reader's lock until its exec.
    let is_locked = |ms| {
        writer.publish(at(ms), &Scene::body(2));
        let write = i16::try_from(libc::F_WRLCK).unwrap();
        let mut lock = libc::flock { l_type: write, ..shared };
        nix::fcntl::fcntl(scene.file(), nix::fcntl::FcntlArg::F_OFD_GETLK(&mut lock)).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2));
        lock.l_type == write
    };
    assert!((1..1_000).map(|s| s * 1_000).any(is_locked));
    let refused = scene.writer(3).err().unwrap();
    assert!(matches!(refused, WriteError::Running { .. }), "{refused}");
}

/// Process ids are predictable, and every user can create files in /dev/shm.
#[test]
fn files_with_predictable_names_do_not_prevent_replacing_an_old_page() {
    if !is_root("creates a file of another user") {
        return;
    }
    let scene = Scene::new();
    let planted = scene.name.path().with_file_name(format!(
        ".{}.{}",
        scene.name.path().file_name().unwrap().display(),
        std::process::id()
    ));
    fs::write(&planted, []).unwrap();
    let replaced = unprivileged(|| {
        scene.plant(&[1; 64], 0o644);
        scene.writer(1).map(|mut writer| writer.publish(at(0), &Scene::body(1)))
    });
    fs::remove_file(&planted).unwrap();
    replaced.unwrap();
}

/// Every user can lock the page for reading, and start a process with the name of the daemon and the id of a writer that died.
#[test]
fn process_of_another_user_in_the_writers_place_does_not_block_the_next_writer() {
    use std::os::unix::process::CommandExt;
    if !is_root("starts a process of another user") {
        return;
    }
    let scene = Scene::new();
    scene.writer(1).unwrap().publish(at(0), &Scene::body(1));
    let lock = fs::File::open(scene.name.path()).unwrap();
    let shared = libc::flock { l_type: 0, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
    nix::fcntl::fcntl(&lock, nix::fcntl::FcntlArg::F_OFD_SETLKW(&shared)).unwrap();
    let directory = Scratch::new();
    let imitation = directory.0.join("dante4l");
    fs::copy("/bin/sleep", &imitation).unwrap();
    for (user, is_refused) in [(NOBODY, false), (0, true)] {
        let mut process = Command::new(&imitation).arg("60").uid(user).spawn().unwrap();
        let life = Life::Live.word(process.id()).to_ne_bytes();
        scene.file().write_all_at(&life, Head::Life.offset()).unwrap();
        let next = scene.writer(2);
        process.kill().unwrap();
        process.wait().unwrap();
        assert_eq!(matches!(next, Err(WriteError::Running { .. })), is_refused, "a process of user {user}");
    }
}

/// A SIGBUS that another process sends is no fault in a page, and ends the program as without the guard.
#[test]
fn sigbus_sent_by_kill_ends_the_program() {
    use nix::sys::signal::{Signal, raise};
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};
    let scene = Scene::new();
    let _writer = scene.writer(1).unwrap();
    // SAFETY: the child calls nothing but raise and _exit.
    match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => {
            let status = waitpid(child, None).unwrap();
            let WaitStatus::Signaled(_, Signal::SIGBUS, _) = status else { panic!("{status:?}") };
        }
        ForkResult::Child => {
            _ = raise(Signal::SIGBUS);
            // SAFETY: this process does nothing else.
            unsafe { libc::_exit(0) };
        }
    }
}

#[test]
fn rejects_instance_names_that_leave_the_directory() {
    for bad in ["", "a/b", "..", "a b", "ä", "a@b", "a.status", &"x".repeat(33)] {
        assert!(bad.parse::<Instance>().is_err(), "{bad}");
    }
    let stage = "stage-2_b".parse().unwrap();
    assert_eq!(PageName::<Dante4l>::new(Some(&stage)).path().to_str(), Some("/dev/shm/dante4l@stage-2_b"));
    assert_eq!(
        PageName::<Dante4lStatus>::new(Some(&stage)).path().to_str(),
        Some("/dev/shm/dante4l@stage-2_b.status")
    );
    assert_eq!(PageName::<Dante2sys>::new(None).path().to_str(), Some("/dev/shm/dante2sys"));
    assert_eq!(PageName::<Dante4lStatus>::new(None).path().to_str(), Some("/dev/shm/dante4l.status"));
}

/// Restarting the writer does not help a reader that is older than it.
#[test]
fn remedy_for_another_version_names_the_older_program() {
    let explained = |found, wanted| {
        let fault = Fault::Version { form: Form::Status, found, wanted };
        ReadError { page: "/dev/shm/dante4l.status".into(), program: "dante4l", fault }.to_string()
    };
    let (older, newer) = (explained(3, 4), explained(5, 4));
    assert!(older.contains("dante4l is of an older version: upgrade it"), "{older}");
    assert!(newer.contains("dante4l is of a newer version: upgrade this program"), "{newer}");
    assert!(older.contains("restart dante4l") && !newer.contains("restart dante4l"), "{newer}");
}
