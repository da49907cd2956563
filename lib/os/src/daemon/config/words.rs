//! Error texts for common mistakes in a configuration file: what is wrong, and the correction.

use super::example::Example;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::error::Error;
use std::num::ParseIntError;
use std::ops::Range;

/// Minimum Jaro similarity of a suggested name, as in clap.
const MIN_SIMILARITY: f64 = 0.7;

/// Error text: `name`, outside of all sections, is not a section. `own`: keys of `program`.
pub(super) fn no_section(
    example: &Example<'_>,
    program: &str,
    own: &[&str],
    name: &str,
    is_value: bool,
) -> String {
    let sections = example.sections();
    // A key that this program has and the example shows in another section is common to all sections.
    let section = example.section_of(name).filter(|section| *section == program || !own.contains(&name));
    match (is_value, section, nearest(name, &sections)) {
        (true, Some(section), _) => {
            format!("{name} is outside of a section: write [{section}] on a line above it")
        }
        (true, None, _) => {
            let names: Vec<String> = sections.iter().map(|name| format!("[{name}]")).collect();
            format!("{name} is outside of a section: sections are {}", names.join(", "))
        }
        (false, _, Some(near)) => format!("unknown section [{name}]; did you mean [{near}]?"),
        (false, _, None) => format!("unknown section [{name}]; sections are {}", sections.join(", ")),
    }
}

/// Error text: the section of `program` has no key `key`. `own`: its keys.
pub(super) fn no_key(example: &Example<'_>, program: &str, own: &[&str], key: &str) -> String {
    if let Some(section) = example.section_of(key).filter(|section| *section != program) {
        return format!("{key} is a key of section [{section}], not of [{program}]: move it there");
    }
    if let Some(near) = nearest(key, own) {
        return format!("unknown key {key}; did you mean {near}?");
    }
    format!("unknown key {key} in [{program}]; valid keys are {}", own.join(", "))
}

/// Error text: clap rejects the value of `key`.
pub(super) fn wrong_value(key: &str, error: &clap::Error) -> String {
    let texts = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    };
    let value = texts(ContextKind::InvalidValue).join(", ");
    let valid = texts(ContextKind::ValidValue);
    match (error.kind(), error.source()) {
        (ErrorKind::InvalidValue, _) if !valid.is_empty() => {
            let near = texts(ContextKind::SuggestedValue);
            let meant = near.first().map_or(String::new(), |near| format!("; did you mean {near}?"));
            format!("{key} cannot be \"{value}\": valid values are {}{meant}", valid.join(", "))
        }
        (ErrorKind::InvalidValue, _) if value.is_empty() => format!("{key} cannot be empty"),
        (ErrorKind::ValueValidation, Some(cause)) if cause.is::<ParseIntError>() => {
            format!("{key} cannot be {value}: a whole number is required")
        }
        (ErrorKind::ValueValidation, Some(cause)) => format!("{key} cannot be {value}: {cause}"),
        (kind, _) => format!("{key} cannot be \"{value}\": {kind}"),
    }
}

/// Error text: the file is not valid TOML at `span`. `why`: text of the parser.
pub(super) fn unreadable(text: &str, span: Option<Range<usize>>, why: &str) -> String {
    let why = why.trim().replace('\n', ", ");
    let start = span.map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or_default();
    let begin = before.rfind('\n').map_or(0, |at| at + 1);
    let line = text.get(begin..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let before = text.get(..begin).unwrap_or_default();
    let line = line.split('#').next().unwrap_or_default().trim();
    if let Some(name) = section_in(line) {
        return match before.lines().filter_map(section_in).any(|earlier| earlier == name) {
            true => format!("section [{name}] occurs twice: put all its keys into one section"),
            false => format!("invalid section header: write [{name}] on a line of its own"),
        };
    }
    let (key, value) = match line.split_once(['=', ' ', '\t', ':']) {
        Some((key, value)) => (key.trim(), value.trim_start_matches(['=', ':', ' ', '\t'])),
        None => (line, ""),
    };
    let mut section = before.lines().rev().take_while(|line| section_in(line).is_none());
    if section.any(|earlier| key_in(earlier) == Some(key)) {
        return format!("{key} is set twice in this section: remove one of them");
    }
    let bare = value.trim_matches(|c: char| c.is_whitespace() || is_quote(c));
    if key.is_empty() || bare.is_empty() || bare.contains(['[', ']', ',', '"', '\\']) {
        return if value.is_empty() && !key.is_empty() {
            format!("missing value: write {key} = \"value\"")
        } else {
            why
        };
    }
    let is_text = bare.parse::<f64>().is_err() && !["true", "false"].contains(&bare);
    let meant = if is_text { format!("{key} = \"{bare}\"") } else { format!("{key} = {bare}") };
    if value.contains(is_typographic) {
        format!("these are typographic quotes: write {meant}")
    } else if !line.contains('=') {
        format!("missing = between key and value: write {meant}")
    } else if is_text {
        format!("text must be in quotes: write {meant}")
    } else {
        why
    }
}

fn is_typographic(c: char) -> bool {
    "\u{201c}\u{201d}\u{201e}\u{201f}\u{2018}\u{2019}\u{201a}\u{ab}\u{bb}\u{b4}`".contains(c)
}

fn is_quote(c: char) -> bool {
    c == '"' || c == '\'' || is_typographic(c)
}

/// The name of the section that begins in this line.
pub(super) fn section_in(line: &str) -> Option<&str> {
    let header = line.trim().strip_prefix('[')?;
    Some(header.split(']').next().unwrap_or(header).trim())
}

/// The key that is set in this line.
fn key_in(line: &str) -> Option<&str> {
    let (key, _) = line.split_once('=')?;
    Some(key.trim())
}

fn nearest<'a>(word: &str, among: &[&'a str]) -> Option<&'a str> {
    let similarity = |name: &&str| strsim::jaro(word, name);
    let best = among.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)))?;
    (similarity(best) > MIN_SIMILARITY).then_some(*best)
}
