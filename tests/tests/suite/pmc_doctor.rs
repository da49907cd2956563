//! `pmc-lite doctor` on hosts with one fault each: it names the cause and the remedy, and its last lines name what to do first.

use dante_core::port::{Channel, State};
use dante_core::printable::is_harmful;
use dante_core::wire::{PortIdentity, Uuid};
use dante_os::process::Bound;
use dante_tests::host::{DOCTOR_TIMEOUT, Host};
use dante_tests::lab::has;
use dante_tests::namespace::{CABLE, Namespace, SECOND_CABLE};
use dante_tests::pid_namespace::{PidNamespace, inner_pid};
use dante_tests::program::{Ended, built, copy};
use dante_tests::raw_sender::{RawSender, TaggedSender, sync};
use dante_tests::stage::Stage;
use dante_tests::{EVENT_TIMEOUT, skip, wait_for};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Doctor ends with status 1, and its advice what to do first has all of `words`.
#[track_caller]
fn expect_advice(ended: &Ended, words: &[&str]) {
    ended.expect(1, &["FAILURE"]);
    let (_, begin) = ended.output.split_once("Begin here:").unwrap_or_else(|| panic!("{}", ended.output));
    for word in words {
        assert!(begin.contains(word), "{word:?} is not in the advice: {}", ended.output);
    }
}

fn sysctl(namespace: &Namespace, setting: &str) {
    let done = namespace.command("sysctl").args(["-qw", setting]).status();
    assert!(done.is_ok_and(|status| status.success()), "sysctl {setting}");
}

#[test]
fn working_host_has_no_findings() {
    let Some(host) = Host::new() else { return };
    let _leader = host.lab.leader(&["--force"]);
    let _dante4l = host.start("dante4l", &["-i", CABLE]);
    let _dante2sys = host.start("dante2sys", &["--clock=virtual"]);
    host.lab.stage.wait_for("dante2sys", "state", "LOCKED", EVENT_TIMEOUT);
    let ended = host.doctor(&["--json"]);
    ended.expect(0, &[]);
    let report: Value =
        serde_json::from_str(&ended.output).unwrap_or_else(|error| panic!("{error}: {}", ended.output));
    assert_eq!(report["schema"], 2);
    let checks = report["checks"].as_array().expect("checks");
    for about in ["interface", "network", "ports", "dante4l", "clock", "dante2sys"] {
        assert!(checks.iter().any(|check| check["about"] == about), "nothing about {about}: {report:#}");
    }
    // A virtual clock is a warning.
    for check in checks.iter().filter(|check| check["about"] != "clock") {
        assert_eq!(check["level"], "ok", "{check:#}");
    }
    let output = ended.output.as_str();
    for words in
        ["veth0 is up", "receives the leader", "is a member of 224.0.1.129", "dante2sys is running: LOCKED"]
    {
        assert!(output.contains(words), "{words}: {output}");
    }
}

#[test]
fn names_wrong_interface_and_the_right_one() {
    let Some(host) = Host::new() else { return };
    host.lab.second_cable();
    let leader = host.lab.leader(&["--force"]);
    leader.truth();
    let dante4l = host.start("dante4l", &["-i", SECOND_CABLE]);
    host.lab.readers().wait_for_port(State::Listening, EVENT_TIMEOUT);
    expect_advice(&host.doctor(&[]), &["veth1 is the wrong interface", "interface = \"veth0\""]);
    drop(dante4l);
    // The configuration names an interface that does not exist.
    let file = host.lab.stage.folder().join("dante4l.toml");
    std::fs::write(&file, "[dante4l]\ninterface = \"eth7\"\n").expect("a file");
    let name = file.display().to_string();
    expect_advice(
        &host.doctor(&["-f", &name]),
        &["no network interface eth7", "was received on veth0", "interface = \"veth0\"", &name],
    );
    // The interface has no carrier.
    host.lab.far.ip(&["link", "set", SECOND_CABLE, "down"]);
    expect_advice(&host.doctor(&["-i", SECOND_CABLE]), &["veth1", "no carrier", "was received on veth0"]);
    // The configuration names no interface, so that dante4l only has to be started.
    std::fs::write(&file, "[dante4l]\n").expect("a file");
    let ended = host.doctor(&["-f", &name]);
    expect_advice(&ended, &["dante4l is not running", "systemctl start dante4l"]);
    ended.expect(1, &["interface = \"auto\": dante4l uses one of", "veth0 receives the leader"]);
}

#[test]
fn names_the_vlan_tag_of_a_leader() {
    let Some(host) = Host::new() else { return };
    let sender = TaggedSender::on(&host.lab.far, [169, 254, 61, 114].into());
    let uuid = Uuid([0, 0x1d, 0xc1, 0xa1, 0x72, 0x3c]);
    let source = PortIdentity { technology: PortIdentity::ETHERNET, uuid, port_id: 1 };
    let _dante4l = host.listening(&[]);
    let mut doctor = host.start_doctor(&[]);
    for number in 0.. {
        if !doctor.runs() {
            break;
        }
        sender.send(10, Channel::Event, &sync(source, number, false));
        std::thread::sleep(Duration::from_millis(50));
    }
    let ended = doctor.ended(DOCTOR_TIMEOUT);
    expect_advice(
        &ended,
        &[
            "PTP of the leader 00:1d:c1:a1:72:3c/1 at 169.254.61.114 arrives at veth0 with VLAN tag 10",
            "ip link add link veth0 name veth0.10 type vlan id 10",
            "untagged",
        ],
    );
    assert!(!ended.output.contains("drops"), "{}", ended.output);
}

/// dante4l and doctor may be given different names of one interface, and a label is no interface.
#[test]
fn finds_the_interface_by_all_its_names() {
    let Some(host) = Host::new() else { return };
    let near = &host.lab.near;
    near.ip(&["link", "property", "add", "dev", CABLE, "altname", "dante-network"]);
    near.ip(&["address", "add", "169.254.9.9/16", "dev", CABLE, "label", "veth0:avahi"]);
    let _leader = host.lab.leader(&["--force"]);
    let _dante4l = host.start("dante4l", &["-i", "dante-network"]);
    host.lab.readers().wait_for_port(State::Slave, EVENT_TIMEOUT);
    let words = ["veth0 is a member of 224.0.1.129", "veth0 receives the leader"];
    for names in
        [&[][..], &["-i", "veth0:avahi"], &["-i", "169.254.9.9"], &["-i", "dante-network", "-i", CABLE]]
    {
        let ended = host.doctor(names);
        ended.expect(0, &words);
        assert_eq!(ended.output.matches("veth0 is up").count(), 1, "{names:?}: {}", ended.output);
    }
    // An interface that does not exist: the label is no alternative.
    let ended = host.doctor(&["-i", "eth7"]);
    expect_advice(&ended, &["no network interface eth7", "interface = \"veth0\""]);
    assert!(!ended.output.contains("veth0:avahi"), "{}", ended.output);
}

#[test]
fn names_the_bridge_of_a_port() {
    let Some(host) = Host::new() else { return };
    let near = &host.lab.near;
    near.ip(&["link", "add", "br0", "type", "bridge"]);
    near.ip(&["link", "set", CABLE, "master", "br0"]);
    near.ip(&["link", "set", "br0", "up"]);
    let _dante4l = host.start("dante4l", &["-i", CABLE]);
    let instance = format!("--instance={}", host.lab.stage.instance());
    let status = wait_for("a finding about the port", EVENT_TIMEOUT, || {
        let output = host.start("pmc-lite", &["get", "status", &instance]).ended(DOCTOR_TIMEOUT).output;
        output.contains("a port of bridge br0").then_some(output)
    });
    assert!(status.contains("set interface = \"br0\""), "{status}");
    expect_advice(&host.doctor(&[]), &["veth0 is a port of bridge br0", "interface = \"br0\""]);
}

/// A second danteshm is the other program.
#[test]
fn names_the_program_that_has_the_path_of_a_usrvclock() {
    let Some(host) = Host::new() else { return };
    let path = format!("--usrvclock={}", host.lab.stage.folder().join("clock").display());
    let stage = Stage::new();
    let command = PidNamespace::command(&host.lab.near, built("danteshm"));
    let command = stage.with_words(command, "danteshm", &[&path, "--epoch=now"]);
    let other = host.processes.start(&stage, "danteshm", command);
    let socket = host.lab.stage.folder().join("clock");
    wait_for("the socket", EVENT_TIMEOUT, || socket.exists().then_some(()));
    let _both = host.following();
    let second = host.start("danteshm", &[&path]);
    second.wait_for_output("another program uses this socket", EVENT_TIMEOUT);
    let output = |name: &str| host.lab.stage.status()["danteshm"]["outputs"][0][name].clone();
    wait_for("its page", EVENT_TIMEOUT, || (output("delivery") == "unavailable").then_some(()));
    let name = format!("danteshm (pid {}) uses this socket", inner_pid(other.pid()));
    let ended = host.doctor(&[]);
    expect_advice(&ended, &[&name, "or choose another path"]);
    for output in [ended.output, second.output()] {
        assert!(!output.contains("chrony"), "{output}");
    }
}

#[test]
fn reports_missing_leader_and_sends_nothing() {
    let Some(host) = Host::new() else { return };
    let mut far = RawSender::on(&host.lab.far);
    // Without dante4l.
    let ended = host.doctor(&["-i", CABLE]);
    expect_advice(&ended, &["no leader on veth0", "no PTP packet received"]);
    ended.expect(1, &["dante4l is not running", "systemctl start dante4l", "UDP 319 and 320 are free"]);
    assert_eq!(far.received(), [], "doctor sent packets");
    // It does not take its own packets or those of dante4l for another device's.
    let _dante4l = host.listening(&["--delay=e2e"]);
    let ended = host.doctor(&[]);
    expect_advice(&ended, &["no leader on veth0", "no PTP packet received", "querier"]);
    ended.expect(
        1,
        &["is a member of 224.0.1.129", "the firewall lets PTP in", "only dante4l uses UDP 319 and 320"],
    );
}

#[test]
fn reports_network_with_ptpv2_only() {
    let Some(host) = Host::new() else { return };
    let _dante4l = host.listening(&[]);
    let mut sender = RawSender::on(&host.lab.far);
    // A Sync with versionPTP 2 in domain 0.
    let mut sync = [0; 44];
    sync[1] = 2;
    sync[3] = 44;
    let mut doctor = host.start_doctor(&[]);
    while doctor.runs() {
        sender.send(Channel::Event, &sync);
        std::thread::sleep(Duration::from_millis(50));
    }
    expect_advice(&doctor.ended(DOCTOR_TIMEOUT), &["veth0 receives only PTPv2", "enable PTPv1"]);
}

#[test]
fn reports_leader_in_another_subdomain() {
    let Some(host) = Host::new() else { return };
    let leader = host.lab.leader(&["--force", "--subdomain=_ALT1"]);
    leader.truth();
    let _dante4l = host.listening(&[]);
    expect_advice(
        &host.doctor(&[]),
        &["in subdomain _ALT1, but _DFLT is configured", "subdomain = \"_ALT1\""],
    );
}

/// A program with chronyd's name and CAP_SYS_TIME counts as chronyd; it sets no clock. It and doctor are in a user namespace, so
/// that the dante2sys of another test does not take it for a competing clock daemon.
#[test]
fn names_competing_chronyd() {
    let Some(host) = Host::new() else { return };
    let (processes, near, stage) = (&host.processes, &host.lab.near, &host.lab.stage);
    if !processes.may_map_root(near, stage) {
        return;
    }
    let chronyd = processes.start_renamed(near, stage, ("/bin/sleep", "chronyd"), &["600"]);
    let pid = inner_pid(chronyd.pid());
    let _both = host.following();
    let words = ["doctor", &format!("--instance={}", stage.instance())];
    let doctor = processes.start_as_mapped_root(near, stage, &built("pmc-lite"), &words);
    let ended = doctor.ended(DOCTOR_TIMEOUT);
    let name = format!("chronyd (pid {}) steers the system clock", pid);
    let stop = format!("kill {}; systemctl enable --now dante2sys", pid);
    expect_advice(
        &ended,
        &[&name, &stop, "or to steer with chrony and Dante as a reference clock", "danteshm"],
    );
}

#[test]
fn distinguishes_killed_from_stopped_dante4l() {
    let Some(host) = Host::new() else { return };
    let (_leader, dante4l) = host.following();
    let is_stale = || (host.lab.stage.status()["dante4l"]["page"] == "stale").then_some(());
    dante4l.signal(Signal::SIGSTOP);
    wait_for("a stale page", EVENT_TIMEOUT, is_stale);
    expect_advice(&host.doctor(&[]), &["hangs or is stopped", "systemctl restart dante4l"]);
    dante4l.signal(Signal::SIGCONT);
    dante4l.kill();
    wait_for("a stale page", EVENT_TIMEOUT, is_stale);
    let ended = host.doctor(&[]);
    expect_advice(&ended, &["dante4l died", "is gone", "systemctl restart dante4l", "journalctl -u dante4l"]);
    ended.expect(1, &["veth0 receives the leader"]);
}

#[test]
fn names_strict_rp_filter_and_missing_route() {
    let Some(host) = Host::new() else { return };
    // The leader has a link-local address, as a device without DHCP.
    host.lab.far.ip(&["address", "flush", "dev", CABLE]);
    host.lab.far.ip(&["address", "add", "169.254.61.114/16", "dev", CABLE]);
    sysctl(&host.lab.near, "net.ipv4.conf.veth0.rp_filter=1");
    let _leader = host.lab.leader(&["--force"]);
    let _dante4l = host.listening(&[]);
    expect_advice(
        &host.doctor(&[]),
        &["rp_filter is strict on veth0", "169.254.61.114", "ip route add 169.254.0.0/16 dev veth0"],
    );
    // The remedy works.
    host.lab.near.ip(&["route", "add", "169.254.0.0/16", "dev", CABLE]);
    host.lab.readers().wait_for_port(State::Slave, EVENT_TIMEOUT);
    let output = host.doctor(&[]).output;
    assert!(output.contains("rp_filter is strict on veth0, and lets PTP in"), "{output}");
}

#[test]
fn names_firewall_rule_and_the_exception_to_add() {
    let Some(host) = Host::new() else { return };
    if !has("nft") {
        return skip("nft is not installed");
    }
    let nft = |rules: &str| {
        let file = host.lab.stage.folder().join("rules.nft");
        std::fs::write(&file, rules).expect("a file");
        let done = host.lab.near.command("nft").arg("-f").arg(&file).status();
        assert!(done.is_ok_and(|status| status.success()), "nft: {rules}");
    };
    let _leader = host.lab.leader(&["--force"]);
    let input = "table inet host { chain incoming { type filter hook input priority 0\npolicy";
    nft(&format!("{input} drop\nct state established accept\nudp dport 123 accept\n}}\n}}\n"));
    let _dante4l = host.listening(&[]);
    let remedy = "nft insert rule inet host incoming iifname veth0 udp dport 319-320 accept";
    expect_advice(
        &host.doctor(&[]),
        &["the firewall drops UDP 319 on veth0, by the policy of chain inet host incoming", remedy],
    );
    // A rule against one port.
    nft(&format!("flush ruleset\n{input} accept\nudp dport 320 drop\n}}\n}}\n"));
    host.lab.readers().wait_for_port(State::Uncalibrated, EVENT_TIMEOUT);
    let ended = host.doctor(&[]);
    expect_advice(
        &ended,
        &["the firewall drops UDP 320 on veth0, by a rule of chain inet host incoming", remedy],
    );
    ended.expect(1, &["Follow_Ups of the leader", "this host drops them"]);
    // The remedy works.
    let words: Vec<&str> = remedy.split(' ').skip(1).collect();
    let done = host.lab.near.command("nft").args(words).status();
    assert!(done.is_ok_and(|status| status.success()), "{remedy}");
    host.lab.readers().wait_for_port(State::Slave, EVENT_TIMEOUT);
}

#[test]
fn names_process_that_holds_the_port() {
    let Some(host) = Host::new() else { return };
    let _leader = host.lab.leader(&["--force"]);
    // std sets no SO_REUSEADDR on UDP sockets. The only process that has this socket is a `sleep` in the PID namespace.
    let socket = host.lab.near.within(|| UdpSocket::bind(("0.0.0.0", 319)).expect("a free port"));
    let mut holder = Command::new("sleep");
    holder.arg("600").stdin(OwnedFd::from(socket));
    let holder = host.processes.within(|| Bound::spawn(&mut holder).expect("sleep"));
    let own = format!("sleep (pid {}) uses UDP 319", inner_pid(holder.id()));
    let ended = host.doctor(&["-i", CABLE]);
    expect_advice(&ended, &[&own, "dante4l cannot open its sockets", "stop it"]);
}

/// Every user chooses the names of the own processes: this one clears the screen, and continues on a line that looks like a finding.
#[test]
fn name_of_a_process_reaches_the_terminal_escaped() {
    const NAME: &str = "\u{1b}[2J\nok  forged";
    let Some(host) = Host::new() else { return };
    let program = host.lab.stage.folder().join(NAME);
    copy(Path::new("/bin/sleep"), &program);
    let socket = host.lab.near.within(|| UdpSocket::bind(("0.0.0.0", 319)).expect("a free port"));
    let [user, group] = ["--reuid", "--regid"].map(|flag| format!("{flag}={}", dante_tests::NOBODY));
    let mut holder = Command::new("setpriv");
    holder.args([&user, &group, "--clear-groups"]).arg(&program).arg("600").stdin(OwnedFd::from(socket));
    let holder = host.processes.within(|| Bound::spawn(&mut holder).expect("setpriv"));
    let comm = format!("/proc/{}/comm", holder.id());
    let is_named = || std::fs::read_to_string(&comm).is_ok_and(|name| name.starts_with(NAME));
    wait_for("the name", EVENT_TIMEOUT, || is_named().then_some(()));
    for words in [&["-i", CABLE][..], &["-i", CABLE, "--json"]] {
        let ended = host.doctor(words);
        ended.expect(1, &["[2J", "ok  forged (pid ", "uses UDP 319"]);
        let harmful: Vec<char> = ended.output.chars().filter(|c| is_harmful(*c) && *c != '\n').collect();
        assert_eq!(harmful, [], "{}", ended.output);
        assert!(!ended.output.lines().any(|line| line.starts_with("ok  forged")), "{}", ended.output);
    }
}

#[test]
fn unprivileged_doctor_names_missing_capability() {
    let Some(host) = Host::new() else { return };
    let _dante4l = host.listening(&[]);
    let instance = format!("--instance={}", host.lab.stage.instance());
    let prefix = host.lab.stage.unprivileged("pmc-lite");
    let mut command = PidNamespace::command(&host.lab.near, &prefix[0]);
    command.args(&prefix[1..]).args(["doctor", &instance, "-i", CABLE]);
    let ended = host.processes.start(&host.lab.stage, "doctor", command).ended(DOCTOR_TIMEOUT);
    ended.expect(
        1,
        &[
            "cannot receive PTP on",
            "CAP_NET_BIND_SERVICE",
            "sudo pmc-lite doctor",
            "cannot determine whether",
        ],
    );
}

#[test]
fn doctor_rejects_wrong_flags() {
    let Some(host) = Host::new() else { return };
    host.doctor(&["--cable"]).expect(2, &["--cable"]);
    host.doctor(&["-f", "/nonexistent/dante4l.toml"]).expect(1, &["/nonexistent/dante4l.toml", "-i IFACE"]);
}
