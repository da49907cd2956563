//! Converts Markdown to the macros of man(7): headings, paragraphs, definition lists, bullets and code. Other Markdown, for example a
//! table or an image, is an error.

use anyhow::{Result, bail};
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use roff::{Inline, Roff, bold, italic, line_break, roman};

/// Returns `markdown` as macros. A paragraph `<!-- WORDS -->` is replaced by the result of `insert` for WORDS.
///
/// # Errors
/// Markdown that has no form in a man page, and the errors of `insert`.
pub fn to_roff(markdown: &str, mut insert: impl FnMut(&str) -> Result<String>) -> Result<String> {
    let mut writer = Writer::default();
    for event in Parser::new_ext(markdown, Options::ENABLE_DEFINITION_LIST) {
        match event {
            Event::Html(html) => {
                let Some(words) = html.trim().strip_prefix("<!--").and_then(|rest| rest.strip_suffix("-->"))
                else {
                    bail!("HTML has no form in a man page: {html}");
                };
                writer.out.push_str(&insert(words.trim())?);
                writer.is_fresh = false;
            }
            event => writer.write(&event)?,
        }
    }
    Ok(writer.out)
}

/// Returns lines of macros or text, without the preamble of the roff crate, which defines how apostrophes are written.
pub(crate) fn lines(fill: impl FnOnce(&mut Roff)) -> String {
    let mut roff = Roff::new();
    fill(&mut roff);
    without_preamble(&roff.render()).to_owned()
}

/// Removes the preamble, which a page has only once.
pub(crate) fn without_preamble(text: &str) -> &str {
    text.strip_prefix(&preamble()).unwrap_or(text)
}

/// Returns the preamble that the roff crate puts before every document: a string for the apostrophe.
pub(crate) fn preamble() -> String {
    Roff::new().render()
}

#[derive(Default)]
struct Writer {
    out: String,
    line: Vec<Inline>,
    font: Font,
    place: Place,
    /// A heading, a term or a bullet was written last: the next paragraph starts without a macro.
    is_fresh: bool,
}

#[derive(Default, Clone, Copy)]
enum Font {
    #[default]
    Roman,
    Bold,
    Italic,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Place {
    #[default]
    Top,
    /// In the indented text of a term or a bullet.
    Inside,
    Code,
}

impl Writer {
    fn write(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Start(tag) => self.start(tag)?,
            Event::End(tag) => self.end(*tag)?,
            Event::Text(text) if self.place == Place::Code => {
                for line in text.lines() {
                    self.out.push_str(&lines(|roff| _ = roff.text([roman(line)])));
                }
            }
            Event::Text(text) => self.line.push(match self.font {
                Font::Roman => roman(text.as_ref()),
                Font::Bold => bold(text.as_ref()),
                Font::Italic => italic(text.as_ref()),
            }),
            Event::Code(text) => self.line.push(bold(text.as_ref())),
            Event::SoftBreak => self.line.push(roman(" ")),
            Event::HardBreak => self.line.push(line_break()),
            other => bail!("no form in a man page: {other:?}"),
        }
        Ok(())
    }

    fn start(&mut self, tag: &Tag<'_>) -> Result<()> {
        match tag {
            Tag::Paragraph => self.paragraph(),
            Tag::Heading { .. } | Tag::DefinitionList | Tag::List(None) | Tag::HtmlBlock => {}
            Tag::DefinitionListTitle => {
                self.flush();
                self.control("TP", &[]);
                self.place = Place::Inside;
            }
            // A second definition of the same term starts as a paragraph.
            Tag::DefinitionListDefinition => {
                self.paragraph();
                self.is_fresh = true;
            }
            Tag::Item if self.place == Place::Top => {
                self.control("IP", &["\\(bu", "2"]);
                (self.place, self.is_fresh) = (Place::Inside, true);
            }
            Tag::CodeBlock(_) if self.place == Place::Top => {
                self.paragraph();
                self.is_fresh = false;
                self.control("in", &["+4n"]);
                self.control("EX", &[]);
                self.place = Place::Code;
            }
            Tag::Emphasis => self.font = Font::Italic,
            Tag::Strong => self.font = Font::Bold,
            other => bail!("no form in a man page here: {other:?}"),
        }
        Ok(())
    }

    fn end(&mut self, tag: TagEnd) -> Result<()> {
        match tag {
            TagEnd::Heading(level) => {
                let name = if level == HeadingLevel::H1 { "SH" } else { "SS" };
                let title: String = self.line.drain(..).map(plain).collect();
                self.control(name, &[&title]);
                self.is_fresh = true;
            }
            TagEnd::DefinitionListTitle => {
                self.flush();
                self.is_fresh = true;
            }
            TagEnd::Paragraph | TagEnd::DefinitionListDefinition => self.flush(),
            TagEnd::Item => {
                self.flush();
                self.place = Place::Top;
            }
            TagEnd::DefinitionList => self.place = Place::Top,
            TagEnd::CodeBlock => {
                self.control("EE", &[]);
                self.control("in", &[]);
                self.place = Place::Top;
            }
            TagEnd::Emphasis | TagEnd::Strong => self.font = Font::Roman,
            _ => {}
        }
        Ok(())
    }

    /// Starts a paragraph, unless one was just started.
    fn paragraph(&mut self) {
        self.flush();
        if !std::mem::take(&mut self.is_fresh) {
            self.control(if self.place == Place::Inside { "IP" } else { "PP" }, &[]);
        }
    }

    fn flush(&mut self) {
        if !self.line.is_empty() {
            let text = std::mem::take(&mut self.line);
            self.out.push_str(&lines(|roff| _ = roff.text(text)));
            self.is_fresh = false;
        }
    }

    fn control(&mut self, name: &str, words: &[&str]) {
        self.out.push_str(&lines(|roff| _ = roff.control(name, words.iter().copied())));
    }
}

fn plain(inline: Inline) -> String {
    match inline {
        Inline::Roman(text) | Inline::Italic(text) | Inline::Bold(text) => text,
        Inline::LineBreak => String::new(),
    }
}

#[cfg(test)]
mod tests;
