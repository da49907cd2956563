use super::*;
use crate::scenes;
use serde_json::Value;

/// Both formats of every scene.
#[test]
fn lines_of_every_scene() {
    let lines: Vec<String> = scenes::all()
        .into_iter()
        .map(|(name, pages)| {
            let json = line(&pages, LineFormat::Json);
            assert_eq!(json.lines().count(), 1, "{name}: {json}");
            let value: Value = serde_json::from_str(&json).expect("JSON");
            let text = line(&pages, LineFormat::Text);
            assert_eq!((&value["text"], &value["full_text"]), (&text.as_str().into(), &text.as_str().into()));
            assert!(text.lines().count() == 1 && text.chars().count() <= 24, "{name}: {text}");
            format!("{name}\n{text}\n{json}\n")
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn class_and_state_agree_with_the_verdict() {
    for (name, pages) in scenes::all() {
        let value: Value = serde_json::from_str(&line(&pages, LineFormat::Json)).expect("JSON");
        let expected = match value["class"].as_str() {
            Some("ok") => "Good",
            Some("warning") => "Warning",
            Some("failure") => "Critical",
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(value["state"], expected, "{name}");
        let is_synchronised = value["alt"] == "synchronised";
        assert!(value["class"] != "ok" || is_synchronised, "{name}: {value}");
    }
}

#[test]
fn times_keep_their_width() {
    for (ns, expected) in [
        (0, "+0 ns"),
        (-999, "-999 ns"),
        (1_000, "+1 us"),
        (-412_345, "-412 us"),
        (999_999, "+1000 us"),
        (1_000_000, "+1 ms"),
        (i64::MIN, "-9223372036855 ms"),
    ] {
        assert_eq!(short(ns), expected);
    }
}
