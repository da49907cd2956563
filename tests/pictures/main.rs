//! Makes the pictures of docs/pictures from the real programs in network namespaces: `make pictures`, as root, two minutes.

mod screen;

use dante_core::steer;
use dante_tests::EVENT_TIMEOUT;
use dante_tests::lab::{Lab, may_use};
use dante_tests::package::sources;
use dante_tests::program::built;
use dante_tests::tmux::Tmux;
use std::fs;
use std::time::Duration;

/// Time span of a chart of `watch`.
const SPAN: Duration = Duration::from_secs(122);
/// Time from the first chart until the leader's rate is known well.
const SETTLING: Duration = Duration::from_secs(20);
/// Columns and rows of the terminal.
const SIZE: (u16, u16) = (100, 30);

fn main() {
    if !may_use(&["tmux"]) {
        return;
    }
    let Some(lab) = Lab::new() else { return };
    let _leader = lab.leader(&["--ppm=12", "--wander=30"]);
    let _daemons = lab.daemons();
    lab.readers().wait_for_steerer(steer::State::Locked, EVENT_TIMEOUT);
    let folder = sources().join("docs/pictures");
    let terminal = Tmux::start(&lab.stage, SIZE);
    terminal.line(&format!("{} watch --instance={}", built("pmc-lite").display(), lab.stage.instance()));
    terminal.wait_for("charts", |screen| screen.contains("residual"));
    std::thread::sleep(SETTLING);
    let instance = format!("--instance={}", lab.stage.instance());
    let seconds = format!("--seconds={}", SPAN.as_secs());
    let plot = folder.join("plot.svg").display().to_string();
    let plotted =
        lab.stage.start("pmc-lite", lab.stage.command("pmc-lite", &["plot", &seconds, &instance, &plot]));
    plotted.ended(SPAN * 2).expect(0, &[]);
    // The instance's name is of no interest in a picture.
    let name = format!(", instance {}", lab.stage.instance());
    let colours = terminal.colours().replacen(&name, &" ".repeat(name.len()), 1);
    fs::write(folder.join("watch.svg"), screen::svg(&colours, SIZE)).expect("a picture");
}
