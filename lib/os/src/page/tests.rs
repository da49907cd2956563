use super::*;
use crate::denial::{Denial, Denied};
use dante_core::page::{
    Array, Dante2sys, Dante4l, Dante4lStatus, Freshness, HEAD_SIZE, HEARTBEAT, Life, MAGIC, SampleRecord,
    Shape, TAIL_SIZE, layout_word, tail_of,
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
                Err(error) if error.denial() == Some(Denial::InUse) => {
                    std::thread::sleep(std::time::Duration::from_millis(2))
                }
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
    assert_eq!(refused.denial(), Some(Denial::InUse));
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
    // Odd, and with the tail that belongs to it: the sequence alone shows it.
    let mut bytes = fs::read(scene.name.path()).unwrap();
    bytes[56..64].copy_from_slice(&7u64.to_ne_bytes());
    let (file, tail) = (scene.file(), tail_of(&bytes));
    file.write_all_at(&7u64.to_ne_bytes(), Head::Sequence.offset()).unwrap();
    file.write_all_at(&tail.to_ne_bytes(), (bytes.len() - TAIL_SIZE) as u64).unwrap();
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
        ("another program", page(layout_word::<Dante2sys>(), of_size(272), 272), Fault::Kind(2)),
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
        // As a reader has it that maps it.
        let old = scene.file();
        let mut writer = scene.writer(1).unwrap();
        writer.publish(at(0), &Scene::body(1));
        assert_eq!(reader.read(at(0)).unwrap().freshness, Freshness::Fresh, "{name}");
        assert_eq!(
            old.metadata().unwrap().len(),
            bytes.len() as u64,
            "{name}: nobody loses memory under a mapping"
        );
        let mut life = [0; 8];
        if bytes.len() >= HEAD_SIZE {
            old.read_exact_at(&mut life, Head::Life.offset()).unwrap();
            assert_eq!(Life::of_word(u64::from_ne_bytes(life)), Life::Replaced, "{name}");
        }
    }
}

#[test]
fn a_longer_page_of_the_same_major_version_is_read() {
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
    let inode = || MetadataExt::ino(&fs::metadata(scene.name.path()).unwrap());
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
        assert_eq!(fresh.fault, error.fault, "{name}, to a reader that opens it now");
        assert!(scene.heals(&mut writer, &mut reader, 250) <= 1_000, "{name}");
        assert_eq!(inode(), before, "{name}: its name is never free for somebody else");
        assert_eq!(reader.read(at(2_000)).unwrap().instance, 5, "{name}");
        writer.publish(at(2_500), &Scene::body(2));
        let follower = PageFollower::<Dante4l>::new(scene.name.clone());
        assert_eq!(follower.unwrap().read(at(2_500)).unwrap().body.timeline, 2, "{name}");
    }
}

/// Whatever the moment and the place: readers and the writer at work while the file is cut short and extended again and again.
#[test]
fn a_page_that_is_cut_short_while_it_is_read_and_written_kills_nobody() {
    let scene = Scene::new();
    let mut writer = scene.writer(5).unwrap();
    let body = |number: u64| {
        let mut body = Scene::body(number);
        body.ring.iter_mut().for_each(|it| it.number = number);
        body
    };
    writer.publish(at(0), &body(1));
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for keeps in [true, false] {
            let (scene, ended) = (&scene, &ended);
            scope.spawn(move || {
                let mut reader = scene.reader();
                let mut read = 0u32;
                while !ended.load(Ordering::Relaxed) {
                    if !keeps {
                        reader = scene.reader();
                    }
                    // A page that is cut short in the middle of a reading is an error, and never a wrong value.
                    if let Ok(view) = reader.read(at(0)) {
                        let number = view.body.timeline;
                        let is_torn = view.body.ring.iter().any(|it| it.number != number);
                        // Zeros stand there until the writer's first publication after it has made the page again.
                        assert!(!is_torn, "{number}, and {:?}", view.body.ring.map(|it| it.number));
                        read += u32::from(number > 0);
                    }
                }
                assert!(read > 0);
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
        for number in 1..=20_000u64 {
            writer.publish(at(i64::try_from(number).unwrap()), &body(number));
        }
        ended.store(true, Ordering::Relaxed);
    });
    for ms in [30_000, 31_100] {
        writer.publish(at(ms), &body(9));
    }
    assert_eq!(scene.reader().read(at(31_100)).unwrap().body.timeline, 9);
}

/// A name that was given away: the old file stays whole, but is not the page any more.
#[test]
fn readers_find_the_page_again_after_it_was_renamed() {
    let scene = Scene::new();
    let mut writer = scene.writer(5).unwrap();
    writer.publish(at(0), &Scene::body(1));
    let (mut reader, mut follower) = (scene.reader(), PageFollower::new(scene.name.clone()).unwrap());
    reader.read(at(0)).unwrap();
    follower.read(at(0)).unwrap();
    let elsewhere = Scene::new();
    fs::rename(scene.name.path(), elsewhere.name.path()).unwrap();
    assert!(rung(&follower), "another name");
    assert!(scene.heals(&mut writer, &mut reader, 250) <= 1_000);
    writer.publish(at(1_500), &Scene::body(8));
    assert_eq!(reader.read(at(1_500)).unwrap().body.timeline, 8);
    assert_eq!(follower.read(at(1_500)).unwrap().body.timeline, 8);
    writer.publish(at(1_750), &Scene::body(9));
    assert!(rung(&follower), "the new page's bell");
    assert_eq!(elsewhere.reader().read(at(1_500)).unwrap().freshness, Freshness::Stopped);
}

#[test]
fn a_fifo_in_the_pages_place_keeps_nobody_waiting() {
    let scene = Scene::new();
    nix::unistd::mkfifo(scene.name.path(), nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
    assert_eq!(scene.reader().read(at(0)).unwrap_err().fault, Fault::NoFile);
    let refused = scene.writer(2).err().unwrap();
    assert!(matches!(refused, WriteError::InTheWay { obstacle: Obstacle::NoFile, .. }), "{refused}");
}

/// What a run before left on its clock page is of use to the next: dante2sys --restore-frequency, K of danteshm.
#[test]
fn a_status_page_that_cannot_be_made_costs_nothing_of_the_clock_page() {
    let instance: Instance = format!("test-{:x}", crate::daemon::random().unwrap()).parse().unwrap();
    let clock = Scene { name: PageName::new(Some(&instance)) };
    let status = PageName::<Dante4lStatus>::new(Some(&instance));
    let mut killed = clock.writer(1).unwrap();
    killed.publish(at(0), &Scene::body(6));
    // As kill -9 leaves it.
    killed.has_begun = false;
    drop(killed);
    fs::create_dir(status.path()).unwrap();
    let refused = Publisher::<Dante4l, Dante4lStatus>::open(Some(&instance), 2).err().unwrap();
    fs::remove_dir(status.path()).unwrap();
    assert_eq!(refused.denial(), Some(Denial::InUse), "{refused}");
    let view = clock.reader().read(at(0)).unwrap();
    assert_eq!((view.freshness, view.instance, view.body.timeline), (Freshness::Fresh, 1, 6));
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
fn a_readers_lock_keeps_no_writer_out_and_lets_no_second_one_in() {
    let scene = Scene::new();
    scene.writer(1).unwrap().publish(at(0), &Scene::body(1));
    let file = fs::File::open(scene.name.path()).unwrap();
    let shared = libc::flock { l_type: 0, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
    // Waits for the lock of the first writer: a child that another test is just starting has it until it becomes its program.
    nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_OFD_SETLKW(&shared)).unwrap();
    let mut writer = scene.takes_over(2);
    writer.publish(at(0), &Scene::body(2));
    assert_eq!(scene.reader().read(at(0)).unwrap().instance, 2);
    // Once the reader is gone, the writer takes the lock that it could not have.
    drop(file);
    // A child that another test is just starting has the reader's lock until it becomes its program.
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

/// A signal that somebody sends is not a fault, and does what it does without the guard.
#[test]
fn a_sigbus_by_kill_ends_the_program() {
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
            // SAFETY: nothing more is done in this process.
            unsafe { libc::_exit(0) };
        }
    }
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
