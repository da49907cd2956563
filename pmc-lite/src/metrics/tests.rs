use super::{Format, of};
use crate::pages::Pages;
use crate::scenes;
use dante_core::page::{PORT_HAS_DELAY, SocketPath};
use dante_core::relay::OutputKind;
use std::collections::BTreeSet;

#[test]
fn the_metrics_of_every_scene() {
    for (name, pages) in scenes::all() {
        insta::assert_snapshot!(name, of(&pages, Format::Openmetrics));
    }
}

#[test]
fn the_older_text() {
    insta::assert_snapshot!("older_text", of(&scenes::locked(), Format::Prometheus));
}

/// What is shown at its richest: a path delay is measured, and there is a usrvclock.
fn richest() -> Pages {
    let mut pages = Pages { danteshm: scenes::chrony().danteshm, ..scenes::locked() };
    if let (Ok(dante4l), Ok(danteshm)) = (&mut pages.dante4l, &mut pages.danteshm) {
        dante4l.body.ports[0].flags |= PORT_HAS_DELAY;
        dante4l.body.ports[0].path_delay_ns = 2310;
        danteshm.body.outputs[1].kind = OutputKind::Usrvclock as u8;
        danteshm.body.outputs[1].path = SocketPath::new(r#"/tmp/a "quoted"\ path"#);
    }
    pages
}

#[test]
fn the_metrics_at_their_richest() {
    insta::assert_snapshot!("richest", of(&richest(), Format::Openmetrics));
}

fn all_names() -> BTreeSet<String> {
    let all = scenes::all().into_iter().map(|(_, pages)| pages).chain([richest()]);
    let texts = all.map(|pages| of(&pages, Format::Openmetrics));
    let name = |line: &str| line.split(['{', ' ']).next().unwrap_or_default().to_owned();
    texts
        .flat_map(|text| text.lines().filter(|line| !line.starts_with('#')).map(name).collect::<Vec<_>>())
        .collect()
}

/// By convention: base units, the unit last, `_total` behind it; each with a help, a type and its unit.
#[test]
fn every_metric_is_announced_and_named_by_the_conventions() {
    for (scene, pages) in scenes::all() {
        let text = of(&pages, Format::Openmetrics);
        assert!(text.ends_with("\n# EOF\n"), "{scene}");
        assert!(!text.contains("NaN"), "{scene}: what is not known is left out");
        let mut known = BTreeSet::new();
        for line in text.lines().filter(|line| *line != "# EOF") {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words[..] {
                ["#", "HELP", name, help] => {
                    assert!(help.len() > 15 && known.insert(name), "{line}");
                }
                ["#", "TYPE", name, kind] => {
                    assert!(known.contains(name) && ["gauge", "counter"].contains(&kind), "{line}");
                }
                ["#", "UNIT", name, unit] => {
                    assert!(["seconds", "ratio"].contains(&unit) && name.ends_with(unit), "{line}");
                }
                _ => {
                    let name = line.split(['{', ' ']).next().expect("a name");
                    assert!(name.starts_with("dante_"), "{line}");
                    let family = name.strip_suffix("_total").unwrap_or(name);
                    assert!(known.contains(family), "{line}");
                    for unit in ["_ns", "_us", "_ms", "_ppm", "_ppb", "_s"] {
                        assert!(!family.ends_with(unit), "{line}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_dead_tell_nothing() {
    let text = of(&scenes::stale(), Format::Openmetrics);
    for name in ["dante4l", "dante2sys", "danteshm"] {
        assert!(text.contains(&format!("dante_up{{program=\"{name}\"}} 0.0")), "{text}");
    }
    let names: BTreeSet<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    assert_eq!(names, ["dante_findings", "dante_page_info", "dante_up", "dante_verdict"].into());
}

/// Prometheus' older text knows no unit, no end, and a counter by its whole name.
#[test]
fn the_older_text_is_of_its_kind() {
    let (new, old) = (of(&scenes::locked(), Format::Openmetrics), of(&scenes::locked(), Format::Prometheus));
    let samples = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    assert_eq!(samples(&new), samples(&old));
    let comments: Vec<&str> = old.lines().filter(|line| line.starts_with('#')).collect();
    assert!(comments.iter().all(|line| line.starts_with("# HELP ") || line.starts_with("# TYPE ")), "{old}");
    assert!(comments.contains(&"# TYPE dante_port_events_total counter"), "{old}");
    assert!(comments.contains(&"# TYPE dante_up gauge"), "{old}");
}

/// Each metric that the dashboard asks for is there, in one scene at least; and it shows most of what there is.
#[test]
fn the_dashboard_asks_for_what_there_is() {
    let dashboard = include_str!("../../../files/grafana/dante4l.json");
    let dashboard: serde_json::Value = serde_json::from_str(dashboard).expect("JSON");
    let mut asked = BTreeSet::new();
    collect(&dashboard, &mut asked);
    let names = all_names();
    let missing: Vec<&String> = asked.difference(&names).collect();
    assert!(missing.is_empty(), "the dashboard asks for {missing:?}");
    assert!(asked.len() > 20, "{asked:?}");
}

/// The metrics in all `expr` and `query`.
fn collect(value: &serde_json::Value, into: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                match value.as_str() {
                    Some(text) if ["expr", "query", "definition"].contains(&key.as_str()) => {
                        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                        into.extend(words.filter(|word| word.starts_with("dante_")).map(str::to_owned));
                    }
                    _ => collect(value, into),
                }
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| collect(value, into)),
        _ => {}
    }
}
