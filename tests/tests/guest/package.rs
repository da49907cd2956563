//! The Debian package: its installation, the rights of its units, an upgrade while the clock is steered, and its removal.

use super::{EVENT_TIMEOUT, expect_small, utc_error_s};
use dante_tests::guest::Guest;
use dante_tests::stage::DAEMONS;
use dante_tests::{wait_for, wait_until};

/// Versions of the package on the second disk.
pub const VERSIONS: [&str; 2] = ["1.0-1", "1.0-2"];
/// The units, and one with hardware.conf; each stands after those that it needs.
const UNITS: [&str; 7] = [
    "dante4l",
    "dante4l@hardware",
    "dante2sys",
    "danteshm",
    "dante2sys-wait",
    "dante-ntpd",
    "dante-ntpd-chronyd",
];

/// Installs the package.
pub fn unpack(guest: &mut Guest) {
    // dpkg excludes documents in the guest (image.sh).
    guest.check(&format!(
        "apt-get install -qq -y -o 'Dpkg::Options::=--path-include=/usr/share/doc/dante4l/*' /opt/dante/{}.deb",
        VERSIONS[0]
    ));
}

/// Installs the package: systemd accepts its units, no unit is started, and the pages and the RTC have their owners.
pub fn install(guest: &mut Guest) {
    // Detects a change event of the RTC, on which Debian's 85-hwclock.rules may set the clock.
    guest.check(
        "mkdir -p /run/udev/rules.d; \
         echo 'ACTION==\"change\", SUBSYSTEM==\"rtc\", RUN+=\"/bin/touch /run/rtc-changed\"' >/run/udev/rules.d/90-rtc.rules",
    );
    unpack(guest);
    let warnings = guest.check(
        "cd /usr/lib/systemd/system && systemd-analyze verify --man=no dante*.service chrony.service 2>&1",
    );
    assert_eq!(warnings, "", "systemd-analyze verify");
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
    // The udev rule sets the group at the next boot.
    guest.check("chgrp root /dev/rtc0; udevadm trigger --action=change --subsystem-match=rtc");
    assert_eq!(guest.run(changed).stdout, "clock 660\nrtc-changed\n");
    guest.check("rm /run/udev/rules.d/90-rtc.rules");
}

/// Replaces the program of each unit by `rights`. With one reload of systemd, which takes seconds here.
fn drop_in(guest: &mut Guest) {
    guest.check(&format!(
        "cd /run/systemd/system && for unit in {}; do
             mkdir -p $unit.service.d && cp /opt/dante/rights.conf $unit.service.d || exit 1
         done && cp /usr/share/doc/dante4l/examples/hardware.conf dante4l@hardware.service.d && systemctl daemon-reload",
        UNITS.join(" ")
    ));
}

/// Tries in each unit what the unit may do.
pub fn rights(guest: &mut Guest) {
    let mut attempts = 0;
    drop_in(guest);
    // SocketBindDeny= needs BPF, which Debian 12's systemd is built without.
    let has_bpf = guest.check("systemctl --version").contains("+BPF_FRAMEWORK");
    for unit in UNITS {
        let found = guest.check(&format!(
            "systemctl start {unit}; journalctl --sync; journalctl --quiet --output=cat --boot --unit={unit} --identifier=rights"
        ));
        let allowed: Vec<&str> = found.lines().filter_map(|line| line.strip_prefix("allowed ")).collect();
        attempts = found.lines().count();
        let user = unit.split('@').next().unwrap_or_default();
        let page = format!("write the page of {user}");
        // dante-ntpd has its own /tmp and /var/tmp, danteshm uses the host's /tmp, the others have none.
        let (own, shared) = (["write to /var/tmp", "write to /tmp"], "write to /dev/shm");
        let state = "write to /var/lib/dante4l";
        let ports: &[&str] = if has_bpf { &["port 319"] } else { &["port 123", "port 319"] };
        let expected: Vec<&str> = match unit {
            "dante4l" => [ports, &[state, shared, &page]].concat(),
            "dante4l@hardware" => [&["a network interface"], ports, &[state, shared, &page]].concat(),
            "dante2sys" => vec![
                "set the frequency",
                "set the clock",
                "write the RTC",
                "write to /var/lib/dante2sys",
                shared,
                &page,
            ],
            "danteshm" => vec!["write to /tmp", shared, &page],
            "dante2sys-wait" => vec![],
            "dante-ntpd-chronyd" => [&["port 123", "port 319"][..], &own].concat(),
            _ => own.to_vec(),
        };
        assert_eq!(allowed, expected, "{unit}: {found}");
        println!("{unit}: {} of {attempts} attempts denied", attempts - allowed.len());
    }
    // Outside of the units every attempt succeeds: it is the units that deny them.
    let all = guest.check(
        "bash /opt/dante/rights; rm -f /{etc,usr,run,root,var/tmp,tmp,var/lib/dante2sys,var/lib/dante4l,dev,dev/shm}/attempt-*; \
         modprobe -r dummy; ip link set lo mtu 65536; systemctl stop 'dante*'; \
         rm -r /run/systemd/system/dante*.service.d; systemctl daemon-reload",
    );
    assert!(all.lines().all(|line| line.starts_with("allowed ")), "as root: {all}");
    assert_eq!(all.lines().count(), attempts);
}

/// The watchdog ends and restarts processes that hang, and the clock does not jump.
pub fn hung(guest: &mut Guest) {
    let units = ["dante4l", "dante2sys"];
    let before = units.map(|unit| restarts(guest, unit));
    let error_s = utc_error_s(guest);
    for unit in units {
        guest.check(&format!("systemctl kill --kill-who=main --signal=STOP {unit}.service"));
    }
    for (unit, before) in units.into_iter().zip(before) {
        wait_until(&format!("{unit} restarted"), EVENT_TIMEOUT, || restarts(guest, unit) > before);
        let journal = guest.journal(unit);
        assert!(journal.contains("Watchdog timeout"), "{journal}");
    }
    let moved = utc_error_s(guest) - error_s;
    expect_small("the clock moved while dante2sys hung", moved);
}

/// Changes and removes the pages of daemons that run in their units, with the units' system call filters: no daemon ends, each
/// reports and recreates its page, and the clock does not jump.
pub fn pages(guest: &mut Guest) {
    const PAGES: &str = "dante4l dante4l.status dante2sys dante2sys.status danteshm danteshm.status";
    let main_pids = |guest: &mut Guest| {
        guest.check(&format!(
            "systemctl show --value -p MainPID {}",
            DAEMONS.map(|unit| format!("{unit}.service")).join(" ")
        ))
    };
    guest.check("systemctl start danteshm.service");
    wait_until("all daemons running", EVENT_TIMEOUT, || are_fresh(guest));
    let (before, error_s) = (main_pids(guest), utc_error_s(guest));
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
                wait_until(&format!("{unit} reporting: {line}"), EVENT_TIMEOUT, || {
                    guest.journal(unit).contains(&line)
                });
            }
        }
        wait_until(&format!("all pages are read again after {act}"), EVENT_TIMEOUT, || are_fresh(guest));
    }
    // A file of another user in the place of a page: reported and not touched, and the daemon continues. Renamed over the page, since
    // the daemon would recreate a removed one at once.
    guest.check(&format!(
        "cd /dev/shm && for page in {PAGES}; do \
         setpriv --reuid=nobody --clear-groups touch planted && mv -f planted $page || exit 1; done"
    ));
    for unit in DAEMONS {
        let line = format!(
            "other programs cannot read this program's state: cannot use /dev/shm/{unit}: it belongs to user 65534"
        );
        wait_until(&format!("{unit} reporting: {line}"), EVENT_TIMEOUT, || {
            guest.journal(unit).contains(&line)
        });
    }
    guest.check(&format!("cd /dev/shm && rm {PAGES}"));
    wait_until("all pages are read again after a planted file", EVENT_TIMEOUT, || are_fresh(guest));
    assert_eq!(main_pids(guest), before, "a daemon ended");
    let moved = utc_error_s(guest) - error_s;
    expect_small("the clock moved over the changes of pages", moved);
    // Files of another user before the first start of an instance.
    guest.check(
        "sed 's/^interface.*/interface = \"nosuch0\"/' /etc/dante4l.toml >/etc/dante4l.second.toml && cd /dev/shm && \
         setpriv --reuid=nobody --clear-groups touch dante4l@second dante4l@second.status && \
         systemctl start dante4l@second.service",
    );
    let owners = guest.check("cd /dev/shm && stat -c '%n %U %a' dante4l@second dante4l@second.status");
    assert_eq!(owners, "dante4l@second dante4l 644\ndante4l@second.status dante4l 644\n");
    guest.check("systemctl stop dante4l@second.service danteshm.service && rm /etc/dante4l.second.toml /dev/shm/dante4l@second*");
}

/// Whether all three daemons run with fresh pages, and dante2sys is locked.
pub fn are_fresh(guest: &mut Guest) -> bool {
    let status = guest.status();
    let fresh = DAEMONS.iter().all(|program| status[program]["page"] == "fresh");
    fresh && status["dante2sys"]["state"] == "LOCKED"
}

/// Returns how many times systemd has restarted a unit by itself.
pub fn restarts(guest: &mut Guest, unit: &str) -> u32 {
    let number = guest.check(&format!("systemctl show --value -p NRestarts {unit}.service"));
    number.trim().parse().expect("a number")
}

/// Waits until the status line of `systemctl status` has these words.
pub fn wait_for_status(guest: &mut Guest, unit: &str, words: &str) {
    let line = wait_for(&format!("status of {unit}: {words}"), EVENT_TIMEOUT, || {
        let status = guest.run(&format!("systemctl status --no-pager --lines=0 {unit}.service")).stdout;
        let line = status.lines().find_map(|line| line.trim().strip_prefix("Status: "));
        line.filter(|line| line.contains(words)).map(str::to_owned)
    });
    println!("{unit}: {line}");
}

/// Upgrades the package while the clock is steered: the new programs run, dante4l starts first, the clock does not jump, and the
/// administrator's configuration is kept.
pub fn upgrade(guest: &mut Guest) {
    let file = "/etc/dante4l.toml";
    let (configuration, error_s) = (guest.check(&format!("cat {file}")), utc_error_s(guest));
    let logged = guest.journal("dante2sys").len();
    guest.check(&format!("dpkg --install /opt/dante/{}.deb", VERSIONS[1]));
    assert_eq!(guest.check(&format!("cat {file}")), configuration);
    assert_eq!(guest.check("dpkg-query --show --showformat '${Version}' dante4l"), VERSIONS[1]);
    let times = guest.check(
        "for unit in dante4l dante2sys; do
            [ /proc/$(systemctl show --value -p MainPID $unit)/exe -ef /usr/sbin/$unit ] || echo old
            systemctl show --value -p ExecMainStartTimestampMonotonic $unit
        done",
    );
    let times: Vec<u64> =
        times.split_whitespace().map(|us| us.parse().expect("us, of the new program")).collect();
    assert!(times[0] < times[1], "dante2sys started before dante4l: {times:?}");
    let moved = utc_error_s(guest) - error_s;
    expect_small("the clock moved over the upgrade", moved);
    let journal = guest.journal_since("dante2sys", logged);
    assert!(
        journal.contains("ppb, without phase correction"),
        "the old dante2sys did not end cleanly: {journal}"
    );
}

/// Removes the package: none of its processes, pages and segments is left. Purges it: none of its files is left.
pub fn remove(guest: &mut Guest) {
    // A System V segment outlives the process that created it.
    guest.check("systemctl start danteshm.service");
    let segments = "awk -v uid=$(id -u danteshm) '$10 == uid' /proc/sysvipc/shm | wc -l";
    assert_eq!(guest.check(segments), "1\n");
    let files = guest.check("dpkg --listfiles dante4l");
    guest.check("systemctl enable --quiet dante-ntpd.service");
    // A removal that dpkg aborts: enabled units are started again.
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
        "removed before the purge"
    );
    guest.check("apt-get purge -qq -y dante4l >/dev/null");
    let own: Vec<&str> = files.lines().filter(|file| file.contains("dante")).collect();
    assert!(own.len() > 20, "{files}");
    let left = guest.run(&format!("ls -d {} 2>/dev/null", own.join(" ")));
    assert_eq!(left.stdout, "");
    let left = guest.check("find /etc /var/lib /run/systemd -name 'dante*'");
    assert_eq!(left, "");
    println!("none of {} files is left", own.len());
}

/// Fills /run and /dev/shm, makes the root file system read-only and leaves nothing in /var, starts the daemons, waits until the clock
/// is steered, and restores everything. A full /run has no space for the output of this script: it prints when there is some again.
const WITHOUT_FILE_SYSTEMS: &str = r#"
fill() { mount -o remount,size=$(($(df --output=used -k $1 | tail -1) + 8))k $1; head -c 1M /dev/zero >$1/fill; }
empty() { rm -f $1/fill; mount -o remount,size=50% $1; }
restore() { empty /run; empty /dev/shm; umount /var; mount -o remount,rw /; }
# A page has its memory since the first start.
systemctl start danteshm
systemctl stop danteshm dante2sys dante4l
mount -t tmpfs -o ro none /var && mount -o remount,ro / || { restore; exit 1; }
fill /run; fill /dev/shm
systemctl start dante4l dante2sys danteshm; started=$?
pmc-lite wait --timeout 300; waited=$?
empty /run; empty /dev/shm
echo "start $started, wait $waited, restarts" $(systemctl show --value -p NRestarts dante4l dante2sys danteshm)
systemctl stop danteshm dante2sys dante4l
restore
systemctl start dante4l dante2sys
"#;

/// The daemons start and steer the clock on a host with a read-only root and /tmp, nothing in /var, and a full /run and /dev/shm.
/// Leaves dante4l and dante2sys starting.
pub fn without_file_systems(guest: &mut Guest) {
    let logged = guest.journal("dante2sys").len();
    let result = guest.run_within(WITHOUT_FILE_SYSTEMS, EVENT_TIMEOUT * 2);
    assert_eq!(result.stdout, "start 0, wait 0, restarts 0 0 0\n", "{result:?}");
    let journal = guest.journal_since("dante2sys", logged);
    let line = "directory /var/lib/dante2sys does not exist: state for the next start not saved";
    // Nothing is to be saved if the leader's rate was not known to 2 ppm.
    assert!(journal.matches(line).count() <= 1, "{journal}");
}
