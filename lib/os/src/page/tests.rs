use super::*;
use dante_core::page::{Dante2sys, Dante4l, Freshness, HEARTBEAT, Life};
use dante_core::time::{Duration, Raw, Timestamp};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Uid, geteuid};
use std::fs::{self, Permissions};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, PermissionsExt, chown};

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

    fn reader(&self) -> PageReader<Dante4l> {
        PageReader::new(self.name.clone())
    }

    fn plant(&self, bytes: &[u8], mode: u32) {
        fs::write(self.name.path(), bytes).unwrap();
        fs::set_permissions(self.name.path(), Permissions::from_mode(mode)).unwrap();
    }

    fn body(selected: u32) -> Dante4l {
        Dante4l { selected, port_count: 1, ..Dante4l::default() }
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
    assert!(matches!(scene.reader().read(at(0)), Err(ReadError::Absent { .. })));
    let mut writer = scene.writer(42).unwrap();
    writer.publish(at(100), &Scene::body(7));
    let mut reader = scene.reader();
    let view = reader.read(at(100)).unwrap();
    assert_eq!((view.instance, view.pid, view.body.selected), (42, std::process::id(), 7));
    assert_eq!(view.freshness, Freshness::Fresh);
    let end = at(100) + HEARTBEAT;
    assert_eq!(reader.read(end).unwrap().freshness, Freshness::Fresh);
    assert_eq!(reader.read(end + Duration::from_ns(1)).unwrap().freshness, Freshness::Stale);
    writer.heartbeat(end);
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
    let said = refused.to_string();
    let expected = format!("dante4l of this instance is already running (process {})", std::process::id());
    assert!(said.starts_with(&expected), "{said}");
    let mut reader = scene.reader();
    assert_eq!(reader.read(at(0)).unwrap().instance, 1);
    drop(first);
    let mut second = scene.takes_over(2);
    second.publish(at(0), &Scene::body(2));
    let view = reader.read(at(0)).unwrap();
    assert_eq!((view.instance, view.body.selected), (2, 2), "the reader's mapping goes on");
}

#[test]
fn a_page_left_in_the_middle_of_a_change_is_taken_over() {
    let scene = Scene::new();
    scene.writer(1).unwrap().publish(at(0), &Scene::body(1));
    let file = fs::OpenOptions::new().write(true).open(scene.name.path()).unwrap();
    file.write_all_at(&7u64.to_ne_bytes(), Head::Sequence.offset()).unwrap();
    file.write_all_at(&Life::Live.word(1).to_ne_bytes(), Head::Life.offset()).unwrap();
    let torn = scene.reader().read(at(0)).unwrap_err();
    assert!(matches!(torn, ReadError::Torn { .. }), "{torn}");
    assert_eq!(torn.freshness(), Freshness::Stale);
    let mut writer = scene.takes_over(2);
    writer.publish(at(0), &Scene::body(3));
    assert_eq!(scene.reader().read(at(0)).unwrap().body.selected, 3);
}

#[test]
fn garbage_and_other_layouts_are_refused_by_readers_and_replaced_by_their_owner() {
    let mut old = vec![0u8; Dante4l::SIZE];
    old[..8].copy_from_slice(b"D4L_PAGE");
    old[8..16].copy_from_slice(&(1u64 << 32 | 999).to_ne_bytes());
    old[16..24].copy_from_slice(&(Dante4l::SIZE as u64).to_ne_bytes());
    let mut another_program = old.clone();
    another_program[8..16].copy_from_slice(&dante_core::page::layout_word::<Dante2sys>().to_ne_bytes());
    let cases: [(&str, Vec<u8>, &str); 5] = [
        ("garbage", vec![0x5a; Dante4l::SIZE], "no page of this suite"),
        ("too short", vec![0x5a; 10], "10 bytes"),
        ("too long", [&old[..8], &[0; 9000]].concat(), "a page of another program (kind 0)"),
        ("another version", old, "layout 999"),
        ("another program", another_program, "a page of another program (kind 2)"),
    ];
    for (name, bytes, said) in cases {
        let scene = Scene::new();
        scene.plant(&bytes, 0o644);
        let mut reader = scene.reader();
        let error = reader.read(at(0)).unwrap_err();
        assert_eq!(error.freshness(), Freshness::Layout, "{name}: {error}");
        assert!(error.to_string().contains(said), "{name}: {error}");
        assert!(
            error.to_string().contains(&format!("this program reads layout {}", Dante4l::VERSION)),
            "{name}: {error}"
        );
        let mut writer = scene.writer(1).unwrap();
        writer.publish(at(0), &Scene::body(1));
        assert_eq!(reader.read(at(0)).unwrap().freshness, Freshness::Fresh, "{name}");
    }
}

#[test]
fn a_page_that_is_only_reserved_is_no_page_yet_and_can_be_taken() {
    let scene = Scene::new();
    scene.plant(&[], 0o644);
    let error = scene.reader().read(at(0)).unwrap_err();
    assert_eq!(error.freshness(), Freshness::Absent, "{error}");
    let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(scene.name.path()).unwrap());
    let before = inode();
    let mut writer = scene.writer(1).unwrap();
    writer.publish(at(0), &Scene::body(1));
    assert_eq!(inode(), before, "its name is never free for somebody else");
}

#[test]
fn a_page_that_others_may_write_is_not_believed() {
    let scene = Scene::new();
    scene.writer(1).unwrap().publish(at(0), &Scene::body(1));
    fs::set_permissions(scene.name.path(), Permissions::from_mode(0o664)).unwrap();
    let error = scene.reader().read(at(0)).unwrap_err();
    assert_eq!(error.freshness(), Freshness::Foreign);
    assert!(error.to_string().contains("others may write to it (mode 0664)"), "{error}");
    let refused = scene.writer(2).err().unwrap();
    assert!(refused.is_refusal() && refused.to_string().contains("others may write"), "{refused}");
}

#[test]
fn a_page_planted_by_another_user_is_not_believed() {
    if !geteuid().is_root() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "this test needs root");
        return eprintln!("skipped: only root can give a page to another user");
    }
    let scene = Scene::new();
    scene.writer(1).unwrap().publish(at(0), &Scene::body(1));
    chown(scene.name.path(), Some(Uid::from_raw(65_534).as_raw()), None).unwrap();
    let error = scene.reader().read(at(0)).unwrap_err();
    assert_eq!(error.freshness(), Freshness::Foreign);
    assert!(
        error.to_string().contains("it belongs to user 65534, who is neither root nor dante4l"),
        "{error}"
    );
    let refused = scene.writer(2).err().unwrap();
    assert!(refused.is_refusal() && refused.to_string().contains("user 65534"), "{refused}");
    assert!(scene.name.path().exists(), "it is not ours to remove");
}

#[test]
fn a_link_in_the_pages_place_is_followed_by_nobody() {
    let (scene, target) = (Scene::new(), Scene::new());
    target.writer(1).unwrap().publish(at(0), &Scene::body(1));
    std::os::unix::fs::symlink(target.name.path(), scene.name.path()).unwrap();
    assert_eq!(scene.reader().read(at(0)).unwrap_err().freshness(), Freshness::Foreign);
    assert!(scene.writer(2).err().unwrap().is_refusal());
}

#[test]
fn the_doorbell_wakes_a_follower_also_after_the_page_was_replaced() {
    fn rung(follower: &PageFollower<Dante4l>) -> bool {
        let mut fds = [PollFd::new(follower.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(200u8)).unwrap() == 1
    }
    let scene = Scene::new();
    let mut writer = scene.writer(1).unwrap();
    writer.publish(at(0), &Scene::body(1));
    let mut follower = PageFollower::new(scene.name.clone()).unwrap();
    assert_eq!(follower.read(at(0)).unwrap().body.selected, 1);
    assert!(!rung(&follower), "nothing has happened since");
    writer.publish(at(0), &Scene::body(2));
    assert!(rung(&follower));
    assert_eq!(follower.read(at(0)).unwrap().body.selected, 2);
    writer.heartbeat(at(1));
    assert!(!rung(&follower), "a heartbeat is no news");
    drop(writer);
    assert!(rung(&follower), "the end is");
    follower.read(at(0)).unwrap();
    fs::remove_file(scene.name.path()).unwrap();
    assert!(rung(&follower), "so is an unlink");
    assert!(follower.read(at(0)).is_err());
    let mut writer = scene.takes_over(2);
    writer.publish(at(0), &Scene::body(3));
    assert_eq!(follower.read(at(0)).unwrap().body.selected, 3);
    follower.read(at(0)).unwrap();
    writer.publish(at(0), &Scene::body(4));
    assert!(rung(&follower), "the new page's bell");
}

#[test]
fn a_page_that_was_removed_is_made_anew_with_what_it_said() {
    let scene = Scene::new();
    let mut writer = scene.writer(5).unwrap();
    writer.publish(at(0), &Scene::body(6));
    let mut reader = scene.reader();
    reader.read(at(0)).unwrap();
    fs::remove_file(scene.name.path()).unwrap();
    assert!(reader.read(at(0)).is_err());
    writer.heartbeat(at(1_000));
    let view = reader.read(at(1_000)).unwrap();
    assert_eq!((view.freshness, view.instance, view.body.selected), (Freshness::Fresh, 5, 6));
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
    for bad in ["", "a/b", "..", "a b", "ä", &"x".repeat(33)] {
        assert!(bad.parse::<Instance>().is_err(), "{bad}");
    }
    let name = PageName::<Dante4l>::new(Some(&"stage-2_b".parse().unwrap()));
    assert_eq!(name.path().to_str(), Some("/dev/shm/dante4l.stage-2_b"));
    assert_eq!(PageName::<Dante2sys>::new(None).path().to_str(), Some("/dev/shm/dante2sys"));
}
