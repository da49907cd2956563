//! A man page: what a program's flags say, and the prose around it.

use crate::keys::Section;
use crate::prose::{preamble, to_roff, without_preamble};
use crate::{keys, prose};
use anyhow::{Context, Result, bail};
use clap::Command;
use clap_mangen::Man;
use roff::{bold, roman};

/// What stands in the head and the foot of a page.
#[derive(Debug, Clone)]
pub struct Edition {
    /// Of this version of the suite.
    pub version: String,
    /// Made on this day, as YYYY-MM-DD.
    pub date: String,
}

impl Edition {
    fn title(&self, name: &str, section: u8) -> String {
        let (name, section) = (name.to_uppercase(), section.to_string());
        let source = format!("dante4l {}", self.version);
        let words = [&name, &section, &self.date, &source, "Dante time"];
        preamble() + &prose::lines(|roff| _ = roff.control("TH", words))
    }
}

/// A program's page: NAME and SYNOPSIS of its own, then `prose`, in which `<!-- options -->` has to stand.
///
/// # Errors
/// Where the prose cannot be shown, or asks for something else.
pub fn of_program(command: &Command, section: u8, prose: &str, edition: &Edition) -> Result<String> {
    let mut command = command.clone().disable_help_subcommand(true);
    command.build();
    let mut page = edition.title(command.get_name(), section);
    page += &rendered(|out| Man::new(command.clone()).render_name_section(out))?;
    page += ".SH SYNOPSIS\n";
    let usages: Vec<String> = leaves(&command).into_iter().map(usage).collect();
    page += &usages.join(".br\n");
    page += &to_roff(prose, |words| match words {
        "options" => options(&command),
        other => bail!("a program's page has <!-- options -->, not {other:?}"),
    })
    .with_context(|| format!("the page of {}", command.get_name()))?;
    Ok(page)
}

/// The page of the configuration file, all of it `prose`, in which `<!-- keys PROGRAM -->` stands for the keys that only
/// PROGRAM has, and `<!-- keys -->` for those that all have.
///
/// # Errors
/// Where the prose cannot be shown, or asks for something else.
pub fn of_configuration(name: &str, sections: &[Section], prose: &str, edition: &Edition) -> Result<String> {
    let body = to_roff(prose, |words| match words.split_once(' ') {
        None if words == "keys" => Ok(keys::common(sections)),
        Some(("keys", program)) => {
            let named = sections.iter().find(|section| section.name == program);
            Ok(keys::own(named.with_context(|| format!("no section {program}"))?, sections))
        }
        _ => bail!("the configuration's page has <!-- keys -->, not {words:?}"),
    })?;
    Ok(edition.title(name, 5) + &body)
}

/// clap's own line of usage: clap_mangen's names every option, but not its value.
fn usage(leaf: &Command) -> String {
    let name = leaf.get_bin_name().unwrap_or_else(|| leaf.get_name());
    let usage = leaf.clone().render_usage().to_string();
    let words = usage.trim_start_matches("Usage: ").trim_start_matches(name);
    prose::lines(|roff| _ = roff.text([bold(name), roman(words)]))
}

/// The options of the program, and of each of its commands below a heading of its own.
fn options(command: &Command) -> Result<String> {
    let section = |command: &Command| {
        below(".SH OPTIONS\n", |out| Man::new(command.clone()).render_options_section(out))
    };
    let mut all = section(command)?;
    for leaf in leaves(command).into_iter().filter(|leaf| leaf.get_name() != command.get_name()) {
        let name = leaf.get_bin_name().unwrap_or_else(|| leaf.get_name());
        let about = leaf.get_about().map(ToString::to_string).unwrap_or_default();
        all += &prose::lines(|roff| {
            roff.control("SS", [name]);
            roff.text([roman(about + ".")]);
        });
        all += &section(leaf)?;
    }
    Ok(all)
}

/// The commands that do something: the program itself, or the last words of its command line.
fn leaves(command: &Command) -> Vec<&Command> {
    if command.has_subcommands() {
        command.get_subcommands().flat_map(leaves).collect()
    } else {
        vec![command]
    }
}

fn rendered(render: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> Result<String> {
    let mut out = Vec::new();
    render(&mut out)?;
    // Where a help has two paragraphs clap_mangen breaks the line twice, at which mandoc(1) wonders.
    let text = String::from_utf8(out)?.replace(".br\n\n.br\n", ".sp\n");
    Ok(without_preamble(&text).to_owned())
}

/// What stands below a heading, of which clap_mangen knows no other.
fn below(heading: &str, render: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> Result<String> {
    let text = rendered(render)?;
    Ok(text.strip_prefix(heading).with_context(|| format!("no {heading:?} in {text:?}"))?.to_owned())
}
