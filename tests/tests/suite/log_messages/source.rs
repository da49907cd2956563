//! The code of a folder of sources, and the texts in it.

use dante_tests::package::sources;
use std::fs;
use std::path::{Path, PathBuf};

/// The files of a folder with their code: without tests, comments and backquotes, and with the texts of constants in their places.
pub fn code_of(folder: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    read_files(&sources().join(folder), folder, &mut files);
    let all: String = files.iter().map(|(_, code)| code.as_str()).collect();
    for (_, code) in &mut files {
        *code = with_constants(code, &all);
    }
    files
}

fn read_files(folder: &Path, name: &str, files: &mut Vec<(String, String)>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        let own = format!("{name}/{}", path.file_name().and_then(|name| name.to_str()).expect("a name"));
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        } else if path.is_dir() {
            read_files(&path, &own, files);
        } else {
            let text = fs::read_to_string(&path).expect("a source");
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            // A text that continues in the next line.
            let joined: Vec<String> =
                lines.join("\n").split("\\\n").map(|part| part.trim_start().to_owned()).collect();
            files.push((own, joined.concat().replace('`', "")));
        }
    }
}

/// Replaces `{NAME}` by the text of that constant.
fn with_constants(code: &str, all: &str) -> String {
    let constants = all.split("const ").skip(1).filter_map(|rest| {
        let (name, rest) = rest.split_once(": &str = \"")?;
        let is_name = name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        is_name.then(|| (format!("{{{name}}}"), rest.split('"').next().unwrap_or_default()))
    });
    constants.fold(code.to_owned(), |code, (name, text)| code.replace(&name, text))
}

/// The code without lines for debugging, messages of panics, attributes, the status line, and remedies: what to do stands behind an
/// error, after a semicolon.
pub fn without_other_texts(code: &str) -> String {
    let calls =
        ["log::debug!(", ".expect(", "panic!(", "assert!(", "assert_eq!(", "#[expect(", "#[allow(", "#[cfg("];
    let functions = ["fn remedy(", "fn status("];
    let code =
        calls.iter().fold(code.to_owned(), |code, start| without(&code, start, |rest| enclosed(rest, 1)));
    let code = functions.iter().fold(code, |code, start| {
        without(&code, start, |rest| {
            let body = rest.find('{').expect("a body");
            body + enclosed(&rest[body + 1..], 1) + 1
        })
    });
    // The remedies in the table of diagnostics.
    code.lines().filter(|line| !line.trim_start().starts_with("=> \"")).collect::<Vec<_>>().join("\n")
}

/// Removes each `start` with what follows it; `length` returns how much that is.
fn without(code: &str, start: &str, length: impl Fn(&str) -> usize) -> String {
    let mut parts = code.split(start);
    let mut left = parts.next().unwrap_or_default().to_owned();
    let mut at = left.len();
    while let Some(found) = code[at..].find(start) {
        if found > 0 {
            left += &code[at..at + found];
        }
        let rest = &code[at + found + start.len()..];
        at += found + start.len() + length(rest);
    }
    left + &code[at..]
}

/// How long the code is until `depth` brackets are closed, with the last of them. Texts and characters do not count.
pub fn enclosed(code: &str, mut depth: usize) -> usize {
    let mut at = 0;
    while depth > 0 {
        let rest = &code[at..];
        let length = match rest.chars().next().expect("a closing bracket") {
            '(' | '[' | '{' => {
                depth += 1;
                1
            }
            ')' | ']' | '}' => {
                depth -= 1;
                1
            }
            '"' => 1 + text_length(&rest[1..]) + 1,
            '\'' => character_length(rest).unwrap_or(1),
            other => other.len_utf8(),
        };
        at += length;
    }
    at
}

/// Length of a text behind its opening quote.
fn text_length(code: &str) -> usize {
    let mut is_escaped = false;
    let end = code.find(|c| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    end.expect("a text that ends")
}

/// Length of a character such as '"' at the start of the code; `None` if it is a lifetime.
fn character_length(code: &str) -> Option<usize> {
    let mut characters = code.char_indices().skip(1);
    let (_, first) = characters.next()?;
    let closing = if first == '\\' { characters.nth(1)? } else { characters.next()? };
    (closing.1 == '\'').then_some(closing.0 + 1)
}

/// The texts in double quotes.
pub fn texts_of(code: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(['"', '\'']) {
        rest = &rest[at..];
        if rest.starts_with('\'') {
            rest = &rest[character_length(rest).unwrap_or(1)..];
            continue;
        }
        let length = text_length(&rest[1..]);
        texts.push(rest[1..=length].replace("\\\"", "\"").replace("\\\\", "\\"));
        rest = &rest[length + 2..];
    }
    texts
}
