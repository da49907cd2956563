use super::*;
use crate::scratch::Scratch;
use nix::sched::{CloneFlags, unshare};
use std::ffi::CStr;

fn names(folder: &Scratch) -> Vec<String> {
    let entries = std::fs::read_dir(&folder.0).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_was_kept_is_read_and_nothing_else_is_left() {
    let folder = Scratch::new();
    let state = StateFile::new(folder.0.join("state"));
    assert_eq!(state.read().unwrap(), None);
    state.replace("k = 1\n").unwrap();
    state.replace("k = 2\n").unwrap();
    assert_eq!(state.read().unwrap().as_deref(), Some("k = 2\n"));
    assert_eq!(names(&folder), ["state"]);
    let mode = std::fs::metadata(state.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}

#[test]
fn a_text_as_long_as_allowed_is_kept_and_a_longer_one_refused() {
    let folder = Scratch::new();
    let state = StateFile::new(folder.0.join("state"));
    let text = "x".repeat(LONGEST);
    state.replace(&text).unwrap();
    assert_eq!(state.read().unwrap(), Some(text.clone()));
    assert!(matches!(state.replace(&(text.clone() + "x")), Err(StateError::TooLong { .. })));
    assert_eq!(state.read().unwrap(), Some(text.clone()));
    std::fs::write(state.path(), text + "x").unwrap();
    let error = state.read().unwrap_err().to_string();
    assert!(error.contains("state is longer than 4096 bytes"), "{error}");
}

#[test]
fn what_is_no_text_is_told() {
    let folder = Scratch::new();
    let state = StateFile::new(folder.0.join("state"));
    std::fs::write(state.path(), [0xff, 0xfe]).unwrap();
    assert!(matches!(state.read(), Err(StateError::NotText { .. })));
    assert!(matches!(StateFile::new(&folder.0).read(), Err(StateError::Read { .. })), "a folder");
    assert!(matches!(StateFile::new("/dev/zero").read(), Err(StateError::TooLong { .. })), "no end");
}

#[test]
fn a_missing_folder_is_named_and_not_made() {
    let folder = Scratch::new();
    let state = StateFile::new(folder.0.join("none").join("state"));
    let error = state.replace("x").unwrap_err().to_string();
    assert!(error.ends_with(&format!("there is no folder {}", folder.0.join("none").display())), "{error}");
    assert_eq!(state.read().unwrap(), None);
    assert!(names(&folder).is_empty());
}

#[test]
fn a_failed_rename_leaves_nothing_behind() {
    let folder = Scratch::new();
    let state = StateFile::new(folder.0.join("state"));
    std::fs::create_dir(state.path()).unwrap();
    assert!(matches!(state.replace("x"), Err(StateError::Write { .. })));
    assert_eq!(names(&folder), ["state"]);
    assert!(StateFile::new("/").replace("x").is_err());
}

#[test]
fn what_a_dead_process_left_is_replaced_and_a_link_not_followed() {
    let folder = Scratch::new();
    let state = StateFile::new(folder.0.join("state"));
    let victim = folder.0.join("victim");
    std::fs::write(&victim, "untouched").unwrap();
    let beside = folder.0.join(format!(".state.{}", std::process::id()));
    std::os::unix::fs::symlink(&victim, &beside).unwrap();
    state.replace("x").unwrap();
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
    assert_eq!(names(&folder), ["state", "victim"]);
}

/// A full and then a read-only disk, in a mount namespace: needs root, and is passed over without.
#[test]
fn a_full_disk_keeps_the_old_text() {
    if !nix::unistd::Uid::effective().is_root() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "this test needs root");
        return eprintln!("skipped: only root can mount");
    }
    let folder = Scratch::new();
    let path = folder.0.clone();
    // In a thread of its own, which the namespace ends with.
    let run = move || {
        if let Err(cause) = unshare(CloneFlags::CLONE_NEWNS) {
            return eprintln!("skipped: no mount namespace: {cause}");
        }
        let target = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        mount(c"none", c"/", libc::MS_REC | libc::MS_PRIVATE, c"");
        mount(c"tmpfs", &target, 0, c"size=16k");
        let state = StateFile::new(path.join("state"));
        state.replace("old").unwrap();
        let filler = std::fs::write(path.join("filler"), vec![0; 1 << 16]);
        assert_eq!(filler.unwrap_err().kind(), ErrorKind::StorageFull);
        let error = state.replace(&"new".repeat(1000)).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot write {}: the disk is full", state.path().display()));
        assert_eq!(state.read().unwrap().as_deref(), Some("old"));
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 2, "state and filler");
        mount(c"tmpfs", &target, libc::MS_REMOUNT | libc::MS_RDONLY, c"");
        let error = state.replace("new").unwrap_err().to_string();
        assert!(error.ends_with("the file system is read-only"), "{error}");
    };
    std::thread::spawn(run).join().unwrap();
}

fn mount(source: &CStr, target: &CStr, flags: libc::c_ulong, data: &CStr) {
    // SAFETY: four texts that end with a zero and live through the call, which keeps none of them.
    let done = unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), c"tmpfs".as_ptr(), flags, data.as_ptr().cast())
    };
    assert_eq!(done, 0, "mount on {target:?}: {}", io::Error::last_os_error());
}
