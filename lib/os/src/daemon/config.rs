//! The configuration file: one TOML file for the suite, with a section for each program and a key for each long flag.
//!
//! Keys *are* flags: `KEY = "VALUE"` in the section of a program is `--KEY=VALUE` before the flags of the command line, so a
//! key always has the meaning of its flag, and the command line overrides the file. Each key is parsed alone first, so that an
//! error names its line.

mod example;
mod words;

use super::DaemonArgs;
use crate::statefile::read_regular;
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction};
use example::Example;
use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml_edit::{Document, Item, Value};

/// Maximum size of the file, bytes: the example with all keys and comments has a hundredth of it.
const MAX_SIZE: u64 = 1 << 20;

/// What is wrong with flags or configuration.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum ConfigError {
    /// Wrong flags, or `--help` or `--version`; clap has the text.
    #[error(transparent)]
    Clap(#[from] clap::Error),
    #[error("cannot read {path}: {cause}")]
    Read { path: PathBuf, cause: std::io::Error },
    #[error("{path}:{line}: {what}")]
    At { path: PathBuf, line: usize, what: String },
}

/// Parses the command line `given` (program name first). The flags of the configuration file that it names, if any, are
/// inserted before its own.
pub fn arguments_of<A: DaemonArgs>(given: Vec<OsString>) -> Result<A, ConfigError> {
    let (args, lists) = parse::<A>(given.clone())?;
    let Some(path) = &args.common().config else { return Ok(args) };
    let mut all: Vec<OsString> = given.first().cloned().into_iter().collect();
    // A flag that may occur several times replaces the list in the file instead of extending it.
    let flags = File::read(path)?.flags::<A>()?.into_iter();
    all.extend(flags.filter(|flag| !lists.contains(&flag.key)).map(|flag| flag.word.into()));
    all.extend(given.into_iter().skip(1));
    Ok(parse::<A>(all)?.0)
}

/// Flags of every program that are not allowed in the file: they name the file, or do something else and end.
const COMMAND_LINE_ONLY: [&str; 4] = ["config", "check-config", "help", "version"];

/// The flags that are keys of the program's section, as clap describes them.
pub fn keys_of<A: DaemonArgs>() -> Vec<Arg> {
    let is_key = |arg: &&Arg| arg.get_long().is_some_and(|name| !is_for_the_command_line::<A>(name));
    A::command().get_arguments().filter(is_key).cloned().collect()
}

fn is_for_the_command_line<A: DaemonArgs>(flag: &str) -> bool {
    COMMAND_LINE_ONLY.contains(&flag) || A::COMMAND_LINE_ONLY.contains(&flag)
}

/// The new name of a renamed flag.
fn new_name<A: DaemonArgs>(flag: &str) -> Option<&'static str> {
    A::RENAMED.iter().find(|(old, _)| *old == flag).map(|(_, new)| *new)
}

/// The values of one key in the file, unchecked: several for a list, none for a missing key.
///
/// # Errors
/// [`ConfigError`] if the file cannot be read.
pub fn values(path: &Path, section: &str, key: &str) -> Result<Vec<String>, ConfigError> {
    let file = File::read(path)?;
    let value = file.document.get(section).and_then(|section| section.get(key)).and_then(Item::as_value);
    Ok(match value {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(value) => value.as_str().map(str::to_owned).into_iter().collect(),
        None => Vec::new(),
    })
}

/// The flags, and the names of those on the command line that may occur several times.
fn parse<A: DaemonArgs>(words: Vec<OsString>) -> Result<(A, Vec<String>), clap::Error> {
    let mut command = A::command().args_override_self(true);
    let matches = command.try_get_matches_from_mut(words).map_err(suggest_new_name::<A>)?;
    let args = A::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    let is_given = |arg: &&Arg| {
        matches!(arg.get_action(), ArgAction::Append)
            && matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
    };
    let lists = command.get_arguments().filter(is_given);
    let lists = lists.filter_map(|arg| arg.get_long().map(str::to_owned)).collect();
    Ok((args, lists))
}

/// Makes the error for an unknown flag suggest the new name if the flag was renamed.
fn suggest_new_name<A: DaemonArgs>(mut error: clap::Error) -> clap::Error {
    let unknown = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) => flag.strip_prefix("--").and_then(new_name::<A>),
        _ => None,
    };
    if let Some(new) = unknown {
        error.remove(ContextKind::Suggested);
        error.insert(ContextKind::SuggestedArg, ContextValue::String(format!("--{new}")));
    }
    error
}

/// A key of the file and its equivalent on the command line.
struct Flag {
    key: String,
    word: String,
}

struct File<'a> {
    path: &'a Path,
    document: Document<String>,
}

impl<'a> File<'a> {
    fn read(path: &'a Path) -> Result<Self, ConfigError> {
        let failed = |cause| ConfigError::Read { path: path.into(), cause };
        let bytes = read_regular(path, MAX_SIZE + 1).map_err(failed)?;
        if bytes.len() as u64 > MAX_SIZE {
            return Err(failed(std::io::Error::other("it is longer than 1 MiB: not a configuration file")));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let (readable, _) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
            let what = "this is not UTF-8 text: save the file as UTF-8".into();
            ConfigError::At { path: path.into(), line: 1 + line_breaks(readable), what }
        })?;
        match Document::parse(text.clone()) {
            Ok(document) => Ok(Self { path, document }),
            Err(error) => Err(ConfigError::At {
                path: path.into(),
                line: line_of(&text, error.span()),
                what: words::unreadable(&text, error.span(), error.message()),
            }),
        }
    }

    fn error(&self, span: Option<Range<usize>>, what: String) -> ConfigError {
        ConfigError::At { path: self.path.into(), line: line_of(self.document.raw(), span), what }
    }

    /// The command-line equivalent of the program's section.
    fn flags<A: DaemonArgs>(&self) -> Result<Vec<Flag>, ConfigError> {
        let keys = keys_of::<A>();
        let own: Vec<&str> = keys.iter().filter_map(Arg::get_long).collect();
        let example = Example::of(A::EXAMPLE);
        let sections = example.sections();
        for (name, item) in self.document.iter() {
            let span = self.document.key(name).and_then(|key| key.span()).or_else(|| item.span());
            if !sections.contains(&name) {
                let what = words::no_section(&example, A::PROGRAM, &own, name, item.is_value());
                return Err(self.error(span, what));
            }
            if !item.is_table_like() {
                let what = format!("{name} is a section: write [{name}] on a line of its own");
                return Err(self.error(span, what));
            }
        }
        let Some(table) = self.document.get(A::PROGRAM).and_then(Item::as_table_like) else {
            return Ok(Vec::new());
        };
        let mut flags = Vec::new();
        for (key, item) in table.iter() {
            let span = table.key(key).and_then(|key| key.span()).or_else(|| item.span());
            let wrong = |what| self.error(span.clone(), what);
            if is_for_the_command_line::<A>(key) {
                return Err(wrong(format!("{key} is allowed on the command line only")));
            }
            if let Some(new) = new_name::<A>(key) {
                return Err(wrong(format!("{key} was renamed: write {new}")));
            }
            let Some(arg) = keys.iter().find(|arg| arg.get_long() == Some(key)) else {
                return Err(wrong(words::no_key(&example, A::PROGRAM, &own, key)));
            };
            for word in words_of(key, item, arg).map_err(wrong)? {
                // Parsed alone, so that an error names its line.
                if let Err(error) = A::command().try_get_matches_from([A::PROGRAM, &word]) {
                    return Err(wrong(words::wrong_value(key, &error)));
                }
                flags.push(Flag { key: key.to_owned(), word });
            }
        }
        Ok(flags)
    }
}

fn words_of(key: &str, item: &Item, arg: &Arg) -> Result<Vec<String>, String> {
    let Some(value) = item.as_value() else {
        return Err(format!("{key} is a key, not a section: write {key} = \"value\""));
    };
    let takes_value = arg.get_action().takes_values();
    let one = |value: &Value| match value {
        Value::Boolean(on) if !takes_value => Ok(on.value().then(|| format!("--{key}"))),
        _ if !takes_value => Err(format!("{key} must be true or false, without quotes")),
        Value::String(text) => Ok(Some(format!("--{key}={}", text.value()))),
        Value::Integer(number) => Ok(Some(format!("--{key}={}", number.value()))),
        Value::Float(number) => Ok(Some(format!("--{key}={}", number.value()))),
        _ => Err(format!("{key} must be a text in quotes, or a number")),
    };
    match (value, arg.get_action()) {
        (Value::Array(list), ArgAction::Append) => {
            list.iter().filter_map(|value| one(value).transpose()).collect()
        }
        (Value::Array(_), _) => Err(format!("{key} must be one value, not a list")),
        (single, _) => Ok(one(single)?.into_iter().collect()),
    }
}

fn line_of(text: &str, span: Option<Range<usize>>) -> usize {
    let start = span.map_or(0, |span| span.start);
    1 + line_breaks(text.as_bytes().get(..start).unwrap_or(text.as_bytes()))
}

fn line_breaks(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}
