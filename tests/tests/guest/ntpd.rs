//! dante-ntpd in the guest: a real chronyd, confined by AppArmor, that serves the steered clock while its date is to be
//! trusted, and a host on this machine that takes its date from it.

use super::{EAGER, PATIENCE, off_s, utc_status, wait_for_state};
use dante_core::page::Dante2sysStatus;
use dante_os::clock::{raw_now, read_realtime};
use dante_tests::guest::Guest;
use dante_tests::namespace::{CABLE, Namespace};
use dante_tests::ntp::{NtpServer, Reply, ask};
use dante_tests::program::built;
use dante_tests::{judge, wait_for, wait_until};
use std::time::{Duration, Instant};

/// The address of the host that asks.
const CLIENT: u8 = 6;
/// The guest's date is put off by so much, s: whoever has it has it from the guest.
const AHEAD_S: i32 = 3600;

/// Needs dante4l.service and dante2sys.service running in the guest, with `server` for the date; leaves the latter stopped.
pub fn phases(guest: &mut Guest, server: &NtpServer) {
    let client = guest.switch.host(CLIENT);
    guest.phase("dante-ntpd: chronyd confined, serving", |guest| serves(guest, &client));
    guest.phase("dante-ntpd: silent when the date is set by hand, and back", |guest| {
        falls_silent(guest, &client, server);
    });
    guest.phase("dante-ntpd: a host with the guest's date", |guest| is_followed(guest, &client, server));
    guest.phase("dante-ntpd: silent without dante2sys", |guest| ends(guest, &client));
    server.change(|server| server.offset_ns = 0);
}

fn asked(guest: &Guest, client: &Namespace) -> Option<Reply> {
    ask(client, &guest.switch.address(CLIENT), &guest.address())
}

/// Waits until the guest answers, or until it does not.
fn wait_for_answers(guest: &Guest, client: &Namespace, wanted: bool) -> Duration {
    let begun = Instant::now();
    // One answer may be late here without being missing.
    let questions = if wanted { 1 } else { 3 };
    wait_until(&format!("answers: {wanted}"), PATIENCE, || {
        (0..questions).all(|_| asked(guest, client).is_some() == wanted)
    });
    begun.elapsed()
}

fn serves(guest: &mut Guest, client: &Namespace) {
    // Where the package is installed they are there.
    guest.check(
        "[ -e /etc/chrony/dante-ntpd.conf ] || cp /opt/dante/files/chrony/dante-ntpd.conf /etc/chrony/; \
         systemctl cat dante-ntpd.service >/dev/null 2>&1 || \
         { cp /opt/dante/files/systemd/dante-ntpd*.service /etc/systemd/system/ && systemctl daemon-reload; }",
    );
    let verified = guest.run("systemd-analyze verify --man=no dante-ntpd.service dante-ntpd-chronyd.service");
    assert_eq!((verified.code, verified.stderr.as_str()), (0, ""), "{verified:?}");
    wait_until("a good date", PATIENCE, || utc_status(guest)["synchronised"] == true);
    wait_for_state(guest, "LOCKED");
    assert_eq!(asked(guest, client), None, "before it is started");
    let before = guest.status();
    guest.check("systemctl enable --quiet --now dante-ntpd.service");
    wait_for_answers(guest, client, true);
    let answer = wait_for("another answer", PATIENCE, || asked(guest, client));
    println!("{answer:?}");
    assert_eq!((answer.leap, answer.stratum), (0, 8));
    // What it may do: be on port 123.
    let told = guest.check(
        "pid=$(systemctl show --value -p MainPID dante-ntpd-chronyd.service); cat /proc/$pid/attr/current; \
         ps -o user= -p $pid 2>/dev/null || stat -c %U /proc/$pid; grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/$pid/status",
    );
    let told: Vec<&str> = told.split_whitespace().collect();
    println!("{}", told.join(" "));
    let wanted = "/usr/sbin/chronyd (enforce) _chrony CapEff: 0000000000000400 CapBnd: 0000000000000400 NoNewPrivs: 1 Seccomp: 2";
    assert_eq!(told.join(" "), wanted);
    let clients = guest.check("chronyc -h /run/chrony/dante-ntpd.sock -n clients");
    assert!(clients.contains(&guest.switch.address(CLIENT)), "{clients}");
    // It is no competitor of who steers.
    let after = guest.status();
    assert_eq!(after["dante2sys"]["interference"], before["dante2sys"]["interference"], "{after}");
    assert_ne!(after["dante2sys"]["state"], "YIELDED", "{after}");
}

fn falls_silent(guest: &mut Guest, client: &Namespace, server: &NtpServer) {
    guest.check(&format!("date -s '+{AHEAD_S} sec'"));
    let took = wait_for_answers(guest, client, false);
    println!("silent {:.1} s after the date was set by hand", took.as_secs_f64());
    wait_until("set by hand", PATIENCE, || utc_status(guest)["set_by_hand"] == true);
    // Told by its servers, it is a date like any other.
    server.change(|server| server.offset_ns = i64::from(AHEAD_S) * 1_000_000_000);
    guest.check("systemctl restart dante2sys.service");
    let took = wait_for_answers(guest, client, true);
    println!("answers {:.1} s after dante2sys was restarted", took.as_secs_f64());
    wait_until("a good date", PATIENCE, || utc_status(guest)["synchronised"] == true);
}

/// Both follow one leader, and have one date: an hour ahead of this machine's.
fn is_followed(guest: &mut Guest, client: &Namespace, server: &NtpServer) {
    let asked = server.requests().len();
    let start = |program: &str, words: &[&str]| {
        let mut command = client.command(built(program));
        command.args(words).args(guest.stage.daemon_words());
        guest.stage.start(program, command)
    };
    let _dante4l = start("dante4l", &["-i", CABLE]);
    let _dante2sys = start("dante2sys", &["--clock=virtual", "--ntp-server", &guest.address(), EAGER]);
    wait_for("the client's date", PATIENCE, || {
        let status = guest.stage.status();
        let client = &status["dante2sys"];
        (client["state"] == "LOCKED" && client["utc"]["synchronised"] == true).then_some(())
    });
    let mut page = guest.stage.reader::<Dante2sysStatus>();
    let mut client_off_s = || {
        let line =
            page.read(raw_now()).expect("the client's page").body.line().expect("a virtual clock's line");
        let reading = read_realtime();
        (line.at(reading.raw) - reading.real).secs_f64()
    };
    let guest_off_s = off_s(guest);
    let client_off_s = client_off_s();
    println!("ahead of this machine: the guest {guest_off_s:+.6} s, its client {client_off_s:+.6} s");
    judge("client - guest", (client_off_s - guest_off_s) * 1e3, 3.0, "ms");
    assert!((client_off_s - f64::from(AHEAD_S)).abs() < 1.0, "{client_off_s}");
    // And the guest goes on to ask its own server.
    wait_until("the guest's own question", PATIENCE, || server.requests().len() > asked);
}

fn ends(guest: &mut Guest, client: &Namespace) {
    guest.check("systemctl stop dante2sys.service");
    let took = wait_for_answers(guest, client, false);
    println!("silent {:.1} s after dante2sys was stopped", took.as_secs_f64());
    // With the date it would be started again, were it not ended.
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
