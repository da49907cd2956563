//! The configuration file that is shipped, and what a mistake in one's own leads to, as the programs themselves say it.

use dante_tests::program::{Ended, built, keys_of};
use dante_tests::stage::{DAEMONS, Stage};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Flags that every daemon has, and that are not in the file: no keys, or of use on the command line.
const NOT_SHOWN: [&str; 3] = ["instance", "messages", "no-syslog"];
/// Those that are.
const COMMON: [&str; 2] = ["log-level", "summary-interval"];
/// Keys that are not commented out: the one that has to be given, and one for the command line.
const NOT_COMMENTED: [&str; 2] = ["interface", "no-wait"];
fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../files/dante4l.toml")
}

/// The keys that are commented out in the file: section, key, value as it is written.
fn commented() -> Vec<(String, String, String)> {
    let text = std::fs::read_to_string(shipped()).expect("the shipped file");
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((key, rest)) = line.strip_prefix('#').and_then(|line| line.split_once(" = ")) {
            // Prose has a blank after its number sign.
            if !key.contains(' ') {
                let value = rest.split(" #").next().unwrap_or_default().trim();
                keys.push((section.clone(), key.to_owned(), value.to_owned()));
            }
        }
    }
    assert!(keys.len() > 20, "{keys:?}");
    keys
}

/// The long flags of a program by its help, each with its default: a switch is off, and a flag with a value may have none.
fn flags(program: &str) -> Vec<(String, Option<String>)> {
    let output = Command::new(built(program)).arg("--help").output().expect("its help");
    let text = String::from_utf8(output.stdout).expect("text");
    let options = text.split("Options:").nth(1).and_then(|rest| rest.split("Exit status:").next());
    let mut found: Vec<String> = Vec::new();
    for line in options.expect("options").lines().map(str::trim) {
        match found.last_mut() {
            // A dash and a blank begin a possible value.
            _ if line.starts_with('-') && !line.starts_with("- ") => found.push(line.to_owned()),
            Some(last) => *last = format!("{last} {line}"),
            None => {}
        }
    }
    let flag = |text: &String| {
        let mut words = text.split("--").nth(1)?.split([' ', '\n']);
        let name = words.next()?.to_owned();
        let is_switch = !words.next().is_some_and(|word| word.starts_with('<'));
        let default = text.split("[default: ").nth(1).and_then(|rest| rest.split([']', ',']).next());
        Some((name, default.or(is_switch.then_some("false")).map(str::to_owned)))
    };
    let flags: Vec<_> = found.iter().filter_map(flag).collect();
    assert!(flags.len() > 8, "{text}");
    flags
}

fn check(stage: &Stage, program: &str, text: &str) -> Ended {
    let file = stage.folder().join("own.toml");
    std::fs::write(&file, text).expect("a file");
    stage.run(program, &["--check-config", "-f", &file.display().to_string()])
}

#[test]
fn the_shipped_file_is_in_order_and_shows_the_defaults() {
    let stage = Stage::new();
    for program in DAEMONS {
        let ended = stage.run(program, &["--check-config", "-f", &shipped().display().to_string()]);
        ended.expect(0, &["dante4l.toml is in order"]);
    }
    let keys = commented();
    let mut all = String::from("[dante4l]\ninterface = \"lo\"\n");
    for program in DAEMONS {
        if program != "dante4l" {
            all += &format!("[{program}]\n");
        }
        let flags = flags(program);
        for (_, key, value) in keys.iter().filter(|(section, ..)| section == program) {
            all += &format!("{key} = {value}\n");
            let interface = if program == "dante4l" { "interface = \"lo\"\n" } else { "" };
            let servers = if key == "utc" { "ntp-server = \"ntp1\"\n" } else { "" };
            let ended =
                check(&stage, program, &format!("[{program}]\n{interface}{servers}{key} = {value}\n"));
            ended.expect(0, &["in order"]);
            let flag = flags.iter().find(|(name, _)| name == key);
            let (_, default) = flag.unwrap_or_else(|| panic!("{program} has no --{key}"));
            if let Some(default) = default {
                assert_eq!(value.trim_matches('"'), default, "{program}'s {key}");
            }
        }
        for own in keys_of(program) {
            let shown = keys.iter().any(|(section, key, _)| section == program && *key == own);
            let may_lack = NOT_SHOWN.iter().chain(&NOT_COMMENTED).any(|name| *name == own);
            assert!(shown || may_lack, "{program}'s {own} is not in the file");
        }
    }
    for program in DAEMONS {
        check(&stage, program, &all).expect(0, &["in order"]);
    }
}

/// Each program knows where the keys of the others belong.
#[test]
fn a_key_in_the_wrong_section() {
    let stage = Stage::new();
    for program in DAEMONS {
        let other = if program == "dante2sys" { "danteshm" } else { "dante2sys" };
        for key in keys_of(program)
            .into_iter()
            .filter(|key| !NOT_SHOWN.iter().chain(&COMMON).any(|name| name == key))
        {
            let ended = check(&stage, other, &format!("[{other}]\n\n{key} = 1\n"));
            let says =
                format!("own.toml:3: {key} is a key of section [{program}], not of [{other}]: move it there");
            ended.expect(2, &[&says]);
        }
    }
}

#[test]
fn what_does_not_fit_together_is_told_by_check_config_too() {
    let stage = Stage::new();
    let which = "own.toml: which interface is on the Dante network?";
    for text in ["", "[dante4l]\n", "[dante2sys]\nclock = \"virtual\"\n"] {
        check(&stage, "dante4l", text).expect(2, &[which, "-i IFACE", "interface = \"IFACE\""]);
    }
    let ports = "[dante4l]\ninterface = \"lo\"\nevent-port = 5000\ngeneral-port = 5000\n";
    check(&stage, "dante4l", ports).expect(2, &["own.toml: --event-port and --general-port must differ"]);
    check(&stage, "dante2sys", "[dante2sys]\nutc = \"ntp\"\n")
        .expect(2, &["own.toml: --utc ntp needs a server"]);
    check(&stage, "dante2sys", "[dante2sys]\nntp-server = [\"ntp1 ntp2\"]\n")
        .expect(2, &["own.toml:2: ", "\"ntp1 ntp2\" is no server: write host, host:port or [v6]:port"]);
    check(&stage, "dante2sys", "").expect(0, &["in order"]);
    check(&stage, "danteshm", "[danteshm]\r\nshm = 3\r\n").expect(0, &["in order"]);
    stage.run("dante4l", &["--check-config"]).expect(2, &["dante4l: which interface"]);

    // It may be plugged in later, and yet was more likely misspelt.
    let ended = check(&stage, "dante4l", "[dante4l]\ninterface = \"nosuch0\"\n");
    ended.expect(0, &["in order", "would wait: there is no network interface nosuch0 (there are: lo"]);
    let ended = check(&stage, "dante4l", "[dante4l]\ninterface = \"lo\"\n");
    ended.expect(0, &["in order"]);
    assert!(!ended.said.contains("would wait"), "{}", ended.said);
}
