//! Tests with imitations of /proc.

use super::*;
use crate::process::Bound;
use crate::sandbox::{is_root, skip};
use crate::scratch::Scratch;
use std::os::unix::process::CommandExt;
use std::process::Command;

const SYS_TIME: &str = "0000000002000400";

struct Proc(Scratch);

impl Proc {
    fn new() -> Self {
        let directory = Scratch::new();
        directory.write("version", "no process");
        Self(directory)
    }

    fn write(&self, pid: u32, file: &str, text: &str) {
        self.0.write(&format!("{pid}/{file}"), text);
    }

    fn link(&self, pid: u32, file: &str, to: &str) {
        std::os::unix::fs::symlink(to, self.0.0.join(pid.to_string()).join(file)).unwrap();
    }

    /// Adds a process with the capabilities that it needs, without a unit.
    fn add(&self, pid: u32, command: &str) {
        let name = command.split(' ').next().unwrap();
        self.write(pid, "comm", &format!("{}\n", cut(name)));
        self.write(pid, "cmdline", &(format!("/usr/sbin/{command} ").replace(' ', "\0")));
        self.status(pid, "S (sleeping)", 0, SYS_TIME);
        self.write(pid, "cgroup", "0::/user.slice/user-0.slice/session-3.scope\n");
    }

    fn status(&self, pid: u32, state: &str, parent: u32, capabilities: &str) {
        let text = format!(
            "Name:\tx\nState:\t{state}\nPPid:\t{parent}\nCapPrm:\tffffffffffffffff\nCapEff:\t{capabilities}\n"
        );
        self.write(pid, "status", &text);
    }

    fn find(&self) -> Vec<CompetingDaemon> {
        find_in(&self.0.0, 999).daemons
    }

    fn pids(&self) -> Vec<u32> {
        self.find().iter().map(|competitor| competitor.pid).collect()
    }
}

fn steers(command: &str) -> bool {
    let proc = Proc::new();
    proc.add(7, command);
    proc.pids() == [7]
}

fn check(cases: &[(&str, bool)]) {
    for (command, expected) in cases {
        assert_eq!(steers(command), *expected, "{command}");
    }
}

#[test]
fn reports_the_command_that_stops_a_competing_daemon() {
    let proc = Proc::new();
    proc.add(312, "chronyd -F 1");
    proc.write(312, "cgroup", "0::/system.slice/chrony.service\n");
    proc.add(45, "ntpd -g");
    let texts: Vec<String> = proc.find().iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "ntpd (pid 45) steers the system clock; stop it with `kill 45`",
            "chronyd (chrony.service, pid 312) steers the system clock; stop it with `systemctl disable --now \
             chrony.service`",
        ]
    );
}

#[test]
fn chronyd_steers_except_with_x_or_capital_q() {
    check(&[
        ("chronyd", true),
        ("chronyd -d -F 1 -u _chrony", true),
        ("chronyd -x", false),
        ("chronyd -F 1 -x", false),
        ("chronyd -dnx -F-1", false),
        ("chronyd -dfx", true), // a file named x
        ("chronyd -f x", true),
        ("chronyd -l x -L -x -n", true), // -L takes -x as its value
        ("chronyd -Q server pool.ntp.org", false),
        ("chronyd pool_x -x", false), // options may follow other words
        ("chronyd -- -x", true),
    ]);
}

#[test]
fn phc2sys_steers_if_the_system_clock_is_a_target() {
    check(&[
        ("phc2sys -s eth1 -w", true),
        ("phc2sys -s eth1 -c CLOCK_REALTIME -w", true),
        ("phc2sys -s CLOCK_REALTIME -c /dev/ptp0 -O 0", false),
        ("phc2sys -sCLOCK_REALTIME -ceth1", false),
        ("phc2sys -s eth1 -c /dev/ptp1 -c CLOCK_REALTIME", true),
        ("phc2sys -a", false),
        ("phc2sys -a -r", true),
        ("phc2sys -arr", true),
        ("phc2sys -a -u 5 -m", false),
        ("phc2sys -w -n 24 -d /dev/pps0", true),
    ]);
}

#[test]
fn ptp4l_steers_with_software_timestamps_only() {
    check(&[
        ("ptp4l -i eth1", false),
        ("ptp4l -i eth1 -S", true),
        ("ptp4l -mSi eth1", true),
        ("ptp4l -iS", false), // an interface named S
        ("ptp4l -f /etc/ptp4l.conf", true),
        ("ptp4l -f /etc/ptp4l.conf -H", false),
        ("ptp4l --time_stamping=software", true),
        ("ptp4l --time_stamping legacy", true),
        ("ptp4l -f /etc/ptp4l.conf --time_stamping=onestep", false),
    ]);
    let proc = Proc::new();
    proc.add(7, "ptp4l -f /etc/ptp4l.conf");
    proc.write(7, "root/etc/ptp4l.conf", "[global]\n#time_stamping software\ntime_stamping\thardware\n");
    assert_eq!(proc.find(), []);
    proc.write(7, "root/etc/ptp4l.conf", "[global]\ntime_stamping\t\tsoftware\n");
    assert_eq!(proc.pids(), [7]);
}

#[test]
fn ptp4l_does_not_steer_if_it_is_free_running() {
    check(&[
        ("ptp4l -i eth1 -S --free_running=1", false),
        ("ptp4l -i eth1 -S --free_running 1", false),
        ("ptp4l -i eth1 -S --free_running=0", true),
    ]);
    let proc = Proc::new();
    proc.add(7, "ptp4l -f /etc/ptp4l.conf");
    proc.write(7, "root/etc/ptp4l.conf", "[global]\ntime_stamping software\nfree_running 1\n");
    assert_eq!(proc.find(), []);
}

#[test]
fn ptpd_steers_except_with_an_option_against_it() {
    check(&[
        ("ptpd -b eth1", true),
        ("ptpd -t -b eth1", false),
        ("ptpd -b eth1 -Gt", false),
        ("ptpd -b t", true), // an interface named t
        ("ptpd -bt", true),
        ("ptpd -n 1 -b eth1", true), // the announce interval of versions before 2.3
        ("ptpd2 -i eth1 -n", false),
        ("ptpd2 -n -i eth1", false),
        ("ptpd2 --noadjust -i eth1", false),
        ("ptpd2 -i eth1 --clock:no_adjust=y", false),
        ("ptpd2 -i eth1 --clock:no_adjust=n", true),
        ("ptpd2 -c /etc/ptpd2.conf", true),
    ]);
}

#[test]
fn ntpd_steers_except_the_one_of_busybox_that_only_queries() {
    check(&[("ntpd -g", true), ("ntpd -w", true), ("statime -c /etc/statime.toml", true)]);
    let proc = Proc::new();
    proc.add(9, "ntpd -w -p 10.0.0.1");
    proc.link(9, "exe", "/bin/busybox");
    assert_eq!(proc.find(), []);
    proc.add(10, "ntpd -p 10.0.0.1");
    proc.link(10, "exe", "/bin/busybox");
    assert_eq!(proc.pids(), [10]);
}

#[test]
fn another_dante2sys_steers_except_with_another_clock() {
    check(&[
        ("dante2sys", true),
        ("dante2sys -m --clock realtime", true),
        ("dante2sys -c virtual", false),
        ("dante2sys -mcvirtual", false),
        ("dante2sys -c=virtual", false),
        ("dante2sys --clock=virtual", false),
        ("dante2sys --clock virtual -m", false),
        ("dante2sys --clock /dev/ptp1", false),
        ("dante2sys --clock virtual --clock realtime", true),
        ("dante2sys -f /etc/dante4l.toml", true),
        ("dante2sys -f /etc/dante4l.toml -c virtual", false),
    ]);
    let proc = Proc::new();
    proc.add(7, "dante2sys --config suite.toml");
    proc.write(7, "cwd/suite.toml", "[dante4l]\nclock = \"realtime\"\n[dante2sys]\nclock = \"virtual\"\n");
    assert_eq!(proc.find(), []);
    proc.write(7, "cwd/suite.toml", "[dante2sys]\nmessages = true\n");
    assert_eq!(proc.pids(), [7]);
}

#[test]
fn other_known_programs_always_steer_and_unknown_ones_never() {
    check(&[
        ("ntpd -g -u ntpsec:ntpsec", true),
        ("openntpd", true),
        ("systemd-timesyncd", true),
        ("ntp-daemon --config /etc/ntpd-rs/ntp.toml", true),
        ("ptpd2 -i eth1", true),
        ("chronyc tracking", false),
        ("dante4l -i eth1", false),
        ("systemd-timedated", false),
    ]);
    let proc = Proc::new();
    proc.add(7, "systemd-timesyncd");
    assert_eq!(proc.find().first().unwrap().name, "systemd-timesyncd", "the truncated name of the kernel");
}

#[test]
fn ignores_processes_that_cannot_steer() {
    let proc = Proc::new();
    proc.add(1, "chronyd");
    proc.status(1, "S (sleeping)", 0, "fffffffffdffffff");
    proc.add(2, "ntpd");
    proc.status(2, "Z (zombie)", 0, SYS_TIME);
    proc.add(3, "openntpd");
    std::fs::remove_file(proc.0.0.join("3/status")).unwrap();
    proc.add(999, "dante2sys");
    std::fs::create_dir(proc.0.0.join("5")).unwrap();
    assert_eq!(proc.pids(), [3], "only a process with an unreadable status counts as able");
    std::fs::remove_file(proc.0.0.join("3/cmdline")).unwrap();
    std::fs::remove_file(proc.0.0.join("3/cgroup")).unwrap();
    assert_eq!(proc.pids(), [3]);
}

#[test]
fn ignores_capabilities_in_another_user_namespace() {
    let proc = Proc::new();
    // In the format of the kernel (kernel/user_namespace.c).
    let users = |of: &str, first: u32, count: u32| {
        proc.0.write(&format!("{of}/uid_map"), format!("{:10} {first:10} {count:10}\n", 0));
    };
    for pid in 1..=3 {
        proc.add(pid, "chronyd");
        proc.write(pid, "cgroup", &format!("0::/system.slice/chrony-{pid}.service\n"));
    }
    users("1", 100_000, 65_536);
    users("2", 0, u32::MAX);
    proc.write(3, "uid_map", ""); // the process has ended meanwhile
    assert_eq!(proc.pids(), [1, 2, 3], "own namespace is unknown");
    users("self", 0, u32::MAX);
    assert_eq!(proc.pids(), [2, 3]);
}

/// A real namespace, seen by a user who may not trace the process, as an unprivileged daemon sees a container.
#[test]
fn recognises_another_user_namespace_without_ptrace_access() {
    let run = |script: &str| Command::new("sh").args(["-c", script]).output().unwrap();
    if !is_root("becomes another user") {
        return;
    }
    if !run("setpriv --reuid=65534 --clear-groups unshare --user --map-root-user true").status.success() {
        return skip("needs user namespaces of unprivileged users, setpriv(1) and unshare(1)");
    }
    let output = run(
        "unshare --user --map-root-user sleep 60 & trap 'kill $!' EXIT
         until grep -Eq '^ +0 +0 +1$' /proc/$!/uid_map; do sleep 0.01; done
         setpriv --reuid=65534 --clear-groups sh -c \"cmp -s /proc/self/uid_map /proc/$!/uid_map || echo differs
         cat /proc/$!/uid_map; readlink /proc/$!/ns/user || echo no link\"",
    );
    let output = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.split_whitespace().collect::<Vec<_>>().join(" "), "differs 0 0 1 no link");
}

#[test]
fn helper_processes_are_not_listed() {
    let proc = Proc::new();
    for (pid, parent, cgroup) in [
        (10, 1, "0::/system.slice/chrony.service"),
        (11, 1, "0::/system.slice/chrony.service"), // the same unit, though not a child
        (20, 1, "0::/user.slice/user-0.slice/session-3.scope"),
        (21, 20, "0::/user.slice/user-0.slice/session-3.scope"), // a child
        (30, 1, "0::/system.slice/chrony@second.service"),
        (40, 1, "0::/user.slice/user-0.slice/session-3.scope"), // another one without a unit
    ] {
        proc.add(pid, "chronyd");
        proc.status(pid, "S (sleeping)", parent, SYS_TIME);
        proc.write(pid, "cgroup", cgroup);
    }
    assert_eq!(proc.pids(), [10, 20, 30, 40]);
}

#[test]
fn unit_is_one_that_systemctl_of_this_host_can_stop() {
    let unit = |cgroup: &str| {
        let proc = Proc::new();
        proc.add(1, "ntpd");
        proc.write(1, "cgroup", cgroup);
        proc.find().remove(0).unit
    };
    assert_eq!(unit("0::/system.slice/ntpsec.service\n").as_deref(), Some("ntpsec.service"));
    assert_eq!(unit("0::/system.slice/ntpsec.service/below\n").as_deref(), Some("ntpsec.service"));
    let v1 = "12:devices:/system.slice/other.service\n1:name=systemd:/system.slice/ntp.service\n0::/x\n";
    assert_eq!(unit(v1).as_deref(), Some("ntp.service"));
    assert_eq!(unit("0::/system.slice/system-ntpd.slice/ntpd@a.service").as_deref(), Some("ntpd@a.service"));
    assert_eq!(unit("0::/system.slice/docker-3f.scope/system.slice/ntp.service\n"), None, "in a container");
    assert_eq!(unit("0::/user.slice/user-0.slice/user@0.service/app.slice/ntp.service\n"), None);
    assert_eq!(unit("0::/\n"), None);
}

/// The process named ntpd is sleep(1): it may set the clock, but does nothing.
#[test]
fn finds_a_process_of_this_host_except_itself() {
    assert_eq!(find_in(Path::new("/nowhere"), 1).daemons, []);
    if !is_root("starts a process that may set the clock") {
        return;
    }
    let proc = Path::new("/proc");
    if !Process::new(proc, std::process::id()).may_set_the_clock() {
        return skip("needs CAP_SYS_TIME");
    }
    let directory = Scratch::new();
    let sleep = Command::new("sh").args(["-c", "command -v sleep"]).output().unwrap().stdout;
    let ntpd = directory.0.join("ntpd");
    std::os::unix::fs::symlink(String::from_utf8(sleep).unwrap().trim_end(), &ntpd).unwrap();
    // A multi-call program, such as busybox, selects the command by this word.
    let mut child = Bound::spawn(Command::new(ntpd).arg0("sleep").arg("60")).unwrap();
    let pid = child.id();
    let is_found = |own| {
        find_in(proc, own)
            .daemons
            .iter()
            .any(|competitor| (competitor.pid, &*competitor.name) == (pid, "ntpd"))
    };
    let found = [is_found(1), is_found(pid), find().daemons.iter().any(|competitor| competitor.pid == pid)];
    child.end(std::time::Duration::from_secs(20)).unwrap();
    assert_eq!(found, [true, false, true], "as another process, as the process itself, by this process");
    assert!(!is_found(1), "found after its end");
}

#[test]
fn processes_that_cannot_be_seen_make_the_list_incomplete() {
    let proc = Proc::new();
    let is_complete = || find_in(&proc.0.0, 999).is_complete;
    proc.add(7, "chronyd");
    assert!(!is_complete(), "hidepid=2: the processes of other users are not listed");
    proc.write(1, "status", "Name:\tx\n");
    assert!(!is_complete(), "hidepid=1: their files cannot be read");
    proc.add(1, "systemd");
    assert!(is_complete());
    let absent = find_in(&proc.0.0.join("absent"), 999);
    assert!(!absent.is_complete && absent.daemons.is_empty(), "/proc is not mounted");
}
