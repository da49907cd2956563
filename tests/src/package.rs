//! The Debian package, made by `make deb` from the programs that the tests run.

use crate::program::built;
use nix::fcntl::{Flock, FlockArg};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Root of the source tree.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether cargo-deb is installed, by tests/packages.sh: no test builds it.
///
/// # Panics
/// If it is not, and CI=true is set.
pub fn may_make_deb() -> bool {
    let exists = sources().join("target/tools/bin/cargo-deb").exists();
    if !exists {
        crate::skip("cargo-deb is not installed");
    }
    exists
}

/// Runs `make` with these words and the programs that are built already: a build could replace them while other tests run.
///
/// # Panics
/// If it fails.
pub fn make(words: &[&str]) {
    make_within(&[], words);
}

/// Runs `make` through another command, such as `env`. Returns its standard output.
///
/// # Panics
/// If it fails.
pub fn make_within(outer: &[&str], words: &[&str]) -> String {
    // Every `make` writes the manual to the same folder.
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
    // Variables that `cargo test` sets for its tests have another meaning for the cargo that make runs.
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("CARGO_") && name_text != "CARGO_HOME" || name_text.starts_with("MAKE") {
            command.env_remove(&name);
        }
    }
    let output = command.output().expect("make");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "make {}: {text}", words.join(" "));
    String::from_utf8(output.stdout).expect("text")
}

/// Makes the package with this version in `folder`, and returns its path.
///
/// # Panics
/// If that fails.
pub fn make_deb(version: &str, folder: &Path) -> PathBuf {
    make(&["deb", &format!("DEB_VERSION={version}"), &format!("DEB_OUTPUT={}/", folder.display())]);
    let mut entries = std::fs::read_dir(folder).expect("the package's folder").flatten();
    let wanted = format!("dante4l_{version}_");
    let found = entries.find(|entry| entry.file_name().to_string_lossy().starts_with(&wanted));
    found.unwrap_or_else(|| panic!("no package {version} in {}", folder.display())).path()
}
