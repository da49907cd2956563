//! The pictures of docs/pictures, made from the real programs in network namespaces: `make pictures`, as root, two minutes.

mod screen;

use dante_core::steer;
use dante_tests::lab::{Lab, may_use};
use dante_tests::program::built;
use dante_tests::tmux::Tmux;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// What a chart of `watch` shows.
const SPAN: Duration = Duration::from_secs(122);
const SETTLING: Duration = Duration::from_secs(20);
const SIZE: (u16, u16) = (100, 30);

fn main() {
    if !may_use(&["tmux"]) {
        return;
    }
    let Some(lab) = Lab::new() else { return };
    let _leader = lab.leader(&["--ppm=12", "--wander=30"]);
    let _daemons = lab.daemons();
    lab.eyes().wait_for_steerer(steer::State::Locked, Duration::from_secs(30));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pictures");
    let terminal = Tmux::start(&lab.stage, SIZE);
    terminal.line(&format!("{} watch --instance={}", built("pmc-lite").display(), lab.stage.instance()));
    terminal.wait_for("charts", |screen| screen.contains("residual"));
    // The first guesses of the rate are past then.
    std::thread::sleep(SETTLING);
    let instance = format!("--instance={}", lab.stage.instance());
    let seconds = format!("--seconds={}", SPAN.as_secs());
    let plot = folder.join("plot.svg").display().to_string();
    let plotted =
        lab.stage.start("pmc-lite", lab.stage.command("pmc-lite", &["plot", &seconds, &instance, &plot]));
    plotted.ended(SPAN * 2).expect(0, &[]);
    // The name is the lab's, not the reader's.
    let name = format!(", instance {}", lab.stage.instance());
    let colours = terminal.colours().replacen(&name, &" ".repeat(name.len()), 1);
    fs::write(folder.join("watch.svg"), screen::svg(&colours, SIZE)).expect("a picture");
}
