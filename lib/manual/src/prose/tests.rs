use super::to_roff;
use anyhow::bail;

fn roff(markdown: &str) -> String {
    to_roff(markdown, |words| Ok(format!("<{words}>\n"))).unwrap()
}

#[test]
fn converts_headings_paragraphs_and_fonts() {
    let text = roff("# FILES\nOne, *two*,\n**three** and `-q`.\n\nFour.\n\n## Below\nFive\n");
    let expected =
        ".SH FILES\nOne, \\fItwo\\fR, \\fBthree\\fR and \\fB\\-q\\fR.\n.PP\nFour.\n.SS Below\nFive\n";
    assert_eq!(text, expected);
}

#[test]
fn converts_terms_with_one_or_two_paragraphs() {
    let text = roff("# S\n`A`\n: one\n\n`B`\n: two\n\n  more\n\nafter\n");
    let expected = ".SH S\n.TP\n\\fBA\\fR\none\n.TP\n\\fBB\\fR\ntwo\n.IP\nmore\n.PP\nafter\n";
    assert_eq!(text, expected);
}

#[test]
fn converts_bullets_and_code() {
    let text = roff("# S\n- one\n- two\n\n```\n$ a 'b'\n.c\n```\nafter\n");
    let expected = ".SH S\n.IP \\(bu 2\none\n.IP \\(bu 2\ntwo\n.PP\n.in +4n\n.EX\n$ a \\*(Aqb\\*(Aq\n\\&.c\n.EE\n.in\n.PP\nafter\n";
    assert_eq!(text, expected);
}

#[test]
fn replaces_comment_by_inserted_text() {
    assert_eq!(roff("# OPTIONS\n<!-- options -->\n\nafter\n"), ".SH OPTIONS\n<options>\n.PP\nafter\n");
    assert!(to_roff("<!-- x -->", |_| bail!("unknown")).is_err());
}

#[test]
fn rejects_markdown_without_a_form_in_a_man_page() {
    for markdown in ["<b>x</b>\n\n<div>\n", "![x](y)", "1. x\n", "- x\n  - y\n", "> x\n", "---\n"] {
        assert!(to_roff(markdown, |_| Ok(String::new())).is_err(), "{markdown}");
    }
}
