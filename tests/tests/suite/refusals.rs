//! What cannot be done is said in one sentence, with the exit status that the help documents.

use dante_core::port::State;
use dante_tests::lab::{Lab, proc_status};
use dante_tests::namespace::CABLE;
use dante_tests::program::built;
use dante_tests::stage::Stage;
use dante_tests::wait_for;
use std::fs::File;
use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn wrong_flags() {
    let stage = Stage::new();
    let long = &format!("/run/{}", "x".repeat(103));
    let cases: [(&str, &[&str], &[&str]); 24] = [
        ("dante4l", &[], &["-i IFACE"]),
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
        ("danteshm", &["--sock=chrony.sock"], &["chrony.sock", "whole path"]),
        ("danteshm", &["--shm=3", "--sock=/run/x", "--sock=/run/x"], &["/run/x", "twice"]),
        ("danteshm", &["--shm=3", "--shm=3"], &["3 is named twice"]),
        ("danteshm", &["--sock", long], &["at most 107 bytes"]),
        ("pmc-lite", &["get"], &["status"]),
        ("dantesim", &["leader"], &["--interface"]),
        ("dantesim", &["leader", "-i", "lo", "--ppm=a-lot"], &["a-lot", "ppm"]),
    ];
    for (program, words, says) in cases {
        let ended = stage.run(program, words);
        println!("{program} {}: {}", words.join(" "), ended.said.lines().next().unwrap_or_default());
        ended.expect(2, says);
    }
    // A unit beyond the last key of System V.
    stage.run("danteshm", &["--shm=4000000000"]).expect(2, &["4000000000"]);
}

#[test]
fn wrong_configuration() {
    let stage = Stage::new();
    let file = stage.folder().join("dante4l.toml");
    let name = file.display().to_string();
    std::fs::write(&file, "[dante4l]\ninterface = \"lo\"\nevent_prt = 319\n").expect("a file");
    let at = format!("{name}:3");
    for words in [&["-f", &name][..], &["--check-config", "-f", &name]] {
        stage.run("dante4l", words).expect(2, &[&at, "event_prt", "event"]);
    }
    std::fs::write(&file, "[dante4l]\ninterface = \"lo\"\n").expect("a file");
    stage.run("dante4l", &["--check-config", "-f", &name]).expect(0, &["in order"]);
}

#[test]
fn no_such_interface() {
    let stage = Stage::new();
    let ended = stage.run("dante4l", &["-i", "nosuch0", "--no-wait"]);
    ended.expect(5, &["no network interface nosuch0", "lo", "name one of these"]);
    stage.run("dantesim", &["leader", "-i", "nosuch0"]).expect(5, &["no network interface nosuch0"]);
    assert_eq!(stage.status()["dante4l"]["page"], "absent", "it published before it knew");
}

#[test]
fn an_interface_is_waited_for() {
    let Some(lab) = Lab::new() else { return };
    lab.near.ip(&["link", "set", CABLE, "down"]);
    lab.near.ip(&["link", "set", CABLE, "name", "other0"]);
    let dante4l = lab.dante4l(&[]);
    dante4l.wait_for_output("no network interface veth0", PATIENCE);
    lab.stage.wait_for("dante4l", "state", "INITIALIZING", PATIENCE);
    let _leader = lab.leader(&["--force"]);
    std::thread::sleep(Duration::from_secs(2));
    assert!(dante4l.output().contains("waiting for it"), "{}", dante4l.output());
    assert_eq!(dante4l.output().matches("no network interface").count(), 1, "said over and over");
    lab.near.ip(&["link", "set", "other0", "name", CABLE]);
    // It is there, but down: another reason.
    dante4l.wait_for_output("is down", PATIENCE);
    lab.near.ip(&["link", "set", CABLE, "up"]);
    lab.eyes().wait_for_port(State::Slave, PATIENCE);
    // And gone again, under another number.
    lab.near.ip(&["link", "set", CABLE, "down"]);
    lab.near.ip(&["link", "set", CABLE, "name", "other0"]);
    lab.eyes().wait_for_port(State::Faulty, PATIENCE);
    lab.near.ip(&["link", "set", "other0", "name", CABLE]);
    lab.near.ip(&["link", "set", CABLE, "up"]);
    lab.eyes().wait_for_port(State::Slave, PATIENCE);
}

#[test]
fn a_port_in_use() {
    let Some(lab) = Lab::new() else { return };
    for (port, kind) in [(319, "event messages"), (320, "general messages")] {
        // std sets no SO_REUSEADDR on UDP sockets.
        let bind = |port| lab.near.within(|| UdpSocket::bind(("0.0.0.0", port)));
        let socket = bind(port).expect("a free port");
        let ended = lab.dante4l(&[]).ended(PATIENCE);
        ended.expect(3, &[&format!("UDP port {port} is taken"), "ss -ulnp", kind]);
        drop(socket);
        // A child that another test is just starting may hold it for a moment longer.
        wait_for("a free port again", PATIENCE, || bind(port).ok());
    }
}

#[test]
fn a_right_that_is_missing() {
    let Some(lab) = Lab::new() else { return };
    // First of all: what is run in this way cannot steer a clock.
    let mut prefix = lab.stage.unprivileged("dante2sys");
    prefix.pop();
    let mut sleeper = lab.near.command(&prefix[0]);
    sleeper.args(&prefix[1..]).args(["sleep", "60"]);
    let sleeper = lab.stage.start("sleep", sleeper);
    let comm = format!("/proc/{}/comm", sleeper.pid());
    wait_for("sleep itself", PATIENCE, || (std::fs::read_to_string(&comm).ok()? == "sleep\n").then_some(()));
    assert_eq!(proc_status(sleeper.pid(), "Uid"), Some(65534));
    let status = std::fs::read_to_string(format!("/proc/{}/status", sleeper.pid())).expect("its status");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(status.contains(&format!("{set}:\t0000000000000000")), "it has rights:\n{status}");
    }
    sleeper.kill();

    let run = |program: &str, words: &[&str]| {
        lab.stage.start(program, lab.unprivileged(program, words)).ended(PATIENCE)
    };
    let ended = run("dante4l", &["-i", CABLE]);
    ended.expect(4, &["UDP port 319 on veth0", "CAP_NET_BIND_SERVICE", "event messages"]);
    run("dantesim", &["leader", "-i", CABLE]).expect(4, &["UDP port 319 on veth0"]);
    run("dante2sys", &["--clock=realtime"]).expect(4, &["not permitted", "CAP_SYS_TIME"]);
}

#[test]
fn a_second_leader() {
    let Some(lab) = Lab::new() else { return };
    let mut first = lab.leader(&["--force"]);
    let uuid = wait_for("the leader's name", PATIENCE, || {
        let said = first.program.output();
        said.split(" as ").nth(1)?.split(' ').next().map(str::to_owned)
    });
    // From the other end of the cable.
    let ended =
        lab.stage.start("dantesim", lab.command("dantesim", &["leader", "-i", CABLE])).ended(PATIENCE);
    ended.expect(3, &[&uuid, "leads here already"]);
    assert!(first.program.runs(), "the second one was heard: it sent before it had listened");
}

#[test]
fn force_where_there_may_be_audio() {
    let Some(lab) = Lab::new() else { return };
    lab.near.ip(&["link", "add", "br0", "type", "bridge"]);
    lab.near.ip(&["address", "add", "10.78.0.1/24", "dev", "br0"]);
    lab.near.ip(&["link", "set", "br0", "up"]);
    let command = lab.command("dantesim", &["leader", "-i", "br0", "--force"]);
    lab.stage.start("dantesim", command).ended(PATIENCE).expect(3, &["--force", "br0", "audio"]);
}

#[test]
fn a_standard_error_that_takes_nothing_changes_no_exit_status() {
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
