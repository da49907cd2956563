//! The Debian package and `make install`: their files with permissions, and the reports of systemd and lintian. What the package
//! does on a host is tested in the guest.

use dante_tests::lab::{may_be_root, may_run};
use dante_tests::package::{make, make_deb, make_within, may_make_deb, sources};
use dante_tests::stage::Stage;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Files that are built, with their modes.
const MADE: [(&str, u32); 10] = [
    ("/usr/bin/dantesim", 0o755),
    ("/usr/lib/dante4l/reserve-pages", 0o755),
    ("/usr/lib/systemd/system/chronyd.service.d/dante.conf", 0o644),
    ("/usr/lib/systemd/system/dante4l@.service", 0o644),
    ("/usr/sbin/dante2sys", 0o755),
    ("/usr/sbin/dante4l", 0o755),
    ("/usr/sbin/danteshm", 0o755),
    ("/usr/sbin/pmc-lite", 0o755),
    ("/usr/share/doc/dante4l/changelog.Debian.gz", 0o644),
    ("/usr/share/doc/dante4l/changelog.gz", 0o644),
];
/// Target folders of the files in files/: the first prefix that matches applies. Files that match none are not installed.
const PLACES: [(&str, &str); 13] = [
    ("include/examples/", "/usr/share/doc/dante4l/examples/"),
    ("include/", "/usr/include/"),
    ("systemd/examples/", "/usr/share/doc/dante4l/examples/"),
    ("systemd/", "/usr/lib/systemd/system/"),
    ("sysusers.d/", "/usr/lib/sysusers.d/"),
    ("tmpfiles.d/", "/usr/lib/tmpfiles.d/"),
    ("udev/", "/usr/lib/udev/rules.d/"),
    ("chrony/dante-refclock-", "/usr/share/doc/dante4l/examples/dante-refclock-"),
    ("chrony/", "/etc/chrony/"),
    ("grafana/", "/usr/share/dante4l/grafana/"),
    ("dante4l.toml", "/etc/dante4l.toml"),
    ("debian/lintian-overrides", "/usr/share/lintian/overrides/dante4l"),
    ("debian/copyright", "/usr/share/doc/dante4l/copyright"),
];
/// Configuration files, which dpkg keeps if an administrator has changed them.
const CONFFILES: [&str; 2] = ["/etc/chrony/dante-ntpd.conf", "/etc/dante4l.toml"];
/// Folders of documents and completions. The man pages are checked by name below.
const DOCUMENTS: [&str; 5] = [
    "/usr/share/doc/dante4l/",
    "/usr/share/man/man",
    "/usr/share/bash-completion/completions/",
    "/usr/share/zsh/vendor-completions/",
    "/usr/share/fish/vendor_completions.d/",
];

#[test]
fn package_has_the_files_of_make_install_and_lintian_reports_no_fault() {
    if !may_run(&["make", "dpkg-deb", "dpkg-shlibdeps", "strip", "lintian"]) || !may_make_deb() {
        return;
    }
    let stage = Stage::new();
    let package = make_deb("1.0-0upstream1", stage.folder());
    let package = package.to_str().expect("a path");

    // `drwxr-xr-x 0/0  0 2026-01-01 00:00 ./usr/`
    let list = stdout_of("dpkg-deb", &["--contents", package]);
    let mut found = BTreeMap::new();
    for line in list.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (mode, owner, path) = (words[0], words[1], words[5].trim_start_matches('.'));
        assert!(["0/0", "root/root"].contains(&owner), "{line}");
        if mode.starts_with('d') {
            assert_eq!(mode, "drwxr-xr-x", "{line}");
        } else {
            let mode = match mode {
                "-rwxr-xr-x" => 0o755,
                "-rw-r--r--" => 0o644,
                _ => panic!("{line}"),
            };
            found.insert(path.to_owned(), mode);
        }
    }
    let expected = expected();
    for (path, mode) in &expected {
        assert_eq!(found.get(path), Some(mode), "{path}: {list}");
    }
    for (path, mode) in &found {
        let is_document = *mode == 0o644 && DOCUMENTS.iter().any(|folder| path.starts_with(folder));
        assert!(is_document || expected.contains_key(path), "{mode:o} {path} is not expected");
    }
    for page in
        ["1/dantesim.1", "5/dante4l.toml.5", "8/dante4l.8", "8/dante2sys.8", "8/danteshm.8", "8/pmc-lite.8"]
    {
        assert!(found.contains_key(&format!("/usr/share/man/man{page}.gz")), "{page}: {list}");
    }
    for folder in &DOCUMENTS[2..] {
        assert_eq!(found.keys().filter(|path| path.starts_with(folder)).count(), 5, "{folder}: {list}");
    }
    let conffiles = stdout_of("dpkg-deb", &["--info", package, "conffiles"]);
    let mut conffiles: Vec<&str> = conffiles.split_whitespace().collect();
    conffiles.sort_unstable();
    assert_eq!(conffiles, CONFFILES);
    let control = stdout_of("dpkg-deb", &["--field", package]);
    for field in ["Package: dante4l\n", "Version: 1.0-0upstream1\n", "Suggests: chrony\n"] {
        assert!(control.contains(field), "{field}: {control}");
    }
    let depends = control.lines().find_map(|line| line.strip_prefix("Depends: ")).expect("Depends");
    let packages: Vec<&str> = depends.split(", ").filter_map(|package| package.split(' ').next()).collect();
    for package in ["libc6", "libgcc-s1", "systemd"] {
        assert!(packages.contains(&package), "no dependency on {package}: {depends}");
    }
    assert!(!control.contains("Conflicts:") && !control.contains("Breaks:"), "{control}");

    // Only in the package: compressed documents, and Debian's changelog.
    let root = stage.folder().join("root");
    make(&["install", &format!("DESTDIR={}", root.display()), "PREFIX=/usr", "ZSH=vendor-completions"]);
    let mut installed = BTreeMap::new();
    walk(&root, &root, &mut installed);
    let packed: BTreeMap<String, u32> = found
        .iter()
        .filter(|(path, _)| !path.ends_with("/changelog.Debian.gz"))
        .map(|(path, mode)| {
            let path = if path.contains("/man/") || path.ends_with("/changelog.gz") {
                path.trim_end_matches(".gz")
            } else {
                path
            };
            (path.to_owned(), *mode)
        })
        .collect();
    assert_eq!(installed, packed);

    let lintian =
        Command::new("lintian").args(["--tag-display-limit", "0", "--allow-root", package]).output();
    let lintian = lintian.expect("lintian");
    let report = String::from_utf8_lossy(&lintian.stdout);
    print!("{report}");
    assert!(lintian.status.success(), "{lintian:?}");
    assert!(!report.lines().any(|line| line.starts_with("E:") || line.starts_with("W:")), "{report}");
}

/// The units have the paths of the prefix, and the administrator's configuration is not overwritten.
#[test]
fn make_install_uses_destdir_and_prefix() {
    if !may_run(&["make"]) {
        return;
    }
    let stage = Stage::new();
    let root = stage.folder().join("root");
    fs::create_dir_all(root.join("etc")).expect("a folder");
    fs::write(root.join("etc/dante4l.toml"), "mine").expect("a file");
    make(&["install", &format!("DESTDIR={}", root.display()), "PREFIX=/opt/dante"]);
    assert_eq!(fs::read_to_string(root.join("etc/dante4l.toml")).expect("the file"), "mine");
    let units = root.join("opt/dante/lib/systemd/system");
    let mut commands = 0;
    for unit in ["dante4l", "dante4l@", "dante2sys", "danteshm", "dante2sys-wait", "dante2sys-time-wait-sync"]
    {
        let text = fs::read_to_string(units.join(format!("{unit}.service"))).expect("a unit");
        for line in text.lines().filter(|line| line.starts_with("Exec")) {
            commands += 1;
            let command = line.split(['=', ' ']).nth(1).expect("a program");
            let program = command.trim_start_matches(['-', '+']);
            // A tool of the host, run as root.
            if command.starts_with("+/bin/") {
                assert!(Path::new(program).exists(), "{line}");
                continue;
            }
            // RestartPreventExitStatus= does not apply to this command: its failure must not end the start.
            assert!(!program.ends_with("/reserve-pages") || command.starts_with("-+"), "{unit}: {line}");
            assert!(program.starts_with("/opt/dante/"), "{line}");
            let program = program.trim_start_matches('/');
            assert!(root.join(program).exists(), "{line}");
        }
    }
    assert_eq!(commands, 14);
    let instance = fs::read_to_string(units.join("dante4l@.service")).expect("a unit");
    assert!(instance.contains(" -f /etc/dante4l.%i.toml --instance=%i\n"), "{instance}");
    let reserve = "\nExecStartPre=-+/opt/dante/lib/dante4l/reserve-pages dante4l @%i\nExecStart=";
    assert!(instance.contains(reserve), "{instance}");
    let example = root.join("opt/dante/share/doc/dante4l/examples/dante4l.toml");
    assert_eq!(
        fs::read(example).expect("the example"),
        fs::read(sources().join("files/dante4l.toml")).expect("the file")
    );
}

/// Highest exposure level of each unit by `systemd-analyze security` (systemd 252); docs/package.md has those of the daemons.
/// `hardware`: dante4l.service with hardware.conf.
const EXPOSURE: [(&str, f64); 9] = [
    ("dante4l", 2.1),
    ("dante2sys", 2.6),
    ("danteshm", 0.7),
    ("dante2sys-wait", 0.8),
    ("dante2sys-time-wait-sync", 0.8),
    ("dante-ntpd", 0.8),
    ("dante-ntpd-chronyd", 1.8),
    ("hardware", 2.4),
    ("examples/dante-metrics", 1.3),
];

#[test]
fn exposure_of_units_is_within_limits() {
    if !may_run(&["systemd-analyze"]) {
        return;
    }
    let units = sources().join("files/systemd");
    let read = |file: &str| fs::read_to_string(units.join(file)).expect("a unit");
    let stage = Stage::new();
    let document = fs::read_to_string(sources().join("docs/package.md")).expect("the document");
    for (unit, limit) in EXPOSURE {
        let row = match unit {
            "dante4l" | "dante2sys" | "danteshm" => format!("| `{unit}` |"),
            "hardware" => "| with the drop-in `hardware.conf`".to_owned(),
            _ => String::new(),
        };
        let described =
            document.lines().any(|line| line.starts_with(&row) && line.ends_with(&format!(" {limit} |")));
        assert!(row.is_empty() || described, "docs/package.md has another limit of {unit} than {limit}");
        let text = match unit {
            "hardware" => read("dante4l.service") + &read("examples/hardware.conf"),
            unit => read(&format!("{unit}.service")),
        };
        let file = stage.folder().join(format!("{}.service", unit.replace('/', "-")));
        fs::write(&file, text).expect("a unit");
        let file = file.to_str().expect("a path");
        let report = stdout_of("systemd-analyze", &["security", "--offline=true", "--no-pager", file]);
        let level = report.lines().last().expect("the overall level").split_whitespace();
        let level = level.filter_map(|word| word.parse::<f64>().ok()).next().expect("a level");
        println!("{unit}: exposure {level} (limit {limit})");
        assert!(level <= limit, "{report}");
    }
}

/// Changes of the scripts to users, units, pages and segments are visible only in their own mount and IPC namespaces.
const HOST: &str = r#"
    mount -t tmpfs none "$0"
    for folder in etc usr var; do
        mkdir -p "$0/$folder/upper" "$0/$folder/work"
        mount -t overlay -o "lowerdir=/$folder,upperdir=$0/$folder/upper,workdir=$0/$folder/work" none "/$folder"
    done
    mount -t tmpfs none /run
    mount -t tmpfs -o mode=1777 none /dev/shm
    sed -i -e '/^dante/d' -e '/^clock:/d' /etc/passwd /etc/group /etc/shadow /etc/gshadow
"#;

/// `make install` onto a host creates users, pages and permissions. Files that another user has created under the pages' names are
/// replaced. In a chroot the scripts do not touch /dev/shm and the segments, which are those of the host around it.
#[test]
fn make_install_replaces_files_of_others_and_scripts_touch_only_their_own() {
    let tools = ["make", "unshare", "systemd-sysusers", "systemd-tmpfiles", "ipcmk", "setpriv"];
    if !may_run(&tools) || !may_be_root("mounting needs root") {
        return;
    }
    let stage = Stage::new();
    let script = format!(
        r#"{HOST}
        as_user() {{ setpriv --reuid="$1" --clear-groups "${{@:2}}"; }}
        # Another user's file, which stays open; another user's link; a folder.
        cd /dev/shm
        as_user 65534 touch dante4l other_user
        chmod 666 dante4l
        exec 8>>dante4l
        # State of users that had other ids, and a link, which is not followed.
        mkdir -p /var/lib/dante4l /var/lib/dante2sys
        touch /var/lib/dante4l/leader-rates /var/lib/dante2sys/drift /var/lib/not_theirs
        ln -s ../not_theirs /var/lib/dante4l/link
        chown -R -h 64321:64321 /var/lib/dante4l /var/lib/dante2sys
        as_user 65534 ln -s other_user dante2sys
        as_user 65534 mkdir -p danteshm/folder
        "$@"
        echo forged >&8
        ls -A
        stat -c '%n %F %U %a %s' dante4l dante2sys danteshm other_user *.status
        stat -c '%n %U:%G' /var/lib/dante4l /var/lib/dante4l/leader-rates /var/lib/dante2sys/drift /var/lib/not_theirs
        getent group clock | cut -d : -f 1
        ls /usr/local/lib/systemd/system/chron*.d/dante.conf
        # A page with the right owner is not touched.
        echo page >dante4l
        inode=$(stat -c %i dante4l)
        {postinst} configure
        [ "$inode" = "$(stat -c %i dante4l)" ] && cat dante4l
        # The pages of an instance, which its unit reserves before it starts.
        as_user 65534 touch dante4l@second.status
        as_user 65534 ln -s other_user dante4l@second
        /usr/local/lib/dante4l/reserve-pages dante4l @second
        stat -c '%n %F %U %a' dante4l@*
        as_user dante4l touch other
        as_user dante4l ipcmk -M 64 >/dev/null
        # Without systemd, as in a chroot.
        {postrm} remove
        echo left $(ls) $(ipcs -m | grep -c ^0x)
        mkdir -p /run/systemd/system
        {postrm} remove >/dev/null 2>&1
        echo left $(ls) $(ipcs -m | grep -c ^0x)
        "#,
        postinst = sources().join("files/debian/postinst").display(),
        postrm = sources().join("files/debian/postrm").display(),
    );
    let place = stage.folder().join("host");
    fs::create_dir(&place).expect("a folder");
    let host = ["unshare", "--mount", "--ipc", "bash", "-euc", &script, place.to_str().expect("a path")];
    let output = make_within(&host, &["install", "DESTDIR=", "PREFIX=/usr/local"]);
    let expected = "dante2sys
dante2sys.status
dante4l
dante4l.status
danteshm
danteshm.status
other_user
dante4l regular empty file dante4l 644 0
dante2sys regular empty file dante2sys 644 0
danteshm regular empty file danteshm 644 0
other_user regular empty file nobody 644 0
dante2sys.status regular empty file dante2sys 644 0
dante4l.status regular empty file dante4l 644 0
danteshm.status regular empty file danteshm 644 0
/var/lib/dante4l dante4l:dante4l
/var/lib/dante4l/leader-rates dante4l:dante4l
/var/lib/dante2sys/drift dante2sys:dante2sys
/var/lib/not_theirs root:root
clock
/usr/local/lib/systemd/system/chrony.service.d/dante.conf
/usr/local/lib/systemd/system/chronyd.service.d/dante.conf
page
dante4l@second regular empty file dante4l 644
dante4l@second.status regular empty file dante4l 644
left dante2sys dante2sys.status dante4l dante4l.status dante4l@second dante4l@second.status danteshm danteshm.status other other_user 1
left other other_user 0
";
    assert_eq!(output, expected);
}

/// Returns everything except documents: files that are built, and those of files/.
fn expected() -> BTreeMap<String, u32> {
    let root = sources().join("files");
    let mut shipped = BTreeMap::new();
    walk(&root, &root, &mut shipped);
    let placed = shipped.keys().filter_map(|path| {
        let path = path.trim_start_matches('/');
        let place = |(from, to): &(&str, &str)| Some(format!("{to}{}", path.strip_prefix(from)?));
        PLACES.iter().find_map(place).map(|path| (path, 0o644))
    });
    let expected: BTreeMap<String, u32> =
        placed.chain(MADE.map(|(path, mode)| (path.to_owned(), mode))).collect();
    assert!(expected.len() > 20, "{expected:?}");
    expected
}

/// Collects paths and modes of all files below a folder.
fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, u32>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let (path, data) = (entry.path(), entry.metadata().expect("an entry"));
        if data.is_dir() {
            walk(root, &path, found);
        } else {
            let name = path.strip_prefix(root).expect("below the root");
            found.insert(format!("/{}", name.display()), data.permissions().mode() & 0o7777);
        }
    }
}

fn stdout_of(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().expect(program);
    assert!(output.status.success(), "{program} {words:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// systemd cleans /tmp by age, and does not see that danteshm uses this socket: its network namespace is its own.
#[test]
fn cleaning_of_tmp_spares_the_usrvclock_socket() {
    if !may_run(&["systemd-tmpfiles"]) {
        return;
    }
    let stage = Stage::new();
    let root = stage.folder().join("root");
    fs::create_dir_all(root.join("tmp")).expect("a folder");
    fs::create_dir_all(root.join("conf")).expect("a folder");
    for name in ["ptp-usrvclock", "other"] {
        // Files stand for sockets of another network namespace.
        fs::write(root.join("tmp").join(name), "").expect("a file");
    }
    // Age 0: everything is old.
    let rules = root.join("conf/tmp.conf");
    fs::write(&rules, "q /tmp 1777 root root 0\n").expect("a file");
    let own = root.join("conf/dante4l.conf");
    let text = fs::read_to_string(sources().join("files/tmpfiles.d/dante4l.conf")).expect("the rules");
    let spared: String =
        text.lines().filter(|line| line.starts_with('x')).map(|line| format!("{line}\n")).collect();
    fs::write(&own, spared).expect("a file");
    let cleaned = Command::new("systemd-tmpfiles")
        .arg("--clean")
        .arg(format!("--root={}", root.display()))
        .args([&rules, &own])
        .output()
        .expect("systemd-tmpfiles");
    let names: Vec<_> = fs::read_dir(root.join("tmp"))
        .expect("a folder")
        .map(|one| one.expect("a name").file_name())
        .collect();
    assert_eq!(names, ["ptp-usrvclock"], "{}", String::from_utf8_lossy(&cleaned.stderr));
}
