//! A reader that is woken when the page changes.

use super::{PageName, PageReader, ReadError, service_user};
use dante_core::page::{Body, View};
use dante_core::time::{Raw, Timestamp};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use std::os::fd::{AsFd, BorrowedFd};

/// A [`PageReader`] with an inotify watch on the page's file, for use in the poll loop.
///
/// The watch reports a publication (IN_MODIFY by the doorbell), an unlink (IN_ATTRIB) and a rename (IN_MOVE_SELF). A page
/// that does not exist yet cannot be watched: read it at least once a second.
pub struct PageFollower<B> {
    reader: PageReader<B>,
    inotify: Inotify,
    watch: Option<WatchDescriptor>,
}

impl<B: Body> PageFollower<B> {
    /// Follows the page with this name.
    ///
    /// # Errors
    /// If the kernel refuses an inotify instance (`fs.inotify.max_user_instances`).
    pub fn new(name: PageName<B>) -> nix::Result<Self> {
        // At the start: a lookup may block.
        service_user::<B>();
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        Ok(Self { reader: PageReader::new(name), inotify, watch: None })
    }

    /// Reads the page, like [`PageReader::read`], and watches it once a read succeeded.
    pub fn read(&mut self, now: Timestamp<Raw>) -> Result<View<B>, ReadError> {
        self.drain();
        let view = self.reader.read(now)?;
        if self.watch.is_none() {
            // Only an accepted page is watched: a file of another user must not wake this program.
            let changes = AddWatchFlags::IN_MODIFY
                | AddWatchFlags::IN_ATTRIB
                | AddWatchFlags::IN_DELETE_SELF
                | AddWatchFlags::IN_MOVE_SELF
                | AddWatchFlags::IN_DONT_FOLLOW;
            self.watch = self.inotify.add_watch(self.reader.name().path(), changes).ok();
            // A publication before the watch existed caused no event.
            return self.reader.read(now);
        }
        Ok(view)
    }

    /// Discards pending events, and removes the watch if the file was unlinked or renamed.
    fn drain(&mut self) {
        loop {
            match self.inotify.read_events() {
                Ok(events) => {
                    let lost = AddWatchFlags::IN_ATTRIB
                        | AddWatchFlags::IN_DELETE_SELF
                        | AddWatchFlags::IN_MOVE_SELF
                        | AddWatchFlags::IN_IGNORED;
                    if events.iter().any(|event| event.mask.intersects(lost))
                        && let Some(watch) = self.watch.take()
                    {
                        // Fails if the kernel removed the watch together with the file.
                        _ = self.inotify.rm_watch(watch);
                    }
                }
                Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }
}

impl<B> AsFd for PageFollower<B> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
