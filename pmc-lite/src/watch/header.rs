//! The upper lines: the verdict, and a line for each program.

use super::app::App;
use super::panel::{QUIET, colour};
use crate::finding::Level;
use crate::status::{Following, Page, Relaying, Status, Steering};
use crate::text::{headline, life_of, quality};
use dante_core::steer::{SteeredClock, UtcSource};
use dante_core::{port, relay, steer};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Stylize;
use ratatui::text::{Line, Span};

/// Lines.
pub const HEIGHT: u16 = 5;
/// Where the text begins.
const LABEL: u16 = 12;

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, status: &Status) {
    let rows = Layout::vertical([Constraint::Length(1); HEIGHT as usize]);
    let [title, leads, observes, steers, relays] = rows.areas(area);
    let (words, level) = headline(status, "; press 4");
    let name = app
        .instance
        .as_ref()
        .map_or(" pmc-lite watch".into(), |name| format!(" pmc-lite watch, instance {name}"));
    frame.render_widget(Line::from(name).bold(), title);
    frame.render_widget(Line::from(format!("{words} ").bold().fg(colour(level))).right_aligned(), title);
    let said = status.dante4l.said.as_ref();
    let leader = said.map_or_else(|| vec!["not known".into()], leader);
    line(frame, leads, "leader", (String::new(), Level::Ok), leader);
    let said = said.map(|said| (said.state.to_string(), port_level(said.state.0), following(said)));
    program(frame, observes, "dante4l", &status.dante4l.life, said);
    let said = status
        .dante2sys
        .said
        .as_ref()
        .map(|said| (said.state.to_string(), steerer_level(said.state.0), steering(said)));
    program(frame, steers, "dante2sys", &status.dante2sys.life, said);
    let said = status
        .danteshm
        .said
        .as_ref()
        .map(|said| (said.state.to_string(), relay_level(said.state.0), relaying(said)));
    program(frame, relays, "danteshm", &status.danteshm.life, said);
}

/// A program that does not run says nothing.
fn program(
    frame: &mut Frame<'_>,
    area: Rect,
    label: &'static str,
    life: &Page,
    said: Option<(String, Level, Vec<String>)>,
) {
    let (state, parts) = match said.filter(|_| life.running) {
        Some((state, level, parts)) => ((state, level), parts),
        None => {
            let (words, level) = life_of(life);
            ((words.into(), level), Vec::new())
        }
    };
    line(frame, area, label, state, parts);
}

fn port_level(state: Option<port::State>) -> Level {
    match state {
        Some(port::State::Slave) => Level::Ok,
        Some(port::State::Faulty) => Level::Failure,
        _ => Level::Warning,
    }
}

fn steerer_level(state: Option<steer::State>) -> Level {
    match state {
        Some(steer::State::Locked) => Level::Ok,
        Some(steer::State::Refused | steer::State::Yielded) => Level::Failure,
        _ => Level::Warning,
    }
}

fn relay_level(state: Option<relay::State>) -> Level {
    if state == Some(relay::State::Feeding) { Level::Ok } else { Level::Warning }
}

/// As many of `parts` as there is room for, none of them cut.
fn line(
    frame: &mut Frame<'_>,
    area: Rect,
    label: &'static str,
    (state, level): (String, Level),
    parts: Vec<String>,
) {
    let width = usize::from(area.width.saturating_sub(LABEL));
    let mut spans = vec![Span::styled(format!(" {label:<11}"), QUIET)];
    let mut used = state.chars().count();
    if !state.is_empty() {
        spans.push(state.fg(colour(level)));
    }
    for part in parts {
        let gap = if used == 0 { "" } else { "  " };
        used += gap.len() + part.chars().count();
        if used > width {
            break;
        }
        spans.push(Span::raw(gap));
        spans.push(Span::raw(part));
    }
    frame.render_widget(Line::from(spans), area);
}

fn leader(said: &Following) -> Vec<String> {
    let Some(leader) = &said.leader else { return vec!["none".into()] };
    let mut parts = vec![format!("{}/{} at {}", leader.id, leader.port_id, leader.address)];
    parts.extend(quality(leader));
    parts.extend((leader.preferred == Some(true)).then(|| "preferred".into()));
    parts
}

fn following(said: &Following) -> Vec<String> {
    let port = usize::try_from(said.selected).ok().and_then(|place| said.ports.get(place));
    let rate = said.rate_ppb.zip(said.rate_uncertainty_ppb);
    let parts = [
        rate.map(|(rate, sigma)| format!("rate {:+.4} ppm +/- {:.4}", rate / 1e3, sigma / 1e3)),
        said.last_sync_age_s.map(|age| format!("Sync {age:.1} s ago")),
        port.map(|port| format!("on {}", port.interface)),
        said.path_delay_ns.map(|delay| format!("path delay {delay} ns")),
    ];
    parts.into_iter().flatten().collect()
}

fn steering(said: &Steering) -> Vec<String> {
    let date = if said.utc.synchronised { "date good" } else { "date not good" };
    let parts = [
        said.phase_error_ns.map(|phase| format!("phase {phase:+} ns")),
        Some(format!("frequency {:+.4} ppm", said.frequency_ppb / 1e3)),
        (!said.clock.is(SteeredClock::Realtime)).then(|| format!("{} clock", said.clock)),
        (!said.utc.source.is(UtcSource::None)).then(|| date.to_owned()),
    ];
    parts.into_iter().flatten().collect()
}

fn relaying(said: &Relaying) -> Vec<String> {
    let ready = said.outputs.iter().filter(|output| output.ready).count();
    let samples: u64 = said.outputs.iter().map(|output| output.samples).sum();
    vec![format!("{ready} of {} outputs ready", said.outputs.len()), format!("{samples} samples")]
}
