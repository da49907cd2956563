//! Reader of a page: maps it read-only, and accepts it only from a trusted owner.

use super::guard::Guard;
use super::{PageName, PageWords, is_service_user};
use crate::denial::display_explained;
use dante_core::explain::Explain;
use dante_core::page::{Body, Form, Freshness, HEAD_SIZE, Head, Life, MAGIC, Shape, View, layout_word};
use dante_core::time::{Raw, Timestamp};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap, shm_open};
use nix::sys::stat::{FileStat, Mode, fstat};
use nix::unistd::geteuid;
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, fence};

/// Why a page cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ReadError {
    /// Path of the page.
    pub page: String,
    /// The program that writes the page.
    pub program: &'static str,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The file does not exist.
    Absent,
    /// The file is empty: reserved at boot for a writer that has not started yet, or truncated.
    Reserved,
    /// The writer is starting, or recreating the page.
    BeingMade,
    /// open, fstat or mmap failed.
    Unreadable(Errno),
    /// The owner is neither root, nor this user, nor the writer's service user.
    Owner(u32),
    /// Group or others may write to the file; its mode.
    Writable(u32),
    /// Not a regular file: a link, a directory or a FIFO.
    NoFile,
    /// The content is not a page.
    Garbage,
    /// A page of another program.
    Kind(u32),
    /// A page of another version.
    Version {
        /// What the version means.
        form: Form,
        /// Version of the page.
        found: u32,
        /// Version that this program reads.
        wanted: u32,
    },
    /// The file's size differs from the size in the page's head: the file was truncated or extended.
    Size {
        /// Size of the file, bytes.
        found: usize,
        /// Size according to the page's head, bytes; without a head, the size that this program writes.
        wanted: usize,
    },
    /// The writer died while writing, or another process changed the page.
    Torn,
}

impl Explain for ReadError {
    fn what(&self) -> String {
        let Self { page, program, fault } = self;
        match fault {
            Fault::Absent => format!("{page} does not exist: {program} is not running"),
            Fault::Reserved => format!("{page} is empty: {program} has not started yet, or is recreating it"),
            Fault::BeingMade => format!("{page} is not complete: {program} is starting, or is recreating it"),
            Fault::Unreadable(errno) => format!("{page} cannot be read ({})", errno.desc()),
            Fault::Owner(user) => {
                format!("{page} is not trusted: it belongs to user {user}, who is neither root nor {program}")
            }
            Fault::Writable(mode) => {
                format!("{page} is not trusted: others may write to it (mode {mode:04o})")
            }
            Fault::NoFile => format!("{page} is not trusted: it is not a regular file"),
            Fault::Garbage => format!("{page} does not contain data of {program}"),
            Fault::Kind(kind) => format!("{page} contains data of another program (kind {kind})"),
            Fault::Version { form, found, wanted } => {
                let form = if *form == Form::Clock { "clock page version" } else { "status layout" };
                format!("{page} has {form} {found}, this program reads {wanted}")
            }
            Fault::Size { found, wanted } => {
                format!(
                    "{page} has {found} bytes instead of {wanted}: another process truncated or extended it"
                )
            }
            Fault::Torn => {
                format!("{page} is inconsistent: {program} died while writing, or another process changed it")
            }
        }
    }

    fn remedy(&self) -> Option<String> {
        let Self { page, program, fault } = self;
        match fault {
            Fault::Absent | Fault::Reserved | Fault::BeingMade => None,
            Fault::Owner(_) | Fault::Writable(_) | Fault::NoFile | Fault::Unreadable(_) => {
                Some(format!("remove {page} and restart {program}"))
            }
            Fault::Garbage | Fault::Kind(_) | Fault::Torn => Some(format!("restart {program}")),
            Fault::Version { found, wanted, .. } if found > wanted => Some(format!(
                "{program} is of a newer version: upgrade this program; after an upgrade restart it"
            )),
            Fault::Version { .. } => Some(format!(
                "{program} is of an older version: upgrade it; after an upgrade restart {program}"
            )),
            Fault::Size { .. } => {
                Some(format!("{program} recreates it within a second; if not, restart {program}"))
            }
        }
    }
}

display_explained!(ReadError);

impl ReadError {
    /// The freshness that `pmc-lite get status` reports for this error.
    pub fn freshness(&self) -> Freshness {
        match self.fault {
            Fault::Absent | Fault::Reserved | Fault::BeingMade => Freshness::Absent,
            Fault::Unreadable(_) | Fault::Owner(_) | Fault::Writable(_) | Fault::NoFile => Freshness::Foreign,
            Fault::Garbage | Fault::Kind(_) | Fault::Version { .. } | Fault::Size { .. } => Freshness::Layout,
            Fault::Torn => Freshness::Stale,
        }
    }
}

/// Reads one page, also after a restart of its writer.
pub struct PageReader<B> {
    name: PageName<B>,
    mapping: Option<Mapping>,
}

/// Maximum of attempts to read a page that its writer is changing, 200 us apart. A writer that is preempted in the middle of a
/// change continues within some ms.
const ATTEMPTS: u32 = 20;

struct Mapping {
    /// Declared before `memory`, so that it is dropped first.
    guard: Guard,
    memory: Memory,
    file: OwnedFd,
    shape: Shape,
}

struct Memory {
    start: NonNull<c_void>,
    length: NonZeroUsize,
}

/// State of a page's head, read together with its body.
struct Moment {
    freshness: Freshness,
    pid: u32,
    instance: u64,
}

impl<B: Body> PageReader<B> {
    /// A reader of the page with this name. The page need not exist yet.
    pub fn new(name: PageName<B>) -> Self {
        Self { name, mapping: None }
    }

    /// Reads the page.
    ///
    /// # Errors
    /// See [`Fault`]. A page whose writer is dead or stopped is no error: [`View::freshness`] reports it.
    pub fn read(&mut self, now: Timestamp<Raw>) -> Result<View<B>, ReadError> {
        // Read into its final place: a page has some thousand bytes, and a copy costs a fourth of a read.
        let mut body = B::new_zeroed();
        match self.try_read(now, &mut body) {
            Ok(Moment { freshness, pid, instance }) => Ok(View { freshness, pid, instance, body }),
            Err(fault) => {
                // The next read opens the file again, as the fault may be in the mapped file.
                self.mapping = None;
                Err(ReadError { page: self.page(), program: B::PROGRAM, fault })
            }
        }
    }

    fn try_read(&mut self, now: Timestamp<Raw>, body: &mut B) -> Result<Moment, Fault> {
        if let Some(mapping) = self.mapping.take().filter(Mapping::is_current::<B>) {
            let mapping = self.mapping.insert(mapping);
            let moment = mapping.read(now, body)?;
            // A live page has its name; its writer restores it within a second otherwise. A page that is not live may have been
            // renamed, and another, live page may have its name.
            let is_named =
                || fstat(&mapping.file).is_ok_and(|file| self.name.leads_to(file.st_dev, file.st_ino));
            if moment.freshness == Freshness::Fresh || is_named() {
                return Ok(moment);
            }
        }
        let mapping = self.open()?;
        self.mapping.insert(mapping).read(now, body)
    }

    fn page(&self) -> String {
        self.name.path().display().to_string()
    }

    fn open(&self) -> Result<Mapping, Fault> {
        // O_NONBLOCK: the open of a FIFO would wait for its writer.
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file =
            shm_open(self.name.os_id().as_str(), flags, Mode::empty()).map_err(|errno| match errno {
                Errno::ENOENT => Fault::Absent,
                Errno::ELOOP => Fault::NoFile,
                errno => Fault::Unreadable(errno),
            })?;
        let stat = fstat(&file).map_err(Fault::Unreadable)?;
        check_owner::<B>(&stat)?;
        let size = usize::try_from(stat.st_size).unwrap_or(0);
        if size == 0 {
            return Err(Fault::Reserved);
        }
        if size < HEAD_SIZE {
            return Err(Fault::Size { found: size, wanted: B::SIZE });
        }
        let memory = Memory::map(&file, size)?;
        let guard = Guard::new(memory.start, memory.length.get(), false).map_err(Fault::Unreadable)?;
        let shape = check_head::<B>(memory.words(), size)?;
        if guard.is_lost() {
            return Err(Fault::Size { found: 0, wanted: size });
        }
        Ok(Mapping { guard, memory, file, shape })
    }

    pub(super) fn name(&self) -> &PageName<B> {
        &self.name
    }
}

/// Accepts a regular file of root, this user or the daemon's service user to which neither group nor others may write.
fn check_owner<B: Body>(stat: &FileStat) -> Result<(), Fault> {
    if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err(Fault::NoFile);
    }
    let owner = stat.st_uid;
    if owner != 0 && owner != geteuid().as_raw() && !is_service_user::<B>(owner) {
        return Err(Fault::Owner(owner));
    }
    if stat.st_mode & 0o022 != 0 {
        return Err(Fault::Writable(stat.st_mode & 0o7777));
    }
    Ok(())
}

/// Checks whether this program can read the page in a file of this size. Returns the page's shape.
fn check_head<B: Body>(words: PageWords<'_>, size: usize) -> Result<Shape, Fault> {
    match words.load(Head::Magic) {
        MAGIC => {}
        0 => return Err(Fault::BeingMade),
        _ => return Err(Fault::Garbage),
    }
    fence(Ordering::Acquire);
    let layout = words.load(Head::Layout);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of a word")]
    let (kind, found) = ((layout >> 32) as u32, layout as u32);
    if kind != B::KIND {
        return Err(Fault::Kind(kind));
    }
    if layout != layout_word::<B>() {
        return Err(Fault::Version { form: B::FORM, found, wanted: B::VERSION });
    }
    let shape = Shape::of_words([Head::Size, Head::Array, Head::Entries].map(|word| words.load(word)));
    let shape = shape.ok_or(Fault::Garbage)?;
    if size != shape.size {
        return Err(Fault::Size { found: size, wanted: shape.size });
    }
    if B::FORM == Form::Status && shape != B::SHAPE {
        return Err(Fault::Size { found: size, wanted: B::SIZE });
    }
    Ok(shape)
}

impl Memory {
    fn map(file: &OwnedFd, size: usize) -> Result<Self, Fault> {
        let length = NonZeroUsize::new(size / 8 * 8).ok_or(Fault::Reserved)?;
        // SAFETY: a new shared mapping of a file that just had at least `length` bytes, at an address that the kernel chooses;
        // if the file is truncated later, a guard replaces the memory.
        let start = unsafe { mmap(None, length, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, file, 0) };
        Ok(Self { start: start.map_err(Fault::Unreadable)?, length })
    }

    fn words(&self) -> PageWords<'_> {
        // SAFETY: mapped until `self` is dropped, page-aligned, `length` bytes; readers only load.
        unsafe { PageWords::new(self.start.as_ptr().cast::<u8>().cast_const(), self.length.get() / 8) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: exactly the range that mmap returned; no reference into it outlives `self`.
        if let Err(errno) = unsafe { munmap(self.start, self.length.get()) } {
            log::debug!("munmap: {errno}");
        }
    }
}

impl Mapping {
    /// Reads the body and the state of the head. Reads both again if the writer was restarted in between.
    fn read<B: Body>(&self, now: Timestamp<Raw>, body: &mut B) -> Result<Moment, Fault> {
        let words = self.memory.words();
        let constants = Head::CONSTANTS.map(|word| words.load(word));
        let guarded = words.body(constants).ok_or(Fault::Torn)?;
        let is_own = self.shape == B::SHAPE;
        let mut bytes = if is_own { Vec::new() } else { vec![0; self.shape.body()] };
        for _ in 0..ATTEMPTS {
            let (life, instance) = (words.load(Head::Life), words.load(Head::Instance));
            let heartbeat_until = Timestamp::from_ns(words.load(Head::HeartbeatUntil).cast_signed());
            fence(Ordering::Acquire);
            let read = guarded.load(if is_own { body.as_mut_bytes() } else { &mut bytes });
            fence(Ordering::Acquire);
            let is_same = (life, instance) == (words.load(Head::Life), words.load(Head::Instance));
            if self.guard.is_lost() {
                return Err(Fault::Size { found: 0, wanted: self.shape.size });
            }
            // A file that was truncated and extended meanwhile contains zeros, and the writer may have filled a part of them. The
            // writer restores the layout word only after a new sequence.
            if words.load(Head::Layout) != layout_word::<B>() {
                return Err(Fault::BeingMade);
            }
            fence(Ordering::Acquire);
            if read == Ok(guarded.sequence()) && is_same {
                if !is_own {
                    *body = B::of_shape(&bytes, self.shape);
                }
                #[expect(clippy::cast_possible_truncation, reason = "the process id is in the low half")]
                let pid = life as u32;
                return match Freshness::judge(Life::of_word(life), heartbeat_until, now) {
                    Freshness::Absent => Err(Fault::BeingMade),
                    freshness => Ok(Moment { freshness, pid, instance }),
                };
            }
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
        Err(Fault::Torn)
    }

    /// Whether the file still has a name and is the page that was opened.
    fn is_current<B: Body>(&self) -> bool {
        let Ok(stat) = fstat(&self.file) else { return false };
        let words = self.memory.words();
        let is_whole = usize::try_from(stat.st_size) == Ok(self.shape.size);
        stat.st_nlink > 0
            && is_whole
            && Life::of_word(words.load(Head::Life)) != Life::Replaced
            && words.load(Head::Layout) == layout_word::<B>()
            && !self.guard.is_lost()
    }
}
