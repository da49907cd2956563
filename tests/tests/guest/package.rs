//! The Debian package: installed as a user would, its units' rights, an upgrade while the clock is steered, and what is left
//! when it is gone.

use super::{PATIENCE, off_s};
use dante_tests::guest::Guest;
use dante_tests::stage::DAEMONS;
use dante_tests::{wait_for, wait_until};

/// The versions on the second disk.
pub const VERSIONS: [&str; 2] = ["1.0-1", "1.0-2"];
/// The units, and one with hardware.conf: each after those that it needs.
const UNITS: [&str; 7] = [
    "dante4l",
    "dante4l@hardware",
    "dante2sys",
    "danteshm",
    "dante2sys-wait",
    "dante-ntpd",
    "dante-ntpd-chronyd",
];

/// Installs it.
pub fn unpack(guest: &mut Guest) {
    // The guest is without documents otherwise.
    guest.check(&format!(
        "apt-get install -qq -y -o 'Dpkg::Options::=--path-include=/usr/share/doc/dante4l/*' /opt/dante/{}.deb",
        VERSIONS[0]
    ));
}

/// Installs it; systemd has nothing to say against its units, and nothing runs yet.
pub fn install(guest: &mut Guest) {
    // As 85-hwclock.rules of Debian may set the clock by the RTC.
    guest.check(
        "mkdir -p /run/udev/rules.d; \
         echo 'ACTION==\"change\", SUBSYSTEM==\"rtc\", RUN+=\"/bin/touch /run/rtc-changed\"' >/run/udev/rules.d/90-rtc.rules",
    );
    unpack(guest);
    let said = guest.check(
        "cd /usr/lib/systemd/system && systemd-analyze verify --man=no dante*.service chrony.service 2>&1",
    );
    assert_eq!(said, "", "systemd-analyze verify");
    let states = guest.run(
        "systemctl is-enabled dante4l dante2sys danteshm; systemctl is-active dante4l dante2sys danteshm",
    );
    assert_eq!(states.stdout, "disabled\n".repeat(3) + &"inactive\n".repeat(3), "{states:?}");
    let pages = guest.check("cd /dev/shm && stat -c '%n %U %a' dante*");
    let expected = ["dante2sys", "dante4l", "danteshm"]
        .map(|user| format!("{user} {user} 644\n{user}.status {user} 644\n"));
    assert_eq!(pages, expected.concat());
    let changed = "udevadm settle; stat -c '%G %a' /dev/rtc0; ls /run | grep rtc-changed";
    assert_eq!(guest.run(changed).stdout, "clock 660\n");
    // And so it is from the next boot on.
    guest.check("chgrp root /dev/rtc0; udevadm trigger --action=change --subsystem-match=rtc");
    assert_eq!(guest.run(changed).stdout, "clock 660\nrtc-changed\n");
    guest.check("rm /run/udev/rules.d/90-rtc.rules");
}

/// Each reload takes seconds here.
fn drop_in(guest: &mut Guest) {
    guest.check(&format!(
        "cd /run/systemd/system && for unit in {}; do
             mkdir -p $unit.service.d && cp /opt/dante/rights.conf $unit.service.d || exit 1
         done && cp /usr/share/doc/dante4l/examples/hardware.conf dante4l@hardware.service.d && systemctl daemon-reload",
        UNITS.join(" ")
    ));
}

/// What each unit may do is tried in that very unit, with another program in it.
pub fn rights(guest: &mut Guest) {
    let mut attempts = 0;
    drop_in(guest);
    // SocketBindDeny= needs it, and Debian 12 is without.
    let has_bpf = guest.check("systemctl --version").contains("+BPF_FRAMEWORK");
    for unit in UNITS {
        let found = guest.check(&format!(
            "systemctl start {unit}; journalctl --sync; journalctl --quiet --output=cat --boot --unit={unit} --identifier=rights"
        ));
        let allowed: Vec<&str> = found.lines().filter_map(|line| line.strip_prefix("allowed ")).collect();
        attempts = found.lines().count();
        let user = unit.split('@').next().unwrap_or_default();
        let page = format!("write the page of {user}");
        // /tmp and /var/tmp are of its own; danteshm alone has the host's /tmp.
        let (own, shared) = (["write to /var/tmp", "write to /tmp"], "write to /dev/shm");
        let remembered = "write to /var/lib/dante4l";
        let ports: &[&str] = if has_bpf { &["port 319"] } else { &["port 123", "port 319"] };
        let expected: Vec<&str> = match unit {
            "dante4l" => [ports, &own, &[remembered, shared, &page]].concat(),
            "dante4l@hardware" => {
                [&["a network interface"], ports, &own, &[remembered, shared, &page]].concat()
            }
            "dante2sys" => [
                &["set the frequency", "set the date", "write the RTC"][..],
                &own,
                &["write to /var/lib/dante2sys", shared, &page],
            ]
            .concat(),
            "danteshm" => vec!["write to /tmp", shared, &page],
            "dante-ntpd-chronyd" => [&["port 123", "port 319"][..], &own].concat(),
            _ => own.to_vec(),
        };
        assert_eq!(allowed, expected, "{unit}: {found}");
        println!("{unit}: {} of {attempts} attempts denied", attempts - allowed.len());
    }
    // It is the units that deny them, not how they are tried.
    let all = guest.check(
        "bash /opt/dante/rights; rm -f /{etc,usr,run,root,var/tmp,tmp,var/lib/dante2sys,var/lib/dante4l,dev,dev/shm}/attempt-*; \
         modprobe -r dummy; ip link set lo mtu 65536; systemctl stop 'dante*'; \
         rm -r /run/systemd/system/dante*.service.d; systemctl daemon-reload",
    );
    assert!(all.lines().all(|line| line.starts_with("allowed ")), "as root: {all}");
    assert_eq!(all.lines().count(), attempts);
}

/// Processes that live and do nothing: the watchdog ends them, they are started again, and the clock does not jump.
pub fn hung(guest: &mut Guest) {
    let units = ["dante4l", "dante2sys"];
    let before = units.map(|unit| restarts(guest, unit));
    let off = off_s(guest);
    for unit in units {
        guest.check(&format!("systemctl kill --kill-who=main --signal=STOP {unit}.service"));
    }
    for (unit, before) in units.into_iter().zip(before) {
        wait_until(&format!("{unit} started again"), PATIENCE, || restarts(guest, unit) > before);
        let said = guest.journal(unit);
        assert!(said.contains("Watchdog timeout"), "{said}");
    }
    let moved = off_s(guest) - off;
    println!("the clock moved by {:+.2} ms while nobody looked after it", moved * 1e3);
    assert!(moved.abs() < super::host::STILL_S, "{moved} s");
}

/// What happens to the pages under each daemon in its unit, behind the unit's filter over system calls: nobody dies, each page is
/// made again by its writer, who reports it, and the clock does not jump.
pub fn pages(guest: &mut Guest) {
    const PAGES: &str = "dante4l dante4l.status dante2sys dante2sys.status danteshm danteshm.status";
    let main_pids = |guest: &mut Guest| {
        guest.check(&format!(
            "systemctl show --value -p MainPID {}",
            DAEMONS.map(|unit| format!("{unit}.service")).join(" ")
        ))
    };
    let are_fresh = |guest: &mut Guest| {
        let status = guest.status();
        let fresh = DAEMONS.iter().all(|program| status[program]["page"] == "fresh");
        fresh && status["dante2sys"]["state"] == "LOCKED"
    };
    guest.check("systemctl start danteshm.service");
    wait_until("all run", PATIENCE, || are_fresh(guest));
    let (before, off) = (main_pids(guest), off_s(guest));
    for (act, words) in [
        ("truncate -s 0", "was changed by another process (0 bytes"),
        ("truncate -s 136", "was changed by another process (136 bytes"),
        ("truncate -s 1M", "was changed by another process (1048576 bytes"),
        ("rm", "was removed by another process"),
    ] {
        guest.check(&format!("cd /dev/shm && {act} {PAGES}"));
        for unit in DAEMONS {
            for page in [unit.to_owned(), format!("{unit}.status")] {
                let line = format!("/dev/shm/{page} {words}");
                wait_until(&format!("{unit} reporting: {line}"), PATIENCE, || {
                    guest.journal(unit).contains(&line)
                });
            }
        }
        wait_until(&format!("all are read again after {act}"), PATIENCE, || are_fresh(guest));
    }
    // Somebody else's file in the place of one that was removed: reported, not touched, and no reason to end.
    guest.check(&format!("cd /dev/shm && rm {PAGES} && setpriv --reuid=nobody --clear-groups touch {PAGES}"));
    for unit in DAEMONS {
        let line = format!(
            "readers do not see this program: /dev/shm/{unit} is in the way: it belongs to user 65534"
        );
        wait_until(&format!("{unit} reporting: {line}"), PATIENCE, || guest.journal(unit).contains(&line));
    }
    guest.check(&format!("cd /dev/shm && rm {PAGES}"));
    wait_until("all are read again after a planted file", PATIENCE, || are_fresh(guest));
    assert_eq!(main_pids(guest), before, "who died?");
    assert!((off_s(guest) - off).abs() < super::host::STILL_S, "{off} s, {} s", off_s(guest));
    // Before the first start of an instance.
    guest.check(
        "sed 's/^interface.*/interface = \"nosuch0\"/' /etc/dante4l.toml >/etc/dante4l.second.toml && cd /dev/shm && \
         setpriv --reuid=nobody --clear-groups touch dante4l@second dante4l@second.status && \
         systemctl start dante4l@second.service",
    );
    let owners = guest.check("cd /dev/shm && stat -c '%n %U %a' dante4l@second dante4l@second.status");
    assert_eq!(owners, "dante4l@second dante4l 644\ndante4l@second.status dante4l 644\n");
    guest.check("systemctl stop dante4l@second.service danteshm.service && rm /etc/dante4l.second.toml /dev/shm/dante4l@second*");
}

/// How often systemd has started a unit again by itself.
pub fn restarts(guest: &mut Guest, unit: &str) -> u32 {
    let said = guest.check(&format!("systemctl show --value -p NRestarts {unit}.service"));
    said.trim().parse().expect("a number")
}

/// Waits until the line that `systemctl status` shows has these words in it.
pub fn wait_for_status(guest: &mut Guest, unit: &str, words: &str) {
    let line = wait_for(&format!("{unit} telling: {words}"), PATIENCE, || {
        let said = guest.run(&format!("systemctl status --no-pager --lines=0 {unit}.service")).stdout;
        let line = said.lines().find_map(|line| line.trim().strip_prefix("Status: "));
        line.filter(|line| line.contains(words)).map(str::to_owned)
    });
    println!("{unit}: {line}");
}

/// To the next version while the clock is steered: the new programs run, dante4l first, and the clock does not jump. The
/// administrator's configuration stays.
pub fn upgrade(guest: &mut Guest) {
    let file = "/etc/dante4l.toml";
    let (set, off) = (guest.check(&format!("cat {file}")), off_s(guest));
    guest.check(&format!("dpkg --install /opt/dante/{}.deb", VERSIONS[1]));
    assert_eq!(guest.check(&format!("cat {file}")), set);
    assert_eq!(guest.check("dpkg-query --show --showformat '${Version}' dante4l"), VERSIONS[1]);
    let times = guest.check(
        "for unit in dante4l dante2sys; do
            [ /proc/$(systemctl show --value -p MainPID $unit)/exe -ef /usr/sbin/$unit ] || echo old
            systemctl show --value -p ExecMainStartTimestampMonotonic $unit
        done",
    );
    let times: Vec<u64> =
        times.split_whitespace().map(|us| us.parse().expect("us, of the new one")).collect();
    assert!(times[0] < times[1], "dante4l starts first: {times:?}");
    let moved = off_s(guest) - off;
    println!("the clock moved by {:+.2} ms over the upgrade", moved * 1e3);
    assert!(moved.abs() < super::host::STILL_S, "{moved} s");
    let left = guest.journal("dante2sys");
    assert!(left.contains("ppb, without a phase term"), "ended in good order: {left}");
}

/// Removed, nothing of it runs or lies in memory; purged, nothing lies on the disk.
pub fn remove(guest: &mut Guest) {
    // A segment of System V outlives its maker.
    guest.check("systemctl start danteshm.service");
    let segments = "awk -v uid=$(id -u danteshm) '$10 == uid' /proc/sysvipc/shm | wc -l";
    assert_eq!(guest.check(segments), "1\n");
    let files = guest.check("dpkg --listfiles dante4l");
    guest.check("systemctl enable --quiet dante-ntpd.service");
    // A removal that dpkg gives up: what is enabled runs again.
    let daemons = "systemctl is-active dante4l dante2sys danteshm";
    let ended = guest.run(&format!(
        "sh /var/lib/dpkg/info/dante4l.prerm remove; {daemons}; \
         sh /var/lib/dpkg/info/dante4l.postinst abort-remove; {daemons}"
    ));
    let states: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(states, ["inactive", "inactive", "inactive", "active", "active", "inactive"], "{ended:?}");
    guest.check("systemctl start danteshm.service");
    guest.check("apt-get remove -qq -y dante4l >/dev/null");
    assert_eq!(guest.check(segments), "0\n");
    assert_eq!(guest.check("find /dev/shm -name 'dante*'"), "");
    let processes =
        guest.check("for user in dante4l dante2sys danteshm; do find /proc -maxdepth 1 -user $user; done");
    assert_eq!(processes, "");
    let units =
        guest.check("systemctl list-units --all --plain --no-legend 'dante*' 'chrony*' --state=active");
    assert_eq!(units, "");
    assert!(
        guest.check("ls /etc/dante4l.toml /var/lib/dante2sys/drift").contains("drift"),
        "kept until purged"
    );
    guest.check("apt-get purge -qq -y dante4l >/dev/null");
    let own: Vec<&str> = files.lines().filter(|file| file.contains("dante")).collect();
    assert!(own.len() > 20, "{files}");
    let left = guest.run(&format!("ls -d {} 2>/dev/null", own.join(" ")));
    assert_eq!(left.stdout, "");
    let left = guest.check("find /etc /var/lib /run/systemd -name 'dante*'");
    assert_eq!(left, "");
    println!("nothing is left, of {} files", own.len());
}
