//! The configuration file: one TOML file for the suite, a section for each program, a key for each long flag.
//!
//! Keys *are* flags: `interface = "eth1"` in section `[dante4l]` is `--interface=eth1` put before the flags of the
//! command line, so a key cannot mean anything else than its flag, and what the command line says wins. Each key is
//! tried alone first, so that a mistake is told with its line.

use super::DaemonArgs;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml_edit::{Document, Item, TableLike, Value};

/// What is wrong with flags or configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// With the flags; clap says it, and also `--help` and `--version` come as this.
    #[error(transparent)]
    Clap(#[from] clap::Error),
    /// The file cannot be read.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Something in the file.
    #[error("{path}:{line}: {what}")]
    At {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

/// Sections that a suite's file may have.
const SECTIONS: [&str; 3] = ["dante4l", "dante2sys", "danteshm"];

/// The flags of this process, with those of the configuration file before them.
pub(super) fn arguments<A: DaemonArgs>() -> Result<A, ConfigError> {
    merged(std::env::args_os().collect())
}

pub(super) fn merged<A: DaemonArgs>(given: Vec<OsString>) -> Result<A, ConfigError> {
    let args = parse::<A>(given.clone())?;
    let Some(path) = &args.common().config else { return Ok(args) };
    let mut all: Vec<OsString> = given.first().cloned().into_iter().collect();
    all.extend(File::read(path)?.flags::<A>()?.into_iter().map(OsString::from));
    all.extend(given.into_iter().skip(1));
    Ok(parse::<A>(all)?)
}

fn parse<A: DaemonArgs>(words: Vec<OsString>) -> Result<A, clap::Error> {
    let mut command = A::command().args_override_self(true);
    let matches = command.try_get_matches_from_mut(words)?;
    A::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

struct File<'a> {
    path: &'a Path,
    document: Document<String>,
}

impl<'a> File<'a> {
    fn read(path: &'a Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|cause| ConfigError::Read { path: path.into(), cause })?;
        match Document::parse(text.clone()) {
            Ok(document) => Ok(Self { path, document }),
            Err(error) => Err(ConfigError::At {
                path: path.into(),
                line: line_of(&text, error.span()),
                what: error.message().trim().replace('\n', ", "),
            }),
        }
    }

    fn error(&self, span: Option<Range<usize>>, what: String) -> ConfigError {
        ConfigError::At { path: self.path.into(), line: line_of(self.document.raw(), span), what }
    }

    /// The flags that the program's section amounts to.
    fn flags<A: DaemonArgs>(&self) -> Result<Vec<String>, ConfigError> {
        for (name, item) in self.document.iter() {
            if !SECTIONS.contains(&name) {
                let span = self.document.key(name).and_then(|key| key.span()).or_else(|| item.span());
                let what = format!("unknown section [{name}]; sections are {}", SECTIONS.join(", "));
                return Err(self.error(span, what));
            }
        }
        let Some(section) = self.document.get(A::PROGRAM) else { return Ok(Vec::new()) };
        let Some(table) = section.as_table_like() else {
            let what = format!("{} is a section: write [{}] on a line of its own", A::PROGRAM, A::PROGRAM);
            return Err(self.error(section.span(), what));
        };
        self.table_flags::<A>(table)
    }

    fn table_flags<A: DaemonArgs>(&self, table: &dyn TableLike) -> Result<Vec<String>, ConfigError> {
        let mut flags = Vec::new();
        for (key, item) in table.iter() {
            let span = table.key(key).and_then(|key| key.span()).or_else(|| item.span());
            if ["config", "check-config", "help", "version"].contains(&key) {
                return Err(self.error(span, format!("{key} is a flag of the command line only")));
            }
            for flag in flags_of(key, item).map_err(|what| self.error(span.clone(), what))? {
                self.try_alone::<A>(key, &flag, span.clone())?;
                flags.push(flag);
            }
        }
        Ok(flags)
    }

    /// So that a mistake can be told with its line.
    fn try_alone<A: DaemonArgs>(
        &self,
        key: &str,
        flag: &str,
        span: Option<Range<usize>>,
    ) -> Result<(), ConfigError> {
        let Err(error) = A::command().try_get_matches_from([A::PROGRAM, flag]) else { return Ok(()) };
        let what = match error.kind() {
            ErrorKind::UnknownArgument => match error.get(ContextKind::SuggestedArg) {
                Some(ContextValue::String(near)) => {
                    format!("unknown key {key}; did you mean {}?", near.trim_start_matches('-'))
                }
                _ => format!("unknown key {key} in [{}]", A::PROGRAM),
            },
            // The first line says it; the rest speaks of the command line.
            _ => {
                let text = error.to_string();
                let first = text.lines().next().unwrap_or_default();
                first.trim_start_matches("error: ").replace("--", "")
            }
        };
        Err(self.error(span, what))
    }
}

fn flags_of(key: &str, item: &Item) -> Result<Vec<String>, String> {
    let Some(value) = item.as_value() else { return Err(format!("{key} wants a value, not a section")) };
    let one = |value: &Value| match value {
        Value::String(text) => Ok(Some(format!("--{key}={}", text.value()))),
        Value::Integer(number) => Ok(Some(format!("--{key}={}", number.value()))),
        Value::Float(number) => Ok(Some(format!("--{key}={}", number.value()))),
        Value::Boolean(on) => Ok(on.value().then(|| format!("--{key}"))),
        _ => Err(format!("{key} wants a text, a number, true or false, or a list of these")),
    };
    match value {
        Value::Array(list) => list.iter().filter_map(|value| one(value).transpose()).collect(),
        single => Ok(one(single)?.into_iter().collect()),
    }
}

fn line_of(text: &str, span: Option<Range<usize>>) -> usize {
    let start = span.map_or(0, |span| span.start);
    1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count()
}
