//! The keys of the configuration file, which are the long flags of the daemons.

use crate::prose;
use clap::{Arg, ArgAction};
use roff::{Roff, bold, italic, roman};

/// A section of the file.
#[derive(Debug, Clone)]
pub struct Section {
    /// Its name, which is the program's.
    pub name: &'static str,
    /// The program's flags that are keys.
    pub keys: Vec<Arg>,
}

impl Section {
    fn has(&self, wanted: &Arg) -> bool {
        self.keys.iter().any(|key| key.get_long() == wanted.get_long())
    }
}

/// The keys that all of `sections` have.
pub fn common(sections: &[Section]) -> String {
    let Some((first, others)) = sections.split_first() else { return String::new() };
    entries(first.keys.iter().filter(|key| others.iter().all(|other| other.has(key))))
}

/// The keys of `section` that another of `sections` lacks.
pub fn own(section: &Section, sections: &[Section]) -> String {
    entries(section.keys.iter().filter(|key| !sections.iter().all(|other| other.has(key))))
}

fn entries<'a>(keys: impl Iterator<Item = &'a Arg>) -> String {
    let named = keys.filter_map(|arg| Some((arg.get_long()?, arg)));
    prose::lines(|roff| named.for_each(|(key, arg)| entry(roff, key, arg)))
}

fn entry(roff: &mut Roff, key: &str, arg: &Arg) {
    let name = arg.get_value_names().and_then(|names| names.first()).map_or(key, |name| name.as_str());
    let value = match arg.get_action() {
        ArgAction::SetTrue => vec![bold("true"), roman(" or "), bold("false")],
        ArgAction::Append => vec![roman("["), italic(name), roman(", ...]")],
        _ => vec![italic(name)],
    };
    roff.control("TP", []);
    roff.text([vec![bold(key), roman(" = ")], value].concat());
    // A key has no dashes.
    let help = arg.get_help().map(|help| help.to_string().replace(" --", " ")).unwrap_or_default();
    let mut text = help + ".";
    let kinds: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| match value.get_help() {
            Some(help) => format!("{} ({})", value.get_name(), help.to_string().to_lowercase()),
            None => value.get_name().to_owned(),
        })
        .collect();
    if !matches!(arg.get_action(), ArgAction::SetTrue) && !kinds.is_empty() {
        text += &format!(" One of: {}.", kinds.join(", "));
    }
    let defaults: Vec<String> =
        arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if !defaults.is_empty() {
        text += &format!(" Default: {}.", defaults.join(", "));
    }
    roff.text([roman(text)]);
}
