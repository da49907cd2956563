//! A reader of a page: maps it read-only, and trusts it only from the right owner.

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

/// Why a page gives nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ReadError {
    /// Its path.
    pub page: String,
    /// The program that writes it.
    pub program: &'static str,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// There is none.
    Absent,
    /// Its file is empty: its name is reserved for its writer, who has not started; or it was cut short.
    Reserved,
    /// Its writer is starting, or writes it again.
    BeingMade,
    /// The kernel does not let it be opened or mapped.
    Unreadable(Errno),
    /// It belongs to a user who is neither root, nor this one, nor its writer's own.
    Owner(u32),
    /// Others may write to it; its mode.
    Writable(u32),
    /// It is a link, a folder, or another thing that is no page.
    NoFile,
    /// It holds something else.
    Garbage,
    /// It is a page of another kind.
    Kind(u32),
    /// It has another version: the page's, this program's.
    Version {
        /// What the version means.
        form: Form,
        /// The page's.
        found: u32,
        /// This program's.
        wanted: u32,
    },
    /// Its file is not as large as the page says, bytes: it was cut short or extended.
    Size {
        /// The file's.
        found: usize,
        /// By the page's head, or where that does not say, this program's.
        wanted: usize,
    },
    /// Its writer died while it wrote, or another process changed it since.
    Torn,
}

impl Explain for ReadError {
    fn what(&self) -> String {
        let Self { page, program, fault } = self;
        match fault {
            Fault::Absent => format!("there is no page {page}: {program} is not running"),
            Fault::Reserved => format!("{page} is empty: {program} has not started, or makes it again"),
            Fault::BeingMade => format!("{page} is being made: {program} is starting, or makes it again"),
            Fault::Unreadable(errno) => format!("{page} cannot be read ({})", errno.desc()),
            Fault::Owner(user) => {
                format!("{page} is not trusted: it belongs to user {user}, who is neither root nor {program}")
            }
            Fault::Writable(mode) => {
                format!("{page} is not trusted: others may write to it (mode {mode:04o})")
            }
            Fault::NoFile => format!("{page} is not trusted: it is not a regular file"),
            Fault::Garbage => format!("{page} does not hold a page of this suite"),
            Fault::Kind(kind) => format!("{page} holds a page of another program (kind {kind})"),
            Fault::Version { form, found, wanted } => {
                let form = if *form == Form::Clock { "clock page version" } else { "status layout" };
                format!("{page} has {form} {found}, this program reads {wanted}")
            }
            Fault::Size { found, wanted } => {
                format!("{page} is {found} bytes long instead of {wanted}: it was cut short or extended")
            }
            Fault::Torn => {
                format!("{page} is not whole: {program} died while it wrote, or another process changed it")
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
            Fault::Version { .. } => {
                Some(format!("run programs of one version; after an upgrade restart {program}"))
            }
            Fault::Size { .. } => {
                Some(format!("{program} makes it again within a second; if not, restart {program}"))
            }
        }
    }
}

display_explained!(ReadError);

impl ReadError {
    /// As `pmc-lite get status` calls it.
    pub fn freshness(&self) -> Freshness {
        match self.fault {
            Fault::Absent | Fault::Reserved | Fault::BeingMade => Freshness::Absent,
            Fault::Unreadable(_) | Fault::Owner(_) | Fault::Writable(_) | Fault::NoFile => Freshness::Foreign,
            Fault::Garbage | Fault::Kind(_) | Fault::Version { .. } | Fault::Size { .. } => Freshness::Layout,
            Fault::Torn => Freshness::Stale,
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
    /// Before the memory that it guards.
    guard: Guard,
    memory: Memory,
    file: OwnedFd,
    shape: Shape,
}

struct Memory {
    start: NonNull<c_void>,
    length: NonZeroUsize,
}

/// What belongs to one moment of a page, beside its body.
struct Moment {
    freshness: Freshness,
    pid: u32,
    instance: u64,
}

impl<B: Body> PageReader<B> {
    /// A reader of the page so called. It need not be there yet.
    pub fn new(name: PageName<B>) -> Self {
        Self { name, mapping: None }
    }

    /// The page as it is now.
    ///
    /// # Errors
    /// See [`Fault`]. A page whose writer is dead or stopped is no error; its [`View::freshness`] shows that.
    pub fn read(&mut self, now: Timestamp<Raw>) -> Result<View<B>, ReadError> {
        // In its place from the start: a page is some thousand bytes, and each copy costs as much as a fourth of a reading.
        let mut body = B::new_zeroed();
        match self.look(now, &mut body) {
            Ok(Moment { freshness, pid, instance }) => Ok(View { freshness, pid, instance, body }),
            Err(fault) => {
                // What is wrong with it may be its file: the next time it is opened again.
                self.mapping = None;
                Err(ReadError { page: self.page(), program: B::PROGRAM, fault })
            }
        }
    }

    fn look(&mut self, now: Timestamp<Raw>, body: &mut B) -> Result<Moment, Fault> {
        if let Some(mapping) = self.mapping.take().filter(Mapping::is_current::<B>) {
            let mapping = self.mapping.insert(mapping);
            let moment = mapping.read(now, body)?;
            // A page that lives has its name, or its writer will notice within a second. One that does not may have lost it, to
            // another one that lives.
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

/// Root, this user, or the daemon's own service user; and nobody else may write.
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

/// Whether the page in a file of this size is one that this program reads; its shape.
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
        // SAFETY: a new shared mapping of a file that was at least `length` bytes long a moment ago, at an address of the
        // kernel's choice; where it is cut short later, a guard replaces its memory.
        let start = unsafe { mmap(None, length, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, file, 0) };
        Ok(Self { start: start.map_err(Fault::Unreadable)?, length })
    }

    fn words(&self) -> PageWords<'_> {
        // SAFETY: mapped for as long as `self` lives, page-aligned, `length` bytes; the readers only load.
        unsafe { PageWords::new(self.start.as_ptr().cast::<u8>().cast_const(), self.length.get() / 8) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: exactly what mmap gave; no reference into it outlives `self`.
        if let Err(errno) = unsafe { munmap(self.start, self.length.get()) } {
            log::debug!("munmap: {errno}");
        }
    }
}

impl Mapping {
    /// Reads the body, and its moment with it: if the writer was restarted in between, all again.
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
            // A file that was cut short and extended meanwhile is zeros, and the writer may have filled a part of them. The
            // layout stands there again only after another sequence.
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

    /// Whether the file has a name, and is still the page that was opened.
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
