//! Cost of the pages: a publication of dante4l at each Sync, with and without a waiting reader, and a read.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use dante_core::page::{Dante4l, Dante4lStatus};
use dante_core::time::{Duration, Raw, Timestamp};
use dante_os::daemon::random;
use dante_os::page::{Instance, PageFollower, PageName, PageReader, Publisher};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// Both pages, removed at the end.
struct Pages {
    instance: Instance,
    publisher: Publisher<Dante4l, Dante4lStatus>,
    now: Timestamp<Raw>,
    clock: Dante4l,
    status: Dante4lStatus,
}

impl Pages {
    fn new() -> Self {
        let instance: Instance = format!("bench-{:x}", random().unwrap()).parse().unwrap();
        let publisher = Publisher::open(Some(&instance), 1).unwrap();
        let (clock, status) = (Dante4l::default(), Dante4lStatus::default());
        let mut pages = Self { instance, publisher, now: Timestamp::ZERO, clock, status };
        pages.publish();
        pages
    }

    /// Publishes as at 4 Hz.
    fn publish(&mut self) {
        self.now = self.now + Duration::from_ms(250);
        self.clock.timeline += 1;
        self.publisher.publish(self.now, black_box(&self.clock), black_box(&self.status));
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        _ = std::fs::remove_file(PageName::<Dante4l>::new(Some(&self.instance)).path());
        _ = std::fs::remove_file(PageName::<Dante4lStatus>::new(Some(&self.instance)).path());
    }
}

#[divan::bench]
fn publish(bencher: Bencher<'_, '_>) {
    let mut pages = Pages::new();
    bencher.bench_local(|| pages.publish());
}

#[divan::bench]
fn publish_to_a_follower(bencher: Bencher<'_, '_>) {
    let mut pages = Pages::new();
    let mut follower = PageFollower::<Dante4l>::new(PageName::new(Some(&pages.instance)));
    follower.read(pages.now).unwrap();
    bencher.bench_local(|| pages.publish());
}

#[divan::bench]
fn read(bencher: Bencher<'_, '_>) {
    let pages = Pages::new();
    let mut reader = PageReader::<Dante4l>::new(PageName::new(Some(&pages.instance)));
    bencher.bench_local(|| reader.read(pages.now).unwrap());
}
