//! Text of other users and of the network, made harmless for a terminal and for a log.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a terminal may act on `c`, or show text in another order because of it: control characters (ECMA-48, C0 and C1), and the
/// invisible formatting characters of Unicode (bidirectional controls of UAX #9, line and paragraph separators).
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Replaces every harmful character by its Rust escape, such as `\u{1b}` for ESC. Line breaks are harmful here: a text of several
/// lines is written line by line.
pub fn printable(text: &str) -> Cow<'_, str> {
    escape(text, is_harmful)
}

/// As [`printable`], but keeps line feeds and tabs: for text of this program, in which names of others are embedded.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escape(text, |c| is_harmful(c) && !matches!(c, '\n' | '\t'))
}

/// As [`printable_lines`], but also keeps the colours and weights of `STYLES`: for text with this program's own styling. Names of
/// others in it were escaped by [`printable`] before.
pub fn printable_styled(text: &str) -> Cow<'_, str> {
    if !text.contains('\u{1b}') {
        return printable_lines(text);
    }
    let mut escaped = String::with_capacity(text.len());
    let mut parts = text.split('\u{1b}');
    escaped.push_str(&printable_lines(parts.next().unwrap_or_default()));
    for part in parts {
        let style = STYLES.iter().find(|style| part.starts_with(**style));
        escaped.push_str(if style.is_some() { "\u{1b}" } else { r"\u{1b}" });
        escaped.push_str(&printable_lines(part));
    }
    Cow::Owned(escaped)
}

/// The escape sequences (SGR, ECMA-48) that the programs and their command-line parser use, without ESC: none, bold, underlined,
/// red, green, yellow.
const STYLES: [&str; 6] = ["[0m", "[1m", "[4m", "[31m", "[32m", "[33m"];

/// Replaces every harmful character of a JSON text except line feeds by its JSON escape, such as `\u009b`: the value that the text
/// represents stays the same. Harmful characters of JSON are in its strings only.
pub fn printable_json(text: &str) -> Cow<'_, str> {
    let is_kept = |c: char| !is_harmful(c) || c == '\n';
    if text.chars().all(is_kept) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_kept(c) {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String does not fail.
                _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    Cow::Owned(escaped)
}

fn escape(text: &str, is_harmful: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_harmful(c) {
            // Writing to a String does not fail.
            _ = write!(escaped, "{}", c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_control_and_formatting_characters() {
        let cases = [
            ("eth0", "eth0"),
            ("Zürich 音", "Zürich 音"),
            ("\x1b[2J", r"\u{1b}[2J"),
            ("a\nb\tc\r", r"a\nb\tc\r"),
            ("\u{9b}31m\u{7f}", r"\u{9b}31m\u{7f}"),
            ("a\u{202e}b\u{2066}c\u{200b}", r"a\u{202e}b\u{2066}c\u{200b}"),
        ];
        for (text, expected) in cases {
            assert_eq!(printable(text), expected);
            assert_eq!(printable(&printable(text)), expected, "a second time");
        }
        assert_eq!(printable_lines("a\n\tb\x1b\r"), "a\n\tb\\u{1b}\\r");
        assert!(matches!(printable("eth0"), Cow::Borrowed(_)));
    }

    #[test]
    fn keeps_only_own_styles() {
        let styled = "\x1b[1m\x1b[31mFAILURE\x1b[0m eth0\n";
        assert_eq!(printable_styled(styled), styled);
        // Conceal, clear screen, set the title, an unfinished sequence.
        let foreign = "\x1b[8m\x1b[2J\x1b]0;x\x07\x1b[1\x1b";
        assert_eq!(printable_styled(foreign), r"\u{1b}[8m\u{1b}[2J\u{1b}]0;x\u{7}\u{1b}[1\u{1b}");
    }

    #[test]
    fn json_keeps_its_value() {
        assert_eq!(
            printable_json("{\n\"a\": \"\u{9b}\u{202e}\u{7f}\"}"),
            "{\n\"a\": \"\\u009b\\u202e\\u007f\"}"
        );
        assert!(matches!(printable_json("[1]"), Cow::Borrowed(_)));
    }
}
