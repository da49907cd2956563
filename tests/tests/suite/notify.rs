//! Messages of the daemons to the service manager: sd_notify(3), to a socket as systemd's.

use dante_core::port::State;
use dante_core::{relay, steer};
use dante_tests::lab::Lab;
use dante_tests::program::Program;
use dante_tests::stage::Stage;
use dante_tests::{EVENT_TIMEOUT, wait_for};
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A service manager's socket, and the datagrams that it received, each with its time.
struct Manager {
    path: PathBuf,
    received: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Manager {
    fn new(stage: &Stage, name: &str) -> Self {
        let path = stage.folder().join(format!("{name}.notify"));
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time limit");
        let received = Arc::new(Mutex::new(Vec::new()));
        let weak = Arc::downgrade(&received);
        // The thread ends when the manager is dropped.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Some(received) = weak.upgrade() {
                match socket.recv(&mut buffer) {
                    Ok(length) => {
                        let text = String::from_utf8(buffer[..length].to_vec()).expect("UTF-8");
                        received.lock().expect("a list").push((Instant::now(), text));
                    }
                    Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
        Self { path, received }
    }

    /// Returns the assignments received so far with their times, in order.
    fn assignments(&self) -> Vec<(Instant, String)> {
        let received = self.received.lock().expect("a list").clone();
        let lines = |(at, text): &(Instant, String)| {
            let lines: Vec<_> = text.lines().map(|line| (*at, line.to_owned())).collect();
            lines
        };
        received.iter().flat_map(lines).collect()
    }

    /// Returns when `assignment` was received.
    fn times(&self, assignment: &str) -> Vec<Instant> {
        self.assignments().into_iter().filter(|(_, line)| line == assignment).map(|(at, _)| at).collect()
    }

    fn statuses(&self) -> Vec<(Instant, String)> {
        let status = |(at, line): (Instant, String)| Some((at, line.strip_prefix("STATUS=")?.to_owned()));
        self.assignments().into_iter().filter_map(status).collect()
    }

    /// Waits until the status has all of `words`.
    #[track_caller]
    fn wait_for(&self, words: &[&str]) -> String {
        let last = || self.statuses().pop().map(|(_, status)| status);
        let is_it = |status: &String| words.iter().all(|word| status.contains(word));
        let end = Instant::now() + EVENT_TIMEOUT;
        loop {
            match last().filter(is_it) {
                Some(status) => return status,
                None if Instant::now() < end => std::thread::sleep(Duration::from_millis(10)),
                None => panic!("no status with {words:?}, but {:#?}", self.assignments()),
            }
        }
    }
}

/// Starts `command` as the service manager does.
fn start(stage: &Stage, manager: &Manager, name: &str, mut command: Command) -> Program {
    command.env("NOTIFY_SOCKET", &manager.path);
    // These tests may run in a service themselves.
    for inherited in ["SYSTEMD_EXEC_PID", "WATCHDOG_PID"] {
        if !command.get_envs().any(|(name, _)| name == inherited) {
            command.env_remove(inherited);
        }
    }
    stage.start(name, command)
}

#[test]
fn daemons_report_state_to_service_manager() {
    let Some(lab) = Lab::new() else { return };
    let stage = &lab.stage;
    let managers = ["dante4l", "dante2sys", "danteshm"].map(|name| Manager::new(stage, name));
    let [for_dante4l, for_dante2sys, for_danteshm] = &managers;
    let unit = format!("--shm={}", stage.unit());
    let start_ready = |name: &str, manager: &Manager, words: &[&str]| {
        let program = start(stage, manager, name, lab.command(name, words));
        wait_for("READY=1", EVENT_TIMEOUT, || manager.times("READY=1").first().copied());
        program
    };

    // From the end of the chain to its start: the status states what the program waits for.
    let danteshm = start_ready("danteshm", for_danteshm, &[&unit, "--epoch=now"]);
    for_danteshm.wait_for(&[
        &format!("SHM unit {}", stage.unit()),
        "waiting: dante4l's clock page is missing or rejected",
    ]);
    let dante2sys = start_ready("dante2sys", for_dante2sys, &["--clock=virtual"]);
    for_dante2sys.wait_for(&[
        "WAITING: /dev/shm/",
        "does not exist: dante4l is not running",
        "clock virtual",
    ]);
    let dante4l = start_ready("dante4l", for_dante4l, &["-i", "veth0"]);
    for_dante4l.wait_for(&["LISTENING on veth0: no packets yet"]);
    for_dante2sys.wait_for(&["WAITING: dante4l has no leader yet (it is LISTENING)"]);

    let leader = lab.leader(&["--ppm=12"]);
    let status = for_dante4l.wait_for(&["SLAVE of ", " on veth0, rate +", " ppm"]);
    let name = status.trim_start_matches("SLAVE of ").split(' ').next().expect("a name").to_owned();
    assert_eq!(stage.status()["dante4l"]["leader"]["id"], name.split('/').next().unwrap_or_default());
    let locked = format!("LOCKED on {name}, frequency +");
    for_dante2sys.wait_for(&[&locked, " ppm, clock virtual, no UTC source: rate only"]);
    for_danteshm.wait_for(&["writing samples"]);

    leader.program.kill();
    for_dante4l.wait_for(&["LISTENING on veth0: the leader is silent"]);
    for_dante2sys.wait_for(&["HOLDOVER for ", "(dante4l is LISTENING), frequency +"]);
    for_danteshm.wait_for(&["waiting: dante4l is not locked to a leader"]);
    dante4l.stop().expect(0, &[]);
    for_dante2sys.wait_for(&["HOLDOVER for ", "dante4l was stopped"]);
    for_danteshm.wait_for(&["waiting: dante4l was stopped"]);
    dante2sys.stop().expect(0, &[]);
    danteshm.stop().expect(0, &[]);

    for manager in &managers {
        wait_for("STOPPING=1", EVENT_TIMEOUT, || manager.times("STOPPING=1").first().copied());
        manager.wait_for(&["stopped"]);
        let assignments = manager.assignments();
        let first = assignments.first().map(|(_, line)| line.as_str());
        assert_eq!(first, Some("READY=1"), "{assignments:#?}");
        let stopping = assignments.iter().position(|(_, line)| line == "STOPPING=1");
        assert_eq!(stopping, Some(assignments.len() - 2), "{assignments:#?}");
        assert!(manager.times("WATCHDOG=1").is_empty(), "no watchdog is configured");
        // No status is sent twice in a row.
        let mut statuses = manager.statuses();
        statuses.dedup_by(|(_, next), (_, before)| next == before);
        assert_eq!(statuses.len(), manager.statuses().len(), "{:#?}", manager.statuses());
    }
}

#[test]
fn status_names_ntp_server_without_response() {
    let stage = Stage::new();
    let manager = Manager::new(&stage, "dante2sys");
    // This socket never answers.
    let silent = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
    let server = silent.local_addr().expect("its address").to_string();
    let command = stage.command("dante2sys", &["--clock=virtual", "--ntp-server", &server]);
    let program = start(&stage, &manager, "dante2sys", command);
    manager.wait_for(&["WAITING: ", &format!(", no UTC from an NTP server yet; NTP server {server}: ")]);
    program.stop().expect(0, &[]);
}

/// The daemons send WATCHDOG=1 from their main loop at half of WATCHDOG_USEC.
#[test]
fn watchdog_messages_are_sent_at_half_the_interval() {
    let stage = Stage::new();
    let unit = format!("--shm={}", stage.unit());
    let programs: [(&str, &[&str]); 3] =
        [("dante4l", &["-i", "nosuch0"]), ("dante2sys", &["--clock=virtual"]), ("danteshm", &[&unit])];
    for (name, words) in programs {
        let manager = Manager::new(&stage, name);
        let mut command = stage.command(name, words);
        command.env("WATCHDOG_USEC", "1200000");
        let program = start(&stage, &manager, name, command);
        wait_for("WATCHDOG=1 six times", EVENT_TIMEOUT, || manager.times("WATCHDOG=1").get(5).copied());
        program.stop().expect(0, &[]);
        let times = manager.times("WATCHDOG=1");
        let apart: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        let mean = apart.iter().sum::<f64>() / apart.len() as f64;
        let shortest = apart.iter().copied().fold(f64::INFINITY, f64::min);
        println!("{name}: WATCHDOG=1 each {mean:.3} s, the shortest interval {shortest:.3} s");
        // A busy machine delays a message and sends none early. Without a watchdog the loop wakes up once a second.
        assert!(mean > 0.5 && shortest < 0.9, "{apart:?}");
    }
}

/// A program that the environment does not name (WATCHDOG_PID, SYSTEMD_EXEC_PID) sends nothing of the kind.
#[test]
fn notifies_only_as_the_process_that_the_environment_names() {
    let stage = Stage::new();
    let own = std::process::id().to_string();
    for (variable, others) in
        [("WATCHDOG_PID", &["WATCHDOG=1"][..]), ("SYSTEMD_EXEC_PID", &["WATCHDOG=1", "READY=1"])]
    {
        let manager = Manager::new(&stage, variable);
        let mut command = stage.command("dante2sys", &["--clock=virtual"]);
        command.env("WATCHDOG_USEC", "100000").env(variable, &own);
        let program = start(&stage, &manager, variable, command);
        stage.wait_for("dante2sys", "page", "fresh", EVENT_TIMEOUT);
        std::thread::sleep(Duration::from_millis(500));
        program.stop().expect(0, &[]);
        for assignment in others {
            assert!(manager.times(assignment).is_empty(), "{variable}: {:#?}", manager.assignments());
        }
        let is_empty = manager.assignments().is_empty();
        assert_eq!(is_empty, variable == "SYSTEMD_EXEC_PID", "{:#?}", manager.assignments());
    }
}

/// A program that cannot start sends the reason, which `systemctl status` shows.
#[test]
fn status_states_why_the_program_ended() {
    let stage = Stage::new();
    let manager = Manager::new(&stage, "dante4l");
    let command = stage.command("dante4l", &["-i", "nosuch0", "--no-wait"]);
    start(&stage, &manager, "dante4l", command).ended(EVENT_TIMEOUT).expect(5, &[]);
    manager.wait_for(&["no network interface nosuch0"]);
    assert!(manager.times("READY=1").is_empty(), "{:#?}", manager.assignments());
    let waits = start(&stage, &manager, "dante4l", stage.command("dante4l", &["-i", "nosuch0"]));
    manager.wait_for(&["INITIALIZING, waiting for interface nosuch0: ", "there are: lo"]);
    waits.stop().expect(0, &[]);
    manager.wait_for(&["stopped"]);
}

#[test]
fn missing_notify_socket_does_not_end_daemons() {
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
    let mut readers = lab.readers();
    readers.wait_for_port(State::Slave, EVENT_TIMEOUT);
    readers.wait_for_steerer(steer::State::Locked, EVENT_TIMEOUT);
    readers.wait_for_relay(relay::State::Feeding, EVENT_TIMEOUT);
    for program in programs {
        let ended = program.stop();
        ended.expect(0, &["cannot notify the service manager", "nowhere"]);
        assert_eq!(
            ended.output.matches("cannot notify the service manager").count(),
            1,
            "logged again: {}",
            ended.output
        );
    }
}

/// The environment of a unit is inherited by the programs that its own program starts.
#[test]
fn pmc_lite_notifies_only_as_the_process_that_the_environment_names() {
    let stage = Stage::new();
    let manager = Manager::new(&stage, "others");
    let instance = format!("--instance={}", stage.instance());
    let commands: [&[&str]; 2] =
        [&["wait", "--for=while-utc", &instance], &["metrics", "--listen=127.0.0.1:0", &instance]];
    for words in commands {
        let mut command = stage.command("pmc-lite", words);
        command.env("SYSTEMD_EXEC_PID", std::process::id().to_string());
        let program = start(&stage, &manager, words[0], command);
        let message = if words[0] == "wait" { "waiting" } else { "serving metrics" };
        program.wait_for_output(message, EVENT_TIMEOUT);
        program.stop();
        // The socket keeps the order: a notification of the program would be received before this one.
        let end = format!("X_END={}", words[0]);
        UnixDatagram::unbound()
            .and_then(|socket| socket.send_to(end.as_bytes(), &manager.path))
            .expect("sent");
        wait_for(&end, EVENT_TIMEOUT, || manager.times(&end).first().copied());
        let received = manager.assignments();
        assert!(received.iter().all(|(_, line)| line.starts_with("X_END=")), "{words:?}: {received:#?}");
    }
    // The process that the service manager started.
    let program = start(&stage, &manager, "own", stage.command("pmc-lite", commands[1]));
    wait_for("READY=1", EVENT_TIMEOUT, || manager.times("READY=1").first().copied());
    drop(program);
}

/// A service manager that does not read delays no answer; it gets READY=1 when it reads again.
#[test]
fn pmc_lite_does_not_wait_for_a_service_manager_that_does_not_read() {
    let stage = Stage::new();
    let path = stage.folder().join("full.notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let filler = UnixDatagram::unbound().expect("a socket");
    filler.set_nonblocking(true).expect("a flag");
    while filler.send_to(b"X=1", &path).is_ok() {}
    let instance = format!("--instance={}", stage.instance());
    let with = |words: &[&str]| {
        let mut command = stage.command("pmc-lite", words);
        command.arg(&instance).env("NOTIFY_SOCKET", &path).env_remove("SYSTEMD_EXEC_PID");
        stage.start(words[0], command)
    };
    with(&["wait", "--timeout=1"]).ended(EVENT_TIMEOUT).expect(1, &["not met within 1 s"]);
    let metrics = with(&["metrics", "--listen=127.0.0.1:0"]);
    metrics.wait_for_output("cannot notify the service manager", EVENT_TIMEOUT);
    socket.set_read_timeout(Some(EVENT_TIMEOUT)).expect("a time limit");
    let mut buffer = [0; 256];
    loop {
        let length = socket.recv(&mut buffer).expect("READY=1");
        if buffer[..length].starts_with(b"READY=1") {
            break;
        }
    }
}
