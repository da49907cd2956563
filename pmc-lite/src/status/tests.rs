use super::Status;
use crate::scenes;

#[test]
fn the_json_of_every_scene() {
    for (name, pages) in scenes::all() {
        let json = serde_json::to_string_pretty(&Status::of(&pages)).expect("JSON");
        insta::assert_snapshot!(name, json);
    }
}
