//! `--restore-frequency`, for ExecStopPost= of the unit: restores the frequency of the system clock after a dante2sys died. The
//! clock runs on at the frequency that was set last, which includes the correction of phase and UTC error in force then; the
//! stored frequency does not. Unless the clock page certainly describes the clock, nothing is changed: the frequency is within
//! bounds.

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

/// Sets the stored frequency, if the clock is in the state in which a dante2sys of this instance left it when it died.
pub fn run(args: &Args) -> Result<(), Failure> {
    let instance = args.common.instance.as_ref();
    let mut reader = PageReader::<Dante2sys>::new(PageName::new(instance));
    // Without a valid page there is nothing to restore.
    let Ok(view) = reader.read(raw_now()) else { return Ok(()) };
    if args.clock != Clock::Realtime || !died_in_control(&view) {
        return Ok(());
    }
    // Fails while another instance runs, which then controls the clock. From here on no other instance can start.
    let mut page = daemon::page(PageName::<Dante2sys>::new(instance))?;
    // The status page is updated if that is possible.
    let shown = PageReader::<Dante2sysStatus>::new(PageName::new(instance)).read(raw_now());
    let status = shown.ok().and_then(|shown| Some((daemon::page(PageName::new(instance)).ok()?, shown.body)));
    let mut body = view.body;
    let frequency = body.frequency();
    let mut clock = Realtime::open().map_err(Failure::of)?;
    let kernel = clock.kernel().map_err(Failure::of)?;
    let disturbance = kernel.disturbance(frequency).map(|found| found.to_string());
    let competitor =
        if args.force { None } else { competing_daemons::find().daemons.first().map(ToString::to_string) };
    if let Some(other) = disturbance.or(competitor) {
        log::info!("{other}: clock frequency not changed");
    } else if let Some(stored) = DriftFile::new(args.drift_path()).read() {
        match plausible(frequency, stored, args) {
            Some(frequency) => {
                let took = clock.set_frequency(frequency).map_err(Failure::of)?;
                body.frequency = took.fraction();
                log::info!(
                    "dante2sys (process {}) died: clock frequency restored to {:+.0} ppb, without its last correction",
                    view.pid,
                    took.ppb()
                );
            }
            None => log::info!(
                "clock frequency not changed ({:+.0} ppb): the stored frequency is of another leader",
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

/// Whether the page is that of a dante2sys that died while it controlled the system clock.
fn died_in_control(view: &View<Dante2sys>) -> bool {
    let has_ended = matches!(view.freshness, Freshness::Stopped | Freshness::Absent);
    let has_clock = matches!(
        view.body.state(),
        Some(State::Waiting | State::Acquiring | State::Locked | State::Holdover)
    );
    !has_ended && has_clock && view.body.clock == SteeredClock::Realtime as u8
}

/// Returns the stored frequency, unless it differs from the one in force by more than all corrections together may: then another
/// leader was followed since it was stored.
fn plausible(in_force: Ratio, stored: Ratio, args: &Args) -> Option<Ratio> {
    let corrections = Limits::default().phase_term + args.rules(built()).max_slew;
    let stored = stored.clamp(Ratio::from_ppm(args.max_frequency));
    ((stored - in_force).abs() <= corrections).then_some(stored)
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
    fn restores_only_after_death_in_control_of_the_system_clock() {
        assert!(died_in_control(&view(|_| ())));
        // Killed less than two seconds ago: the page is still fresh.
        assert!(died_in_control(&view(|view| view.freshness = Freshness::Fresh)));
        assert!(!died_in_control(&view(|view| view.freshness = Freshness::Stopped)));
        assert!(!died_in_control(&view(|view| view.body.state = State::Yielded as u8)));
        assert!(!died_in_control(&view(|view| view.body.state = State::Refused as u8)));
        assert!(!died_in_control(&view(|view| view.body.state = 99)));
        assert!(!died_in_control(&view(|view| view.body.clock = SteeredClock::Virtual as u8)));
        assert!(!died_in_control(&view(|view| view.body.clock = SteeredClock::Hardware as u8)));
    }

    #[test]
    fn frequency_of_another_leader_is_not_set() {
        let args = Args::parse_from(["dante2sys", "--max-slew=2"]);
        let plausible = |in_force, stored| {
            plausible(Ratio::from_ppm(in_force), Ratio::from_ppm(stored), &args).map(|ratio| ratio.ppm())
        };
        assert_eq!(plausible(37.0, 37.0), Some(37.0));
        assert_eq!(plausible(43.9, 37.0), Some(37.0));
        assert_eq!(plausible(44.1, 37.0), None, "5 ppm for the phase, 2 for UTC");
        assert_eq!(plausible(12.0, 37.0), None);
        // Clamped, as every frequency.
        assert!(plausible(489.0, 495.0).is_some_and(|ppm| (ppm - 490.0).abs() < 1e-9));
    }
}
