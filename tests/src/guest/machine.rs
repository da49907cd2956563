//! A guest's machine: QEMU, a disk with Debian, which is made once, and a disk with the programs of the last build.

use super::agent::Agent;
use super::{Card, Setup};
use crate::EVENT_TIMEOUT;
use crate::ntp::now_ns;
use crate::program::{Program, built, target_folder};
use crate::stage::Stage;
use crate::switch::Switch;
use dante_core::time::Civil;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Programs of the suite on the second disk.
const PROGRAMS: [&str; 5] = ["dante4l", "dante2sys", "danteshm", "pmc-lite", "dantesim"];

/// What a guest is booted from, and the QEMU that boots it.
pub struct Image {
    pub qemu: String,
    pub disk: PathBuf,
    pub kernel: PathBuf,
    pub chrony: PathBuf,
    pub initrd: Option<PathBuf>,
}

impl Image {
    /// Returns the image in the cache folder, which is made first if it does not exist.
    pub fn ready(card: Card) -> Self {
        let folder = cache_folder().join("guest");
        let mut paths = match card {
            Card::Virtio => run("image.sh", &folder),
            Card::Igb => run("igb.sh", &folder.join("igb")),
        };
        let mut next = || paths.next().expect("the paths of disk, kernel, chronyd");
        let [disk, kernel, chrony] = [(); 3].map(|()| PathBuf::from(next()));
        let (initrd, qemu) = match card {
            Card::Virtio => (None, "qemu-system-x86_64".to_owned()),
            Card::Igb => (Some(next().into()), next()),
        };
        Self { qemu, disk, kernel, chrony, initrd }
    }
}

/// Folder for what is made once for all checkouts, by the XDG Base Directory Specification; the target directory for a user without home.
fn cache_folder() -> PathBuf {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    cache.map_or_else(target_folder, |cache| cache.join("dante4l-tests"))
}

/// Runs a script of tests/guest for a folder, and returns the lines that it prints.
fn run(script: &str, folder: &Path) -> std::vec::IntoIter<String> {
    let output = Command::new(source(script)).arg(folder).output().expect(script);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{script}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(str::to_owned).collect::<Vec<_>>().into_iter()
}

fn source(name: &str) -> PathBuf {
    crate::package::sources().join("tests/guest").join(name)
}

/// Returns the Debian package with this version, which is made once for all guests.
fn deb(version: &str, stage: &Stage) -> Vec<u8> {
    static MADE: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let made = made.entry(version.to_owned()).or_insert_with(|| {
        std::fs::read(crate::package::make_deb(version, stage.folder())).expect("the package")
    });
    made.clone()
}

/// Makes a disk with the agent, the programs of the last build, and Debian packages of them.
pub fn second_disk(stage: &Stage, packages: &[String]) -> PathBuf {
    let folder = stage.folder().join("programs");
    let bin = folder.join("bin");
    std::fs::create_dir_all(&bin).expect("a folder for the programs");
    for script in ["agent", "rights", "rights.conf"] {
        std::fs::copy(source(script), folder.join(script)).expect("a script");
    }
    for program in PROGRAMS {
        std::fs::copy(built(program), bin.join(program)).expect("a program");
    }
    for version in packages {
        std::fs::write(folder.join(format!("{version}.deb")), deb(version, stage)).expect("a package");
    }
    let disk = stage.folder().join("programs.img");
    std::fs::File::create(&disk).and_then(|file| file.set_len(256 << 20)).expect("a disk for the programs");
    let mut command = Command::new("mke2fs");
    command.args(["-q", "-t", "ext4", "-O", "^has_journal", "-d"]).arg(&folder).arg(&disk);
    assert!(command.status().is_ok_and(|status| status.success()), "mke2fs");
    disk
}

/// Starts QEMU, and connects to its end of the port on which the guest answers when it has booted.
pub(super) fn start(
    image: &Image,
    disks: [&Path; 2],
    setup: &Setup,
    switch: &Switch,
    stage: &Stage,
) -> (Program, Agent) {
    let socket = stage.folder().join("control");
    // Other load of this machine would delay the guest's clock and timestamps.
    let mut command = switch.command("nice");
    command.args(["-n", "-15", &image.qemu]);
    // One processor: several would stall, waiting for each other, when two guests share two real processors.
    command.args(["-accel", "tcg,thread=multi", "-smp", "1", "-m", "768"]);
    command.args(["-display", "none", "-nodefaults", "-no-user-config"]);
    command.arg("-kernel").arg(&image.kernel).arg("-append").arg(kernel_line(switch, setup));
    if let Some(initrd) = &image.initrd {
        command.arg("-initrd").arg(initrd);
    }
    let date = Civil::at(now_ns() / 1_000_000_000 + setup.rtc_ahead_s).to_string().replace(' ', "T");
    command.args(["-rtc", &format!("base={date},clock=host")]);
    // snapshot=on: QEMU keeps what is written to the root disk in an unnamed file, which disappears when QEMU ends.
    for (number, disk, mode) in [(0, disks[0], "snapshot=on"), (1, disks[1], "readonly=on")] {
        let drive = format!("file={},format=raw,if=none,id=disk{number},{mode}", disk.display());
        command.args(["-drive", &drive]);
        command.args(["-device", &format!("nvme,drive=disk{number},serial=disk{number}")]);
    }
    command.args(["-netdev", "tap,id=net,ifname=tap0,script=no,downscript=no"]);
    match setup.card {
        Card::Virtio => {
            command.args(["-device", "virtio-net-pci,netdev=net,romfile="]);
            // With carrier, on a network of its own.
            command.args(["-netdev", "hubport,id=second,hubid=1"]);
            command.args(["-device", "virtio-net-pci,netdev=second,romfile="])
        }
        Card::Igb => command.args(["-machine", "q35", "-device", "igb,netdev=net,romfile="]),
    };
    command
        .arg("-chardev")
        .arg(format!("socket,id=monitor,path={},server=on,wait=off", monitor(stage).display()));
    command.args(["-mon", "chardev=monitor"]);
    command.arg("-serial").arg(format!("file:{}", stage.folder().join("console.log").display()));
    command.arg("-chardev");
    command.arg(format!("socket,id=control,path={},server=on,wait=off", socket.display()));
    command.args(["-device", "virtio-serial", "-device", "virtserialport,chardev=control,name=control"]);
    command.env("TMPDIR", stage.folder());
    let qemu = stage.start("qemu", command);
    let connect = || Agent::connect(&socket);
    let agent = crate::wait_for("QEMU's end of the control port", EVENT_TIMEOUT, connect);
    (qemu, agent)
}

/// Socket of QEMU's monitor.
fn monitor(stage: &Stage) -> PathBuf {
    stage.folder().join("monitor")
}

/// Resets the guest of this stage: its kernel ends no program and writes no file.
pub(super) fn reset(stage: &Stage) {
    let mut monitor = UnixStream::connect(monitor(stage)).expect("QEMU's monitor");
    monitor.write_all(b"system_reset\n").expect("QEMU's monitor");
    // Its answer ends with a prompt after the command.
    monitor.set_read_timeout(Some(EVENT_TIMEOUT)).expect("a time limit");
    let (mut answer, mut bytes) = (String::new(), [0; 256]);
    while answer.matches("(qemu)").count() < 2 {
        let count = monitor.read(&mut bytes).expect("an answer of QEMU's monitor");
        assert!(count > 0, "QEMU's monitor: {answer}");
        answer += &String::from_utf8_lossy(&bytes[..count]);
    }
}

fn kernel_line(switch: &Switch, setup: &Setup) -> String {
    // The clock source is QEMU's HPET, which counts this machine's CLOCK_MONOTONIC. The TSC would be calibrated at boot, which
    // under emulation has an error of some hundred ppm.
    let mut line =
        "root=/dev/nvme0n1 rw console=ttyS0 quiet net.ifnames=0 mitigations=off fsck.mode=skip".to_owned();
    line += &format!(" clocksource=hpet dante.address={}/24", switch.address(2));
    for word in &setup.kernel_words {
        line = line + " " + word;
    }
    line
}
