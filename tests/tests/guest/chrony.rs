//! chrony in the guest, as Debian runs it and AppArmor confines it: it holds the clock, with what danteshm gives it.

use super::{PATIENCE, PPM, off_s, package, seconds};
use dante_tests::guest::{Guest, INTERFACE};
use dante_tests::lab::LeaderProcess;
use dante_tests::{judge, wait_for, wait_until};
use std::time::{Duration, Instant};

/// The address of the time server.
const SERVER: u8 = 7;
/// The snippet in use.
const SNIPPET: &str = "/etc/chrony/conf.d/dante-refclock-shm.conf";

/// Needs the packages on the second disk, and nobody else at the clock.
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

/// NTP alone: what the rest is held against.
fn alone(guest: &mut Guest) {
    package::unpack(guest);
    guest.check(&format!("sed -i 's/^interface.*/interface = \"{INTERFACE}\"/' /etc/dante4l.toml"));
    let server = guest.switch.address(SERVER);
    // Debian's configuration, but for its servers; the refclock's poll has to be the shortest.
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
    tell(guest, "without it");
}

/// The shipped snippet as it is, but for a poll that needs no half minute to reach 377. At poll 0, one second under
/// emulation is without a sample now and then.
fn local(guest: &mut Guest) {
    guest.check("systemctl enable --quiet --now dante4l.service danteshm.service");
    guest.check(&format!(
        "sed 's/poll 2/poll 1/' /usr/share/doc/dante4l/examples/dante-refclock-shm.conf >{SNIPPET}; \
         systemctl restart chrony.service"
    ));
    wait_for_reach(guest);
    wait_for_source(guest, "^*");
    std::thread::sleep(seconds(10, 300));
    // It rules the rate, and is no source of the date.
    let chosen = guest.check("chronyc -n selectdata");
    let refclock = chosen.lines().find(|line| line.contains("DNTE")).unwrap_or_else(|| panic!("{chosen}"));
    assert!(refclock.starts_with('s'), "{chosen}");
    tell(guest, "with it, local");
    let segment = guest.check("grep -E '^ *1314148402 ' /proc/sysvipc/shm");
    let segment: Vec<&str> = segment.split_whitespace().collect();
    let danteshm = guest.check("id -u danteshm");
    // Key, mode, and last owner and maker: root's by now, and nobody else's to open.
    assert_eq!((segment[2], segment[7], segment[9]), ("600", "0", danteshm.trim()), "{segment:?}");
}

/// Another uptime, another rate, and the clock feels no step.
fn another_leader(guest: &mut Guest, first: LeaderProcess) -> LeaderProcess {
    let before = off_s(guest);
    first.program.kill();
    let second = guest.leader(&[&format!("--ppm={}", PPM - 25.0), "--uptime=541867"]);
    let mut worst: f64 = 0.0;
    let end = Instant::now() + seconds(25, 120);
    while Instant::now() < end {
        worst = worst.max((off_s(guest) - before).abs());
        std::thread::sleep(Duration::from_millis(500));
    }
    let fed = guest.status()["dante4l"]["timeline"].clone();
    println!("moved by {:.3} ms at most over the change (timeline {fed})", worst * 1e3);
    judge("moved", worst * 1e3, 1.0, "ms");
    wait_for_reach(guest);
    second
}

/// The fence: the clock runs at the leader's rate.
fn prefer(guest: &mut Guest) {
    guest.check(&format!(
        "sed -i -e 's/^refclock/#&/' -e '/prefer/s/^#//' {SNIPPET}; systemctl restart chrony.service"
    ));
    wait_for_source(guest, "#*");
    let wanted = PPM - 25.0;
    wait_until("the leader's rate", PATIENCE, || (guest.timex().frequency_ppb / 1e3 - wanted).abs() < 4.0);
    tell(guest, "with it, prefer");
}

/// Waits until chrony has chosen a source of this kind: ^ a server, # a refclock; * chosen.
fn wait_for_source(guest: &mut Guest, kind: &str) {
    wait_until(&format!("chrony's source {kind}"), PATIENCE, || {
        guest.run("chronyc -n sources").stdout.lines().any(|line| line.starts_with(kind))
    });
}

/// Eight polls in a row with a sample.
fn wait_for_reach(guest: &mut Guest) {
    wait_for("the refclock reachable", PATIENCE, || {
        let said = guest.run("chronyc -n sources").stdout;
        let line = said.lines().find(|line| line.contains("DNTE"))?;
        (line.split_whitespace().nth(4) == Some("377")).then_some(())
    });
}

/// The figures are printed, not judged: under emulation stamps scatter.
fn tell(guest: &mut Guest, how: &str) {
    let said = guest.check("chronyc -n tracking");
    let line =
        |key: &str| said.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().to_owned();
    let (off, frequency) = (off_s(guest) * 1e3, guest.timex().frequency_ppb / 1e3);
    println!(
        "{how}: frequency{}, RMS offset{}, clock at {frequency:+.2} ppm, date off by {off:+.3} ms",
        line("Frequency      "),
        line("RMS offset     ")
    );
}
