//! chrony in the guest, as Debian runs it, confined by AppArmor: it steers the clock with danteshm's samples.

use super::{
    EVENT_TIMEOUT, PPM, expect_small, frequency_ppm, package, seconds, utc_error_s, wait_for_frequency,
};
use dante_tests::guest::{Guest, INTERFACE};
use dante_tests::lab::LeaderProcess;
use dante_tests::{wait_for, wait_until};
use std::time::{Duration, Instant};

/// Host number of the time server.
const SERVER: u8 = 7;
/// The configuration snippet of danteshm.
const SNIPPET: &str = "/etc/chrony/conf.d/dante-refclock-shm.conf";

/// Needs the packages on the second disk, and no other program that steers the clock.
pub fn phases(guest: &mut Guest) {
    let server = guest.switch.host(SERVER);
    let _server = guest.chronyd(&server);
    let leader = guest.leader(&[&format!("--ppm={PPM}")]);
    guest.phase("chrony by itself", alone);
    guest.phase("chrony with danteshm, local", local);
    let mut second = None;
    guest.phase("chrony over a change of leaders", |guest| second = Some(another_leader(guest, leader)));
    guest.phase("chrony with danteshm, prefer", prefer);
    guest.stop("chrony danteshm dante4l");
}

/// NTP alone: the other phases are compared with it.
fn alone(guest: &mut Guest) {
    package::unpack(guest);
    guest.check(&format!("sed -i 's/^interface.*/interface = \"{INTERFACE}\"/' /etc/dante4l.toml"));
    let server = guest.switch.address(SERVER);
    // Debian's configuration with other servers, polled less often than the reference clock.
    guest.check(&format!(
        "sed -i -e '/^pool/d' /etc/chrony/chrony.conf && \
         echo 'server {server} iburst minpoll 2 maxpoll 2' >/etc/chrony/conf.d/server.conf"
    ));
    guest.check(
        "aa-status --enabled && grep -q '/usr/sbin/chronyd (enforce)' /sys/kernel/security/apparmor/profiles",
    );
    guest.check("systemctl start chrony.service");
    wait_for_source(guest, "^*");
    std::thread::sleep(seconds(15, 300));
    print_tracking(guest, "without it");
}

/// The shipped snippet with poll 1 instead of 2, so that reach 377 takes less than half a minute. With poll 0 some seconds would be
/// without a sample under emulation.
fn local(guest: &mut Guest) {
    guest.check("systemctl enable --quiet --now dante4l.service danteshm.service");
    guest.check(&format!(
        "sed 's/poll 2/poll 1/' /usr/share/doc/dante4l/examples/dante-refclock-shm.conf >{SNIPPET}; \
         systemctl restart chrony.service"
    ));
    wait_for_reach(guest);
    wait_for_source(guest, "^*");
    std::thread::sleep(seconds(10, 300));
    // It sets the rate, and is not selected as a source of UTC.
    let chosen = guest.check("chronyc -n selectdata");
    let refclock = chosen.lines().find(|line| line.contains("DNTE")).unwrap_or_else(|| panic!("{chosen}"));
    assert!(refclock.starts_with('s'), "{chosen}");
    print_tracking(guest, "with it, local");
    let segment = guest.check("grep -E '^ *1314148402 ' /proc/sysvipc/shm");
    let segment: Vec<&str> = segment.split_whitespace().collect();
    let danteshm = guest.check("id -u danteshm");
    // Mode, owner and creator: the segment belongs to root by now, and no other user can open it.
    assert_eq!((segment[2], segment[7], segment[9]), ("600", "0", danteshm.trim()), "{segment:?}");
}

/// Another leader with another uptime and another rate: the clock does not step.
fn another_leader(guest: &mut Guest, first: LeaderProcess) -> LeaderProcess {
    let before = utc_error_s(guest);
    first.program.kill();
    let second = guest.leader(&[&format!("--ppm={}", PPM - 25.0), "--uptime=541867"]);
    let mut worst: f64 = 0.0;
    let end = Instant::now() + seconds(25, 120);
    while Instant::now() < end {
        worst = worst.max((utc_error_s(guest) - before).abs());
        std::thread::sleep(Duration::from_millis(500));
    }
    let timeline = guest.status()["dante4l"]["timeline"].clone();
    expect_small(&format!("the clock moved over the change of leaders (timeline {timeline})"), worst);
    wait_for_reach(guest);
    second
}

/// chrony prefers the reference clock: the clock runs at the leader's rate.
fn prefer(guest: &mut Guest) {
    guest.check(&format!(
        "sed -i -e 's/^refclock/#&/' -e '/prefer/s/^#//' {SNIPPET}; systemctl restart chrony.service"
    ));
    wait_for_source(guest, "#*");
    let wanted = PPM - 25.0;
    wait_for_frequency(guest, wanted);
    print_tracking(guest, "with it, prefer");
}

/// Waits until chrony has selected a source of this kind: `^*` a server, `#*` a reference clock.
fn wait_for_source(guest: &mut Guest, kind: &str) {
    wait_until(&format!("chrony's source {kind}"), EVENT_TIMEOUT, || {
        guest.run("chronyc -n sources").stdout.lines().any(|line| line.starts_with(kind))
    });
}

/// Waits until eight successive polls had a sample.
fn wait_for_reach(guest: &mut Guest) {
    wait_for("the refclock reachable", EVENT_TIMEOUT, || {
        let sources = guest.run("chronyc -n sources").stdout;
        let line = sources.lines().find(|line| line.contains("DNTE"))?;
        (line.split_whitespace().nth(4) == Some("377")).then_some(())
    });
}

/// Prints how well chrony tracks. No limits: under emulation timestamps scatter.
fn print_tracking(guest: &mut Guest, how: &str) {
    let tracking = guest.check("chronyc -n tracking");
    let line =
        |key: &str| tracking.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().to_owned();
    let (error, frequency) = (utc_error_s(guest) * 1e3, frequency_ppm(guest));
    println!(
        "{how}: frequency{}, RMS offset{}, clock at {frequency:+.2} ppm, UTC error {error:+.3} ms",
        line("Frequency      "),
        line("RMS offset     ")
    );
}
