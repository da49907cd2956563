//! The keys of the configuration file, which are the long flags of the daemons.

use crate::prose;
use clap::{Arg, ArgAction, Command};
use dante_os::daemon::COMMAND_LINE_ONLY;
use roff::{Roff, bold, italic, roman};

/// Those that all of `programs` have.
pub fn common(programs: &[&Command]) -> String {
    let Some((first, others)) = programs.split_first() else { return String::new() };
    entries(keys(first).filter(|(key, _)| others.iter().all(|other| has(other, key))))
}

/// Those of `program` that another of `programs` lacks.
pub fn own(program: &Command, programs: &[&Command]) -> String {
    entries(keys(program).filter(|(key, _)| !programs.iter().all(|other| has(other, key))))
}

fn keys(program: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    program
        .get_arguments()
        .filter_map(|arg| Some((arg.get_long()?, arg)))
        .filter(|(key, _)| !COMMAND_LINE_ONLY.contains(key))
}

fn has(program: &Command, wanted: &str) -> bool {
    keys(program).any(|(key, _)| key == wanted)
}

fn entries<'a>(keys: impl Iterator<Item = (&'a str, &'a Arg)>) -> String {
    prose::lines(|roff| keys.for_each(|(key, arg)| entry(roff, key, arg)))
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
