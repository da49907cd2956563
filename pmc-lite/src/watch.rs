//! `pmc-lite watch`: looks on in a terminal.

mod app;
mod charts;
mod header;
mod histogram;
mod lists;
#[cfg(test)]
mod tests;
mod view;

use crate::history::Follower;
use anyhow::{Context, Result, bail};
use app::{App, Next};
use dante_core::time::Duration;
use dante_os::clock::raw_now;
use dante_os::page::Instance;
use dante_os::poll::Poll;
use dante_os::terminal::Resizes;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

/// Whatever happens, the screen is drawn anew so often: ages grow.
const LOOK: Duration = Duration::from_secs(1);
/// And no more often than once in this.
const REST: Duration = Duration::from_ms(50);

/// Until it is told to end, by a key or by a signal. The terminal is left as it was found, after a panic too.
pub fn watch(instance: Option<&Instance>) -> Result<()> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        bail!(
            "watch needs a terminal; `pmc-lite log` writes samples to a file, `pmc-lite get status` the state"
        );
    }
    let poll = Poll::new()?;
    let resizes = Resizes::new().context("cannot be told of the terminal's size")?;
    let follower = Follower::new(instance)?;
    let mut terminal = ratatui::try_init().context("cannot use this terminal")?;
    let done = run(&mut terminal, poll, &resizes, follower, App::new(instance));
    ratatui::try_restore().context("cannot restore the terminal")?;
    done
}

fn run(
    terminal: &mut DefaultTerminal,
    mut poll: Poll,
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
        let awaited = [follower.as_fd(), keys.as_fd(), resizes.as_fd()];
        if poll.wait(&awaited, Some(drawn + LOOK))?.signal.is_some() {
            return Ok(());
        }
        resizes.forget();
        if press_all(&mut app).context("cannot read keys")? == Next::Quit {
            return Ok(());
        }
    }
}

/// Hands over what was typed since the last time.
fn press_all(app: &mut App) -> io::Result<Next> {
    while event::poll(std::time::Duration::ZERO)? {
        if let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
            && app.press(key) == Next::Quit
        {
            return Ok(Next::Quit);
        }
    }
    Ok(Next::GoOn)
}
