//! `pmc-lite watch` in a real terminal, beside the real programs: what is seen, what keys do, and what is left behind.

use dante_core::steer;
use dante_tests::lab::{Lab, may_use};
use dante_tests::program::built;
use dante_tests::stage::Stage;
use dante_tests::tmux::{PROMPT, Tmux};
use dante_tests::wait_for;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const MARK: &str = "what stood here before";
const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (200, 50);
/// The views' names, by the keys that show them.
const VIEWS: [(&str, &str); 4] =
    [("1", "residual (ns)"), ("2", "samples by ppm"), ("3", "counters of dante4l"), ("4", "╭ findings")];

fn watch(stage: &Stage) -> String {
    format!("{} watch --instance={}", built("pmc-lite").display(), stage.instance())
}

/// Each line of the body is within its box, and nothing is wider than the terminal.
fn judge_shape(screen: &str, (width, height): (u16, u16)) {
    let lines: Vec<&str> = screen.lines().collect();
    assert_eq!(lines.len(), usize::from(height), "{screen}");
    for line in &lines {
        assert!(line.chars().count() <= usize::from(width), "{line}");
        let first = line.chars().next().unwrap_or(' ');
        if "│╭╰".contains(first) {
            assert_eq!(line.chars().count(), usize::from(width), "its box is cut: {line}");
            assert!(line.ends_with(['│', '╮', '╯']), "{line}");
        }
    }
    assert!(lines[0].starts_with(" pmc-lite watch"), "{screen}");
    for (line, name) in lines[1..5].iter().zip(["leader", "dante4l", "dante2sys", "danteshm"]) {
        assert!(line.starts_with(&format!(" {name} ")), "{screen}");
    }
    assert!(lines[usize::from(height) - 1].trim_end().ends_with("q quit"), "{screen}");
}

/// Words, not numbers or names of devices.
fn words(screen: &str) -> BTreeSet<String> {
    screen
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| word.len() > 2 && word.chars().all(|c| c.is_ascii_alphabetic() || c == '_'))
        .map(str::to_owned)
        .collect()
}

/// All views at one size, each judged.
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

/// It is drawn down to the last line.
fn ends(screen: &str) -> bool {
    screen.trim_end().ends_with("q quit")
}

/// The program in the terminal's foreground.
fn child(terminal: &Tmux) -> Option<Pid> {
    let shell = terminal.shell();
    let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok().map(Pid::from_raw)
}

/// The shell is back as it was, with what stood there before, and its terminal takes lines and shows them.
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

/// Prints [`MARK`] at the top, and waits for the prompt below it: what is typed before the shell has read the line before
/// is shown amid its output.
fn mark(terminal: &Tmux) {
    terminal.line(&format!("clear; echo {MARK}"));
    let shown = format!("{MARK}\n{}", PROMPT.trim_end());
    terminal.wait_for("the mark", |screen| screen.trim_end() == shown);
}

#[test]
fn beside_the_suite() {
    if !may_use(&["tmux", "stty"]) {
        return;
    }
    let Some(lab) = Lab::new() else { return };
    let leader = lab.leader(&["--ppm=12"]);
    let _daemons = lab.daemons();
    lab.eyes().wait_for_steerer(steer::State::Locked, PATIENCE);
    lab.eyes().wait_for_relay(dante_core::relay::State::Feeding, PATIENCE);
    let terminal = Tmux::start(&lab.stage, SMALL);
    mark(&terminal);
    terminal.line(&watch(&lab.stage));
    let parts = [
        "rate (ppm)",
        "ppm +/-",
        "in step with Dante",
        "SLAVE",
        "LOCKED",
        "FEEDING",
        "virtual clock",
        "on veth0",
        "2 min ago",
        "1 charts",
    ];
    terminal.wait_for("all that is well", |screen| parts.iter().all(|part| screen.contains(part)));
    assert!(terminal.is_alternate());
    // Nothing is shown in a small terminal but what a large one shows too: no word was cut.
    let small = views(&terminal, SMALL);
    terminal.resize(LARGE);
    terminal.key("1");
    let screen = terminal.wait_for("all at once", |screen| {
        ["residual", "rate (ppm)", "phase error", "samples by ppm", "findings"]
            .iter()
            .all(|part| screen.contains(part))
            && ends(screen)
    });
    judge_shape(&screen, LARGE);
    let large = views(&terminal, LARGE);
    let cut: Vec<String> = words(&small).difference(&words(&large)).cloned().collect();
    assert!(cut.is_empty(), "{cut:?}\n{small}");
    // And back, by Tab too; help comes and goes.
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
    // What happens is seen without a key.
    drop(leader);
    terminal.wait_for("holdover", |screen| screen.contains("HOLDOVER") && screen.contains("in holdover"));
    terminal.key("q");
    judge_restored(&terminal);

    // Whoever ends it, the terminal is left as it was.
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
fn before_anything_runs() {
    if !may_use(&["tmux", "stty"]) {
        return;
    }
    let Some(lab) = Lab::new() else { return };
    let terminal = Tmux::start(&lab.stage, SMALL);
    terminal.line(&watch(&lab.stage));
    let screen = terminal.wait_for("a word about it", |screen| screen.contains("no samples") && ends(screen));
    assert!(
        screen.contains("NOT known to be in step with Dante") && screen.contains("dante4l is not running"),
        "{screen}"
    );
    judge_shape(&screen, SMALL);
    // It goes on waiting, and sees what is started.
    let _leader = lab.leader(&["--ppm=12"]);
    let _dante4l = lab.dante4l(&[]);
    terminal.wait_for("dante4l", |screen| screen.contains("SLAVE") && screen.contains("residual (ns)"));
    // Too small a terminal says what is needed, and is no end.
    terminal.resize((40, 8));
    terminal.wait_for("what is needed", |screen| screen.contains("larger terminal"));
    terminal.resize(SMALL);
    terminal.wait_for("the charts again", |screen| screen.contains("residual (ns)") && ends(screen));
}

/// Its window is closed, or the connection that it came by: it ends also where no signal says so (nohup), and does not go on
/// reading a terminal that is no more.
#[test]
fn without_its_terminal_it_ends() {
    if !may_use(&["tmux"]) {
        return;
    }
    let stage = Stage::new();
    let terminal = Tmux::start(&stage, SMALL);
    let code = stage.folder().join("code");
    terminal.line(&format!("sh -c 'trap \"\" HUP; {}; echo $? >{}'", watch(&stage), code.display()));
    terminal.wait_for("the screen", ends);
    drop(terminal);
    let ended =
        wait_for("its end", PATIENCE, || std::fs::read_to_string(&code).ok().filter(|code| !code.is_empty()));
    assert_eq!(ended, "0\n");
}

#[test]
fn without_a_terminal_it_refuses() {
    let stage = Stage::new();
    stage.run("pmc-lite", &["watch"]).expect(1, &["watch needs a terminal", "pmc-lite log"]);
}
