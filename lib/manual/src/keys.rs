//! Descriptions of the keys of the configuration file, which are the long flags of the daemons.

use crate::prose;
use clap::{Arg, ArgAction};
use roff::{Roff, bold, italic, roman};

/// A section of the configuration file.
#[derive(Debug, Clone)]
pub struct Section {
    /// Its name, that of a program.
    pub name: &'static str,
    /// The flags of the program that are keys.
    pub keys: Vec<Arg>,
}

impl Section {
    fn has(&self, wanted: &Arg) -> bool {
        self.keys.iter().any(|key| key.get_long() == wanted.get_long())
    }
}

/// Returns the descriptions of the keys that all `sections` have.
pub fn common(sections: &[Section]) -> String {
    let Some((first, others)) = sections.split_first() else { return String::new() };
    entries(first.keys.iter().filter(|key| others.iter().all(|other| other.has(key))))
}

/// Returns the descriptions of the keys of `section` that not all `sections` have.
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
    // The help texts name other flags; here they are keys, without dashes.
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
