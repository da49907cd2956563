//! The suite on a whole host, in a guest: as systemd units, through reboots and sleep, with other programs that steer the clock,
//! with a full disk, and without an RTC.

use super::utc::steps_in;
use super::{
    CLOCK_S, EVENT_TIMEOUT, PPM, SHORT_INTERVAL, expect_rate, expect_small, frequency_ppm, ntpd, package,
    reports, seconds, user, utc_error_s, utc_status, wait_for_frequency, wait_for_state,
};
use dante_tests::guest::{Guest, INTERFACE, SECOND_INTERFACE};
use dante_tests::lab::LeaderProcess;
use dante_tests::ntp::{Answer, Behaviour, NtpServer};
use dante_tests::wait_until;
use nix::libc::{STA_INS, STA_PLL};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Host number of the time server.
const SERVER: u8 = 5;
/// An interface of the guest that appears late, and its host number.
const LATE: &str = "late0";
const LATE_ADDRESS: u8 = 9;

pub fn phases(guest: &mut Guest) {
    let leader = guest.leader(&[&format!("--ppm={}", PPM - 25.0)]);
    let server = NtpServer::start(&guest.switch.host(SERVER), Behaviour::default());
    guest.phase("a new package on a host with two interfaces: nothing is configured", unconfigured);
    guest.phase("one of dante2sys, systemd-timesyncd and chrony runs", conflicts);
    guest.phase("units, as an administrator starts them", units);
    let mut second = None;
    guest.phase("a leader stops, another with +25 ppm starts, and kill -9 meanwhile", |guest| {
        second = Some(leader_lost(guest, leader));
    });
    guest.phase("clock set by hand", clock_by_hand);
    guest.phase("frequency set by hand", frequency_by_hand);
    guest.phase("hanging daemons", package::hung);
    guest.phase("pages changed under the units", package::pages);
    guest.phase("the package, upgraded", package::upgrade);
    guest.phase("a read-only root, nothing in /var, a full /run and /dev/shm", package::without_file_systems);
    guest.phase("a user without rights", user::attempts);
    guest.phase("chronyd started while dante2sys runs, and the reverse", beside_chronyd);
    guest.phase("kill -9 of dante4l", dante4l_killed);
    guest.phase("reboot: the frequency, the time in the RTC, UTC by the leader, the wait unit", |guest| {
        reboots(guest, &server);
    });
    guest.phase("sleep", sleeps);
    ntpd::phases(guest, &server);
    guest.phase("a leap second", |guest| leaps(guest, &server));
    guest.phase("disk full, no RTC, garbage in the drift file", without_disk_and_rtc);
}

/// Waits until a unit has logged `line` since its journal had `logged` bytes.
fn wait_for_line(guest: &mut Guest, unit: &str, logged: usize, line: &str) {
    wait_until(&format!("{unit} logs: {line}"), EVENT_TIMEOUT, || {
        guest.journal_since(unit, logged).contains(line)
    });
}

/// The shipped units and the shipped configuration: dante4l finds the interface with the leader by itself.
fn unconfigured(guest: &mut Guest) {
    guest.check(&format!(
        "ip address add 10.99.0.1/24 dev {SECOND_INTERFACE} && ip link set {SECOND_INTERFACE} up && \
         ip link add docker0 type bridge && ip address add 172.17.0.1/16 dev docker0 && ip link set docker0 up"
    ));
    let begun = Instant::now();
    guest.check("systemctl enable --quiet --now dante4l dante2sys");
    wait_for_line(guest, "dante4l", 0, "UNCALIBRATED to SLAVE");
    let slave = begun.elapsed().as_secs_f64();
    let wait = format!("pmc-lite wait --timeout {}", EVENT_TIMEOUT.as_secs());
    let waited = guest.run_within(&wait, EVENT_TIMEOUT * 2);
    let locked = begun.elapsed().as_secs_f64();
    println!(
        "after systemctl enable --now: dante4l SLAVE in {slave:.1} s, dante2sys LOCKED in {locked:.1} s"
    );
    assert_eq!(waited.code, 0, "{waited:?}");
    let journal = guest.journal("dante4l");
    for line in [
        "interface auto: passed over: docker0 (container bridge)",
        &format!("interface auto: looking for a leader on {INTERFACE}, {SECOND_INTERFACE}"),
        &format!("interface auto: using {INTERFACE}, which receives leader "),
    ] {
        assert!(journal.contains(line), "no line {line}: {journal}");
    }
    guest.check(&format!(
        "systemctl disable --quiet --now dante4l dante2sys; rm -f /var/lib/dante4l/rates /var/lib/dante2sys/drift*; \
         ip link delete docker0; ip address flush dev {SECOND_INTERFACE}; ip link set {SECOND_INTERFACE} down"
    ));
}

/// The shipped units and the shipped configuration, with the keys that a user has to set.
fn units(guest: &mut Guest) {
    let server = guest.switch.address(SERVER);
    // The interface does not exist yet.
    guest.check(&format!(
        "sed -i -e 's/^interface.*/interface = \"{LATE}\"/' -e 's/^#ntp-server.*/ntp-server = [\"{server}\"]/' \
             -e 's/^#ntp-min-interval.*/ntp-min-interval = 4/' /etc/dante4l.toml && \
         dante2sys -f /etc/dante4l.toml --check-config"
    ));
    reports::enable_wait(guest);
    // Settings of the kernel clock that another program may leave.
    guest.check("adjtimex --tick 10010 --status 1 && adjtimex --singleshot 200000");
    guest.check("systemctl enable --quiet --now dante4l.service dante2sys.service");
    guest.check("systemctl enable --quiet dante2sys-wait.service");
    package::wait_for_status(guest, "dante4l", &format!("waiting for interface {LATE}"));
    plug_in(guest);
    let wait = format!("pmc-lite wait --timeout {}", EVENT_TIMEOUT.as_secs());
    let waited = guest.run_within(&wait, EVENT_TIMEOUT * 2);
    assert_eq!(waited.code, 0, "{waited:?}");
    reports::wait_for_its_end(guest);
    reports::expect_synchronised(guest, true);
    let journal = guest.journal("dante2sys");
    assert!(journal.contains("kernel tick was 10010 us, set by another program"), "{journal}");
    assert!(journal.contains("kernel was still slewing the clock by +1"), "{journal}");
    let timex = guest.timex();
    assert_eq!((timex.tick, timex.status & STA_PLL), (10_000, 0), "{timex:?}");
    assert!(timex.is_synchronised(), "{timex:?}");
    reports::node_exporter(guest);
    expect_small("UTC error", utc_error_s(guest));
    let leader = guest.status()["dante4l"]["leader"]["id"].as_str().expect("a leader").to_owned();
    package::wait_for_status(guest, "dante4l", &format!("SLAVE of {leader}"));
    package::wait_for_status(guest, "dante2sys", &format!("LOCKED on {leader}"));
    let priority = guest.check("chrt --pid $(systemctl show --value -p MainPID dante4l)");
    assert!(priority.contains("SCHED_FIFO") && priority.contains("priority: 10"), "{priority}");
    // Only CAP_SYS_TIME.
    let rights = guest.check("grep CapEff /proc/$(systemctl show --value -p MainPID dante2sys)/status");
    assert_eq!(rights.split_whitespace().nth(1), Some("0000000002000000"), "{rights}");
    // The RTC was an hour ahead.
    let rtc = guest.wait_for_rtc();
    println!("error of the RTC: {rtc:+.3} s");
    // To within a second: on AMD processors, which the guest has, Linux does not reset the divider chain of the RTC.
    assert!(rtc.abs() < 1.0, "{rtc}");
}

/// Runs by default on many hosts. Debian does not install it together with chrony, so this is its unit with another program of the
/// same name.
const TIMESYNCD: &str = "systemd-timesyncd.service";

/// Starting one of these units stops the others.
fn conflicts(guest: &mut Guest) {
    // The dependencies are those of systemd 252.
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
    // A dante2sys that finds a competing clock daemon ends at once, and systemd does not restart it.
    assert_eq!(package::restarts(guest, "dante2sys"), 0);
    // Without a source of UTC dante2sys declares nothing, and the clock was not synchronised since the boot.
    reports::expect_synchronised(guest, false);
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

/// Creates the late interface.
fn plug_in(guest: &mut Guest) {
    let address = guest.switch.address(LATE_ADDRESS);
    guest.check(&format!(
        "ip link add {LATE} link {INTERFACE} type macvlan mode bridge && ip address add {address}/24 dev {LATE} && \
         ip link set {LATE} up"
    ));
}

/// dante2sys leaves the clock to a chronyd that steers it: for 16 s at first after its own start.
fn beside_chronyd(guest: &mut Guest) {
    wait_for_state(guest, "LOCKED");
    let logged = guest.journal("dante2sys").len();
    // Not chrony.service, which stops dante2sys.service (Conflicts=).
    let server = guest.switch.address(SERVER);
    // A folder where Debian's AppArmor profile lets chronyd write.
    guest.check("install -d -o _chrony -g _chrony -m 750 /run/chrony");
    guest.check(&format!(
        "systemd-run --quiet --collect --unit=competitor chronyd -d 'server {server} minpoll 0 maxpoll 0' \
         'pidfile /run/chrony/competitor.pid' 'bindcmdaddress /' 'cmdport 0' 'makestep 0.0001 -1'"
    ));
    guest.wait_for("dante2sys", "state", "YIELDED", EVENT_TIMEOUT);
    let journal = guest.journal_since("dante2sys", logged);
    assert!(journal.contains("another program set the clock frequency"), "{journal}");
    let status = guest.status();
    // chronyd may have stepped the clock before it set its frequency.
    assert!(
        status["dante2sys"]["interference"].as_u64().is_some_and(|times| (1..=3).contains(&times)),
        "{status}"
    );
    assert_eq!(
        status["dante2sys"]["utc"]["set_by_hand"], false,
        "chronyd is taken for an administrator: {status}"
    );
    // A second dante2sys refuses to start while chronyd runs.
    let tried = guest.run("dante2sys --instance=second -m -q");
    assert_eq!(tried.code, 3, "{tried:?}");
    let output = tried.stdout + &tried.stderr;
    assert!(
        output.contains("chronyd") && output.contains("systemctl disable --now competitor.service"),
        "{output}"
    );
    assert!(output.contains("dante2sys"), "the first dante2sys is not reported: {output}");
    guest.check("systemctl stop competitor.service");
    guest.check(MISSET);
    // A chronyd with -x only serves the clock, and does not steer it.
    guest.check(
        "systemd-run --quiet --collect --unit=server chronyd -x -d 'local stratum 10' 'pidfile /run/chrony/server.pid' \
         'bindcmdaddress /' 'cmdport 0' 'allow 127/8'",
    );
    wait_for_leader_rate(guest);
    guest.check("systemctl stop server.service");
}

/// In holdover the rate is kept. Another leader takes over without a jump of the clock.
fn leader_lost(guest: &mut Guest, leader: LeaderProcess) -> LeaderProcess {
    leader.program.kill();
    wait_for_state(guest, "HOLDOVER");
    let (held, before) = (guest.timex(), utc_error_s(guest));
    std::thread::sleep(seconds(3, 300));
    assert_eq!(guest.timex().frequency_ppb, held.frequency_ppb, "the rate changed in holdover");
    kill_9(guest, "HOLDOVER");
    kill_9(guest, "WAITING");
    let second = guest.leader(&[&format!("--ppm={PPM}")]);
    kill_9(guest, "ACQUIRING");
    wait_for_state(guest, "LOCKED");
    refuse(guest);
    kill_9(guest, "REFUSED");
    wait_for_state(guest, "LOCKED");
    expect_small("the clock moved over the change of leaders", utc_error_s(guest) - before);
    wait_for_frequency(guest, PPM);
    second
}

/// From now on the kernel rejects corrections of dante2sys: strace makes the system calls fail with EPERM.
fn refuse(guest: &mut Guest) {
    guest.check(
        "systemd-run --quiet --collect --unit=refusal strace -qq -o /dev/null -e trace=adjtimex,clock_adjtime \
             -e inject=adjtimex,clock_adjtime:error=EPERM -p $(systemctl show --value -p MainPID dante2sys)",
    );
}

/// Kills dante2sys in a state: the clock keeps its rate, and systemd starts dante2sys again.
fn kill_9(guest: &mut Guest, state: &str) {
    wait_for_state(guest, state);
    let before = package::restarts(guest, "dante2sys");
    let (held, error_s) = (frequency_ppm(guest), utc_error_s(guest));
    guest.check("systemctl kill --signal=KILL dante2sys.service");
    std::thread::sleep(Duration::from_secs(1));
    let left = frequency_ppm(guest);
    if state == "YIELDED" {
        assert_eq!(left, held, "the frequency of another program was changed");
    }
    // The phase correction may have changed meanwhile; or it was removed, and the rate is the leader's.
    let expected = if (left - held).abs() < (left - PPM).abs() { held } else { PPM };
    expect_rate(&format!("killed while {state}: rate"), left, expected);
    wait_until("dante2sys restarted", EVENT_TIMEOUT, || package::restarts(guest, "dante2sys") > before);
    let moved = utc_error_s(guest) - error_s;
    expect_small(&format!("killed while {state}: the clock moved"), moved);
}

/// Kills dante4l: the clock keeps its rate, and systemd restarts dante4l.
fn dante4l_killed(guest: &mut Guest) {
    let (before, held) = (utc_error_s(guest), frequency_ppm(guest));
    guest.check("systemctl kill --signal=KILL dante4l.service");
    wait_for_state(guest, "HOLDOVER");
    wait_until("dante4l restarted", EVENT_TIMEOUT, || guest.status()["dante4l"]["running"] == true);
    expect_rate("rate after dante4l was killed", frequency_ppm(guest), held);
    expect_small("the clock moved", utc_error_s(guest) - before);
}

/// An administrator sets the clock: dante2sys leaves it there and declares it unsynchronised. After a restart it uses the servers.
fn clock_by_hand(guest: &mut Guest) {
    wait_for_utc(guest, "synchronised", true);
    let (before, logged) = (utc_error_s(guest), guest.journal("dante2sys").len());
    guest.check("date -s '+5 sec'");
    wait_for_utc(guest, "set_by_hand", true);
    std::thread::sleep(Duration::from_secs(5));
    let stepped = utc_error_s(guest) - before;
    // date(1) sets the time that it read some ms before, in whole seconds.
    assert!((stepped - 5.0).abs() < 1.0, "the clock did not stay where it was set: {stepped} s");
    reports::expect_synchronised(guest, false);
    reports::wait_for_file(guest, false);
    let journal = guest.journal_since("dante2sys", logged);
    let count = journal.lines().filter(|line| line.contains("s by another program: not reverted")).count();
    assert_eq!(count, 1, "{journal}");
    guest.check("systemctl restart dante2sys.service");
    wait_for_utc(guest, "synchronised", true);
    expect_small("UTC error after the restart", utc_error_s(guest));
    wait_for_state(guest, "LOCKED");
    reports::expect_synchronised(guest, true);
    reports::wait_for_file(guest, true);
}

fn wait_for_utc(guest: &mut Guest, key: &str, value: bool) {
    wait_until(&format!("UTC: {key} {value}"), EVENT_TIMEOUT, || utc_status(guest)[key] == value);
}

/// dante2sys yields to a program that sets the frequency. After kill -9 and a restart it finds no such program, and steers at once.
fn frequency_by_hand(guest: &mut Guest) {
    // Differs from the clock's frequency, which is corrected all the time; by no more than for the same leader.
    let saved = (frequency_ppm(guest) - 0.5).round();
    // A chronyd in a container, with every right in it and none to set the clock, does not compete.
    guest.check(
        "cp /bin/sleep /root/chronyd && \
         systemd-run --quiet --collect --unit=contained unshare --user --map-root-user /root/chronyd infinity",
    );
    guest.check(&format!("echo '{saved} 0.1' >/var/lib/dante2sys/drift"));
    let logged = guest.journal("dante2sys").len();
    kill_9(guest, "LOCKED");
    let restored =
        format!("clock frequency restored to {:+.0} ppb, without its last correction", saved * 1e3);
    wait_for_line(guest, "dante2sys", logged, &restored);
    wait_for_state(guest, "LOCKED");
    guest.check(MISSET);
    kill_9(guest, "YIELDED");
    wait_for_leader_rate(guest);
    guest.check("pidof chronyd; systemctl stop contained.service");
}

/// Sets a frequency of 100 ppm and a tick that adds 100 ppm.
const MISSET: &str = "adjtimex --frequency 6553600 --tick 10001";

fn wait_for_leader_rate(guest: &mut Guest) {
    wait_for_state(guest, "LOCKED");
    let timex = guest.timex();
    assert_eq!(timex.tick, 10_000, "{timex:?}");
    wait_for_frequency(guest, PPM);
}

fn reboots(guest: &mut Guest, server: &NtpServer) {
    wait_for_frequency(guest, PPM);
    let in_force = frequency_ppm(guest);
    let stopped = guest.check("date +%s; systemctl stop dante2sys.service");
    // dante2sys also writes the RTC at a clean exit.
    let stopped: i64 = stopped.trim().parse().expect("s");
    // The last declaration stays, with the error that the kernel increases by 500 ppm.
    reports::expect_synchronised(guest, true);
    reports::wait_for_file(guest, false);
    let written = guest.status()["dante2sys"]["rtc"]["written_utc_s"].as_i64().expect("a time");
    assert!(written >= stopped, "the RTC was written {} s before the end", stopped - written);
    let stored = guest.check("cat /var/lib/dante2sys/drift");
    println!("saved: {} ppm", stored.trim());
    let frequency: f64 = stored.split(' ').next().and_then(|ppm| ppm.parse().ok()).expect("a frequency");
    expect_rate("saved", frequency, in_force);
    let saved = guest.check("cat /var/lib/dante2sys/drift.utc");
    println!("saved: {}", saved.trim());
    server.change(|server| server.answer = Answer::Nothing);
    guest.reboot();
    // The network comes up after the daemons.
    package::wait_for_status(guest, "dante4l", &format!("waiting for interface {LATE}"));
    plug_in(guest);
    // The journal is in memory, and begins at the boot.
    wait_for_line(guest, "dante2sys", 0, "frequency of the last run read from");
    expect_rate("rate at the start", frequency_ppm(guest), frequency);
    let rtc = guest.rtc_error();
    println!("error of the RTC after the reboot: {rtc:+.3} s");
    assert!(rtc.abs() < 1.0, "{rtc}");
    // The leader's time has continued: it shows UTC while no server replies.
    wait_for_line(guest, "dante2sys", 0, "UTC of the last run resumed");
    wait_for_state(guest, "LOCKED");
    expect_small("UTC error before a server replies", utc_error_s(guest));
    assert_eq!(guest.status()["dante2sys"]["utc"]["synchronised"], false, "no server has confirmed it");
    reports::expect_synchronised(guest, false);
    reports::expect_waiting(guest);
    server.change(|server| server.answer = Answer::Time);
    wait_until("time-sync.target", EVENT_TIMEOUT, || {
        guest.run("systemctl is-active time-sync.target").stdout.trim() == "active"
    });
    reports::wait_for_its_end(guest);
    let order = guest.check(
        "systemctl show --value -p ActiveEnterTimestampMonotonic dante2sys-wait.service time-sync.target | grep -v '^$'",
    );
    let times: Vec<u64> = order.split_whitespace().map(|us| us.parse().expect("us")).collect();
    assert!(times[0] > 0 && times[0] <= times[1], "time-sync.target did not wait: {times:?}");
    // Both units are enabled.
    only_one(guest, "dante2sys.service");
    guest.check(&format!("systemctl disable --quiet {TIMESYNCD}"));
    expect_small("UTC error", utc_error_s(guest));
}

fn sleeps(guest: &mut Guest) {
    let logged = guest.journal("dante2sys").len();
    let slept = guest.suspend(3);
    println!("slept {slept:.2} s");
    wait_for_line(guest, "dante2sys", logged, "host was suspended for");
    let begun = Instant::now();
    wait_until("UTC after the sleep", EVENT_TIMEOUT, || utc_error_s(guest).abs() < CLOCK_S);
    println!("UTC correct {:.1} s after waking", begun.elapsed().as_secs_f64());
}

/// The server announces a leap second at the end of June 2029, and the kernel inserts it.
fn leaps(guest: &mut Guest, server: &NtpServer) {
    guest.check("systemctl stop dante2sys.service");
    // 2029-06-30 23:59:40.
    const END_OF_JUNE: i64 = 1_877_558_400;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    let now = i64::try_from(now.as_secs()).expect("a time before 2262");
    let ahead_s = END_OF_JUNE - 20 - now;
    server.change(|server| (server.offset_ns, server.leap) = (ahead_s * 1_000_000_000, 1));
    let logged = guest.journal("dante2sys").len();
    guest.check("systemctl start dante2sys.service");
    wait_for_line(guest, "dante2sys", logged, "declared synchronised");
    wait_until("STA_INS", EVENT_TIMEOUT, || guest.timex().status & STA_INS != 0);
    wait_for_line(guest, "dante2sys", logged, "by a leap second");
    // The day after: UTC is a second behind, and the server announces no other leap second.
    server.change(|server| (server.offset_ns, server.leap) = ((ahead_s - 1) * 1_000_000_000, 0));
    wait_until("STA_INS cleared", EVENT_TIMEOUT, || guest.timex().status & STA_INS == 0);
    let error_s = utc_error_s(guest) - (ahead_s - 1) as f64;
    expect_small("UTC error after the leap second", error_s);
    // The first step sets the clock to 2029. Later ones are those of the policy, by about 10 ms: none by the leap second.
    let steps = steps_in(&guest.journal_since("dante2sys", logged));
    println!("steps: {steps:?} s");
    assert!(!steps.is_empty() && steps[1..].iter().all(|step| step.abs() < CLOCK_S), "{steps:?}");
    guest.check("systemctl stop dante2sys.service");
    server.change(|server| server.offset_ns = 0);
}

/// Runs dante2sys with a broken drift file and no RTC, then the shipped unit on a full disk.
fn without_disk_and_rtc(guest: &mut Guest) {
    let server = guest.switch.address(SERVER);
    guest.check("systemctl stop dante2sys.service");
    guest.check("echo nonsense >/run/garbage");
    let words = ["-m", "-q", "--ntp-server", &server, SHORT_INTERVAL];
    let poor = [&words[..], &["--drift-file=/run/garbage", "--rtc-device=/dev/rtc9"]].concat();
    let poor = [&poor[..], &["--rt-priority=50", "--lock-memory"]].concat();
    guest.start("poor", "dante2sys", &poor);
    wait_for_line(guest, "poor", 0, "is not a drift file");
    wait_for_line(guest, "poor", 0, "no RTC at /dev/rtc9");
    wait_for_state(guest, "LOCKED");
    let settings = guest
        .check("pid=$(systemctl show --value -p MainPID poor); chrt -p $pid; grep VmLck /proc/$pid/status");
    assert!(settings.contains("SCHED_FIFO") && settings.contains("priority: 50"), "{settings}");
    assert!(!settings.contains("VmLck:\t       0 kB"), "{settings}");
    guest.stop("poor");
    // The shipped unit, on a full disk.
    let logged = guest.journal("dante2sys").len();
    guest.check(
        "mount -t tmpfs -o size=4k,nr_inodes=3,mode=755,uid=$(id -u dante2sys),gid=$(id -g dante2sys) none /var/lib/dante2sys && \
         cd /var/lib/dante2sys && echo '36.5 0.1' >drift && ! head -c 8192 /dev/zero >fill && \
         chown dante2sys: drift && systemctl start dante2sys.service",
    );
    wait_for_state(guest, "LOCKED");
    if dante_tests::soaks() {
        // dante2sys writes the file a minute after the lock.
        package::wait_for_status(guest, "dante2sys", "the disk is full");
    }
    // At the end it writes a frequency that is known to 2 ppm.
    wait_until("the leader's rate is known", EVENT_TIMEOUT, || {
        guest.status()["dante2sys"]["rate_uncertainty_ppb"].as_f64().is_some_and(|ppb| ppb < 1500.0)
    });
    guest.stop("dante2sys");
    wait_for_line(guest, "dante2sys", logged, "the disk is full: state for the next start not saved");
    let left =
        guest.check("cd /var/lib/dante2sys && cat drift && ls -A && cd / && umount /var/lib/dante2sys");
    assert_eq!(left, "36.5 0.1\ndrift\nfill\n", "the old file was changed");
}
