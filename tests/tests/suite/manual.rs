//! The man pages and the completions, compared with the programs.

use dante_core::{port, relay, steer};
use dante_os::daemon::Exit;
use dante_tests::lab::has;
use dante_tests::package::sources;
use dante_tests::program::{built, keys_of};
use dante_tests::stage::{DAEMONS, Stage};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Each page, with its sections between OPTIONS and SEE ALSO.
const PAGES: [(&str, &[&str]); 6] = [
    (
        "dante4l.8",
        &[
            "INTERFACES",
            "LEADERS",
            "TWO NETWORKS",
            "STATES",
            "LOG MESSAGES",
            "EXIT STATUS",
            "FILES",
            "ENVIRONMENT",
            "NOTES",
            "EXAMPLES",
        ],
    ),
    ("dante2sys.8", &["STATES", "LOG MESSAGES", "EXIT STATUS", "FILES", "ENVIRONMENT", "NOTES", "EXAMPLES"]),
    ("danteshm.8", &["STATES", "LOG MESSAGES", "EXIT STATUS", "FILES", "ENVIRONMENT", "NOTES", "EXAMPLES"]),
    ("pmc-lite.8", &["STATES", "EXIT STATUS", "FILES", "ENVIRONMENT", "EXAMPLES"]),
    ("dantesim.1", &["EXIT STATUS", "FILES", "ENVIRONMENT", "NOTES", "EXAMPLES"]),
    ("dante4l.toml.5", &["SECTIONS", "FILES", "EXAMPLES"]),
];

/// Each program, with its commands that have their own flags.
const COMMANDS: [(&str, &[&[&str]]); 5] = [
    ("dante4l", &[&[]]),
    ("dante2sys", &[&[]]),
    ("danteshm", &[&[]]),
    (
        "pmc-lite",
        &[
            &[],
            &["get", "status"],
            &["wait"],
            &["doctor"],
            &["watch"],
            &["plot"],
            &["log"],
            &["check"],
            &["metrics"],
            &["query"],
        ],
    ),
    ("dantesim", &[&[], &["leader"], &["demo"]]),
];

/// Not in the example file: with several suites each instance is named on the command line, as in dante4l@.service.
const NOT_SHOWN: &str = "instance";

/// The manual, made by dante-manual in a folder of the test.
struct Manual {
    stage: Stage,
}

impl Manual {
    fn new() -> Self {
        let stage = Stage::new();
        let made = output_of(Command::new(built("dante-manual")).arg(stage.folder()));
        assert!(made.status.success(), "{made:?}");
        Self { stage }
    }

    fn path(&self, page: &str) -> PathBuf {
        self.stage.folder().join("man").join(page)
    }

    /// Text of a page without roff's marks of fonts and dashes.
    fn page(&self, page: &str) -> String {
        let text = fs::read_to_string(self.path(page)).expect(page);
        let marks = [("\\fB", ""), ("\\fI", ""), ("\\fR", ""), ("\\-", "-"), ("\\*(Aq", "'")];
        marks.into_iter().fold(text, |text, (mark, plain)| text.replace(mark, plain))
    }

    /// Lines below a heading; below that of a section, with its subsections.
    fn section(&self, page: &str, heading: &str) -> Vec<String> {
        let text = self.page(page);
        let mut lines = text.lines();
        let is_it = |line: &str| {
            let name = line.strip_prefix(".SH ").or(line.strip_prefix(".SS "));
            name.is_some_and(|name| name.trim_matches('"') == heading)
        };
        let found = lines.find(|line| is_it(line)).unwrap_or_else(|| panic!("{page} has no {heading}"));
        let ends =
            |line: &str| line.starts_with(".SH ") || (found.starts_with(".SS ") && line.starts_with(".SS "));
        lines.take_while(|line| !ends(line)).map(str::to_owned).collect()
    }

    /// Terms that are explained below a heading: the lines after `.TP`.
    fn terms(&self, page: &str, heading: &str) -> Vec<String> {
        let mut lines = self.section(page, heading).into_iter();
        std::iter::from_fn(|| lines.find(|line| line == ".TP").and_then(|_| lines.next())).collect()
    }
}

fn output_of(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Returns the long flags at the start of lines, in a help or a page.
fn flags<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    lines
        .map(str::trim_start)
        .filter(|line| line.starts_with('-'))
        .filter_map(|line| line.split([' ', ',']).find_map(|word| word.strip_prefix("--")))
        .map(str::to_owned)
        .collect()
}

/// Returns the long flags of a program's help.
fn flags_of(program: &str, words: &[&str]) -> BTreeSet<String> {
    let help = output_of(Command::new(built(program)).args(words).arg("--help")).stdout;
    flags(String::from_utf8(help).expect("a help").lines())
}

#[test]
fn mandoc_reports_no_warning_about_any_page() {
    if !has("mandoc") {
        return dante_tests::skip("mandoc is not installed");
    }
    let manual = Manual::new();
    for (page, _) in PAGES {
        let lint = output_of(Command::new("mandoc").args(["-Tlint", "-Wwarning"]).arg(manual.path(page)));
        let warnings = String::from_utf8_lossy(&lint.stdout).into_owned();
        assert!(lint.status.success() && warnings.is_empty(), "{warnings}");
    }
}

#[test]
fn every_page_has_its_sections_in_order() {
    let manual = Manual::new();
    for (page, sections) in PAGES {
        let text = manual.page(page);
        let found: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix(".SH "))
            .map(|name| name.trim_matches('"'))
            .collect();
        let first: &[&str] = match page {
            "dante4l.toml.5" => &["NAME", "DESCRIPTION"],
            _ => &["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS"],
        };
        assert_eq!(found, [first, sections, &["SEE ALSO"]].concat(), "{page}");
    }
}

#[test]
fn each_page_has_the_flags_of_its_program() {
    let manual = Manual::new();
    for (program, commands) in COMMANDS {
        let page = if program == "dantesim" { "dantesim.1".into() } else { format!("{program}.8") };
        let explained = flags(manual.section(&page, "OPTIONS").iter().map(String::as_str));
        let accepted: BTreeSet<String> = commands.iter().flat_map(|words| flags_of(program, words)).collect();
        assert!(accepted.len() > 2, "{program} --help was not parsed: {accepted:?}");
        assert_eq!(explained, accepted, "{page}");
    }
}

#[test]
fn each_page_has_the_states_of_its_program() {
    let manual = Manual::new();
    let terms = |page| manual.terms(page, "STATES");
    assert_eq!(terms("dante4l.8"), port::State::ALL.map(|state| state.to_string()));
    assert_eq!(terms("dante2sys.8"), steer::State::ALL.map(|state| state.to_string()));
    assert_eq!(terms("danteshm.8"), relay::State::ALL.map(|state| state.to_string()));
}

#[test]
fn each_page_has_the_exit_statuses_of_its_program() {
    // A new status breaks the build here, and has to be added to the pages.
    let number = |exit: Exit| match exit {
        Exit::Ok | Exit::Failed | Exit::Usage | Exit::Refused | Exit::NotPermitted | Exit::NoInterface => {
            (exit as u8).to_string()
        }
    };
    let without_link = [Exit::Ok, Exit::Failed, Exit::Usage, Exit::Refused, Exit::NotPermitted].map(number);
    let all = [&without_link[..], &[number(Exit::NoInterface)]].concat();
    let manual = Manual::new();
    let terms = |page| manual.terms(page, "EXIT STATUS");
    assert_eq!(terms("dante4l.8"), all);
    assert_eq!(terms("dantesim.1"), all);
    assert_eq!(terms("dante2sys.8"), without_link);
    assert_eq!(terms("danteshm.8"), without_link);
    assert_eq!(terms("pmc-lite.8"), all);
}

#[test]
fn page_of_the_configuration_file_has_the_keys_of_the_programs_and_the_example() {
    let manual = Manual::new();
    let key_of = |line: &str| line.split_once(" = ").map(|(key, _)| key.to_owned());
    let keys = |heading: &str| -> BTreeSet<String> {
        manual.terms("dante4l.toml.5", heading).iter().filter_map(|term| key_of(term)).collect()
    };
    let common = keys("In every section");
    let example = fs::read_to_string(sources().join("files/dante4l.toml")).expect("the example");
    // The example with every key set to the value that it shows.
    let whole: Vec<&str> = example
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .collect();
    let file = manual.stage.folder().join("whole.toml");
    fs::write(&file, whole.join("\n")).expect("a file");
    let mut shown_common = BTreeSet::new();
    for program in DAEMONS {
        let accepted = keys_of(program);
        let own = keys(&format!("[{program}]"));
        assert_eq!(&own | &common, accepted, "dante4l.toml.5, [{program}], and the flags of {program}");
        let lines = whole.iter().skip_while(|line| **line != format!("[{program}]")).skip(1);
        let shown: BTreeSet<String> =
            lines.take_while(|line| !line.starts_with('[')).filter_map(|line| key_of(line)).collect();
        assert_eq!(&shown - &common, own, "[{program}] of files/dante4l.toml, and dante4l.toml.5");
        shown_common.extend(&shown & &common);
        let checked = output_of(Command::new(built(program)).arg("--check-config").arg("-f").arg(&file));
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
    shown_common.insert(NOT_SHOWN.into());
    assert_eq!(shown_common, common, "keys of every section in files/dante4l.toml");
}

#[test]
fn shells_accept_their_completions() {
    let manual = Manual::new();
    let folder = manual.stage.folder().join("completions");
    let mut accepted = 0;
    for (program, _) in COMMANDS {
        for (shell, words, file) in [
            ("bash", &["-n"][..], format!("bash/{program}")),
            ("zsh", &["-n"], format!("zsh/_{program}")),
            ("fish", &["--no-execute"], format!("fish/{program}.fish")),
        ] {
            let file = folder.join(file);
            assert!(file.exists(), "{}", file.display());
            if !has(shell) {
                dante_tests::skip(&format!("{shell} is not installed"));
            } else {
                let read = output_of(Command::new(shell).args(words).arg(&file));
                assert!(read.status.success() && read.stderr.is_empty(), "{shell}: {read:?}");
                accepted += 1;
            }
        }
    }
    assert!(accepted >= COMMANDS.len(), "bash is not installed");
    let script = format!(
        "source {}; COMP_WORDS=(dante4l --sub); COMP_CWORD=1; _dante4l dante4l --sub dante4l; echo ${{COMPREPLY[@]}}",
        folder.join("bash/dante4l").display()
    );
    let completed = output_of(Command::new("bash").args(["-c", &script])).stdout;
    assert_eq!(String::from_utf8_lossy(&completed).trim(), "--subdomain");
}
