//! What the daemons tell the service manager that started them: sd_notify(3), on a socket as systemd's.

use dante_core::port::State;
use dante_core::{relay, steer};
use dante_tests::lab::Lab;
use dante_tests::program::Program;
use dante_tests::stage::Stage;
use dante_tests::wait_for;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// A service manager's socket, and what came through it, each datagram with its time.
struct Manager {
    path: PathBuf,
    heard: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Manager {
    fn new(stage: &Stage, name: &str) -> Self {
        let path = stage.folder().join(format!("{name}.notify"));
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time limit");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let weak = Arc::downgrade(&heard);
        // Ends when nobody listens any more.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Some(heard) = weak.upgrade() {
                match socket.recv(&mut buffer) {
                    Ok(length) => {
                        let text = String::from_utf8(buffer[..length].to_vec()).expect("UTF-8");
                        heard.lock().expect("a list").push((Instant::now(), text));
                    }
                    Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
        Self { path, heard }
    }

    /// The assignments that came, with their times, in order.
    fn heard(&self) -> Vec<(Instant, String)> {
        let heard = self.heard.lock().expect("a list").clone();
        let lines = |(at, text): &(Instant, String)| {
            let lines: Vec<_> = text.lines().map(|line| (*at, line.to_owned())).collect();
            lines
        };
        heard.iter().flat_map(lines).collect()
    }

    /// When `assignment` came.
    fn times(&self, assignment: &str) -> Vec<Instant> {
        self.heard().into_iter().filter(|(_, line)| line == assignment).map(|(at, _)| at).collect()
    }

    fn statuses(&self) -> Vec<(Instant, String)> {
        let status = |(at, line): (Instant, String)| Some((at, line.strip_prefix("STATUS=")?.to_owned()));
        self.heard().into_iter().filter_map(status).collect()
    }

    /// Waits until the status has all of `words`.
    #[track_caller]
    fn wait_for(&self, words: &[&str]) -> String {
        let last = || self.statuses().pop().map(|(_, status)| status);
        let is_it = |status: &String| words.iter().all(|word| status.contains(word));
        let end = Instant::now() + PATIENCE;
        loop {
            match last().filter(is_it) {
                Some(status) => return status,
                None if Instant::now() < end => std::thread::sleep(Duration::from_millis(10)),
                None => panic!("no status with {words:?}, but {:#?}", self.heard()),
            }
        }
    }
}

/// Started as by the service manager.
fn started(stage: &Stage, manager: &Manager, name: &str, mut command: Command) -> Program {
    command.env("NOTIFY_SOCKET", &manager.path);
    // These tests may be run by a service themselves.
    for inherited in ["SYSTEMD_EXEC_PID", "WATCHDOG_PID"] {
        if !command.get_envs().any(|(name, _)| name == inherited) {
            command.env_remove(inherited);
        }
    }
    stage.start(name, command)
}

#[test]
fn the_daemons_tell_how_they_fare() {
    let Some(lab) = Lab::new() else { return };
    let stage = &lab.stage;
    let managers = ["dante4l", "dante2sys", "danteshm"].map(|name| Manager::new(stage, name));
    let [for_dante4l, for_dante2sys, for_danteshm] = &managers;
    let unit = format!("--shm={}", stage.unit());
    let start = |name: &str, manager: &Manager, words: &[&str]| {
        let program = started(stage, manager, name, lab.command(name, words));
        wait_for("READY=1", PATIENCE, || manager.times("READY=1").first().copied());
        program
    };

    // From the end of the chain to its beginning: each says what it waits for.
    let danteshm = start("danteshm", for_danteshm, &[&unit, "--epoch=now"]);
    for_danteshm.wait_for(&[&format!("SHM unit {}", stage.unit()), "waiting: no page of dante4l"]);
    let dante2sys = start("dante2sys", for_dante2sys, &["--clock=virtual"]);
    for_dante2sys.wait_for(&["WAITING: there is no page", "dante4l is not running", "clock virtual"]);
    let dante4l = start("dante4l", for_dante4l, &["-i", "veth0"]);
    for_dante4l.wait_for(&["LISTENING on veth0: no packets yet"]);
    for_dante2sys.wait_for(&["WAITING: dante4l has no leader yet (it is LISTENING)"]);

    let leader = lab.leader(&["--ppm=12"]);
    let said = for_dante4l.wait_for(&["SLAVE of ", " on veth0, rate +", " ppm"]);
    let name = said.trim_start_matches("SLAVE of ").split(' ').next().expect("a name").to_owned();
    assert_eq!(stage.status()["dante4l"]["leader"]["id"], name.split('/').next().unwrap_or_default());
    let locked = format!("LOCKED on {name}, frequency +");
    for_dante2sys.wait_for(&[&locked, " ppm, clock virtual, no source of the date: rate only"]);
    for_danteshm.wait_for(&["a sample for each Sync"]);

    leader.program.kill();
    for_dante4l.wait_for(&["LISTENING on veth0: the leader is silent"]);
    for_dante2sys.wait_for(&["HOLDOVER for ", "(dante4l is LISTENING), frequency +"]);
    for_danteshm.wait_for(&["waiting: dante4l has no leader"]);
    dante4l.stop().expect(0, &[]);
    for_dante2sys.wait_for(&["HOLDOVER for ", "dante4l was stopped"]);
    for_danteshm.wait_for(&["waiting: dante4l was stopped"]);
    dante2sys.stop().expect(0, &[]);
    danteshm.stop().expect(0, &[]);

    for manager in &managers {
        wait_for("STOPPING=1", PATIENCE, || manager.times("STOPPING=1").first().copied());
        manager.wait_for(&["stopped"]);
        let heard = manager.heard();
        let first = heard.first().map(|(_, line)| line.as_str());
        assert_eq!(first, Some("READY=1"), "{heard:#?}");
        let stopping = heard.iter().position(|(_, line)| line == "STOPPING=1");
        assert_eq!(stopping, Some(heard.len() - 2), "{heard:#?}");
        assert!(manager.times("WATCHDOG=1").is_empty(), "it was not asked for");
        // Each tells something else than the one before.
        let mut statuses = manager.statuses();
        statuses.dedup_by(|(_, next), (_, told)| next == told);
        assert_eq!(statuses.len(), manager.statuses().len(), "{:#?}", manager.statuses());
    }
}

/// What keeps the date from being known stands in the line too.
#[test]
fn a_time_server_that_does_not_answer() {
    let stage = Stage::new();
    let manager = Manager::new(&stage, "dante2sys");
    // Nobody listens there.
    let command = stage.command("dante2sys", &["--clock=virtual", "--ntp-server=127.0.0.1:9"]);
    let program = started(&stage, &manager, "dante2sys", command);
    manager.wait_for(&["WAITING: ", ", no time server has told the date yet; NTP server 127.0.0.1:9: "]);
    program.stop().expect(0, &[]);
}

/// A sign of life each half of the time that is tolerated, by the loop alone, and only where it is asked for.
#[test]
fn signs_of_life() {
    let stage = Stage::new();
    let unit = format!("--shm={}", stage.unit());
    let programs: [(&str, &[&str]); 3] =
        [("dante4l", &["-i", "nosuch0"]), ("dante2sys", &["--clock=virtual"]), ("danteshm", &[&unit])];
    for (name, words) in programs {
        let manager = Manager::new(&stage, name);
        let mut command = stage.command(name, words);
        command.env("WATCHDOG_USEC", "1200000");
        let program = started(&stage, &manager, name, command);
        wait_for("signs of life", PATIENCE, || manager.times("WATCHDOG=1").get(5).copied());
        program.stop().expect(0, &[]);
        let signs = manager.times("WATCHDOG=1");
        let apart: Vec<f64> = signs.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        let mean = apart.iter().sum::<f64>() / apart.len() as f64;
        let shortest = apart.iter().copied().fold(f64::INFINITY, f64::min);
        println!("{name}: signs of life {mean:.3} s apart, at least {shortest:.3} s");
        // A machine that is busy makes one late, never early; by itself the loop would come round once a second.
        assert!(mean > 0.5 && shortest < 0.9, "{apart:?}");
    }
}

/// What is meant for another process is left to it.
#[test]
fn only_the_process_that_was_started_tells() {
    let stage = Stage::new();
    let own = std::process::id().to_string();
    for (variable, others) in
        [("WATCHDOG_PID", &["WATCHDOG=1"][..]), ("SYSTEMD_EXEC_PID", &["WATCHDOG=1", "READY=1"])]
    {
        let manager = Manager::new(&stage, variable);
        let mut command = stage.command("dante2sys", &["--clock=virtual"]);
        command.env("WATCHDOG_USEC", "100000").env(variable, &own);
        let program = started(&stage, &manager, variable, command);
        stage.wait_for("dante2sys", "page", "fresh", PATIENCE);
        std::thread::sleep(Duration::from_millis(500));
        program.stop().expect(0, &[]);
        for assignment in others {
            assert!(manager.times(assignment).is_empty(), "{variable}: {:#?}", manager.heard());
        }
        assert_eq!(manager.heard().is_empty(), variable == "SYSTEMD_EXEC_PID", "{:#?}", manager.heard());
    }
}

/// A program that cannot start says why: `systemctl status` shows it.
#[test]
fn why_it_ended() {
    let stage = Stage::new();
    let manager = Manager::new(&stage, "dante4l");
    let ended =
        started(&stage, &manager, "dante4l", stage.command("dante4l", &["-i", "nosuch0", "--no-wait"]));
    ended.ended(PATIENCE).expect(5, &[]);
    manager.wait_for(&["no network interface nosuch0"]);
    assert!(manager.times("READY=1").is_empty(), "{:#?}", manager.heard());
    let waits = started(&stage, &manager, "dante4l", stage.command("dante4l", &["-i", "nosuch0"]));
    manager.wait_for(&["INITIALIZING, waiting for interface nosuch0: ", "there are: lo"]);
    waits.stop().expect(0, &[]);
    manager.wait_for(&["stopped"]);
}

#[test]
fn a_socket_that_is_not_there_is_no_reason_to_end() {
    let Some(lab) = Lab::new() else { return };
    let nowhere = lab.stage.folder().join("nowhere");
    let start = |name: &str, words: &[&str]| {
        let mut command = lab.command(name, words);
        command.env("NOTIFY_SOCKET", &nowhere).env("WATCHDOG_USEC", "1000000");
        lab.stage.start(name, command)
    };
    let programs = [
        start("dante4l", &["-i", "veth0"]),
        start("dante2sys", &["--clock=virtual"]),
        start("danteshm", &["--epoch=now", &format!("--shm={}", lab.stage.unit())]),
    ];
    let _leader = lab.leader(&["--ppm=12"]);
    let mut eyes = lab.eyes();
    eyes.wait_for_port(State::Slave, PATIENCE);
    eyes.wait_for_steerer(steer::State::Locked, PATIENCE);
    eyes.wait_for_relay(relay::State::Feeding, PATIENCE);
    for program in programs {
        let ended = program.stop();
        ended.expect(0, &["the service manager cannot be told", "nowhere"]);
        assert_eq!(ended.said.matches("cannot be told").count(), 1, "said over and over: {}", ended.said);
    }
}
