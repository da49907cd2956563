//! The sections and keys of the example configuration file. Programs that do not know each other share the file, and each
//! reports to which section a misplaced key belongs.

use super::words::section_in;

/// Sections of the example file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Example<'a>(Vec<Section<'a>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Section<'a> {
    name: &'a str,
    keys: Vec<&'a str>,
}

impl<'a> Example<'a> {
    /// Parses the example. A commented-out key has no blank after its `#`, unlike prose.
    pub fn of(text: &'a str) -> Self {
        let mut sections: Vec<Section<'a>> = Vec::new();
        for line in text.lines() {
            let shown = line.strip_prefix('#').unwrap_or(line);
            if let Some(name) = section_in(line) {
                sections.push(Section { name, keys: Vec::new() });
            } else if let (Some((key, _)), Some(section)) = (shown.split_once(" = "), sections.last_mut())
                && !key.contains(char::is_whitespace)
            {
                section.keys.push(key);
            }
        }
        Self(sections)
    }

    /// The names of all sections, in the order of the file.
    pub fn sections(&self) -> Vec<&'a str> {
        self.0.iter().map(|section| section.name).collect()
    }

    /// The only section with this key; `None`: no section has it, or several have.
    pub fn section_of(&self, key: &str) -> Option<&'a str> {
        let mut having = self.0.iter().filter(|section| section.keys.contains(&key));
        match (having.next(), having.next()) {
            (Some(only), None) => Some(only.name),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sections_and_keys_commented_out_or_not() {
        let example = Example::of(
            "# A file = an example\n[one]\nname = \"x\"  # its name = x\n#level = 6\n# unlike = prose\n\n[two]\n#level = 6\n#rate = 1\n",
        );
        assert_eq!(example.sections(), ["one", "two"]);
        assert_eq!((example.section_of("name"), example.section_of("rate")), (Some("one"), Some("two")));
        assert_eq!((example.section_of("level"), example.section_of("unlike")), (None, None));
    }
}
