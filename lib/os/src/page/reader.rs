//! A reader of a page: maps it read-only, and believes it only from the right owner.

use super::{Head, PageName, PageWords, is_service_user};
use dante_core::page::{Body, Freshness, HEAD_WORDS, Life, MAGIC, Torn, View, layout_word};
use dante_core::time::{Raw, Timestamp};
use nix::fcntl::OFlag;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap, shm_open};
use nix::sys::stat::{FileStat, Mode, fstat};
use nix::unistd::geteuid;
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, fence};

/// Why a page tells nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence of each says what it is")]
pub enum ReadError {
    #[error("there is no page {page}: {program} is not running{hint}")]
    Absent { page: String, program: &'static str, hint: String },
    #[error("{page} is not believed: {why}; remove it and restart {program}")]
    Foreign { page: String, program: &'static str, why: String },
    #[error("{page} has {found}, this program reads layout {wanted}: run programs of one version")]
    Layout { page: String, found: String, wanted: u32 },
    /// Its writer died while writing.
    #[error("{page}: {torn}; restart {program}")]
    Torn { page: String, program: &'static str, torn: Torn },
}

impl ReadError {
    /// As `pmc-lite get status` calls it.
    pub fn freshness(&self) -> Freshness {
        match self {
            Self::Absent { .. } => Freshness::Absent,
            Self::Foreign { .. } => Freshness::Foreign,
            Self::Layout { .. } => Freshness::Layout,
            Self::Torn { .. } => Freshness::Stale,
        }
    }
}

/// Reads one page, over restarts of its writer.
pub struct PageReader<B> {
    name: PageName<B>,
    mapping: Option<Mapping>,
}

/// A writer that was preempted in the middle of a change needs some ms at most to come back to it.
const ATTEMPTS: u32 = 20;

struct Mapping {
    start: NonNull<c_void>,
    length: NonZeroUsize,
    file: OwnedFd,
}

impl<B: Body> PageReader<B> {
    /// A reader of the page so called. It need not be there yet.
    pub fn new(name: PageName<B>) -> Self {
        Self { name, mapping: None }
    }

    /// The page as it is now.
    ///
    /// # Errors
    /// See [`ReadError`]. A page whose writer is dead or stopped is no error; its [`View::freshness`] tells.
    pub fn read(&mut self, now: Timestamp<Raw>) -> Result<View<B>, ReadError> {
        let is_current = |mapping: &Mapping| !mapping.was_unlinked() && mapping.life() != Life::Replaced;
        let mapping = match self.mapping.take().filter(is_current) {
            Some(mapping) => mapping,
            None => self.open()?,
        };
        let mut body = B::new_zeroed();
        let read = self.mapping.insert(mapping).read(body.as_mut_bytes());
        let (life, instance, heartbeat_until) =
            read.map_err(|torn| ReadError::Torn { page: self.page(), program: B::NAME, torn })?;
        #[expect(clippy::cast_possible_truncation, reason = "the process id is in the low half")]
        let pid = life as u32;
        let freshness = Freshness::judge(Life::of_word(life), heartbeat_until, now);
        if freshness == Freshness::Absent {
            return Err(self.absent(String::new()));
        }
        Ok(View { freshness, pid, instance, body })
    }

    fn page(&self) -> String {
        self.name.path().display().to_string()
    }

    fn absent(&self, hint: String) -> ReadError {
        ReadError::Absent { page: self.page(), program: B::NAME, hint }
    }

    fn open(&self) -> Result<Mapping, ReadError> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let file =
            shm_open(self.name.os_id().as_str(), flags, Mode::empty()).map_err(|errno| match errno {
                nix::errno::Errno::ENOENT => self.absent(String::new()),
                nix::errno::Errno::EACCES | nix::errno::Errno::ELOOP => {
                    self.foreign(format!("it cannot be opened ({})", errno.desc()))
                }
                _ => self.absent(format!(", or its page cannot be opened: {}", errno.desc())),
            })?;
        let stat = fstat(&file).map_err(|errno| self.absent(format!(" ({})", errno.desc())))?;
        self.check_owner(&stat)?;
        let size = usize::try_from(stat.st_size).unwrap_or(0);
        if size == 0 {
            return Err(self.absent(", its page is only reserved".into()));
        }
        if size < HEAD_WORDS * 8 {
            return Err(self.layout(format!("{size} bytes")));
        }
        // Not more than is there: an access beyond it would be fatal.
        let length = NonZeroUsize::new(size.min(B::SIZE) / 8 * 8)
            .ok_or_else(|| self.layout(format!("{size} bytes")))?;
        // SAFETY: a new shared mapping of a file that is at least `length` bytes long, at an address of the kernel's
        // choice. Its owner, who alone could shrink it, is trusted (see check_owner).
        let start = unsafe { mmap(None, length, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, &file, 0) }
            .map_err(|errno| self.absent(format!(", or its page cannot be mapped: {}", errno.desc())))?;
        let mapping = Mapping { start, length, file };
        self.check_layout(&mapping, size)?;
        Ok(mapping)
    }

    /// Root, this user, or the daemon's own service user; and nobody else may write.
    fn check_owner(&self, stat: &FileStat) -> Result<(), ReadError> {
        let owner = stat.st_uid;
        if owner != 0 && owner != geteuid().as_raw() && !is_service_user::<B>(owner) {
            return Err(
                self.foreign(format!("it belongs to user {owner}, who is neither root nor {}", B::NAME))
            );
        }
        if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
            return Err(self.foreign("it is not a regular file".into()));
        }
        if stat.st_mode & 0o022 != 0 {
            return Err(self.foreign(format!("others may write to it (mode {:04o})", stat.st_mode & 0o7777)));
        }
        Ok(())
    }

    fn check_layout(&self, mapping: &Mapping, size: usize) -> Result<(), ReadError> {
        let words = mapping.words();
        match words.load(Head::Magic) {
            MAGIC => {}
            0 => return Err(self.absent(", or has only just started".into())),
            _ => return Err(self.layout("no page of this suite in it".into())),
        }
        fence(Ordering::Acquire);
        let layout = words.load(Head::Layout);
        if layout >> 32 != u64::from(B::KIND) {
            return Err(self.layout(format!("a page of another program (kind {})", layout >> 32)));
        }
        if layout != layout_word::<B>() {
            return Err(self.layout(format!("layout {}", layout & 0xffff_ffff)));
        }
        if size != B::SIZE || words.load(Head::Size) != B::SIZE as u64 {
            return Err(self.layout(format!("{size} bytes instead of {}", B::SIZE)));
        }
        Ok(())
    }

    fn foreign(&self, why: String) -> ReadError {
        ReadError::Foreign { page: self.page(), program: B::NAME, why }
    }

    fn layout(&self, found: String) -> ReadError {
        ReadError::Layout { page: self.page(), found, wanted: B::VERSION }
    }

    pub(super) fn name(&self) -> &PageName<B> {
        &self.name
    }
}

impl Mapping {
    fn words(&self) -> PageWords<'_> {
        // SAFETY: mapped for as long as `self` lives, page-aligned, `length` bytes; the readers only load.
        unsafe { PageWords::new(self.start.as_ptr().cast::<u8>().cast_const(), self.length.get() / 8) }
    }

    /// Reads the body, and life, instance and heartbeat with it: if the writer was restarted in between, all again.
    fn read(&self, body: &mut [u8]) -> Result<(u64, u64, Timestamp<Raw>), Torn> {
        let words = self.words();
        let guarded = words.body().ok_or(Torn)?;
        for _ in 0..ATTEMPTS {
            let (life, instance) = (words.load(Head::Life), words.load(Head::Instance));
            let heartbeat_until = Timestamp::from_ns(words.load(Head::HeartbeatUntil).cast_signed());
            fence(Ordering::Acquire);
            if guarded.load(body).is_ok() {
                fence(Ordering::Acquire);
                if (life, instance) == (words.load(Head::Life), words.load(Head::Instance)) {
                    return Ok((life, instance, heartbeat_until));
                }
            }
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
        Err(Torn)
    }

    fn was_unlinked(&self) -> bool {
        fstat(&self.file).is_ok_and(|stat| stat.st_nlink == 0)
    }

    fn life(&self) -> Life {
        Life::of_word(self.words().load(Head::Life))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what mmap gave; no reference into it outlives `self`.
        if let Err(errno) = unsafe { munmap(self.start, self.length.get()) } {
            log::debug!("munmap: {errno}");
        }
    }
}
