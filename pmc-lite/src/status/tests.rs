//! The JSON of every scene, and docs/status.schema.json, which is generated from the types and their comments.

use super::Status;
use crate::finding::Kind;
use crate::scenes;
use dante_core::port::Counter;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

pub fn counters(_: &mut SchemaGenerator) -> Schema {
    let names = Counter::ALL.map(Counter::name);
    let each: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), json!({"type": "integer", "minimum": 0}))).collect();
    json_schema!({"type": "object", "properties": each, "required": names})
}

fn generated() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    settings.into_generator().into_root_schema_for::<Status>().to_value()
}

/// UPDATE_SCHEMA=1 writes the file.
#[test]
fn schema_file_matches_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/status.schema.json");
    let text = serde_json::to_string_pretty(&generated()).expect("JSON") + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &text).expect("the schema");
    }
    let written = std::fs::read_to_string(&path).expect("the schema");
    assert!(written == text, "run `UPDATE_SCHEMA=1 cargo test -p pmc-lite`, and check git diff");
}

#[test]
fn every_key_is_described_in_schema_and_document() {
    let document = include_str!("../../../docs/status.md");
    let mut keys = BTreeSet::new();
    collect(&generated(), &mut keys);
    assert!(keys.len() > 60, "{keys:?}");
    for (key, described) in keys {
        assert!(document.contains(&format!("`{key}`")), "docs/status.md does not describe {key}");
        let is_counter = Counter::ALL.iter().any(|counter| counter.name() == key);
        assert!(described || is_counter, "{key} has no description");
    }
}

#[test]
fn every_kind_of_finding_is_in_the_document() {
    let document = include_str!("../../../docs/status.md");
    for kind in Kind::ALL {
        assert!(document.contains(&format!("\n| `{kind}` | ")), "docs/status.md does not list {kind}");
    }
}

/// Collects all keys of all objects, and whether each has a description.
fn collect(value: &Value, into: &mut BTreeSet<(String, bool)>) {
    let Value::Object(map) = value else { return };
    if let Some(Value::Object(properties)) = map.get("properties") {
        into.extend(properties.iter().map(|(key, value)| (key.clone(), value.get("description").is_some())));
    }
    map.values().for_each(|value| collect(value, into));
}

#[test]
fn prints_the_json_of_every_scene() {
    for (name, pages) in scenes::all() {
        let json = serde_json::to_string_pretty(&Status::of(&pages)).expect("JSON");
        insta::assert_snapshot!(name, json);
    }
}
