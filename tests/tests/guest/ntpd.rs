//! dante-ntpd in the guest: a real chronyd, confined by AppArmor, serves the steered clock while UTC is synchronised, and a host on
//! this machine gets UTC from it.

use super::{EVENT_TIMEOUT, SHORT_INTERVAL, expect_small, utc_error_s, utc_status, wait_for_state};
use dante_core::page::Dante2sysStatus;
use dante_os::clock::{raw_now, read_realtime};
use dante_tests::guest::Guest;
use dante_tests::namespace::{CABLE, Namespace};
use dante_tests::ntp::{NtpServer, Reply, query};
use dante_tests::program::built;
use dante_tests::{wait_for, wait_until};
use std::time::{Duration, Instant};

/// Host number of the NTP client.
const CLIENT: u8 = 6;
/// The guest's clock is set this far ahead of this machine's, s: a client with that time has it from the guest.
const AHEAD_S: i32 = 3600;

/// Needs dante4l.service and dante2sys.service running in the guest, with UTC from `server`. Leaves dante2sys stopped.
pub fn phases(guest: &mut Guest, server: &NtpServer) {
    let client = guest.switch.host(CLIENT);
    guest.phase("dante-ntpd: chronyd confined, serving", |guest| serves(guest, &client));
    guest.phase("dante-ntpd: silent after the clock is set by hand, then serving again", |guest| {
        falls_silent(guest, &client, server);
    });
    guest.phase("dante-ntpd: a host gets UTC from the guest", |guest| is_followed(guest, &client, server));
    guest.phase("dante-ntpd: silent without dante2sys", |guest| ends(guest, &client));
    server.change(|server| server.offset_ns = 0);
}

fn reply_of(guest: &Guest, client: &Namespace) -> Option<Reply> {
    query(client, &guest.switch.address(CLIENT), &guest.address())
}

/// Waits until the guest answers, or until it does not answer any more. Returns how long that took.
fn wait_for_answers(guest: &Guest, client: &Namespace, wanted: bool) -> Duration {
    let begun = Instant::now();
    // Under emulation one answer may be late.
    let requests = if wanted { 1 } else { 3 };
    wait_until(&format!("answers: {wanted}"), EVENT_TIMEOUT, || {
        (0..requests).all(|_| reply_of(guest, client).is_some() == wanted)
    });
    begun.elapsed()
}

fn serves(guest: &mut Guest, client: &Namespace) {
    // The package installs these files; without it they are copied.
    guest.check(
        "[ -e /etc/chrony/dante-ntpd.conf ] || cp /opt/dante/files/chrony/dante-ntpd.conf /etc/chrony/; \
         systemctl cat dante-ntpd.service >/dev/null 2>&1 || \
         { cp /opt/dante/files/systemd/dante-ntpd*.service /etc/systemd/system/ && systemctl daemon-reload; }",
    );
    let verified = guest.run("systemd-analyze verify --man=no dante-ntpd.service dante-ntpd-chronyd.service");
    assert_eq!((verified.code, verified.stderr.as_str()), (0, ""), "{verified:?}");
    wait_until("UTC synchronised", EVENT_TIMEOUT, || utc_status(guest)["synchronised"] == true);
    wait_for_state(guest, "LOCKED");
    assert_eq!(reply_of(guest, client), None, "answered before it is started");
    let before = guest.status();
    guest.check("systemctl enable --quiet --now dante-ntpd.service");
    wait_for_answers(guest, client, true);
    let answer = wait_for("another answer", EVENT_TIMEOUT, || reply_of(guest, client));
    println!("{answer:?}");
    assert_eq!((answer.leap, answer.stratum), (0, 8));
    // Its only capability is to bind port 123.
    let rights = guest.check(
        "pid=$(systemctl show --value -p MainPID dante-ntpd-chronyd.service); cat /proc/$pid/attr/current; \
         ps -o user= -p $pid 2>/dev/null || stat -c %U /proc/$pid; grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/$pid/status",
    );
    let rights: Vec<&str> = rights.split_whitespace().collect();
    println!("{}", rights.join(" "));
    let wanted = "/usr/sbin/chronyd (enforce) _chrony CapEff: 0000000000000400 CapBnd: 0000000000000400 NoNewPrivs: 1 Seccomp: 2";
    assert_eq!(rights.join(" "), wanted);
    let clients = guest.check("chronyc -h /run/chrony/dante-ntpd.sock -n clients");
    assert!(clients.contains(&guest.switch.address(CLIENT)), "{clients}");
    // It does not steer the clock.
    let after = guest.status();
    assert_eq!(after["dante2sys"]["interference"], before["dante2sys"]["interference"], "{after}");
    assert_ne!(after["dante2sys"]["state"], "YIELDED", "{after}");
}

fn falls_silent(guest: &mut Guest, client: &Namespace, server: &NtpServer) {
    guest.check(&format!("date -s '+{AHEAD_S} sec'"));
    let took = wait_for_answers(guest, client, false);
    println!("silent {:.1} s after the clock was set by hand", took.as_secs_f64());
    wait_until("set by hand", EVENT_TIMEOUT, || utc_status(guest)["set_by_hand"] == true);
    // When the NTP server serves this time, it is UTC.
    server.change(|server| server.offset_ns = i64::from(AHEAD_S) * 1_000_000_000);
    guest.check("systemctl restart dante2sys.service");
    let took = wait_for_answers(guest, client, true);
    println!("answers {:.1} s after dante2sys was restarted", took.as_secs_f64());
    wait_until("UTC synchronised", EVENT_TIMEOUT, || utc_status(guest)["synchronised"] == true);
}

/// Guest and client follow the same leader, and have the same UTC: an hour ahead of this machine's clock.
fn is_followed(guest: &mut Guest, client: &Namespace, server: &NtpServer) {
    let requests = server.requests().len();
    let start = |program: &str, words: &[&str]| {
        let mut command = client.command(built(program));
        command.args(words).args(guest.stage.daemon_words());
        guest.stage.start(program, command)
    };
    let _dante4l = start("dante4l", &["-i", CABLE]);
    let _dante2sys =
        start("dante2sys", &["--clock=virtual", "--ntp-server", &guest.address(), SHORT_INTERVAL]);
    wait_for("UTC at the client", EVENT_TIMEOUT, || {
        let status = guest.stage.status();
        let client = &status["dante2sys"];
        (client["state"] == "LOCKED" && client["utc"]["synchronised"] == true).then_some(())
    });
    let mut page = guest.stage.reader::<Dante2sysStatus>();
    let mut client_error_s = || {
        let line =
            page.read(raw_now()).expect("the client's page").body.line().expect("a virtual clock's line");
        let reading = read_realtime();
        (line.at(reading.raw) - reading.real).secs_f64()
    };
    let guest_error_s = utc_error_s(guest);
    let client_error_s = client_error_s();
    println!("ahead of this machine: guest {guest_error_s:+.6} s, client {client_error_s:+.6} s");
    expect_small("client - guest", client_error_s - guest_error_s);
    assert!((client_error_s - f64::from(AHEAD_S)).abs() < 1.0, "{client_error_s}");
    // The guest continues to query its own server.
    wait_until("a request of the guest to its own server", EVENT_TIMEOUT, || {
        server.requests().len() > requests
    });
}

fn ends(guest: &mut Guest, client: &Namespace) {
    guest.check("systemctl stop dante2sys.service");
    let took = wait_for_answers(guest, client, false);
    println!("silent {:.1} s after dante2sys was stopped", took.as_secs_f64());
    // While it is enabled, it would be started again as soon as UTC is synchronised.
    guest.check("systemctl disable --quiet --now dante-ntpd.service");
    let left = guest.run(
        "systemctl is-active dante-ntpd.service dante-ntpd-chronyd.service; systemctl list-jobs; pidof chronyd",
    );
    assert_eq!(
        left.stdout.lines().collect::<Vec<_>>(),
        ["inactive", "inactive", "No jobs running."],
        "{left:?}"
    );
}
