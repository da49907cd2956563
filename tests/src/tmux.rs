//! A terminal of tmux with a shell: what a user sees and types.

use crate::stage::Stage;
use crate::{Attempts, EVENT_TIMEOUT};
use std::path::PathBuf;
use std::process::Command;

/// The shell's prompt.
pub const PROMPT: &str = "ready> ";

/// A terminal with a tmux server of its own, ended on drop.
#[derive(Debug)]
pub struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    /// Starts a terminal of this size, and waits for the shell's prompt.
    pub fn start(stage: &Stage, (width, height): (u16, u16)) -> Self {
        let tmux = Self { socket: stage.folder().join("tmux") };
        let (width, height) = (width.to_string(), height.to_string());
        let shell = format!("env PS1='{PROMPT}' LC_ALL=C.UTF-8 sh");
        tmux.run(&["-f", "/dev/null", "new-session", "-d", "-x", &width, "-y", &height, &shell]);
        tmux.wait_for("a prompt", |screen| screen.contains(PROMPT.trim_end()));
        tmux
    }

    fn run(&self, words: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.arg("-u").arg("-S").arg(&self.socket).args(words).env("LC_ALL", "C.UTF-8");
        let output = command.output().expect("tmux");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Types `text` and Enter.
    pub fn line(&self, text: &str) {
        self.run(&["send-keys", "-l", text]);
        self.key("Enter");
    }

    /// Presses a key, by tmux's name for it.
    pub fn key(&self, name: &str) {
        self.run(&["send-keys", name]);
    }

    /// Resizes the terminal.
    pub fn resize(&self, (width, height): (u16, u16)) {
        self.run(&["resize-window", "-x", &width.to_string(), "-y", &height.to_string()]);
    }

    /// Text on the screen.
    pub fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    /// Text on the screen with its colours (ANSI).
    pub fn colours(&self) -> String {
        self.run(&["capture-pane", "-p", "-e"])
    }

    /// Whether the alternate screen is shown.
    pub fn is_alternate(&self) -> bool {
        self.run(&["display-message", "-p", "#{alternate_on}"]).trim() == "1"
    }

    /// Process id of the shell.
    ///
    /// # Panics
    /// If tmux prints none.
    pub fn shell(&self) -> u32 {
        self.run(&["display-message", "-p", "#{pane_pid}"]).trim().parse().expect("a process")
    }

    /// Waits until `is_there` accepts the screen, and returns it.
    ///
    /// # Panics
    /// If it does not within [`EVENT_TIMEOUT`]; the message has the screen.
    pub fn wait_for(&self, what: &str, is_there: impl Fn(&str) -> bool) -> String {
        let mut attempts = Attempts::new(EVENT_TIMEOUT);
        let mut before = String::new();
        loop {
            let screen = self.screen();
            // Two equal reads: the screen was not being drawn.
            if screen == before && is_there(&screen) {
                return screen;
            }
            assert!(attempts.again(), "not seen: {what}\n{screen}");
            before = screen;
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        _ = Command::new("tmux").arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}
