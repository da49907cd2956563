//! The clock pages as other programs use them: a reader in C reads live pages, damaged pages, pages of other users and of other
//! versions.

use crate::pages::{earlier_version, later_version, replace, resize, version_of, write_tail};
use dante_core::announcement::PtpVersion;
use dante_core::page::{
    Array, Body, CLOCK_HAS_LEADER, CLOCK_HAS_MAP, CLOCK_HAS_PATH_DELAY, CLOCK_LOCKED, Dante2sys,
    Dante2sysStatus, Dante4l, Danteshm, HEAD_SIZE, Life, MapRecord, STEER_HAS_PIECE, STEER_HAS_UTC,
    STEER_UTC_SYNCHRONISED, SampleRecord, TAIL_SIZE,
};
use dante_core::time::Timestamp;
use dante_core::timescale::Piece;
use dante_core::{port, steer};
use dante_os::clock::raw_now;
use dante_os::page::PageWriter;
use dante_tests::lab::{Lab, may_be_root, may_run};
use dante_tests::package::sources;
use dante_tests::program::Program;
use dante_tests::stage::Stage;
use dante_tests::{EVENT_TIMEOUT, NOBODY, judge, skip, wait_for};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use zerocopy::FromZeros;

/// Instance number on pages that a test writes itself.
const INSTANCE: u64 = 7;

/// Compiles the reader in C with sanitizers for addresses and undefined behaviour.
fn reader(stage: &Stage) -> PathBuf {
    reader_with(stage, &[])
}

/// Compiles the reader in C with sanitizers and these options.
pub fn reader_with(stage: &Stage, options: &[&str]) -> PathBuf {
    let program = stage.folder().join("page_reader");
    let sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    let words = [&["-std=c11", "-pedantic", "-O2"], &sanitizers[..], options].concat();
    compile("cc", &words, &sources().join("tests/consumers/page_reader.c"), Some(&program));
    program
}

/// Compiles the example of the documentation.
fn example(stage: &Stage) -> PathBuf {
    let program = stage.folder().join("dante-now");
    compile("cc", &["-O2"], &sources().join("files/include/examples/dante-now.c"), Some(&program));
    program
}

/// Compiles `source`, with all warnings as errors; without `program` only the syntax is checked.
pub fn compile(compiler: &str, words: &[&str], source: &Path, program: Option<&Path>) {
    let mut command = Command::new(compiler);
    command.args(["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Werror", "-I"]);
    command.arg(sources().join("files/include")).args(words).arg(source);
    match program {
        Some(program) => command.arg("-o").arg(program),
        None => command.arg("-fsyntax-only"),
    };
    let output = command.output().expect(compiler);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && errors.is_empty(), "{command:?}: {errors}");
}

/// Runs the reader and returns what it prints.
pub fn run(reader: &Path, words: &[&str]) -> Reading {
    let output = Command::new(reader).args(words).output().expect("the reader");
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{line}{}", String::from_utf8_lossy(&output.stderr));
    Reading::of(&line)
}

/// The words `name=number` of a line.
#[derive(Debug)]
pub struct Reading(pub BTreeMap<String, String>);

impl Reading {
    pub fn of(line: &str) -> Self {
        let words = line.split_whitespace().filter_map(|word| word.split_once('='));
        Self(words.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    pub fn get<T: std::str::FromStr>(&self, name: &str) -> T {
        let found = self.0.get(name).and_then(|value| value.parse().ok());
        found.unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub fn int(&self, name: &str) -> i64 {
        self.get(name)
    }
}

/// A clock page of dante4l that the test writes itself, and the reader in C.
struct Scene {
    stage: Stage,
    reader: PathBuf,
    page: PathBuf,
}

impl Scene {
    /// `None` without a compiler.
    fn new() -> Option<Self> {
        may_run(&["cc"]).then(|| {
            let stage = Stage::new();
            Self { reader: reader(&stage), page: stage.page::<Dante4l>(), stage }
        })
    }

    fn read(&self) -> Reading {
        run(&self.reader, &["read", &self.stage.instance()])
    }
}

#[test]
fn c_reader_gets_dante_time_rate_and_utc_from_live_pages() {
    if !may_run(&["cc"]) {
        return;
    }
    let Some(lab) = Lab::new() else { return };
    let reader = reader(&lab.stage);
    let _daemons = lab.daemons();
    let leader = lab.leader(&["--ppm=12"]);
    let mut readers = lab.readers();
    let mut steered = lab.stage.reader::<Dante2sys>();
    let mut relayed = lab.stage.reader::<Danteshm>();
    let mut status = lab.stage.reader::<Dante2sysStatus>();
    let is_certain = |readers: &mut dante_tests::lab::Readers| {
        let map = readers.map()?;
        (map.uncertainty_at(raw_now()).rate.ppb() < 200.0).then_some(())
    };
    readers.wait_for_steerer(steer::State::Locked, EVENT_TIMEOUT);
    wait_for("a rate uncertainty below 200 ppb", EVENT_TIMEOUT * 4, || is_certain(&mut readers));
    // The contents of the pages while the reader in C reads them, by the suite's own reader. While the leader is stopped, no page
    // changes; it is stopped for less than the 2.5 s after which it counts as lost.
    let mut read_unchanged = || {
        let before = readers.clock()?;
        let utc = steered.read(raw_now()).ok()?.body;
        let relay = relayed.read(raw_now()).ok()?.body;
        let line = status.read(raw_now()).ok()?.body.line()?;
        let reading = run(&reader, &["read", &lab.stage.instance()]);
        let same = status.read(raw_now()).ok()?.body.line()? == line
            && relayed.read(raw_now()).ok()?.body == relay
            && steered.read(raw_now()).ok()?.body.piece == utc.piece
            && readers.clock()?.body == before.body;
        let is_locked = port::State::from_number(before.body.state) == Some(port::State::Slave)
            && utc.state() == Some(steer::State::Locked);
        (same && is_locked).then_some((reading, before, utc, relay, line))
    };
    let (reading, clock, piece, epoch, line) = wait_for("pages that do not change", EVENT_TIMEOUT, || {
        std::thread::sleep(LEADER_PAUSE);
        leader.program.signal(Signal::SIGSTOP);
        // The last packets are processed meanwhile.
        std::thread::sleep(LEADER_PAUSE);
        let found = read_unchanged();
        leader.program.signal(Signal::SIGCONT);
        found
    });
    let ok = |name: &str| assert_eq!(reading.int(name), 0, "{name}: {reading:?}");
    ["dante4l", "dante2sys", "danteshm", "time", "utc_result"].into_iter().for_each(ok);
    let raw = Timestamp::from_ns(reading.int("raw"));
    let map = clock.body.map().expect("a map");
    let dante = map.dante_at(raw);
    assert_eq!(reading.int("dante"), dante.ns());
    assert_eq!(reading.get::<f64>("rate").to_bits(), map.line.rate.fraction().to_bits());
    let sigma: f64 = reading.get("sigma");
    assert!((sigma - map.uncertainty_at(raw).offset.ns() as f64).abs() <= 0.5, "{reading:?}");
    assert_eq!(reading.int("state"), port::State::Slave as i64);
    assert_eq!(reading.get::<u64>("samples"), clock.body.samples);
    assert_eq!(reading.get::<usize>("held"), clock.body.samples_after(0).count());
    assert_eq!(reading.get::<u64>("last"), clock.body.samples_after(0).last().expect("a sample").number);
    assert!(!reading.0.contains_key("gap"), "{reading:?}");
    assert_eq!(reading.int("steer_state"), steer::State::Locked as i64);
    assert_eq!((reading.int("relay_state"), reading.int("epoch")), (i64::from(epoch.state), epoch.epoch_ns));
    let utc = piece.utc_at(dante).expect("a piece").ns();
    assert_eq!(reading.int("utc"), utc);
    let mut command = Command::new(example(&lab.stage));
    command.arg(lab.stage.instance());
    lab.stage.start("dante-now", command).wait_for_output(" ns (ok), UTC ", EVENT_TIMEOUT);
    // Against the leader's true time and the clock that dante2sys steers.
    let truth = leader.truth();
    judge("Dante time in C - truth", (reading.int("dante") - truth.at(raw).ns()) as f64 / 1e3, 50.0, "us");
    judge(
        "rate in C - truth",
        (reading.get::<f64>("rate") - truth.rate_at(raw).fraction()) * 1e9,
        100.0,
        "ppb",
    );
    judge("UTC in C - the steered clock", (reading.int("utc") - line.at(raw).ns()) as f64 / 1e3, 20.0, "us");
}

/// Time for which the leader is stopped before pages are read, and runs before it is stopped again.
const LEADER_PAUSE: Duration = Duration::from_millis(300);

/// The reader in its loop, and the length of its output that was processed.
struct Loop {
    program: Program,
    seen: usize,
}

impl Loop {
    fn wait_for(&mut self, words: &str, after: &str) {
        let Self { program, seen } = self;
        let line = format!("result {words}");
        *seen += wait_for(&format!("{line:?}, {after}"), EVENT_TIMEOUT, || {
            assert!(program.runs(), "{after}: the reader ended: {}", program.output());
            let output = program.output();
            let at = output.get(*seen..)?.find(&line)?;
            Some(at + line.len())
        });
    }

    /// Waits until the reader has read Dante time again.
    fn wait_for_time(&mut self, after: &str) {
        let from = self.program.output().len();
        self.seen = wait_for(&format!("Dante time, {after}"), EVENT_TIMEOUT, || {
            assert!(self.program.runs(), "{after}: the reader ended: {}", self.program.output());
            let output = self.program.output();
            (output.get(from..)?.matches("time raw=").count() > 1).then_some(output.len())
        });
    }
}

/// Returns the 8 bytes at `at` of a page's file.
fn word(page: &Path, at: usize) -> u64 {
    let bytes = fs::read(page).expect("the page");
    bytes.get(at..at + 8).map_or(0, |word| u64::from_ne_bytes(word.try_into().expect("8 bytes")))
}

/// Renames the page's file.
fn rename(page: &Path, other: &Path) {
    fs::rename(page, other).expect("another name");
}

/// Renames the page's file in two steps, between which it has both names.
fn link_and_remove(page: &Path, other: &Path) {
    fs::hard_link(page, other).expect("a second name");
    fs::remove_file(page).expect("removing");
}

#[test]
fn c_reader_survives_changes_of_the_page_during_reads() {
    if !may_run(&["cc"]) {
        return;
    }
    let Some(lab) = Lab::new() else { return };
    let reader = reader(&lab.stage);
    let (leader, dante4l) = lab.following(&["--ppm=12"], &[]);
    let mut command = Command::new(&reader);
    command.args(["loop", &lab.stage.instance()]);
    let mut program = Loop { program: lab.stage.start("page_reader", command), seen: 0 };
    program.wait_for("0: ok", "at the start");
    let page = lab.stage.page::<Dante4l>();
    type Act = fn(&Path);
    let acts: [(&str, &str, Act); 6] = [
        ("truncated", "-1: absent", |page| resize(page, &[0])),
        ("shortened", "-5: wrong size", |page| resize(page, &[136])),
        ("extended", "-5: wrong size", |page| resize(page, &[1 << 20])),
        ("emptied", "-1: absent", |page| resize(page, &[0, Dante4l::SIZE as u64])),
        ("deleted", "-1: absent", |page| fs::remove_file(page).expect("removing")),
        ("replaced", "-6: not a page", replace),
    ];
    for (what, result, act) in acts {
        // dante4l is stopped until the reader has seen the changed page, or it could recreate the page first.
        dante4l.signal(Signal::SIGSTOP);
        act(&page);
        program.wait_for(result, what);
        dante4l.signal(Signal::SIGCONT);
        program.wait_for("0: ok", what);
    }
    // The page is torn until the next publication; the loop prints no line for a torn reading.
    for size in [40, 192, 1000] {
        let after = format!("cut at {size} bytes and extended");
        resize(&page, &[size, Dante4l::SIZE as u64]);
        wait_for(&format!("a whole page, {after}"), EVENT_TIMEOUT, || {
            let tail = word(&page, Dante4l::SIZE - TAIL_SIZE);
            (word(&page, 64) != 0 && tail != 0).then_some(())
        });
        program.wait_for_time(&after);
    }
    let other = page.with_extension("other");
    type Move = fn(&Path, &Path);
    for (after, act) in [("renamed", rename as Move), ("linked and removed", link_and_remove)] {
        act(&page, &other);
        wait_for(&format!("the old file is stopped, {after}"), EVENT_TIMEOUT, || {
            (Life::of_word(word(&other, 24)) == Life::Stopped).then_some(())
        });
        program.wait_for_time(after);
        fs::remove_file(&other).expect("removing");
    }
    dante4l.kill();
    program.wait_for("1: stale", "the writer was killed");
    let mut dante4l = lab.dante4l(&[]);
    program.wait_for("0: ok", "the writer was started again");
    // After a stale or torn file the reader opens the new file of that name.
    for is_torn in [false, true] {
        dante4l.kill();
        program.wait_for("1: stale", "the writer was killed");
        if is_torn {
            resize(&page, &[1000, Dante4l::SIZE as u64]);
        }
        rename(&page, &other);
        program.wait_for("-1: absent", "its page was renamed");
        dante4l = lab.dante4l(&[]);
        program.wait_for("0: ok", "the writer was started again");
        fs::remove_file(&other).expect("removing");
    }
    dante4l.stop().expect(0, &[]);
    program.wait_for("2: stopped", "the writer ended");
    let ended = program.program.stop();
    ended.expect(0, &["time raw="]);
    assert!(!ended.output.contains("wrong:"), "{}", ended.output);
    let truth = leader.truth();
    let times: Vec<Reading> =
        ended.output.lines().filter(|line| line.starts_with("time ")).map(Reading::of).collect();
    let worst = times
        .iter()
        .map(|time| (time.int("dante") - truth.at(Timestamp::from_ns(time.int("raw"))).ns()) as f64 / 1e3);
    let worst = worst.fold(0.0, |worst: f64, error| if error.abs() > worst.abs() { error } else { worst });
    judge("Dante time in C - truth, worst", worst, 100.0, "us");
    let reads = ended.output.lines().last().and_then(|line| line.strip_prefix("reads ")?.parse::<u64>().ok());
    println!("Dante time printed {} times, {reads:?} reads", times.len());
    assert!(times.len() > 5 && reads.is_some_and(|reads| reads > 10_000), "{}", ended.output);
}

/// A page as dante4l publishes it, after more samples than its ring of 64 holds.
fn body() -> Dante4l {
    let mut body = Dante4l {
        state: port::State::Slave as u8,
        protocol: PtpVersion::V1 as u8,
        flags: CLOCK_HAS_LEADER | CLOCK_HAS_MAP | CLOCK_HAS_PATH_DELAY | CLOCK_LOCKED,
        timeline: 3,
        map: MapRecord {
            raw0_ns: raw_now().ns(),
            dante0_ns: 77_000_000_000,
            rate: 12e-6,
            offset_sigma_ns: 300,
            ..MapRecord::new_zeroed()
        },
        path_delay_ns: 1235,
        ..Dante4l::default()
    };
    for number in 1..=100 {
        body.push(SampleRecord { number, timeline: 3, ..SampleRecord::new_zeroed() });
    }
    body
}

/// The page of a version with all fields and a ring of 16 samples.
fn with_short_ring(body: &Dante4l) -> Vec<u8> {
    let own = Dante4l::ARRAY.expect("a ring");
    version_of(body, own.offset - HEAD_SIZE, Array { entries: 16, ..own }, INSTANCE)
}

#[test]
fn c_reader_reads_other_minor_versions() {
    let Some(scene) = Scene::new() else { return };
    let (page, read) = (&scene.page, || scene.read());
    let body = body();
    let map = body.map().expect("a map");
    let expect_map = |reading: &Reading| {
        assert_eq!((reading.int("dante4l"), reading.int("time")), (0, 0), "{reading:?}");
        let raw = Timestamp::from_ns(reading.int("raw"));
        assert_eq!((reading.int("dante"), reading.int("timeline")), (map.dante_at(raw).ns(), 3));
        assert!(!reading.0.contains_key("gap"), "{reading:?}");
    };
    fs::write(page, later_version(&body, INSTANCE)).expect("a page");
    let reading = read();
    expect_map(&reading);
    let figures = ["samples", "held", "last", "path_delay"].map(|name| reading.int(name));
    assert_eq!(figures, [100, 64, 100, 1235]);
    // A state of a later version: programs judge by the flags.
    for (state, flags, time) in
        [(200, body.flags, 0), (port::State::Slave as u8, body.flags & !CLOCK_LOCKED, 3)]
    {
        fs::write(page, later_version(&Dante4l { state, flags, ..body }, INSTANCE)).expect("a page");
        assert_eq!(read().int("time"), time, "state {state}");
    }
    // The earlier version has neither path delay nor count of samples.
    fs::write(page, earlier_version(&body, INSTANCE)).expect("a page");
    let reading = read();
    expect_map(&reading);
    let figures = ["samples", "held", "last", "path_delay"].map(|name| reading.int(name));
    assert_eq!(figures, [0, 0, 0, 0]);
    // This ring is shorter than the reader's.
    fs::write(page, with_short_ring(&body)).expect("a page");
    let reading = read();
    expect_map(&reading);
    let figures = ["samples", "held", "last", "path_delay"].map(|name| reading.int(name));
    assert_eq!(figures, [100, 16, 100, 1235]);
}

#[test]
fn page_of_other_layout_is_replaced_and_old_file_marked_replaced() {
    let stage = Stage::new();
    let page = stage.page::<Dante4l>();
    let before = earlier_version(&body(), INSTANCE);
    fs::write(&page, &before).expect("a page");
    let old = fs::File::open(&page).expect("the old page");
    let mut writer = PageWriter::<Dante4l>::open(&stage.page_name(), INSTANCE).expect("a page");
    writer.publish(raw_now(), &body());
    let mut after = vec![0; before.len()];
    old.read_exact_at(&mut after, 0).expect("the old page, whole");
    assert_eq!(after[28..32], (Life::Replaced as u32).to_ne_bytes());
    assert_eq!((&after[..24], &after[32..]), (&before[..24], &before[32..]));
    assert_eq!(word(&page, 16), Dante4l::SIZE as u64);
}

#[test]
fn c_reader_rejects_truncated_and_extended_page() {
    let Some(scene) = Scene::new() else { return };
    let page = &scene.page;
    let own = Dante4l::ARRAY.expect("a ring");
    let good = version_of(&body(), own.offset - HEAD_SIZE, own, INSTANCE);
    let size = good.len() as u64;
    assert_eq!(good.len(), Dante4l::SIZE);
    fs::write(page, &good).expect("a page");
    assert_eq!(scene.read().int("dante4l"), 0);
    // Cut before life, sequence and the ring's words, in the map, in the ring, before the tail, in the tail; not cut.
    let results = [
        (0, -1),
        (24, -1),
        (40, -4),
        (56, -4),
        (64, -4),
        (192, -4),
        (1000, -4),
        (size - 8, -4),
        (size - 7, -4),
        (size, 0),
    ];
    for (cut, result) in results {
        fs::write(page, &good).expect("a page");
        resize(page, &[cut, size]);
        let reading = scene.read();
        assert_eq!(reading.int("dante4l"), result, "cut at {cut}: {reading:?}");
        assert_eq!(reading.int("dante") != 0, result == 0, "cut at {cut}: {reading:?}");
    }
}

#[test]
fn c_reader_does_not_block_on_fifo() {
    let Some(Scene { stage, reader, page }) = Scene::new() else { return };
    nix::unistd::mkfifo(&page, nix::sys::stat::Mode::from_bits_truncate(0o644)).expect("a FIFO");
    for owner in [None, Some(NOBODY)] {
        if owner.is_some() && chown(&page, owner, owner).is_err() {
            skip("giving a file to another user needs root");
            break;
        }
        let mut command = Command::new(&reader);
        command.args(["read", &stage.instance()]);
        let ended = stage.start("page_reader", command).ended(EVENT_TIMEOUT);
        ended.expect(0, &["dante4l=-2 "]);
    }
}

#[test]
fn c_example_prints_utc_only_while_dante2sys_publishes_it() {
    if !may_run(&["cc"]) {
        return;
    }
    let stage = Stage::new();
    let example = example(&stage);
    let mut clock = PageWriter::<Dante4l>::open(&stage.page_name(), INSTANCE).expect("a page");
    let mut steerer = PageWriter::<Dante2sys>::open(&stage.page_name(), INSTANCE + 1).expect("a page");
    let body = body();
    let piece = Piece {
        origin: 1,
        serial: 1,
        dante0: Timestamp::from_ns(body.map.dante0_ns),
        utc0: Timestamp::from_ns(1_795_000_000_000_000_000),
        slope: 0,
    };
    let mut steered = Dante2sys {
        flags: STEER_HAS_PIECE | STEER_HAS_UTC | STEER_UTC_SYNCHRONISED,
        utc_bound_ns: 4321,
        key_instance: INSTANCE,
        key_number: body.timeline,
        piece: piece.into(),
        ..Dante2sys::default()
    };
    let mut command = Command::new(example);
    command.arg(stage.instance());
    clock.publish(raw_now(), &body);
    let program = stage.start("dante-now", command);
    let mut expect_line = |words: &str, steerer: Option<&mut PageWriter<Dante2sys>>, steered: &Dante2sys| {
        let mut steerer = steerer;
        wait_for(&format!("a line that ends with {words:?}"), EVENT_TIMEOUT, || {
            clock.publish(raw_now(), &body);
            if let Some(steerer) = steerer.as_deref_mut() {
                steerer.publish(raw_now(), steered);
            }
            program.output().lines().last()?.ends_with(words).then_some(())
        });
    };
    expect_line(" s +-4321 ns", Some(&mut steerer), &steered);
    steered.flags &= !STEER_UTC_SYNCHRONISED;
    expect_line(" s +-4321 ns (not synchronised to UTC)", Some(&mut steerer), &steered);
    expect_line("(ok), no UTC (dante2sys: stale: the writer died or hangs)", None, &steered);
    steered.flags = 0;
    expect_line("(ok), no UTC (dante2sys: UTC is unknown)", Some(&mut steerer), &steered);
    drop(steerer);
    expect_line("(ok), no UTC (dante2sys: stopped)", None, &steered);
}

#[test]
fn c_reader_never_mixes_two_publications() {
    let Some(reading) = read_at_full_speed(&[]) else { return };
    assert_eq!(reading.int("cut"), 0, "{reading:?}");
}

#[test]
fn c_reader_never_takes_zeros_of_truncated_page_for_values() {
    let Some(reading) = read_at_full_speed(&[192, 1000]) else { return };
    assert!(reading.int("torn") > 0, "{reading:?}");
}

/// Runs the reader in C beside a writer that publishes without a pause, on a file that is cut to these sizes in turn and extended
/// after each fourth publication. Each body has one number in fields from its start to its end.
fn read_at_full_speed(cuts: &[u64]) -> Option<Reading> {
    let Scene { stage, reader, page } = Scene::new()?;
    let mut writer = PageWriter::<Dante4l>::open(&stage.page_name(), INSTANCE).expect("a page");
    let mut command = Command::new(reader);
    command.args(["torn", &stage.instance()]);
    let mut body = body();
    let mut cuts = cuts.iter().cycle();
    let mut publish = |number: u64| {
        body.samples = 64;
        (body.timeline, body.path_delay_ns) = (number, number.cast_signed());
        body.ring.iter_mut().for_each(|sample| (sample.number, sample.timeline) = (number, number));
        writer.publish(raw_now(), &body);
        if number.is_multiple_of(4)
            && let Some(cut) = cuts.next()
        {
            resize(&page, &[*cut, Dante4l::SIZE as u64]);
        }
    };
    publish(1);
    let mut program = stage.start("page_reader", command);
    let mut number = 1;
    while program.runs() {
        number += 1;
        publish(number);
    }
    let ended = program.ended(EVENT_TIMEOUT);
    println!("{number} publications; {}", ended.output.trim());
    let reading = Reading::of(&ended.output);
    ended.expect(0, &[]);
    assert_eq!((reading.int("wrong"), reading.int("changed")), (0, 300), "{}", ended.output);
    Some(reading)
}

#[test]
fn c_reader_rejects_untrusted_pages_and_other_layouts() {
    if !may_run(&["unshare"]) || !may_be_root("giving a file to another user needs root") {
        return;
    }
    let Some(scene) = Scene::new() else { return };
    let Scene { stage, reader, page } = &scene;
    let good = later_version(&body(), INSTANCE);
    let (size, ring) = (good.len(), Dante4l::ARRAY.expect("a ring").offset + 16);
    let word = |value: usize| u32::try_from(value).expect("a size").to_ne_bytes();
    let expect_result = |what: &str, result: i64| {
        let reading = scene.read();
        assert_eq!(reading.int("dante4l"), result, "{what}: {reading:?}");
        let is_read = result >= 0;
        assert_eq!(reading.int("time") == 0, is_read, "{what}: {reading:?}");
        assert_eq!(reading.int("dante") != 0, is_read, "{what}: {reading:?}");
    };
    let write = |at: usize, value: &[u8]| {
        let mut bytes = good.clone();
        bytes[40..48].copy_from_slice(&i64::MAX.to_ne_bytes());
        bytes[at..at + value.len()].copy_from_slice(value);
        // With a wrong sequence the tail is correct: either of them alone has to show the fault.
        if at == 56 {
            write_tail(&mut bytes);
        }
        fs::write(page, bytes).expect("a page");
    };
    for (what, at, value, result) in [
        ("valid", 0, &b"D4L_PAGE"[..], 0),
        ("stale", 40, &1_i64.to_ne_bytes(), 1),
        ("stopped", 28, &2_u32.to_ne_bytes(), 2),
        ("not complete", 28, &0_u32.to_ne_bytes(), -1),
        ("replaced", 28, &3_u32.to_ne_bytes(), -1),
        ("another major version", 8, &(Dante4l::VERSION + 1).to_ne_bytes(), -3),
        ("the sequence is odd", 56, &3_u64.to_ne_bytes(), -4),
        ("the sequence is 0", 56, &0_u64.to_ne_bytes(), -4),
        ("the tail is 0", size - TAIL_SIZE, &0_u64.to_ne_bytes(), -4),
        ("the tail is the sequence", size - TAIL_SIZE, &2_u64.to_ne_bytes(), -4),
        ("a size that is no multiple of 8", 16, &word(size - 4), -6),
        ("no space for a tail", 16, &word(HEAD_SIZE), -6),
        ("a ring that reaches into the tail", 64, &word(ring + 8), -6),
        ("another size in the header", 16, &65_536_u64.to_ne_bytes(), -5),
        ("garbage", 0, &b"garbage!"[..], -6),
        ("a page of another program", 12, &2_u32.to_ne_bytes(), -6),
        ("a ring beyond the page", 72, &u64::MAX.to_ne_bytes(), -6),
        ("a ring within the header", 64, &64_u32.to_ne_bytes(), -6),
    ] {
        write(at, value);
        expect_result(what, result);
    }
    write(0, b"D4L_PAGE");
    chown(page, Some(NOBODY), Some(NOBODY)).expect("chown");
    expect_result("of another user", -2);
    // A page of that user is accepted if the user is called dante4l.
    let users = stage.folder().join("passwd");
    let known = fs::read_to_string("/etc/passwd").expect("the users");
    fs::write(&users, format!("dante4l:x:{NOBODY}:{NOBODY}::/:/bin/false\n{known}")).expect("more users");
    let script = r#"mount --bind "$0" /etc/passwd && exec "$@""#;
    let words = [&users, reader].map(|path| path.to_str().expect("a path"));
    let words = ["--mount", "sh", "-c", script, words[0], words[1], "read", &stage.instance()];
    assert_eq!(run(Path::new("unshare"), &words).int("dante4l"), 0, "of the service user");
    chown(page, Some(0), Some(0)).expect("chown");
    for mode in [0o664, 0o646] {
        fs::set_permissions(page, Permissions::from_mode(mode)).expect("chmod");
        expect_result("others may write", -2);
    }
    fs::set_permissions(page, Permissions::from_mode(0o644)).expect("chmod");
    expect_result("valid", 0);
    let elsewhere = stage.folder().join("page");
    fs::copy(page, &elsewhere).expect("a copy");
    fs::remove_file(page).expect("removing");
    expect_result("none", -1);
    symlink(&elsewhere, page).expect("a link");
    expect_result("a link", -2);
    let long = "x".repeat(33);
    for name in ["", "../x", "a b", &long] {
        let ended = Command::new(reader).args(["read", name]).status().expect("the reader");
        assert_eq!(ended.code(), Some(2), "{name:?}");
    }
}
