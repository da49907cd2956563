//! The samples for chrony: one for each Sync that dante4l accepted, and the epoch offset (K) that makes its time UTC.

use super::average::Average;
use super::epoch::{Break, EpochRule, EpochSource, Evidence, Fixed, PublishedEpoch, Waiting};
use super::{Config, Output, State};
use crate::outputs::Outputs;
use crate::port::{PacketTimestamp, Sample};
use crate::time::{ClockMap, Duration, Raw, Real, Timestamp};
use crate::timescale::{Timescale, was_stepped};
use crate::track::{Loss, TimelineKey};

/// A K of an earlier run that leads further than this from the system clock is not gone on with: in between it was
/// stepped, and more than an hour at 100 ppm it was not.
const RESUMABLE: Duration = Duration::from_ms(500);

/// A sample that is older when it is seen is not published: this program was held up.
const LATE: Duration = Duration::from_secs(1);

/// Another timeline is not joined to a map that has become more uncertain than this since its last measurement: what
/// chrony is to see of a leader change.
const JOINABLE: Duration = Duration::from_ms(1);

/// chrony unwraps a `local` refclock from sample to sample and follows a jump; after more than 3 s without a sample it
/// begins anew, undisturbed.
pub(super) const OUTPUT_PAUSE: Duration = Duration::from_secs(4);

/// A sample for a reference clock driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefclockSample {
    /// The date that the reference shows.
    pub reference: Timestamp<Real>,
    /// CLOCK_REALTIME at the same instant.
    pub received: Timestamp<Real>,
}

impl RefclockSample {
    /// Reference minus system clock, as chrony looks at it: positive, the system clock is behind.
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
    /// There is a leader.
    led: bool,
    /// It has no date, and that was said.
    no_utc: bool,
    scale: Option<Timescale>,
    /// Where its K is from.
    source: EpochSource,
    /// The scale that was given up last, to tell how far the next one is from it.
    before: Option<Timescale>,
    /// K of an earlier run, until it is resumed or given up.
    earlier: Option<PublishedEpoch>,
    /// K of the last sample written, in this run or an earlier one.
    published: Option<PublishedEpoch>,
    /// The last Sync that was looked at: both clocks at its arrival.
    seen: Option<(Timestamp<Raw>, Timestamp<Real>)>,
    /// The last Sync that was published: its arrival, and how far the reference was from the system clock.
    last: Option<(Timestamp<Raw>, Duration)>,
    paused_until: Option<Timestamp<Raw>>,
    /// A Sync causes three at most: `Epoch` or `Fixed`, `Feeding`, `Write`.
    outputs: Outputs<Output, 4>,
}

impl Refclock {
    /// Resumes K of an earlier run, if that wrote a sample.
    pub fn new(config: Config, published: Option<PublishedEpoch>) -> Self {
        Self {
            rule: config.rule,
            average: config.every.map(Average::new),
            evidence: Evidence::default(),
            feeding: false,
            led: false,
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

    /// Takes what K may be fixed to from now on.
    pub fn set_evidence(&mut self, evidence: Evidence) {
        self.evidence = evidence;
    }

    /// The next output; call until it is `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    /// Takes a Sync of the leader on timeline `key`, whose clock map is `map`. The mean path delay is zero where it is
    /// not measured.
    pub fn sync(
        &mut self,
        now: Timestamp<Raw>,
        key: TimelineKey,
        map: &ClockMap,
        sample: &Sample,
        path_delay: Duration,
    ) {
        self.led = true;
        let PacketTimestamp { raw, real } = sample.arrived;
        let of_this_timeline = sample.timeline == key.number;
        // A Sync is named by its instant: whatever the page repeats, it is looked at once.
        let was_seen = self.seen.is_some_and(|(seen, _)| raw <= seen);
        if !sample.accepted || !of_this_timeline || was_seen || now - raw > LATE {
            return;
        }
        // Also while nothing is written: a clock that somebody steps, or slews in haste, is no date to take.
        if let Some((raw_before, real_before)) = self.seen.replace((raw, real)) {
            let elapsed = raw - raw_before;
            let moved = (real - real_before) - elapsed;
            if was_stepped(moved, elapsed) {
                return self.pause(raw + OUTPUT_PAUSE, Break::Stepped(moved));
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
        if scale.key() != key && scale.map().uncertainty_at(raw).offset > JOINABLE {
            return self.pause(raw + OUTPUT_PAUSE, Break::Uncertain(scale.map().uncertainty_at(raw).offset));
        }
        if let Some(change) = scale.follow(key, *map, raw) {
            self.outputs.push(Output::Epoch(change));
        }
        let reference = scale.utc_of(sample.origin + path_delay);
        let published = RefclockSample { reference, received: real };
        if let Some((last, before)) = self.last
            && was_stepped(published.ahead() - before, raw - last)
        {
            return self.pause(raw + OUTPUT_PAUSE, Break::Jump(published.ahead() - before));
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

    /// Fixes K: to that of the run before, to dante2sys', or to where the system clock is.
    fn fixed(&mut self, key: TimelineKey, map: &ClockMap, arrived: PacketTimestamp) -> Option<Timescale> {
        let PacketTimestamp { raw, real } = arrived;
        let mut resumed = None;
        if let Some(published) = self.earlier.take() {
            let scale = Timescale::resumed(published.key, *map, published.epoch);
            let ahead = scale.utc_at(raw) - real;
            if published.key == key && self.rule.allows(published.source) && ahead.abs() <= RESUMABLE {
                resumed = Some((scale, published.source));
            } else if raw < published.last + OUTPUT_PAUSE {
                self.pause(published.last + OUTPUT_PAUSE, Break::Forgotten);
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

    /// Chrony must not see the jump that would follow.
    fn pause(&mut self, until: Timestamp<Raw>, why: Break) {
        // A clock that goes on moving goes on being waited for, and that is said once.
        if self.paused_until.is_none() || self.scale.is_some() {
            self.outputs.push(Output::Paused(why));
        }
        self.before = self.scale.take().or(self.before);
        self.last = None;
        self.paused_until = Some(until);
        self.cease();
    }

    /// Takes the reason why there is no leader.
    pub fn lost(&mut self, loss: Loss) {
        if self.feeding {
            self.outputs.push(Output::Stopped(loss));
        }
        self.led = false;
        self.cease();
    }

    fn cease(&mut self) {
        if let Some(average) = &mut self.average {
            average.forget();
        }
        if std::mem::replace(&mut self.feeding, false) {
            self.outputs.push(Output::Withdraw);
        }
    }

    /// Whether samples are being written.
    pub fn state(&self) -> State {
        if self.feeding { State::Feeding } else { State::Waiting }
    }

    /// What is missing while none are written.
    pub fn waiting(&self) -> Waiting {
        match (self.feeding, self.led, self.paused_until) {
            (true, ..) => Waiting::Nothing,
            (_, true, Some(_)) => Waiting::Pause,
            (_, true, None) if self.no_utc => Waiting::Utc,
            _ => Waiting::Leader,
        }
    }

    /// Whether K is fixed.
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
