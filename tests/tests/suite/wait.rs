//! `pmc-lite wait` beside a page that changes as dante2sys' does: what units hang on it see it end, and when.

use dante_core::page::{Dante2sys, STEER_UTC_BY_HAND, STEER_UTC_SYNCHRONISED};
use dante_core::steer::{State, SteeredClock, UtcSource};
use dante_os::clock::raw_now;
use dante_os::page::PageWriter;
use dante_tests::program::Program;
use dante_tests::stage::Stage;
use dante_tests::wait_for;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// dante2sys as its page shows it: it holds the system clock, and knows no date yet.
struct Shown {
    page: PageWriter<Dante2sys>,
    body: Dante2sys,
}

impl Shown {
    fn new(stage: &Stage) -> Self {
        let page = PageWriter::open(&stage.page_name(), 1).expect("a page");
        let body = Dante2sys {
            state: State::Locked as u8,
            clock: SteeredClock::Realtime as u8,
            utc_source: UtcSource::Ntp as u8,
            ..Dante2sys::default()
        };
        Self { page, body }
    }

    /// As of a minute from now: where the machine is held up, this test must not seem dead.
    fn publish(&mut self) {
        self.page.publish(raw_now() + dante_core::time::Duration::from_secs(60), &self.body);
    }

    /// Goes on as it is for so long, and sees that `program` waits all the time.
    fn see_waiting(&mut self, program: &mut Program, span: Duration) {
        let end = Instant::now() + span;
        while Instant::now() < end {
            self.publish();
            assert!(program.runs(), "{}", program.output());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Goes on as it is until `program` has ended.
    fn see_ended(&mut self, mut program: Program) -> String {
        wait_for("pmc-lite wait ended", PATIENCE, || {
            self.publish();
            (!program.runs()).then_some(())
        });
        let ended = program.ended(PATIENCE);
        ended.expect(0, &[]);
        ended.said
    }
}

fn wait(stage: &Stage, goal: &str) -> Program {
    let instance = stage.instance();
    stage.start("pmc-lite", stage.command("pmc-lite", &["wait", "--for", goal, "--instance", &instance]))
}

#[test]
fn for_a_date_to_pass_on_and_for_its_loss() {
    let stage = Stage::new();
    let mut good = wait(&stage, "utc");
    good.wait_for_output("not running", PATIENCE);
    let mut shown = Shown::new(&stage);
    shown.see_waiting(&mut good, Duration::from_secs(1));
    good.wait_for_output("not known well enough", PATIENCE);
    shown.body.flags = STEER_UTC_SYNCHRONISED;
    assert!(shown.see_ended(good).contains("the date is good"));

    // What takes nothing from a date does not end it.
    let mut lost = wait(&stage, "utc-lost");
    shown.see_waiting(&mut lost, Duration::from_secs(1));
    shown.body.state = State::Holdover as u8;
    shown.see_waiting(&mut lost, Duration::from_secs(1));
    shown.body.flags = STEER_UTC_BY_HAND;
    assert!(shown.see_ended(lost).contains("set by hand"));

    // dante2sys is killed: its page is stale after 2 s.
    shown.body.flags = STEER_UTC_SYNCHRONISED;
    shown.publish();
    let mut lost = wait(&stage, "utc-lost");
    shown.see_waiting(&mut lost, Duration::from_secs(1));
    // Its last word.
    let killed = Instant::now();
    shown.page.publish(raw_now(), &shown.body);
    let ended = lost.ended(PATIENCE);
    println!("lost {:.1} s after the last word", killed.elapsed().as_secs_f64());
    ended.expect(0, &["dante2sys is not running"]);
}

/// As a unit of Type=notify: ready while the date may be passed on, and ended with it.
#[test]
fn as_a_unit_that_is_up_meanwhile() {
    let stage = Stage::new();
    let path = stage.folder().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket as systemd's");
    manager.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let hear = || {
        let mut buffer = [0; 1024];
        let length = manager.recv(&mut buffer).expect("a word");
        String::from_utf8_lossy(&buffer[..length]).trim().to_owned()
    };
    let instance = stage.instance();
    let mut command = stage.command("pmc-lite", &["wait", "--for=while-utc", "--instance", &instance]);
    command.env("NOTIFY_SOCKET", &path);
    let mut unit = stage.start("pmc-lite", command);
    assert!(hear().contains("dante2sys is not running"));
    let mut shown = Shown::new(&stage);
    shown.see_waiting(&mut unit, Duration::from_secs(1));
    // A page that is just being made is none yet.
    let is_none =
        |word: &str| ["is not running", "is being made", "is empty"].iter().any(|it| word.contains(it));
    let why = std::iter::repeat_with(&hear).find(|word| !is_none(word));
    assert_eq!(why.as_deref(), Some("STATUS=the date is not known well enough"));
    shown.body.flags = STEER_UTC_SYNCHRONISED;
    shown.see_waiting(&mut unit, Duration::from_secs(1));
    assert_eq!(hear(), "READY=1");
    assert_eq!(hear(), "STATUS=the date is good");
    shown.body.state = State::Yielded as u8;
    assert!(shown.see_ended(unit).contains("dante2sys is YIELDED"));
}

#[test]
fn as_long_as_it_is_told() {
    let stage = Stage::new();
    let instance = stage.instance();
    let words = ["wait", "--for=utc", "--timeout=1", "--instance", &instance];
    stage.run("pmc-lite", &words).expect(1, &["not within 1 s", "dante2sys is not running"]);
    stage.run("pmc-lite", &["wait", "--for=ever"]).expect(2, &["steered", "utc", "utc-lost", "while-utc"]);
    let mut shown = Shown::new(&stage);
    shown.body.clock = SteeredClock::Virtual as u8;
    shown.body.flags = STEER_UTC_SYNCHRONISED;
    shown.publish();
    stage.run("pmc-lite", &words).expect(1, &["steers a virtual clock, and not the system clock"]);
}
