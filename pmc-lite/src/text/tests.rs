use super::screen;
use crate::scenes;
use crate::status::Status;
use anstream::adapter::strip_str;

#[test]
fn prints_the_screen_of_every_scene() {
    for (name, pages) in scenes::all() {
        let coloured = screen(&Status::of(&pages));
        insta::assert_snapshot!(name, strip_str(&coloured).to_string());
    }
}

#[test]
fn colour_matches_the_level() {
    let seen = |pages| screen(&Status::of(&pages));
    let (green, red) = ("\u{1b}[32m", "\u{1b}[31m");
    assert!(seen(scenes::locked()).contains(green) && !seen(scenes::locked()).contains(red));
    assert!(seen(scenes::foreign_page()).contains(red));
}
