//! A terminal of tmux with a shell in it: what a person at a screen sees and types.

use crate::Patience;
use crate::stage::Stage;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The shell's prompt.
pub const PROMPT: &str = "ready> ";

const PATIENCE: Duration = Duration::from_secs(30);

/// A terminal of its own, with a server of its own. It is ended when this is dropped.
#[derive(Debug)]
pub struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    /// A terminal of this size, its shell's prompt on it.
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

    /// Types `text` as it is, and Enter.
    pub fn line(&self, text: &str) {
        self.run(&["send-keys", "-l", text]);
        self.key("Enter");
    }

    /// Presses a key, by tmux' name for it.
    pub fn key(&self, name: &str) {
        self.run(&["send-keys", name]);
    }

    /// Makes the terminal as large.
    pub fn resize(&self, (width, height): (u16, u16)) {
        self.run(&["resize-window", "-x", &width.to_string(), "-y", &height.to_string()]);
    }

    /// What is seen.
    pub fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    /// The same with its colours (ANSI).
    pub fn colours(&self) -> String {
        self.run(&["capture-pane", "-p", "-e"])
    }

    /// Whether the program shows itself on the alternate screen.
    pub fn is_alternate(&self) -> bool {
        self.run(&["display-message", "-p", "#{alternate_on}"]).trim() == "1"
    }

    /// The process of the shell.
    ///
    /// # Panics
    /// When tmux does not tell.
    pub fn shell(&self) -> u32 {
        self.run(&["display-message", "-p", "#{pane_pid}"]).trim().parse().expect("a process")
    }

    /// Waits until the screen is so, and returns it.
    ///
    /// # Panics
    /// When that takes too long; the screen is shown then.
    pub fn wait_for(&self, what: &str, is_there: impl Fn(&str) -> bool) -> String {
        let mut patience = Patience::new(PATIENCE);
        let mut before = String::new();
        loop {
            let screen = self.screen();
            // Twice the same: not amid being drawn.
            if screen == before && is_there(&screen) {
                return screen;
            }
            assert!(patience.goes_on(), "not seen: {what}\n{screen}");
            before = screen;
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        _ = Command::new("tmux").arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}
