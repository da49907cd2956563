//! The man pages and the completions, against what the programs themselves say.

use dante_core::explain::Explain;
use dante_core::page::Form;
use dante_core::{port, relay, steer};
use dante_os::daemon::Exit;
use dante_os::page::{Fault, Obstacle, ReadError, WriteError};
use dante_tests::lab::has;
use dante_tests::program::{built, keys_of};
use dante_tests::stage::{DAEMONS, Stage};
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Each page, with the sections that it has to have between SYNOPSIS and SEE ALSO.
const PAGES: [(&str, &[&str]); 6] = [
    (
        "dante4l.8",
        &[
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

/// Each program with the commands that have flags of their own.
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

/// Not shown in the example: who runs several suites names each on the command line, as dante4l@.service does.
const NOT_SHOWN: &str = "instance";

/// The manual, written anew.
struct Manual {
    stage: Stage,
}

impl Manual {
    fn new() -> Self {
        let stage = Stage::new();
        let written = said(Command::new(built("dante-manual")).arg(stage.folder()));
        assert!(written.status.success(), "{written:?}");
        Self { stage }
    }

    fn path(&self, page: &str) -> PathBuf {
        self.stage.folder().join("man").join(page)
    }

    /// Without the marks of fonts and dashes.
    fn page(&self, page: &str) -> String {
        let text = fs::read_to_string(self.path(page)).expect(page);
        let marks = [("\\fB", ""), ("\\fI", ""), ("\\fR", ""), ("\\-", "-"), ("\\*(Aq", "'")];
        marks.into_iter().fold(text, |text, (mark, plain)| text.replace(mark, plain))
    }

    /// What stands below a heading; below one of a section, its subsections too.
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

    /// What is explained there: the lines that follow `.TP`.
    fn terms(&self, page: &str, heading: &str) -> Vec<String> {
        let mut lines = self.section(page, heading).into_iter();
        std::iter::from_fn(|| lines.find(|line| line == ".TP").and_then(|_| lines.next())).collect()
    }
}

fn said(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// The long flags that lines of options begin with, in a help or in a page.
fn flags<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    lines
        .map(str::trim_start)
        .filter(|line| line.starts_with('-'))
        .filter_map(|line| line.split([' ', ',']).find_map(|word| word.strip_prefix("--")))
        .map(str::to_owned)
        .collect()
}

/// What the program itself says that it takes.
fn flags_of(program: &str, words: &[&str]) -> BTreeSet<String> {
    let help = said(Command::new(built(program)).args(words).arg("--help")).stdout;
    flags(String::from_utf8(help).expect("a help").lines())
}

#[test]
fn every_page_is_shown_without_a_warning() {
    if !has("mandoc") {
        return dante_tests::skip("mandoc is not installed");
    }
    let manual = Manual::new();
    for (page, _) in PAGES {
        let lint = said(Command::new("mandoc").args(["-Tlint", "-Wwarning"]).arg(manual.path(page)));
        let complaints = String::from_utf8_lossy(&lint.stdout).into_owned();
        assert!(lint.status.success() && complaints.is_empty(), "{complaints}");
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
fn every_flag_is_in_its_page_and_no_other() {
    let manual = Manual::new();
    for (program, commands) in COMMANDS {
        let page = if program == "dantesim" { "dantesim.1".into() } else { format!("{program}.8") };
        let told = flags(manual.section(&page, "OPTIONS").iter().map(String::as_str));
        let taken: BTreeSet<String> = commands.iter().flat_map(|words| flags_of(program, words)).collect();
        assert!(taken.len() > 2, "{program} --help was not understood: {taken:?}");
        assert_eq!(told, taken, "{page}");
    }
}

#[test]
fn the_states_are_those_of_the_engines() {
    let manual = Manual::new();
    let terms = |page| manual.terms(page, "STATES");
    assert_eq!(terms("dante4l.8"), port::State::ALL.map(|state| state.to_string()));
    assert_eq!(terms("dante2sys.8"), steer::State::ALL.map(|state| state.to_string()));
    assert_eq!(terms("danteshm.8"), relay::State::ALL.map(|state| state.to_string()));
}

#[test]
fn the_exit_statuses_are_the_programs() {
    // A status that is added breaks this, and then the pages want it.
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

/// What a page explains under LOG MESSAGES; what varies stands in italics there.
fn messages_of(page: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("files/man").join(format!("{page}.8.md"))).expect(page);
    let (_, rest) = text.split_once("# LOG MESSAGES\n").expect("the section");
    let section = rest.split("\n# ").next().expect("its text").replace('`', "");
    let lines: Vec<&str> = section.lines().collect();
    lines.windows(2).filter(|pair| pair[1].starts_with(": ")).map(|pair| pair[0].to_owned()).collect()
}

#[test]
fn every_log_message_is_one_that_the_programs_write() {
    for page in DAEMONS {
        let folders = [format!("{page}/src"), "lib/core/src".into(), "lib/os/src".into()];
        let texts = texts_of(&source_of(&folders));
        let is_written = |fixed: &[&str]| {
            texts.iter().any(|text| have_in_order(text, fixed)) || is_put_together(&texts, fixed)
        };
        // What dante4l begins the lines of a port with, in one place.
        assert!(page != "dante4l" || is_written(&["port ", ": {what}"]));
        let messages = messages_of(page);
        for message in &messages {
            let message = message.strip_prefix("port *IFACE*: ").unwrap_or(message);
            // Where a line is put together of several texts, `*...*` is between them.
            for whole in message.split("*...*") {
                let fixed: Vec<&str> = whole.split('*').step_by(2).filter(|part| !part.is_empty()).collect();
                assert!(is_written(&fixed), "{page}: no text of the program has {fixed:?} of {message:?}");
            }
        }
        assert!(messages.len() > 4, "{page}: {} messages", messages.len());
    }
}

/// The other way round: what a program writes, but for debugging, stands in its page, and what they have in common in one at
/// least. Where another text is all of it (`{error}`), it is not looked for.
#[test]
fn every_line_that_a_program_writes_is_in_its_page() {
    let folders = ["dante4l/src", "dante2sys/src", "danteshm/src", "lib/os/src"];
    let pages = [&DAEMONS[..1], &DAEMONS[1..2], &DAEMONS[2..], &DAEMONS];
    let mut count = 0;
    for (folder, pages) in folders.into_iter().zip(pages) {
        let messages: Vec<String> = pages.iter().flat_map(|page| messages_of(page)).collect();
        let source = source_of(&[folder]);
        // `Complaints` and `Budget` take the rest.
        let calls = ["log::info!(", "log::warn!(", "log::error!(", "format_args!("];
        let texts = calls.into_iter().flat_map(|call| source.split(call).skip(1));
        for text in texts.filter_map(|rest| rest.trim_start().strip_prefix('"')) {
            let text = text.split('"').next().unwrap_or_default();
            // `{name:+}` is what varies.
            let fixed: Vec<&str> = text
                .split('{')
                .map(|part| part.split_once('}').map_or(part, |(_, rest)| rest).trim())
                .filter(|part| !part.is_empty())
                .collect();
            // The form of another text.
            if !fixed.iter().any(|part| part.contains(char::is_alphabetic)) {
                continue;
            }
            let is_explained = messages.iter().any(|message| have_in_order(message, &fixed));
            assert!(is_explained, "{pages:?} do not explain: {text}");
            count += 1;
        }
    }
    assert!(count > 30, "{count} lines");
}

/// Why a page is not read is written by dante2sys, and by danteshm, whose page refers to that of dante2sys; why one is not written,
/// by each daemon.
#[test]
fn what_is_wrong_with_a_page_is_explained() {
    let is_explained = |page: &str, text: &str| {
        messages_of(page).iter().any(|message| {
            let fixed: Vec<&str> = message.split('*').step_by(2).collect();
            fixed.concat().contains(char::is_alphabetic) && have_in_order(text, &fixed)
        })
    };
    let version = Fault::Version { form: Form::Clock, found: 2, wanted: 1 };
    let size = Fault::Size { found: 8, wanted: 4096 };
    let faults = [
        Fault::Absent,
        Fault::Reserved,
        Fault::BeingMade,
        Fault::Unreadable(Errno::EACCES),
        Fault::Owner(1000),
        Fault::Writable(0o666),
        Fault::NoFile,
        Fault::Garbage,
        Fault::Kind(7),
        version,
        size,
        Fault::Torn,
    ];
    for fault in faults {
        let text = ReadError { page: "/dev/shm/dante4l".into(), program: "dante4l", fault }.what();
        assert!(is_explained("dante2sys", &text), "{text}");
    }
    let path = || PathBuf::from("/dev/shm/dante4l");
    let errors = [
        WriteError::Running { program: "dante4l", pid: 812 },
        WriteError::InTheWay { path: path(), obstacle: Obstacle::NoFile },
        WriteError::Os { action: "open", path: path(), cause: Errno::ENOSPC.into() },
    ];
    for text in errors.map(|error| error.what()) {
        assert!(DAEMONS.iter().all(|page| is_explained(page, &text)), "{text}");
    }
}

/// Whether these are of two texts, the second of which begins with the first: `{what}; waiting for it`.
fn is_put_together(texts: &[String], parts: &[&str]) -> bool {
    (1..parts.len()).any(|joint| {
        let (first, second) = parts.split_at(joint);
        let goes_on = |text: &String| {
            let behind = text.strip_prefix('{').and_then(|text| Some(text.split_once('}')?.1));
            behind.is_some_and(|text| text.starts_with(second[0]) && have_in_order(text, second))
        };
        texts.iter().any(|text| have_in_order(text, first)) && texts.iter().any(goes_on)
    })
}

/// Whether the text has all of these, one behind the other.
fn have_in_order(text: &str, parts: &[&str]) -> bool {
    let mut rest = text;
    parts.iter().all(|part| rest.find(part).map(|at| rest = &rest[at + part.len()..]).is_some())
}

/// The code of these folders without tests, comments and backquotes, and with the texts of constants in their places.
fn source_of(folders: &[impl AsRef<Path>]) -> String {
    let mut source = String::new();
    folders.iter().for_each(|folder| read_sources(&root().join(folder), &mut source));
    with_constants(&source)
}

/// The texts in double quotes.
fn texts_of(source: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '\'']) {
        let (quote, behind) = (&rest[at..=at], &rest[at + 1..]);
        rest = behind;
        if quote == "'" {
            // A character, or the begin of a lifetime.
            rest = ["\"'", "\\\"'", "\\''"].into_iter().find_map(|c| rest.strip_prefix(c)).unwrap_or(rest);
            continue;
        }
        let mut is_escaped = false;
        let end = behind.find(|c| {
            let ends = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            ends
        });
        let end = end.expect("a text that ends");
        texts.push(behind[..end].replace("\\\"", "\""));
        rest = &behind[end + 1..];
    }
    texts
}

/// What is written with a constant in it (`{NAME}`), with the constant's text.
fn with_constants(source: &str) -> String {
    let constants = source.split("const ").skip(1).filter_map(|rest| {
        let (name, rest) = rest.split_once(": &str = \"")?;
        let is_name = name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        is_name.then(|| (format!("{{{name}}}"), rest.split('"').next().unwrap_or_default()))
    });
    constants.fold(source.to_owned(), |source, (name, text)| source.replace(&name, text))
}

fn read_sources(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.file_stem().is_some_and(|name| name == "tests") {
            continue;
        } else if entry.is_dir() {
            read_sources(&entry, into);
        } else {
            let text = fs::read_to_string(&entry).expect("a source");
            // What only a test has is written by no program.
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            // A text that goes on in the next line of the source.
            let joined: Vec<String> =
                code.join("\n").split("\\\n").map(|part| part.trim_start().into()).collect();
            into.push_str(&joined.concat().replace('`', ""));
        }
    }
}

#[test]
fn the_keys_are_those_of_the_example_file_and_of_the_programs() {
    let manual = Manual::new();
    let key_of = |line: &str| line.split_once(" = ").map(|(key, _)| key.to_owned());
    let keys = |heading: &str| -> BTreeSet<String> {
        manual.terms("dante4l.toml.5", heading).iter().filter_map(|term| key_of(term)).collect()
    };
    let common = keys("In every section");
    let example = fs::read_to_string(root().join("files/dante4l.toml")).expect("the example");
    // Every key set, to what is shown.
    let whole: Vec<&str> = example
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .collect();
    let file = manual.stage.folder().join("whole.toml");
    fs::write(&file, whole.join("\n")).expect("a file");
    let mut shown_common = BTreeSet::new();
    for program in DAEMONS {
        let taken = keys_of(program);
        let own = keys(&format!("[{program}]"));
        assert_eq!(&own | &common, taken, "dante4l.toml.5, [{program}], against the flags of {program}");
        let lines = whole.iter().skip_while(|line| **line != format!("[{program}]")).skip(1);
        let shown: BTreeSet<String> =
            lines.take_while(|line| !line.starts_with('[')).filter_map(|line| key_of(line)).collect();
        assert_eq!(&shown - &common, own, "[{program}] of files/dante4l.toml, against dante4l.toml.5");
        shown_common.extend(&shown & &common);
        let checked = said(Command::new(built(program)).arg("--check-config").arg("-f").arg(&file));
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
    shown_common.insert(NOT_SHOWN.into());
    assert_eq!(shown_common, common, "what files/dante4l.toml shows of the keys of every section");
}

#[test]
fn completions_are_taken_by_their_shells() {
    let manual = Manual::new();
    let folder = manual.stage.folder().join("completions");
    let mut seen = 0;
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
                let read = said(Command::new(shell).args(words).arg(&file));
                assert!(read.status.success() && read.stderr.is_empty(), "{shell}: {read:?}");
                seen += 1;
            }
        }
    }
    assert!(seen >= COMMANDS.len(), "bash at least is everywhere");
    let script = format!(
        "source {}; COMP_WORDS=(dante4l --sub); COMP_CWORD=1; _dante4l dante4l --sub dante4l; echo ${{COMPREPLY[@]}}",
        folder.join("bash/dante4l").display()
    );
    let completed = said(Command::new("bash").args(["-c", &script])).stdout;
    assert_eq!(String::from_utf8_lossy(&completed).trim(), "--subdomain");
}
