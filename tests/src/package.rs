//! The Debian package, as `make deb` makes it of the programs that the tests run.

use crate::program::built;
use nix::fcntl::{Flock, FlockArg};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The suite's sources.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The tool that packs, where tests/packages.sh puts it: a test does not build it.
///
/// # Panics
/// Where it is missing and must not be.
pub fn may_make_deb() -> bool {
    let there = sources().join("target/tools/bin/cargo-deb").exists();
    if !there {
        crate::skip("cargo-deb is not installed");
    }
    there
}

/// `make` with these words, on the programs that were built along with this test: building them once more could exchange
/// them under the other tests.
///
/// # Panics
/// When it fails.
pub fn make(words: &[&str]) {
    make_within(&[], words);
}

/// The same, its command handed to another one, as to `env`. Returns what was written to the standard output.
///
/// # Panics
/// When it fails.
pub fn make_within(outer: &[&str], words: &[&str]) -> String {
    // All write the manual to one place.
    let lock = File::create(sources().join("target/make.lock")).expect("a file to lock");
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).expect("a lock");
    let program = built("dante4l");
    let profile = program.parent().and_then(Path::file_name).expect("the profile's folder");
    let profile = if profile == "debug" { "dev" } else { profile.to_str().expect("a profile's name") };
    let whole = [outer, &["make"]].concat();
    let mut command = Command::new(whole[0]);
    command
        .args(&whole[1..])
        .arg("--silent")
        .arg("-C")
        .arg(sources())
        .arg(format!("PROFILE={profile}"))
        .arg("BUILD=true")
        .args(words);
    // What `cargo test` tells its tests would tell that cargo something else.
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("CARGO_") && name_text != "CARGO_HOME" || name_text.starts_with("MAKE") {
            command.env_remove(&name);
        }
    }
    let output = command.output().expect("make");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "make {}: {said}", words.join(" "));
    String::from_utf8(output.stdout).expect("text")
}

/// Makes the package as this version, in `folder`, and returns its path.
///
/// # Panics
/// When that fails.
pub fn make_deb(version: &str, folder: &Path) -> PathBuf {
    make(&["deb", &format!("DEB_VERSION={version}"), &format!("DEB_OUTPUT={}/", folder.display())]);
    let mut entries = std::fs::read_dir(folder).expect("the package's folder").flatten();
    let wanted = format!("dante4l_{version}_");
    let found = entries.find(|entry| entry.file_name().to_string_lossy().starts_with(&wanted));
    found.unwrap_or_else(|| panic!("no package {version} in {}", folder.display())).path()
}
