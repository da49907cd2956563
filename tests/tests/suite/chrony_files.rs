//! A real chronyd, which sets no clock (-x), accepts the configuration files that are shipped for chrony.

use dante_os::ntpshm::NtpShm;
use dante_tests::chronyd::{chronyd_accepts, chronyd_with};
use dante_tests::guest::chrony;
use dante_tests::namespace::{CABLE, Namespace};
use dante_tests::ntp::query;
use dante_tests::package::sources;
use dante_tests::stage::Stage;
use dante_tests::{EVENT_TIMEOUT, wait_for};
use std::path::PathBuf;

const SNIPPETS: [&str; 2] = ["dante-refclock-shm.conf", "dante-refclock-sock.conf"];
const MODES: [&str; 3] = [" local", " prefer stratum 10 delay 0.1", " noselect"];

fn shipped(name: &str) -> PathBuf {
    sources().join("files/chrony").join(name)
}

fn text_of(name: &str) -> String {
    std::fs::read_to_string(shipped(name)).expect(name)
}

/// Returns the refclock lines in their order, and whether each is enabled in the shipped file.
fn choices(text: &str) -> Vec<(&str, bool)> {
    text.lines()
        .filter_map(|line| {
            let bare = line.strip_prefix('#').unwrap_or(line);
            bare.starts_with("refclock ").then_some((bare, bare == line))
        })
        .collect()
}

#[test]
fn snippets_have_three_modes_and_enable_the_first() {
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
            // Option `perm` would let every local user write samples.
            assert!(!line.contains("perm"), "{name}: {line}");
        }
    }
}

/// Enables each mode in turn as an administrator does, by the comment signs.
#[test]
fn chronyd_accepts_every_mode_of_the_snippets() {
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
            assert_eq!(chronyd_accepts(&chrony, &file).as_deref().map(str::trim), Ok(line), "{name}");
            // chronyd rejects the same line with a misspelt option.
            std::fs::write(&file, chosen.join("\n").replace(" poll", " pole")).expect("a file");
            let refused = chronyd_accepts(&chrony, &file).expect_err("a misspelt option");
            assert!(refused.contains("Invalid refclock option"), "{refused}");
            // chronyd runs with the line, with the unit and the path of this test.
            let host = host(number);
            let mut chronyd = chronyd_with(&chrony, &stage, &host, |folder| {
                let socket = folder.join("dante.sock").display().to_string();
                line.replace("SHM 2", &format!("SHM {}", stage.unit()))
                    .replace("/run/chrony.dante.sock", &socket)
            });
            let folder = stage.folder().join(format!("chronyd-{}", host.name()));
            wait_for("the refclock", EVENT_TIMEOUT, || {
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

/// Configuration of a host that serves NTP: permitted networks and the contents of the response.
#[test]
fn ntp_server_configuration_answers_private_addresses_only() {
    let Some(chrony) = chrony() else { return };
    let stage = Stage::new();
    let file = shipped("dante-ntpd.conf");
    chronyd_accepts(&chrony, &file).expect("a configuration that chronyd takes");
    let (name, net) = stage.hosts();
    let [master, client] = Namespace::pair(&name, net);
    let nets = [("10.250.1", true), ("172.31.1", true), ("192.168.1", true), ("169.254.1", true)];
    // Not private: 192.0.2.0/24 is for documentation (RFC 5737), 172.32.0.0/16 follows the private 172.16.0.0/12.
    let nets = nets.into_iter().chain([("192.0.2", false), ("172.32.1", false)]);
    let nets: Vec<_> = nets.collect();
    for (net, _) in &nets {
        for (host, number) in [(&master, 1), (&client, 2)] {
            host.ip(&["address", "add", &format!("{net}.{number}/24"), "dev", CABLE]);
        }
    }
    let chronyd = chronyd_with(&chrony, &stage, &master, |_| text_of("dante-ntpd.conf"));
    let ask_from = |net: &str| query(&client, &format!("{net}.2"), &format!("{net}.1"));
    let permitted = nets[0].0;
    for (net, is_permitted) in &nets {
        if !is_permitted {
            let responses: Vec<_> = (0..3).filter_map(|_| ask_from(net)).collect();
            assert!(responses.is_empty(), "{net}.2 is answered: {responses:?}");
            // chronyd still answers: it rejects the network.
            wait_for(permitted, EVENT_TIMEOUT, || ask_from(permitted));
            continue;
        }
        let response = wait_for(net, EVENT_TIMEOUT, || ask_from(net));
        println!("{net}.2: {response:?}");
        // 127.127.1.1: chrony's local reference.
        assert_eq!((response.leap, response.stratum, response.reference), (0, 8, [127, 127, 1, 1]));
    }
    chronyd.kill();
}
