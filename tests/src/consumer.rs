//! The programs of tests/consumers: what reads the suite's output as its users' programs do, by Debian's own Python.

use crate::package::sources;
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};

/// Debian's, whose modules are packages.
const PYTHON: &str = "/usr/bin/python3";

/// Whether it is there with these modules; says what is missing.
pub fn may_consume(modules: &[&str]) -> bool {
    let has = |module: &&&str| {
        let import = format!("import {module}");
        let done = Command::new(PYTHON).args(["-c", &import]).stderr(Stdio::null()).status();
        done.is_ok_and(|status| status.success())
    };
    let missing = modules.iter().find(|module| !has(module));
    if let Some(module) = missing {
        crate::skip(&format!("{PYTHON} has no {module}"));
    }
    missing.is_none()
}

/// What a consumer answers to `input`, or what it found wrong with it.
///
/// # Errors
/// Its own words.
///
/// # Panics
/// When it cannot be run, or answers in no JSON.
pub fn consume(consumer: &str, words: &[&str], input: &str) -> Result<Value, String> {
    let mut command = Command::new(PYTHON);
    command.arg(sources().join("tests/consumers").join(consumer)).args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("Python");
    // One that gives up early closes its end.
    _ = child.stdin.take().expect("its input").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("its output");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// A status by its schema.
///
/// # Errors
/// Where it is not what the schema says.
pub fn status(json: &str, flags: &[&str]) -> Result<Value, String> {
    let schema = sources().join("docs/status.schema.json").display().to_string();
    consume("status.py", &[&[schema.as_str()], flags].concat(), json)
}
