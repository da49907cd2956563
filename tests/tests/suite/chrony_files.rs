//! What is shipped for chrony is taken by chrony, and does what it says. No chronyd here touches a clock (-x).

use dante_os::ntpshm::NtpShm;
use dante_tests::chronyd::{chronyd_takes, chronyd_with};
use dante_tests::guest::chrony;
use dante_tests::namespace::{CABLE, Namespace};
use dante_tests::ntp::ask;
use dante_tests::stage::Stage;
use dante_tests::wait_for;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SNIPPETS: [&str; 2] = ["dante-refclock-shm.conf", "dante-refclock-sock.conf"];
const MODES: [&str; 3] = [" local", " prefer stratum 10 delay 0.1", " noselect"];

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../files/chrony").join(name)
}

fn text_of(name: &str) -> String {
    std::fs::read_to_string(shipped(name)).expect(name)
}

/// The lines that may be chosen, in their order, and whether each is chosen as shipped.
fn choices(text: &str) -> Vec<(&str, bool)> {
    text.lines()
        .filter_map(|line| {
            let bare = line.strip_prefix('#').unwrap_or(line);
            bare.starts_with("refclock ").then_some((bare, bare == line))
        })
        .collect()
}

#[test]
fn a_snippet_has_three_modes_and_the_first_is_chosen() {
    for name in SNIPPETS {
        let text = text_of(name);
        let choices = choices(&text);
        assert_eq!(choices.len(), MODES.len(), "{name}");
        for (number, ((line, chosen), mode)) in choices.iter().zip(MODES).enumerate() {
            assert!(line.ends_with(mode), "{name}: {line}");
            assert_eq!(*chosen, number == 0, "{name}: {line}");
        }
        for line in text.lines() {
            let is_prose = line.is_empty() || line.starts_with("# ");
            assert!(is_prose || choices.iter().any(|(choice, _)| line.ends_with(choice)), "{name}: {line}");
            // That would let every local user forge time.
            assert!(!line.contains("perm"), "{name}: {line}");
        }
    }
}

/// Each in turn, as an administrator would choose it: by its comment sign.
#[test]
fn chronyd_takes_every_mode() {
    let Some(chrony) = chrony() else { return };
    let stage = Stage::new();
    for name in SNIPPETS {
        let text = text_of(name);
        let host = |number| Namespace::lone(&format!("{}-{number}", stage.hosts().0));
        for (number, (line, _)) in choices(&text).into_iter().enumerate() {
            let chosen: Vec<String> = text
                .lines()
                .map(|other| match other.trim_start_matches('#') == line {
                    true => line.into(),
                    false if other.starts_with('#') || other.is_empty() => other.into(),
                    false => format!("#{other}"),
                })
                .collect();
            let file = stage.folder().join(name);
            std::fs::write(&file, chosen.join("\n")).expect("a file");
            assert_eq!(chronyd_takes(&chrony, &file).as_deref().map(str::trim), Ok(line), "{name}");
            // It would not take anything.
            std::fs::write(&file, chosen.join("\n").replace(" poll", " pole")).expect("a file");
            let refused = chronyd_takes(&chrony, &file).expect_err("a misspelt option");
            assert!(refused.contains("Invalid refclock option"), "{refused}");
            // And it runs with it, at a unit and a path of the test's own.
            let host = host(number);
            let mut chronyd = chronyd_with(&chrony, &stage, &host, |folder| {
                let socket = folder.join("dante.sock").display().to_string();
                line.replace("SHM 2", &format!("SHM {}", stage.unit()))
                    .replace("/run/chrony.dante.sock", &socket)
            });
            let folder = stage.folder().join(format!("chronyd-{}", host.name()));
            wait_for("the refclock", Duration::from_secs(5), || {
                let is_socket = name.contains("sock");
                let there =
                    if is_socket { folder.join("dante.sock").exists() } else { NtpShm::exists(stage.unit()) };
                there.then_some(())
            });
            assert!(chronyd.runs(), "{}", chronyd.output());
            chronyd.kill();
            _ = NtpShm::remove(stage.unit());
            std::fs::remove_dir_all(folder).expect("chronyd's folder");
        }
    }
}

/// The master's configuration: who may ask, and what is answered.
#[test]
fn the_master_answers_private_addresses_and_nobody_else() {
    let Some(chrony) = chrony() else { return };
    let stage = Stage::new();
    let file = shipped("dante-ntpd.conf");
    chronyd_takes(&chrony, &file).expect("a configuration that chronyd takes");
    let (name, net) = stage.hosts();
    let [master, client] = Namespace::pair(&name, net);
    let nets = [("10.250.1", true), ("172.31.1", true), ("192.168.1", true), ("169.254.1", true)];
    // RFC 5737: nobody's, and not private.
    let nets = nets.into_iter().chain([("192.0.2", false), ("172.32.1", false)]);
    let nets: Vec<_> = nets.collect();
    for (net, _) in &nets {
        for (host, number) in [(&master, 1), (&client, 2)] {
            host.ip(&["address", "add", &format!("{net}.{number}/24"), "dev", CABLE]);
        }
    }
    let chronyd = chronyd_with(&chrony, &stage, &master, |_| text_of("dante-ntpd.conf"));
    for (net, is_allowed) in nets {
        let ask = || ask(&client, &format!("{net}.2"), &format!("{net}.1"));
        let answer = if is_allowed { Some(wait_for(net, Duration::from_secs(20), ask)) } else { ask() };
        println!("{net}.2: {answer:?}");
        assert_eq!(answer.is_some(), is_allowed, "{net}.2");
        if let Some(answer) = answer {
            // 127.127.1.1: chrony's own clock.
            assert_eq!((answer.leap, answer.stratum, answer.reference), (0, 8, [127, 127, 1, 1]));
        }
    }
    chronyd.kill();
}
