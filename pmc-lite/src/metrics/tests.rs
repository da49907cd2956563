use super::{Format, of};
use crate::pages::Pages;
use crate::scenes;
use dante_core::page::{PORT_HAS_DELAY, SocketPath};
use dante_core::relay::OutputKind;
use std::collections::BTreeSet;

#[test]
fn openmetrics_of_every_scene() {
    for (name, text) in scenes::distinct(|pages| Some(of(pages, Format::Openmetrics))) {
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn prometheus_text_of_a_locked_host() {
    insta::assert_snapshot!("older_text", of(&scenes::locked(), Format::Prometheus));
}

/// Pages with optional values: a measured path delay, and a usrvclock output.
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
fn openmetrics_with_all_optional_values() {
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

/// Conventions of OpenMetrics: base units, the name ends with the unit and `_total`; each family has HELP and TYPE, and UNIT if its
/// name ends with a unit.
#[test]
fn names_and_declarations_follow_the_conventions() {
    for (scene, pages) in scenes::all() {
        let text = of(&pages, Format::Openmetrics);
        assert!(text.ends_with("\n# EOF\n"), "{scene}");
        assert!(!text.contains("NaN"), "{scene}: an unknown value has no sample");
        let (mut known, mut typed, mut units) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for line in text.lines().filter(|line| *line != "# EOF") {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words[..] {
                ["#", "HELP", name, help] => {
                    assert!(help.len() > 15 && known.insert(name), "{line}");
                }
                ["#", "TYPE", name, kind] => {
                    let is_known = known.contains(name) && ["gauge", "counter"].contains(&kind);
                    assert!(is_known && typed.insert(name), "{line}");
                }
                ["#", "UNIT", name, unit] => {
                    let is_last = name.strip_suffix(unit).is_some_and(|name| name.ends_with('_'));
                    assert!(["seconds", "ratio"].contains(&unit) && is_last && units.insert(name), "{line}");
                }
                _ => {
                    let name = line.split(['{', ' ']).next().expect("a name");
                    assert!(name.starts_with("dante_"), "{line}");
                    let family = name.strip_suffix("_total").unwrap_or(name);
                    assert!(known.contains(family) && typed.contains(family), "{line}");
                    let has_unit = ["_seconds", "_ratio"].iter().any(|unit| family.ends_with(unit));
                    assert_eq!(units.contains(family), has_unit, "{line}");
                    for unit in ["_ns", "_us", "_ms", "_ppm", "_ppb", "_s"] {
                        assert!(!family.ends_with(unit), "{line}");
                    }
                }
            }
        }
    }
}

#[test]
fn no_values_of_dead_programs() {
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

/// Prometheus' text format 0.0.4 has no UNIT and no EOF, and declares a counter by its full name.
#[test]
fn prometheus_text_has_the_same_samples_and_its_own_declarations() {
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

/// Each metric of the dashboard exists in at least one scene, and the dashboard shows most metrics.
#[test]
fn dashboard_queries_existing_metrics() {
    let dashboard = include_str!("../../../files/grafana/dante4l.json");
    let dashboard: serde_json::Value = serde_json::from_str(dashboard).expect("JSON");
    let mut queried = BTreeSet::new();
    collect(&dashboard, &mut queried);
    let names = all_names();
    let missing: Vec<&String> = queried.difference(&names).collect();
    assert!(missing.is_empty(), "the dashboard queries {missing:?}");
    assert!(queried.len() * 2 > names.len(), "{} of {} metrics: {queried:?}", queried.len(), names.len());
}

/// Collects the names of the metrics in all queries.
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
