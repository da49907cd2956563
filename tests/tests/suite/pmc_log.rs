//! `pmc-lite log` beside the real dante4l: every sample once, whatever becomes of the reader and the writer; and `plot` of what
//! it wrote.

use dante_core::page::Dante4l;
use dante_tests::lab::Lab;
use dante_tests::program::Program;
use dante_tests::stage::Stage;
use dante_tests::wait_for;
use nix::sys::signal::Signal;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// A line, as far as it is judged.
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

    /// All whole lines so far, by the names of their columns.
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
        wait_for(what, PATIENCE, || Some(self.rows()).filter(|rows| is_there(rows)))
    }
}

/// Of one start of dante4l: numbers that follow each other, later and later times, none lost.
fn complete(rows: &[Row]) {
    for pair in rows.windows(2) {
        let [before, after] = pair else { continue };
        assert_eq!(after.sequence, before.sequence + 1, "{before:?} {after:?}");
        assert_eq!(after.missed, 0, "{after:?}");
        assert!(after.raw_ns > before.raw_ns && after.origin_ns > before.origin_ns, "{before:?} {after:?}");
    }
}

/// Each sample of dante4l's ring, from the first to the last in the log, is in the log as it is there.
fn as_on_the_page(rows: &[Row], page: &Dante4l) {
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
fn nothing_is_lost_or_doubled() {
    let Some(lab) = Lab::new() else { return };
    let (_leader, first) = lab.following(&["--ppm=12"], &[]);
    let log = Log::start(&lab.stage, &[]);
    let rows = log.wait_for("some samples", |rows| rows.len() >= 6);
    complete(&rows);
    log.wait_for("the leader's rate", |rows| {
        let last = rows.iter().rev().find_map(|row| row.rate_ppb);
        last.is_some_and(|rate| (rate - 12_000.0).abs() < 5_000.0)
    });

    // A reader that is held up for less than the ring's 16 s finds everything in it.
    log.program.signal(Signal::SIGSTOP);
    let stat = format!("/proc/{}/stat", log.program.pid());
    wait_for("it is held up", PATIENCE, || {
        fs::read_to_string(&stat).ok()?.rsplit(") ").next()?.starts_with('T').then_some(())
    });
    let held = log.rows().len();
    let mut eyes = lab.eyes();
    let before = eyes.clock().expect("a page").body.samples;
    wait_for("5 s of samples", PATIENCE, || (eyes.clock()?.body.samples >= before + 20).then_some(()));
    assert_eq!(log.rows().len(), held, "it was held up");
    log.program.signal(Signal::SIGCONT);
    let rows = log.wait_for("what it missed", |rows| rows.len() >= held + 20);
    complete(&rows);
    as_on_the_page(&rows, &eyes.clock().expect("a page").body);

    // Another start of dante4l counts anew, and is told apart.
    assert_eq!(first.stop().code, Some(0));
    let _second = lab.dante4l(&[]);
    let is_two = |rows: &[Row]| {
        rows.chunk_by(|a, b| a.instance == b.instance).any(|part| part[0].sequence == 1 && part.len() > 2)
    };
    let rows = log.wait_for("samples of the second start", is_two);
    let parts: Vec<&[Row]> = rows.chunk_by(|a, b| a.instance == b.instance).collect();
    assert_eq!(parts.len(), 2, "{rows:?}");
    assert_eq!(parts[1][0].missed, 0);
    parts.into_iter().for_each(complete);

    let file = log.file.clone();
    let ended = log.program.stop();
    ended.expect(0, &["dante4l was restarted"]);
    assert!(fs::read_to_string(&file).expect("a log").ends_with('\n'), "the last line is whole");
    pictures(&lab.stage, &file);
}

/// Of a log, in both formats; nothing half-done stays behind.
fn pictures(stage: &Stage, log: &std::path::Path) {
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
        .expect(1, &["cannot write", "there is no folder"]);
    // What is no file is not replaced by one.
    std::os::unix::fs::symlink("/dev/null", picture("device.svg")).expect("a link");
    stage.run("pmc-lite", &["plot", &input, &picture("device.svg")]).expect(1, &["is no file"]);
    stage
        .run("pmc-lite", &["plot", "--input=/dev/null", &picture("no.svg")])
        .expect(1, &["no sample to draw"]);
    assert!(!stage.folder().join("no.svg").exists());
}

#[test]
fn a_picture_of_what_comes() {
    let Some(lab) = Lab::new() else { return };
    let _leader = lab.leader(&["--ppm=12"]);
    let _dante4l = lab.dante4l(&[]);
    let _dante2sys = lab.dante2sys();
    lab.eyes().wait_for_steerer(dante_core::steer::State::Locked, PATIENCE);
    let instance = format!("--instance={}", lab.stage.instance());
    let path = lab.stage.folder().join("plot.svg");
    let picture = path.display().to_string();
    lab.stage.run("pmc-lite", &["plot", "--seconds=5", &instance, &picture]).expect(0, &[]);
    let svg = fs::read_to_string(&path).expect("a picture");
    assert!(svg.contains("phase error of the steered clock"), "{svg}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

#[test]
fn without_a_sample_it_says_so() {
    let stage = Stage::new();
    let instance = format!("--instance={}", stage.instance());
    let words = ["log", "--seconds=1", &instance];
    stage.run("pmc-lite", &words).expect(1, &["waiting: there is no page", "no sample came within 1 s"]);
    stage.run("pmc-lite", &["plot", "--seconds=1", &instance, "a.svg"]).expect(1, &["no sample to draw"]);
    stage.run("pmc-lite", &["log", "--output=/none/log"]).expect(1, &["cannot write /none/log"]);
}

/// A full disk is told, and a reader that has seen enough ends it quietly.
#[test]
fn a_disk_that_is_full_and_a_pipe_that_is_closed() {
    let Some(lab) = Lab::new() else { return };
    let _both = lab.following(&["--ppm=12"], &[]);
    let instance = format!("--instance={}", lab.stage.instance());
    let full = lab.stage.command("pmc-lite", &["log", "--output=/dev/full", &instance]);
    let full = lab.stage.start("pmc-lite", full).ended(PATIENCE);
    full.expect(1, &["cannot write /dev/full", "No space left"]);
    let mut command: Command = lab.stage.command("pmc-lite", &["log", "--format=json", &instance]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("pmc-lite");
    let mut reader = std::io::BufReader::new(child.stdout.take().expect("its output"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut reader, &mut line).expect("a line");
    assert!(line.starts_with("{\"time\":\"") && line.contains("\"residual_ns\":"), "{line}");
    drop(reader);
    let output = child.wait_with_output().expect("its end");
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8_lossy(&output.stderr);
    // Where the machine was held up, the page was old for a moment.
    assert!(said.lines().all(|line| line.starts_with("pmc-lite: waiting")), "{said}");
}
