//! A user without rights, with a shell on the host, tries to harm the running daemons.

use super::EVENT_TIMEOUT;
use super::package::are_fresh;
use dante_tests::guest::Guest;
use dante_tests::stage::DAEMONS;
use dante_tests::wait_until;

/// Runs a command as a user without rights, for 200 s at most.
const AS_USER: &str = "timeout 200 setpriv --reuid=nobody --regid=nogroup --clear-groups bash -c";
/// Most lines that the daemons may log in a minute, whatever a user does. Undisturbed they log about ten.
const MAX_LINES: usize = 150;

/// Last line of an attempt that ran to its end.
const ATTEMPTED: &str = "attempted";
/// Messages of bash and perl that a command was not run at all, for want of a program or a module, or because of a typing error.
const NOT_RUN: [&str; 4] = ["command not found", "syntax error", "Can't locate", "Undefined subroutine"];

/// Attempts as bash scripts without a single quote. $PIDS are the daemons.
const ATTEMPTS: [(&str, &str); 13] = [
    (
        "plants names in /dev/shm",
        "cd /dev/shm; touch dante4l@x .dante2sys.1; ln -s /etc/passwd planted; for page in dante*; do mv -f planted $page; done",
    ),
    (
        "writes, truncates and removes pages",
        "cd /dev/shm; for page in dante*; do : >>$page; truncate -s 0 $page; rm -f $page; done",
    ),
    (
        "locks pages: flock, fcntl, lease",
        r#"perl -e "use Fcntl q(:flock); for (glob q(/dev/shm/dante*)) { open(my \$f, q(<), \$_) or next; push @f, \$f;
           flock(\$f, LOCK_EX); my \$l = pack(q(s s x4 q q l), 0, 0, 0, 0, 0); fcntl(\$f, 6, \$l); fcntl(\$f, 1024, 0) } sleep 1""#,
    ),
    (
        "uses up its inotify watches on the pages",
        r#"perl -e "for (1..200) { \$d = syscall(294, 0); for \$p (glob q(/dev/shm/dante*)) { syscall(254, \$d, my \$x = \$p, 0xfff) } } sleep 1""#,
    ),
    ("fills /dev/shm", "dd if=/dev/zero of=/dev/shm/fill bs=1M; sleep 1"),
    ("fills /tmp", "fallocate -l $(($(df --output=avail -k /tmp | tail -1) - 4))k /tmp/fill; sleep 1"),
    ("signals the daemons", "for pid in $PIDS; do kill -9 $pid; kill -STOP $pid; done"),
    (
        "traces them, and changes their priority and limits",
        "for pid in $PIDS; do strace -p $pid; cat /proc/$pid/mem; echo 1000 >/proc/$pid/oom_score_adj; renice 19 $pid;
         chrt -o -p 0 $pid; prlimit --pid $pid --nofile=1; done",
    ),
    (
        "sends notifications to the service manager",
        r#"perl -e "use Socket; socket(S, AF_UNIX, SOCK_DGRAM, 0);
           for (1..1000) { send(S, qq(STOPPING=1\nWATCHDOG=trigger\nMAINPID=1), 0, sockaddr_un(q(/run/systemd/notify))) }""#,
    ),
    (
        "floods the log",
        r#"perl -e "use Socket; socket(S, AF_UNIX, SOCK_DGRAM, 0);
           for (1..5000) { send(S, qq(<30>dante4l[1]: flood), 0, sockaddr_un(q(/dev/log))) }""#,
    ),
    (
        "sends packets to UDP 319 and 320",
        r#"perl -e "use Socket; socket(S, AF_INET, SOCK_DGRAM, 0); for \$to (split q( ), q($ADDRESSES)) { for \$port (319, 320) {
           for (1..2000) { send(S, q(x) x 124, 0, sockaddr_in(\$port, inet_aton(\$to))) } } }""#,
    ),
    (
        "makes and removes System V objects",
        "for i in {1..20}; do ipcmk -M 4096; ipcmk -S 1; ipcmk -Q; done; ipcrm -M 0x4e545032",
    ),
    (
        "loads the processor",
        "for i in {1..12}; do (while :; do :; done) & done; sleep 4; kill $(jobs -p)",
    ),
];

/// After each attempt the daemons run on with the same process ids, limits and scheduling and are locked, and the log is short.
pub fn attempts(guest: &mut Guest) {
    guest.check("systemctl start danteshm.service");
    wait_until("all daemons locked", EVENT_TIMEOUT, || are_fresh(guest));
    let units = DAEMONS.map(|unit| format!("{unit}.service")).join(" ");
    let pids = format!("systemctl show --value -p MainPID {units} | grep .");
    let before = guest.check(&pids);
    let list = before.trim().replace('\n', " ");
    // Limits, OOM score, and of /proc/PID/stat: nice value, real-time priority and policy.
    let properties = format!(
        "for pid in {list}; do
             cat /proc/$pid/limits /proc/$pid/oom_score_adj && cut -d ' ' -f 19,40,41 /proc/$pid/stat || exit 1
         done"
    );
    let properties_before = guest.check(&properties);
    let addresses = format!("127.0.0.1 {}", guest.address());
    for (what, script) in ATTEMPTS {
        let script =
            format!("export PIDS='{list}' ADDRESSES='{addresses}'; {AS_USER} '{script}\necho {ATTEMPTED}'");
        let begun = std::time::Instant::now();
        let output = guest.run(&script);
        assert!(
            output.stdout.ends_with(&format!("{ATTEMPTED}\n")),
            "not run to its end: a user {what}: {output:?}"
        );
        assert!(!NOT_RUN.iter().any(|message| output.stderr.contains(message)), "a user {what}: {output:?}");
        println!("a user {what}: {:.1} s", begun.elapsed().as_secs_f64());
        guest.check("find /dev/shm /tmp -maxdepth 1 -user nobody -delete");
        wait_until(&format!("daemons locked after a user {what}"), EVENT_TIMEOUT, || are_fresh(guest));
        assert_eq!(guest.check(&pids), before, "a daemon ended: a user {what}");
        assert_eq!(guest.check(&properties), properties_before, "a user {what}");
        // By the time since boot: the clock was an hour ahead at first.
        let log = guest.check(&format!(
            "journalctl --quiet --boot --output=short-monotonic -u {} | tr -d '[' | \
             awk -v now=$(cut -d ' ' -f 1 /proc/uptime) '$1 + 60 > now'",
            units.replace(' ', " -u ")
        ));
        assert!(log.lines().count() < MAX_LINES, "{} lines: a user {what}: {log}", log.lines().count());
    }
    // Processes of this user with the names of clock daemons do not count as such.
    guest.check(
        "cp /bin/sleep /tmp/chronyd; cp /bin/sleep /tmp/dante2sys; chmod 755 /tmp/chronyd /tmp/dante2sys
         for name in chronyd dante2sys; do
             systemd-run --quiet --collect --unit=false-$name --uid=nobody /tmp/$name infinity
         done; systemctl restart dante2sys.service; code=$?; systemctl stop false-chronyd false-dante2sys
         rm /tmp/chronyd /tmp/dante2sys; ipcs -m | awk '$3 == \"nobody\" { print $2 }' | xargs -r -n 1 ipcrm shm; exit $code",
    );
    guest.check("systemctl stop danteshm.service");
    super::wait_for_state(guest, "LOCKED");
}
