//! `pmc-lite log` beside a real dante4l: each sample once, also after a pause of either program or a restart of dante4l; `plot` of
//! the log.

use dante_core::page::Dante4l;
use dante_tests::lab::Lab;
use dante_tests::program::Program;
use dante_tests::stage::Stage;
use dante_tests::{EVENT_TIMEOUT, wait_for};
use nix::sys::signal::Signal;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The columns of a line that the tests judge.
#[derive(Debug)]
struct Row {
    instance: String,
    sequence: u64,
    missed: u64,
    raw_ns: i64,
    origin_ns: i64,
    rate_ppb: Option<f64>,
}

struct Log {
    program: Program,
    file: PathBuf,
}

impl Log {
    fn start(stage: &Stage, words: &[&str]) -> Self {
        let file = stage.folder().join("samples.csv");
        let output = format!("--output={}", file.display());
        let instance = format!("--instance={}", stage.instance());
        let words = [&["log", &output, &instance], words].concat();
        Self { program: stage.start("pmc-lite", stage.command("pmc-lite", &words)), file }
    }

    /// Returns all complete lines so far.
    fn rows(&self) -> Vec<Row> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
        let place = |name| names.iter().position(|each| *each == name).expect(name);
        lines
            .map(|line| line.split(',').collect::<Vec<_>>())
            .filter(|cells| cells.len() == names.len())
            .map(|cells| Row {
                instance: cells[place("instance")].into(),
                sequence: cells[place("sequence")].parse().expect("a number"),
                missed: cells[place("missed")].parse().expect("a number"),
                raw_ns: cells[place("raw_ns")].parse().expect("a time"),
                origin_ns: cells[place("origin_ns")].parse().expect("a time"),
                rate_ppb: cells[place("rate_ppb")].parse().ok(),
            })
            .collect()
    }

    fn wait_for(&self, what: &str, is_there: impl Fn(&[Row]) -> bool) -> Vec<Row> {
        wait_for(what, EVENT_TIMEOUT, || Some(self.rows()).filter(|rows| is_there(rows)))
    }
}

/// The rows of one run of dante4l have consecutive numbers and rising times, and none is missed.
fn expect_complete(rows: &[Row]) {
    for pair in rows.windows(2) {
        let [before, after] = pair else { continue };
        assert_eq!(after.sequence, before.sequence + 1, "{before:?} {after:?}");
        assert_eq!(after.missed, 0, "{after:?}");
        assert!(after.raw_ns > before.raw_ns && after.origin_ns > before.origin_ns, "{before:?} {after:?}");
    }
}

/// Each sample of dante4l's ring from the first to the last in the log is in the log with the same times.
fn expect_as_on_page(rows: &[Row], page: &Dante4l) {
    let [first, .., last] = rows else { panic!("{rows:?}") };
    let logged = first.sequence..=last.sequence;
    let samples: Vec<_> = page.samples_after(0).filter(|sample| logged.contains(&sample.number)).collect();
    assert!(samples.len() > 20, "{} of {rows:?}", samples.len());
    for sample in samples {
        let row = rows.iter().find(|row| row.sequence == sample.number);
        let row = row.unwrap_or_else(|| panic!("{sample:?} is not in the log"));
        assert_eq!((row.raw_ns, row.origin_ns), (sample.arrived_raw_ns, sample.origin_ns), "{row:?}");
    }
}

#[test]
fn log_has_each_sample_once() {
    let Some(lab) = Lab::new() else { return };
    let (_leader, first) = lab.following(&["--ppm=12"], &[]);
    let log = Log::start(&lab.stage, &[]);
    let rows = log.wait_for("some samples", |rows| rows.len() >= 6);
    expect_complete(&rows);
    log.wait_for("the leader's rate", |rows| {
        let last = rows.iter().rev().find_map(|row| row.rate_ppb);
        last.is_some_and(|rate| (rate - 12_000.0).abs() < 5_000.0)
    });

    // `log` is stopped for less than the 16 s that the ring holds: it finds all samples in the ring.
    log.program.signal(Signal::SIGSTOP);
    let stat = format!("/proc/{}/stat", log.program.pid());
    wait_for("a stopped process", EVENT_TIMEOUT, || {
        fs::read_to_string(&stat).ok()?.rsplit(") ").next()?.starts_with('T').then_some(())
    });
    let held = log.rows().len();
    let mut readers = lab.readers();
    let before = readers.clock().expect("a page").body.samples;
    wait_for("5 s of samples", EVENT_TIMEOUT, || {
        (readers.clock()?.body.samples >= before + 20).then_some(())
    });
    assert_eq!(log.rows().len(), held, "rows of a stopped process");
    log.program.signal(Signal::SIGCONT);
    let rows = log.wait_for("the samples meanwhile", |rows| rows.len() >= held + 20);
    expect_complete(&rows);
    expect_as_on_page(&rows, &readers.clock().expect("a page").body);

    // After a restart of dante4l the numbers start at 1 again, and the instance differs.
    assert_eq!(first.stop().code, Some(0));
    let _second = lab.dante4l(&[]);
    let is_two = |rows: &[Row]| {
        rows.chunk_by(|a, b| a.instance == b.instance).any(|part| part[0].sequence == 1 && part.len() > 2)
    };
    let rows = log.wait_for("samples of the second run", is_two);
    let parts: Vec<&[Row]> = rows.chunk_by(|a, b| a.instance == b.instance).collect();
    assert_eq!(parts.len(), 2, "{rows:?}");
    assert_eq!(parts[1][0].missed, 0);
    parts.into_iter().for_each(expect_complete);

    let file = log.file.clone();
    let ended = log.program.stop();
    ended.expect(0, &["dante4l was restarted"]);
    assert!(fs::read_to_string(&file).expect("a log").ends_with('\n'), "the last line is complete");
    judge_plots(&lab.stage, &file);
}

/// Plots a log in both formats; a plot that fails leaves no file.
fn judge_plots(stage: &Stage, log: &std::path::Path) {
    let input = format!("--input={}", log.display());
    let picture = |name: &str| stage.folder().join(name).display().to_string();
    for (name, start) in [("plot.svg", b"<svg".as_slice()), ("plot.png", b"\x89PNG")] {
        stage.run("pmc-lite", &["plot", &input, &picture(name)]).expect(0, &[]);
        let bytes = fs::read(picture(name)).expect(name);
        assert!(bytes.starts_with(start), "{name}");
    }
    let svg = fs::read_to_string(picture("plot.svg")).expect("a picture");
    for part in
        ["Dante leader ", "residual of each Sync", "rate of the leader", "samples by ppm", "ppm", "UTC"]
    {
        assert!(svg.contains(part), "{part}");
    }
    stage.run("pmc-lite", &["plot", &input, &picture("plot.gif")]).expect(1, &[".svg or .png"]);
    stage
        .run("pmc-lite", &["plot", &input, &picture("none/plot.svg")])
        .expect(1, &["cannot write", "does not exist"]);
    // A device is not replaced by a file.
    std::os::unix::fs::symlink("/dev/null", picture("device.svg")).expect("a link");
    stage.run("pmc-lite", &["plot", &input, &picture("device.svg")]).expect(0, &[]);
    assert!(stage.folder().join("device.svg").is_symlink());
    stage
        .run("pmc-lite", &["plot", "--input=/dev/null", &picture("no.svg")])
        .expect(1, &["no sample to draw"]);
    assert!(!stage.folder().join("no.svg").exists());
}

#[test]
fn plot_draws_live_samples() {
    let Some(lab) = Lab::new() else { return };
    let _leader = lab.leader(&["--ppm=12"]);
    let _dante4l = lab.dante4l(&[]);
    let _dante2sys = lab.dante2sys();
    lab.readers().wait_for_steerer(dante_core::steer::State::Locked, EVENT_TIMEOUT);
    let instance = format!("--instance={}", lab.stage.instance());
    let path = lab.stage.folder().join("plot.svg");
    let picture = path.display().to_string();
    lab.stage.run("pmc-lite", &["plot", "--seconds=5", &instance, &picture]).expect(0, &[]);
    let svg = fs::read_to_string(&path).expect("a picture");
    assert!(svg.contains("phase error of the steered clock"), "{svg}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

#[test]
fn log_and_plot_fail_without_a_sample() {
    let stage = Stage::new();
    let instance = format!("--instance={}", stage.instance());
    let words = ["log", "--seconds=1", &instance];
    stage
        .run("pmc-lite", &words)
        .expect(1, &["waiting: /dev/shm/", "does not exist", "no sample came within 1 s"]);
    stage.run("pmc-lite", &["plot", "--seconds=1", &instance, "a.svg"]).expect(1, &["no sample to draw"]);
    stage.run("pmc-lite", &["log", "--output=/none/log", &instance]).expect(1, &["cannot write /none/log"]);
}

#[test]
fn full_disk_is_reported_and_closed_pipe_ends_log() {
    let Some(lab) = Lab::new() else { return };
    let _both = lab.following(&["--ppm=12"], &[]);
    let instance = format!("--instance={}", lab.stage.instance());
    let full = lab.stage.command("pmc-lite", &["log", "--output=/dev/full", &instance]);
    let full = lab.stage.start("pmc-lite", full).ended(EVENT_TIMEOUT);
    full.expect(1, &["cannot write /dev/full", "No space left"]);
    let mut command: Command = lab.stage.command("pmc-lite", &["log", "--format=json", &instance]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("pmc-lite");
    let mut reader = std::io::BufReader::new(child.stdout.take().expect("the output"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut reader, &mut line).expect("a line");
    assert!(line.starts_with("{\"time\":\"") && line.contains("\"residual_ns\":"), "{line}");
    drop(reader);
    let output = child.wait_with_output().expect("the exit status");
    assert_eq!(output.status.code(), Some(0));
    let errors = String::from_utf8_lossy(&output.stderr);
    // On a busy machine the page may be stale for a moment.
    assert!(errors.lines().all(|line| line.starts_with("pmc-lite: waiting")), "{errors}");
}
