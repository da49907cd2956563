//! `pmc-lite watch`: live view in a terminal.

mod app;
mod charts;
mod header;
mod histogram;
pub mod line;
mod lists;
mod panel;
#[cfg(test)]
mod tests;
mod view;

use crate::history::Follower;
use anyhow::{Context, Result, bail};
use app::{App, Next};
use crossterm::event::{self, Event, KeyEventKind};
use dante_core::time::{Duration, Timestamp};
use dante_os::clock::raw_now;
use dante_os::page::Instance;
use dante_os::poll::Poll;
use dante_os::terminal::Resizes;
use ratatui::DefaultTerminal;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
#[cfg(test)]
pub use tests::screens;

/// Longest time between two redraws, so that displayed ages are current.
const REDRAW_INTERVAL: Duration = Duration::from_secs(1);
/// Shortest time between two redraws.
const MIN_REDRAW_INTERVAL: Duration = Duration::from_ms(50);
/// Time to wait for the next key. With less than 1 ms crossterm does not poll at all.
const KEY_WAIT: std::time::Duration = std::time::Duration::from_millis(1);

/// Runs until a key or a signal ends it, or until the terminal is gone. Restores the terminal, also after a panic.
pub fn watch(instance: Option<&Instance>) -> Result<()> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        bail!(
            "watch needs a terminal; `watch --line` writes the state to a pipe, `pmc-lite log` samples to a file"
        );
    }
    let mut poll = Poll::new()?;
    let resizes = Resizes::new().context("cannot watch the size of the terminal")?;
    let follower = Follower::new(instance);
    let mut terminal = ratatui::try_init().context("cannot use this terminal")?;
    let done = run(&mut terminal, &mut poll, &resizes, follower, App::new(instance));
    if poll.wait(&[io::stdin().as_fd()], Some(raw_now()))?.hung_up(0) {
        // The terminal is gone: nothing to restore, and the message of ratatui about that has no reader.
        std::mem::forget(terminal);
        return Ok(());
    }
    ratatui::try_restore().context("cannot restore the terminal")?;
    done
}

fn run(
    terminal: &mut DefaultTerminal,
    poll: &mut Poll,
    resizes: &Resizes,
    mut follower: Follower,
    mut app: App,
) -> Result<()> {
    let keys = io::stdin();
    loop {
        app.update(&follower.read());
        terminal.draw(|frame| view::draw(frame, &app)).context("cannot draw")?;
        let drawn = raw_now();
        if poll.wait(&[], Some(drawn + MIN_REDRAW_INTERVAL))?.signal.is_some() {
            return Ok(());
        }
        let sources: Vec<_> = [keys.as_fd(), resizes.as_fd()].into_iter().chain(follower.fd()).collect();
        let due = follower.deadline().into_iter().fold(drawn + REDRAW_INTERVAL, Timestamp::min);
        let wake = poll.wait(&sources, Some(due))?;
        if wake.signal.is_some() || wake.hung_up(0) {
            return Ok(());
        }
        resizes.forget();
        if wake.ready(0) && press_all(&mut app).context("cannot read keys")? == Next::Quit {
            return Ok(());
        }
    }
}

/// Handles the keys that were typed since the last call.
fn press_all(app: &mut App) -> io::Result<Next> {
    while event::poll(KEY_WAIT)? {
        if let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
            && app.press(key) == Next::Quit
        {
            return Ok(Next::Quit);
        }
    }
    Ok(Next::Continue)
}
