//! docs/threats.md names a test for each defence, and these tests exist.

use dante_tests::package::sources;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Folders with tests that docs/threats.md may name.
const FOLDERS: [&str; 6] = ["lib", "dante4l", "dante2sys", "danteshm", "pmc-lite", "tests/tests"];
/// Named like a test.
const FUZZING: &str = "make fuzz";

/// Adds the names of all functions with the attribute `#[test]`, also inside macros such as `proptest!`.
fn tests_in(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            tests_in(&path, names);
        } else if path.extension().is_some_and(|end| end == "rs") {
            names.extend(test_names(&fs::read_to_string(&path).expect("a source")));
        }
    }
}

fn test_names(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        let name = line.strip_prefix("fn ").and_then(|rest| rest.split(['(', '<']).next());
        names.extend(name.filter(|_| is_test).map(str::to_owned));
        is_test = line == "#[test]" || (is_test && (line.starts_with("#[") || line.starts_with("//")));
    }
    names
}

/// The rows of the tables whose last column is `test`, each as the cells before it and that cell.
fn rows(text: &str) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let mut is_table_of_tests = false;
    for line in text.lines() {
        if !line.starts_with('|') {
            is_table_of_tests = false;
        } else if line.ends_with("| test |") {
            is_table_of_tests = true;
        } else if is_table_of_tests && !line.starts_with("|---") {
            let row = line.trim_end().trim_end_matches('|');
            let (before, last) = row.rsplit_once('|').expect("a row with cells");
            rows.push((before.to_owned(), last.trim().to_owned()));
        }
    }
    rows
}

/// Whether a word in backquotes is the name of a function: two parts at least, in snake case.
fn is_function_name(word: &str) -> bool {
    word.contains('_') && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[test]
fn every_defence_names_a_test_that_exists() {
    let root = sources();
    let mut names = BTreeSet::new();
    FOLDERS.iter().for_each(|folder| tests_in(&root.join(folder), &mut names));
    let text = fs::read_to_string(root.join("docs/threats.md")).expect("docs/threats.md");
    let rows = rows(&text);
    assert!(rows.len() >= 40, "only {} rows", rows.len());
    for (attack, tests) in rows {
        if tests.is_empty() && attack.contains("**nothing") {
            continue;
        }
        for test in tests.split(", ") {
            let name = test.strip_prefix('`').and_then(|name| name.strip_suffix('`'));
            let name = name.unwrap_or_else(|| panic!("{test:?} is no name of a test: {attack}"));
            assert!(name == FUZZING || names.contains(name), "no test {name}: {attack}");
        }
    }
    let words = text.split('`').skip(1).step_by(2);
    for name in words.filter(|word| is_function_name(word)) {
        assert!(names.contains(name), "docs/threats.md names {name}, and there is no such test");
    }
}

#[test]
fn only_functions_with_the_test_attribute_count_as_tests() {
    let source =
        "proptest! {\n    #[test]\n    fn real_one(x in 0..9) {}\n    fn helper() {}\n}\nfn other() {}\n";
    assert_eq!(test_names(source), ["real_one"]);
    let table = "| attack | test |\n|---|---|\n| a | `x_y` |\n| b | |\n\n| c | d |\n|---|---|\n| e | f |\n";
    let cells = [("| a ".to_owned(), "`x_y`".to_owned()), ("| b ".to_owned(), String::new())];
    assert_eq!(rows(table), cells);
}
