//! dante-manual: writes the man pages to FOLDER/man and the shell completions to FOLDER/completions.
#![forbid(unsafe_code)]

mod programs;

use anyhow::{Context, Result};
use clap::Command;
use clap_complete::Shell;
use dante_core::time::Civil;
use dante_manual::page::{self, Edition};
use programs::Program;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).context("no folder given; usage: dante-manual FOLDER")?;
    let folder = PathBuf::from(folder);
    let programs = programs::all();
    let edition = Edition { version: env!("CARGO_PKG_VERSION").into(), date: today()? };
    let man = folder.join("man");
    for Program { command, section, prose } in &programs {
        let text = page::of_program(command, *section, prose, &edition)?;
        write(&man.join(format!("{}.{section}", command.get_name())), text.as_bytes())?;
    }
    let text =
        page::of_configuration("dante4l.toml", &programs::sections(), programs::CONFIGURATION, &edition)?;
    write(&man.join("dante4l.toml.5"), text.as_bytes())?;
    for Program { command, .. } in &programs {
        complete(command, &folder.join("completions"))?;
    }
    Ok(())
}

/// Writes the completions of a program under the names that the shells expect.
fn complete(command: &Command, folder: &Path) -> Result<()> {
    let name = command.get_name();
    let files = [
        (Shell::Bash, format!("bash/{name}")),
        (Shell::Zsh, format!("zsh/_{name}")),
        (Shell::Fish, format!("fish/{name}.fish")),
    ];
    for (shell, file) in files {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command.clone(), name, &mut text);
        write(&folder.join(file), &text)?;
    }
    Ok(())
}

fn write(path: &Path, text: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Returns the day of SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch), or today.
fn today() -> Result<String> {
    let seconds = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.trim().parse().context("SOURCE_DATE_EPOCH is not a number of seconds")?,
        Err(_) => i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?,
    };
    let Civil { year, month, day, .. } = Civil::at(seconds);
    Ok(format!("{year:04}-{month:02}-{day:02}"))
}
