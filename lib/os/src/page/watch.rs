//! A reader that is woken when the page changes.

use super::{PageName, PageReader, ReadError};
use dante_core::page::{Body, View};
use dante_core::time::{Raw, Timestamp};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use std::os::fd::{AsFd, BorrowedFd};

/// A [`PageReader`] with an inotify watch on the page's file, to be waited for with everything else.
///
/// The watch reports a publication (IN_MODIFY by the doorbell), an unlink (IN_ATTRIB) and another name (IN_MOVE_SELF). A page
/// that is not there yet cannot be watched: read again at least once a second.
pub struct PageFollower<B> {
    reader: PageReader<B>,
    inotify: Inotify,
    watch: Option<WatchDescriptor>,
}

impl<B: Body> PageFollower<B> {
    /// Follows the page so called.
    ///
    /// # Errors
    /// If the kernel grants no inotify instance (`fs.inotify.max_user_instances`).
    pub fn new(name: PageName<B>) -> nix::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        Ok(Self { reader: PageReader::new(name), inotify, watch: None })
    }

    /// The page as it is now, as [`PageReader::read`].
    pub fn read(&mut self, now: Timestamp<Raw>) -> Result<View<B>, ReadError> {
        self.drain();
        let view = self.reader.read(now)?;
        if self.watch.is_none() {
            // Only what is believed is watched: somebody else's file must not wake anybody.
            let changes = AddWatchFlags::IN_MODIFY
                | AddWatchFlags::IN_ATTRIB
                | AddWatchFlags::IN_DELETE_SELF
                | AddWatchFlags::IN_MOVE_SELF
                | AddWatchFlags::IN_DONT_FOLLOW;
            self.watch = self.inotify.add_watch(self.reader.name().path(), changes).ok();
            // What was published before the watch stood has rung no bell.
            return self.reader.read(now);
        }
        Ok(view)
    }

    /// Forgets what the doorbell said, and the watch with it when the file lost its name.
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
                        // Gone already where the file is.
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
