use super::told;
use crate::args::{Form, What};
use crate::scenes;
use anstream::adapter::strip_str;

type Part = fn(Form) -> What;

#[test]
fn every_part_in_every_scene() {
    let parts: [(&str, Part); 3] =
        [("leader", What::Leader), ("port", What::Port), ("counters", What::Counters)];
    for (name, pages) in scenes::all() {
        let mut said = String::new();
        for (part, of) in parts {
            for json in [false, true] {
                let told = told(&of(Form { json }), &pages);
                said += &format!("# {part}\n{}\n", strip_str(&told).to_string().trim_end());
            }
        }
        insta::assert_snapshot!(name, said);
    }
}

#[test]
fn the_samples() {
    let [text, json] = [false, true].map(|json| told(&What::Samples(Form { json }), &scenes::locked()));
    insta::assert_snapshot!("samples", strip_str(&text).to_string());
    let samples: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let samples = samples.as_array().expect("an array");
    assert_eq!(
        (samples.len(), &samples[0]["number"], &samples[63]["number"]),
        (64, &257.into(), &320.into())
    );
    assert_eq!(told(&What::Samples(Form { json: true }), &scenes::no_daemon()), "[]");
}
