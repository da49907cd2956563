//! Writer of a page: creates the page, or takes it over from a writer that died.

use super::guard::Guard;
use super::{PageName, PageWords, is_service_user};
use crate::clock::raw_now;
use crate::daemon::random;
use crate::denial::{Denial, Denied, display_explained};
use crate::log::Complaints;
use dante_core::explain::Explain;
use dante_core::page::{
    Body, Form, HEAD_SIZE, HEARTBEAT, HEARTBEAT_RENEWAL, Head, Life, MAGIC, constants, layout_word,
};
use dante_core::time::{Raw, Timestamp};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl, posix_fallocate};
use nix::unistd::geteuid;
use shared_memory::{Shmem, ShmemConf, ShmemError};
use std::ffi::c_void;
use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

/// Why a page cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Another process of this program and instance runs.
    Running {
        /// The program.
        program: &'static str,
        /// The other process.
        pid: u32,
    },
    /// A file with the page's name exists, and this program must not use it.
    InTheWay {
        /// Path of the page.
        path: PathBuf,
        /// Why the file cannot be used.
        obstacle: Obstacle,
    },
    /// A system call failed.
    Os {
        /// The operation.
        action: &'static str,
        /// Path of the page.
        path: PathBuf,
        /// Why it failed.
        cause: io::Error,
    },
}

/// Why a file with a page's name cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// Not a regular file: a link, a directory or a FIFO.
    NoFile,
    /// A file of another user.
    Owner {
        /// Owner of the file.
        owner: u32,
        /// User who runs this program.
        us: u32,
    },
    /// A file that group or others may write to; its mode.
    Writable(u32),
    /// Another process replaced the file while it was being opened.
    Replaced,
}

impl Explain for WriteError {
    fn what(&self) -> String {
        match self {
            Self::Running { program, pid } => {
                format!("{program} of this instance is already running (process {pid})")
            }
            Self::InTheWay { path, obstacle } => {
                let path = path.display();
                match obstacle {
                    Obstacle::NoFile => format!("cannot use {path}: it is not a regular file"),
                    Obstacle::Owner { owner, us } => {
                        format!(
                            "cannot use {path}: it belongs to user {owner}, but this program runs as user {us}"
                        )
                    }
                    Obstacle::Writable(mode) => {
                        format!("cannot use {path}: group or others may write to it (mode {mode:04o})")
                    }
                    Obstacle::Replaced => {
                        format!("cannot use {path}: another process replaced it while it was being opened")
                    }
                }
            }
            Self::Os { action, path, cause } => format!("cannot {action} {}: {cause}", path.display()),
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            Self::Running { .. } => Some("stop it, or choose another --instance".into()),
            Self::InTheWay { .. } => Some("remove it (as root, or as its owner) and start again".into()),
            Self::Os { .. } => None,
        }
    }
}

display_explained!(WriteError);

impl Denied for WriteError {
    fn denial(&self) -> Option<Denial> {
        match self {
            Self::Running { .. } | Self::InTheWay { .. } => Some(Denial::InUse),
            Self::Os { cause, .. } => {
                (cause.kind() == io::ErrorKind::PermissionDenied).then_some(Denial::NotPermitted)
            }
        }
    }
}

/// The one writer of a page.
///
/// It holds a write lock on the file (an open-file-description lock, which the kernel releases when the process ends in any way),
/// so a second writer is refused while the first one runs.
pub struct PageWriter<B> {
    name: PageName<B>,
    page: Page,
    /// This process holds the lock; false while a reader's lock prevents it.
    has_lock: bool,
    /// `begin` was called; before that, nothing in the page is changed.
    pub(super) has_begun: bool,
    /// This process's id, cached: getpid(2) would be one more system call for each publication.
    pid: u32,
    instance: u64,
    sequence: u64,
    doorbell: u64,
    renewal: Timestamp<Raw>,
    /// Time of the next check of the page's file.
    next_check: Timestamp<Raw>,
    complaints: Complaints,
}

/// The page's file and its mapping.
struct Page {
    /// Declared before `memory`, so that it is dropped first.
    guard: Guard,
    memory: Shmem,
    file: File,
}

impl<B: Body> PageWriter<B> {
    /// Creates the page, or takes over that of a dead writer. `instance`: random number of this run. Until the first
    /// [`publish`](Self::publish) a dead writer's page keeps its content: if the start of this program fails, the next one still
    /// finds the state of the last run.
    pub fn open(name: &PageName<B>, instance: u64) -> Result<Self, WriteError> {
        // Again if another process replaced the file meanwhile; a third time in a row is no coincidence.
        for _ in 0..3 {
            create(name).map_err(|cause| name.os_error("create", cause))?;
            let file = open_checked(name)?;
            let pid = writer_of(&file);
            let has_lock = match lock(&file).map_err(|cause| name.os_error("lock", cause))? {
                Lock::Ours => true,
                Lock::Obstructed if !is_running::<B>(pid) => {
                    log::warn!(
                        "{}: another process holds a read lock on it; used without a lock",
                        name.path().display()
                    );
                    false
                }
                Lock::Obstructed | Lock::Writers => {
                    return Err(WriteError::Running { program: B::PROGRAM, pid });
                }
            };
            if !is_still_named(&file, name) {
                continue;
            }
            // A running writer has no lock if a reader's lock prevented it; its heartbeat shows that it runs.
            if is_live(&file) && pid != std::process::id() && is_running::<B>(pid) {
                return Err(WriteError::Running { program: B::PROGRAM, pid });
            }
            let size = file.metadata().map_err(|cause| name.os_error("stat", cause))?.len();
            if size > 0 && !has_layout::<B>(&file, size) {
                replace(name, &file, size)?;
                continue;
            }
            return Ok(Self {
                page: Page::prepare(file, name)?,
                has_lock,
                has_begun: false,
                name: name.clone(),
                pid: std::process::id(),
                instance,
                sequence: 0,
                doorbell: 0,
                renewal: Timestamp::ZERO,
                next_check: Timestamp::ZERO,
                complaints: Complaints::about(name.path().display().to_string()),
            });
        }
        Err(WriteError::InTheWay { path: name.path().into(), obstacle: Obstacle::Replaced })
    }

    /// Writes the head, with an empty body. From here on the page belongs to this process.
    fn begin(&mut self) {
        self.has_begun = true;
        let words = self.page.words::<B>();
        let set = |word, value| words.store(word, value, Ordering::Relaxed);
        set(Head::Life, Life::BeingMade.word(self.pid));
        set(Head::HeartbeatUntil, 0);
        self.doorbell = self.doorbell.max(words.load(Head::Doorbell));
        if let Some(body) = words.body(constants::<B>(self.instance)) {
            self.sequence = body.store(self.sequence.max(body.sequence()), B::new_zeroed().as_bytes());
        }
        // After the new sequence; see the reader.
        words.store(Head::Layout, layout_word::<B>(), Ordering::Release);
        for (word, value) in [Head::Size, Head::Array, Head::Entries].into_iter().zip(B::SHAPE.words()) {
            set(word, value);
        }
        set(Head::Instance, self.instance);
        words.store(Head::Magic, MAGIC, Ordering::Release);
    }

    /// Publishes `body`, renews the heartbeat and rings the doorbell of a clock page. Recreates a page that was removed,
    /// truncated or extended within a second.
    pub fn publish(&mut self, now: Timestamp<Raw>, body: &B) {
        if !self.has_begun {
            self.begin();
        }
        self.put(now, body);
        if now >= self.next_check || self.page.guard.is_lost() || !self.has_valid_head() {
            self.next_check = now + HEARTBEAT_RENEWAL;
            if self.recreate_if_damaged(now) {
                self.put(now, body);
            }
        }
        self.renewal = now + HEARTBEAT_RENEWAL;
        self.ring();
    }

    fn put(&mut self, now: Timestamp<Raw>, body: &B) {
        let words = self.page.words::<B>();
        if let Some(words) = words.body(constants::<B>(self.instance)) {
            self.sequence = words.store(self.sequence, body.as_bytes());
        }
        words.store(Head::HeartbeatUntil, (now + HEARTBEAT).ns().cast_unsigned(), Ordering::Relaxed);
        words.store(Head::Life, Life::Live.word(self.pid), Ordering::Release);
    }

    /// Recreates the page if its file lost its name, has the wrong size or a damaged head. Returns whether it did.
    fn recreate_if_damaged(&mut self, now: Timestamp<Raw>) -> bool {
        self.has_lock = self.has_lock || matches!(lock(&self.page.file), Ok(Lock::Ours));
        let file = self.page.file.metadata().ok();
        let is_named = file.as_ref().is_some_and(|file| self.name.leads_to(file.dev(), file.ino()));
        let size = file.map(|file| file.len());
        let is_whole = size == Some(B::SIZE as u64) && !self.page.guard.is_lost();
        if is_named && is_whole && self.has_valid_head() {
            return false;
        }
        let recreated = if is_named { self.recreate_in_place() } else { self.recreate_file() };
        if let Err(error) = recreated {
            self.complaints
                .warn(now, format_args!("other programs cannot read this program's state: {error}"));
            return false;
        }
        let path = self.name.path();
        match size.filter(|_| is_named) {
            None => log::warn!("{} was removed by another process; recreated", path.display()),
            Some(size) => log::warn!(
                "{} was changed by another process ({size} bytes, expected {}); recreated",
                path.display(),
                B::SIZE
            ),
        }
        self.complaints.clear();
        true
    }

    /// Whether the head still has the words that readers check. A file that was truncated and extended contains zeros.
    fn has_valid_head(&self) -> bool {
        let words = self.page.words::<B>();
        Head::CONSTANTS.map(|word| words.load(word)) == constants::<B>(self.instance)
    }

    /// Recreates the page in the same file: no other process can take its name meanwhile.
    fn recreate_in_place(&mut self) -> Result<(), WriteError> {
        let file = self.page.file.try_clone().map_err(|cause| self.name.os_error("reopen", cause))?;
        self.page = Page::prepare(file, &self.name)?;
        self.begin();
        Ok(())
    }

    fn recreate_file(&mut self) -> Result<(), WriteError> {
        let mut new = Self::open(&self.name, self.instance)?;
        new.begin();
        std::mem::swap(&mut self.page, &mut new.page);
        (self.sequence, self.doorbell) = (new.sequence, new.doorbell);
        Ok(())
    }

    /// Latest time of the next publication.
    pub fn renewal(&self) -> Timestamp<Raw> {
        self.renewal
    }

    /// The random number of this run.
    pub(super) fn instance(&self) -> u64 {
        self.instance
    }

    /// Writes the doorbell by a system call: inotify does not report writes to mapped memory.
    fn ring(&mut self) {
        if B::FORM != Form::Clock || self.page.guard.is_lost() {
            return;
        }
        self.doorbell = self.doorbell.wrapping_add(1);
        let value = self.doorbell.to_ne_bytes();
        if let Err(error) = self.page.file.write_all_at(&value, Head::Doorbell.offset()) {
            log::debug!("doorbell: {error}");
        }
    }
}

impl<B> Drop for PageWriter<B> {
    /// Marks the page as stopped: the writer was not killed.
    fn drop(&mut self) {
        // Writing would extend a truncated file.
        if !self.has_begun || self.page.size().is_none_or(|size| size < HEAD_SIZE as u64) {
            return;
        }
        let word = Life::Stopped.word(self.pid).to_ne_bytes();
        if let Err(error) = self.page.file.write_all_at(&word, Head::Life.offset()) {
            log::debug!("page: {error}");
        }
    }
}

impl Page {
    /// Gives the file the size of the page, and maps it.
    fn prepare<B: Body>(file: File, name: &PageName<B>) -> Result<Self, WriteError> {
        let size = file.metadata().map_err(|cause| name.os_error("stat", cause))?.len();
        if !has_layout::<B>(&file, size) {
            // Reserved at boot for this program (tmpfiles.d), or this program's page, changed by another process.
            file.set_len(0)
                .and_then(|()| file.set_len(B::SIZE as u64))
                .map_err(|cause| name.os_error("resize", cause))?;
        }
        // On a full tmpfs, the first access to a page without allocated memory would fail (SIGBUS).
        #[expect(clippy::cast_possible_wrap, reason = "a page has some thousand bytes")]
        posix_fallocate(&file, 0, B::SIZE as i64)
            .map_err(|errno| name.os_error("allocate memory for", errno.into()))?;
        let mut memory = ShmemConf::new()
            .os_id(name.os_id())
            .open()
            .map_err(|error| name.os_error("map", io::Error::other(error)))?;
        memory.set_owner(false);
        // The crate creates it with mode 0600; all users may read a page.
        file.set_permissions(Permissions::from_mode(0o644))
            .map_err(|cause| name.os_error("set the mode of", cause))?;
        // The mapping was opened by name: it must belong to the file that was checked and locked.
        if memory.len() < B::SIZE || !is_still_named(&file, name) {
            return Err(WriteError::InTheWay { path: name.path().into(), obstacle: Obstacle::Replaced });
        }
        let guard = NonNull::new(memory.as_ptr().cast::<c_void>())
            .ok_or(Errno::EFAULT)
            .and_then(|start| Guard::new(start, memory.len(), true))
            .map_err(|errno| name.os_error("install the SIGBUS handler for", errno.into()))?;
        Ok(Self { guard, memory, file })
    }

    fn words<B: Body>(&self) -> PageWords<'_> {
        // SAFETY: the mapping has at least B::SIZE bytes (see `prepare`), is page-aligned and writable, and exists until `memory`
        // is dropped; readers in other processes map it read-only.
        unsafe { PageWords::new(self.memory.as_ptr(), B::SIZE / 8) }
    }

    fn size(&self) -> Option<u64> {
        self.file.metadata().ok().map(|file| file.len())
    }
}

impl<B: Body> PageName<B> {
    fn os_error(&self, action: &'static str, cause: io::Error) -> WriteError {
        WriteError::Os { action, path: self.path().into(), cause }
    }
}

/// Replaces a page of another layout by an empty page in one step (rename(2)): readers keep their mapping of the old file and
/// see that it was replaced, and no other process can take the name. The name of the new file is random: other users cannot create
/// files with it beforehand.
fn replace<B: Body>(name: &PageName<B>, old: &File, size: u64) -> Result<(), WriteError> {
    let failed = |cause| name.os_error("replace", cause);
    let fresh = format!(".{}.{:016x}", name.name, random().map_err(failed)?);
    let path = name.path().with_file_name(&fresh);
    let mut memory = ShmemConf::new()
        .os_id(format!("/{fresh}"))
        .size(B::SIZE)
        .create()
        .map_err(|error| failed(io::Error::other(error)))?;
    memory.set_owner(false);
    let word = Life::Replaced.word(0).to_ne_bytes();
    let marked = if size >= HEAD_SIZE as u64 { old.write_all_at(&word, Head::Life.offset()) } else { Ok(()) };
    marked.and_then(|()| std::fs::rename(&path, name.path())).map_err(|cause| {
        // The first error is the one to report.
        _ = std::fs::remove_file(&path);
        failed(cause)
    })
}

/// Whether the page's heartbeat is valid.
fn is_live(file: &File) -> bool {
    let word = |word| word_at(file, word).unwrap_or(0);
    let until = Timestamp::from_ns(word(Head::HeartbeatUntil).cast_signed());
    Life::of_word(word(Head::Life)) == Life::Live && raw_now() <= until
}

/// Creates the page if it does not exist.
fn create<B: Body>(name: &PageName<B>) -> io::Result<()> {
    match ShmemConf::new().os_id(name.os_id()).size(B::SIZE).create() {
        // Dropping `memory` must not remove the page: it outlives its writer, so that readers see that the writer stopped, and
        // another process that started at the same time may be using it.
        Ok(mut memory) => {
            memory.set_owner(false);
            Ok(())
        }
        Err(ShmemError::MappingIdExists) => Ok(()),
        Err(ShmemError::MapCreateFailed(errno) | ShmemError::UnknownOsError(errno)) => {
            Err(io::Error::from_raw_os_error(i32::try_from(errno).unwrap_or(0)))
        }
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Opens the page for writing if it belongs to this user and no other user may write to it.
fn open_checked<B: Body>(name: &PageName<B>) -> Result<File, WriteError> {
    let path = name.path();
    let in_the_way = |obstacle| WriteError::InTheWay { path: path.into(), obstacle };
    let seen = path.symlink_metadata().map_err(|cause| name.os_error("stat", cause))?;
    if !seen.file_type().is_file() {
        return Err(in_the_way(Obstacle::NoFile));
    }
    let (owner, us) = (seen.uid(), geteuid());
    if owner != us.as_raw() && !(us.is_root() && is_service_user::<B>(owner)) {
        return Err(in_the_way(Obstacle::Owner { owner, us: us.as_raw() }));
    }
    if seen.mode() & 0o022 != 0 {
        return Err(in_the_way(Obstacle::Writable(seen.mode() & 0o7777)));
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(path)
        .map_err(|cause| name.os_error("open", cause))
}

/// Holder of the page's lock.
enum Lock {
    /// This process, until it ends.
    Ours,
    /// Another writer.
    Writers,
    /// A reader: every user may read the page, and therefore set a shared lock on it. No program of the suite does so.
    Obstructed,
}

#[expect(clippy::cast_possible_truncation, reason = "small constants of the kernel, whose fields are short")]
fn lock(file: &File) -> io::Result<Lock> {
    let mut whole = libc::flock {
        l_type: libc::F_WRLCK as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&whole)) {
        Ok(_) => return Ok(Lock::Ours),
        Err(Errno::EAGAIN | Errno::EACCES) => {}
        Err(errno) => return Err(errno.into()),
    }
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut whole))?;
    Ok(if whole.l_type == libc::F_RDLCK as i16 { Lock::Obstructed } else { Lock::Writers })
}

/// Whether process `pid`, the page's writer, runs: it has the name of the program, and belongs to a user who may write the page.
/// Any user can start a process with that name, and with the id of a writer that has ended.
fn is_running<B: Body>(pid: u32) -> bool {
    let directory = PathBuf::from(format!("/proc/{pid}"));
    // The owner of this directory is the effective user of the process (proc(5)).
    let is_writers = directory.metadata().is_ok_and(|found| {
        [0, geteuid().as_raw()].contains(&found.uid()) || is_service_user::<B>(found.uid())
    });
    is_writers
        && std::fs::read_to_string(directory.join("comm")).is_ok_and(|name| name.trim_end() == B::PROGRAM)
}

/// Whether the name still leads to this file.
fn is_still_named<B: Body>(file: &File, name: &PageName<B>) -> bool {
    file.metadata().is_ok_and(|file| name.leads_to(file.dev(), file.ino()))
}

fn word_at(file: &File, word: Head) -> Option<u64> {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, word.offset()).ok()?;
    Some(u64::from_ne_bytes(bytes))
}

fn writer_of(file: &File) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the process id is in the low half")]
    word_at(file, Head::Life).map_or(0, |word| word as u32)
}

/// Whether the file has the size and layout of this page. A head of zeros counts: its writer had not completed it yet.
fn has_layout<B: Body>(file: &File, size: u64) -> bool {
    let word = |word| word_at(file, word).unwrap_or(u64::MAX);
    let found = Head::CONSTANTS.map(word);
    let own = constants::<B>(word(Head::Instance));
    size == B::SIZE as u64 && (found == own || found == [0; 6])
}
