//! One sentence for each mistake that people make in a configuration file: what is wrong, and what was meant.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::error::Error;
use std::num::ParseIntError;
use std::ops::Range;

/// Sections that a suite's file may have, and the keys that only one of them has: a program knows no flags but its own, and
/// is to say where a key belongs.
const SECTIONS: [(&str, &str); 3] = [
    (
        "dante4l",
        "interface subdomain event-port general-port delay path-delay delay-asymmetry leader deny prefer \
         rates-file timestamping no-wait",
    ),
    (
        "dante2sys",
        "clock utc ntp-server ntp-min-interval date first-step-threshold step-threshold max-slew \
         max-date-error max-frequency rtc rtc-device drift-file force allow-pull-up rt-priority \
         lock-memory",
    ),
    ("danteshm", "shm shm-perm sock usrvclock usrvclock-mode epoch rate"),
];
/// Flags that no file may have: they say which file, or do something else and end.
pub const COMMAND_LINE_ONLY: [&str; 5] = ["config", "check-config", "leave", "help", "version"];
/// As like as clap wants a flag to be for it to suggest that.
const LIKE: f64 = 0.7;

pub(super) fn is_section(name: &str) -> bool {
    SECTIONS.iter().any(|(section, _)| *section == name)
}

pub(super) fn is_for_the_command_line(key: &str) -> bool {
    COMMAND_LINE_ONLY.contains(&key)
}

/// `name` stands where only sections may.
pub(super) fn no_section(name: &str, is_value: bool) -> String {
    let names = SECTIONS.map(|(section, _)| section);
    match (is_value, section_of(name), nearest(name, &names)) {
        (true, Some(section), _) => {
            format!("{name} stands in no section: write [{section}] on a line above it")
        }
        (true, None, _) => {
            format!(
                "{name} stands in no section: sections are {}",
                names.map(|name| format!("[{name}]")).join(", ")
            )
        }
        (false, _, Some(near)) => format!("unknown section [{name}]; did you mean [{near}]?"),
        (false, _, None) => format!("unknown section [{name}]; sections are {}", names.join(", ")),
    }
}

/// The section `program` has no such `key` among its `own`.
pub(super) fn no_key(program: &str, key: &str, own: &[&str]) -> String {
    let own: Vec<&str> = own.iter().copied().filter(|name| !is_for_the_command_line(name)).collect();
    if let Some(section) = section_of(key) {
        return format!("{key} is a key of section [{section}], not of [{program}]: move it there");
    }
    if let Some(near) = nearest(key, &own) {
        return format!("unknown key {key}; did you mean {near}?");
    }
    format!("unknown key {key} in [{program}], which has {}", own.join(", "))
}

/// What clap says of the value of `key`.
pub(super) fn wrong_value(key: &str, error: &clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        _ => None,
    };
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    match (error.kind(), text(ContextKind::ValidValue), error.source()) {
        (ErrorKind::InvalidValue, Some(valid), _) => {
            let meant = text(ContextKind::SuggestedValue)
                .map_or(String::new(), |near| format!("; did you mean {near}?"));
            format!("{key} cannot be \"{value}\": it is one of {valid}{meant}")
        }
        (ErrorKind::ValueValidation, _, Some(cause)) if cause.is::<ParseIntError>() => {
            format!("{key} cannot be {value}: a whole number is meant")
        }
        (ErrorKind::ValueValidation, _, Some(cause)) => format!("{key} cannot be {value}: {cause}"),
        // The first line says it; the rest speaks of the command line.
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            first.trim_start_matches("error: ").replace("--", "")
        }
    }
}

/// The file is not TOML at `span`, the parser says why.
pub(super) fn unreadable(text: &str, span: Option<Range<usize>>, why: &str) -> String {
    let why = why.trim().replace('\n', ", ");
    let start = span.map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or_default();
    let begin = before.rfind('\n').map_or(0, |at| at + 1);
    let line = text.get(begin..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let line = line.split('#').next().unwrap_or_default().trim();
    if let Some(header) = line.strip_prefix('[') {
        let name = header.trim_end_matches(']').trim();
        let is_again = why.contains("duplicate");
        return match is_again {
            true => format!("section [{name}] is there twice: put all of its keys under one"),
            false => format!("a section is written [{name}], on a line of its own"),
        };
    }
    let (key, value) = match line.split_once(['=', ' ', '\t', ':']) {
        Some((key, value)) => (key.trim(), value.trim_start_matches(['=', ':', ' ', '\t'])),
        None => (line, ""),
    };
    if why.contains("duplicate") {
        return format!("{key} is set twice in this section: remove one of them");
    }
    let bare = value.trim_matches(|c: char| c.is_whitespace() || is_quote(c));
    if key.is_empty() || bare.is_empty() || bare.contains(['[', ']', ',', '"', '\\']) {
        return if value.is_empty() && !key.is_empty() {
            format!("a key and its value are written {key} = \"value\"")
        } else {
            why
        };
    }
    let is_text = bare.parse::<f64>().is_err() && !["true", "false"].contains(&bare);
    let meant = if is_text { format!("{key} = \"{bare}\"") } else { format!("{key} = {bare}") };
    if value.contains(is_typographic) {
        format!("these are typographic quotes: write {meant}")
    } else if !line.contains('=') {
        format!("there is no = between key and value: write {meant}")
    } else if is_text {
        format!("a text stands in quotes: write {meant}")
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

fn section_of(key: &str) -> Option<&'static str> {
    let has = |keys: &str| keys.split(' ').any(|own| own == key);
    SECTIONS.iter().find(|(_, keys)| has(keys)).map(|(section, _)| *section)
}

fn nearest<'a>(word: &str, among: &[&'a str]) -> Option<&'a str> {
    let likeness = |name: &&str| strsim::jaro(word, name);
    let best = among.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > LIKE).then_some(*best)
}
