//! The writer of a page: made, or taken over from a writer that died.

use super::{Head, PageName, PageWords, is_service_user};
use dante_core::page::{Body, HEAD_WORDS, HEARTBEAT, HEARTBEAT_RENEWAL, Life, MAGIC, layout_word};
use dante_core::time::{Raw, Timestamp};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl, posix_fallocate};
use nix::unistd::geteuid;
use shared_memory::{Shmem, ShmemConf, ShmemError};
use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// Why a page cannot be written.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence of each says what it is")]
pub enum WriteError {
    #[error(
        "{program} of this instance is already running (process {pid}); stop it, or choose another --instance"
    )]
    Running { program: &'static str, pid: u32 },
    #[error("{path} is in the way: {why}; remove it (as root, or as its owner) and start again")]
    InTheWay { path: PathBuf, why: String },
    #[error("cannot {what} {path}: {cause}")]
    Os { what: &'static str, path: PathBuf, cause: io::Error },
}

impl WriteError {
    /// The page belongs to somebody else, or to another process of the same kind.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Running { .. } | Self::InTheWay { .. })
    }
}

/// The one writer of a page.
///
/// It holds a write lock on the file (an open-file-description lock, which the kernel gives up when the process dies,
/// however it dies), so a second writer is refused exactly as long as the first one lives.
pub struct PageWriter<B> {
    name: PageName<B>,
    memory: Shmem,
    file: File,
    instance: u64,
    doorbell: u64,
    renewal: Timestamp<Raw>,
}

impl<B: Body> PageWriter<B> {
    /// Makes the page, or takes over one that a dead writer left. `instance` is a random number.
    pub fn open(name: &PageName<B>, instance: u64) -> Result<Self, WriteError> {
        let os_error = |what, cause| WriteError::Os { what, path: name.path(), cause };
        // A page of another layout is removed and made anew; twice, somebody is playing with it.
        for _ in 0..3 {
            let made = create(name).map_err(|cause| os_error("create", cause))?;
            let file = open_checked(name)?;
            let pid = writer_of(&file);
            match lock(&file).map_err(|cause| os_error("lock", cause))? {
                Lock::Ours => {}
                Lock::Obstructed if !is_running(pid, B::NAME) => {
                    log::warn!(
                        "{}: somebody reads it under a lock, to keep this program from it",
                        name.path().display()
                    );
                }
                Lock::Obstructed | Lock::Writers => {
                    return Err(WriteError::Running { program: B::NAME, pid });
                }
            }
            if !is_still_named(&file, name) {
                continue;
            }
            let size = file.metadata().map_err(|cause| os_error("look at", cause))?.len();
            if size == 0 {
                // Reserved at boot for this program (tmpfiles.d), or left by a writer that died at once.
                file.set_len(B::SIZE as u64).map_err(|cause| os_error("enlarge", cause))?;
            } else if !has_layout::<B>(&file, size) {
                retire(&file, name).map_err(|cause| os_error("replace", cause))?;
                continue;
            }
            // Without memory behind it the first access would kill the process (SIGBUS on a full tmpfs).
            #[expect(clippy::cast_possible_wrap, reason = "a page is some thousand bytes")]
            posix_fallocate(&file, 0, B::SIZE as i64)
                .map_err(|errno| os_error("allocate memory for", errno.into()))?;
            let mut memory = match made {
                Some(memory) => memory,
                None => ShmemConf::new()
                    .os_id(name.os_id())
                    .open()
                    .map_err(|error| os_error("map", io::Error::other(error)))?,
            };
            memory.set_owner(false);
            // The crate makes it 0600; everybody may read it.
            file.set_permissions(Permissions::from_mode(0o644))
                .map_err(|cause| os_error("open to readers", cause))?;
            let mut writer =
                Self { name: name.clone(), memory, file, instance, doorbell: 0, renewal: Timestamp::ZERO };
            writer.begin();
            return Ok(writer);
        }
        Err(WriteError::InTheWay { path: name.path(), why: "something keeps replacing it".into() })
    }

    fn words(&self) -> PageWords<'_> {
        // SAFETY: the mapping is at least B::SIZE bytes (its file was checked or made so), page-aligned, writable and
        // lives as long as `memory`; readers in other processes map it read-only.
        unsafe { PageWords::new(self.memory.as_ptr(), B::SIZE / 8) }
    }

    fn begin(&mut self) {
        let words = self.words();
        let set = |word, value| words.store(word, value, Ordering::Relaxed);
        set(Head::Life, Life::BeingMade.word(std::process::id()));
        set(Head::HeartbeatUntil, 0);
        set(Head::Layout, layout_word::<B>());
        set(Head::Size, B::SIZE as u64);
        set(Head::Instance, self.instance);
        let doorbell = words.load(Head::Doorbell);
        if let Some(body) = words.body() {
            body.store(B::new_zeroed().as_bytes());
        }
        words.store(Head::Magic, MAGIC, Ordering::Release);
        self.doorbell = doorbell;
    }

    /// Publishes `body`, renews the heartbeat and rings the doorbell.
    pub fn publish(&mut self, now: Timestamp<Raw>, body: &B) {
        if let Some(words) = self.words().body() {
            words.store(body.as_bytes());
        }
        self.heartbeat(now);
        self.ring();
    }

    /// Renews the heartbeat alone.
    pub fn heartbeat(&mut self, now: Timestamp<Raw>) {
        if now >= self.renewal {
            self.look_after(now);
        }
        let words = self.words();
        words.store(Head::HeartbeatUntil, (now + HEARTBEAT).ns().cast_unsigned(), Ordering::Relaxed);
        words.store(Head::Life, Life::Live.word(std::process::id()), Ordering::Release);
        self.renewal = now + HEARTBEAT_RENEWAL;
    }

    /// Makes the page anew if somebody removed it: readers would wait for it in vain.
    fn look_after(&mut self, now: Timestamp<Raw>) {
        if is_still_named(&self.file, &self.name) {
            return;
        }
        match Self::open(&self.name, self.instance) {
            Ok(mut anew) => {
                log::warn!("{} was removed by somebody; it is made anew", self.name.path().display());
                if let (Some(from), Some(to)) = (self.words().body(), anew.words().body()) {
                    let mut body = B::new_zeroed();
                    if from.load(body.as_mut_bytes()).is_ok() {
                        to.store(body.as_bytes());
                    }
                }
                anew.renewal = now;
                *self = anew;
            }
            Err(error) => log::debug!("{error}"),
        }
    }

    /// When the heartbeat wants to be renewed.
    pub fn renewal(&self) -> Timestamp<Raw> {
        self.renewal
    }

    /// inotify tells of a write by system call, not of one to mapped memory.
    fn ring(&mut self) {
        self.doorbell = self.doorbell.wrapping_add(1);
        let value = self.doorbell.to_ne_bytes();
        if let Err(error) = self.file.write_all_at(&value, Head::Doorbell.offset()) {
            log::debug!("doorbell: {error}");
        }
    }
}

impl<B> Drop for PageWriter<B> {
    /// Says that the writer ended in good order.
    fn drop(&mut self) {
        let word = Life::Stopped.word(std::process::id()).to_ne_bytes();
        if let Err(error) = self.file.write_all_at(&word, Head::Life.offset()) {
            log::debug!("page: {error}");
        }
    }
}

/// Creates the page if there is none. `None`: there is one.
fn create<B: Body>(name: &PageName<B>) -> io::Result<Option<Shmem>> {
    match ShmemConf::new().os_id(name.os_id()).size(B::SIZE).create() {
        Ok(mut memory) => {
            // The page outlives its writer, so that readers see it stop; and if another start was faster, it is its own.
            memory.set_owner(false);
            Ok(Some(memory))
        }
        Err(ShmemError::MappingIdExists) => Ok(None),
        Err(ShmemError::MapCreateFailed(errno) | ShmemError::UnknownOsError(errno)) => {
            Err(io::Error::from_raw_os_error(i32::try_from(errno).unwrap_or(0)))
        }
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Opens the page for writing if it is ours, and nobody else could have written to it.
fn open_checked<B: Body>(name: &PageName<B>) -> Result<File, WriteError> {
    let in_the_way = |why: String| WriteError::InTheWay { path: name.path(), why };
    let path = name.path();
    let seen = path.symlink_metadata().map_err(|cause| WriteError::Os {
        what: "look at",
        path: path.clone(),
        cause,
    })?;
    if !seen.file_type().is_file() {
        return Err(in_the_way("it is not a regular file".into()));
    }
    let us = geteuid();
    if seen.uid() != us.as_raw() && !(us.is_root() && is_service_user::<B>(seen.uid())) {
        return Err(in_the_way(format!("it belongs to user {}, not to user {us} who runs this", seen.uid())));
    }
    if seen.mode() & 0o022 != 0 {
        return Err(in_the_way(format!("others may write to it (mode {:04o})", seen.mode() & 0o7777)));
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(&path)
        .map_err(|cause| WriteError::Os { what: "open", path, cause })
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
    match (file.metadata(), name.path().symlink_metadata()) {
        (Ok(ours), Ok(named)) => ours.ino() == named.ino() && ours.dev() == named.dev(),
        _ => false,
    }
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
    let layout = [Head::Magic, Head::Layout, Head::Size].map(|word| word_at(file, word).unwrap_or(u64::MAX));
    size == B::SIZE as u64 && (layout == [MAGIC, layout_word::<B>(), B::SIZE as u64] || layout == [0; 3])
}

/// Tells readers to open anew, and removes the page.
fn retire<B: Body>(file: &File, name: &PageName<B>) -> io::Result<()> {
    if file.metadata()?.len() >= HEAD_WORDS as u64 * 8 {
        file.write_all_at(&Life::Replaced.word(0).to_ne_bytes(), Head::Life.offset())?;
    }
    std::fs::remove_file(name.path())
}
