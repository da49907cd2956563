//! The words of another program's command line, taken apart as getopt_long(3) does.

/// An option, and its value if it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Option<'a> {
    /// `-x`, alone or among others as in `-nx`. The value stands in the same word or the next.
    Short(char, std::option::Option<&'a str>),
    /// `--word=value`, or `--word value`: whether a long option takes a value is not known here, so what follows may
    /// be none of its own.
    Long(&'a str, std::option::Option<&'a str>),
}

/// The options among `words`, of which the first is the program. `with_value`: the short ones that take a value. What
/// is no option is passed over, wherever it stands; `--` ends the options.
pub(super) fn options<'a>(words: &'a [String], with_value: &str) -> impl Iterator<Item = Option<'a>> {
    let mut found = Vec::new();
    let mut words = words.iter().skip(1).map(String::as_str).peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            break;
        }
        if let Some(long) = word.strip_prefix("--") {
            found.push(match long.split_once('=') {
                Some((name, value)) => Option::Long(name, Some(value)),
                None => Option::Long(long, words.peek().copied().filter(|next| !next.starts_with('-'))),
            });
        } else if let Some(letters) = word.strip_prefix('-') {
            let mut rest = letters.chars();
            while let Some(letter) = rest.next() {
                if !with_value.contains(letter) {
                    found.push(Option::Short(letter, None));
                    continue;
                }
                let here = rest.as_str();
                let value = if here.is_empty() { words.next() } else { Some(here) };
                found.push(Option::Short(letter, value));
                break;
            }
        }
    }
    found.into_iter()
}
