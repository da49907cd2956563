//! Pages in shared memory, and what the programs do with their content.

use dante_core::page::{
    Body, Dante2sys, Dante2sysStatus, Dante4l, Dante4lStatus, Danteshm, DanteshmStatus, Form, HEAD_SIZE,
    Life, MAGIC, Shape, TAIL_SIZE, View, layout_word, tail_of,
};
use dante_core::relay::{self, Relay};
use dante_core::steer::{
    self, Clock, ClockState, Config, ExactClock, Fault, Limits, Setting, Steerer, drive,
};
use dante_core::time::{Duration, Ratio, Raw, Reading, Timestamp, VirtualClock};
use dante_core::utc::{Policy, UtcRules};
use dante_os::page::{Instance, PageName, PageReader};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};

const NOW: Timestamp<Raw> = Timestamp::from_ns(1_000_000_000_000);

/// Reads any bytes as a daemon's page, with a valid header or without. The reader rejects the page, or the programs that use it
/// survive its content. The first byte selects the page, whether the header is valid, and whether a valid header of a clock page
/// is that of another version, with any shape.
///
/// # Panics
/// If the reader rejects a page with a valid header, or a program breaks one of its rules.
pub fn page(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    match first % 6 {
        0 => _ = read::<Dante4l>(*first, rest).map(|view| follow(&view)),
        1 => {
            let view = read::<Dante2sys>(*first, rest);
            _ = view.as_ref().and_then(|view| view.body.utc_at(Timestamp::from_ns(i64::MAX)));
            _ = view.map(|view| {
                format!("{:?} {:?} {:?}", view.body.state(), view.body.key(), view.body.frequency())
            });
        }
        2 => {
            let published = read::<Danteshm>(*first, rest).and_then(|view| view.body.published_epoch());
            let relay = Relay::new(relay::Config::default(), published, Duration::ZERO);
            _ = (relay.page(), relay.status());
        }
        3 => _ = read::<Dante4lStatus>(*first, rest).map(|view| show_observer(&view.body)),
        4 => _ = read::<Dante2sysStatus>(*first, rest).map(|view| show_steerer(&view.body)),
        _ => _ = read::<DanteshmStatus>(*first, rest).map(|view| view.body.outputs().len()),
    }
}

/// Writes the bytes to the page's file, and reads the page.
fn read<B: Body>(first: u8, bytes: &[u8]) -> Option<View<B>> {
    let (good, is_other) = (first & 0x80 == 0, first & 0x40 != 0);
    let mut page = vec![0; B::SIZE];
    if good {
        let until = (NOW + Duration::from_secs(1)).ns().cast_unsigned();
        let other = if is_other && B::FORM == Form::Clock { shape_in(bytes) } else { None };
        let shape = other.unwrap_or(B::SHAPE);
        page.resize(shape.size, 0);
        let [size, array, entries] = shape.words();
        let head = [MAGIC, layout_word::<B>(), size, Life::Live.word(1), 7, until, 0, 2, array, entries];
        for (to, word) in page.chunks_exact_mut(8).zip(head) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        let tail = shape.size - TAIL_SIZE;
        page[HEAD_SIZE..tail].iter_mut().zip(bytes).for_each(|(to, byte)| *to = *byte);
        let sum = tail_of(&page);
        page[tail..].copy_from_slice(&sum.to_ne_bytes());
    } else {
        page.truncate(bytes.len());
        page.iter_mut().zip(bytes).for_each(|(to, byte)| *to = *byte);
    }
    let thread = std::thread::current().id();
    let instance = format!("fuzz-{}-{thread:?}", crate::run::name()).replace(['(', ')'], "");
    let instance: Instance = instance.parse().expect("an instance's name");
    let name = PageName::<B>::new(Some(&instance));
    let path = name.path();
    std::fs::write(path, &page).expect("a page");
    let result = PageReader::new(name.clone()).read(NOW);
    std::fs::remove_file(path).expect("the page");
    if good {
        assert!(result.is_ok(), "{:?}", result.err());
    }
    result.inspect_err(|error| assert!(!error.to_string().is_empty())).ok()
}

/// Returns a shape made from the last bytes: less than 16 KiB, with an array or without.
fn shape_in(bytes: &[u8]) -> Option<Shape> {
    let (words, _) = bytes.last_chunk::<8>()?.as_chunks::<2>();
    let [words, offset, stride, entries] =
        words.first_chunk()?.map(|word| u64::from(u16::from_le_bytes(word) % 2048));
    Shape::of_words([words * 8, (stride % 256) << 32 | offset, entries])
}

fn show_observer(body: &Dante4lStatus) {
    for port in body.ports() {
        _ = format!("{} {:?} {:?} {:?}", port.interface, port.state(), port.leader(), port.path_delay());
        _ = (port.counters().by_name().count(), port.last_sample(), port.map());
        _ = format!(
            "{:?}",
            port.foreign_leaders().first().map(|foreign| (foreign.leader.protocol(), foreign.defect()))
        );
    }
}

/// Runs danteshm's and dante2sys' engines with a page of dante4l.
fn follow(view: &View<Dante4l>) {
    _ = format!("{:?} {:?} {:?}", view.body.protocol(), view.body.sender(), view.body.path_delay());
    for every in [None, Some(Duration::from_secs(1))] {
        let config = relay::Config { rule: relay::EpochRule::Now, every };
        let mut relay = Relay::new(config, None, Duration::ZERO);
        // All samples of the second instance are new.
        for instance in [!view.instance, view.instance] {
            let view = View { instance, ..view.clone() };
            let suspended = Duration::ZERO;
            relay.handle(NOW, relay::Input::Page { dante4l: Some(&view), dante2sys: None, suspended });
            while relay.poll().is_some() {}
            _ = format!("{:?} {:?} {:?}", relay.page(), relay.status(), relay.overlay());
        }
    }
    for policy in [Policy::Step, Policy::Utc] {
        steer(policy, view);
    }
}

/// Whatever the page contains, dante2sys sets no frequency beyond its bound.
fn steer(policy: Policy, view: &View<Dante4l>) {
    let rules = UtcRules { policy, ..UtcRules::default() };
    let real = Timestamp::from_ns(1_795_000_000_000_000_000);
    let clock = VirtualClock::new(Reading { raw: NOW, real, width: Duration::ZERO });
    let mut clock = BoundedClock(ExactClock { clock, now: NOW });
    let mut steerer = Steerer::new(Config { rules, ..Config::default() }, &clock.read(), Ratio::ZERO);
    for _ in 0..4 {
        clock.0.now = clock.0.now + Duration::from_ms(250);
        drive(&mut steerer, &mut clock, steer::Input::Page(Some(view)), |_| ());
    }
}

/// How many times a frequency was set, in all pages so far: shows that the bound was tested.
static FREQUENCIES_SET: AtomicU64 = AtomicU64::new(0);

/// Returns how many times [`page`] set a clock's frequency, which is checked each time.
pub fn frequencies_set() -> u64 {
    FREQUENCIES_SET.load(Ordering::Relaxed)
}

/// A clock that panics if its frequency is set beyond the bound, or if it is stepped: there is no UTC to step it to.
struct BoundedClock(ExactClock);

impl Clock for BoundedClock {
    type Error = Infallible;

    fn read(&mut self) -> ClockState {
        self.0.read()
    }

    fn set(&mut self, setting: Setting) -> Result<Ratio, Fault<Infallible>> {
        if let Setting::Frequency(rate) = setting {
            FREQUENCIES_SET.fetch_add(1, Ordering::Relaxed);
            assert!(
                rate.is_finite() && rate.abs() <= Limits::default().frequency,
                "the frequency is set to {rate:?}"
            );
        }
        self.0.set(setting)
    }

    fn step(&mut self, by: Duration) -> Result<(), Fault<Infallible>> {
        panic!("stepped by {by:?} without UTC")
    }
}

fn show_steerer(body: &Dante2sysStatus) {
    _ = format!("{:?} {:?} {:?} {:?}", body.state(), body.policy(), body.utc(), body.epoch());
    _ = (body.rate_error(), body.phase_error());
    if let Some(line) = body.line() {
        _ = line.at(NOW);
    }
}
