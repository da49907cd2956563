//! danteshm and a real chronyd, which touches no clock (-x): what it accepts, and what it sees when things go wrong.

use dante_core::page::{Danteshm, DanteshmStatus, OutputRecord, SampleRecord};
use dante_core::relay;
use dante_os::ntpshm::NtpShm;
use dante_tests::chronyd::{Chronyd, Logged};
use dante_tests::guest::chrony;
use dante_tests::lab::{Eyes, Lab, proc_status};
use dante_tests::program::Program;
use dante_tests::{judge, wait_for, wait_until};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
/// How chronyd calls the two drivers here.
const BOTH: [&str; 2] = ["DSHM", "DSCK"];
const WINDOW: Duration = Duration::from_secs(20);

/// Both drivers. Neither is selected, since chronyd would show times that it has corrected then, also with -x.
fn configuration(lab: &Lab) -> String {
    let both = [format!("SHM {} refid DSHM", lab.stage.unit()), format!("SOCK {} refid DSCK", socket(lab))];
    let [shm, sock] = both.map(|driver| format!("refclock {driver} poll 0 dpoll -3 noselect"));
    format!("port 0\nlog refclocks\n{shm}\n{sock}\n")
}

fn socket(lab: &Lab) -> String {
    lab.stage.folder().join("chrony.dante.sock").display().to_string()
}

fn output(eyes: &mut Eyes, index: usize) -> OutputRecord {
    eyes.danteshm().expect("danteshm's page").body.outputs()[index]
}

fn wait_for_both(chronyd: &Chronyd) {
    for refid in BOTH {
        chronyd.wait_for_reach(refid);
    }
}

/// danteshm with a segment and a socket, beside a leader at +12 ppm.
fn danteshm(lab: &Lab) -> Program {
    lab.danteshm_with(&[&format!("--sock={}", socket(lab))])
}

/// All samples that dante4l takes in a while, by its clock's us.
fn watched(eyes: &mut Eyes, span: Duration) -> BTreeMap<i64, SampleRecord> {
    let first = eyes.clock().expect("dante4l's page").body.samples;
    let mut samples = BTreeMap::new();
    for _ in 0..span.as_secs() {
        std::thread::sleep(Duration::from_secs(1));
        let view = eyes.clock().expect("dante4l's page");
        let new = view.body.samples_after(first).filter(|sample| sample.accepted == 1);
        samples.extend(new.map(|sample| (sample.arrived_real_ns.div_euclid(1000), *sample)));
    }
    samples
}

#[test]
fn chronyd_takes_each_sync_once_from_both_drivers_and_restarts_heal() {
    let Some(lab) = Lab::new() else { return };
    let Some(files) = chrony() else { return };
    let relay = danteshm(&lab);
    let _dante4l = lab.dante4l(&[]);
    let _leader = lab.leader(&["--ppm=12"]);
    let mut eyes = lab.eyes();
    eyes.wait_for_relay(relay::State::Feeding, PATIENCE);
    // There is no chronyd yet: the socket is missing, and the segment does not mind.
    wait_until("samples", PATIENCE, || output(&mut eyes, 0).samples > 4);
    let sock = output(&mut eyes, 1);
    assert!(sock.ready == 0 && sock.samples == 0 && sock.lost > 3, "{sock:?}");
    assert!(relay.output().contains("chronyd makes it at its start"), "{}", relay.output());

    let chronyd = Chronyd::start(&files, &lab.stage, &lab.near, &configuration(&lab), None);
    wait_for_both(&chronyd);
    let samples = watched(&mut eyes, WINDOW);
    std::thread::sleep(Duration::from_secs(1));
    let logged = chronyd.logged();
    let [shm, sock] = BOTH.map(|refid| judge_log(&logged, refid, &samples));
    for (at, offset) in &shm {
        // The segment holds ns, the socket a float; the log shows seven digits of either.
        let other = sock.get(at).map_or(0.0, |other| (other - offset).abs());
        assert!(other < 2e-9, "one Sync, two offsets: {offset} {other}");
    }

    // chronyd is restarted: it makes another socket, and the old descriptor leads nowhere.
    let lost = output(&mut eyes, 1).lost;
    chronyd.program.stop().expect(0, &[]);
    wait_until("samples that nobody takes", PATIENCE, || output(&mut eyes, 1).lost > lost + 3);
    let chronyd = Chronyd::start(&files, &lab.stage, &lab.near, &configuration(&lab), None);
    wait_for_both(&chronyd);
    assert_eq!(output(&mut eyes, 1).ready, 1);

    // danteshm is killed and started again: K goes on, and chronyd sees no jump.
    relay.kill();
    let before = chronyd.logged().len();
    let relay = danteshm(&lab);
    relay.wait_for_output("as the run before told it: no jump", PATIENCE);
    let logged = wait_for("samples after the restart", PATIENCE, || {
        let logged = chronyd.logged();
        (logged.len() > before + 40).then_some(logged)
    });
    wait_for_both(&chronyd);
    for refid in BOTH {
        judge_steadiness(&logged, refid);
    }
}

/// Each sample in the log is one Sync, no Sync is there twice, and hardly one is missing. Returns the offsets.
fn judge_log(logged: &[Logged], refid: &str, samples: &BTreeMap<i64, SampleRecord>) -> BTreeMap<i64, f64> {
    let window = *samples.keys().next().expect("a Sync")..=*samples.keys().last().expect("a Sync");
    let lines: Vec<_> =
        logged.iter().filter(|line| line.refid == refid && window.contains(&line.at_us)).collect();
    let mut seen = BTreeMap::new();
    for line in &lines {
        assert!(samples.contains_key(&line.at_us), "{refid}: no Sync arrived then: {line:?}");
        assert!(seen.insert(line.at_us, line.offset_s).is_none(), "{refid}: twice: {line:?}");
    }
    let share = seen.len() as f64 / samples.len() as f64;
    println!("{refid}: {} of {} Syncs in refclocks.log, {:.1} %", seen.len(), samples.len(), share * 100.0);
    assert!(share >= 0.95, "{refid}: {share}");
    let points: Vec<(f64, f64)> =
        seen.iter().map(|(at, offset)| ((at - window.start()) as f64, offset * 1e6)).collect();
    judge(
        &format!("{refid}: offset, standard deviation from a straight line"),
        deviation(&points),
        3.0,
        "us",
    );
    seen
}

/// Between two samples the offset moves by what two clocks do, and never jumps.
fn judge_steadiness(logged: &[Logged], refid: &str) {
    let lines: Vec<_> = logged.iter().filter(|line| line.refid == refid).collect();
    let worst = lines.windows(2).map(|pair| (pair[1].offset_s - pair[0].offset_s).abs()).fold(0.0, f64::max);
    println!("{refid}: the largest change from one sample to the next: {:.1} us", worst * 1e6);
    assert!(worst < 1e-3, "{refid}: it jumped by {worst} s");
}

/// Of points around the line that fits them best.
fn deviation(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let slope = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>()
        / points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>();
    let squares = points.iter().map(|point| (point.1 - y - slope * (point.0 - x)).powi(2)).sum::<f64>();
    (squares / count).sqrt()
}

/// The scheme of rights: a danteshm without any makes the segment for itself, and gives it to root; a chronyd that is root
/// but may not pass over the rights of others (as in Debian's unit) attaches it. Both find it again.
#[test]
fn a_danteshm_without_rights_and_a_chronyd_without_ipc_owner_share_a_segment() {
    let Some(lab) = Lab::new() else { return };
    let Some(files) = chrony() else { return };
    let _both = lab.following(&["--ppm=12"], &[]);
    let unit = format!("--shm={}", lab.stage.unit());
    let start = || {
        let program = lab.stage.start("danteshm", lab.unprivileged("danteshm", &[&unit, "--epoch=now"]));
        program.wait_for_output("a sample for each Sync", PATIENCE);
        program
    };
    let relay = start();
    assert_eq!(proc_status(relay.pid(), "Uid"), Some(65_534));
    let lines = configuration(&lab).replace("refclock SOCK", "#");
    let run = || Chronyd::start(&files, &lab.stage, &lab.near, &lines, Some("ipc_owner"));
    let chronyd = run();
    chronyd.wait_for_reach("DSHM");
    relay.stop().expect(0, &["ended by a signal"]);
    let _relay = start();
    chronyd.wait_for_reach("DSHM");
    chronyd.program.stop().expect(0, &[]);
    run().wait_for_reach("DSHM");
}

/// What chronyd, ntpd or gpsd made first, as root, is not to be had without rights; and nobody else's is to be believed.
#[test]
fn a_segment_that_is_taken_is_a_sentence_that_says_what_to_do() {
    let Some(lab) = Lab::new() else { return };
    let (unit, key) = (lab.stage.unit(), format!("ipcrm -M 0x{:08x}", 0x4e54_5030 + lab.stage.unit()));
    let words = [&format!("--shm={unit}"), "--epoch=now"];
    let unprivileged = || lab.stage.start("danteshm", lab.unprivileged("danteshm", &words));
    drop(NtpShm::create(unit, 0o600).expect("a segment of root's"));
    unprivileged().ended(PATIENCE).expect(4, &["made by another user", "stop chronyd", &key]);
    // ntpd and gpsd make units from 2 on for everybody: it works, and that is warned of.
    NtpShm::remove(unit).expect("removing it");
    drop(NtpShm::create(unit, 0o666).expect("a segment for everybody"));
    let relay = unprivileged();
    relay.wait_for_output("every local user may write", PATIENCE);
    relay.stop().expect(0, &[]);
    // The other way round: what an unprivileged user made, root does not believe.
    NtpShm::remove(unit).expect("removing it");
    let relay = unprivileged();
    wait_until("the segment", PATIENCE, || NtpShm::exists(unit));
    relay.stop().expect(0, &[]);
    for page in [lab.stage.page::<Danteshm>(), lab.stage.page::<DanteshmStatus>()] {
        std::fs::remove_file(page).expect("the page of that user");
    }
    lab.danteshm().ended(PATIENCE).expect(3, &["user 65534", "forge"]);
}

/// The leader falls silent, another one with another uptime takes over, dante4l is killed: chronyd may get no sample, but
/// never a wrong one.
#[test]
fn whatever_happens_to_the_leader_chronyd_never_sees_a_wrong_sample() {
    let Some(lab) = Lab::new() else { return };
    let Some(files) = chrony() else { return };
    let relay = danteshm(&lab);
    let dante4l = lab.dante4l(&[]);
    let leader = lab.leader(&["--ppm=12", "--uptime=541867"]);
    let mut eyes = lab.eyes();
    eyes.wait_for_relay(relay::State::Feeding, PATIENCE);
    let chronyd = Chronyd::start(&files, &lab.stage, &lab.near, &configuration(&lab), None);
    wait_for_both(&chronyd);

    // Another leader at once, which is preferred; the first one gives way.
    let second =
        lab.leader(&["--ppm=-3", "--uptime=9", "--force", "--preferred", "--uuid=00:1d:c1:00:00:01"]);
    wait_for("timeline 2", PATIENCE, || {
        let page = eyes.danteshm()?.body;
        (page.key_number == 2 && page.state() == Some(relay::State::Feeding)).then_some(())
    });
    leader.program.kill();
    assert!(relay.output().contains("K carried over"), "{}", relay.output());
    // Silence.
    second.program.signal(Signal::SIGSTOP);
    eyes.wait_for_relay(relay::State::Waiting, PATIENCE);
    std::thread::sleep(Duration::from_secs(2));
    let silent = chronyd.logged().len();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(chronyd.logged().len(), silent, "samples in silence");
    second.program.signal(Signal::SIGCONT);
    eyes.wait_for_relay(relay::State::Feeding, PATIENCE);
    // The observer dies; the next one has another random number, and K is carried over all the same.
    dante4l.kill();
    eyes.wait_for_relay(relay::State::Waiting, PATIENCE);
    let _dante4l = lab.dante4l(&[]);
    eyes.wait_for_relay(relay::State::Feeding, PATIENCE);
    wait_for_both(&chronyd);

    let logged = chronyd.logged();
    for refid in BOTH {
        judge_steadiness(&logged, refid);
        let worst = logged.iter().filter(|line| line.refid == refid).map(|line| line.offset_s.abs());
        let worst = worst.fold(0.0, f64::max);
        println!("{refid}: {worst:.6} s at most between reference and system clock");
        assert!(worst < 0.05, "{refid}: a date that is not one: {worst} s");
    }
}
