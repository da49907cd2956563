//! A program's page: what is written with `IntoBytes` is read with `FromBytes`.

use super::True;
use dante_core::page::{Body, Freshness, HEARTBEAT, Life, View};
use dante_core::time::{Raw, Timestamp};

/// One program's page.
#[derive(Debug)]
pub(super) struct SimPage<B> {
    bytes: Box<[u8]>,
    life: Life,
    instance: u64,
    /// Its writer runs from then on.
    from: True,
    heartbeat_until: Timestamp<Raw>,
    /// Counts what was published, as the doorbell does.
    published: u64,
    /// What a reader saw last, and the count then.
    view: Box<View<B>>,
    read: u64,
}

impl<B: Body + Default> SimPage<B> {
    /// There is none yet; its writer runs from `now` on, for the first time under the number `instance`.
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

    /// The writer publishes.
    pub(super) fn publish(&mut self, now: Timestamp<Raw>, body: &B) {
        self.bytes.copy_from_slice(body.as_bytes());
        self.life = Life::Live;
        self.heartbeat_until = now + HEARTBEAT;
        self.published += 1;
    }

    /// The writer ends in good order. Its next run, from then on, has another random number.
    pub(super) fn stop(&mut self, from: True) {
        self.life = Life::Stopped;
        self.instance += 1;
        self.from = from;
    }

    pub(super) fn written_from(&self) -> True {
        self.from
    }

    /// Whether its writer runs.
    pub(super) fn is_written(&self, now: True) -> bool {
        now >= self.from
    }

    /// The page as a reader finds it; `None` where there is none.
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

    /// The random number of the writer's run, or of its next one.
    pub(super) fn instance(&self) -> u64 {
        self.instance
    }

    /// The body that a writer finds that starts again; zeros where there was none.
    pub(super) fn body(&self) -> B {
        B::read_from_bytes(&self.bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
