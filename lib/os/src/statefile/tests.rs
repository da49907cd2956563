use super::*;
use crate::sandbox::in_namespaces;
use crate::scratch::Scratch;
use nix::sched::CloneFlags;
use std::ffi::CStr;

fn names(directory: &Scratch) -> Vec<String> {
    let entries = std::fs::read_dir(&directory.0).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn reads_back_the_state_and_leaves_no_other_file() {
    let directory = Scratch::new();
    let state = StateFile::new(directory.0.join("state"));
    assert_eq!(state.read().unwrap(), None);
    state.replace("k = 1\n").unwrap();
    state.replace("k = 2\n").unwrap();
    assert_eq!(state.read().unwrap().as_deref(), Some("k = 2\n"));
    assert_eq!(names(&directory), ["state"]);
    let mode = std::fs::metadata(state.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}

#[test]
fn rejects_text_longer_than_the_maximum() {
    let directory = Scratch::new();
    let state = StateFile::new(directory.0.join("state"));
    let text = "x".repeat(MAX_LENGTH);
    state.replace(&text).unwrap();
    assert_eq!(state.read().unwrap(), Some(text.clone()));
    assert!(matches!(state.replace(&(text.clone() + "x")), Err(StateError::TooLong { .. })));
    assert_eq!(state.read().unwrap(), Some(text.clone()));
    std::fs::write(state.path(), text + "x").unwrap();
    let error = state.read().unwrap_err().to_string();
    assert!(error.contains("state is longer than 4096 bytes"), "{error}");
}

#[test]
fn rejects_content_that_is_not_text() {
    let directory = Scratch::new();
    let state = StateFile::new(directory.0.join("state"));
    std::fs::write(state.path(), [0xff, 0xfe]).unwrap();
    assert!(matches!(state.read(), Err(StateError::NotText { .. })));
    assert!(matches!(StateFile::new(&directory.0).read(), Err(StateError::Read { .. })), "directory");
    assert!(matches!(StateFile::new("/dev/zero").read(), Err(StateError::TooLong { .. })), "endless file");
}

#[test]
fn error_names_missing_directory_and_does_not_create_it() {
    let directory = Scratch::new();
    let state = StateFile::new(directory.0.join("none").join("state"));
    let error = state.replace("x").unwrap_err().to_string();
    let none = directory.0.join("none");
    assert!(error.ends_with(&format!("directory {} does not exist", none.display())), "{error}");
    assert_eq!(state.read().unwrap(), None);
    assert!(names(&directory).is_empty());
}

#[test]
fn failed_rename_leaves_no_temporary_file() {
    let directory = Scratch::new();
    let state = StateFile::new(directory.0.join("state"));
    std::fs::create_dir(state.path()).unwrap();
    assert!(matches!(state.replace("x"), Err(StateError::Write { .. })));
    assert_eq!(names(&directory), ["state"]);
    assert!(StateFile::new("/").replace("x").is_err());
}

#[test]
fn replaces_temporary_file_of_a_dead_process_without_following_a_link() {
    let directory = Scratch::new();
    let state = StateFile::new(directory.0.join("state"));
    let victim = directory.0.join("victim");
    std::fs::write(&victim, "untouched").unwrap();
    let beside = directory.0.join(format!(".state.{}", std::process::id()));
    std::os::unix::fs::symlink(&victim, &beside).unwrap();
    state.replace("x").unwrap();
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
    assert_eq!(names(&directory), ["state", "victim"]);
}

/// A full and then a read-only disk, in a mount namespace.
#[test]
fn full_disk_keeps_the_old_text() {
    let directory = Scratch::new();
    let path = &directory.0;
    in_namespaces(CloneFlags::CLONE_NEWNS, || {
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
        assert_eq!(std::fs::read_dir(path).unwrap().count(), 2, "state and filler");
        mount(c"tmpfs", &target, libc::MS_REMOUNT | libc::MS_RDONLY, c"");
        let error = state.replace("new").unwrap_err().to_string();
        assert!(error.ends_with("the file system is read-only"), "{error}");
    });
}

fn mount(source: &CStr, target: &CStr, flags: libc::c_ulong, data: &CStr) {
    // SAFETY: four zero-terminated strings that outlive the call, which keeps none of them.
    let done = unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), c"tmpfs".as_ptr(), flags, data.as_ptr().cast())
    };
    assert_eq!(done, 0, "mount on {target:?}: {}", io::Error::last_os_error());
}
