//! `pmc-lite 'GET CURRENT_DATA_SET'` and its like: dante4l's data sets as linuxptp's pmc prints those of ptp4l.
//!
//! They are those of PTPv2. What PTPv1 has in their place is mapped as IEEE 1588-2008, clause 18, does. Nothing is sent: dante4l's
//! page answers.

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

/// What was typed is no question.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum CommandError {
    #[error("{0} would change something, which pmc-lite never does")]
    Changes(String),
    #[error("{typed:?}: did you mean `pmc-lite {meant}`?")]
    Meant { typed: String, meant: String },
    #[error("{0:?}: a command is GET and one of {names}", names = DataSet::ALL.map(DataSet::name).join(", "))]
    Unknown(String),
}

/// Answers each of `commands`. The answer is yes where dante4l runs.
///
/// # Errors
/// Exit status 2 where a command is none.
pub fn ask(commands: &[String], instance: Option<&Instance>) -> Ended {
    let parsed: Result<Vec<DataSet>, CommandError> =
        joined(commands).iter().map(|command| parse(command)).collect();
    let sets = parsed.map_err(|error| Failure::new(Exit::Usage, error))?;
    let pages = Pages::read(instance);
    print(&answers(&sets, &pages));
    Ok(Outcome::unless(pages.silence(": nobody answers")))
}

/// The shell may have split `GET X` in two words.
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

/// The command that looks like this word.
fn meant(word: &str) -> Option<String> {
    let word = word.to_lowercase();
    let likeness = |name: &str| strsim::jaro(&word, name);
    let parts = What::augment_subcommands(clap::Command::new("get"));
    let parts =
        parts.get_subcommands().map(|part| (likeness(part.get_name()), format!("get {}", part.get_name())));
    let all = Args::command();
    let all = all.get_subcommands().map(|one| (likeness(one.get_name()), one.get_name().to_owned()));
    let (likeness, name) = parts.chain(all).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (likeness > 0.85).then_some(name)
}
