//! On made-up hosts, each with what its daemons say: what is in the way is found, and its remedy named.

mod hosts;
mod trees;

use super::*;
use crate::scenes;
use anstream::adapter::strip_str;

#[test]
fn what_is_said_of_every_host() {
    for (name, host, pages) in hosts::all() {
        insta::assert_snapshot!(name, strip_str(&Report::of(&host, &pages).to_string()).to_string());
    }
}

#[test]
fn what_is_said_in_every_scene() {
    for (name, pages) in scenes::all() {
        let text = Report::of(&hosts::healthy(), &pages).to_string();
        insta::assert_snapshot!(format!("scene_{name}"), strip_str(&text).to_string());
    }
}

#[test]
fn the_json_of_every_host() {
    for (name, host, pages) in hosts::all() {
        let json = crate::json(&Report::of(&host, &pages));
        insta::assert_snapshot!(format!("json_{name}"), json);
    }
}

/// Whatever is combined: who is told of a failure is told where to begin.
#[test]
fn there_is_always_somewhere_to_begin() {
    for (name, host, _) in hosts::all() {
        for (scene, pages) in scenes::all() {
            let report = Report::of(&host, &pages);
            assert_eq!(report.first.is_some(), report.worst() > Level::Ok, "{name}, {scene}: {report}");
        }
    }
}

/// Every host but the sound ones has one thing in its way, which is named first.
#[test]
fn the_first_thing_to_do_is_the_one_that_is_wrong() {
    let cases = [
        ("wrong_interface", "interface = \"eth2\""),
        ("no_such_interface", "interface = \"eth1\" in section [dante4l]"),
        ("another_instance", "of /etc/dante4l.stage.toml (or -i eth1), and systemctl restart dante4l@stage"),
        ("no_carrier", "plug the cable in"),
        ("no_leader", "nothing that speaks PTP"),
        ("ptp_v2_only", "enable PTPv1"),
        ("other_subdomain", "subdomain = \"_ALT1\""),
        ("firewall", "nft insert rule inet filter input"),
        ("strict_rp_filter", "ip route add 169.254.0.0/16 dev eth1"),
        ("unprivileged", "sudo pmc-lite doctor"),
        ("port_taken", "statime (pid 412)"),
        ("querier", "told anew 3 times -> "),
        ("chronyd", "chronyd (chrony.service, pid 300)"),
        ("chronyd_beside_dante2sys", "systemctl disable --now chrony.service"),
        ("chronyd_began_later", "dante2sys leaves it alone"),
        ("dante4l_dead", "systemctl restart dante4l"),
        ("dante4l_hangs", "systemctl restart dante4l"),
        ("no_right", "CAP_SYS_TIME"),
        ("no_refclock", "refclock SHM 2"),
        ("planted_status_page", "remove /dev/shm/dante4l.status and restart dante4l"),
        ("unreserved_clock_page", "/dev/shm/dante2sys is not reserved"),
        ("nobody_named_an_interface", "interface = \"eth1\""),
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
        let finding = report.first.expect("something to do").found.finding;
        let first = format!("{} -> {}", finding.what, finding.remedy.unwrap_or_default());
        assert!(first.contains(words), "{name}: {words:?} is not in {first:?}");
    }
    assert!(cases.iter().all(|(case, _)| hosts::all().iter().any(|(name, ..)| name == case)));
}

#[test]
fn every_warning_and_failure_says_what_to_do() {
    for (name, host, pages) in hosts::all() {
        for Check { about, found: Found { finding, .. } } in Report::of(&host, &pages).checks {
            // What passes by itself needs no remedy, nor what a daemon's own sentence ends with.
            let says = finding.remedy.is_some() || finding.what.contains(':');
            assert!(finding.level == Level::Ok || says, "{name}, {about}: {}", finding.what);
        }
    }
}
