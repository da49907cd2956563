//! `--restore-frequency`: puts right how a dante2sys that died has left the system clock, and ends. The clock runs on at the frequency
//! that was set last, and in that is what was being corrected, phase or date; the remembered frequency is without it. For
//! ExecStopPost= of the unit. Whatever is doubtful is left as it is: a clock that runs on is within bounds.

use crate::args::{Args, Clock};
use crate::built;
use crate::drift_file::DriftFile;
use dante_core::page::{Dante2sys, Dante2sysStatus, Freshness, View};
use dante_core::steer::{Limits, State, SteeredClock};
use dante_core::time::Ratio;
use dante_os::clock::{Realtime, raw_now};
use dante_os::competing_daemons;
use dante_os::daemon::{self, Failure};
use dante_os::page::{PageName, PageReader};

/// Sets the remembered frequency, if the clock is as a dante2sys of this instance left it at its death.
pub fn leave(args: &Args) -> Result<(), Failure> {
    let instance = args.common.instance.as_ref();
    let mut reader = PageReader::<Dante2sys>::new(PageName::new(instance));
    // What is not there, or not to be believed, leaves nothing to be put right.
    let Ok(view) = reader.read(raw_now()) else { return Ok(()) };
    if args.clock != Clock::Realtime || !is_left_alone(&view) {
        return Ok(());
    }
    // While another one runs, the page is not to be had, and the clock is its own. From here on none begins.
    let mut page = daemon::page(PageName::<Dante2sys>::new(instance))?;
    // The status is worth showing, and nothing to fail for.
    let shown = PageReader::<Dante2sysStatus>::new(PageName::new(instance)).read(raw_now());
    let status = shown.ok().and_then(|shown| Some((daemon::page(PageName::new(instance)).ok()?, shown.body)));
    let mut body = view.body;
    let frequency = body.frequency();
    let mut clock = Realtime::open().map_err(Failure::of)?;
    let kernel = clock.kernel().map_err(Failure::of)?;
    let disturbance = kernel.disturbance(frequency).map(|found| found.to_string());
    let competitor =
        if args.force { None } else { competing_daemons::find().first().map(ToString::to_string) };
    if let Some(other) = disturbance.or(competitor) {
        log::info!("{other}: the clock is left as it is");
    } else if let Some(remembered) = DriftFile::new(args.drift_path()).read() {
        match better(frequency, remembered, args) {
            Some(better) => {
                let took = clock.set_frequency(better).map_err(Failure::of)?;
                body.frequency = took.fraction();
                log::info!(
                    "after the death of process {} the clock is left at {:+.0} ppb, without its last correction",
                    view.pid,
                    took.ppb()
                );
            }
            None => log::info!(
                "the clock is left at {:+.0} ppb: what is remembered is not of this leader",
                frequency.ppb()
            ),
        }
    }
    if let Some((mut page, shown)) = status {
        page.publish(raw_now(), &Dante2sysStatus { frequency: body.frequency, ..shown });
    }
    page.publish(raw_now(), &body);
    Ok(())
}

/// Whether the page is that of one that died with the system clock in hand.
fn is_left_alone(view: &View<Dante2sys>) -> bool {
    let has_ended = matches!(view.freshness, Freshness::Stopped | Freshness::Absent);
    let has_clock = matches!(
        view.body.state(),
        Some(State::Waiting | State::Acquiring | State::Locked | State::Holdover)
    );
    !has_ended && has_clock && view.body.clock == SteeredClock::Realtime as u8
}

/// The remembered frequency, unless it is further from the one in force than all corrections together may be: then another
/// leader was followed since it was written.
fn better(in_force: Ratio, remembered: Ratio, args: &Args) -> Option<Ratio> {
    let corrections = Limits::default().phase_term + args.rules(built()).max_slew;
    let remembered = remembered.clamp(Ratio::from_ppm(args.max_frequency));
    ((remembered - in_force).abs() <= corrections).then_some(remembered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn view(change: impl FnOnce(&mut View<Dante2sys>)) -> View<Dante2sys> {
        let body = Dante2sys { state: State::Locked as u8, ..Dante2sys::default() };
        let mut view = View { freshness: Freshness::Stale, pid: 1, instance: 1, body };
        change(&mut view);
        view
    }

    #[test]
    fn a_clock_is_put_right_only_after_a_death_with_the_clock_in_hand() {
        assert!(is_left_alone(&view(|_| ())));
        // Killed a moment ago: its heartbeat is good for two seconds.
        assert!(is_left_alone(&view(|view| view.freshness = Freshness::Fresh)));
        assert!(!is_left_alone(&view(|view| view.freshness = Freshness::Stopped)));
        assert!(!is_left_alone(&view(|view| view.body.state = State::Yielded as u8)));
        assert!(!is_left_alone(&view(|view| view.body.state = State::Refused as u8)));
        assert!(!is_left_alone(&view(|view| view.body.state = 99)));
        assert!(!is_left_alone(&view(|view| view.body.clock = SteeredClock::Virtual as u8)));
        assert!(!is_left_alone(&view(|view| view.body.clock = SteeredClock::Hardware as u8)));
    }

    #[test]
    fn a_frequency_of_another_leader_is_not_set() {
        let args = Args::parse_from(["dante2sys", "--max-slew=2"]);
        let better = |in_force, remembered| {
            better(Ratio::from_ppm(in_force), Ratio::from_ppm(remembered), &args).map(|ratio| ratio.ppm())
        };
        assert_eq!(better(37.0, 37.0), Some(37.0));
        assert_eq!(better(43.9, 37.0), Some(37.0));
        assert_eq!(better(44.1, 37.0), None, "5 ppm for the phase, 2 for the date");
        assert_eq!(better(12.0, 37.0), None);
        // Within the bound, as every frequency.
        assert!(better(489.0, 495.0).is_some_and(|ppm| (ppm - 490.0).abs() < 1e-9));
    }
}
