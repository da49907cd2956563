//! A reader that is woken when the page changes.

use super::{PageName, PageReader, ReadError, service_user};
use dante_core::page::{Body, View};
use dante_core::time::{Duration, Raw, Timestamp};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use std::os::fd::{AsFd, BorrowedFd};

/// Interval of reading a page whose changes the kernel does not report: the shortest Sync interval, 8 Hz.
const POLL_INTERVAL: Duration = Duration::from_ms(125);

/// A [`PageReader`] with an inotify watch on the page's file, for use in the poll loop.
///
/// The watch reports a publication (IN_MODIFY by the doorbell), an unlink (IN_ATTRIB) and a rename (IN_MOVE_SELF). A page
/// that does not exist yet cannot be watched: read it at least once a second. If the kernel refuses the inotify instance or the
/// watch, a warning is logged, and [`Self::deadline`] makes the loop read the page often enough.
pub struct PageFollower<B> {
    reader: PageReader<B>,
    inotify: Result<Inotify, Errno>,
    watch: Option<WatchDescriptor>,
    /// When to read an existing page that is not watched.
    deadline: Option<Timestamp<Raw>>,
    /// The refusal was logged.
    is_logged: bool,
}

impl<B: Body> PageFollower<B> {
    /// Follows the page with this name.
    pub fn new(name: PageName<B>) -> Self {
        // At the start: a lookup may block.
        service_user::<B>();
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC);
        Self { reader: PageReader::new(name), inotify, watch: None, deadline: None, is_logged: false }
    }

    /// The descriptor to wait for; `None` if the kernel refused it.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().ok().map(AsFd::as_fd)
    }

    /// When to read the page next, though its descriptor is not readable; `None`: at any time.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        self.deadline
    }

    /// Reads the page, like [`PageReader::read`], and watches it once a read succeeded.
    pub fn read(&mut self, now: Timestamp<Raw>) -> Result<View<B>, ReadError> {
        self.drain();
        self.deadline = None;
        let view = self.reader.read(now)?;
        if self.watch.is_none() {
            // Only an accepted page is watched: a file of another user must not wake this program.
            self.watch = self.watch();
            if self.watch.is_none() {
                self.deadline = Some(now + POLL_INTERVAL);
            }
            // A publication before the watch existed caused no event.
            return self.reader.read(now);
        }
        Ok(view)
    }

    /// Watches the page, or logs once why that is not possible.
    fn watch(&mut self) -> Option<WatchDescriptor> {
        let path = self.reader.name().path();
        let (cause, setting) = match &self.inotify {
            Ok(inotify) => {
                let changes = AddWatchFlags::IN_MODIFY
                    | AddWatchFlags::IN_ATTRIB
                    | AddWatchFlags::IN_DELETE_SELF
                    | AddWatchFlags::IN_MOVE_SELF
                    | AddWatchFlags::IN_DONT_FOLLOW;
                match inotify.add_watch(path, changes) {
                    Ok(watch) => {
                        self.is_logged = false;
                        return Some(watch);
                    }
                    // The page was removed or replaced since it was read.
                    Err(Errno::ENOENT) => return None,
                    Err(cause) => (cause, "fs.inotify.max_user_watches"),
                }
            }
            Err(cause) => (*cause, "fs.inotify.max_user_instances"),
        };
        if !std::mem::replace(&mut self.is_logged, true) {
            let (page, cause, interval) = (path.display(), cause.desc(), POLL_INTERVAL.ns() / 1_000_000);
            log::warn!(
                "changes of {page} are not reported ({cause}): read every {interval} ms instead; raise {setting}"
            );
        }
        None
    }

    /// Discards pending events, and removes the watch if the file was unlinked or renamed.
    fn drain(&mut self) {
        let Ok(inotify) = &self.inotify else { return };
        loop {
            match inotify.read_events() {
                Ok(events) => {
                    let lost = AddWatchFlags::IN_ATTRIB
                        | AddWatchFlags::IN_DELETE_SELF
                        | AddWatchFlags::IN_MOVE_SELF
                        | AddWatchFlags::IN_IGNORED;
                    if events.iter().any(|event| event.mask.intersects(lost))
                        && let Some(watch) = self.watch.take()
                    {
                        // Fails if the kernel removed the watch together with the file.
                        _ = inotify.rm_watch(watch);
                    }
                }
                Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }
}
