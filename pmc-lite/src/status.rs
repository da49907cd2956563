//! State of the whole chain, as `get status --json` prints it: schema 2, documented in docs/status.md.

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
use dante_core::relay::{self, Delivery, EpochSource, OutputKind, Waiting};
use dante_core::steer;
use dante_core::steer::{RtcMode, SteeredClock, UtcSource};
use dante_core::time::{Duration, Offset, Raw, Timestamp};
use dante_core::utc::{Leap, Policy};
pub use network::{Candidate, Following, ForeignLeader, Leader, Port, Sample};

/// Version of the schema.
pub const SCHEMA: u32 = 2;

shown! {
    /// State of the suite on one host, as its programs publish it.
    Status of (pages: &Pages) {
        /// Version of this schema. Within a version, keys are only added.
        #[cfg_attr(test, schemars(extend("const" = SCHEMA)))]
        schema: u32 = SCHEMA,
        /// Whether this host's clock is synchronised to the leader.
        verdict: Verdict = verdict::of(pages).verdict,
        /// State of dante4l, which receives the leader.
        dante4l: Observer = Observer::of(&pages.dante4l, pages.now),
        /// State of dante2sys, which steers the clock.
        dante2sys: Steerer = Steerer::of(&pages.dante2sys, pages.now),
        /// State of danteshm, which feeds chrony.
        danteshm: Relay = Relay::of(&pages.danteshm, pages.now),
        /// Problems, in the order from the leader to the clock; empty without problems.
        findings: Vec<Finding> = finding::of(pages),
    }

    /// The keys that each program has. The others are missing if `page` is `absent`, `foreign` or `layout`, and if a `stale` page
    /// is inconsistent; with `stale` and `stopped` they have the last published values.
    Page of (freshness: Freshness) {
        /// True only if `page` is `fresh`.
        running: bool = freshness == Freshness::Fresh,
        /// State of the page. `fresh`: its writer is running; `stale`: the writer crashed, was killed or hangs, or the page is
        /// inconsistent; `stopped`: the writer ended in good order; `absent`: there is no page, or nothing was written to it yet;
        /// `foreign`: it is not trusted (wrong owner, writable by others, no regular file) or cannot be read; `layout`: it is of
        /// another version, or damaged.
        page: Named<Freshness> = Named(freshness),
    }

    /// dante4l. `state`, `leader`, `rate_ppb` and the other keys are those of the port `selected`.
    Observer of (read: &Read<Dante4lStatus>, now: Timestamp<Raw>) {
        #[serde(flatten)]
        life: Page = Page::of(freshness(read)),
        #[serde(flatten)]
        published: Option<Following> = read.as_ref().ok().map(|view| Following::of(&view.body, now)),
    }

    /// Seconds and nanoseconds of the same sign: a single JSON number would lose digits above 2^53.
    SplitOffset of (offset: Offset) let (split = offset.split()) {
        /// Whole seconds.
        s: i64 = split.0,
        /// Remainder, ns.
        ns: i64 = split.1,
    }

    /// dante2sys.
    Steerer of (read: &Read<Dante2sysStatus>, now: Timestamp<Raw>) {
        #[serde(flatten)]
        life: Page = Page::of(freshness(read)),
        #[serde(flatten)]
        published: Option<Steering> = read.as_ref().ok().map(|view| Steering::of(&view.body, now)),
    }

    Steering of (body: &Dante2sysStatus, now: Timestamp<Raw>) let (has_scale = body.epoch().is_some()) {
        /// LOCKED: the clock is synchronised to the leader.
        state: Word<steer::State> = Word(body.state()),
        /// The steered clock; `virtual`: a clock in the process; `hardware`: a PTP hardware clock.
        clock: Word<SteeredClock> = Word(SteeredClock::from_number(body.clock)),
        /// Frequency correction of the clock, with the sign of timex; +10: the clock gains 10 ns a second on CLOCK_MONOTONIC_RAW.
        frequency_ppb: f64 = body.frequency * 1e9,
        /// Rate of the clock minus rate of the leader.
        rate_error_ppb: Option<f64> = body.rate_error().map(|rate| rate.ppb()),
        /// Steered clock minus (Dante time + epoch offset K), ns; null without a leader.
        phase_error_ns: Option<i64> = body.phase_error().map(Offset::ns),
        /// One standard deviation of Dante time + K, now, ns; grows in holdover.
        phase_uncertainty_ns: Option<i64> = has_scale.then_some(body.phase_sigma_ns),
        /// One standard deviation of the leader's rate, now; grows in holdover.
        rate_uncertainty_ppb: Option<f64> = has_scale.then_some(body.rate_sigma * 1e9),
        /// Epoch offset K: UTC minus Dante time, the UTC at which Dante time was zero.
        epoch: Option<SplitOffset> = body.epoch().map(|epoch| SplitOffset::of(Offset::from_ns(epoch.ns()))),
        /// Number of frequency corrections since the start.
        corrections: u64 = body.corrections,
        /// Number of times that another program steered the clock, or that it was set by hand.
        interference: u64 = body.disturbances,
        /// UTC of the steered clock.
        utc: Utc = Utc::of(body, now),
        /// The RTC, which the system clock is set from at boot.
        rtc: Rtc = Rtc::of(body),
    }

    /// UTC of the steered clock: source, error and policy.
    Utc of (body: &Dante2sysStatus, now: Timestamp<Raw>) let (utc = body.utc()) {
        /// Source of UTC.
        source: Word<UtcSource> = Word(UtcSource::from_number(body.utc_source)),
        /// UTC policy: what dante2sys corrects if leader and UTC run at different rates.
        policy: Word<Policy> = Word(body.policy()),
        /// UTC is synchronised: the UTC bound is below `--max-utc-error`, UTC was not set by hand, and dante2sys steers the clock.
        synchronised: bool = body.flags & STATUS_UTC_SYNCHRONISED != 0,
        /// The clock was set by hand to another time, which dante2sys does not correct.
        set_by_hand: bool = body.flags & STATUS_UTC_BY_HAND != 0,
        /// UTC error: the clock minus UTC, as estimated, ns.
        error_ns: Option<i64> = utc.map(|utc| utc.error_ns),
        /// One standard deviation of that, ns.
        uncertainty_ns: Option<i64> = utc.map(|utc| utc.sigma_ns),
        /// UTC bound: the magnitude of the UTC error is smaller than this, if the servers are right, ns.
        bound_ns: Option<i64> = utc.map(|utc| utc.bound_ns),
        /// Time since the last measurement of UTC, s.
        age_s: Option<f64> = utc.map(|utc| (now - Timestamp::from_ns(utc.measured_raw_ns)).secs_f64()),
        /// Rate of the leader against UTC; +12000: the leader gains about a second a day.
        leader_rate_ppb: Option<f64> = utc.map(|utc| utc.leader_rate * 1e9),
        /// One standard deviation of it.
        leader_rate_uncertainty_ppb: Option<f64> = utc.map(|utc| utc.leader_rate_sigma * 1e9),
        /// Rate that the policy adds to the leader's.
        slew_ppb: f64 = body.slew * 1e9,
        /// Sum of `leader_rate_ppb` and `slew_ppb`: the drift of the clock from UTC.
        drift_ppb: Option<f64> = utc.map(|utc| (utc.leader_rate + body.slew) * 1e9),
        /// Number of steps to correct the UTC error since the start.
        steps: u64 = body.utc_steps,
        /// Number of NTP servers that agreed in the last round.
        servers_agreeing: u8 = body.agreeing,
        /// Interval of the NTP queries, s.
        interval_s: f64 = Duration::from_ns(body.interval_ns).secs_f64(),
        /// Leap second at the end of the UTC day, as announced by the servers.
        leap: Word<Leap> = Word(Leap::from_number(body.leap)),
    }

    /// The RTC, which the system clock is set from at boot.
    Rtc of (body: &Dante2sysStatus) {
        /// Writer of the RTC: dante2sys (`device`), the kernel (`kernel`), none (`off`).
        mode: Word<RtcMode> = Word(RtcMode::from_number(body.rtc)),
        /// UTC when dante2sys last wrote the RTC, s since 1970; null if never.
        written_utc_s: Option<i64> = (body.rtc_written_ns != 0).then_some(body.rtc_written_ns / 1_000_000_000),
    }

    /// danteshm.
    Relay of (read: &Read<DanteshmStatus>, now: Timestamp<Raw>) {
        #[serde(flatten)]
        life: Page = Page::of(freshness(read)),
        #[serde(flatten)]
        published: Option<Relaying> = read.as_ref().ok().map(|view| Relaying::of(&view.body, now)),
    }

    Relaying of (body: &DanteshmStatus, now: Timestamp<Raw>) let (epoch = body.published_epoch()) {
        /// FEEDING: danteshm writes samples; `outputs` shows whether a program reads them.
        state: Word<relay::State> = Word(body.state()),
        /// What danteshm waits for; null while it writes samples. `leader`: dante4l is not locked to a leader; `utc`: there is no
        /// source to set K from; `pause`: an output pause, so that chrony does not follow a jump.
        waiting_for: Option<Word<Waiting>> = Some(Word(body.waiting())).filter(|waiting| !waiting.is(Waiting::Nothing)),
        /// Epoch offset K (UTC minus Dante time) of the last sample, in this run or an earlier one.
        epoch: Option<SplitOffset> = epoch.map(|published| SplitOffset::of(Offset::from_ns(published.epoch.ns()))),
        /// Source of that K. `clock`: the system clock, synchronised; `unsynchronised`: the system clock, not known to be
        /// synchronised.
        epoch_source: Option<Named<EpochSource>> = epoch.map(|published| Named(published.source)),
        /// Outputs for samples.
        outputs: Vec<Output> = body.outputs().iter().map(|record| Output::of(record, now)).collect(),
    }

    /// One output for samples.
    Output of (record: &OutputRecord, now: Timestamp<Raw>) let (was_used = record.last_sample_raw_ns != 0) {
        /// Name of the option of danteshm that opens it (man danteshm). More kinds may be added within the schema.
        #[cfg_attr(test, schemars(with = "String"))]
        kind: Word<OutputKind> = Word(record.kind()),
        /// Unit number; null if it has none.
        unit: Option<u32> = record.unit(),
        /// Path; null if it has none.
        path: Option<String> = record.path().map(|path| path.to_string()),
        /// The segment or socket is open and accepts samples; `delivery` shows whether a program reads them.
        ready: bool = record.ready != 0,
        /// Whether the samples reach a program. `pending`: not known yet; `delivered`: a program reads them, or a `usrvclock` has a
        /// client; `not_read`: a program has the output open and does not read it; `not_attached`: no program has it open;
        /// `unavailable`: danteshm cannot open it.
        delivery: Word<Delivery> = Word(record.delivery()),
        /// Number of clients; null if they are not counted.
        clients: Option<u64> = record.clients(),
        /// Number of samples that were written or sent since the start.
        samples: u64 = record.samples,
        /// Number of samples that could not be written or sent.
        lost: u64 = record.lost,
        /// Time since the last sample, s.
        last_sample_age_s: Option<f64> = was_used.then(|| (now - Timestamp::from_ns(record.last_sample_raw_ns)).secs_f64()),
        /// Time since a program last took a sample (`shm`), or the socket last accepted one (`sock`), s; null if never.
        last_read_age_s: Option<f64> =
            (record.last_read_raw_ns != 0).then(|| (now - Timestamp::from_ns(record.last_read_raw_ns)).secs_f64()),
        /// Number of times that the segment or socket was made or opened again because another process removed or replaced it.
        recreated: u64 = record.recreated,
        /// Number of clients that were rejected or removed because the places are shared among users; null if clients are not counted.
        clients_rejected: Option<u64> = record.clients().map(|_| record.rejected),
    }
}
