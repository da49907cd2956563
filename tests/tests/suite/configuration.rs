//! The shipped configuration file, and what the programs report about mistakes in a configuration file.

use dante_os::daemon::DaemonArgs;
use dante_tests::package::sources;
use dante_tests::program::{Ended, built, keys_of};
use dante_tests::stage::{DAEMONS, Stage};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

/// Keys of every daemon that are not in each section of the file, or not in the file at all.
const NOT_SHOWN: [&str; 3] = ["instance", "messages", "no-syslog"];
/// Keys of every daemon that are in each section of the file.
const COMMON: [&str; 2] = ["log-level", "summary-interval"];
/// Keys that need not be commented out in the file: the one that is set there, and one for the command line.
const NOT_COMMENTED: [&str; 2] = ["interface", "no-wait"];
/// Keys in the file whose flag has no default.
const WITHOUT_DEFAULT: [&str; 10] = [
    "path-delay",
    "leader",
    "deny",
    "prefer",
    "ntp-server",
    "utc",
    "rt-priority",
    "sock",
    "usrvclock",
    "sample-rate",
];
/// Renamed keys and flags: program, old name, new name.
const RENAMED: [(&str, &str, &str); 5] = [
    ("dante2sys", "date", "utc-policy"),
    ("dante2sys", "max-date-error", "max-utc-error"),
    ("dante2sys", "leave", "restore-frequency"),
    ("danteshm", "rate", "sample-rate"),
    ("danteshm", "usrvclock-mode", "usrvclock-perm"),
];

fn shipped() -> PathBuf {
    sources().join("files/dante4l.toml")
}

/// Returns the keys that are commented out in the file: section, key, value as it is written.
fn commented() -> Vec<(String, String, String)> {
    let text = std::fs::read_to_string(shipped()).expect("the shipped file");
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((key, rest)) = line.strip_prefix('#').and_then(|line| line.split_once(" = ")) {
            // A comment has a space after the number sign.
            if !key.contains(' ') {
                let value = rest.split(" #").next().unwrap_or_default().trim();
                keys.push((section.clone(), key.to_owned(), value.to_owned()));
            }
        }
    }
    assert!(keys.len() > 20, "{keys:?}");
    keys
}

/// Returns the long flags in the help of a program, each with its default: that of a switch is `false`; a flag with a value may
/// have none.
fn flags(program: &str) -> Vec<(String, Option<String>)> {
    let output = Command::new(built(program)).arg("--help").output().expect("its help");
    let text = String::from_utf8(output.stdout).expect("text");
    let options = text.split("Options:").nth(1).and_then(|rest| rest.split("Exit status:").next());
    let mut found: Vec<String> = Vec::new();
    for line in options.expect("options").lines().map(str::trim) {
        match found.last_mut() {
            // A dash and a space begin a possible value.
            _ if line.starts_with('-') && !line.starts_with("- ") => found.push(line.to_owned()),
            Some(last) => *last = format!("{last} {line}"),
            None => {}
        }
    }
    let flag = |text: &String| {
        let mut words = text.split("--").nth(1)?.split([' ', '\n']);
        let name = words.next()?.to_owned();
        let is_switch = !words.next().is_some_and(|word| word.starts_with('<'));
        // After a comma, a semicolon or `if` stands when the default applies.
        let default = text.split("[default: ").nth(1).and_then(|rest| rest.split([']', ',', ';']).next());
        let default = default.map(|default| default.split(" if ").next().unwrap_or_default());
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
fn shipped_file_is_valid_and_shows_the_defaults() {
    let stage = Stage::new();
    for program in DAEMONS {
        let ended = stage.run(program, &["--check-config", "-f", &shipped().display().to_string()]);
        ended.expect(0, &["dante4l.toml is valid"]);
    }
    let keys = commented();
    let mut without_default = BTreeSet::new();
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
            ended.expect(0, &["valid"]);
            let flag = flags.iter().find(|(name, _)| name == key);
            let (_, default) = flag.unwrap_or_else(|| panic!("{program} has no --{key}"));
            match default {
                Some(default) => assert_eq!(value.trim_matches('"'), default, "{program}'s {key}"),
                None => {
                    let expected = WITHOUT_DEFAULT.contains(&key.as_str());
                    assert!(expected, "{program} --help shows no default of --{key}");
                    without_default.insert(key.clone());
                }
            }
        }
        for own in keys_of(program) {
            let shown = keys.iter().any(|(section, key, _)| section == program && *key == own);
            let may_lack = NOT_SHOWN.iter().chain(&NOT_COMMENTED).any(|name| *name == own);
            assert!(shown || may_lack, "{program}'s {own} is not in the file");
        }
    }
    for program in DAEMONS {
        check(&stage, program, &all).expect(0, &["valid"]);
    }
    assert_eq!(without_default, WITHOUT_DEFAULT.map(String::from).into(), "these have a default now");
}

#[test]
fn old_names_of_keys_and_flags_are_rejected_with_the_new_name() {
    fn renamed<A: DaemonArgs>() -> Vec<(&'static str, &'static str, &'static str)> {
        A::RENAMED.iter().map(|(old, new)| (A::PROGRAM, *old, *new)).collect()
    }
    let of_programs = [
        renamed::<dante4l::args::Args>(),
        renamed::<dante2sys::args::Args>(),
        renamed::<danteshm::args::Args>(),
    ];
    assert_eq!(of_programs.concat(), RENAMED);
    let stage = Stage::new();
    for (program, old, new) in RENAMED {
        let ended = check(&stage, program, &format!("[{program}]\n{old} = 1\n"));
        ended.expect(2, &[&format!("own.toml:2: {old} was renamed: write {new}")]);
        // --check-config: the program ends even if it accepts the flag.
        let ended = stage.run(program, &["--check-config", &format!("--{old}=1")]);
        ended.expect(2, &[&format!("--{old}"), &format!("--{new}")]);
    }
}

/// Each program knows the keys of the others.
#[test]
fn error_for_a_key_in_the_wrong_section_names_the_right_one() {
    let stage = Stage::new();
    for program in DAEMONS {
        let other = if program == "dante2sys" { "danteshm" } else { "dante2sys" };
        for key in keys_of(program)
            .into_iter()
            .filter(|key| !NOT_SHOWN.iter().chain(&COMMON).any(|name| name == key))
        {
            let ended = check(&stage, other, &format!("[{other}]\n\n{key} = 1\n"));
            let error =
                format!("own.toml:3: {key} is a key of section [{program}], not of [{other}]: move it there");
            ended.expect(2, &[&error]);
        }
    }
}

#[test]
fn check_config_reports_contradictory_keys() {
    let stage = Stage::new();
    for text in ["", "[dante4l]\n", "[dante4l]\ninterface = \"auto\"\n", "[dante2sys]\nclock = \"virtual\"\n"]
    {
        check(&stage, "dante4l", text).expect(0, &["valid"]);
    }
    let auto = "[dante4l]\ninterface = [\"auto\", \"eth1\"]\n";
    check(&stage, "dante4l", auto).expect(2, &["own.toml: -i auto stands alone"]);
    let ports = "[dante4l]\ninterface = \"lo\"\nevent-port = 5000\ngeneral-port = 5000\n";
    check(&stage, "dante4l", ports).expect(2, &["own.toml: --event-port and --general-port must differ"]);
    check(&stage, "dante2sys", "[dante2sys]\nutc = \"ntp\"\n")
        .expect(2, &["own.toml: --utc ntp needs a server"]);
    check(&stage, "dante2sys", "[dante2sys]\nntp-server = [\"ntp1 ntp2\"]\n").expect(
        2,
        &["own.toml:2: ", "\"ntp1 ntp2\" is not a server name: write host, host:port or [v6]:port"],
    );
    check(&stage, "dante2sys", "").expect(0, &["valid"]);
    check(&stage, "danteshm", "[danteshm]\r\nshm = 3\r\n").expect(0, &["valid"]);
    stage.run("dante4l", &["--check-config"]).expect(0, &["valid"]);

    // An interface that does not exist is no error, since it may appear later, but its name is probably misspelt.
    let ended = check(&stage, "dante4l", "[dante4l]\ninterface = \"nosuch0\"\n");
    ended.expect(0, &["valid", "would wait: there is no network interface nosuch0 (there are: lo"]);
    let ended = check(&stage, "dante4l", "[dante4l]\ninterface = \"lo\"\n");
    ended.expect(0, &["valid"]);
    assert!(!ended.output.contains("would wait"), "{}", ended.output);
}
