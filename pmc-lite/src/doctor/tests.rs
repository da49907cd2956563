//! The doctor on imitated hosts with one problem each: it finds the problem and names the remedy.

mod hostile;
mod hosts;
mod trees;

use super::*;
use crate::finding::Kind;
use crate::scenes;
use anstream::adapter::strip_str;
use dante_os::net::{LinkAddress, LinkInfo};

#[test]
fn report_of_every_host() {
    for (name, host, pages) in hosts::all() {
        insta::assert_snapshot!(name, strip_str(&Report::of(&host, &pages).to_string()).to_string());
    }
}

#[test]
fn report_of_every_scene() {
    let report = |pages: &Pages| strip_str(&Report::of(&hosts::healthy(), pages).to_string()).to_string();
    for (name, text) in scenes::distinct(|pages| Some(report(pages))) {
        // The healthy host has the pages of this scene: its report is the snapshot `healthy`.
        if name != "locked" {
            insta::assert_snapshot!(format!("scene_{name}"), text);
        }
    }
    let (_, host, pages) =
        hosts::all().into_iter().find(|(name, ..)| *name == "healthy").expect("the host `healthy`");
    assert_eq!(report(&scenes::locked()), strip_str(&Report::of(&host, &pages).to_string()).to_string());
}

#[test]
fn json_of_every_host() {
    for (name, host, pages) in hosts::all() {
        let json = crate::json(&Report::of(&host, &pages));
        insta::assert_snapshot!(format!("json_{name}"), json);
    }
}

/// On every combination of host and scene, a report with a problem names the finding to start with.
#[test]
fn report_with_a_problem_names_the_first_finding() {
    for (name, host, _) in hosts::all() {
        for (scene, pages) in scenes::all() {
            let report = Report::of(&host, &pages);
            assert_eq!(report.first.is_some(), report.worst() > Level::Ok, "{name}, {scene}: {report}");
        }
    }
}

/// Every host except the healthy ones has one problem, which is reported as the first.
#[test]
fn first_finding_is_the_cause() {
    let cases = [
        ("wrong_interface", "interface = \"eth2\""),
        ("no_such_interface", "interface = \"eth1\" in section [dante4l]"),
        ("another_instance", "of /etc/dante4l.stage.toml (or -i eth1), then systemctl restart dante4l@stage"),
        ("no_carrier", "connect the cable"),
        ("no_leader", "no PTP packet received in 2.2 s"),
        ("ptp_v2_only", "enable PTPv1"),
        ("other_subdomain", "subdomain = \"_ALT1\""),
        ("firewall", "nft insert rule inet filter input"),
        ("strict_rp_filter", "ip route add 169.254.0.0/16 dev eth1"),
        ("unprivileged", "sudo pmc-lite doctor"),
        ("port_taken", "statime (pid 412)"),
        ("querier", "joined 224.0.1.129 again 3 times -> "),
        ("chronyd", "chronyd (chrony.service, pid 300)"),
        ("chronyd_beside_dante2sys", "systemctl disable --now chrony.service"),
        ("hidden_processes", "which programs use UDP 319 and 320 is not known"),
        ("chronyd_began_later", "dante2sys does not steer it meanwhile"),
        ("dante4l_dead", "systemctl restart dante4l"),
        ("dante4l_hangs", "systemctl restart dante4l"),
        ("no_right", "CAP_SYS_TIME"),
        ("no_refclock", "refclock SHM 2"),
        ("planted_status_page", "remove /dev/shm/dante4l.status and restart dante4l"),
        ("unreserved_clock_page", "/dev/shm/dante2sys is not reserved"),
        ("auto_not_started", "start it: systemctl start dante4l"),
        (
            "auto_no_candidate_has_a_leader",
            "no leader on eth0 (no carrier) and eth1: no Sync received in 2.2 s",
        ),
        ("auto_leader_on_wifi", "wlan0, which interface = \"auto\" passes over (Wi-Fi) -> connect this host"),
        ("auto_unprivileged", "sudo pmc-lite doctor"),
        ("auto_no_interface", "this host has no wired network interface; passed over: wlan0 (Wi-Fi)"),
        ("auto_leader_moved", "dante4l uses eth2 after 10 s without a leader on eth1"),
        ("vlan_tag", "arrives at eth1 with VLAN tag 10, which eth1 does not receive"),
        ("vlan_tag_and_interface", "interface = \"eth1.10\" in section [dante4l]"),
        ("port_of_a_bridge", "interface = \"br0\" in section [dante4l]"),
        ("only_interface_is_another_one", "interface = \"eth1\" in section [dante4l]"),
        ("not_started_behind_unknown_firewall", "start it: systemctl start dante4l"),
        (
            "usrvclock_taken_beside_chronyd",
            "usrvclock /run/ptp-usrvclock: inferno (pid 412) uses this socket",
        ),
        ("chronyd_not_running", "danteshm feeds chrony, but no chronyd steers the system clock"),
        ("not_fed_without_a_refclock_line", "refclock SHM 2"),
        ("clock_refused_without_a_right", "CAP_SYS_TIME"),
    ];
    for (name, host, pages) in hosts::all() {
        let report = Report::of(&host, &pages);
        let Some((_, words)) = cases.iter().find(|(case, _)| *case == name) else {
            assert!(
                ["healthy", "chrony_fed"].contains(&name) && report.worst() < Level::Failure,
                "{name}: {report}"
            );
            continue;
        };
        let finding = report.first.expect("a first finding").finding;
        let first = format!("{} -> {}", finding.what(), finding.remedy.as_deref().unwrap_or_default());
        assert!(first.contains(words), "{name}: {words:?} is not in {first:?}");
    }
    assert!(cases.iter().all(|(case, _)| hosts::all().iter().any(|(name, ..)| name == case)));
}

/// Two names of one interface are one interface, and a label is none.
#[test]
fn names_are_resolved_to_those_of_the_kernel() {
    let address =
        |last, label: &str| LinkAddress { address: [169, 254, 1, last].into(), label: label.into() };
    let links = [
        LinkInfo {
            index: 2,
            name: "eth1".into(),
            alternative_names: vec!["dante-network".into()],
            mac: [0x3c, 0xec, 0xef, 0x11, 0x22, 0x33],
            is_up: true,
            addresses: vec![address(1, "eth1"), address(2, "eth1:avahi")],
            ..LinkInfo::default()
        },
        LinkInfo { index: 3, name: "eth2".into(), ..LinkInfo::default() },
    ];
    let resolved = |names: &[&str]| host::resolved(names.iter().map(|&name| name.into()).collect(), &links);
    for name in ["eth1", "dante-network", "eth1:avahi", "3C-EC-EF-11-22-33", "169.254.1.2"] {
        assert_eq!(resolved(&[name, "eth1"]), ["eth1"], "{name}");
        assert_eq!(resolved(&["eth2", name]), ["eth2", "eth1"], "{name}");
    }
    assert_eq!(resolved(&["eth7", "00:1d:c1:00:00:01"]), ["eth7", "00:1d:c1:00:00:01"]);
}

/// Findings that end without an action of the user.
const PASSING: [Kind; 3] = [Kind::WaitingForLeader, Kind::Calibrating, Kind::Acquiring];

#[test]
fn every_warning_and_failure_has_a_remedy() {
    let scenes = scenes::all().into_iter().map(|(name, pages)| (name, hosts::healthy(), pages));
    for (name, host, pages) in hosts::all().into_iter().chain(scenes) {
        for Check { about, finding } in Report::of(&host, &pages).checks {
            let needs_none = finding.level == Level::Ok || PASSING.contains(&finding.kind);
            let has_remedy = finding.remedy.as_ref().is_some_and(|remedy| !remedy.trim().is_empty());
            assert!(has_remedy || needs_none, "{name}, {about}: {}", finding.what());
        }
    }
}
