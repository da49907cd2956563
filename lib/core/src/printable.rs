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
}
