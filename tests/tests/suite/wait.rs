//! `pmc-lite wait` beside a page of dante2sys that the test writes: when it ends, and with which messages.

use dante_core::page::{Dante2sys, STEER_UTC_BY_HAND, STEER_UTC_SYNCHRONISED};
use dante_core::steer::{State, SteeredClock, UtcSource};
use dante_os::clock::raw_now;
use dante_os::page::PageWriter;
use dante_tests::program::Program;
use dante_tests::stage::Stage;
use dante_tests::{EVENT_TIMEOUT, wait_for};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// The page of a dante2sys that steers the system clock, LOCKED and without UTC at first.
struct SteererPage {
    page: PageWriter<Dante2sys>,
    body: Dante2sys,
}

impl SteererPage {
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

    /// Publishes the page with a heartbeat that is valid for a minute: a delayed test must not look like a killed writer.
    fn publish(&mut self) {
        self.page.publish(raw_now() + dante_core::time::Duration::from_secs(60), &self.body);
    }

    /// Publishes the page for `span`; `program` waits all the time.
    fn expect_waiting(&mut self, program: &mut Program, span: Duration) {
        let end = Instant::now() + span;
        while Instant::now() < end {
            self.publish();
            assert!(program.runs(), "{}", program.output());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Publishes the page until `program` has ended with status 0. Returns its output.
    fn expect_end(&mut self, mut program: Program) -> String {
        wait_for("the end of pmc-lite wait", EVENT_TIMEOUT, || {
            self.publish();
            (!program.runs()).then_some(())
        });
        let ended = program.ended(EVENT_TIMEOUT);
        ended.expect(0, &[]);
        ended.output
    }
}

fn wait(stage: &Stage, goal: &str) -> Program {
    let instance = stage.instance();
    stage.start("pmc-lite", stage.command("pmc-lite", &["wait", "--for", goal, "--instance", &instance]))
}

#[test]
fn waits_for_utc_and_for_its_loss() {
    let stage = Stage::new();
    let mut good = wait(&stage, "utc");
    good.wait_for_output("not running", EVENT_TIMEOUT);
    let mut steerer = SteererPage::new(&stage);
    steerer.expect_waiting(&mut good, Duration::from_secs(1));
    good.wait_for_output("UTC is not synchronised", EVENT_TIMEOUT);
    steerer.body.flags = STEER_UTC_SYNCHRONISED;
    assert!(steerer.expect_end(good).contains("UTC is synchronised"));

    // HOLDOVER alone does not end `--for utc-lost`.
    let mut lost = wait(&stage, "utc-lost");
    steerer.expect_waiting(&mut lost, Duration::from_secs(1));
    steerer.body.state = State::Holdover as u8;
    steerer.expect_waiting(&mut lost, Duration::from_secs(1));
    steerer.body.flags = STEER_UTC_BY_HAND;
    assert!(steerer.expect_end(lost).contains("set by hand"));

    // dante2sys is killed: its page is stale after 2 s.
    steerer.body.flags = STEER_UTC_SYNCHRONISED;
    steerer.publish();
    let mut lost = wait(&stage, "utc-lost");
    steerer.expect_waiting(&mut lost, Duration::from_secs(1));
    let killed = Instant::now();
    steerer.page.publish(raw_now(), &steerer.body);
    let ended = lost.ended(EVENT_TIMEOUT);
    println!("ended {:.1} s after the last publication", killed.elapsed().as_secs_f64());
    ended.expect(0, &["dante2sys is not running"]);
}

/// In a unit of Type=notify: READY=1 once UTC is synchronised, and the end when UTC is lost.
#[test]
fn while_utc_unit_is_ready_as_long_as_utc_is_synchronised() {
    let stage = Stage::new();
    let path = stage.folder().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket as systemd's");
    manager.set_read_timeout(Some(EVENT_TIMEOUT)).expect("a time limit");
    let receive = || {
        let mut buffer = [0; 1024];
        let length = manager.recv(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..length]).trim().to_owned()
    };
    let instance = stage.instance();
    let mut command = stage.command("pmc-lite", &["wait", "--for=while-utc", "--instance", &instance]);
    command.env("NOTIFY_SOCKET", &path).env_remove("SYSTEMD_EXEC_PID");
    let mut unit = stage.start("pmc-lite", command);
    assert!(receive().contains("dante2sys is not running"));
    let mut steerer = SteererPage::new(&stage);
    steerer.expect_waiting(&mut unit, Duration::from_secs(1));
    // Messages before the page is complete.
    let is_early = |message: &str| {
        ["is not running", "is not complete", "is empty"].iter().any(|part| message.contains(part))
    };
    let status = std::iter::repeat_with(&receive).find(|message| !is_early(message));
    assert_eq!(status.as_deref(), Some("STATUS=UTC is not synchronised"));
    steerer.body.flags = STEER_UTC_SYNCHRONISED;
    steerer.expect_waiting(&mut unit, Duration::from_secs(1));
    assert_eq!(receive(), "READY=1");
    assert_eq!(receive(), "STATUS=UTC is synchronised");
    steerer.body.state = State::Yielded as u8;
    assert!(steerer.expect_end(unit).contains("dante2sys is YIELDED"));
}

#[test]
fn wait_fails_after_timeout_and_for_virtual_clock() {
    let stage = Stage::new();
    let instance = stage.instance();
    let words = ["wait", "--for=utc", "--timeout=1", "--instance", &instance];
    stage.run("pmc-lite", &words).expect(1, &["not met within 1 s", "dante2sys is not running"]);
    stage
        .run("pmc-lite", &["wait", "--for=ever"])
        .expect(2, &["steered", "dante2sys", "utc", "utc-lost", "while-utc"]);
    let mut steerer = SteererPage::new(&stage);
    steerer.body.clock = SteeredClock::Virtual as u8;
    steerer.body.flags = STEER_UTC_SYNCHRONISED;
    steerer.publish();
    stage.run("pmc-lite", &words).expect(1, &["steers a virtual clock, not the system clock"]);
}
