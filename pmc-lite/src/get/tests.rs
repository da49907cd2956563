use super::output;
use crate::args::{Form, What};
use crate::pages::Pages;
use crate::scenes;
use anstream::adapter::strip_str;

type Part = fn(Form) -> What;

#[test]
fn prints_every_part_in_every_scene() {
    let parts: [(&str, Part); 3] =
        [("leader", What::Leader), ("port", What::Port), ("counters", What::Counters)];
    let render = |pages: &Pages| {
        let mut text = String::new();
        for (part, of) in parts {
            for json in [false, true] {
                let part_text = output(&of(Form { json }), pages);
                text += &format!("# {part}\n{}\n", strip_str(&part_text).to_string().trim_end());
            }
        }
        Some(text)
    };
    for (name, text) in scenes::distinct(render) {
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn prints_the_samples_of_the_ring() {
    let [text, json] = [false, true].map(|json| output(&What::Samples(Form { json }), &scenes::locked()));
    insta::assert_snapshot!("samples", strip_str(&text).to_string());
    let samples: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let samples = samples.as_array().expect("an array");
    assert_eq!(
        (samples.len(), &samples[0]["number"], &samples[63]["number"]),
        (64, &257.into(), &320.into())
    );
    assert_eq!(output(&What::Samples(Form { json: true }), &scenes::no_daemon()), "[]");
}
