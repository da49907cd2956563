//! Header: the verdict, the leader, and a line for each program.

use super::app::App;
use super::panel::{QUIET, colour};
use crate::finding::Level;
use crate::scale::{fixed, plus};
use crate::status::{Following, Page, Relaying, Status, Steering};
use crate::text::{fault_of, headline, life_of, quality};
use dante_core::steer::{SteeredClock, UtcSource};
use dante_core::{port, relay, steer};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Stylize;
use ratatui::text::{Line, Span};

/// Number of lines.
pub const HEIGHT: u16 = 5;
/// Column where the text begins.
const LABEL: u16 = 12;

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, status: &Status) {
    let rows = Layout::vertical([Constraint::Length(1); HEIGHT as usize]);
    let [title, leads, observes, steers, relays] = rows.areas(area);
    let (words, level) = headline(status, "; press 4");
    let name = app
        .instance
        .as_ref()
        .map_or(" pmc-lite watch".to_owned(), |name| format!(" pmc-lite watch, instance {name}"));
    // Without space for both, the explanation after the colon is left out.
    let fits = name.chars().count() + words.chars().count() + 3 <= usize::from(title.width);
    let words = if fits { words.as_str() } else { words.split(':').next().unwrap_or_default() };
    frame.render_widget(Line::from(name).bold(), title);
    frame.render_widget(Line::from(format!("{words} ").bold().fg(colour(level))).right_aligned(), title);
    let dante4l = status.dante4l.published.as_ref();
    let leader = dante4l.map_or_else(|| vec!["not known".into()], leader);
    line(frame, leads, "leader", (String::new(), Level::Ok), leader);
    let dante4l = dante4l.map(|body| (body.state.to_string(), port_level(body.state.0), following(body)));
    program(frame, observes, "dante4l", &status.dante4l.life, dante4l);
    let dante2sys = status
        .dante2sys
        .published
        .as_ref()
        .map(|body| (body.state.to_string(), steerer_level(body.state.0), steering(body)));
    program(frame, steers, "dante2sys", &status.dante2sys.life, dante2sys);
    let danteshm = status
        .danteshm
        .published
        .as_ref()
        .map(|body| (body.state.to_string(), relay_level(body.state.0), relaying(body)));
    program(frame, relays, "danteshm", &status.danteshm.life, danteshm);
}

/// Draws the line of a program: its state and values if it is running, else the state of its page.
fn program(
    frame: &mut Frame<'_>,
    area: Rect,
    label: &'static str,
    life: &Page,
    published: Option<(String, Level, Vec<String>)>,
) {
    let (state, parts) = match published.filter(|_| life.running) {
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

/// Draws one line with as many of `parts` as fit completely.
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

fn leader(dante4l: &Following) -> Vec<String> {
    let Some(leader) = &dante4l.leader else { return vec!["none".into()] };
    let mut parts = vec![format!("{}/{} at {}", leader.id, leader.port_id, leader.address)];
    parts.extend(quality(leader));
    parts.extend((leader.preferred == Some(true)).then(|| "preferred".into()));
    parts
}

fn following(dante4l: &Following) -> Vec<String> {
    let port = usize::try_from(dante4l.selected).ok().and_then(|place| dante4l.ports.get(place));
    let rate = dante4l.rate_ppb.zip(dante4l.rate_uncertainty_ppb);
    let parts = [
        rate.map(|(rate, sigma)| format!("rate {} ppm +/- {}", plus(rate / 1e3, 4), fixed(sigma / 1e3, 4))),
        dante4l.last_sync_age_s.map(|age| format!("Sync {age:.1} s ago")),
        port.map(|port| format!("on {}", port.interface)),
        dante4l.path_delay_ns.map(|delay| format!("path delay {delay} ns")),
    ];
    parts.into_iter().flatten().collect()
}

fn steering(dante2sys: &Steering) -> Vec<String> {
    let utc = if dante2sys.utc.synchronised { "UTC synchronised" } else { "UTC not synchronised" };
    let parts = [
        dante2sys.phase_error_ns.map(|phase| format!("phase {phase:+} ns")),
        Some(format!("frequency {} ppm", plus(dante2sys.frequency_ppb / 1e3, 4))),
        (!dante2sys.clock.is(SteeredClock::Realtime)).then(|| format!("{} clock", dante2sys.clock)),
        (!dante2sys.utc.source.is(UtcSource::None)).then(|| utc.to_owned()),
    ];
    parts.into_iter().flatten().collect()
}

fn relaying(danteshm: &Relaying) -> Vec<String> {
    let delivered = danteshm.outputs.iter().filter(|output| fault_of(output).is_none()).count();
    let samples = danteshm.outputs.iter().fold(0u64, |sum, output| sum.saturating_add(output.samples));
    vec![format!("{delivered} of {} outputs delivered", danteshm.outputs.len()), format!("{samples} samples")]
}
