use super::*;
use dante_core::page::{
    Array, Dante2sys, Dante4l, Dante4lStatus, Freshness, HEARTBEAT, Life, MAGIC, SampleRecord, Shape,
    layout_word,
};
use dante_core::time::{Duration, Raw, Timestamp};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Uid, geteuid};
use std::fs::{self, Permissions};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, PermissionsExt, chown};
use zerocopy::IntoBytes;

/// A page with a name of its own, removed at the end however the test ends.
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

    /// The next writer, after one that ended here. A child that another test is just starting has that one's lock until it
    /// becomes its program.
    fn takes_over(&self, instance: u64) -> PageWriter<Dante4l> {
        for _ in 0..1000 {
            match self.writer(instance) {
                Err(error) if error.is_refusal() => std::thread::sleep(std::time::Duration::from_millis(2)),
                opened => return opened.unwrap(),
            }
        }
        panic!("the lock is kept");
    }

    /// Publishes as dante4l does, four times a second, until the reader sees the page again. How long that took, ms.
    fn heals(&self, writer: &mut PageWriter<Dante4l>, reader: &mut PageReader<Dante4l>, from: i64) -> i64 {
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
fn what_is_published_is_read_and_grows_stale_without_a_heartbeat() {
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
fn everybody_may_read_a_page_and_only_its_owner_write() {
    let scene = Scene::new();
    let _writer = scene.writer(1).unwrap();
    let mode = fs::metadata(scene.name.path()).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o644);
}

#[test]
fn a_second_writer_is_refused_while_the_first_lives_and_takes_over_after_it() {
    let scene = Scene::new();
    let mut first = scene.writer(1).unwrap();
    first.publish(at(0), &Scene::body(1));
    let refused = scene.writer(2).err().unwrap();
    assert!(refused.is_refusal());
    let us = std::process::id();
    assert!(matches!(refused, WriteError::Running { program: "dante4l", pid } if pid == us), "{refused}");
    let mut reader = scene.reader();
    assert_eq!(reader.read(at(0)).unwrap().instance, 1);
    drop(first);
    let mut second = scene.takes_over(2);
    second.publish(at(0), &Scene::body(2));
    let view = reader.read(at(0)).unwrap();
    assert_eq!((view.instance, view.body.timeline), (2, 2), "the reader's mapping goes on");
}

#[test]
fn a_page_left_in_the_middle_of_a_change_is_taken_over() {
    let scene = Scene::new();
    scene.writer(1).unwrap().publish(at(0), &Scene::body(1));
    let file = scene.file();
    file.write_all_at(&7u64.to_ne_bytes(), Head::Sequence.offset()).unwrap();
    file.write_all_at(&Life::Live.word(1).to_ne_bytes(), Head::Life.offset()).unwrap();
    let torn = scene.reader().read(at(0)).unwrap_err();
    assert_eq!((torn.fault, torn.freshness()), (Fault::Torn, Freshness::Stale));
    let mut writer = scene.takes_over(2);
    writer.publish(at(0), &Scene::body(3));
    assert_eq!(scene.reader().read(at(0)).unwrap().body.timeline, 3);
}

/// The head of a page of this kind and shape, as the words of a file.
fn head(layout: u64, shape: Shape) -> Vec<u8> {
    let [size, array, entries] = shape.words();
    let words = [MAGIC, layout, size, Life::Live.word(1), 7, 1 << 40, 0, 2, array, entries, 0, 0, 0, 0, 0, 0];
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

#[test]
fn garbage_and_other_layouts_are_refused_by_readers_and_replaced_by_their_owner() {
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
        ("another program", page(layout_word::<Dante2sys>(), of_size(264), 264), Fault::Kind(2)),
        ("an array beyond its end", page(layout_word::<Dante4l>(), own, Dante4l::SIZE), Fault::Garbage),
    ];
    for (name, mut bytes, fault) in cases {
        if name == "an array beyond its end" {
            bytes[72..80].copy_from_slice(&99u64.to_ne_bytes());
        }
        let scene = Scene::new();
        scene.plant(&bytes, 0o644);
        let mut reader = scene.reader();
        let error = reader.read(at(0)).unwrap_err();
        assert_eq!((error.fault, error.freshness()), (fault, Freshness::Layout), "{name}: {error}");
        let inode =
            |scene: &Scene| std::os::unix::fs::MetadataExt::ino(&fs::metadata(scene.name.path()).unwrap());
        let before = inode(&scene);
        let mut writer = scene.writer(1).unwrap();
        writer.publish(at(0), &Scene::body(1));
        assert_eq!(reader.read(at(0)).unwrap().freshness, Freshness::Fresh, "{name}");
        assert_eq!(inode(&scene), before, "{name}: its name is never free for somebody else");
    }
}

#[test]
fn a_longer_page_of_the_same_major_version_is_read() {
    let scene = Scene::new();
    // Two new fields before the ring, and two in each of its entries.
    let array = Array { offset: 384 + 16, stride: 56 + 16, entries: 64 };
    let shape = Shape { size: array.offset + array.stride * array.entries, array: Some(array) };
    let mut bytes = head(layout_word::<Dante4l>(), shape);
    bytes.resize(shape.size, 0xee);
    let body = Dante4l { timeline: 5, samples: 1, ..Dante4l::default() };
    bytes[128..384].copy_from_slice(&body.as_bytes()[..256]);
    let sample = SampleRecord { number: 9, timeline: 5, ..body.ring[0] };
    bytes[400..400 + 56].copy_from_slice(sample.as_bytes());
    scene.plant(&bytes, 0o644);
    let view = scene.reader().read(at(0)).unwrap();
    assert_eq!((view.freshness, view.instance, view.body.timeline), (Freshness::Fresh, 7, 5));
    assert_eq!(view.body.samples_after(0).copied().collect::<Vec<_>>(), [sample]);
}

#[test]
fn a_status_page_of_another_layout_is_refused_with_both_layouts() {
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
fn a_page_that_is_only_reserved_is_no_page_yet_and_can_be_taken() {
    let scene = Scene::new();
    scene.plant(&[], 0o644);
    assert_eq!(scene.reader().read(at(0)).unwrap_err().fault, Fault::Reserved);
    let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(scene.name.path()).unwrap());
    let before = inode();
    let mut writer = scene.writer(1).unwrap();
    writer.publish(at(0), &Scene::body(1));
    assert_eq!(inode(), before, "its name is never free for somebody else");
}

#[test]
fn a_page_that_others_may_write_is_not_trusted() {
    let scene = Scene::new();
    scene.writer(1).unwrap().publish(at(0), &Scene::body(1));
    fs::set_permissions(scene.name.path(), Permissions::from_mode(0o664)).unwrap();
    let error = scene.reader().read(at(0)).unwrap_err();
    assert_eq!((error.fault, error.freshness()), (Fault::Writable(0o664), Freshness::Foreign));
    let refused = scene.writer(2).err().unwrap();
    assert!(matches!(refused, WriteError::InTheWay { obstacle: Obstacle::Writable(0o664), .. }), "{refused}");
}

#[test]
fn a_page_planted_by_another_user_is_not_trusted() {
    if !geteuid().is_root() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "this test needs root");
        return eprintln!("skipped: only root can give a page to another user");
    }
    let scene = Scene::new();
    scene.writer(1).unwrap().publish(at(0), &Scene::body(1));
    chown(scene.name.path(), Some(Uid::from_raw(65_534).as_raw()), None).unwrap();
    let error = scene.reader().read(at(0)).unwrap_err();
    assert_eq!((error.fault, error.freshness()), (Fault::Owner(65_534), Freshness::Foreign));
    let refused = scene.writer(2).err().unwrap();
    let obstacle = Obstacle::Owner { owner: 65_534, us: 0 };
    assert!(matches!(refused, WriteError::InTheWay { obstacle: it, .. } if it == obstacle), "{refused}");
    assert!(scene.name.path().exists(), "it is not ours to remove");
}

#[test]
fn a_link_in_the_pages_place_is_followed_by_nobody() {
    let (scene, target) = (Scene::new(), Scene::new());
    target.writer(1).unwrap().publish(at(0), &Scene::body(1));
    std::os::unix::fs::symlink(target.name.path(), scene.name.path()).unwrap();
    assert_eq!(scene.reader().read(at(0)).unwrap_err().fault, Fault::NoFile);
    let refused = scene.writer(2).err().unwrap();
    assert!(matches!(refused, WriteError::InTheWay { obstacle: Obstacle::NoFile, .. }), "{refused}");
}

fn rung<B>(follower: &PageFollower<B>) -> bool {
    let mut fds = [PollFd::new(follower.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(200u8)).unwrap() == 1
}

#[test]
fn the_doorbell_wakes_a_follower_also_after_the_page_was_replaced() {
    let scene = Scene::new();
    let mut writer = scene.writer(1).unwrap();
    writer.publish(at(0), &Scene::body(1));
    let mut follower = PageFollower::new(scene.name.clone()).unwrap();
    assert_eq!(follower.read(at(0)).unwrap().body.timeline, 1);
    assert!(!rung(&follower), "nothing has happened since");
    writer.publish(at(0), &Scene::body(2));
    assert!(rung(&follower));
    assert_eq!(follower.read(at(0)).unwrap().body.timeline, 2);
    drop(writer);
    assert!(rung(&follower), "the end rings");
    follower.read(at(0)).unwrap();
    fs::remove_file(scene.name.path()).unwrap();
    assert!(rung(&follower), "so does an unlink");
    assert!(follower.read(at(0)).is_err());
    let mut writer = scene.takes_over(2);
    writer.publish(at(0), &Scene::body(3));
    assert_eq!(follower.read(at(0)).unwrap().body.timeline, 3);
    follower.read(at(0)).unwrap();
    writer.publish(at(0), &Scene::body(4));
    assert!(rung(&follower), "the new page's bell");
}

#[test]
fn both_pages_of_a_daemon_are_published_and_the_clock_page_alone_rings() {
    let instance: Instance = format!("test-{:x}", crate::daemon::random().unwrap()).parse().unwrap();
    let (clock, status) = (PageName::<Dante4l>::new(Some(&instance)), PageName::new(Some(&instance)));
    let mut publisher = Publisher::<Dante4l, Dante4lStatus>::open(Some(&instance), 5).unwrap();
    publisher.publish(at(0), &Scene::body(1), &Dante4lStatus { port_count: 1, ..Dante4lStatus::default() });
    let mut clocks = PageFollower::new(clock.clone()).unwrap();
    let mut statuses = PageFollower::<Dante4lStatus>::new(status.clone()).unwrap();
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

/// Also while something is published four times a second.
#[test]
fn a_page_that_was_removed_is_made_again_within_a_second() {
    let scene = Scene::new();
    let mut writer = scene.writer(5).unwrap();
    writer.publish(at(0), &Scene::body(6));
    let mut reader = scene.reader();
    reader.read(at(0)).unwrap();
    fs::remove_file(scene.name.path()).unwrap();
    assert_eq!(reader.read(at(0)).unwrap_err().fault, Fault::Absent);
    assert!(scene.heals(&mut writer, &mut reader, 250) <= 1_000);
    assert_eq!(reader.read(at(2_000)).unwrap().instance, 5);
}

#[test]
fn a_page_cut_short_extended_or_emptied_kills_nobody_and_is_made_again_within_a_second() {
    let size = Dante4l::SIZE as u64;
    let cases: [(&str, &[u64]); 6] = [
        ("emptied", &[0]),
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
        let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(scene.name.path()).unwrap());
        let before = inode();
        sizes.iter().for_each(|size| scene.file().set_len(*size).unwrap());
        let error = reader.read(at(0)).unwrap_err();
        let is_empty = matches!(error.fault, Fault::Reserved | Fault::BeingMade);
        assert!(is_empty || matches!(error.fault, Fault::Size { .. }), "{name}: {error}");
        assert!(scene.heals(&mut writer, &mut reader, 250) <= 1_000, "{name}");
        assert_eq!(inode(), before, "{name}: its name is never free for somebody else");
        assert_eq!(reader.read(at(2_000)).unwrap().instance, 5, "{name}");
        writer.publish(at(2_500), &Scene::body(2));
        let follower = PageFollower::<Dante4l>::new(scene.name.clone());
        assert_eq!(follower.unwrap().read(at(2_500)).unwrap().body.timeline, 2, "{name}");
    }
}

/// Whatever the moment: readers and the writer at work while the file is cut short again and again.
#[test]
fn a_page_that_is_cut_short_while_it_is_read_and_written_kills_nobody() {
    let scene = Scene::new();
    let mut writer = scene.writer(5).unwrap();
    writer.publish(at(0), &Scene::body(0));
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut reader = scene.reader();
                let mut read = 0u32;
                while !ended.load(Ordering::Relaxed) {
                    // A page that is cut short in the middle of a reading is an error, and never a wrong value.
                    if let Ok(view) = reader.read(at(0)) {
                        assert!(
                            view.body.ring.iter().all(|it| it.number == view.body.timeline),
                            "a torn body"
                        );
                        read += 1;
                    }
                }
                assert!(read > 0);
            });
        }
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                for size in [0, 20_000, Dante4l::SIZE as u64] {
                    scene.file().set_len(size).unwrap();
                    std::thread::sleep(std::time::Duration::from_micros(300));
                }
            }
        });
        for number in 0..20_000u64 {
            let mut body = Scene::body(number);
            body.ring.iter_mut().for_each(|it| it.number = number);
            writer.publish(at(i64::try_from(number).unwrap()), &body);
        }
        ended.store(true, Ordering::Relaxed);
    });
    let last = Scene::body(9);
    for ms in [30_000, 31_100] {
        writer.publish(at(ms), &last);
    }
    assert_eq!(scene.reader().read(at(31_100)).unwrap().body.timeline, 9);
}

/// A fault outside a page is no business of the guard's: the program dies of it, as without.
#[test]
fn a_fault_elsewhere_still_ends_the_program() {
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
fn a_readers_lock_keeps_no_writer_out() {
    let scene = Scene::new();
    scene.writer(1).unwrap().publish(at(0), &Scene::body(1));
    let file = fs::File::open(scene.name.path()).unwrap();
    let shared = libc::flock { l_type: 0, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
    nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_OFD_SETLK(&shared)).unwrap();
    let mut writer = scene.takes_over(2);
    writer.publish(at(0), &Scene::body(2));
    assert_eq!(scene.reader().read(at(0)).unwrap().instance, 2);
}

#[test]
fn instance_names_cannot_leave_their_folder() {
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
