//! `pmc-lite doctor` on hosts with one thing in their way: its line names the cause and the remedy, and the last lines where to begin.

use dante_core::port::{Channel, State};
use dante_tests::lab::{Lab, has};
use dante_tests::namespace::{CABLE, Namespace, SECOND_CABLE};
use dante_tests::program::{Ended, Program, built};
use dante_tests::stranger::Stranger;
use dante_tests::{skip, wait_for};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(40);

fn command(lab: &Lab, words: &[&str]) -> Command {
    let instance = format!("--instance={}", lab.stage.instance());
    let mut command = lab.command("pmc-lite", &[&["doctor"], words].concat());
    command.arg(instance);
    command
}

fn start(lab: &Lab, words: &[&str]) -> Program {
    lab.stage.start("doctor", command(lab, words))
}

fn doctor(lab: &Lab, words: &[&str]) -> Ended {
    start(lab, words).ended(PATIENCE)
}

/// What it advises to begin with, and what it says of a part of the way.
#[track_caller]
fn begins_with(ended: &Ended, words: &[&str]) {
    ended.expect(1, &["FAILURE"]);
    let (_, begin) = ended.said.split_once("Begin here:").unwrap_or_else(|| panic!("{}", ended.said));
    for word in words {
        assert!(begin.contains(word), "{word:?} is not where to begin: {}", ended.said);
    }
}

/// dante4l, as soon as it listens.
fn listening(lab: &Lab, words: &[&str]) -> Program {
    let dante4l = lab.dante4l(words);
    lab.eyes().wait_for_port(State::Listening, PATIENCE);
    dante4l
}

fn sysctl(host: &Namespace, setting: &str) {
    let done = host.command("sysctl").args(["-qw", setting]).status();
    assert!(done.is_ok_and(|status| status.success()), "sysctl {setting}");
}

#[test]
fn nothing_is_in_the_way_of_a_host_that_follows() {
    let Some(lab) = Lab::new() else { return };
    let _leader = lab.leader(&["--force"]);
    let _dante4l = lab.dante4l(&[]);
    let _dante2sys = lab.dante2sys();
    lab.stage.wait_for("dante2sys", "state", "LOCKED", PATIENCE);
    let ended = doctor(&lab, &["--json"]);
    ended.expect(0, &[]);
    let report: Value =
        serde_json::from_str(&ended.said).unwrap_or_else(|error| panic!("{error}: {}", ended.said));
    assert_eq!(report["schema"], 2);
    let checks = report["checks"].as_array().expect("checks");
    for about in ["interface", "network", "ports", "dante4l", "clock", "dante2sys"] {
        assert!(checks.iter().any(|check| check["about"] == about), "nothing about {about}: {report:#}");
    }
    let of_us = |check: &&Value| check["about"] != "clock";
    for check in checks.iter().filter(of_us) {
        assert_eq!(check["level"], "ok", "{check:#}");
    }
    let said = ended.said.as_str();
    for words in ["veth0 is up", "hears the leader", "is a member of 224.0.1.129", "dante2sys runs, LOCKED"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn the_wrong_interface() {
    let Some(lab) = Lab::new() else { return };
    lab.second_cable();
    let leader = lab.leader(&["--force"]);
    leader.truth();
    let dante4l = lab.start("dante4l", &["-i", SECOND_CABLE]);
    lab.eyes().wait_for_port(State::Listening, PATIENCE);
    begins_with(&doctor(&lab, &[]), &["veth1 is the wrong interface", "interface = \"veth0\""]);
    drop(dante4l);
    // One that is not there, as the configuration names it.
    let file = lab.stage.folder().join("dante4l.toml");
    std::fs::write(&file, "[dante4l]\ninterface = \"eth7\"\n").expect("a file");
    let name = file.display().to_string();
    begins_with(
        &doctor(&lab, &["-f", &name]),
        &["no network interface eth7", "is heard on veth0", "interface = \"veth0\"", &name],
    );
    // And one without a cable.
    lab.far.ip(&["link", "set", SECOND_CABLE, "down"]);
    begins_with(&doctor(&lab, &["-i", SECOND_CABLE]), &["veth1", "no carrier", "is heard on veth0"]);
    // Nobody named one.
    std::fs::write(&file, "[dante4l]\n").expect("a file");
    let said = doctor(&lab, &["-f", &name]).said;
    assert!(said.contains("a leader is heard on veth0: interface = \"veth0\""), "{said}");
}

#[test]
fn no_leader() {
    let Some(lab) = Lab::new() else { return };
    let mut far = Stranger::on(&lab.far);
    // Alone it sends nothing.
    let said = doctor(&lab, &["-i", CABLE]);
    begins_with(&said, &["no leader on veth0", "nothing that speaks PTP"]);
    said.expect(1, &["dante4l is not running", "systemctl start dante4l", "UDP 319 and 320 are free"]);
    assert_eq!(far.heard(), [], "it sent something");
    // Nor does it hear itself or dante4l.
    let _dante4l = listening(&lab, &["--delay=e2e"]);
    let said = doctor(&lab, &[]);
    begins_with(&said, &["no leader on veth0", "nothing that speaks PTP", "querier"]);
    said.expect(
        1,
        &["is a member of 224.0.1.129", "the firewall lets PTP in", "UDP 319 and 320 are dante4l's alone"],
    );
}

#[test]
fn ptpv2_only() {
    let Some(lab) = Lab::new() else { return };
    let _dante4l = listening(&lab, &[]);
    let mut stranger = Stranger::on(&lab.far);
    // versionPTP 2, domain 0, a Sync.
    let mut sync = [0; 44];
    sync[1] = 2;
    sync[3] = 44;
    let mut doctor = start(&lab, &[]);
    while doctor.runs() {
        stranger.say(Channel::Event, &sync);
        std::thread::sleep(Duration::from_millis(50));
    }
    begins_with(&doctor.ended(PATIENCE), &["veth0 hears PTPv2 only", "enable PTPv1"]);
}

#[test]
fn another_subdomain() {
    let Some(lab) = Lab::new() else { return };
    let leader = lab.leader(&["--force", "--subdomain=_ALT1"]);
    leader.truth();
    let _dante4l = listening(&lab, &[]);
    begins_with(&doctor(&lab, &[]), &["in subdomain _ALT1, and _DFLT is followed", "subdomain = \"_ALT1\""]);
}

/// A name and a right are all that it takes to be taken for chronyd: no clock is touched. Both are in a user namespace, so that
/// no other test's dante2sys sees a competitor in it.
#[test]
fn chronyd_steers_the_clock() {
    let Some(lab) = Lab::new() else { return };
    let within = |program: &Path| {
        let mut command = lab.near.command("unshare");
        command.arg("--map-root-user").arg(program);
        command
    };
    if !within(Path::new("true")).status().is_ok_and(|status| status.success()) {
        return skip("there are no user namespaces to be had");
    }
    let copy = lab.stage.folder().join("chronyd");
    dante_tests::program::copy(Path::new("/bin/sleep"), &copy);
    let mut sleep = within(&copy);
    sleep.arg("600");
    let chronyd = lab.stage.start("chronyd", sleep);
    let _both = lab.following(&["--force"], &[]);
    let mut doctor = within(&built("pmc-lite"));
    doctor.args(["doctor", &format!("--instance={}", lab.stage.instance())]);
    let ended = lab.stage.start("doctor", doctor).ended(PATIENCE);
    let name = format!("chronyd (pid {}) steers the system clock", chronyd.pid());
    let stop = format!("kill {}; systemctl enable --now dante2sys", chronyd.pid());
    begins_with(&ended, &[&name, &stop, "or chrony, with Dante as a reference", "danteshm"]);
}

#[test]
fn dante4l_is_dead_or_hangs() {
    let Some(lab) = Lab::new() else { return };
    let (_leader, dante4l) = lab.following(&["--force"], &[]);
    let is_stale = || (lab.stage.status()["dante4l"]["page"] == "stale").then_some(());
    dante4l.signal(Signal::SIGSTOP);
    wait_for("a stale page", PATIENCE, is_stale);
    begins_with(&doctor(&lab, &[]), &["hangs or is stopped", "systemctl restart dante4l"]);
    dante4l.signal(Signal::SIGCONT);
    dante4l.kill();
    wait_for("a stale page", PATIENCE, is_stale);
    let ended = doctor(&lab, &[]);
    begins_with(&ended, &["dante4l died", "is gone", "systemctl restart dante4l", "journalctl -u dante4l"]);
    ended.expect(1, &["veth0 hears the leader"]);
}

#[test]
fn a_strict_rp_filter() {
    let Some(lab) = Lab::new() else { return };
    // As between a host with DHCP and a device without.
    lab.far.ip(&["address", "flush", "dev", CABLE]);
    lab.far.ip(&["address", "add", "169.254.61.114/16", "dev", CABLE]);
    sysctl(&lab.near, "net.ipv4.conf.veth0.rp_filter=1");
    let _leader = lab.leader(&["--force"]);
    let _dante4l = listening(&lab, &[]);
    begins_with(
        &doctor(&lab, &[]),
        &["rp_filter is strict on veth0", "169.254.61.114", "ip route add 169.254.0.0/16 dev veth0"],
    );
    // The remedy is one.
    lab.near.ip(&["route", "add", "169.254.0.0/16", "dev", CABLE]);
    lab.eyes().wait_for_port(State::Slave, PATIENCE);
    let said = doctor(&lab, &[]).said;
    assert!(said.contains("rp_filter is strict on veth0, and lets what arrives there in"), "{said}");
}

#[test]
fn a_firewall() {
    let Some(lab) = Lab::new() else { return };
    if !has("nft") {
        return skip("nft is not installed");
    }
    let nft = |rules: &str| {
        let file = lab.stage.folder().join("rules.nft");
        std::fs::write(&file, rules).expect("a file");
        let done = lab.near.command("nft").arg("-f").arg(&file).status();
        assert!(done.is_ok_and(|status| status.success()), "nft: {rules}");
    };
    let _leader = lab.leader(&["--force"]);
    let input = "table inet host { chain incoming { type filter hook input priority 0\npolicy";
    nft(&format!("{input} drop\nct state established accept\nudp dport 123 accept\n}}\n}}\n"));
    let _dante4l = listening(&lab, &[]);
    let remedy = "nft insert rule inet host incoming iifname veth0 udp dport 319-320 accept";
    begins_with(
        &doctor(&lab, &[]),
        &["the firewall drops UDP 319 on veth0, by the policy of chain inet host incoming", remedy],
    );
    // One port alone.
    nft(&format!("flush ruleset\n{input} accept\nudp dport 320 drop\n}}\n}}\n"));
    lab.eyes().wait_for_port(State::Uncalibrated, PATIENCE);
    let ended = doctor(&lab, &[]);
    begins_with(
        &ended,
        &["the firewall drops UDP 320 on veth0, by a rule of chain inet host incoming", remedy],
    );
    ended.expect(1, &["Follow_Ups of the leader", "are thrown away on this host"]);
    // The remedy is one.
    let words: Vec<&str> = remedy.split(' ').skip(1).collect();
    let done = lab.near.command("nft").args(words).status();
    assert!(done.is_ok_and(|status| status.success()), "{remedy}");
    lab.eyes().wait_for_port(State::Slave, PATIENCE);
}

#[test]
fn a_port_that_is_anothers() {
    let Some(lab) = Lab::new() else { return };
    let _leader = lab.leader(&["--force"]);
    // std sets no SO_REUSEADDR on UDP sockets. The process is this test's.
    let socket = lab.near.within(|| UdpSocket::bind(("0.0.0.0", 319)).expect("a free port"));
    let own = format!("(pid {}) has UDP 319", std::process::id());
    let ended = doctor(&lab, &["-i", CABLE]);
    begins_with(&ended, &[&own, "dante4l cannot have them", "stop it"]);
    drop(socket);
}

#[test]
fn without_rights_it_says_what_it_cannot_tell() {
    let Some(lab) = Lab::new() else { return };
    let _dante4l = listening(&lab, &[]);
    let instance = format!("--instance={}", lab.stage.instance());
    let command = lab.unprivileged("pmc-lite", &["doctor", &instance, "-i", CABLE]);
    let ended = lab.stage.start("doctor", command).ended(PATIENCE);
    ended.expect(
        1,
        &["could not be listened to", "CAP_NET_BIND_SERVICE", "sudo pmc-lite doctor", "cannot be told"],
    );
}

#[test]
fn wrong_flags_are_told() {
    let Some(lab) = Lab::new() else { return };
    doctor(&lab, &["--cable"]).expect(2, &["--cable"]);
    doctor(&lab, &["-f", "/nonexistent/dante4l.toml"]).expect(1, &["/nonexistent/dante4l.toml", "-i IFACE"]);
}
