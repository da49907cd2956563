//! Effects of a measured Sync on the clock map, the state and the timeline.

use super::pairing::Pair;
use super::session::Timeline;
use super::{Counter, Diagnostic, Discontinuity, Event, Output, Port, Reason, Sample, State};
use crate::estimate::{Classification, Measurement, RateGuess};
use crate::time::{Duration, Raw, Timestamp};
use std::ops::Range;

/// Uncertainty of the rate (one standard deviation) below which the port becomes SLAVE, ppm. Leaders differ by up to 25 ppm.
const CONVERGED_PPM: f64 = 20.0;
/// The same above which the port is SLAVE no longer, ppm. Where Syncs scatter by milliseconds, the uncertainty stays near a limit for
/// minutes.
const DIVERGED_PPM: f64 = 2.0 * CONVERGED_PPM;
/// Number of measurements required for SLAVE, so that two with errors that agree by accident do not suffice.
const CONVERGED_DEPTH: usize = 5;
/// Residual of a rejected measurement from which on it counts as another time and not as a late packet: no queue and no host
/// delays a packet by this.
const IMPLAUSIBLE: Duration = Duration::from_ms(100);
/// Scatter of the Syncs that is reported. No network scatters them by [`IMPLAUSIBLE`] or more; forged packets do.
const SCATTERING: Range<Duration> = Duration::from_ms(1)..IMPLAUSIBLE;
/// Time for which it has to last. A busy host scatters them for some seconds, too.
const SCATTERING_WAIT: Duration = Duration::from_secs(10);
/// Uncertainty of the extrapolated clock map (one standard deviation) above which it cannot show any more that the leader's time
/// continued, and the shortest absence for which that is checked. The map of a leader whose Syncs scatter by milliseconds is always
/// that uncertain.
const MAX_EXTRAPOLATED: Duration = Duration::from_ms(1);
const MIN_ABSENCE: Duration = Duration::from_secs(60);
/// If the leader's sequence numbers restarted within so many Sync intervals before its time jumped, it was rebooted. 10 s at 4 Hz.
const RESTART_INTERVALS: i64 = 40;

impl Port {
    /// Processes a Sync of the leader that is followed.
    pub(super) fn measure(&mut self, now: Timestamp<Raw>, pair: Pair) {
        self.end_absence(pair.arrived.raw);
        let (Some(session), Some(timeline)) = (&mut self.session, &mut self.timeline) else { return };
        session.unpaired = 0;
        session.unmatched = 0;
        let leader = session.parent.identity;
        let measurement = Measurement { raw: pair.arrived.raw, dante: pair.origin };
        let restarts = self.estimator.restarts();
        let (residual, accepted) = match self.estimator.update(measurement) {
            Classification::Accepted { residual } => {
                // The implausible measurements before this one were no jump of the leader's time.
                let times = std::mem::take(&mut timeline.implausible);
                if times > 0 {
                    self.contradicted(now, leader, times);
                }
                (residual, true)
            }
            Classification::Outlier { residual } => {
                self.counters.add(Counter::Outlier);
                // Packets that a host or a network held back are late, but in order.
                let last = self.last_sample.filter(|last| last.timeline == timeline.number);
                let is_in_order = last.is_some_and(|last| pair.origin > last.origin);
                let is_late = residual > Duration::ZERO && is_in_order;
                timeline.implausible += u32::from(residual.abs() >= IMPLAUSIBLE && !is_late);
                (residual, false)
            }
            Classification::Late => return self.counters.add(Counter::Late),
            Classification::Jumped { residual } => {
                self.jumped(now, -residual);
                (Duration::ZERO, true)
            }
        };
        self.report_scatter(now);
        self.samples += 1;
        let sample = Sample {
            number: self.samples,
            timeline: self.timeline(),
            arrived: pair.arrived,
            origin: pair.origin,
            residual,
            accepted,
        };
        self.last_sample = Some(sample);
        if let Some(session) = &mut self.session {
            session.measured = Some(now);
            session.unmeasured = 0;
        }
        if !self.has_converged() {
            let is_refitted =
                self.estimator.restarts() != restarts || self.estimator.depth() < CONVERGED_DEPTH;
            let reason =
                if is_refitted { Reason::Refitted } else { Reason::Scattered(self.estimator.scatter()) };
            self.step(Event::Diverged, reason);
        } else if accepted {
            self.step(Event::Converged, Reason::Converged);
            if let Some(timeline) = &mut self.timeline {
                timeline.was_slave = true;
            }
            self.publish_rate(&sample);
        }
        self.outputs.push(Output::Sample(sample));
    }

    fn report_scatter(&mut self, now: Timestamp<Raw>) {
        let scatter = self.estimator.scatter();
        let Some(session) = &mut self.session else { return };
        if !SCATTERING.contains(&scatter) {
            session.scattering_since = None;
        } else if now - *session.scattering_since.get_or_insert(now) >= SCATTERING_WAIT {
            let ms = scatter.ns() / Duration::from_ms(1).ns();
            self.diagnose(now, Diagnostic::Scattering(u16::try_from(ms).unwrap_or(u16::MAX)));
        }
    }

    /// Starts a new timeline after the leader's time jumped by `size`.
    fn jumped(&mut self, now: Timestamp<Raw>, size: Duration) {
        let reason = self.cause(now, size);
        // If the port was not SLAVE yet, the first fit was wrong, and the leader's time did not jump.
        self.restart_timeline(reason);
        self.step(Event::Diverged, Reason::Jumped);
    }

    /// Starts a new timeline if the leader returns at `raw` after an absence that was too long for the clock map.
    fn end_absence(&mut self, raw: Timestamp<Raw>) {
        let Some(map) = self.estimator.map() else { return };
        let absence = raw - map.line.raw0;
        if absence < MIN_ABSENCE || map.uncertainty_at(raw).offset <= MAX_EXTRAPOLATED {
            return;
        }
        self.estimator.restart(Some(RateGuess::same_leader(map.line.rate)));
        self.restart_timeline(Discontinuity::Absence(absence));
        self.step(Event::Diverged, Reason::Returned(absence));
    }

    /// Starts a new timeline of the same leader.
    fn restart_timeline(&mut self, reason: Discontinuity) {
        match self.timeline.take() {
            Some(timeline) if timeline.was_slave => self.begin(timeline.after_jump(), reason),
            // No reader uses a timeline before the port was SLAVE on it.
            timeline => self.timeline = timeline.map(|timeline| Timeline { implausible: 0, ..timeline }),
        }
    }

    fn cause(&self, now: Timestamp<Raw>, size: Duration) -> Discontinuity {
        let rebooted = self.leader().is_some_and(|leader| {
            let window = leader.interval().duration() * RESTART_INTERVALS;
            let is_recent = |at: Timestamp<Raw>| now - at < window;
            leader.restarted.is_some_and(is_recent)
                // Nothing was received of it for so long that its sequence numbers do not show it.
                || (is_recent(leader.since) && size < -Duration::from_secs(1))
        });
        if rebooted { Discontinuity::Reboot(size) } else { Discontinuity::Jump(size) }
    }

    fn has_converged(&self) -> bool {
        let limit = if self.state() == State::Slave { DIVERGED_PPM } else { CONVERGED_PPM };
        self.estimator.depth() >= CONVERGED_DEPTH
            && self.estimator.map().is_some_and(|map| map.sigma.rate.ppm() < limit)
    }
}
