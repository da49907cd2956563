//! The upper lines: the verdict, and a line for each program.

use super::app::App;
use super::view::{QUIET, colour};
use crate::finding::Level;
use crate::status::{Following, Page, Relaying, Status, Steering};
use crate::text::{headline, life_of};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Stylize;
use ratatui::text::{Line, Span};

/// Lines.
pub const HEIGHT: u16 = 5;
/// Where the text begins.
const LABEL: u16 = 12;

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, status: &Status) {
    let rows: [Rect; HEIGHT as usize] =
        Layout::vertical([Constraint::Length(1); HEIGHT as usize]).areas(area);
    let [title, leads, observes, steers, relays] = rows;
    let (words, level) = headline(status, "; press 4");
    let name = app
        .instance
        .as_ref()
        .map_or(" pmc-lite watch".into(), |name| format!(" pmc-lite watch, instance {name}"));
    frame.render_widget(Line::from(name).bold(), title);
    frame.render_widget(Line::from(format!("{words} ").bold().fg(colour(level))).right_aligned(), title);
    let width = usize::from(area.width.saturating_sub(LABEL));
    let said = status.dante4l.said.as_ref();
    let leader = said.map_or_else(|| vec!["not known".into()], leader);
    line(frame, leads, "leader", (String::new(), Level::Ok), leader, width);
    let parts = said.map(following).unwrap_or_default();
    program(frame, observes, "dante4l", &status.dante4l.life, said.map(|said| &said.state), parts, width);
    let said = status.dante2sys.said.as_ref();
    let parts = said.map(steering).unwrap_or_default();
    program(frame, steers, "dante2sys", &status.dante2sys.life, said.map(|said| &said.state), parts, width);
    let said = status.danteshm.said.as_ref();
    let parts = said.map(relaying).unwrap_or_default();
    program(frame, relays, "danteshm", &status.danteshm.life, said.map(|said| &said.state), parts, width);
}

/// A program that does not run says nothing.
fn program(
    frame: &mut Frame<'_>,
    area: Rect,
    label: &'static str,
    life: &Page,
    state: Option<&String>,
    parts: Vec<String>,
    width: usize,
) {
    match state {
        Some(state) if life.running => {
            line(frame, area, label, (state.clone(), level_of(state)), parts, width)
        }
        _ => {
            let (words, level) = life_of(life);
            line(frame, area, label, (words.into(), level), Vec::new(), width);
        }
    }
}

fn level_of(state: &str) -> Level {
    match state {
        "SLAVE" | "LOCKED" | "FEEDING" => Level::Ok,
        "FAULTY" | "REFUSED" | "YIELDED" => Level::Failure,
        _ => Level::Warning,
    }
}

/// As many of `parts` as there is room for, none of them cut.
fn line(
    frame: &mut Frame<'_>,
    area: Rect,
    label: &'static str,
    (state, level): (String, Level),
    parts: Vec<String>,
    width: usize,
) {
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
    let mut parts = vec![
        format!("{}/{} at {}", leader.uuid, leader.port_id, leader.address),
        format!("stratum {} {}", leader.stratum, leader.identifier),
    ];
    if leader.preferred {
        parts.push("preferred".into());
    }
    parts
}

fn following(said: &Following) -> Vec<String> {
    let mut parts = Vec::new();
    if let (Some(rate), Some(sigma)) = (said.rate_ppb, said.rate_uncertainty_ppb) {
        parts.push(format!("rate {:+.4} ppm +/- {:.4}", rate / 1e3, sigma / 1e3));
    }
    if let Some(age) = said.last_sync_age_s {
        parts.push(format!("Sync {age:.1} s ago"));
    }
    let port = usize::try_from(said.selected).ok().and_then(|place| said.ports.get(place));
    parts.extend(port.map(|port| format!("on {}", port.interface)));
    if let Some(delay) = said.path_delay_ns {
        parts.push(format!("path delay {delay} ns"));
    }
    parts
}

fn steering(said: &Steering) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(phase) = said.phase_error_ns {
        parts.push(format!("phase {phase:+} ns"));
    }
    parts.push(format!("frequency {:+.4} ppm", said.frequency_ppb / 1e3));
    if said.clock != "realtime" {
        parts.push(format!("{} clock", said.clock));
    }
    if said.utc.source != "none" {
        parts.push(if said.utc.good { "date good".into() } else { "date not good".to_owned() });
    }
    parts
}

fn relaying(said: &Relaying) -> Vec<String> {
    let ready = said.outputs.iter().filter(|output| output.ready).count();
    let samples: u64 = said.outputs.iter().map(|output| output.samples).sum();
    vec![format!("{ready} of {} outputs ready", said.outputs.len()), format!("{samples} samples")]
}
