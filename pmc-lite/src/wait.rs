//! `pmc-lite wait`: for units that need the clock to be right before they start.

use dante_core::page::{Dante2sys, Freshness, STEER_DATE_GOOD, STEER_DATE_LEFT, UtcSource};
use dante_core::steer::State;
use dante_os::clock::raw_now;
use dante_os::page::{Instance, PageName, PageReader};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Between two looks at the page, which costs its writer nothing.
const LOOK: Duration = Duration::from_millis(200);

/// Waits until dante2sys holds its clock, at most `timeout` seconds (0: for ever).
pub fn until_steered(timeout: u32, instance: Option<&Instance>) -> ExitCode {
    let begun = Instant::now();
    loop {
        let Err(missing) = looked(instance) else { return ExitCode::SUCCESS };
        if timeout > 0 && begun.elapsed() >= Duration::from_secs(timeout.into()) {
            eprintln!("pmc-lite: not within {timeout} s: {missing}");
            return ExitCode::FAILURE;
        }
        std::thread::sleep(LOOK);
    }
}

/// What is missing, in words.
fn looked(instance: Option<&Instance>) -> Result<(), String> {
    let view = PageReader::new(PageName::<Dante2sys>::new(instance))
        .read(raw_now())
        .map_err(|error| error.to_string())?;
    if view.freshness != Freshness::Fresh {
        return Err("dante2sys is not running".into());
    }
    match view.body.state() {
        Some(State::Locked) => {}
        Some(state) => return Err(format!("dante2sys is {state}, not LOCKED")),
        None => return Err("dante2sys is in an unknown state".into()),
    }
    // A date that was set by hand is somebody's will.
    let needs_date = view.body.utc_source != UtcSource::None as u8 && view.body.flags & STEER_DATE_LEFT == 0;
    if needs_date && view.body.flags & STEER_DATE_GOOD == 0 {
        return Err("the clock is LOCKED, but its date is not known well enough".into());
    }
    Ok(())
}
