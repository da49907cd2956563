//! The state of the whole chain, as `get status --json` prints it: schema 2, documented in docs/status.md.

mod network;
#[cfg(test)]
mod tests;

use crate::finding::{self, Finding};
use crate::pages::{Pages, Read, freshness};
use crate::shown::{Named, Word, shown};
use crate::verdict::{self, Verdict};
use dante_core::page::{
    Dante2sysStatus, Dante4lStatus, DanteshmStatus, Freshness, OutputRecord, STATUS_UTC_BY_HAND,
    STATUS_UTC_SYNCHRONISED,
};
use dante_core::relay::OutputKind;
use dante_core::relay::{self, EpochSource, Waiting};
use dante_core::steer;
use dante_core::steer::{RtcMode, SteeredClock, UtcSource};
use dante_core::time::{Duration, Offset, Raw, Timestamp};
use dante_core::utc::{Leap, Policy};
pub use network::{Following, Heard, Leader, Port, Sample};

/// The version of the schema.
pub const SCHEMA: u32 = 2;

shown! {
    /// The state of the whole suite on one host, as its programs publish it.
    Status of (pages: &Pages) {
        /// The version of this schema: within it keys are only ever added.
        #[cfg_attr(test, schemars(extend("const" = SCHEMA)))]
        schema: u32 = SCHEMA,
        /// The answer in a word: `synchronised`, soon (`acquiring`), without a leader (`holdover`), heard and not followed (`unused`), not,
        /// or not known.
        verdict: Verdict = verdict::of(pages).verdict,
        /// The observer.
        dante4l: Observer = Observer::of(&pages.dante4l, pages.now),
        /// What steers the clock.
        dante2sys: Steerer = Steerer::of(&pages.dante2sys, pages.now),
        /// What relays to chrony.
        danteshm: Relay = Relay::of(&pages.danteshm, pages.now),
        /// What is not as it should be, in the order of the data's flow; empty while nothing is wrong.
        findings: Vec<Finding> = finding::of(pages),
    }

    /// What every program's part begins with. What follows is there unless `page` is `absent`, `foreign` or `layout`; with `stale`
    /// and `stopped` it is the last that the program said.
    Page of (freshness: Freshness) {
        /// True only if `page` is `fresh`.
        running: bool = freshness == Freshness::Fresh,
        /// `stale`: the writer was killed or hangs; `stopped`: it ended in good order; `foreign`: the page belongs to somebody who must
        /// not write it; `layout`: it is of another version.
        page: Named<Freshness> = Named(freshness),
    }

    /// dante4l. `state`, `leader`, `rate_ppb` and the rest speak of the port `selected`.
    Observer of (read: &Read<Dante4lStatus>, now: Timestamp<Raw>) {
        #[serde(flatten)]
        life: Page = Page::of(freshness(read)),
        #[serde(flatten)]
        said: Option<Following> = read.as_ref().ok().map(|view| Following::of(&view.body, now)),
    }

    /// Seconds and nanoseconds of the same sign: a single number would lose digits beyond 2^53.
    SplitOffset of (offset: Offset) let (split = offset.split()) {
        /// Whole seconds.
        s: i64 = split.0,
        /// The rest, ns.
        ns: i64 = split.1,
    }

    /// dante2sys.
    Steerer of (read: &Read<Dante2sysStatus>, now: Timestamp<Raw>) {
        #[serde(flatten)]
        life: Page = Page::of(freshness(read)),
        #[serde(flatten)]
        said: Option<Steering> = read.as_ref().ok().map(|view| Steering::of(&view.body, now)),
    }

    Steering of (body: &Dante2sysStatus, now: Timestamp<Raw>) let (has_scale = body.epoch().is_some()) {
        /// LOCKED: the clock is held on Dante + K.
        state: Word<steer::State> = Word(body.state()),
        /// What is steered; `hardware`: a PTP hardware clock.
        clock: Word<SteeredClock> = Word(SteeredClock::from_number(body.clock)),
        /// What the clock was given, as timex knows it; +10: it gains 10 ns a second on CLOCK_MONOTONIC_RAW.
        frequency_ppb: f64 = body.frequency * 1e9,
        /// The clock's rate minus the leader's.
        rate_error_ppb: Option<f64> = body.rate_error().map(|rate| rate.ppb()),
        /// Steered clock minus (Dante + K), ns; null while there is no leader.
        phase_error_ns: Option<i64> = body.phase_error().map(Offset::ns),
        /// One standard deviation of Dante + K, now, ns; grows in holdover.
        phase_uncertainty_ns: Option<i64> = has_scale.then_some(body.phase_sigma_ns),
        /// One standard deviation of the leader's rate, now; grows in holdover.
        rate_uncertainty_ppb: Option<f64> = has_scale.then_some(body.rate_sigma * 1e9),
        /// K, the date of the leader's zero.
        epoch: Option<SplitOffset> = body.epoch().map(|epoch| SplitOffset::of(Offset::from_ns(epoch.ns()))),
        /// Frequencies that were set.
        corrections: u64 = body.corrections,
        /// How often another program was seen to steer the clock.
        interference: u64 = body.disturbances,
        /// The date.
        utc: Utc = Utc::of(body, now),
        /// The hardware clock that tells the date at boot.
        rtc: Rtc = Rtc::of(body),
    }

    /// What the clock's date is worth.
    Utc of (body: &Dante2sysStatus, now: Timestamp<Raw>) let (date = body.utc()) {
        /// Where it comes from.
        source: Word<UtcSource> = Word(UtcSource::from_number(body.utc_source)),
        /// What gives way where leader and UTC differ.
        policy: Word<Policy> = Word(body.policy()),
        /// The kernel is told that the clock is synchronised.
        synchronised: bool = body.flags & STATUS_UTC_SYNCHRONISED != 0,
        /// Somebody set another date: it is left as it is.
        set_by_hand: bool = body.flags & STATUS_UTC_BY_HAND != 0,
        /// The clock minus UTC, as estimated, ns.
        error_ns: Option<i64> = date.map(|date| date.error_ns),
        /// One standard deviation of that, ns.
        uncertainty_ns: Option<i64> = date.map(|date| date.sigma_ns),
        /// The date is not further off, if the servers are right, ns.
        bound_ns: Option<i64> = date.map(|date| date.bound_ns),
        /// Since the date was last measured, s.
        age_s: Option<f64> = date.map(|date| (now - Timestamp::from_ns(date.measured_raw_ns)).secs_f64()),
        /// The leader's rate against UTC; +12000: its seconds gain a second a day.
        leader_rate_ppb: Option<f64> = date.map(|date| date.leader_rate * 1e9),
        /// One standard deviation of it.
        leader_rate_uncertainty_ppb: Option<f64> = date.map(|date| date.leader_rate_sigma * 1e9),
        /// What the policy adds to the leader's rate.
        slew_ppb: f64 = body.slew * 1e9,
        /// The sum of both: how the clock drifts off UTC.
        drift_ppb: Option<f64> = date.map(|date| (date.leader_rate + body.slew) * 1e9),
        /// Steps for the date's sake since the start.
        steps: u64 = body.date_steps,
        /// Time servers that agreed the last time.
        servers_agreeing: u8 = body.agreeing,
        /// How far apart the servers are asked, s.
        interval_s: f64 = Duration::from_ns(body.interval_ns).secs_f64(),
        /// A leap second at the end of the UTC day, as the servers announce it.
        leap: Word<Leap> = Word(Leap::from_number(body.leap)),
    }

    /// The hardware clock that tells the date at boot.
    Rtc of (body: &Dante2sysStatus) {
        /// Who keeps it: dante2sys (`device`), the kernel, nobody.
        mode: Word<RtcMode> = Word(RtcMode::from_number(body.rtc)),
        /// The date that dante2sys wrote last, s since 1970.
        written_utc_s: Option<i64> = (body.rtc_written_ns != 0).then_some(body.rtc_written_ns / 1_000_000_000),
    }

    /// danteshm.
    Relay of (read: &Read<DanteshmStatus>, now: Timestamp<Raw>) {
        #[serde(flatten)]
        life: Page = Page::of(freshness(read)),
        #[serde(flatten)]
        said: Option<Relaying> = read.as_ref().ok().map(|view| Relaying::of(&view.body, now)),
    }

    Relaying of (body: &DanteshmStatus, now: Timestamp<Raw>) let (told = body.published_epoch()) {
        /// FEEDING: chrony is told.
        state: Word<relay::State> = Word(body.state()),
        /// What is missing; `silence`: chrony is to begin anew; null while feeding.
        waiting_for: Option<Word<Waiting>> = Some(Word(body.waiting())).filter(|waiting| !waiting.is(Waiting::Nothing)),
        /// K by which a date was last told, in this run or before.
        epoch: Option<SplitOffset> = told.map(|told| SplitOffset::of(Offset::from_ns(told.epoch.ns()))),
        /// Where that K is from.
        epoch_source: Option<Named<EpochSource>> = told.map(|told| Named(told.source)),
        /// Where samples go.
        outputs: Vec<Output> = body.outputs().iter().map(|record| Output::of(record, now)).collect(),
    }

    /// One place where samples go.
    Output of (record: &OutputRecord, now: Timestamp<Raw>) let (was_used = record.last_sample_raw_ns != 0) {
        /// As the option of danteshm that opens it is called: man danteshm. More kinds may be added within the schema.
        #[cfg_attr(test, schemars(with = "String"))]
        kind: Word<OutputKind> = Word(record.kind()),
        /// Number; null where it has none.
        unit: Option<u32> = record.unit(),
        /// Where it is in the file system; null where it has no path.
        path: Option<String> = record.path().map(|path| path.to_string()),
        /// What is sent there arrives, as far as can be told.
        ready: bool = record.ready != 0,
        /// Programs that read it; null where they are not counted.
        clients: Option<u64> = record.clients(),
        /// Written or sent since the start.
        samples: u64 = record.samples,
        /// That could not be.
        lost: u64 = record.lost,
        /// Since the last one, s.
        last_sample_age_s: Option<f64> = was_used.then(|| (now - Timestamp::from_ns(record.last_sample_raw_ns)).secs_f64()),
    }
}
