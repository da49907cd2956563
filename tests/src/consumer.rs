//! The programs of tests/consumers, which read the suite's output with the libraries that users have, in Debian's Python.

use crate::package::sources;
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};

/// Debian's Python, whose modules are Debian packages.
const PYTHON: &str = "/usr/bin/python3";

/// Whether Python has these modules; prints which one is missing.
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

/// Runs a consumer with `input`, and returns what it prints as JSON.
///
/// # Errors
/// What it wrote to stderr if it rejected the input.
///
/// # Panics
/// If it cannot be run, or prints no JSON.
pub fn consume(consumer: &str, words: &[&str], input: &str) -> Result<Value, String> {
    let mut command = Command::new(PYTHON);
    command.arg(sources().join("tests/consumers").join(consumer)).args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("Python");
    // A consumer that rejects its input closes the pipe early.
    _ = child.stdin.take().expect("its input").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("its output");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// Checks a status against docs/status.schema.json.
///
/// # Errors
/// Where the status differs from the schema.
pub fn status(json: &str, flags: &[&str]) -> Result<Value, String> {
    let schema = sources().join("docs/status.schema.json").display().to_string();
    consume("status.py", &[&[schema.as_str()], flags].concat(), json)
}
