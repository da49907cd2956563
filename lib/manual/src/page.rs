//! Man pages: the descriptions of a program's flags, and the prose around them.

use crate::keys::Section;
use crate::prose::{preamble, to_roff, without_preamble};
use crate::{keys, prose};
use anyhow::{Context, Result, bail};
use clap::Command;
use clap_mangen::Man;
use roff::{bold, roman};

/// Version and date in the header and footer of a page.
#[derive(Debug, Clone)]
pub struct Edition {
    /// Version of the suite.
    pub version: String,
    /// Date of the build, as YYYY-MM-DD.
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

/// Returns the page of a program: NAME and SYNOPSIS, then `prose`, in which `<!-- options -->` is replaced by the options.
///
/// # Errors
/// Prose that has no form in a man page, and other `<!-- -->` in it.
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
        other => bail!("a program's page may have <!-- options -->, not {other:?}"),
    })
    .with_context(|| format!("the page of {}", command.get_name()))?;
    Ok(page)
}

/// Returns the page of the configuration file: `prose`, in which `<!-- keys -->` is replaced by the keys that all sections have, and
/// `<!-- keys PROGRAM -->` by the other keys of PROGRAM.
///
/// # Errors
/// Prose that has no form in a man page, and other `<!-- -->` in it.
pub fn of_configuration(name: &str, sections: &[Section], prose: &str, edition: &Edition) -> Result<String> {
    let body = to_roff(prose, |words| match words.split_once(' ') {
        None if words == "keys" => Ok(keys::common(sections)),
        Some(("keys", program)) => {
            let named = sections.iter().find(|section| section.name == program);
            Ok(keys::own(named.with_context(|| format!("no section {program}"))?, sections))
        }
        _ => {
            bail!("the configuration's page may have <!-- keys --> and <!-- keys PROGRAM -->, not {words:?}")
        }
    })?;
    Ok(edition.title(name, 5) + &body)
}

/// Returns the usage line of clap; that of clap_mangen lists all options without their values.
fn usage(leaf: &Command) -> String {
    let name = leaf.get_bin_name().unwrap_or_else(|| leaf.get_name());
    let usage = leaf.clone().render_usage().to_string();
    let words = usage.trim_start_matches("Usage: ").trim_start_matches(name);
    prose::lines(|roff| _ = roff.text([bold(name), roman(words)]))
}

/// Returns the options of the program, and under a heading each those of its commands.
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

/// Returns the commands without subcommands: the program itself if it has no commands.
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
    // clap_mangen writes two line breaks between two paragraphs of a help text: mandoc(1) warns about them.
    let text = String::from_utf8(out)?.replace(".br\n\n.br\n", ".sp\n");
    Ok(without_preamble(&text).to_owned())
}

/// Returns the rendered text without its heading: clap_mangen always writes its own.
fn below(heading: &str, render: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> Result<String> {
    let text = rendered(render)?;
    Ok(text.strip_prefix(heading).with_context(|| format!("no {heading:?} in {text:?}"))?.to_owned())
}
