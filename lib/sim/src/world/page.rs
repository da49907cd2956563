//! A clock page in memory: the bytes that the writer's body has are read as the reader's body.

use super::True;
use dante_core::page::{Body, Freshness, HEARTBEAT, Life, View};
use dante_core::time::{Raw, Timestamp};

/// The clock page of a program.
#[derive(Debug)]
pub(super) struct SimPage<B> {
    bytes: Box<[u8]>,
    life: Life,
    instance: u64,
    /// Its writer runs from this time on.
    from: True,
    heartbeat_until: Timestamp<Raw>,
    /// Number of publications.
    published: u64,
    /// The reader's last view, and the number of publications then.
    view: Box<View<B>>,
    read: u64,
}

impl<B: Body + Default> SimPage<B> {
    /// Makes a page that does not exist yet. Its writer runs from `now` on; `instance` is the instance number of its first run.
    pub(super) fn absent(instance: u64, now: True) -> Self {
        let body = B::default();
        Self {
            bytes: body.as_bytes().into(),
            life: Life::BeingMade,
            instance,
            from: now,
            heartbeat_until: Timestamp::ZERO,
            published: 0,
            view: Box::new(View { freshness: Freshness::Absent, pid: 1, instance, body }),
            read: 0,
        }
    }

    /// Publishes `body`.
    pub(super) fn publish(&mut self, now: Timestamp<Raw>, body: &B) {
        self.bytes.copy_from_slice(body.as_bytes());
        self.life = Life::Live;
        self.heartbeat_until = now + HEARTBEAT;
        self.published += 1;
    }

    /// Ends the writer regularly. Its next run, from `from` on, has another instance number.
    pub(super) fn stop(&mut self, from: True) {
        self.life = Life::Stopped;
        self.instance += 1;
        self.from = from;
    }

    pub(super) fn written_from(&self) -> True {
        self.from
    }

    /// Whether the writer runs.
    pub(super) fn is_written(&self, now: True) -> bool {
        now >= self.from
    }

    /// Returns the page as a reader gets it; `None` if it does not exist.
    pub(super) fn read(&mut self, now: Timestamp<Raw>) -> Option<&View<B>> {
        self.view.freshness = Freshness::judge(self.life, self.heartbeat_until, now);
        if self.view.freshness == Freshness::Absent {
            return None;
        }
        if self.life == Life::Live && std::mem::replace(&mut self.read, self.published) != self.published {
            self.view.instance = self.instance;
            self.view.body.as_mut_bytes().copy_from_slice(&self.bytes);
        }
        Some(&self.view)
    }

    /// Returns the instance number of the writer's run, or of its next run.
    pub(super) fn instance(&self) -> u64 {
        self.instance
    }

    /// Returns the body that a restarted writer reads; zeros if nothing was published.
    pub(super) fn body(&self) -> B {
        B::read_from_bytes(&self.bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
