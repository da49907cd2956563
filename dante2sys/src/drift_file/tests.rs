use super::namespaces::{NOBODY, in_namespaces, run, with_access_of};
use super::scratch::Scratch;
use super::*;
use crate::logged::logged;
use nix::sched::CloneFlags;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

#[test]
fn write_error_is_reported_until_a_write_succeeds() {
    let place = Scratch::new();
    let folder = place.0.join("missing");
    let mut file = DriftFile::new(Some(folder.join("drift")));
    let known = Some((Ratio::from_ppm(12.0), Ratio::from_ppb(3.0)));
    let at = |s: i64| Timestamp::from_ns(0) + Duration::from_secs(s);
    file.keep(at(0), known, None);
    assert_eq!(file.trouble(), None, "no write yet");
    file.keep(at(60), known, None);
    let pass = |file: &mut DriftFile, now, until: fn(&DriftFile) -> bool| {
        while !until(file) {
            file.keep(now, None, None);
            std::thread::yield_now();
        }
    };
    pass(&mut file, at(61), |file| file.trouble().is_some());
    let trouble = file.trouble().unwrap_or_default().to_owned();
    assert!(trouble.starts_with(&format!("cannot write {}", folder.display())), "{trouble}");
    fs::create_dir(&folder).unwrap();
    file.keep(at(120), known, None);
    assert!(file.trouble().is_some(), "retried a minute after the failure was found");
    file.keep(at(121), known, None);
    pass(&mut file, at(121), |file| file.trouble().is_none());
    assert_eq!(file.read(), Some(Ratio::from_ppm(12.0)));
}

#[test]
fn drift_file_has_exactly_two_plausible_numbers() {
    assert_eq!(parse("12.345678 0.012\n"), Some(Ratio::from_ppm(12.345678)));
    assert_eq!(parse(" -37.0\t0 "), Some(Ratio::from_ppm(-37.0)));
    for garbage in ["", "12.3", "12.3 x", "NaN 0", "inf 0", "1 2 3", "501 0", "1 -1", "12,3 0", "\0\0"] {
        assert_eq!(parse(garbage), None, "{garbage:?}");
    }
}

const KNOWN: (Ratio, Ratio) = (Ratio::from_ppm(12.0), Ratio::from_ppb(3.0));
const UTC: &str = "001dc1a1723c0000/1 -33.712345 699123456789 1795018007251020510 12.004321 0.011000 1250000";

/// A fault of a file, all sentences that follow, and all sentences after its end.
struct Row {
    name: &'static str,
    happens: fn(&Path),
    log: &'static [&'static str],
    ends: fn(&Path),
    after: &'static [&'static str],
}

fn row(
    name: &'static str,
    happens: fn(&Path),
    log: &'static [&'static str],
    ends: fn(&Path),
    after: &'static [&'static str],
) -> Row {
    Row { name, happens, log, ends, after }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Runs the rows with mounts of their own and the access to files of `user`. Needs root.
fn check(rows: Vec<Row>, user: u32, log: fn(&mut DriftFile)) {
    in_namespaces(CloneFlags::CLONE_NEWNS, || {
        assert!(run("mount", "--make-rprivate /"));
        let mut wrong = Vec::new();
        for row in rows {
            let place = Scratch::new();
            let directory = place.0.join("state");
            fs::create_dir(&directory).unwrap();
            mode(&directory, 0o777);
            let name = directory.display().to_string();
            let mut file = DriftFile::new(Some(directory.join("drift")));
            for (happens, expected) in [(row.happens, row.log), (row.ends, row.after)] {
                happens(&directory);
                let lines = logged(|| with_access_of(user, || log(&mut file)));
                let lines: Vec<String> =
                    lines.into_iter().map(|line| line.replace(&name, "/state")).collect();
                if lines != expected {
                    wrong.push(format!("{}: {lines:#?}", row.name));
                }
            }
            // If something is mounted there.
            run("umount", &format!("--quiet {name}"));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

/// Runs mount(8), with this directory as the last word.
fn mount(words: &str, at: &Path) {
    assert!(run("mount", &format!("{words} {}", at.display())), "mount {words}");
}

#[test]
fn each_fault_of_a_write_is_reported_once_with_its_end() {
    let rows = vec![
        row("none", |_| (), &[], |_| (), &[]),
        row(
            "the disk is full",
            |at| {
                mount("-t tmpfs -o size=16k,mode=777 tmpfs", at);
                fs::write(at.join("other"), [0; 16 << 10]).unwrap();
            },
            &[
                "WARN cannot write /state/drift: the disk is full: state for the next start not saved; retrying every minute",
            ],
            |at| fs::remove_file(at.join("other")).unwrap(),
            &["INFO state for the next start saved again"],
        ),
        row(
            "the file system is read-only",
            |at| {
                mount("-t tmpfs -o mode=777,ro tmpfs", at);
            },
            &[
                "WARN cannot write /state/drift: the file system is read-only: state for the next start not saved; retrying every minute",
            ],
            |at| mount("-o remount,rw", at),
            &["INFO state for the next start saved again"],
        ),
        row(
            "the directory is missing",
            |at| fs::remove_dir(at).unwrap(),
            &[
                "WARN cannot write /state/drift: directory /state does not exist: state for the next start not saved; retrying every minute",
            ],
            |at| {
                fs::create_dir(at).unwrap();
                mode(at, 0o777);
            },
            &["INFO state for the next start saved again"],
        ),
        row(
            "a directory has the name",
            |at| fs::create_dir(at.join("drift")).unwrap(),
            &[
                "WARN cannot write /state/drift: it is a directory: state for the next start not saved; retrying every minute",
            ],
            |at| fs::remove_dir(at.join("drift")).unwrap(),
            &["INFO state for the next start saved again"],
        ),
        row(
            "a directory has the name of the file with UTC",
            |at| fs::create_dir(at.join("drift.utc")).unwrap(),
            &[
                "WARN cannot write /state/drift.utc: it is a directory: state for the next start not saved; retrying every minute",
            ],
            |at| fs::remove_dir(at.join("drift.utc")).unwrap(),
            &["INFO state for the next start saved again"],
        ),
        row(
            "a file of another user has the name",
            |at| {
                fs::write(at.join("drift"), "12.0 0.1\n").unwrap();
                chown(at.join("drift"), Some(NOBODY - 1), Some(NOBODY)).unwrap();
            },
            &[
                "WARN cannot write /state/drift: it belongs to user 65533, but this program runs as user 0: state for the next start not saved; retrying every minute",
            ],
            |at| fs::remove_file(at.join("drift")).unwrap(),
            &["INFO state for the next start saved again"],
        ),
    ];
    let denied = vec![row(
        "no permission for the directory",
        |at| mode(at, 0o755),
        &[
            "WARN cannot write /state/drift: no write permission for /state: state for the next start not saved; retrying every minute",
        ],
        |at| mode(at, 0o777),
        &["INFO state for the next start saved again"],
    )];
    // Each attempt fails.
    check(rows, 0, |file| (0..3).for_each(|_| file.end(Timestamp::ZERO, Some(KNOWN), SavedUtc::parse(UTC))));
    // This user does not own what it has written.
    check(denied, NOBODY, |file| file.end(Timestamp::ZERO, Some(KNOWN), SavedUtc::parse(UTC)));
}

#[test]
fn each_fault_of_a_read_is_reported_by_its_cause_and_by_nothing_else() {
    fn write(at: &Path, name: &str, text: impl AsRef<[u8]>) {
        fs::write(at.join(name), text).unwrap();
    }
    let rows = vec![
        row("no files", |_| (), &[], |_| (), &[]),
        row("no directory", |at| fs::remove_dir(at).unwrap(), &[], |_| (), &[]),
        row(
            "both files",
            |at| {
                write(at, "drift", "12.0 0.1\n");
                write(at, "drift.utc", UTC);
            },
            &["INFO frequency of the last run read from /state/drift: +12000 ppb"],
            |at| fs::remove_file(at.join("drift.utc")).unwrap(),
            &["INFO frequency of the last run read from /state/drift: +12000 ppb"],
        ),
        row(
            "no numbers",
            |at| write(at, "drift", "12.0\n"),
            &["WARN /state/drift is not a drift file (two numbers in ppm expected): ignored"],
            |at| write(at, "drift", ""),
            &["WARN /state/drift is not a drift file (two numbers in ppm expected): ignored"],
        ),
        row(
            "UTC that is none",
            |at| write(at, "drift.utc", "12.0 0.1\n"),
            &["WARN /state/drift.utc does not contain UTC of the last run: ignored"],
            |_| (),
            &["WARN /state/drift.utc does not contain UTC of the last run: ignored"],
        ),
        row(
            "no text",
            |at| write(at, "drift", [0xff, 0xfe]),
            &[
                "WARN /state/drift is not text: it is damaged, or this program did not write it: starting without the frequency of the last run",
            ],
            |at| write(at, "drift", [b'1'; 5000]),
            &[
                "WARN /state/drift is longer than 4096 bytes: this program did not write it: starting without the frequency of the last run",
            ],
        ),
        row(
            "UTC that is no text",
            |at| write(at, "drift.utc", [0xff, 0xfe]),
            &[
                "WARN /state/drift.utc is not text: it is damaged, or this program did not write it: starting without UTC of the last run",
            ],
            |at| write(at, "drift.utc", [b'1'; 5000]),
            &[
                "WARN /state/drift.utc is longer than 4096 bytes: this program did not write it: starting without UTC of the last run",
            ],
        ),
        row(
            "a directory",
            |at| fs::create_dir(at.join("drift")).unwrap(),
            &[
                "WARN cannot read /state/drift: it is a directory: starting without the frequency of the last run",
            ],
            |_| (),
            &[
                "WARN cannot read /state/drift: it is a directory: starting without the frequency of the last run",
            ],
        ),
        row(
            "no permission",
            |at| {
                write(at, "drift", "12.0 0.1\n");
                mode(&at.join("drift"), 0o600);
            },
            &[
                "WARN cannot read /state/drift: Permission denied (os error 13): starting without the frequency of the last run",
            ],
            |at| mode(&at.join("drift"), 0o644),
            &["INFO frequency of the last run read from /state/drift: +12000 ppb"],
        ),
        row(
            "no permission for the directory",
            |at| mode(at, 0o700),
            &[
                "WARN cannot read /state/drift.utc: Permission denied (os error 13): starting without UTC of the last run",
                "WARN cannot read /state/drift: Permission denied (os error 13): starting without the frequency of the last run",
            ],
            |_| (),
            &[
                "WARN cannot read /state/drift.utc: Permission denied (os error 13): starting without UTC of the last run",
                "WARN cannot read /state/drift: Permission denied (os error 13): starting without the frequency of the last run",
            ],
        ),
    ];
    check(rows, NOBODY, |file| {
        file.read_utc();
        file.read();
    });
}
