//! `pmc-lite 'GET CURRENT_DATA_SET'` and similar commands: data sets of dante4l, printed as linuxptp's pmc prints those of ptp4l.
//!
//! The data sets are those of PTPv2; values of PTPv1 are mapped to them by IEEE 1588-2008, clause 18. Nothing is sent: the values
//! come from dante4l's page.

mod answers;
#[cfg(test)]
mod tests;

use crate::args::{Args, What};
use crate::outcome::{Ended, Outcome};
use crate::pages::Pages;
use crate::print;
use answers::{DataSet, answers};
use clap::{CommandFactory, Subcommand};
use dante_os::daemon::{Exit, Failure};
use dante_os::page::Instance;

/// Why a command is rejected.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum CommandError {
    #[error("{0} would change a clock: pmc-lite supports only GET")]
    Changes(String),
    #[error("unknown command {typed:?}; did you mean `pmc-lite {meant}`?")]
    Meant { typed: String, meant: String },
    #[error("unknown command {0:?}: commands are GET and one of {names}", names = DataSet::ALL.map(DataSet::name).join(", "))]
    Unknown(String),
}

/// Prints the answer to each of `commands`. The outcome is yes if dante4l is running.
///
/// # Errors
/// Exit status 2 if a command is unknown, 1 if the output is lost.
pub fn run(commands: &[String], instance: Option<&Instance>) -> Ended {
    let parsed: Result<Vec<DataSet>, CommandError> =
        joined(commands).iter().map(|command| parse(command)).collect();
    let sets = parsed.map_err(|error| Failure::new(Exit::Usage, error))?;
    let pages = Pages::read(instance);
    print(&answers(&sets, &pages))?;
    Ok(Outcome::unless(pages.not_running(": no answers")))
}

/// Returns all answers.
#[cfg(test)]
pub fn all(pages: &Pages) -> String {
    answers(&DataSet::ALL, pages)
}

/// Joins `GET X` that the shell split into two words.
fn joined(words: &[String]) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for word in words {
        match commands.last_mut() {
            Some(last) if !last.contains(' ') => *last = format!("{last} {word}"),
            _ => commands.push(word.trim().to_owned()),
        }
    }
    commands
}

fn parse(command: &str) -> Result<DataSet, CommandError> {
    let mut words = command.split_whitespace();
    let (verb, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if ["SET", "CMD", "COMMAND"].iter().any(|changing| verb.eq_ignore_ascii_case(changing)) {
        return Err(CommandError::Changes(command.into()));
    }
    let is_get = verb.eq_ignore_ascii_case("GET");
    if is_get
        && words.next().is_none()
        && let Some(set) = DataSet::ALL.into_iter().find(|set| set.name().eq_ignore_ascii_case(name))
    {
        return Ok(set);
    }
    Err(match meant(if is_get { name } else { verb }) {
        Some(meant) => CommandError::Meant { typed: command.into(), meant },
        None => CommandError::Unknown(command.into()),
    })
}

/// Returns the command most similar to this word, if it is similar enough.
fn meant(word: &str) -> Option<String> {
    let word = word.to_lowercase();
    let similarity = |name: &str| strsim::jaro(&word, name);
    let parts = What::augment_subcommands(clap::Command::new("get"));
    let parts =
        parts.get_subcommands().map(|part| (similarity(part.get_name()), format!("get {}", part.get_name())));
    let all = Args::command();
    let all = all.get_subcommands().map(|one| (similarity(one.get_name()), one.get_name().to_owned()));
    let (similarity, name) = parts.chain(all).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (similarity > 0.85).then_some(name)
}
