//! Files that the programs write and read: slow disks, and devices, FIFOs and links in place of a file.

use crate::page_consumer::compile;
use dante_core::steer;
use dante_tests::EVENT_TIMEOUT;
use dante_tests::lab::{Lab, may_use};
use dante_tests::namespace::with_devices;
use dante_tests::package::sources;
use dante_tests::stage::Stage;
use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::mkfifo;
use std::fs;
use std::os::unix::fs::{FileTypeExt, chown, symlink};
use std::path::Path;

/// Syncs that are measured while the disk does not answer: 5 s of them, more than twice what a heartbeat is valid.
const MEASURED: u64 = 20;

#[test]
fn disk_that_does_not_answer_delays_neither_measurements_nor_the_exit() {
    let Some(lab) = Lab::new() else { return };
    let folder = lab.stage.folder();
    let (library, began) = (folder.join("slow_disk.so"), folder.join("began"));
    compile("cc", &["-shared", "-fPIC"], &sources().join("tests/consumers/slow_disk.c"), Some(&library));
    let _leader = lab.leader(&["--ppm=12"]);
    let _dante2sys = lab.dante2sys();
    let rates = format!("--rates-file={}", folder.join("rates").display());
    let mut command = lab.command("dante4l", &["-i", dante_tests::namespace::CABLE, &rates]);
    command.env("LD_PRELOAD", &library).env("SLOW_DISK_BEGAN", &began);
    let dante4l = lab.stage.start("dante4l", command);
    let mut readers = lab.readers();
    readers.wait_for_steerer(steer::State::Locked, EVENT_TIMEOUT);
    dante_tests::wait_until("the first write", EVENT_TIMEOUT, || began.exists());
    // The write does not end: all of this is measured meanwhile.
    let mut samples = || readers.clock().map(|view| view.body.samples);
    let before = dante_tests::wait_for("a heartbeat after the write began", EVENT_TIMEOUT, &mut samples);
    dante_tests::wait_until("measurements after the write began", EVENT_TIMEOUT, || {
        samples().is_some_and(|samples| samples >= before + MEASURED)
    });
    readers.wait_for_steerer(steer::State::Locked, EVENT_TIMEOUT);
    dante4l.stop().expect(0, &["the disk takes too long: exiting, the leader rates may not be saved"]);
}

fn fifo(path: &Path) {
    mkfifo(path, Mode::from_bits_truncate(0o644)).expect("a FIFO");
}

#[test]
fn outputs_of_pmc_lite_replace_no_device_and_do_not_wait_for_a_reader() {
    if !may_use(&["mount"]) {
        return;
    }
    let stage = Stage::new();
    let folder = stage.folder().join("files");
    fs::create_dir(&folder).expect("a folder");
    // The folder of the other files may be on a file system without devices.
    with_devices(&folder, || replace_no_device(&stage, &folder));
}

fn replace_no_device(stage: &Stage, folder: &Path) {
    let path = |name: &str| folder.join(name);
    // A node of this test: replacing /dev/null would break the machine.
    match mknod(&path("null"), SFlag::S_IFCHR, Mode::all(), makedev(1, 3)) {
        Err(Errno::EPERM) => return dante_tests::skip("making a device needs CAP_MKNOD"),
        made => made.expect("a device"),
    }
    symlink(path("null"), path("link")).expect("a link");
    fifo(&path("fifo"));
    fs::write(path("theirs"), "text").expect("a file");
    chown(path("theirs"), Some(1000), None).expect("its owner");
    let metrics = |name: &str| {
        let output = format!("--output={}", path(name).display());
        stage.run("pmc-lite", &["metrics", &output])
    };
    metrics("null").expect(0, &[]);
    metrics("link").expect(0, &[]);
    let kind = fs::symlink_metadata(path("null")).expect("the device").file_type();
    assert!(kind.is_char_device(), "replaced by a file");
    assert!(path("link").is_symlink());
    metrics("fifo").expect(1, &["fifo: it is a FIFO without a reader"]);
    metrics("theirs").expect(1, &["theirs: it belongs to user 1000, but this program runs as user 0"]);
    metrics(".").expect(1, &["it is a directory"]);
    stage.run("pmc-lite", &["metrics", "--output=/dev/stdout"]).expect(0, &["dante_verdict"]);
    for name in ["fifo", "theirs"] {
        let output = format!("--output={}", path(name).display());
        stage.run("pmc-lite", &["log", "--seconds=1", &output]).expect(1, &["cannot write", name]);
    }
    // Before anything is recorded.
    let picture = path("picture.svg").display().to_string();
    fs::create_dir(path("picture.svg")).expect("a directory");
    stage.run("pmc-lite", &["plot", "--seconds=3600", &picture]).expect(1, &["it is a directory"]);
    stage
        .run("pmc-lite", &["plot", "--input=/dev/zero", &format!("{picture}.svg")])
        .expect(1, &["/dev/zero"]);
    assert_eq!(fs::read_to_string(path("theirs")).expect("a file"), "text");
}

#[test]
fn configuration_that_is_a_fifo_or_endless_is_an_error() {
    let stage = Stage::new();
    let path = stage.folder().join("fifo");
    fifo(&path);
    let check = |file: &str| stage.run("dante4l", &["--check-config", "-i", "lo", "-f", file]);
    check(&path.display().to_string()).expect(2, &["fifo: it is a FIFO, not a regular file"]);
    check("/dev/zero").expect(2, &["cannot read /dev/zero: it is a device, not a regular file"]);
    check("/dev/null").expect(0, &["is valid"]);
    let long = stage.folder().join("long.toml");
    fs::write(&long, "#".repeat((1 << 20) + 1)).expect("a file");
    check(&long.display().to_string()).expect(2, &["it is longer than 1 MiB"]);
}
