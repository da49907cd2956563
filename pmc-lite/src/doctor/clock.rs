//! Check of the programs that steer the system clock.

use super::host::HostFacts;
use crate::finding::Finding;
use crate::pages::{Pages, fresh_body, freshness};
use crate::verdict::chrony_relay;
use dante_core::page::{Body, Dante2sysStatus, Freshness};
use dante_core::steer;
use dante_core::steer::SteeredClock;
use dante_os::competing_daemons::CompetingDaemon;

/// Checks that exactly one program steers the system clock.
pub fn judge(host: &HostFacts, pages: &Pages) -> Vec<Finding> {
    let others: Vec<&CompetingDaemon> =
        host.competitors.iter().filter(|competitor| competitor.name != Dante2sysStatus::PROGRAM).collect();
    let steerer = fresh_body::<Dante2sysStatus>(&pages.dante2sys);
    let clock = steerer.and_then(|body| SteeredClock::from_number(body.clock));
    let is_system_clock = clock == Some(SteeredClock::Realtime);
    let has_yielded =
        is_system_clock && steerer.and_then(Dante2sysStatus::state) == Some(steer::State::Yielded);
    let feeds = chrony_relay(pages) == Freshness::Fresh;
    let Some(competitor) = others.first() else {
        if !host.sees_all_processes {
            return vec![
                Finding::warning(
                    "whether another program steers the system clock is not known: the processes of other users cannot be seen \
                     (/proc is not mounted, or hidepid=)",
                )
                .remedy(
                    "sudo pmc-lite doctor\n\
                     dante2sys does not see them either unless it runs as root: add the group of the option gid= of /proc to \
                     SupplementaryGroups= of its unit",
                ),
            ];
        }
        let steers = steerer.and_then(Dante2sysStatus::state) == Some(steer::State::Locked);
        return vec![match (is_system_clock && steers, feeds, clock) {
            (true, ..) => Finding::ok("only dante2sys steers the system clock"),
            (false, true, _) if !is_system_clock => {
                Finding::warning("danteshm feeds chrony, but no chronyd steers the system clock")
                    .remedy("systemctl enable --now chrony")
            }
            (_, _, Some(SteeredClock::Virtual)) => {
                Finding::warning("dante2sys steers a virtual clock; no program steers the system clock").remedy(
                    "to steer the system clock, set clock = \"realtime\" in section [dante2sys] (or --clock realtime), then \
                     systemctl restart dante2sys",
                )
            }
            (_, _, Some(clock)) if !is_system_clock => {
                Finding::ok(format!("dante2sys steers a {} clock; no program steers the system clock", clock.name()))
            }
            _ => Finding::ok("no other program steers the system clock"),
        }];
    };
    let is_chronyd = |competitor: &&&CompetingDaemon| competitor.name == "chronyd";
    if clock.is_some() && !is_system_clock {
        return vec![Finding::ok(format!(
            "{} steers the system clock, dante2sys another clock",
            competitor.name
        ))];
    }
    // danteshm gives Dante time to programs with a clock of their own; no program is to steer the system clock by it.
    let serves_alone = freshness(&pages.danteshm) == Freshness::Fresh
        && chrony_relay(pages) == Freshness::Absent
        && freshness(&pages.dante2sys) == Freshness::Absent;
    if serves_alone {
        return vec![Finding::ok(format!(
            "{} steers the system clock; danteshm gives Dante time to other programs (usrvclock) only",
            competitor.name
        ))];
    }
    // A chronyd fed by danteshm does not compete, unless dante2sys steers the same clock.
    let is_fed = feeds && !is_system_clock && freshness(&pages.dante2sys) != Freshness::Stale;
    if is_fed && others.iter().filter(is_chronyd).count() == others.len() {
        return vec![Finding::ok("chronyd steers the system clock; danteshm feeds it Dante time")];
    }
    others
        .into_iter()
        .filter(|competitor| !(is_fed && is_chronyd(&competitor)))
        .map(|competitor| {
            let CompetingDaemon { pid, name, unit } = competitor;
            let (program, stop) = match unit {
                Some(unit) => (format!("{name} ({unit}, pid {pid})"), format!("systemctl disable --now {unit}")),
                None => (format!("{name} (pid {pid})"), format!("kill {pid}")),
            };
            let what = if has_yielded {
                format!("{program} steers the system clock: dante2sys does not steer it meanwhile")
            } else if is_system_clock {
                format!("{program} and dante2sys both steer the system clock")
            } else {
                format!("{program} steers the system clock, but not to Dante time: dante2sys does not start beside it")
            };
            let own = format!("{stop}; systemctl enable --now dante2sys");
            let remedy = if name == "chronyd" {
                format!(
                    "to steer with dante2sys: {own}\n\
                     or to steer with chrony and Dante as a reference clock: systemctl disable --now dante2sys; systemctl \
                     enable --now danteshm; add a refclock line (docs/chrony.md)"
                )
            } else {
                own
            };
            Finding::failure(what).remedy(remedy)
        })
        .collect()
}
