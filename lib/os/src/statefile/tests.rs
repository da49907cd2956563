use super::*;
use crate::sandbox::{NOBODY, in_namespaces, is_root, unprivileged};
use crate::scratch::Scratch;
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::ffi::CStr;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::os::unix::net::UnixListener;

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
    let error = StateFile::new("/dev/zero").read().unwrap_err().to_string();
    assert_eq!(error, "cannot read /dev/zero: it is a device, not a regular file");
    assert_eq!(StateFile::new("/dev/null").read().unwrap().as_deref(), Some(""));
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

/// The error of writing the file.
fn refusal(path: &Path) -> String {
    let error = replace(path, b"x").unwrap_err().to_string();
    assert_eq!(check(path).unwrap_err().to_string(), error);
    assert_eq!(create(path).unwrap_err().to_string(), error);
    let start = format!("cannot write {}: ", path.display());
    error.strip_prefix(&start).unwrap_or(&error).to_owned()
}

fn fifo(path: &Path) {
    mkfifo(path, Mode::from_bits_truncate(0o666)).unwrap();
}

#[test]
fn temporary_files_of_dead_processes_are_removed_and_those_of_others_are_not() {
    let directory = Scratch::new();
    let state = StateFile::new(directory.0.join("state"));
    let [dead, alive, short, other] =
        [".state.0123456789abcdef", ".state.fedcba9876543210", ".state.01234567", ".other.0123456789abcdef"];
    for name in [dead, alive, short, other] {
        directory.write(name, "x");
    }
    let file = File::open(directory.0.join(alive)).unwrap();
    let lock = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock).unwrap();
    state.replace("x").unwrap();
    assert_eq!(names(&directory), [other, short, alive, "state"]);
    drop(lock);
    state.replace("x").unwrap();
    assert_eq!(names(&directory), [other, short, "state"]);
}

/// Another user puts files and links with guessed names into a directory that all may write to.
#[test]
fn planted_temporary_file_neither_blocks_writing_nor_is_followed() {
    let directory = Scratch::new();
    std::fs::set_permissions(&directory.0, std::fs::Permissions::from_mode(0o1777)).unwrap();
    let victim = directory.0.join("victim");
    std::fs::write(&victim, "untouched").unwrap();
    let beside = directory.0.join(format!(".state.{}", std::process::id()));
    symlink(&victim, &beside).unwrap();
    if is_root("gives a file to another user") {
        lchown(&beside, Some(NOBODY + 1), None).unwrap();
        unprivileged(|| replace(&directory.0.join("state"), b"x").unwrap());
    } else {
        replace(&directory.0.join("state"), b"x").unwrap();
    }
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
    assert_eq!(std::fs::read_to_string(directory.0.join("state")).unwrap(), "x");
}

#[test]
fn link_is_kept_and_the_file_that_it_names_is_replaced() {
    let directory = Scratch::new();
    directory.write("real/state", "old");
    let link = directory.0.join("link");
    symlink("real/state", &link).unwrap();
    symlink(&link, directory.0.join("second")).unwrap();
    let inode = |name| std::fs::metadata(directory.0.join(name)).unwrap().ino();
    let before = inode("real/state");
    replace(&directory.0.join("second"), b"new").unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::read(directory.0.join("real/state")).unwrap(), b"new");
    assert_ne!(inode("real/state"), before, "written in place, not atomically");
    symlink("absent", directory.0.join("dangling")).unwrap();
    replace(&directory.0.join("dangling"), b"new").unwrap();
    assert_eq!(std::fs::read(directory.0.join("absent")).unwrap(), b"new");
    symlink("loop", directory.0.join("loop")).unwrap();
    assert!(refusal(&directory.0.join("loop")).contains("symbolic links"));
    assert_eq!(names(&directory), ["absent", "dangling", "link", "loop", "real", "second"]);
}

#[test]
fn devices_are_written_and_never_replaced() {
    // A device node of this test: replacing /dev/null would break the machine.
    if !is_root("makes a device") {
        return;
    }
    let directory = Scratch::new();
    let [null, link, block] = ["null", "link", "block"].map(|name| directory.0.join(name));
    let node = |path: &Path, kind, number| nix::sys::stat::mknod(path, kind, Mode::all(), number).unwrap();
    node(&null, nix::sys::stat::SFlag::S_IFCHR, libc::makedev(1, 3));
    // Of a block device's driver only that is used that refuses: no such device exists.
    node(&block, nix::sys::stat::SFlag::S_IFBLK, libc::makedev(259, 999_999));
    symlink(&null, &link).unwrap();
    for path in [&null, &link] {
        replace(path, b"x").unwrap();
        check(path).unwrap();
        create(path).unwrap().write_all(b"x").unwrap();
        assert_eq!(StateFile::new(path).read().unwrap().as_deref(), Some(""));
    }
    assert!(std::fs::symlink_metadata(&null).unwrap().file_type().is_char_device());
    assert_eq!(refusal(&block), "it is a block device");
    assert_eq!(names(&directory), ["block", "link", "null"]);
}

#[test]
fn directory_and_socket_are_refused() {
    let directory = Scratch::new();
    assert_eq!(refusal(&directory.0), "it is a directory");
    let socket = directory.0.join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    assert_eq!(refusal(&socket), "it is a socket");
    let error = StateFile::new(&socket).read().unwrap_err().to_string();
    assert!(error.ends_with("it is a socket"), "{error}");
}

#[test]
fn fifo_is_written_to_its_reader_and_is_an_error_without_one() {
    let directory = Scratch::new();
    let path = directory.0.join("fifo");
    fifo(&path);
    let error = replace(&path, b"x").unwrap_err().to_string();
    assert_eq!(error, format!("cannot write {}: it is a FIFO without a reader", path.display()));
    assert_eq!(create(&path).unwrap_err().to_string(), error);
    let error = StateFile::new(&path).read().unwrap_err().to_string();
    assert!(error.ends_with("it is a FIFO, not a regular file"), "{error}");
    // More than a pipe holds: the writer waits for the reader.
    let reader = {
        let path = path.clone();
        let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
        fcntl(&opened, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
        opened
    };
    let text = vec![b'x'; 300_000];
    let expected = text.len();
    let count = std::thread::spawn(move || {
        let (mut reader, mut buffer, mut count) = (reader, vec![0; 4096], 0);
        while count < expected {
            count += reader.read(&mut buffer).unwrap();
        }
        (reader, count)
    });
    replace(&path, &text).unwrap();
    let (reader, count) = count.join().unwrap();
    assert_eq!(count, text.len());
    // A reader that does not read.
    let begun = Instant::now();
    let short = Duration::from_millis(20);
    let error = write(&path, &text, short).unwrap_err().to_string();
    assert!(error.ends_with("its reader does not read") && begun.elapsed() >= short, "{error}");
    drop(reader);
    assert!(std::fs::metadata(&path).unwrap().file_type().is_fifo());
}

/// Other processes name files that are read here (the configuration of a ptp4l, /proc/PID/root).
#[test]
fn data_in_a_fifo_is_left_to_its_reader() {
    let directory = Scratch::new();
    let path = directory.0.join("fifo");
    fifo(&path);
    let mut both = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    both.write_all(b"x").unwrap();
    assert_eq!(crate::procfs::text_of(&path), None);
    assert!(read_regular(&path, 1).is_err());
    let mut buffer = [0; 2];
    assert_eq!(both.read(&mut buffer).unwrap(), 1);
    assert_eq!(crate::procfs::text_of(Path::new("/dev/zero")), None);
}

/// As /dev/stdout when it is a pipe: the text of the link, "pipe:[123]", names no file.
#[test]
fn link_of_proc_to_a_pipe_or_a_removed_file_writes_the_open_file() {
    use std::os::fd::AsRawFd;
    let directory = Scratch::new();
    let (mut reader, writer) = io::pipe().unwrap();
    let link = directory.0.join("stdout");
    symlink(format!("/proc/self/fd/{}", writer.as_raw_fd()), &link).unwrap();
    replace(&link, b"text").unwrap();
    let mut buffer = [0; 8];
    assert_eq!(reader.read(&mut buffer).unwrap(), 4);
    let path = directory.0.join("removed");
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    replace(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())), b"text").unwrap();
    assert_eq!(file.metadata().unwrap().len(), 4);
    assert_eq!(names(&directory), ["stdout"]);
}

#[test]
fn file_and_link_of_another_user_are_refused_even_to_root() {
    if !is_root("gives files to another user") {
        return;
    }
    let directory = Scratch::new();
    std::fs::set_permissions(&directory.0, std::fs::Permissions::from_mode(0o777)).unwrap();
    directory.write("file", "theirs");
    directory.write("roots", "root's");
    let [file, link, roots] = ["file", "link", "roots"].map(|name| directory.0.join(name));
    chown(&file, Some(1000), None).unwrap();
    symlink("roots", &link).unwrap();
    lchown(&link, Some(1000), None).unwrap();
    assert_eq!(refusal(&file), "it belongs to user 1000, but this program runs as user 0");
    assert_eq!(refusal(&link), format!("{} is a symbolic link of user 1000", link.display()));
    unprivileged(|| {
        let words = format!("it belongs to user 1000, but this program runs as user {NOBODY}");
        assert_eq!(refusal(&file), words);
        assert!(refusal(&link).ends_with("is a symbolic link of user 1000"));
        // In a directory that this user may write to.
        replace(&roots, b"new").unwrap();
    });
    assert_eq!(std::fs::read(&file).unwrap(), b"theirs");
    let owner = std::fs::metadata(&roots).unwrap().uid();
    assert_eq!((std::fs::read(&roots).unwrap(), owner), (b"new".to_vec(), NOBODY));
}

#[test]
fn growing_output_keeps_the_file_and_empties_it() {
    let directory = Scratch::new();
    directory.write("log", "old and longer");
    let path = directory.0.join("log");
    let before = std::fs::metadata(&path).unwrap().ino();
    create(&path).unwrap().write_all(b"new").unwrap();
    assert_eq!(
        (std::fs::read(&path).unwrap(), std::fs::metadata(&path).unwrap().ino()),
        (b"new".to_vec(), before)
    );
    create(&directory.0.join("other")).unwrap().write_all(b"new").unwrap();
    let error = create(&directory.0.join("none/log")).unwrap_err().to_string();
    assert!(error.ends_with("none does not exist"), "{error}");
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
