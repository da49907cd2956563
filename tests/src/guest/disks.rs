//! What a guest is booted from: a disk with Debian, made once, and one with the programs as they were built last.

use super::Card;
use crate::program::built;
use crate::stage::Stage;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The suite's programs, which are put on the second disk.
const PROGRAMS: [&str; 5] = ["dante4l", "dante2sys", "danteshm", "pmc-lite", "dantesim"];

/// What a guest is booted from, and with.
pub struct Image {
    pub qemu: String,
    pub disk: PathBuf,
    pub kernel: PathBuf,
    pub chrony: PathBuf,
    pub initrd: Option<PathBuf>,
}

impl Image {
    /// Made where it is not there yet: beside the profile's folder, target/guest.
    pub fn ready(card: Card) -> Self {
        let profile = built("dante4l");
        let folder = profile.parent().and_then(Path::parent).expect("the target folder").join("guest");
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

/// The lines that a script beside this crate prints for a folder.
fn run(script: &str, folder: &Path) -> std::vec::IntoIter<String> {
    let output = Command::new(source(script)).arg(folder).output().expect(script);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{script}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said.lines().map(str::to_owned).collect::<Vec<_>>().into_iter()
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guest").join(name)
}

/// The package as this version; made once, however many guests want it.
fn deb(version: &str, stage: &Stage) -> Vec<u8> {
    static MADE: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let made = made.entry(version.to_owned()).or_insert_with(|| {
        std::fs::read(crate::package::make_deb(version, stage.folder())).expect("the package")
    });
    made.clone()
}

/// A disk with the agent, the programs as they were built last, and packages of them.
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
