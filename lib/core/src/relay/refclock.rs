//! The samples for chrony: one for each Sync that dante4l accepted (or one average per interval), and the epoch offset (K), which
//! converts the leader's time to UTC.

use super::average::Average;
use super::epoch::{EpochRule, EpochSource, Evidence, Fixed, PauseReason, PublishedEpoch, Waiting};
use super::{Config, Output, State};
use crate::outputs::Outputs;
use crate::port::{PacketTimestamp, Sample};
use crate::time::{ClockMap, Duration, Raw, Real, Timestamp};
use crate::timescale::{MAX_RESUMED_ERROR, Timescale, was_stepped};
use crate::track::{Loss, TimelineKey};

/// Largest difference between the system clock and UTC by K of an earlier run at which that K is resumed. A larger one means that
/// the system clock was stepped meanwhile: at 100 ppm a drift by this much takes more than an hour.
const MAX_RESUMED_OFFSET: Duration = Duration::from_ms(500);

/// Largest age of a sample that is relayed. An older one was read late, because danteshm was delayed.
const MAX_SAMPLE_AGE: Duration = Duration::from_secs(1);

/// Largest uncertainty (one standard deviation) of the old clock map at which K is carried over to one that does not continue it. It
/// limits the jump of the reference that chrony sees at a leader change.
const MAX_CARRIED_UNCERTAINTY: Duration = Duration::from_ms(1);

/// Length of an output pause. chrony follows a jump between two samples of a `local` refclock. After more than 3 s without a
/// sample it restarts its filter instead, and the system clock does not follow the jump. 4 s include a margin of 1 s.
pub(super) const OUTPUT_PAUSE: Duration = Duration::from_secs(4);

/// A sample for a reference clock driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefclockSample {
    /// UTC by the reference (Dante time plus K) at the arrival of the Sync.
    pub reference: Timestamp<Real>,
    /// CLOCK_REALTIME at the same instant.
    pub received: Timestamp<Real>,
}

impl RefclockSample {
    /// Reference minus system clock, the sign of chrony: positive, the system clock is behind.
    pub fn ahead(&self) -> Duration {
        self.reference - self.received
    }
}

/// The samples, the epoch offset (K) and the output pauses.
#[derive(Debug)]
pub(super) struct Refclock {
    rule: EpochRule,
    average: Option<Average>,
    evidence: Evidence,
    feeding: bool,
    has_leader: bool,
    /// There is no source of UTC to set K from, and `NoUtc` was sent.
    no_utc: bool,
    /// Dante time plus K; `None` while K is not set.
    scale: Option<Timescale>,
    /// Source of K of `scale`.
    source: EpochSource,
    /// The last scale that was discarded. The next one reports by how much it differs.
    before: Option<Timescale>,
    /// K of an earlier run, until it is resumed or discarded.
    earlier: Option<PublishedEpoch>,
    /// K of the last sample written, in this run or an earlier one.
    published: Option<PublishedEpoch>,
    /// Arrival of the last accepted Sync on both clocks (RAW, REALTIME), also if no sample was written.
    seen: Option<(Timestamp<Raw>, Timestamp<Real>)>,
    /// The last Sync that was used: its arrival, and reference minus system clock.
    last: Option<(Timestamp<Raw>, Duration)>,
    paused_until: Option<Timestamp<Raw>>,
    /// One Sync causes three outputs at most: `Epoch` or `Fixed`, `Feeding`, `Write`.
    outputs: Outputs<Output, 4>,
}

impl Refclock {
    /// Makes a relay of samples that resumes K of an earlier run, if that run wrote a sample.
    pub fn new(config: Config, published: Option<PublishedEpoch>) -> Self {
        Self {
            rule: config.rule,
            average: config.every.map(Average::new),
            evidence: Evidence::default(),
            feeding: false,
            has_leader: false,
            no_utc: false,
            scale: None,
            source: EpochSource::Clock,
            before: None,
            earlier: published,
            published,
            seen: None,
            last: None,
            paused_until: None,
            outputs: Outputs::default(),
        }
    }

    /// Sets the sources that K may be set from.
    pub fn set_evidence(&mut self, evidence: Evidence) {
        self.evidence = evidence;
    }

    /// Returns the next output; to be called until it returns `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    /// Handles a Sync of the leader on timeline `key` with clock map `map`. `path_delay` is the mean path delay, zero where it is
    /// not measured.
    pub fn sync(
        &mut self,
        now: Timestamp<Raw>,
        key: TimelineKey,
        map: &ClockMap,
        sample: &Sample,
        path_delay: Duration,
    ) {
        self.has_leader = true;
        let PacketTimestamp { raw, real } = sample.arrived;
        let of_this_timeline = sample.timeline == key.number;
        // Skips Syncs that were handled already: the page repeats recent ones.
        let was_seen = self.seen.is_some_and(|(seen, _)| raw <= seen);
        if !sample.accepted || !of_this_timeline || was_seen || now - raw > MAX_SAMPLE_AGE {
            return;
        }
        // Also while no samples are written: K must not be set from a clock that is being stepped or slewed fast.
        if let Some((raw_before, real_before)) = self.seen.replace((raw, real)) {
            let elapsed = raw - raw_before;
            let moved = (real - real_before) - elapsed;
            if was_stepped(moved, elapsed) {
                return self.pause(raw + OUTPUT_PAUSE, PauseReason::Stepped(moved));
            }
        }
        if self.paused_until.is_some_and(|until| raw < until) {
            return;
        }
        self.paused_until = None;
        let mut scale = match self.scale {
            Some(scale) => scale,
            None => match self.fixed(key, map, sample.arrived) {
                Some(scale) => scale,
                None => return,
            },
        };
        let sigma = scale.map().uncertainty_at(raw).offset;
        if sigma > MAX_CARRIED_UNCERTAINTY && scale.replaced_by(key, map, raw).is_some() {
            return self.pause(raw + OUTPUT_PAUSE, PauseReason::Uncertain(sigma));
        }
        if let Some(change) = scale.follow(key, *map, raw) {
            self.outputs.push(Output::Epoch(change));
        }
        let reference = scale.utc_of(sample.origin + path_delay);
        let published = RefclockSample { reference, received: real };
        if let Some((last, before)) = self.last
            && was_stepped(published.ahead() - before, raw - last)
        {
            return self.pause(raw + OUTPUT_PAUSE, PauseReason::Jump(published.ahead() - before));
        }
        self.scale = Some(scale);
        self.last = Some((raw, published.ahead()));
        if !std::mem::replace(&mut self.feeding, true) {
            self.outputs.push(Output::Feeding);
        }
        let published = match &mut self.average {
            Some(average) => average.add(raw, published),
            None => Some(published),
        };
        if let Some(published) = published {
            self.published =
                Some(PublishedEpoch { key, epoch: scale.epoch_at(raw), source: self.source, last: now });
            self.outputs.push(Output::Write(published));
        }
    }

    /// Sets K from the previous run, from dante2sys, or from the system clock. Returns `None` if there is no source, or if an output
    /// pause begins.
    fn fixed(&mut self, key: TimelineKey, map: &ClockMap, arrived: PacketTimestamp) -> Option<Timescale> {
        let PacketTimestamp { raw, real } = arrived;
        let mut resumed = None;
        if let Some(published) = self.earlier.take() {
            let scale = Timescale::resumed(key, *map, published.epoch);
            let ahead = scale.utc_at(raw) - real;
            // The key differs where dante4l was restarted too.
            let allowed = if published.key == key { MAX_RESUMED_OFFSET } else { MAX_RESUMED_ERROR };
            if self.rule.allows(published.source) && ahead.abs() <= allowed {
                resumed = Some((scale, published.source));
            } else if raw < published.last + OUTPUT_PAUSE {
                self.pause(published.last + OUTPUT_PAUSE, PauseReason::Forgotten);
                return None;
            }
        }
        let is_resumed = resumed.is_some();
        let Some((scale, source)) = resumed.or_else(|| self.newly_fixed(key, map, arrived)) else {
            if !std::mem::replace(&mut self.no_utc, true) {
                self.outputs.push(Output::NoUtc(self.evidence.kernel));
            }
            return None;
        };
        self.no_utc = false;
        let moved = self.before.take().map(|before| scale.utc_at(raw) - before.utc_at(raw));
        let ahead = scale.utc_at(raw) - real;
        let epoch = scale.epoch_at(raw);
        self.outputs.push(Output::Fixed(Fixed { epoch, source, is_resumed, moved, ahead }));
        self.source = source;
        Some(scale)
    }

    fn newly_fixed(
        &self,
        key: TimelineKey,
        map: &ClockMap,
        arrived: PacketTimestamp,
    ) -> Option<(Timescale, EpochSource)> {
        let source = self.evidence.source(self.rule, key)?;
        let scale = match (source, self.evidence.steered) {
            (EpochSource::Dante2sys, Some(steered)) => {
                let utc = steered.utc_at(map.dante_at(arrived.raw))?;
                Timescale::fixed_at(key, *map, arrived.raw, utc)
            }
            _ => Timescale::fixed_at(key, *map, arrived.raw, arrived.real),
        };
        Some((scale, source))
    }

    /// Begins or extends an output pause, so that chrony does not follow a jump of the reference.
    fn pause(&mut self, until: Timestamp<Raw>, why: PauseReason) {
        // Further steps of the clock extend the pause; only its start is reported.
        if self.paused_until.is_none() || self.scale.is_some() {
            self.outputs.push(Output::Paused(why));
        }
        self.before = self.scale.take().or(self.before);
        self.last = None;
        self.paused_until = Some(until);
        self.stop_writing();
    }

    /// Stops writing samples because there is no leader, for the reason `loss`.
    pub fn lost(&mut self, loss: Loss) {
        if self.feeding {
            self.outputs.push(Output::Stopped(loss));
        }
        self.has_leader = false;
        self.stop_writing();
    }

    fn stop_writing(&mut self) {
        if let Some(average) = &mut self.average {
            average.clear();
        }
        if std::mem::replace(&mut self.feeding, false) {
            self.outputs.push(Output::Withdraw);
        }
    }

    /// Whether samples are written.
    pub fn state(&self) -> State {
        if self.feeding { State::Feeding } else { State::Waiting }
    }

    /// What the relay waits for while it writes no samples.
    pub fn waiting(&self) -> Waiting {
        match (self.feeding, self.has_leader, self.paused_until) {
            (true, ..) => Waiting::Nothing,
            (_, true, Some(_)) => Waiting::Pause,
            (_, true, None) if self.no_utc => Waiting::Utc,
            _ => Waiting::Leader,
        }
    }

    /// Whether K is set.
    pub fn has_epoch(&self) -> bool {
        self.scale.is_some()
    }

    /// K of the last sample written, in this run or an earlier one.
    pub fn published_epoch(&self) -> Option<&PublishedEpoch> {
        self.published.as_ref()
    }
}

#[cfg(test)]
mod tests;
