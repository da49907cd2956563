//! `pmc-lite watch` in a real terminal beside the real programs: its screens, its keys, and the terminal after its end.

use dante_core::steer;
use dante_tests::lab::{Lab, may_use};
use dante_tests::program::built;
use dante_tests::stage::Stage;
use dante_tests::tmux::{PROMPT, Tmux};
use dante_tests::{EVENT_TIMEOUT, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// Text on the screen before `watch` is started.
const MARK: &str = "text before watch";
const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (200, 50);
/// The keys of the views, and a text in each.
const VIEWS: [(&str, &str); 4] =
    [("1", "residual (ns)"), ("2", "samples by ppm"), ("3", "counters of dante4l"), ("4", "╭ findings")];

fn watch(stage: &Stage) -> String {
    format!("{} watch --instance={}", built("pmc-lite").display(), stage.instance())
}

/// No line is wider than the terminal, and the boxes are complete.
fn judge_shape(screen: &str, (width, height): (u16, u16)) {
    let lines: Vec<&str> = screen.lines().collect();
    assert_eq!(lines.len(), usize::from(height), "{screen}");
    for line in &lines {
        assert!(line.chars().count() <= usize::from(width), "{line}");
        let first = line.chars().next().unwrap_or(' ');
        if "│╭╰".contains(first) {
            assert_eq!(line.chars().count(), usize::from(width), "incomplete box: {line}");
            assert!(line.ends_with(['│', '╮', '╯']), "{line}");
        }
    }
    assert!(lines[0].starts_with(" pmc-lite watch"), "{screen}");
    for (line, name) in lines[1..5].iter().zip(["leader", "dante4l", "dante2sys", "danteshm"]) {
        assert!(line.starts_with(&format!(" {name} ")), "{screen}");
    }
    assert!(lines[usize::from(height) - 1].trim_end().ends_with("q quit"), "{screen}");
}

/// Returns the words on a screen without numbers and names of devices.
fn words(screen: &str) -> BTreeSet<String> {
    screen
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| word.len() > 2 && word.chars().all(|c| c.is_ascii_alphabetic() || c == '_'))
        .map(str::to_owned)
        .collect()
}

/// Shows each view at this size, judges it, and returns all screens.
fn views(terminal: &Tmux, size: (u16, u16)) -> String {
    VIEWS
        .map(|(key, name)| {
            terminal.key(key);
            let screen = terminal.wait_for(name, |screen| screen.contains(name) && ends(screen));
            judge_shape(&screen, size);
            screen
        })
        .concat()
}

/// Whether the screen is drawn to its last line.
fn ends(screen: &str) -> bool {
    screen.trim_end().ends_with("q quit")
}

/// Returns the program in the foreground of the terminal.
fn child(terminal: &Tmux) -> Option<Pid> {
    let shell = terminal.shell();
    let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok().map(Pid::from_raw)
}

/// The terminal shows the shell's prompt and the text from before, and has its normal modes.
fn judge_restored(terminal: &Tmux) {
    let screen = terminal.wait_for("the prompt", |screen| screen.trim_end().ends_with(PROMPT.trim_end()));
    assert!(!terminal.is_alternate(), "{screen}");
    assert!(screen.contains(MARK), "{screen}");
    assert!(!screen.contains("residual"), "{screen}");
    terminal.line("clear; stty -a");
    let modes = terminal.wait_for("the terminal's modes", |screen| screen.contains("iexten"));
    for mode in ["icanon", "echo", "isig", "opost"] {
        assert!(modes.split_whitespace().any(|word| word == mode), "{mode}: {modes}");
    }
    mark(terminal);
}

/// Prints [`MARK`] in the first line and waits for the prompt below it: a line typed before that would appear in the output of
/// this command.
fn mark(terminal: &Tmux) {
    terminal.line(&format!("clear; echo {MARK}"));
    let shown = format!("{MARK}\n{}", PROMPT.trim_end());
    terminal.wait_for("the mark", |screen| screen.trim_end() == shown);
}

#[test]
fn watch_shows_live_state_and_restores_terminal() {
    if !may_use(&["tmux", "stty"]) {
        return;
    }
    let Some(lab) = Lab::new() else { return };
    let leader = lab.leader(&["--ppm=12"]);
    let _daemons = lab.daemons();
    lab.readers().wait_for_steerer(steer::State::Locked, EVENT_TIMEOUT);
    lab.readers().wait_for_relay(dante_core::relay::State::Feeding, EVENT_TIMEOUT);
    let terminal = Tmux::start(&lab.stage, SMALL);
    mark(&terminal);
    terminal.line(&watch(&lab.stage));
    let parts = [
        "rate (ppm)",
        "ppm +/-",
        "synchronised to the leader",
        "SLAVE",
        "LOCKED",
        "FEEDING",
        // Nobody reads the samples: the finding about that is on each of the screens that are compared.
        "0 of 1 outputs delivered",
        "virtual clock",
        "on veth0",
        "2 min ago",
        "1 charts",
    ];
    terminal.wait_for("the state of a locked host", |screen| parts.iter().all(|part| screen.contains(part)));
    assert!(terminal.is_alternate());
    // Each word on a small screen is on a large one too: no word is cut.
    let small = views(&terminal, SMALL);
    terminal.resize(LARGE);
    terminal.key("1");
    let screen = terminal.wait_for("all charts", |screen| {
        ["residual", "rate (ppm)", "phase error", "samples by ppm", "findings"]
            .iter()
            .all(|part| screen.contains(part))
            && ends(screen)
    });
    judge_shape(&screen, LARGE);
    let large = views(&terminal, LARGE);
    let cut: Vec<String> = words(&small).difference(&words(&large)).cloned().collect();
    assert!(cut.is_empty(), "{cut:?}\n{small}");
    // Small again; the next view by Tab; help is shown and hidden.
    terminal.resize(SMALL);
    terminal.key("1");
    judge_shape(
        &terminal.wait_for("the small screen", |screen| screen.contains("residual (ns)") && ends(screen)),
        SMALL,
    );
    terminal.key("Tab");
    terminal.wait_for("the next view", |screen| screen.contains("samples by ppm"));
    terminal.key("?");
    terminal.wait_for("help", |screen| screen.contains("╭ help"));
    terminal.key("Escape");
    terminal.wait_for("no help", |screen| !screen.contains("╭ help"));
    // A change of state is shown without a key.
    drop(leader);
    terminal.wait_for("holdover", |screen| screen.contains("HOLDOVER") && screen.contains("in holdover"));
    terminal.key("q");
    judge_restored(&terminal);

    // Signals and Ctrl-C restore the terminal too.
    for end in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        terminal.line(&watch(&lab.stage));
        terminal.wait_for("the screen", ends);
        kill(child(&terminal).expect("pmc-lite"), end).expect("a signal");
        judge_restored(&terminal);
    }
    terminal.line(&watch(&lab.stage));
    terminal.wait_for("the screen", ends);
    terminal.key("C-c");
    judge_restored(&terminal);
}

#[test]
fn watch_waits_for_daemons_and_for_a_larger_terminal() {
    if !may_use(&["tmux", "stty"]) {
        return;
    }
    let Some(lab) = Lab::new() else { return };
    let terminal = Tmux::start(&lab.stage, SMALL);
    terminal.line(&watch(&lab.stage));
    let screen = terminal.wait_for("the reason", |screen| screen.contains("no samples") && ends(screen));
    assert!(
        screen.contains("synchronisation unknown") && screen.contains("dante4l is not running"),
        "{screen}"
    );
    judge_shape(&screen, SMALL);
    // It shows programs that are started later.
    let _leader = lab.leader(&["--ppm=12"]);
    let _dante4l = lab.dante4l(&[]);
    terminal.wait_for("dante4l", |screen| screen.contains("SLAVE") && screen.contains("residual (ns)"));
    // In a terminal that is too small it states the required size, and continues.
    terminal.resize((40, 8));
    terminal.wait_for("the required size", |screen| screen.contains("larger terminal"));
    terminal.resize(SMALL);
    terminal.wait_for("the charts again", |screen| screen.contains("residual (ns)") && ends(screen));
}

/// When the terminal closes, `watch` ends also without SIGHUP (nohup).
#[test]
fn watch_ends_when_its_terminal_closes() {
    if !may_use(&["tmux"]) {
        return;
    }
    let stage = Stage::new();
    let terminal = Tmux::start(&stage, SMALL);
    let code = stage.folder().join("code");
    terminal.line(&format!("sh -c 'trap \"\" HUP; {}; echo $? >{}'", watch(&stage), code.display()));
    terminal.wait_for("the screen", ends);
    drop(terminal);
    let ended = wait_for("the end of watch", EVENT_TIMEOUT, || {
        std::fs::read_to_string(&code).ok().filter(|code| !code.is_empty())
    });
    assert_eq!(ended, "0\n");
}

#[test]
fn watch_refuses_to_run_without_terminal() {
    let stage = Stage::new();
    stage.run("pmc-lite", &["watch"]).expect(1, &["watch needs a terminal", "pmc-lite log"]);
}

/// A status bar reads a line a second, and closes the pipe when it ends.
#[test]
fn watch_line_writes_to_a_pipe_until_it_is_closed() {
    let stage = Stage::new();
    for (format, expected) in [("--line", "Dante unknown"), ("--line=json", "\"text\":\"Dante unknown\"")] {
        let mut command = stage.command("pmc-lite", &["watch", format]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("pmc-lite");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        for _ in 0..3 {
            let line = lines.next().expect("a line").expect("text");
            assert!(line.contains(expected), "{line}");
        }
        drop(lines);
        let ended = wait_for("the end of watch", EVENT_TIMEOUT, || child.try_wait().expect("its state"));
        assert_eq!(ended.code(), Some(0));
    }
    stage.run("pmc-lite", &["watch", "--line=xml"]).expect(2, &["text", "json"]);
}
