//! What a program inherits from the one that starts it: a terminal, an output that is full, limits, and a view of /proc.

use dante_core::page::{Body, Dante2sys};
use dante_os::clock::raw_now;
use dante_tests::lab::{may_be_root, may_run};
use dante_tests::program::built;
use dante_tests::stage::{DAEMONS, Stage};
use dante_tests::tmux::Tmux;
use dante_tests::{EVENT_TIMEOUT, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::path::Path;
use std::process::Command;

/// A program that ran on would occupy its instance.
#[test]
fn daemon_ends_with_its_terminal() {
    if !may_run(&["tmux"]) {
        return;
    }
    let stage = Stage::new();
    let terminal = Tmux::start(&stage, (80, 24));
    let program = built(Dante2sys::PROGRAM);
    terminal.line(&format!("{} --clock=virtual -m -q --instance={}", program.display(), stage.instance()));
    stage.wait_for(Dante2sys::PROGRAM, "page", "fresh", EVENT_TIMEOUT);
    let pid = stage.reader::<Dante2sys>().read(raw_now()).expect("its page").pid.cast_signed();
    drop(terminal);
    let ended = std::panic::catch_unwind(|| {
        wait_until("its end", EVENT_TIMEOUT, || !Path::new(&format!("/proc/{pid}")).exists());
    });
    if ended.is_err() {
        _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    assert!(ended.is_ok(), "runs on after its terminal was closed");
    assert_eq!(stage.status()[Dante2sys::PROGRAM]["page"], "stopped", "it did not end in order");
}

/// Starts a program with its stdout at the end of the file `to`.
fn to_file(to: &Path, program: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "exec >>\"$0\" && exec \"$@\""]).arg(to).args(program);
    command
}

#[test]
fn full_output_is_an_error_of_check_config() {
    let stage = Stage::new();
    for program in DAEMONS {
        let own = built(program).display().to_string();
        let words: &[&str] = if program == "dante4l" { &["-i", "lo"] } else { &[] };
        let command = to_file(Path::new("/dev/full"), &[&[&*own, "--check-config"], words].concat());
        let expected = format!("{program}: cannot write to stdout: No space left on device");
        stage.start(program, command).ended(EVENT_TIMEOUT).expect(1, &[&expected]);
    }
}

/// RLIMIT_FSIZE, as of `ulimit -f`: the kernel sends SIGXFSZ, which ends a program that does not ignore it.
#[test]
fn messages_beyond_the_file_size_limit_end_no_daemon() {
    if !may_run(&["prlimit"]) {
        return;
    }
    let stage = Stage::new();
    let path = stage.folder().join("messages");
    let limit = 1 << 20;
    File::create(&path).and_then(|file| file.set_len(limit)).expect("a file");
    let (limit, own) = (format!("--fsize={limit}"), built(Dante2sys::PROGRAM).display().to_string());
    let instance = format!("--instance={}", stage.instance());
    let words = ["prlimit", &limit, &own, "--clock=virtual", "-m", "-q", &instance];
    let program = stage.start(Dante2sys::PROGRAM, to_file(&path, &words));
    stage.wait_for(Dante2sys::PROGRAM, "page", "fresh", EVENT_TIMEOUT);
    program.stop().expect(0, &[]);
}

#[test]
fn thread_that_cannot_be_started_is_named() {
    if !may_be_root("becomes another user") || !may_run(&["prlimit", "setpriv"]) {
        return;
    }
    let stage = Stage::new();
    let mut words = stage.unprivileged(Dante2sys::PROGRAM);
    let own = words.pop().expect("a program");
    let mut command = Command::new(words.remove(0));
    // The limit counts the processes and threads of the user: this program is the first.
    command.args(words).args(["prlimit", "--nproc=1", &own, "--clock=virtual", "-q"]);
    command.args(["--ntp-server=127.0.0.1", &format!("--instance={}", stage.instance())]);
    let ended = stage.start(Dante2sys::PROGRAM, command).ended(EVENT_TIMEOUT);
    ended.expect(1, &["cannot start a thread for NTP server 127.0.0.1: Resource temporarily unavailable"]);
}

#[test]
fn doctor_that_sees_no_processes_does_not_report_that_there_are_none() {
    if !may_be_root("a mount namespace needs root") || !may_run(&["unshare", "mount"]) {
        return;
    }
    let stage = Stage::new();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"]);
    command.arg(built("pmc-lite")).args(["doctor", "-i", "lo"]);
    command.arg(format!("--instance={}", stage.instance()));
    let ended = stage.start("pmc-lite", command).ended(EVENT_TIMEOUT);
    for unknown in [
        "whether another program steers the system clock is not known",
        "which programs use UDP 319 and 320 is not known",
    ] {
        let text = ended.output.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(unknown), "{unknown}: {}", ended.output);
    }
}
