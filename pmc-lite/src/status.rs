//! The state of the whole chain, as `get status --json` prints it: schema 1, documented in docs/status.md.

use crate::finding::{self, Finding};
use crate::pages::{Pages, Read, freshness};
use crate::shown::shown;
use crate::verdict::{self, Verdict};
use dante_core::page::{
    Dante2sys, Dante4l, Danteshm, Freshness, HeardRecord, LeaderRecord, OutputKind, OutputRecord, PortRecord,
    RtcMode, STEER_DATE_GOOD, STEER_DATE_LEFT, StampSource, SteeredClock, UtcSource,
};
use dante_core::port::Counters;
use dante_core::relay::Waiting;
use dante_core::time::{Duration, Offset, Raw, Timestamp};
use dante_core::wire::{ClockIdentifier, Subdomain, Uuid};
use serde::Serializer;

#[cfg(test)]
mod schema;
#[cfg(test)]
mod tests;

/// A number on a page that this program has no word for; its layout version should have told.
const UNKNOWN: &str = "unknown";

shown! {
    /// The state of the whole suite on one host, as its programs publish it.
    Status of (pages: &Pages) {
        /// The version of this schema: within it keys are only ever added.
        #[cfg_attr(test, schemars(extend("const" = 1)))]
        schema: u32 = 1,
        /// The answer in a word: `in_step`, soon (`acquiring`), without a leader (`holdover`), heard and not followed (`unused`), not,
        /// or not known.
        verdict: Verdict = verdict::of(pages).0,
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
        #[cfg_attr(test, schemars(extend("enum" = schema::pages())))]
        page: &'static str = freshness.name(),
    }

    /// dante4l. `state`, `leader`, `rate_ppb` and the rest speak of the port `selected`.
    Observer of (read: &Read<Dante4l>, now: Timestamp<Raw>) {
        #[serde(flatten)]
        life: Page = Page::of(freshness(read)),
        #[serde(flatten)]
        said: Option<Following> = read.as_ref().ok().map(|view| Following::of(&view.body, now)),
    }

    Following of (body: &Dante4l, now: Timestamp<Raw>) let (
        port = body.selected(),
        sample = port.and_then(PortRecord::last_sample),
        map = port.and_then(PortRecord::map),
        sigma = map.map(|map| map.uncertainty_at(now)),
        leader = port.and_then(PortRecord::leader),
    ) {
        /// IEEE 1588-2002, 7.3; SLAVE follows a leader.
        #[cfg_attr(test, schemars(extend("enum" = schema::words(&dante_core::port::State::ALL))))]
        state: String = word(port.and_then(PortRecord::state)),
        /// Index into `ports`.
        selected: u32 = body.selected,
        /// Rises with each discontinuity of Dante time; 0 before the first leader.
        timeline: u64 = port.map_or(0, |port| port.timeline),
        /// Who is followed.
        leader: Option<Leader> = leader.map(Leader::of),
        /// CLOCK_REALTIME minus the leader's time at the last Sync.
        offset: Option<SplitOffset> = sample.map(|sample| SplitOffset::of(Offset::between(sample.arrived.real, sample.origin))),
        /// The last Sync against the map, ns: local minus leader, positive when it was late.
        residual_ns: Option<i64> = sample.map(|sample| sample.residual.ns()),
        /// The leader's rate against CLOCK_MONOTONIC_RAW; +10: the leader gains 10 ns a second.
        rate_ppb: Option<f64> = map.map(|map| map.line.rate.ppb()),
        /// One standard deviation of that, now.
        rate_uncertainty_ppb: Option<f64> = sigma.map(|sigma| sigma.rate.ppb()),
        /// One standard deviation of the map, now, ns; leaves out the path delay unless it was measured.
        offset_uncertainty_ns: Option<i64> = sigma.map(|sigma| sigma.offset.ns()),
        /// Path delay from the leader to here, ns, asymmetry included; null unless measured or given.
        path_delay_ns: Option<i64> = port.and_then(PortRecord::path_delay).map(|delay| delay.ns()),
        /// As the leader advertises it, ms.
        sync_interval_ms: Option<i64> = leader.map(|leader| leader.sync_interval_ns / 1_000_000),
        /// Since the last Sync that was measured, s.
        last_sync_age_s: Option<f64> = sample.map(|sample| (now - sample.arrived.raw).secs_f64()),
        /// The networks that are listened to.
        ports: Vec<Port> = body.ports().iter().map(|port| Port::of(port, now)).collect(),
    }

    /// A leader: who sends the Syncs, and what its grandmaster is.
    Leader of (leader: &LeaderRecord) {
        /// Of the sender.
        uuid: String = Uuid(leader.uuid).to_string(),
        /// Of the sender.
        port_id: u16 = leader.port_id,
        /// IPv4 address of the sender.
        address: String = leader.address().to_string(),
        /// Of the grandmaster.
        stratum: u8 = leader.stratum,
        /// Of the grandmaster: where its time is from.
        identifier: String = ClockIdentifier(leader.identifier).to_string(),
        /// Of the grandmaster, as it is on the wire.
        variance: i16 = leader.variance,
        /// It is a Preferred Leader.
        preferred: bool = leader.preferred != 0,
        /// Boundary clocks between the grandmaster and the sender.
        steps_removed: u16 = leader.steps_removed,
    }

    /// Seconds and nanoseconds of the same sign: a single number would lose digits beyond 2^53.
    SplitOffset of (offset: Offset) let (split = offset.split()) {
        /// Whole seconds.
        s: i64 = split.0,
        /// The rest, ns.
        ns: i64 = split.1,
    }

    /// One network.
    Port of (port: &PortRecord, now: Timestamp<Raw>) {
        /// Its name.
        interface: String = port.interface.to_string(),
        /// PTP's subdomain that is followed there.
        subdomain: String = Subdomain(port.subdomain).to_string(),
        /// IEEE 1588-2002, 7.3.
        #[cfg_attr(test, schemars(extend("enum" = schema::words(&dante_core::port::State::ALL))))]
        state: String = word(port.state()),
        /// Where time stamps come from.
        #[cfg_attr(test, schemars(extend("enum" = schema::words(&StampSource::ALL))))]
        timestamping: &'static str = StampSource::from_number(port.stamp_source).map_or(UNKNOWN, StampSource::name),
        /// Its own on the wire; null while it has no sockets.
        uuid: Option<String> = port.identity().map(|identity| identity.uuid.to_string()),
        /// All leaders that are heard in the subdomain and permitted, up to eight, the one followed among them.
        leaders: Vec<Heard> = port.heard().iter().map(|heard| Heard::of(heard, now)).collect(),
        /// What was heard, sent and noticed since the start.
        #[serde(serialize_with = "by_name")]
        #[cfg_attr(test, schemars(schema_with = "schema::counters"))]
        counters: Counters = port.counters(),
    }

    /// A leader that is heard, followed or not.
    Heard of (heard: &HeardRecord, now: Timestamp<Raw>) {
        #[serde(flatten)]
        leader: Leader = Leader::of(&heard.leader),
        /// It has sent two Syncs in a row, and may be followed.
        qualified: bool = heard.qualified != 0,
        /// Since its last Sync, s.
        last_sync_age_s: f64 = (now - Timestamp::from_ns(heard.last_sync_raw_ns)).secs_f64(),
    }

    /// dante2sys.
    Steerer of (read: &Read<Dante2sys>, now: Timestamp<Raw>) {
        #[serde(flatten)]
        life: Page = Page::of(freshness(read)),
        #[serde(flatten)]
        said: Option<Steering> = read.as_ref().ok().map(|view| Steering::of(&view.body, now)),
    }

    Steering of (body: &Dante2sys, now: Timestamp<Raw>) let (has_scale = body.epoch().is_some()) {
        /// LOCKED: the clock is held on Dante + K.
        #[cfg_attr(test, schemars(extend("enum" = schema::words(&dante_core::steer::State::ALL))))]
        state: String = word(body.state()),
        /// What is steered; `hardware`: a PTP hardware clock.
        #[cfg_attr(test, schemars(extend("enum" = schema::words(&SteeredClock::ALL))))]
        clock: &'static str = SteeredClock::from_number(body.clock).map_or(UNKNOWN, SteeredClock::name),
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
    Utc of (body: &Dante2sys, now: Timestamp<Raw>) let (date = body.date()) {
        /// Where it comes from.
        #[cfg_attr(test, schemars(extend("enum" = schema::words(&UtcSource::ALL))))]
        source: &'static str = UtcSource::from_number(body.utc_source).map_or(UNKNOWN, UtcSource::name),
        /// What gives way where leader and UTC differ.
        #[cfg_attr(test, schemars(extend("enum" = schema::words(&dante_core::date::Policy::ALL))))]
        policy: String = word(body.policy()),
        /// The kernel is told that the clock is synchronised.
        good: bool = body.flags & STEER_DATE_GOOD != 0,
        /// Somebody set another date: it is left as it is.
        set_by_hand: bool = body.flags & STEER_DATE_LEFT != 0,
        /// The clock minus UTC, as estimated, ns.
        offset_ns: Option<i64> = date.map(|date| date.error_ns),
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
        #[cfg_attr(test, schemars(extend("enum" = ["none", "insert", "delete"])))]
        leap: &'static str = match body.leap {
            1 => "insert",
            2 => "delete",
            _ => "none",
        },
    }

    /// The hardware clock that tells the date at boot.
    Rtc of (body: &Dante2sys) {
        /// Who keeps it: dante2sys (`device`), the kernel, nobody.
        #[cfg_attr(test, schemars(extend("enum" = schema::words(&RtcMode::ALL))))]
        mode: &'static str = RtcMode::from_number(body.rtc).map_or(UNKNOWN, RtcMode::name),
        /// The date that dante2sys wrote last, s since 1970.
        written_utc_s: Option<i64> = (body.rtc_written_ns != 0).then_some(body.rtc_written_ns / 1_000_000_000),
    }

    /// danteshm.
    Relay of (read: &Read<Danteshm>, now: Timestamp<Raw>) {
        #[serde(flatten)]
        life: Page = Page::of(freshness(read)),
        #[serde(flatten)]
        said: Option<Relaying> = read.as_ref().ok().map(|view| Relaying::of(&view.body, now)),
    }

    Relaying of (body: &Danteshm, now: Timestamp<Raw>) let (told = body.told()) {
        /// FEEDING: chrony is told.
        #[cfg_attr(test, schemars(extend("enum" = schema::words(&dante_core::relay::State::ALL))))]
        state: String = word(body.state()),
        /// What is missing; `silence`: chrony is to begin anew; null while feeding.
        #[cfg_attr(test, schemars(extend("enum" = schema::waiting())))]
        waiting_for: Option<&'static str> = body.waiting().map_or(Some(UNKNOWN), waiting_for),
        /// K by which a date was last told, in this run or before.
        epoch: Option<SplitOffset> = told.map(|told| SplitOffset::of(Offset::from_ns(told.epoch.ns()))),
        /// Where that K is from.
        #[cfg_attr(test, schemars(extend("enum" = schema::epoch_sources())))]
        epoch_source: Option<&'static str> = told.map(|told| told.source.name()),
        /// Where samples go.
        outputs: Vec<Output> = body.outputs().iter().map(|record| Output::of(record, now)).collect(),
    }

    /// One place where samples go.
    Output of (record: &OutputRecord, now: Timestamp<Raw>) let (
        kind = OutputKind::from_number(record.kind),
        is_shm = kind == Some(OutputKind::Shm),
        was_used = record.last_sample_raw_ns != 0,
    ) {
        /// An NTP SHM segment, a SOCK socket of chrony's, a usrvclock.
        #[cfg_attr(test, schemars(extend("enum" = schema::words(&OutputKind::ALL))))]
        kind: &'static str = kind.map_or(UNKNOWN, OutputKind::name),
        /// Of an SHM segment.
        unit: Option<u32> = is_shm.then_some(record.unit),
        /// Of a socket.
        path: Option<String> = (!is_shm).then(|| record.path.to_string()),
        /// What is sent there arrives, as far as can be told.
        ready: bool = record.ready != 0,
        /// Programs that read a usrvclock.
        clients: Option<u64> = (kind == Some(OutputKind::Usrvclock)).then_some(record.clients),
        /// Written or sent since the start.
        samples: u64 = record.samples,
        /// That could not be.
        lost: u64 = record.lost,
        /// Since the last one, s.
        last_sample_age_s: Option<f64> = was_used.then(|| (now - Timestamp::from_ns(record.last_sample_raw_ns)).secs_f64()),
    }
}

pub fn word(known: Option<impl ToString>) -> String {
    known.map_or(UNKNOWN.into(), |one| one.to_string())
}

fn waiting_for(waiting: Waiting) -> Option<&'static str> {
    (waiting != Waiting::Nothing).then_some(waiting.name())
}

fn by_name<S: Serializer>(counters: &Counters, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counters.by_name())
}
