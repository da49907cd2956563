//! The Debian package and `make install`: what is in them, with which rights; and what systemd and lintian say. What the
//! package does on a host is seen in the guest.

use dante_tests::package::{make, make_deb, sources};
use dante_tests::stage::Stage;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Everything outside of the documents, with its mode.
const FILES: [(&str, &str); 19] = [
    ("/etc/dante4l.toml", "-rw-r--r--"),
    ("/usr/bin/dantesim", "-rwxr-xr-x"),
    ("/usr/lib/systemd/system/chrony.service.d/dante.conf", "-rw-r--r--"),
    ("/usr/lib/systemd/system/dante2sys-wait.service", "-rw-r--r--"),
    ("/usr/lib/systemd/system/dante2sys.service", "-rw-r--r--"),
    ("/usr/lib/systemd/system/dante4l.service", "-rw-r--r--"),
    ("/usr/lib/systemd/system/dante4l@.service", "-rw-r--r--"),
    ("/usr/lib/systemd/system/danteshm.service", "-rw-r--r--"),
    ("/usr/lib/sysusers.d/dante4l.conf", "-rw-r--r--"),
    ("/usr/lib/tmpfiles.d/dante4l.conf", "-rw-r--r--"),
    ("/usr/lib/udev/rules.d/60-dante4l.rules", "-rw-r--r--"),
    ("/usr/sbin/dante2sys", "-rwxr-xr-x"),
    ("/usr/sbin/dante4l", "-rwxr-xr-x"),
    ("/usr/sbin/danteshm", "-rwxr-xr-x"),
    ("/usr/sbin/pmc-lite", "-rwxr-xr-x"),
    ("/usr/share/doc/dante4l/changelog.Debian.gz", "-rw-r--r--"),
    ("/usr/share/doc/dante4l/changelog.gz", "-rw-r--r--"),
    ("/usr/share/doc/dante4l/copyright", "-rw-r--r--"),
    ("/usr/share/doc/dante4l/examples/hardware.conf", "-rw-r--r--"),
];
/// An administrator changes these, and keeps them.
const CONFFILES: [&str; 1] = ["/etc/dante4l.toml"];
/// Documents, of which there are as many as there are.
const DOCUMENTS: [&str; 5] = [
    "/usr/share/doc/dante4l/",
    "/usr/share/man/man",
    "/usr/share/bash-completion/completions/",
    "/usr/share/zsh/vendor-completions/",
    "/usr/share/fish/vendor_completions.d/",
];

#[test]
fn the_package_holds_what_make_install_installs_and_lintian_finds_no_fault_in_it() {
    if !may_use(&["make", "dpkg-deb", "dpkg-shlibdeps", "strip", "lintian"]) {
        return;
    }
    let stage = Stage::new();
    let package = make_deb("1.0-1", stage.folder());
    let package = package.to_str().expect("a path");

    // `drwxr-xr-x 0/0  0 2026-01-01 00:00 ./usr/`
    let list = said("dpkg-deb", &["--contents", package]);
    let mut found = BTreeMap::new();
    for line in list.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (mode, owner, path) = (words[0], words[1], words[5].trim_start_matches('.'));
        assert!(["0/0", "root/root"].contains(&owner), "{line}");
        if mode.starts_with('d') {
            assert_eq!(mode, "drwxr-xr-x", "{line}");
        } else {
            found.insert(path.to_owned(), mode.to_owned());
        }
    }
    for (path, mode) in FILES {
        assert_eq!(found.get(path).map(String::as_str), Some(mode), "{path}: {list}");
    }
    for (path, mode) in &found {
        let is_document = mode == "-rw-r--r--" && DOCUMENTS.iter().any(|folder| path.starts_with(folder));
        assert!(is_document || FILES.iter().any(|(known, _)| known == path), "{mode} {path} is not expected");
    }
    let conffiles = said("dpkg-deb", &["--info", package, "conffiles"]);
    assert_eq!(conffiles.split_whitespace().collect::<Vec<_>>(), CONFFILES);
    let control = said("dpkg-deb", &["--field", package]);
    for field in ["Package: dante4l\n", "Version: 1.0-1\n", "Suggests: chrony\n", "libc6 (>="] {
        assert!(control.contains(field), "{field}: {control}");
    }
    assert!(!control.contains("Conflicts:") && !control.contains("Breaks:"), "{control}");

    // The same, but for what Debian alone has: compressed, and a changelog of its own.
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
            (path.to_owned(), if mode.contains('x') { 0o755 } else { 0o644 })
        })
        .collect();
    assert_eq!(installed, packed);

    let judged = Command::new("lintian").args(["--tag-display-limit", "0", "--allow-root", package]).output();
    let judged = String::from_utf8(judged.expect("lintian").stdout).expect("text");
    print!("{judged}");
    assert!(!judged.lines().any(|line| line.starts_with("E:")), "{judged}");
}

/// A packager's prefix is in the units, and an administrator's file is not written over.
#[test]
fn make_install_goes_where_it_is_told() {
    if !may_use(&["make"]) {
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
    for unit in ["dante4l", "dante4l@", "dante2sys", "danteshm", "dante2sys-wait"] {
        let text = fs::read_to_string(units.join(format!("{unit}.service"))).expect("a unit");
        for line in text.lines().filter(|line| line.starts_with("Exec")) {
            assert!(line.contains("=/opt/dante/sbin/"), "{line}");
            let program = line.split(['=', ' ']).nth(1).expect("a program").trim_start_matches('/');
            assert!(root.join(program).exists(), "{line}");
            commands += 1;
        }
    }
    assert_eq!(commands, 6);
    let instance = fs::read_to_string(units.join("dante4l@.service")).expect("a unit");
    assert!(instance.contains(" -f /etc/dante4l.%i.toml --instance=%i\n"), "{instance}");
    let example = root.join("opt/dante/share/doc/dante4l/examples/dante4l.toml");
    assert_eq!(
        fs::read(example).expect("the example"),
        fs::read(sources().join("files/dante4l.toml")).expect("the file")
    );
}

/// Paths and modes of all files below a folder.
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

fn said(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().expect(program);
    assert!(output.status.success(), "{program} {words:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn may_use(tools: &[&str]) -> bool {
    let missing = tools.iter().find(|tool| !dante_tests::lab::has(tool));
    if let Some(tool) = missing {
        dante_tests::skip(&format!("{tool} is not installed"));
    }
    missing.is_none()
}
