//! Programs that cannot start report the reason in one sentence, and end with the exit status that the help documents.

use dante_core::port::State;
use dante_core::printable::printable_styled;
use dante_tests::lab::{Lab, proc_status};
use dante_tests::namespace::CABLE;
use dante_tests::pid_namespace::{PidNamespace, inner_pid};
use dante_tests::program::built;
use dante_tests::stage::Stage;
use dante_tests::{EVENT_TIMEOUT, NOBODY, wait_for};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::Duration;

#[test]
fn invalid_flags_are_reported_with_the_valid_values() {
    let stage = Stage::new();
    let long = &format!("/run/{}", "x".repeat(103));
    let cases: [(&str, &[&str], &[&str]); 24] = [
        ("dante4l", &["-i", "auto", "-i", "lo"], &["-i auto", "alone"]),
        ("dante4l", &["--no-such-flag"], &["--no-such-flag"]),
        ("dante4l", &["-i", "lo", "--delay=p2p"], &["p2p", "none", "e2e"]),
        ("dante4l", &["-i", "lo", "--timestamping=best"], &["best", "software"]),
        ("dante4l", &["-i", "lo", "--event-port=0"], &["--event-port"]),
        ("dante4l", &["-i", "lo", "--event-port=70000"], &["70000"]),
        ("dante4l", &["-i", "lo", "--event-port=5000", "--general-port=5000"], &["must differ"]),
        ("dante4l", &["-i", "lo", "--subdomain=a-name-beyond-16-bytes"], &["--subdomain"]),
        ("dante4l", &["-i", "lo", "--instance=../etc"], &["../etc", "letters"]),
        ("dante4l", &["-i", "lo", "-l", "9"], &["9"]),
        ("dante4l", &["-f", "/nonexistent/dante4l.toml"], &["/nonexistent/dante4l.toml"]),
        ("dante2sys", &["--clock=wall"], &["wall", "virtual"]),
        ("danteshm", &["--shm=-1"], &["-1"]),
        ("danteshm", &["--shm-perm=777"], &["octal"]),
        ("danteshm", &["--usrvclock-perm=rw"], &["octal"]),
        ("danteshm", &["--epoch=later"], &["later", "synchronised", "now"]),
        ("danteshm", &["--sample-rate=0"], &["--sample-rate", "1..=8"]),
        ("danteshm", &["--sock=chrony.sock"], &["chrony.sock", "absolute"]),
        ("danteshm", &["--shm=3", "--sock=/run/x", "--sock=/run/x"], &["/run/x", "twice"]),
        ("danteshm", &["--shm=3", "--shm=3"], &["3 is named twice"]),
        ("danteshm", &["--sock", long], &["at most 107 bytes"]),
        ("pmc-lite", &["get"], &["status"]),
        ("dantesim", &["leader"], &["--interface"]),
        ("dantesim", &["leader", "-i", "lo", "--ppm=a-lot"], &["a-lot", "ppm"]),
    ];
    for (program, words, errors) in cases {
        let ended = stage.run(program, words);
        println!("{program} {}: {}", words.join(" "), ended.output.lines().next().unwrap_or_default());
        ended.expect(2, errors);
    }
    // The unit's key would be beyond 32 bits.
    stage.run("danteshm", &["--shm=4000000000"]).expect(2, &["4000000000"]);
}

/// A script may pass the name of a file or an interface that another user has chosen.
#[test]
fn words_of_the_command_line_reach_the_terminal_escaped() {
    let stage = Stage::new();
    let word = "x\u{1b}[2J\u{9b}31m\u{202e}\u{1b}[8m";
    let path = &format!("/nonexistent/{word}");
    let limit = &format!("--max-age={word}");
    let data_set = &format!("GET {word}");
    let cases: [(&[&str], i32); 12] = [
        (&["get", word], 2),
        (&[data_set], 2),
        (&["check", limit], 3),
        (&["check", word], 3),
        (&["get", "status", "--instance", word], 2),
        (&["query", "-i", word], 5),
        (&["query", "-i", "lo", word], 2),
        (&["metrics", "--output", path], 1),
        (&["log", "--seconds=1", "--output", path], 1),
        (&["plot", "--input", path, "/nonexistent/a.svg"], 1),
        (&["plot", path], 1),
        (&["wait", word], 2),
    ];
    for (words, status) in cases {
        let mut command = Command::new(built("pmc-lite"));
        // Colours as on a terminal: else all escape sequences are removed.
        command.args(words).env("CLICOLOR_FORCE", "1");
        let ended = stage.start("pmc-lite", command).ended(EVENT_TIMEOUT);
        assert_eq!(ended.code, Some(status), "{words:?}: {}", ended.output);
        assert!(ended.output.contains(r"\u{1b}[2J"), "{words:?}: {:?}", ended.output);
        assert_eq!(printable_styled(&ended.output), ended.output, "{words:?}");
    }
}

#[test]
fn unknown_key_is_reported_with_file_and_line() {
    let stage = Stage::new();
    let file = stage.folder().join("dante4l.toml");
    let name = file.display().to_string();
    std::fs::write(&file, "[dante4l]\ninterface = \"lo\"\nevent_prt = 319\n").expect("a file");
    let at = format!("{name}:3");
    for words in [&["-f", &name][..], &["--check-config", "-f", &name]] {
        stage.run("dante4l", words).expect(2, &[&at, "event_prt", "event"]);
    }
    std::fs::write(&file, "[dante4l]\ninterface = \"lo\"\n").expect("a file");
    stage.run("dante4l", &["--check-config", "-f", &name]).expect(0, &["valid"]);
}

#[test]
fn missing_interface_is_reported_with_those_that_exist() {
    let stage = Stage::new();
    let ended = stage.run("dante4l", &["-i", "nosuch0", "--no-wait"]);
    ended.expect(5, &["no network interface nosuch0", "lo", "name one of these"]);
    stage.run("dantesim", &["leader", "-i", "nosuch0"]).expect(5, &["no network interface nosuch0"]);
    assert_eq!(
        stage.status()["dante4l"]["page"],
        "absent",
        "a page was created before the interface was found"
    );
}

#[test]
fn waits_for_an_interface_and_reports_it_once() {
    let Some(lab) = Lab::new() else { return };
    lab.near.ip(&["link", "set", CABLE, "down"]);
    lab.near.ip(&["link", "set", CABLE, "name", "other0"]);
    let dante4l = lab.dante4l(&[]);
    dante4l.wait_for_output("no network interface veth0", EVENT_TIMEOUT);
    lab.stage.wait_for("dante4l", "state", "INITIALIZING", EVENT_TIMEOUT);
    let _leader = lab.leader(&["--force"]);
    std::thread::sleep(Duration::from_secs(2));
    assert!(dante4l.output().contains("waiting for it"), "{}", dante4l.output());
    assert_eq!(dante4l.output().matches("no network interface").count(), 1, "reported more than once");
    lab.near.ip(&["link", "set", "other0", "name", CABLE]);
    // The interface exists, but is down.
    dante4l.wait_for_output("is down", EVENT_TIMEOUT);
    lab.near.ip(&["link", "set", CABLE, "up"]);
    lab.readers().wait_for_port(State::Slave, EVENT_TIMEOUT);
    // The interface is renamed, and gets its name back.
    lab.near.ip(&["link", "set", CABLE, "down"]);
    lab.near.ip(&["link", "set", CABLE, "name", "other0"]);
    lab.readers().wait_for_port(State::Faulty, EVENT_TIMEOUT);
    lab.near.ip(&["link", "set", "other0", "name", CABLE]);
    lab.near.ip(&["link", "set", CABLE, "up"]);
    lab.readers().wait_for_port(State::Slave, EVENT_TIMEOUT);
}

#[test]
fn port_in_use_is_reported_with_its_purpose() {
    let Some(lab) = Lab::new() else { return };
    for (port, kind) in [(319, "event messages"), (320, "general messages")] {
        // std sets no SO_REUSEADDR on UDP sockets.
        let bind = |port| lab.near.within(|| UdpSocket::bind(("0.0.0.0", port)));
        let socket = bind(port).expect("a free port");
        let ended = lab.dante4l(&[]).ended(EVENT_TIMEOUT);
        ended.expect(3, &[&format!("UDP port {port} is in use"), "ss -ulnp", kind]);
        drop(socket);
        // A child that another test starts at this moment may hold a copy of the socket until it execs.
        wait_for("a free port again", EVENT_TIMEOUT, || bind(port).ok());
    }
}

/// dante2sys runs in a PID namespace: it first looks for competing clock daemons, which may run on this machine.
#[test]
fn missing_permission_is_reported_with_the_capability() {
    let Some(lab) = Lab::new() else { return };
    let processes = PidNamespace::new();
    let start = |program: &str, words: &[&str]| {
        let prefix = lab.stage.unprivileged(program);
        let mut command = PidNamespace::command(&lab.near, &prefix[0]);
        command.args(&prefix[1..]).args(words);
        processes.start(&lab.stage, program, command)
    };
    // First: programs that are started in this way have no capability, so that none can steer a clock.
    let mut prefix = lab.stage.unprivileged("dante2sys");
    prefix.pop();
    let mut sleeper = PidNamespace::command(&lab.near, &prefix[0]);
    sleeper.args(&prefix[1..]).args(["sleep", "60"]);
    let sleeper = processes.start(&lab.stage, "sleep", sleeper);
    sleeper.wait_for_name("sleep");
    assert_eq!(proc_status(sleeper.pid(), "Uid"), Some(u64::from(NOBODY)));
    let status = std::fs::read_to_string(format!("/proc/{}/status", sleeper.pid())).expect("its status");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(status.contains(&format!("{set}:\t0000000000000000")), "it has capabilities:\n{status}");
    }
    sleeper.kill();

    let instance = format!("--instance={}", lab.stage.instance());
    let run = |program: &str, words: &[&str]| start(program, words).ended(EVENT_TIMEOUT);
    let ended = run("dante4l", &["-i", CABLE, "-q", &instance]);
    ended.expect(4, &["UDP port 319 on veth0", "CAP_NET_BIND_SERVICE", "event messages"]);
    run("dantesim", &["leader", "-i", CABLE]).expect(4, &["UDP port 319 on veth0"]);
    let ended = run("dante2sys", &["--clock=realtime", "-q", &instance]);
    ended.expect(4, &["not permitted", "CAP_SYS_TIME"]);
}

/// The programs that dante2sys finds are copies of sleep and cat, which steer no clock. They and dante2sys run in a PID namespace and
/// a user namespace: no other program sees them, and none of them can set the clock of this machine, for which the kernel requires
/// CAP_SYS_TIME outside of user namespaces.
#[test]
fn competing_clock_daemon_is_refused_and_one_that_steers_no_clock_is_not() {
    let Some(lab) = Lab::new() else { return };
    let processes = PidNamespace::new();
    if !processes.may_map_root(&lab.near, &lab.stage) {
        return;
    }
    let fake = |program: &str, name: &str, words: &[&str]| {
        processes.start_renamed(&lab.near, &lab.stage, (program, name), words)
    };
    let instance = format!("--instance={}", lab.stage.instance());
    let dante2sys = || {
        let words = ["--clock=realtime", "-q", &instance];
        let program = built("dante2sys");
        processes.start_as_mapped_root(&lab.near, &lab.stage, &program, &words).ended(EVENT_TIMEOUT)
    };
    // cat waits in open(2) for a writer of the FIFO. With -t (for cat: show tabs) ptpd steers no clock.
    let fifo = lab.stage.folder().join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).expect("a FIFO");
    let fifo = fifo.to_str().expect("a path");

    let ptpd = fake("/bin/cat", "ptpd", &["-t", fifo]);
    dante2sys().expect(4, &["not permitted", "CAP_SYS_TIME"]);
    ptpd.kill();
    for (program, name, words) in [("/bin/cat", "ptpd", [fifo]), ("/bin/sleep", "ntpd", ["600"])] {
        let competitor = fake(program, name, &words);
        let pid = inner_pid(competitor.pid());
        dante2sys()
            .expect(3, &[&format!("{name} (pid {pid}) steers the system clock"), &format!("kill {pid}")]);
        competitor.kill();
    }
    dante2sys().expect(4, &["not permitted", "CAP_SYS_TIME"]);
}

#[test]
fn second_leader_refuses_to_start() {
    let Some(lab) = Lab::new() else { return };
    let mut first = lab.leader(&["--force"]);
    let uuid = wait_for("the leader's name", EVENT_TIMEOUT, || {
        let output = first.program.output();
        output.split(" as ").nth(1)?.split(' ').next().map(str::to_owned)
    });
    // On the other host.
    let ended =
        lab.stage.start("dantesim", lab.command("dantesim", &["leader", "-i", CABLE])).ended(EVENT_TIMEOUT);
    ended.expect(3, &[&uuid, "already leads this subdomain"]);
    assert!(first.program.runs(), "the first leader ended: the second one sent before it had listened");
}

#[test]
fn leader_refuses_force_on_a_bridge() {
    let Some(lab) = Lab::new() else { return };
    lab.near.ip(&["link", "add", "br0", "type", "bridge"]);
    lab.near.ip(&["address", "add", "10.78.0.1/24", "dev", "br0"]);
    lab.near.ip(&["link", "set", "br0", "up"]);
    let command = lab.command("dantesim", &["leader", "-i", "br0", "--force"]);
    lab.stage.start("dantesim", command).ended(EVENT_TIMEOUT).expect(3, &["--force", "br0", "audio"]);
}

#[test]
fn full_standard_error_does_not_change_the_exit_status() {
    let cases: [(&str, &[&str], i32); 3] = [
        ("dante4l", &["-f", "/nonexistent/dante4l.toml"], 2),
        ("pmc-lite", &["--instance=no-such-one", "log", "--seconds=1"], 1),
        ("pmc-lite", &["--instance=no-such-one", "wait", "--timeout=1"], 1),
    ];
    for (program, words, status) in cases {
        let full = File::options().write(true).open("/dev/full").expect("/dev/full");
        let ended = Command::new(built(program)).args(words).stderr(full).output().expect(program);
        assert_eq!(ended.status.code(), Some(status), "{program} {words:?}");
    }
}

/// Every command that prints an answer: one that is lost must not look like a success. `check` reports UNKNOWN.
#[test]
fn answer_that_is_lost_is_reported_and_closed_pipe_is_not() {
    let stage = Stage::new();
    let cases: [(&[&str], i32); 13] = [
        (&["get", "status"], 1),
        (&["get", "status", "--json"], 1),
        (&["get", "leader"], 1),
        (&["get", "port", "--json"], 1),
        (&["get", "counters", "--json"], 1),
        (&["get", "samples"], 1),
        (&["GET CURRENT_DATA_SET"], 1),
        (&["metrics"], 1),
        (&["metrics", "--format=prometheus"], 1),
        (&["check"], 3),
        (&["check", "--no-such-flag"], 3),
        (&["doctor", "-i", "lo"], 1),
        (&["--help"], 1),
    ];
    let run = |words: &[&str], out: File| {
        let mut command = stage.command("pmc-lite", words);
        if !words.contains(&"--help") {
            command.args(["--instance", &stage.instance()]);
        }
        command.stdout(out).output().expect("pmc-lite")
    };
    for (words, status) in cases {
        let ended = run(words, File::options().write(true).open("/dev/full").expect("/dev/full"));
        let errors = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(status), "{words:?}: {errors}");
        assert!(errors.contains("cannot write standard output: No space left"), "{words:?}: {errors}");
        // Nobody reads this pipe.
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let ended = run(words, File::from(OwnedFd::from(writer)));
        let errors = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!errors.contains("cannot write"), "{words:?}: {errors}");
        assert!(!errors.contains("panicked"), "{words:?}: {errors}");
    }
    // Yes with a reader that has gone.
    for words in [&["metrics"][..], &["--help"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        assert_eq!(run(words, File::from(OwnedFd::from(writer))).status.code(), Some(0), "{words:?}");
    }
}
