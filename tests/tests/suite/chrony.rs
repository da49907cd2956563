//! danteshm beside a real chronyd, which sets no clock (-x): the samples that chronyd gets, also after restarts of either program
//! and while the leader changes.

use dante_core::page::{Danteshm, DanteshmStatus, OutputRecord, SampleRecord};
use dante_core::relay::{self, Delivery};
use dante_os::ntpshm::NtpShm;
use dante_tests::chronyd::{Chronyd, Logged};
use dante_tests::guest::chrony;
use dante_tests::lab::{Lab, Readers, proc_status};
use dante_tests::program::Program;
use dante_tests::realtime::repeat_if_steered;
use dante_tests::segment;
use dante_tests::{EVENT_TIMEOUT, judge, wait_for, wait_until};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::time::Duration;

/// Reference identifiers of the two reference clocks in chronyd: SHM and SOCK.
const BOTH: [&str; 2] = ["DSHM", "DSCK"];
/// Time over which the samples in chronyd's log are compared with those of dante4l.
const WINDOW: Duration = Duration::from_secs(20);
/// danteshm reports that no program is attached 5 s after the last one was; it checks every second.
const LONGER_THAN_ATTACH_LIMIT: Duration = Duration::from_secs(7);

/// chronyd's configuration with both reference clocks. `noselect`: chronyd logs corrected times once a source is selected, also
/// with -x.
fn configuration(lab: &Lab) -> String {
    let both = [format!("SHM {} refid DSHM", lab.stage.unit()), format!("SOCK {} refid DSCK", socket(lab))];
    let [shm, sock] = both.map(|driver| format!("refclock {driver} poll 0 dpoll -3 noselect"));
    format!("port 0\nlog refclocks\n{shm}\n{sock}\n")
}

fn socket(lab: &Lab) -> String {
    lab.stage.folder().join("chrony.dante.sock").display().to_string()
}

fn output(readers: &mut Readers, index: usize) -> OutputRecord {
    readers.danteshm().expect("danteshm's page").body.outputs()[index]
}

fn wait_for_both(chronyd: &Chronyd) {
    for refid in BOTH {
        chronyd.wait_for_reach(refid);
    }
}

/// Starts danteshm with a segment and a socket.
fn danteshm(lab: &Lab) -> Program {
    lab.danteshm_with(&[&format!("--sock={}", socket(lab))])
}

/// Collects for `span` the samples that dante4l accepts, by CLOCK_REALTIME of their arrival, us.
fn accepted_samples(readers: &mut Readers, span: Duration) -> BTreeMap<i64, SampleRecord> {
    let first = readers.clock().expect("dante4l's page").body.samples;
    let mut samples = BTreeMap::new();
    for _ in 0..span.as_secs() {
        std::thread::sleep(Duration::from_secs(1));
        let view = readers.clock().expect("dante4l's page");
        let new = view.body.samples_after(first).filter(|sample| sample.accepted == 1);
        samples.extend(new.map(|sample| (sample.arrived_real_ns.div_euclid(1000), *sample)));
    }
    samples
}

#[test]
fn chronyd_gets_each_sync_once_by_shm_and_sock_also_after_restarts() {
    repeat_if_steered(restarts);
}

fn restarts() {
    let Some(lab) = Lab::new() else { return };
    let Some(files) = chrony() else { return };
    let relay = danteshm(&lab);
    let _dante4l = lab.dante4l(&[]);
    let _leader = lab.leader(&["--ppm=12"]);
    let mut readers = lab.readers();
    readers.wait_for_relay(relay::State::Feeding, EVENT_TIMEOUT);
    // Without chronyd the socket does not exist; danteshm writes to the segment all the same.
    wait_until("samples", EVENT_TIMEOUT, || output(&mut readers, 0).samples > 4);
    let sock = output(&mut readers, 1);
    assert!(sock.ready == 0 && sock.samples == 0 && sock.lost > 3, "{sock:?}");
    assert!(relay.output().contains("chronyd creates it when it starts"), "{}", relay.output());

    let chronyd = Chronyd::start(&files, &lab.stage, &lab.near, &configuration(&lab), None);
    wait_for_both(&chronyd);
    let samples = accepted_samples(&mut readers, WINDOW);
    std::thread::sleep(Duration::from_secs(1));
    let logged = chronyd.logged();
    let [shm, sock] = BOTH.map(|refid| judge_log(&logged, refid, &samples));
    for (at, offset) in &shm {
        // The segment holds ns, the socket a double; the log has seven digits of either.
        let apart = sock.get(at).map_or(0.0, |other| (other - offset).abs());
        assert!(apart < 2e-9, "offsets of one Sync by SHM and SOCK differ by {apart} s at {offset} s");
    }

    // chronyd is restarted: it creates another socket, which danteshm has to open.
    let lost = output(&mut readers, 1).lost;
    chronyd.program.stop().expect(0, &[]);
    wait_until("lost samples", EVENT_TIMEOUT, || output(&mut readers, 1).lost > lost + 3);
    let chronyd = Chronyd::start(&files, &lab.stage, &lab.near, &configuration(&lab), None);
    wait_for_both(&chronyd);
    assert_eq!(output(&mut readers, 1).ready, 1);

    // danteshm is killed and started again: it resumes its epoch offset (K), so the offsets in chronyd do not jump.
    relay.kill();
    let before = chronyd.logged().len();
    let relay = danteshm(&lab);
    relay.wait_for_output("resumed from the previous run, no jump", EVENT_TIMEOUT);
    let logged = wait_for("samples after the restart", EVENT_TIMEOUT, || {
        let logged = chronyd.logged();
        (logged.len() > before + 40).then_some(logged)
    });
    wait_for_both(&chronyd);
    for refid in BOTH {
        judge_steadiness(&logged, refid);
    }
}

/// Each sample in chronyd's log is one Sync, none is logged twice, and at least 95 % are logged. Returns the offsets.
fn judge_log(logged: &[Logged], refid: &str, samples: &BTreeMap<i64, SampleRecord>) -> BTreeMap<i64, f64> {
    let window = *samples.keys().next().expect("a Sync")..=*samples.keys().last().expect("a Sync");
    let lines: Vec<_> =
        logged.iter().filter(|line| line.refid == refid && window.contains(&line.at_us)).collect();
    let mut seen = BTreeMap::new();
    for line in &lines {
        assert!(samples.contains_key(&line.at_us), "{refid}: logged sample without a Sync: {line:?}");
        assert!(seen.insert(line.at_us, line.offset_s).is_none(), "{refid}: logged twice: {line:?}");
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

/// From one sample to the next the offset changes by less than 1 ms.
fn judge_steadiness(logged: &[Logged], refid: &str) {
    let lines: Vec<_> = logged.iter().filter(|line| line.refid == refid).collect();
    assert!(lines.len() > 20, "{refid}: only {} samples in refclocks.log", lines.len());
    let worst = lines.windows(2).map(|pair| (pair[1].offset_s - pair[0].offset_s).abs()).fold(0.0, f64::max);
    println!("{refid}: the largest change from one sample to the next: {:.1} us", worst * 1e6);
    assert!(worst < 1e-3, "{refid}: the offset jumped by {worst} s");
}

/// Standard deviation of points from the straight line that fits them best.
fn deviation(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let slope = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>()
        / points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>();
    let squares = points.iter().map(|point| (point.1 - y - slope * (point.0 - x)).powi(2)).sum::<f64>();
    (squares / count).sqrt()
}

/// danteshm without capabilities creates the segment and gives it to root; chronyd, root without CAP_IPC_OWNER as in Debian's
/// unit, attaches it. Both attach it again after a restart.
#[test]
fn unprivileged_danteshm_and_chronyd_without_cap_ipc_owner_share_a_segment() {
    let Some(lab) = Lab::new() else { return };
    let Some(files) = chrony() else { return };
    let _both = lab.following(&["--ppm=12"], &[]);
    let unit = format!("--shm={}", lab.stage.unit());
    let start = || {
        let program = lab.stage.start("danteshm", lab.unprivileged("danteshm", &[&unit, "--epoch=now"]));
        program.wait_for_output("writing samples", EVENT_TIMEOUT);
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

/// danteshm without capabilities cannot use a segment that chronyd, ntpd or gpsd created as root; danteshm as root does not use one
/// of another user. It reports the remedy, serves its other outputs, and makes its own segment once the key is free.
#[test]
fn waits_until_segment_of_another_user_is_removed() {
    let Some(lab) = Lab::new() else { return };
    let (unit, key) = (lab.stage.unit(), format!("ipcrm -M 0x{:08x}", 0x4e54_5030 + lab.stage.unit()));
    let words = [&format!("--shm={unit}"), "--epoch=now"];
    let unprivileged = || lab.stage.start("danteshm", lab.unprivileged("danteshm", &words));
    let is_ready =
        |readers: &mut Readers| readers.danteshm().is_some_and(|view| view.body.outputs()[0].ready == 1);
    drop(NtpShm::create(unit, 0o600).expect("a segment of root's"));
    let relay = unprivileged();
    for text in ["created by another user", "stop chronyd", &key] {
        relay.wait_for_output(text, EVENT_TIMEOUT);
    }
    NtpShm::remove(unit).expect("removing the segment");
    wait_until("a segment of danteshm's", EVENT_TIMEOUT, || NtpShm::exists(unit));
    relay.stop().expect(0, &[]);
    // ntpd and gpsd create units from 2 on with mode 666: danteshm uses such a segment with a warning.
    NtpShm::remove(unit).expect("removing the segment");
    drop(NtpShm::create(unit, 0o666).expect("a segment with mode 666"));
    let relay = unprivileged();
    relay.wait_for_output("writable by every local user", EVENT_TIMEOUT);
    relay.stop().expect(0, &[]);
    // The reverse: root does not use a segment that an unprivileged user created.
    NtpShm::remove(unit).expect("removing the segment");
    let relay = unprivileged();
    wait_until("the segment", EVENT_TIMEOUT, || NtpShm::exists(unit));
    relay.stop().expect(0, &[]);
    for page in [lab.stage.page::<Danteshm>(), lab.stage.page::<DanteshmStatus>()] {
        std::fs::remove_file(page).expect("removing that user's page");
    }
    let relay = lab.danteshm();
    relay.wait_for_output("belongs to user 65534", EVENT_TIMEOUT);
    let mut readers = lab.readers();
    wait_until("the page", EVENT_TIMEOUT, || readers.danteshm().is_some());
    assert_eq!(output(&mut readers, 0).delivery(), Some(Delivery::Unavailable));
    NtpShm::remove(unit).expect("removing the segment");
    wait_until("a segment of root's", EVENT_TIMEOUT, || is_ready(&mut readers));
    relay.stop().expect(0, &["forge"]);
}

/// The segment is removed while danteshm and chronyd run: chronyd gets samples in the old segment, and after a restart in the new one.
#[test]
fn chronyd_gets_samples_after_the_segment_was_removed() {
    let Some(lab) = Lab::new() else { return };
    let Some(files) = chrony() else { return };
    let _both = lab.following(&["--ppm=12"], &[]);
    let relay = lab.danteshm();
    let mut readers = lab.readers();
    readers.wait_for_relay(relay::State::Feeding, EVENT_TIMEOUT);
    let lines = configuration(&lab).replace("refclock SOCK", "#");
    let run = || Chronyd::start(&files, &lab.stage, &lab.near, &lines, None);
    let wait_for_new = |chronyd: &Chronyd| {
        let before = chronyd.logged().len();
        wait_until("new samples in chronyd", EVENT_TIMEOUT, || chronyd.logged().len() > before + 12);
    };
    let chronyd = run();
    wait_for_new(&chronyd);
    wait_until("delivery", EVENT_TIMEOUT, || output(&mut readers, 0).delivery() == Some(Delivery::Delivered));
    NtpShm::remove(lab.stage.unit()).expect("removing the segment");
    relay.wait_for_output("another process removed the segment; the program that is attached", EVENT_TIMEOUT);
    assert!(NtpShm::exists(lab.stage.unit()), "no new segment");
    wait_for_new(&chronyd);
    let record = output(&mut readers, 0);
    assert_eq!((record.delivery(), record.recreated, record.ready), (Some(Delivery::Delivered), 1, 1));
    chronyd.program.stop().expect(0, &[]);
    let chronyd = run();
    wait_for_new(&chronyd);
    assert_eq!(output(&mut readers, 0).delivery(), Some(Delivery::Delivered));
}

/// chronyd reads another unit, or is in another IPC namespace: nobody gets the samples, and every command of pmc-lite shows that.
#[test]
fn samples_that_chronyd_does_not_get_are_reported_within_seconds() {
    let Some(lab) = Lab::new() else { return };
    let Some(files) = chrony() else { return };
    let _both = lab.following(&["--ppm=12"], &[]);
    let relay = lab.danteshm();
    lab.readers().wait_for_relay(relay::State::Feeding, EVENT_TIMEOUT);
    let lines = configuration(&lab).replace("refclock SOCK", "#");
    let other_unit =
        lines.replace(&format!("SHM {}", lab.stage.unit()), &format!("SHM {}", lab.stage.unit() + 1));
    let check = || lab.stage.run("pmc-lite", &["check", &format!("--instance={}", lab.stage.instance())]);
    let expect_nobody = |case: &str, chronyd: &Chronyd, unit: u32| {
        wait_until(case, EVENT_TIMEOUT, || segment::address(chronyd.program.pid(), unit).is_some());
        std::thread::sleep(LONGER_THAN_ATTACH_LIMIT);
        relay.wait_for_output("no program is attached to the segment", EVENT_TIMEOUT);
        wait_until(case, EVENT_TIMEOUT, || {
            let ended = check();
            ended.code == Some(2) && ended.output.contains("chrony does not get its samples")
        });
        let ended = check();
        assert!(ended.output.contains("no program is attached"), "{case}: {}", ended.output);
        assert_eq!(lab.stage.status()["verdict"], "not_synchronised", "{case}");
        assert_eq!(lab.stage.status()["danteshm"]["outputs"][0]["delivery"], "not_attached", "{case}");
    };
    {
        let chronyd = Chronyd::start(&files, &lab.stage, &lab.near, &other_unit, None);
        expect_nobody("chronyd reads another unit", &chronyd, lab.stage.unit() + 1);
    }
    {
        let chronyd = Chronyd::start_behind(&["unshare", "-i"], &files, &lab.stage, &lab.near, &lines);
        expect_nobody("chronyd is in another IPC namespace", &chronyd, lab.stage.unit());
    }
    // chronyd reads the unit.
    let _chronyd = Chronyd::start(&files, &lab.stage, &lab.near, &lines, None);
    relay.wait_for_output("samples are delivered", EVENT_TIMEOUT);
    wait_until("the verdict", EVENT_TIMEOUT, || lab.stage.status()["verdict"] == "synchronised");
}

/// Another leader with another uptime takes over, it pauses, dante4l is killed: chronyd gets no sample then, and no wrong one.
#[test]
fn chronyd_gets_no_wrong_sample_when_the_leader_pauses_or_changes() {
    repeat_if_steered(leader_changes);
}

fn leader_changes() {
    let Some(lab) = Lab::new() else { return };
    let Some(files) = chrony() else { return };
    let relay = danteshm(&lab);
    let dante4l = lab.dante4l(&[]);
    let leader = lab.leader(&["--ppm=12", "--uptime=541867"]);
    let mut readers = lab.readers();
    readers.wait_for_relay(relay::State::Feeding, EVENT_TIMEOUT);
    let chronyd = Chronyd::start(&files, &lab.stage, &lab.near, &configuration(&lab), None);
    wait_for_both(&chronyd);

    // A preferred leader appears and takes over.
    let second =
        lab.leader(&["--ppm=-3", "--uptime=9", "--force", "--preferred", "--uuid=00:1d:c1:00:00:01"]);
    wait_for("timeline 2", EVENT_TIMEOUT, || {
        let page = readers.danteshm()?.body;
        (page.key_number == 2 && page.state() == Some(relay::State::Feeding)).then_some(())
    });
    leader.program.kill();
    assert!(relay.output().contains("epoch offset (K) carried over"), "{}", relay.output());
    // The leader pauses.
    second.program.signal(Signal::SIGSTOP);
    readers.wait_for_relay(relay::State::Waiting, EVENT_TIMEOUT);
    std::thread::sleep(Duration::from_secs(2));
    let silent = chronyd.logged().len();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(chronyd.logged().len(), silent, "samples without a leader");
    second.program.signal(Signal::SIGCONT);
    readers.wait_for_relay(relay::State::Feeding, EVENT_TIMEOUT);
    // dante4l is killed. The next one has another instance number; the epoch offset (K) is kept.
    dante4l.kill();
    readers.wait_for_relay(relay::State::Waiting, EVENT_TIMEOUT);
    let _dante4l = lab.dante4l(&[]);
    readers.wait_for_relay(relay::State::Feeding, EVENT_TIMEOUT);
    wait_for_both(&chronyd);

    let logged = chronyd.logged();
    for refid in BOTH {
        judge_steadiness(&logged, refid);
        let worst = logged.iter().filter(|line| line.refid == refid).map(|line| line.offset_s.abs());
        let worst = worst.fold(0.0, f64::max);
        println!("{refid}: reference minus system clock at most {worst:.6} s");
        assert!(worst < 0.05, "{refid}: wrong time of day: reference minus system clock {worst} s");
    }
}
