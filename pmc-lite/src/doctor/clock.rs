//! Who steers the system clock.

use super::host::HostFacts;
use crate::finding::Finding;
use crate::pages::{Pages, freshness, said};
use dante_core::page::{Body, Dante2sysStatus, DanteshmStatus, Freshness};
use dante_core::steer;
use dante_core::steer::SteeredClock;
use dante_os::competing_daemons::CompetingDaemon;

pub fn judge(host: &HostFacts, pages: &Pages) -> Vec<Finding> {
    let others: Vec<&CompetingDaemon> =
        host.competitors.iter().filter(|competitor| competitor.name != Dante2sysStatus::PROGRAM).collect();
    let steerer = said::<Dante2sysStatus>(&pages.dante2sys);
    let clock = steerer.and_then(|body| SteeredClock::from_number(body.clock));
    let is_wanted = clock == Some(SteeredClock::Realtime);
    let has_yielded = is_wanted && steerer.and_then(Dante2sysStatus::state) == Some(steer::State::Yielded);
    let feeds = said::<DanteshmStatus>(&pages.danteshm).is_some();
    let Some(competitor) = others.first() else {
        let steers = steerer.and_then(Dante2sysStatus::state) == Some(steer::State::Locked);
        return vec![match (is_wanted && steers, feeds, clock) {
            (true, ..) => Finding::ok("dante2sys alone steers the system clock"),
            (false, true, _) if !is_wanted => {
                Finding::warning("danteshm gives chrony the time, and no chronyd that steers the clock runs")
                    .remedy("systemctl enable --now chrony")
            }
            (_, _, Some(SteeredClock::Virtual)) => {
                Finding::warning("dante2sys steers a virtual clock, and nobody the system clock").remedy(
                    "clock = \"realtime\" in section [dante2sys] (or --clock realtime), for the system clock",
                )
            }
            (_, _, Some(clock)) if !is_wanted => {
                Finding::ok(format!("dante2sys steers a {} clock, and nobody the system clock", clock.name()))
            }
            _ => Finding::ok("no other program steers the system clock"),
        }];
    };
    let is_chronyd = |competitor: &&&CompetingDaemon| competitor.name == "chronyd";
    if clock.is_some() && !is_wanted {
        return vec![Finding::ok(format!(
            "{} steers the system clock; dante2sys another one",
            competitor.name
        ))];
    }
    // One that is fed is no competitor, unless dante2sys wants the same clock.
    let is_fed = feeds && !is_wanted && freshness(&pages.dante2sys) != Freshness::Stale;
    if is_fed && others.iter().filter(is_chronyd).count() == others.len() {
        return vec![Finding::ok("chronyd steers the system clock, and danteshm gives it Dante's time")];
    }
    others
        .into_iter()
        .filter(|competitor| !(is_fed && is_chronyd(&competitor)))
        .map(|competitor| {
            let CompetingDaemon { pid, name, unit } = competitor;
            let (who, stop) = match unit {
                Some(unit) => (format!("{name} ({unit}, pid {pid})"), format!("systemctl disable --now {unit}")),
                None => (format!("{name} (pid {pid})"), format!("kill {pid}")),
            };
            let what = if has_yielded {
                format!("{who} steers the system clock: dante2sys leaves it alone meanwhile")
            } else if is_wanted {
                format!("{who} steers the system clock beside dante2sys: two programs pull at one clock")
            } else {
                format!("{who} steers the system clock, and not by Dante: dante2sys does not start beside it")
            };
            let own = format!("{stop}; systemctl enable --now dante2sys");
            let remedy = if name == "chronyd" {
                format!(
                    "dante2sys is to steer: {own}\n\
                     or chrony, with Dante as a reference: systemctl disable --now dante2sys; systemctl enable --now danteshm, and a \
                     refclock line (docs/chrony.md)"
                )
            } else {
                own
            };
            Finding::failure(what).remedy(remedy)
        })
        .collect()
}
