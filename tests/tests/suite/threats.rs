//! docs/threats.md names a test for each defence: those tests are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The names of all test functions in a folder, and of those in the macros that make tests.
fn tests_in(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            tests_in(&path, names);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).expect("a text");
            let mut is_test = false;
            let is_macro = text.contains("proptest! {");
            for line in text.lines().map(str::trim) {
                let name = line.strip_prefix("fn ").and_then(|rest| rest.split(['(', '<']).next());
                if let Some(name) = name.filter(|_| is_test || is_macro) {
                    names.insert(name.to_owned());
                }
                is_test = line == "#[test]" || (is_test && line.starts_with("#["));
            }
        }
    }
}

#[test]
fn every_defence_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut names = BTreeSet::new();
    for part in ["lib", "dante4l", "dante2sys", "danteshm", "pmc-lite", "tests/tests"] {
        tests_in(&root.join(part), &mut names);
    }
    let text = fs::read_to_string(root.join("docs/threats.md")).expect("docs/threats.md");
    let mut rows = 0;
    for line in text.lines().filter(|line| line.starts_with("| ") && !line.ends_with("shown by |")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        // The tables of attacks have three columns or four; that of trust is another.
        let Some(shown) = cells.last().filter(|last| last.starts_with('`') && last.ends_with('`')) else {
            continue;
        };
        rows += 1;
        for name in shown.split(", ").map(|name| name.trim_matches('`')).filter(|name| *name != "make fuzz") {
            assert!(names.contains(name), "docs/threats.md names {name}, and there is no such test");
        }
    }
    assert!(rows >= 15, "only {rows} rows name a test");
    let prose = text.split('`').skip(1).step_by(2);
    for name in prose.filter(|word| word.matches('_').count() >= 3 && !word.contains(' ')) {
        assert!(names.contains(name), "docs/threats.md names {name}, and there is no such test");
    }
}
