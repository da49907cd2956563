use super::app::{App, Next, View};
use super::view;
use crate::pages::Pages;
use crate::scenes;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use dante_core::page::{PortRecord, SampleRecord};
use dante_core::port::State;
use dante_core::time::{Duration, Timestamp};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

/// The smallest size at which every view is usable, and a large one.
const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (200, 50);

/// The screen, as text.
fn screen(app: &App, (width, height): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| view::draw(frame, app)).expect("drawn");
    let text = terminal.backend().to_string();
    // The backend puts each line between quotation marks.
    text.lines().map(|line| line.trim_matches('"').trim_end()).collect::<Vec<_>>().join("\n")
}

/// All views of these pages, with the cells one after the other.
pub fn screens(pages: &Pages) -> Vec<String> {
    let mut app = App::new(None);
    app.update(pages);
    app.update(pages);
    let views = View::ALL.into_iter().flat_map(|view| [(view, SMALL), (view, LARGE), (view, (61, 17))]);
    let cells = views.map(|(view, (width, height))| {
        app.view = view;
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        terminal.draw(|frame| view::draw(frame, &app)).expect("drawn");
        terminal.backend().buffer().content().iter().map(|cell| cell.symbol().to_owned()).collect()
    });
    cells.collect()
}

/// An app that has shown a scene for two minutes, in which the rate settles.
fn after_two_minutes(mut pages: Pages) -> App {
    let mut app = App::new(None);
    let last = pages.now;
    let is_measured = pages.clock.as_ref().is_ok_and(|view| view.body.samples > 0);
    let measured = pages.dante4l.as_ref().ok().filter(|_| is_measured);
    let Some(PortRecord { state, last: end, .. }) = measured.map(|view| view.body.ports[0]) else {
        app.update(&pages);
        return app;
    };
    for number in 1..=480u64 {
        let ago = Duration::from_ms((480 - number.cast_signed()) * 250);
        let noise = (number.cast_signed() * 7919) % 613 - 306;
        let newest = SampleRecord {
            number,
            arrived_raw_ns: end.arrived_raw_ns - ago.ns(),
            residual_ns: noise,
            accepted: u32::from(number % 97 != 0),
            ..end
        };
        let clock = &mut pages.clock.as_mut().expect("a page").body;
        clock.samples = number - 1;
        clock.push(newest);
        let port = &mut pages.dante4l.as_mut().expect("a page").body.ports[0];
        port.map.raw0_ns = newest.arrived_raw_ns;
        port.map.rate = 12.0469e-6
            + (noise as f64 * 2e-11 + (number as f64 / 70.0).sin() * 4e-9) * (1.0 + 20.0 / number as f64);
        port.state = if number > 8 { state } else { State::Uncalibrated as u8 };
        port.map.rate_sigma = 8.7e-9 + 300e-9 / number as f64;
        if let Ok(steered) = &mut pages.dante2sys {
            steered.body.phase_error_ns = 37 + noise / 9;
        }
        pages.now = last - ago;
        app.update(&pages);
    }
    app
}

fn press(app: &mut App, code: KeyCode) -> Next {
    app.press(KeyEvent::new(code, KeyModifiers::NONE))
}

#[test]
fn draws_every_view_of_every_scene() {
    for (name, pages) in scenes::all() {
        let mut app = after_two_minutes(pages);
        let large = screen(&app, LARGE);
        insta::assert_snapshot!(format!("{name}_200x50"), large);
        let views = View::ALL.map(|view| {
            app.view = view;
            screen(&app, SMALL)
        });
        insta::assert_snapshot!(format!("{name}_80x24"), views.join("\n\n"));
    }
}

#[test]
fn draws_every_view_in_a_large_terminal() {
    let mut app = after_two_minutes(scenes::two_leaders());
    // The charts of this scene in this size are a snapshot of the test above.
    for view in View::ALL.into_iter().filter(|view| *view != View::Charts) {
        app.view = view;
        insta::assert_snapshot!(format!("{}_200x50", view.name()), screen(&app, LARGE));
    }
}

#[test]
fn draws_the_first_screen_and_the_help() {
    let mut app = App::new(None);
    app.update(&scenes::locked());
    insta::assert_snapshot!("the_ring_alone", screen(&app, SMALL));
    press(&mut app, KeyCode::Char('?'));
    insta::assert_snapshot!("help", screen(&app, SMALL));
    assert_eq!(press(&mut app, KeyCode::Esc), Next::Continue);
    assert!(!app.help);
}

/// Titles of the panels of a view, in a terminal of at least 100x30.
fn titles(app: &App, (width, height): (u16, u16)) -> Vec<&'static str> {
    let charts: &[_] = if app.points.is_empty() { &[" charts "] } else { &[" residual (", " rate (ppm) "] };
    match app.view {
        View::Charts if width < 120 || height < 37 => charts.into(),
        // Beside the charts, the summary of the histogram may cover the end of its title.
        View::Charts => [charts, &[" samples by ", " findings "]].concat(),
        View::Histogram => vec![" samples by ppm "],
        View::Counters => vec![" counters"],
        View::Findings => vec![" findings "],
    }
}

/// Drawing does not panic at any size, and shows the titles of all panels from 100x30 on.
#[test]
fn draws_at_any_size() {
    for (name, pages) in scenes::all() {
        let mut app = after_two_minutes(pages);
        for view in View::ALL {
            app.view = view;
            for help in [false, true] {
                app.help = help;
                for size in [
                    (1, 1),
                    (20, 5),
                    (59, 40),
                    (60, 16),
                    (61, 17),
                    (100, 30),
                    (120, 36),
                    (133, 60),
                    (300, 20),
                ] {
                    let text = screen(&app, size);
                    // The help covers a part of the panels.
                    let shown = if help { vec![" help "] } else { titles(&app, size) };
                    let is_large = size.0 >= 100 && size.1 >= 30;
                    for title in shown.into_iter().filter(|_| is_large) {
                        // Behind a corner: the line of the keys has the same words.
                        let is_shown = text.contains(&format!("╭{title}"));
                        assert!(is_shown, "{name}, {size:?}: no title {title:?} in\n{text}");
                    }
                }
            }
        }
    }
}

#[test]
fn keys_switch_views_and_quit() {
    let mut app = App::new(None);
    for (key, view) in
        [('2', View::Histogram), ('3', View::Counters), ('4', View::Findings), ('1', View::Charts)]
    {
        assert_eq!(press(&mut app, KeyCode::Char(key)), Next::Continue);
        assert_eq!(app.view, view);
    }
    let seen: Vec<View> = (0..4)
        .map(|_| {
            press(&mut app, KeyCode::Tab);
            app.view
        })
        .collect();
    assert_eq!(seen, [View::Histogram, View::Counters, View::Findings, View::Charts]);
    press(&mut app, KeyCode::BackTab);
    assert_eq!(app.view, View::Findings);
    assert_eq!(press(&mut app, KeyCode::Char('q')), Next::Quit);
    assert_eq!(press(&mut app, KeyCode::Esc), Next::Quit);
    assert_eq!(app.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Next::Quit);
}

#[test]
fn drops_samples_that_are_cleared_or_older_than_an_hour() {
    let mut app = after_two_minutes(scenes::locked());
    assert_eq!(app.points.len(), 480);
    press(&mut app, KeyCode::Char('c'));
    assert_eq!(app.points.len(), 0);
    let mut app = after_two_minutes(scenes::locked());
    let mut later = scenes::locked();
    later.now = Timestamp::from_ns(later.now.ns() + 4000 * 1_000_000_000);
    app.update(&later);
    assert!(app.points.is_empty());
}

/// After a pause longer than the ring lasts.
#[test]
fn shows_the_number_of_missed_samples() {
    let mut app = after_two_minutes(scenes::locked());
    assert!(!screen(&app, SMALL).contains("missed"));
    let mut later = scenes::locked();
    later.clock.as_mut().expect("a page").body.samples = 480 + 64 + 9;
    app.update(&later);
    assert!(screen(&app, SMALL).contains("9 samples missed"), "{}", screen(&app, SMALL));
}
