//! `pmc-lite watch`: looks on in a terminal.

mod app;
mod charts;
mod header;
mod histogram;
mod lists;
mod panel;
#[cfg(test)]
mod tests;
mod view;

use crate::history::Follower;
use anyhow::{Context, Result, bail};
use app::{App, Next};
use crossterm::event::{self, Event, KeyEventKind};
use dante_core::time::Duration;
use dante_os::clock::raw_now;
use dante_os::page::Instance;
use dante_os::poll::Poll;
use dante_os::terminal::Resizes;
use ratatui::DefaultTerminal;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

/// Whatever happens, the screen is drawn anew so often: ages grow.
const LOOK: Duration = Duration::from_secs(1);
/// And no more often than once in this.
const REST: Duration = Duration::from_ms(50);
/// The next key may follow within this. With less crossterm does not look at all.
const TYPING: std::time::Duration = std::time::Duration::from_millis(1);

/// Until it is told to end, by a key or by a signal, or until its terminal is gone. That is left as it was found, after a
/// panic too.
pub fn watch(instance: Option<&Instance>) -> Result<()> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        bail!(
            "watch needs a terminal; `pmc-lite log` writes samples to a file, `pmc-lite get status` the state"
        );
    }
    let mut poll = Poll::new()?;
    let resizes = Resizes::new().context("cannot be told of the terminal's size")?;
    let follower = Follower::new(instance)?;
    let mut terminal = ratatui::try_init().context("cannot use this terminal")?;
    let done = run(&mut terminal, &mut poll, &resizes, follower, App::new(instance));
    if poll.wait(&[io::stdin().as_fd()], Some(raw_now()))?.hung_up(0) {
        // There is nothing to restore, and nobody to read what ratatui would say about that.
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
        app.see(&follower.read());
        terminal.draw(|frame| view::draw(frame, &app)).context("cannot draw")?;
        let drawn = raw_now();
        if poll.wait(&[], Some(drawn + REST))?.signal.is_some() {
            return Ok(());
        }
        let awaited = [keys.as_fd(), follower.as_fd(), resizes.as_fd()];
        let wake = poll.wait(&awaited, Some(drawn + LOOK))?;
        if wake.signal.is_some() || wake.hung_up(0) {
            return Ok(());
        }
        resizes.forget();
        if wake.ready(0) && press_all(&mut app).context("cannot read keys")? == Next::Quit {
            return Ok(());
        }
    }
}

/// Hands over what was typed since the last time.
fn press_all(app: &mut App) -> io::Result<Next> {
    while event::poll(TYPING)? {
        if let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
            && app.press(key) == Next::Quit
        {
            return Ok(Next::Quit);
        }
    }
    Ok(Next::GoOn)
}
