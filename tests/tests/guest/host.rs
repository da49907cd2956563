//! The suite on a whole host, in a guest: installed as units, through reboots and sleep, beside other programs that
//! steer the clock, without a disk or an RTC, and with the rights that its unit gives it.

use super::{EAGER, PATIENCE, PPM, ntpd, off_s, package, seconds, utc_status, wait_for_state};
use dante_tests::guest::{Guest, INTERFACE};
use dante_tests::lab::LeaderProcess;
use dante_tests::ntp::{Behaviour, NtpServer};
use dante_tests::{judge, wait_until};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The address of the time server.
const SERVER: u8 = 5;
/// An interface of the guest that comes up late, and the number of its address.
const LATE: &str = "late0";
const LATE_ADDRESS: u8 = 9;
/// The clock moved by less than this where nobody may move it: 4 s at a rate that is some ppm off are far below it.
pub const STILL_S: f64 = 0.03;

pub fn phases(guest: &mut Guest) {
    let leader = guest.leader(&[&format!("--ppm={}", PPM - 25.0)]);
    let server = NtpServer::start(&guest.switch.host(SERVER), Behaviour::default());
    guest.phase("one of dante2sys, systemd-timesyncd and chrony runs", conflicts);
    guest.phase("units, as an administrator starts them", units);
    let mut second = None;
    guest.phase("a leader that falls silent, another 25 ppm away, and kill -9 meanwhile", |guest| {
        second = Some(silent(guest, leader));
    });
    guest.phase("a date set by hand", date_by_hand);
    guest.phase("a frequency set by hand", set_by_hand);
    guest.phase("loops that hang", package::hung);
    guest.phase("pages changed under the units", package::pages);
    guest.phase("the package, upgraded", package::upgrade);
    guest.phase("chronyd started beside it, and it beside chronyd", beside_chronyd);
    guest.phase("kill -9 of dante4l", dante4l_killed);
    guest.phase("reboot: the frequency, the date in the RTC, the wait unit", reboots);
    guest.phase("sleep", sleeps);
    ntpd::phases(guest, &server);
    guest.phase("a leap second", |guest| leaps(guest, &server));
    guest.phase("disk full, RTC missing, garbage for a drift file", without);
}

fn wait_for_line(guest: &mut Guest, unit: &str, line: &str) {
    wait_until(&format!("{unit} saying: {line}"), PATIENCE, || guest.journal(unit).contains(line));
}

/// The shipped units and the shipped configuration, with what a user sets in it.
fn units(guest: &mut Guest) {
    let server = guest.switch.address(SERVER);
    // The interface is one that is not there yet.
    guest.check(&format!(
        "sed -i -e 's/^interface.*/interface = \"{LATE}\"/' -e 's/^#ntp-server.*/ntp-server = [\"{server}\"]/' \
             -e 's/^#ntp-min-interval.*/ntp-min-interval = 4/' /etc/dante4l.toml && \
         dante2sys -f /etc/dante4l.toml --check-config"
    ));
    // What others may leave in the clock.
    guest.check("adjtimex --tick 10010 --status 1 && adjtimex --singleshot 200000");
    guest.check("systemctl enable --quiet --now dante4l.service dante2sys.service");
    guest.check("systemctl enable --quiet dante2sys-wait.service");
    package::wait_for_status(guest, "dante4l", &format!("waiting for interface {LATE}"));
    plug_in(guest);
    let waited = guest.run_within("pmc-lite wait --timeout 80", PATIENCE);
    assert_eq!(waited.code, 0, "{waited:?}");
    let said = guest.journal("dante2sys");
    assert!(said.contains("the kernel's tick was 10010 us, left by another program"), "{said}");
    assert!(said.contains("the kernel was still slewing the clock by +1"), "{said}");
    let timex = guest.timex();
    // No PLL, and no STA_UNSYNC.
    assert_eq!((timex.tick, timex.status & 0x41), (10_000, 0), "{timex:?}");
    let off = off_s(guest);
    println!("date off by {:.2} ms", off * 1e3);
    judge("date off", off * 1e3, 12.0, "ms");
    let leader = guest.status()["dante4l"]["leader"]["id"].as_str().expect("a leader").to_owned();
    package::wait_for_status(guest, "dante4l", &format!("SLAVE of {leader}"));
    package::wait_for_status(guest, "dante2sys", &format!("LOCKED on {leader}"));
    let priority = guest.check("chrt --pid $(systemctl show --value -p MainPID dante4l)");
    assert!(priority.contains("SCHED_FIFO") && priority.contains("priority: 10"), "{priority}");
    // CAP_SYS_TIME and nothing else.
    let rights = guest.check("grep CapEff /proc/$(systemctl show --value -p MainPID dante2sys)/status");
    assert_eq!(rights.split_whitespace().nth(1), Some("0000000002000000"), "{rights}");
    // The RTC, written within the hour that it was off by.
    let written = guest.wait_for_rtc();
    println!("the RTC is off by {written:+.3} s");
    // Whole seconds: where Linux runs on an AMD processor, which this guest has, it does not reset the divider chain.
    assert!(written.abs() < 1.0, "{written}");
}

/// What runs by default on many hosts. The guest's Debian cannot have it beside chrony, so this is its unit with a program of
/// its name.
const TIMESYNCD: &str = "systemd-timesyncd.service";

/// Whoever is started last runs alone, whichever it is.
fn conflicts(guest: &mut Guest) {
    // Its dependencies are those of systemd 252.
    guest.check(&format!(
        "cp /bin/sleep /usr/local/sbin/systemd-timesyncd && rm /etc/systemd/system/{TIMESYNCD} && \
         printf '%s\\n' '[Unit]' 'DefaultDependencies=no' 'After=systemd-sysusers.service' \
             'Before=time-set.target sysinit.target shutdown.target' 'Conflicts=shutdown.target' 'Wants=time-set.target' \
             '[Service]' 'ExecStart=/usr/local/sbin/systemd-timesyncd infinity' \
             '[Install]' 'WantedBy=sysinit.target' >/etc/systemd/system/{TIMESYNCD} && \
         systemctl enable --quiet --now {TIMESYNCD}"
    ));
    for started in
        ["dante2sys.service", TIMESYNCD, "dante2sys.service", "chrony.service", "dante2sys.service"]
    {
        guest.check(&format!("systemctl start {started}"));
        only_one(guest, started);
    }
    // Where dante2sys finds one at the clock, it ends at once, and is not started again.
    assert_eq!(package::restarts(guest, "dante2sys"), 0);
    guest.check("systemctl stop dante2sys.service dante4l.service");
}

fn only_one(guest: &mut Guest, unit: &str) {
    let units = ["dante2sys.service", TIMESYNCD, "chrony.service"];
    let states = guest.run(&format!("systemctl is-active {}", units.join(" "))).stdout;
    let running: Vec<&str> = units
        .into_iter()
        .zip(states.lines())
        .filter_map(|(unit, state)| (state == "active").then_some(unit))
        .collect();
    assert_eq!(running, [unit], "{states}");
}

/// The interface comes up.
fn plug_in(guest: &mut Guest) {
    let address = guest.switch.address(LATE_ADDRESS);
    guest.check(&format!(
        "ip link add {LATE} link {INTERFACE} type macvlan mode bridge && ip address add {address}/24 dev {LATE} && \
         ip link set {LATE} up"
    ));
}

/// Started anew, dante2sys leaves the clock to others for 16 s at first.
fn beside_chronyd(guest: &mut Guest) {
    wait_for_state(guest, "LOCKED");
    // Behind systemd's back: the unit would be stopped by Conflicts=.
    let server = guest.switch.address(SERVER);
    // Where Debian's AppArmor profile lets chronyd write.
    guest.check("install -d -o _chrony -g _chrony -m 750 /run/chrony");
    guest.check(&format!(
        "systemd-run --quiet --collect --unit=competitor chronyd -d 'server {server} minpoll 0 maxpoll 0' \
         'pidfile /run/chrony/competitor.pid' 'bindcmdaddress /' 'cmdport 0' 'makestep 0.0001 -1'"
    ));
    guest.wait_for("dante2sys", "state", "YIELDED", PATIENCE);
    let said = guest.journal("dante2sys");
    assert!(said.contains("another program set the clock's frequency"), "{said}");
    let status = guest.status();
    // It may have stepped the clock before it set its frequency.
    assert!(
        status["dante2sys"]["interference"].as_u64().is_some_and(|times| (1..=3).contains(&times)),
        "{status}"
    );
    assert_eq!(status["dante2sys"]["utc"]["set_by_hand"], false, "a program is no administrator: {status}");
    // Left to it, for as long as it is there.
    let tried = guest.run("dante2sys --instance=second -m -q");
    assert_eq!(tried.code, 3, "{tried:?}");
    let said = tried.stdout + &tried.stderr;
    assert!(
        said.contains("chronyd") && said.contains("systemctl disable --now competitor.service"),
        "{said}"
    );
    assert!(said.contains("dante2sys"), "the first dante2sys is a competitor of a second one, too: {said}");
    guest.check("systemctl stop competitor.service");
    guest.check(MISSET);
    // A chronyd that only serves the clock is no competitor.
    guest.check(
        "systemd-run --quiet --collect --unit=server chronyd -x -d 'local stratum 10' 'pidfile /run/chrony/server.pid' \
         'bindcmdaddress /' 'cmdport 0' 'allow 127/8'",
    );
    put_right(guest);
    guest.check("systemctl stop server.service");
}

/// Holdover keeps the rate; another leader takes over without a jump.
fn silent(guest: &mut Guest, leader: LeaderProcess) -> LeaderProcess {
    leader.program.kill();
    wait_for_state(guest, "HOLDOVER");
    let (held, before) = (guest.timex(), off_s(guest));
    std::thread::sleep(seconds(3, 300));
    assert_eq!(guest.timex().frequency_ppb, held.frequency_ppb, "holdover changes the rate");
    kill_9(guest, "HOLDOVER");
    kill_9(guest, "WAITING");
    let second = guest.leader(&[&format!("--ppm={PPM}")]);
    kill_9(guest, "ACQUIRING");
    wait_for_state(guest, "LOCKED");
    refuse(guest);
    kill_9(guest, "REFUSED");
    wait_for_state(guest, "LOCKED");
    let jumped = off_s(guest) - before;
    println!("the clock moved by {:+.2} ms over the change of leaders", jumped * 1e3);
    assert!(jumped.abs() < STILL_S, "no jump, and no step: {jumped} s");
    wait_until("the second leader's rate", PATIENCE, || {
        (guest.timex().frequency_ppb / 1e3 - PPM).abs() < 4.0
    });
    second
}

/// From now on the kernel takes no correction from dante2sys.
fn refuse(guest: &mut Guest) {
    guest.check(
        "systemd-run --quiet --collect --unit=refusal strace -qq -o /dev/null -e trace=adjtimex,clock_adjtime \
             -e inject=adjtimex,clock_adjtime:error=EPERM -p $(systemctl show --value -p MainPID dante2sys)",
    );
}

/// Killed in a state, it leaves a clock that runs on at its rate; systemd starts it again, and it goes on from there.
fn kill_9(guest: &mut Guest, state: &str) {
    wait_for_state(guest, state);
    let (before, held, off) = (package::restarts(guest, "dante2sys"), guest.timex(), off_s(guest));
    guest.check("systemctl kill --signal=KILL dante2sys.service");
    std::thread::sleep(Duration::from_secs(1));
    let left = guest.timex();
    if state == "YIELDED" {
        assert_eq!(left.frequency_ppb, held.frequency_ppb, "what somebody else set stays");
    }
    // The phase term may have changed in between; or it is gone, and what is left is near the leader's rate.
    let change_from = |ppm: f64| (left.frequency_ppb / 1e3 - ppm).abs();
    let changed = change_from(held.frequency_ppb / 1e3).min(change_from(PPM));
    assert!(changed < 6.0, "killed while {state}: {held:?}, {left:?}");
    wait_until("dante2sys started again", PATIENCE, || package::restarts(guest, "dante2sys") > before);
    let moved = off_s(guest) - off;
    println!("killed while {state}: the clock moved by {:+.2} ms", moved * 1e3);
    assert!(moved.abs() < STILL_S, "killed while {state}: {moved} s");
}

/// The clock keeps its rate; systemd starts dante4l again.
fn dante4l_killed(guest: &mut Guest) {
    let before = off_s(guest);
    guest.check("systemctl kill --signal=KILL dante4l.service");
    wait_for_state(guest, "HOLDOVER");
    wait_until("dante4l started again", PATIENCE, || guest.status()["dante4l"]["running"] == true);
    let (frequency, moved) = (guest.timex().frequency_ppb / 1e3, off_s(guest) - before);
    println!("the clock moved by {:+.2} ms over dante4l's death", moved * 1e3);
    assert!(moved.abs() < STILL_S, "{moved} s");
    judge("rate - leader's", frequency - PPM, 3.0, "ppm");
}

/// Left where it is, and declared to be off; a restart has it from the servers again.
fn date_by_hand(guest: &mut Guest) {
    wait_for_utc(guest, "synchronised", true);
    let before = off_s(guest);
    guest.check("date -s '+5 sec'");
    wait_for_utc(guest, "set_by_hand", true);
    std::thread::sleep(Duration::from_secs(5));
    let stepped = off_s(guest) - before;
    // date sets whole seconds, or rather its own reading of them some ms later.
    assert!((stepped - 5.0).abs() < 1.0, "the clock did not stay where it was set: {stepped} s");
    assert_ne!(guest.timex().status & 0x40, 0, "STA_UNSYNC");
    let said = guest.journal("dante2sys");
    assert_eq!(
        said.lines().filter(|line| line.contains("s by another program: K is fixed")).count(),
        1,
        "{said}"
    );
    guest.check("systemctl restart dante2sys.service");
    wait_for_utc(guest, "synchronised", true);
    assert!(off_s(guest).abs() < 0.025);
    wait_for_state(guest, "LOCKED");
}

fn wait_for_utc(guest: &mut Guest, key: &str, value: bool) {
    wait_until(&format!("date: {key} {value}"), PATIENCE, || utc_status(guest)[key] == value);
}

/// Yielded to whoever did it. Killed then and started again, it finds nobody at the clock, and takes it at once.
fn set_by_hand(guest: &mut Guest) {
    // Something else than what the clock runs at, which is corrected at every moment.
    let remembered = PPM - 0.5;
    // One in a container, which has every right in there and none over the clock: no competitor of the one that is started.
    guest.check(
        "cp /bin/sleep /root/chronyd && \
         systemd-run --quiet --collect --unit=contained unshare --user --map-root-user /root/chronyd infinity",
    );
    guest.check(&format!("echo '{remembered} 0.1' >/var/lib/dante2sys/drift"));
    kill_9(guest, "LOCKED");
    let left = format!("the clock is left at {:+.0} ppb, without its last correction", remembered * 1e3);
    wait_for_line(guest, "dante2sys", &left);
    wait_for_state(guest, "LOCKED");
    guest.check(MISSET);
    kill_9(guest, "YIELDED");
    put_right(guest);
    guest.check("pidof chronyd; systemctl stop contained.service");
}

/// What nobody would leave behind: 100 ppm, and ticks that are 100 ppm long.
const MISSET: &str = "adjtimex --frequency 6553600 --tick 10001";

fn put_right(guest: &mut Guest) {
    wait_for_state(guest, "LOCKED");
    let timex = guest.timex();
    assert_eq!(timex.tick, 10_000, "{timex:?}");
    judge("rate - leader's", timex.frequency_ppb / 1e3 - PPM, 3.0, "ppm");
}

fn reboots(guest: &mut Guest) {
    let stopped = guest.check("date +%s; systemctl stop dante2sys.service");
    // At a clean exit the RTC is written, too.
    let stopped: i64 = stopped.trim().parse().expect("s");
    let written = guest.status()["dante2sys"]["rtc"]["written_utc_s"].as_i64().expect("a date");
    assert!(written >= stopped, "the RTC was written {} s before the end", stopped - written);
    let stored = guest.check("cat /var/lib/dante2sys/drift");
    println!("remembered: {} ppm", stored.trim());
    let frequency: f64 = stored.split(' ').next().and_then(|ppm| ppm.parse().ok()).expect("a frequency");
    judge("remembered - leader's", frequency - PPM, 2.0, "ppm");
    guest.reboot();
    // The network comes up after the daemons.
    package::wait_for_status(guest, "dante4l", &format!("waiting for interface {LATE}"));
    plug_in(guest);
    wait_for_line(guest, "dante2sys", "frequency of the last run");
    let at_once = guest.timex().frequency_ppb / 1e3;
    println!("set at once: {at_once:+.4} ppm");
    assert!((at_once - frequency).abs() < 6.0, "within the phase term of what was remembered");
    let rtc = guest.rtc_error();
    println!("the RTC is off by {rtc:+.3} s after the reboot");
    assert!(rtc.abs() < 1.0, "{rtc}");
    wait_until("time-sync.target", PATIENCE, || {
        guest.run("systemctl is-active time-sync.target").stdout.trim() == "active"
    });
    let order = guest.check(
        "systemctl show --value -p ActiveEnterTimestampMonotonic dante2sys-wait.service time-sync.target | grep -v '^$'",
    );
    let times: Vec<u64> = order.split_whitespace().map(|us| us.parse().expect("us")).collect();
    assert!(times[0] > 0 && times[0] <= times[1], "the target waits for the clock: {times:?}");
    // Both are enabled.
    only_one(guest, "dante2sys.service");
    guest.check(&format!("systemctl disable --quiet {TIMESYNCD}"));
    judge("date off", off_s(guest) * 1e3, 12.0, "ms");
}

fn sleeps(guest: &mut Guest) {
    let slept = guest.suspend(3);
    println!("slept {slept:.2} s");
    wait_for_line(guest, "dante2sys", "the host slept for");
    let begun = Instant::now();
    wait_until("the date after the sleep", PATIENCE, || off_s(guest).abs() < 0.025);
    println!("the date is right {:.1} s after waking", begun.elapsed().as_secs_f64());
}

/// The kernel inserts a second that the server announces, at the end of a June that is far away.
fn leaps(guest: &mut Guest, server: &NtpServer) {
    guest.check("systemctl stop dante2sys.service");
    // 2029-06-30 23:59:40.
    const END_OF_JUNE: i64 = 1_877_558_400;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("a date").as_secs())
        .expect("a date");
    let ahead_s = END_OF_JUNE - 20 - now;
    server.change(|server| (server.offset_ns, server.leap) = (ahead_s * 1_000_000_000, 1));
    guest.check("systemctl start dante2sys.service");
    wait_for_line(guest, "dante2sys", "declared synchronised");
    const STA_INS: i32 = 0x10;
    wait_until("STA_INS", PATIENCE, || guest.timex().status & STA_INS != 0);
    wait_for_line(guest, "dante2sys", "by a leap second");
    // The day after: UTC went on a second later than the seconds before, and no one announces another.
    server.change(|server| (server.offset_ns, server.leap) = ((ahead_s - 1) * 1_000_000_000, 0));
    wait_until("STA_INS taken back", PATIENCE, || guest.timex().status & STA_INS == 0);
    let off = off_s(guest) - (ahead_s - 1) as f64;
    println!("date off by {:.2} ms after the leap second", off * 1e3);
    assert!(off.abs() < 0.1, "{off}");
    let said = guest.journal("dante2sys");
    let steps = said.lines().filter(|line| line.contains("for the date's sake")).count();
    println!("steps for the date's sake since the boot: {steps}");
    guest.check("systemctl stop dante2sys.service");
    server.change(|server| server.offset_ns = 0);
}

fn without(guest: &mut Guest) {
    let server = guest.switch.address(SERVER);
    guest.check("systemctl stop dante2sys.service");
    guest.check("echo nonsense >/run/garbage");
    let words = ["-m", "-q", "--ntp-server", &server, EAGER];
    let poor = [&words[..], &["--drift-file=/run/garbage", "--rtc-device=/dev/rtc9"]].concat();
    let poor = [&poor[..], &["--rt-priority=50", "--lock-memory"]].concat();
    guest.start("poor", "dante2sys", &poor);
    wait_for_line(guest, "poor", "is no drift file, and is ignored");
    wait_for_line(guest, "poor", "no RTC at /dev/rtc9");
    wait_for_state(guest, "LOCKED");
    let taken = guest
        .check("pid=$(systemctl show --value -p MainPID poor); chrt -p $pid; grep VmLck /proc/$pid/status");
    assert!(taken.contains("SCHED_FIFO") && taken.contains("priority: 50"), "{taken}");
    assert!(!taken.contains("VmLck:\t       0 kB"), "{taken}");
    guest.stop("poor");
    // The shipped unit, on a disk that is full.
    guest.check(
        "mount -t tmpfs -o size=4k,nr_inodes=3,mode=755,uid=$(id -u dante2sys),gid=$(id -g dante2sys) none /var/lib/dante2sys && \
         cd /var/lib/dante2sys && echo '36.5 0.1' >drift && ! head -c 8192 /dev/zero >fill && \
         chown dante2sys: drift && systemctl start dante2sys.service",
    );
    wait_for_state(guest, "LOCKED");
    if std::env::var_os("SOAK").is_some() {
        // Written a minute after the lock.
        package::wait_for_status(guest, "dante2sys", "the disk is full");
    }
    guest.stop("dante2sys");
    wait_for_line(guest, "dante2sys", "the disk is full: the frequency is not remembered");
    let left =
        guest.check("cd /var/lib/dante2sys && cat drift && ls -A && cd / && umount /var/lib/dante2sys");
    assert_eq!(left, "36.5 0.1\ndrift\nfill\n", "the old file stays whole");
}
