//! The writer of a page: made, or taken over from a writer that died.

use super::guard::Guard;
use super::{PageName, PageWords, is_service_user};
use crate::clock::raw_now;
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
    /// Something else has the page's name.
    InTheWay {
        /// The page.
        path: PathBuf,
        /// What it is.
        obstacle: Obstacle,
    },
    /// A system call failed.
    Os {
        /// What was tried.
        action: &'static str,
        /// On this page.
        path: PathBuf,
        /// Why it failed.
        cause: io::Error,
    },
}

/// What has a page's name and is no page of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// A link, a folder, or another thing.
    NoFile,
    /// A file of another user.
    Owner {
        /// Its owner.
        owner: u32,
        /// Who runs this.
        us: u32,
    },
    /// A file that others may write to; its mode.
    Writable(u32),
    /// Files that come and go.
    Restless,
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
                    Obstacle::NoFile => format!("{path} is in the way: it is not a regular file"),
                    Obstacle::Owner { owner, us } => {
                        format!(
                            "{path} is in the way: it belongs to user {owner}, not to user {us} who runs this"
                        )
                    }
                    Obstacle::Writable(mode) => {
                        format!("{path} is in the way: others may write to it (mode {mode:04o})")
                    }
                    Obstacle::Restless => format!("{path} is in the way: something keeps replacing it"),
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
/// It holds a write lock on the file (an open-file-description lock, which the kernel gives up when the process dies,
/// however it dies), so a second writer is refused exactly as long as the first one lives.
pub struct PageWriter<B> {
    name: PageName<B>,
    page: Page,
    /// The lock is this process'; else a reader's lock has kept it from that so far.
    has_lock: bool,
    /// The page is this process' own: before that nothing in it is changed.
    pub(super) has_begun: bool,
    /// This process: asked for once, since each time it costs as much as the rest of a publication.
    pid: u32,
    instance: u64,
    sequence: u64,
    doorbell: u64,
    renewal: Timestamp<Raw>,
    /// When the page's file is looked after next.
    look: Timestamp<Raw>,
    complaints: Complaints,
}

/// The file, mapped.
struct Page {
    /// Before the memory that it guards.
    guard: Guard,
    memory: Shmem,
    file: File,
}

impl<B: Body> PageWriter<B> {
    /// Makes the page, or takes over one that a dead writer left. `instance` is a random number.
    pub fn open(name: &PageName<B>, instance: u64) -> Result<Self, WriteError> {
        let mut writer = Self::take(name, instance)?;
        writer.begin();
        Ok(writer)
    }

    /// Does all that may fail, and leaves what a dead writer wrote: [`begin`](Self::begin) has to follow.
    pub(super) fn take(name: &PageName<B>, instance: u64) -> Result<Self, WriteError> {
        // Where the name is taken by another file meanwhile; after some times, somebody is playing with it.
        for _ in 0..3 {
            create(name).map_err(|cause| name.os_error("create", cause))?;
            let file = open_checked(name)?;
            let pid = writer_of(&file);
            let has_lock = match lock(&file).map_err(|cause| name.os_error("lock", cause))? {
                Lock::Ours => true,
                Lock::Obstructed if !is_running(pid, B::PROGRAM) => {
                    log::warn!(
                        "{}: somebody reads it under a lock, to keep this program from it",
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
            // One that a reader's lock has kept from its own lives all the same.
            if is_live(&file) && pid != std::process::id() && is_running(pid, B::PROGRAM) {
                return Err(WriteError::Running { program: B::PROGRAM, pid });
            }
            let size = file.metadata().map_err(|cause| name.os_error("look at", cause))?.len();
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
                look: Timestamp::ZERO,
                complaints: Complaints::default(),
            });
        }
        Err(WriteError::InTheWay { path: name.path().into(), obstacle: Obstacle::Restless })
    }

    /// From now on the page is this process' own.
    pub(super) fn begin(&mut self) {
        self.has_begun = true;
        let words = self.page.words::<B>();
        let set = |word, value| words.store(word, value, Ordering::Relaxed);
        set(Head::Life, Life::BeingMade.word(self.pid));
        set(Head::HeartbeatUntil, 0);
        self.doorbell = self.doorbell.max(words.load(Head::Doorbell));
        if let Some(body) = words.body(constants::<B>(self.instance)) {
            self.sequence = body.store(self.sequence.max(body.sequence()), B::new_zeroed().as_bytes());
        }
        // Behind the new sequence; see the reader.
        words.store(Head::Layout, layout_word::<B>(), Ordering::Release);
        for (word, value) in [Head::Size, Head::Array, Head::Entries].into_iter().zip(B::SHAPE.words()) {
            set(word, value);
        }
        set(Head::Instance, self.instance);
        words.store(Head::Magic, MAGIC, Ordering::Release);
    }

    /// Publishes `body`, renews the heartbeat and rings the doorbell of a clock page. A page that was removed, cut short or
    /// extended is made again within a second.
    pub fn publish(&mut self, now: Timestamp<Raw>, body: &B) {
        self.put(now, body);
        if now >= self.look || self.page.guard.is_lost() || !self.has_its_head() {
            self.look = now + HEARTBEAT_RENEWAL;
            if self.look_after(now) {
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

    /// Makes the page again if it is not what readers find under its name. Whether it was made again.
    fn look_after(&mut self, now: Timestamp<Raw>) -> bool {
        self.has_lock = self.has_lock || matches!(lock(&self.page.file), Ok(Lock::Ours));
        let file = self.page.file.metadata().ok();
        let is_named = file.as_ref().is_some_and(|file| self.name.leads_to(file.dev(), file.ino()));
        let size = file.map(|file| file.len());
        let is_whole = size == Some(B::SIZE as u64) && !self.page.guard.is_lost();
        if is_named && is_whole && self.has_its_head() {
            return false;
        }
        let made = if is_named { self.make_again() } else { self.make_anew() };
        if let Err(error) = made {
            self.complaints.warn(now, format_args!("readers do not see this program: {error}"));
            return false;
        }
        let path = self.name.path();
        match size.filter(|_| is_named) {
            None => log::warn!("{} was removed by another process; it is made again", path.display()),
            Some(size) => log::warn!(
                "{} was changed by another process ({size} bytes, instead of {}); it is made again",
                path.display(),
                B::SIZE
            ),
        }
        self.complaints.clear();
        true
    }

    /// Whether the head still is what readers take it by: a file that is cut short and extended again is zeros.
    fn has_its_head(&self) -> bool {
        let words = self.page.words::<B>();
        Head::CONSTANTS.map(|word| words.load(word)) == constants::<B>(self.instance)
    }

    /// In its place, so that its name is free for nobody.
    fn make_again(&mut self) -> Result<(), WriteError> {
        let file = self.page.file.try_clone().map_err(|cause| self.name.os_error("reopen", cause))?;
        self.page = Page::prepare(file, &self.name)?;
        self.begin();
        Ok(())
    }

    fn make_anew(&mut self) -> Result<(), WriteError> {
        let mut made = Self::open(&self.name, self.instance)?;
        std::mem::swap(&mut self.page, &mut made.page);
        (self.sequence, self.doorbell) = (made.sequence, made.doorbell);
        Ok(())
    }

    /// When the page is to be published again at the latest.
    pub fn renewal(&self) -> Timestamp<Raw> {
        self.renewal
    }

    /// The random number of this run.
    pub(super) fn instance(&self) -> u64 {
        self.instance
    }

    /// inotify reports a write by system call, not one to mapped memory.
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
    /// Publishes that the writer ended in good order.
    fn drop(&mut self) {
        // Nothing is added to a file that was cut short.
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
    /// Makes the file one that holds the page, in its place, and maps it.
    fn prepare<B: Body>(file: File, name: &PageName<B>) -> Result<Self, WriteError> {
        let size = file.metadata().map_err(|cause| name.os_error("look at", cause))?.len();
        if !has_layout::<B>(&file, size) {
            // Reserved at boot for this program (tmpfiles.d), or this program's own and changed by another process.
            file.set_len(0)
                .and_then(|()| file.set_len(B::SIZE as u64))
                .map_err(|cause| name.os_error("resize", cause))?;
        }
        // Without memory behind it the page would be lost at the first access, on a full tmpfs.
        #[expect(clippy::cast_possible_wrap, reason = "a page is some thousand bytes")]
        posix_fallocate(&file, 0, B::SIZE as i64)
            .map_err(|errno| name.os_error("allocate memory for", errno.into()))?;
        let mut memory = ShmemConf::new()
            .os_id(name.os_id())
            .open()
            .map_err(|error| name.os_error("map", io::Error::other(error)))?;
        memory.set_owner(false);
        // The crate makes it 0600; everybody may read it.
        file.set_permissions(Permissions::from_mode(0o644))
            .map_err(|cause| name.os_error("open to readers", cause))?;
        // The mapping was opened by the name: it has to be that of the file that was checked and locked.
        if memory.len() < B::SIZE || !is_still_named(&file, name) {
            return Err(WriteError::InTheWay { path: name.path().into(), obstacle: Obstacle::Restless });
        }
        let guard = NonNull::new(memory.as_ptr().cast::<c_void>())
            .ok_or(Errno::EFAULT)
            .and_then(|start| Guard::new(start, memory.len(), true))
            .map_err(|errno| name.os_error("guard", errno.into()))?;
        Ok(Self { guard, memory, file })
    }

    fn words<B: Body>(&self) -> PageWords<'_> {
        // SAFETY: the mapping is at least B::SIZE bytes (see `prepare`), page-aligned, writable and lives as long as `memory`;
        // readers in other processes map it read-only.
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

/// Puts an empty page in the place of one of another layout, in one step: readers keep what they have mapped, see that it was
/// replaced, and its name is free for nobody.
fn replace<B: Body>(name: &PageName<B>, old: &File, size: u64) -> Result<(), WriteError> {
    let failed = |cause| name.os_error("replace", cause);
    let fresh = format!(".{}.{}", name.name, std::process::id());
    let path = name.path().with_file_name(&fresh);
    // What a process of this number left that died here.
    _ = std::fs::remove_file(&path);
    let mut memory = ShmemConf::new()
        .os_id(format!("/{fresh}"))
        .size(B::SIZE)
        .create()
        .map_err(|error| failed(io::Error::other(error)))?;
    memory.set_owner(false);
    if size >= HEAD_SIZE as u64 {
        let word = Life::Replaced.word(0).to_ne_bytes();
        old.write_all_at(&word, Head::Life.offset()).map_err(failed)?;
    }
    std::fs::rename(&path, name.path()).map_err(failed)
}

/// Whether a writer has renewed the page's heartbeat within its time.
fn is_live(file: &File) -> bool {
    let word = |word| word_at(file, word).unwrap_or(0);
    let until = Timestamp::from_ns(word(Head::HeartbeatUntil).cast_signed());
    Life::of_word(word(Head::Life)) == Life::Live && raw_now() <= until
}

/// Creates the page if there is none.
fn create<B: Body>(name: &PageName<B>) -> io::Result<()> {
    match ShmemConf::new().os_id(name.os_id()).size(B::SIZE).create() {
        // The page outlives its writer, so that readers see it stop; and if another start was faster, it is its own.
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

/// Opens the page for writing if it is ours, and nobody else could have written to it.
fn open_checked<B: Body>(name: &PageName<B>) -> Result<File, WriteError> {
    let path = name.path();
    let in_the_way = |obstacle| WriteError::InTheWay { path: path.into(), obstacle };
    let seen = path.symlink_metadata().map_err(|cause| name.os_error("look at", cause))?;
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

/// Who holds the page's lock.
enum Lock {
    /// This process, until it ends.
    Ours,
    /// Another writer.
    Writers,
    /// A reader: everybody may read the page, and so put a shared lock on it. No program of the suite does.
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

/// Whether the process that the page names is a running program of this name.
fn is_running(pid: u32, program: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == program)
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

/// A page of the right size that no writer has finished making is as good as one of the right layout.
fn has_layout<B: Body>(file: &File, size: u64) -> bool {
    let word = |word| word_at(file, word).unwrap_or(u64::MAX);
    let found = Head::CONSTANTS.map(word);
    let own = constants::<B>(word(Head::Instance));
    size == B::SIZE as u64 && (found == own || found == [0; 6])
}
