//! The state of the whole chain, as `get status --json` prints it: schema 1, documented in docs/status.md.

use crate::finding::{self, Finding};
use crate::pages::{Pages, Read, freshness};
use crate::verdict::{self, Verdict};
use dante_core::page::{
    Body, Dante2sys, Dante4l, Danteshm, Freshness, HeardRecord, LeaderRecord, OutputKind, OutputRecord,
    PortRecord, RtcMode, STEER_DATE_GOOD, STEER_DATE_LEFT, StampSource, SteeredClock, UtcSource,
};
use dante_core::port::Counters;
use dante_core::relay::Waiting;
use dante_core::time::{Duration, Offset, Raw, Timestamp};
use dante_core::wire::{ClockIdentifier, Subdomain, Uuid};
use serde::{Serialize, Serializer};

#[cfg(test)]
mod schema;
#[cfg(test)]
mod tests;

/// A number on a page that this program has no word for; its layout version should have told.
const UNKNOWN: &str = "unknown";

/// The state of the whole suite on one host, as its programs publish it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Status {
    /// The version of this schema: within it keys are only ever added.
    #[cfg_attr(test, schemars(extend("const" = 1)))]
    pub schema: u32,
    /// The answer in a word: `in_step`, soon (`acquiring`), without a leader (`holdover`), heard and not followed (`unused`), not,
    /// or not known.
    pub verdict: Verdict,
    /// The observer.
    pub dante4l: Observer,
    /// What steers the clock.
    pub dante2sys: Steerer,
    /// What relays to chrony.
    pub danteshm: Relay,
    /// What is not as it should be, in the order of the data's flow; empty while nothing is wrong.
    pub findings: Vec<Finding>,
}

/// What every program's part begins with. What follows is there unless `page` is `absent`, `foreign` or `layout`; with `stale`
/// and `stopped` it is the last that the program said.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Page {
    /// True only if `page` is `fresh`.
    pub running: bool,
    /// `stale`: the writer was killed or hangs; `stopped`: it ended in good order; `foreign`: the page belongs to somebody who must
    /// not write it; `layout`: it is of another version.
    #[cfg_attr(test, schemars(extend("enum" = schema::pages())))]
    pub page: &'static str,
}

/// dante4l. `state`, `leader`, `rate_ppb` and the rest speak of the port `selected`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Observer {
    #[serde(flatten)]
    pub life: Page,
    #[serde(flatten)]
    pub said: Option<Following>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Following {
    /// IEEE 1588-2002, 7.3; SLAVE follows a leader.
    #[cfg_attr(test, schemars(extend("enum" = schema::port_states())))]
    pub state: String,
    /// Index into `ports`.
    pub selected: u32,
    /// Rises with each discontinuity of Dante time; 0 before the first leader.
    pub timeline: u64,
    /// Who is followed.
    pub leader: Option<Leader>,
    /// CLOCK_REALTIME minus the leader's time at the last Sync.
    pub offset: Option<SplitOffset>,
    /// The last Sync against the map, ns: local minus leader, positive when it was late.
    pub residual_ns: Option<i64>,
    /// The leader's rate against CLOCK_MONOTONIC_RAW; +10: the leader gains 10 ns a second.
    pub rate_ppb: Option<f64>,
    /// One standard deviation of that, now.
    pub rate_uncertainty_ppb: Option<f64>,
    /// One standard deviation of the map, now, ns; leaves out the path delay unless it was measured.
    pub offset_uncertainty_ns: Option<i64>,
    /// Path delay from the leader to here, ns, asymmetry included; null unless measured or given.
    pub path_delay_ns: Option<i64>,
    /// As the leader advertises it, ms.
    pub sync_interval_ms: Option<i64>,
    /// Since the last Sync that was measured, s.
    pub last_sync_age_s: Option<f64>,
    /// The networks that are listened to.
    pub ports: Vec<Port>,
}

/// A leader: who sends the Syncs, and what its grandmaster is.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Leader {
    /// Of the sender.
    pub uuid: String,
    /// Of the sender.
    pub port_id: u16,
    /// IPv4 address of the sender.
    pub address: String,
    /// Of the grandmaster.
    pub stratum: u8,
    /// Of the grandmaster: where its time is from.
    pub identifier: String,
    /// Of the grandmaster, as it is on the wire.
    pub variance: i16,
    /// It is a Preferred Leader.
    pub preferred: bool,
    /// Boundary clocks between the grandmaster and the sender.
    pub steps_removed: u16,
}

/// Seconds and nanoseconds of the same sign: a single number would lose digits beyond 2^53.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SplitOffset {
    /// Whole seconds.
    pub s: i64,
    /// The rest, ns.
    pub ns: i64,
}

/// One network.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Port {
    /// Its name.
    pub interface: String,
    /// PTP's subdomain that is followed there.
    pub subdomain: String,
    /// IEEE 1588-2002, 7.3.
    #[cfg_attr(test, schemars(extend("enum" = schema::port_states())))]
    pub state: String,
    /// Where time stamps come from.
    #[cfg_attr(test, schemars(extend("enum" = schema::words(&StampSource::ALL))))]
    pub timestamping: &'static str,
    /// Its own on the wire; null while it has no sockets.
    pub uuid: Option<String>,
    /// All leaders that are heard in the subdomain and permitted, up to eight, the one followed among them.
    pub leaders: Vec<Heard>,
    /// What was heard, sent and noticed since the start.
    #[serde(serialize_with = "by_name")]
    #[cfg_attr(test, schemars(schema_with = "schema::counters"))]
    pub counters: Counters,
}

/// A leader that is heard, followed or not.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Heard {
    #[serde(flatten)]
    pub leader: Leader,
    /// It has sent two Syncs in a row, and may be followed.
    pub qualified: bool,
    /// Since its last Sync, s.
    pub last_sync_age_s: f64,
}

/// dante2sys.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Steerer {
    #[serde(flatten)]
    pub life: Page,
    #[serde(flatten)]
    pub said: Option<Steering>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Steering {
    /// LOCKED: the clock is held on Dante + K.
    #[cfg_attr(test, schemars(extend("enum" = schema::steerer_states())))]
    pub state: String,
    /// What is steered; `hardware`: a PTP hardware clock.
    #[cfg_attr(test, schemars(extend("enum" = schema::words(&SteeredClock::ALL))))]
    pub clock: &'static str,
    /// What the clock was given, as timex knows it; +10: it gains 10 ns a second on CLOCK_MONOTONIC_RAW.
    pub frequency_ppb: f64,
    /// The clock's rate minus the leader's.
    pub rate_error_ppb: Option<f64>,
    /// Steered clock minus (Dante + K), ns; null while there is no leader.
    pub phase_error_ns: Option<i64>,
    /// One standard deviation of Dante + K, now, ns; grows in holdover.
    pub phase_uncertainty_ns: Option<i64>,
    /// One standard deviation of the leader's rate, now; grows in holdover.
    pub rate_uncertainty_ppb: Option<f64>,
    /// K, the date of the leader's zero.
    pub epoch: Option<SplitOffset>,
    /// Frequencies that were set.
    pub corrections: u64,
    /// How often another program was seen to steer the clock.
    pub interference: u64,
    /// The date.
    pub utc: Utc,
    /// The hardware clock that tells the date at boot.
    pub rtc: Rtc,
}

/// What the clock's date is worth.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Utc {
    /// Where it comes from.
    #[cfg_attr(test, schemars(extend("enum" = schema::words(&UtcSource::ALL))))]
    pub source: &'static str,
    /// What gives way where leader and UTC differ.
    #[cfg_attr(test, schemars(extend("enum" = schema::policies())))]
    pub policy: String,
    /// The kernel is told that the clock is synchronised.
    pub good: bool,
    /// Somebody set another date: it is left as it is.
    pub set_by_hand: bool,
    /// The clock minus UTC, as estimated, ns.
    pub offset_ns: Option<i64>,
    /// One standard deviation of that, ns.
    pub uncertainty_ns: Option<i64>,
    /// The date is not further off, if the servers are right, ns.
    pub bound_ns: Option<i64>,
    /// Since the date was last measured, s.
    pub age_s: Option<f64>,
    /// The leader's rate against UTC; +12000: its seconds gain a second a day.
    pub leader_rate_ppb: Option<f64>,
    /// One standard deviation of it.
    pub leader_rate_uncertainty_ppb: Option<f64>,
    /// What the policy adds to the leader's rate.
    pub slew_ppb: f64,
    /// The sum of both: how the clock drifts off UTC.
    pub drift_ppb: Option<f64>,
    /// Steps for the date's sake since the start.
    pub steps: u64,
    /// Time servers that agreed the last time.
    pub servers_agreeing: u8,
    /// How far apart the servers are asked, s.
    pub interval_s: f64,
    /// A leap second at the end of the UTC day, as the servers announce it.
    #[cfg_attr(test, schemars(extend("enum" = ["none", "insert", "delete"])))]
    pub leap: &'static str,
}

/// The hardware clock that tells the date at boot.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Rtc {
    /// Who keeps it: dante2sys (`device`), the kernel, nobody.
    #[cfg_attr(test, schemars(extend("enum" = schema::words(&RtcMode::ALL))))]
    pub mode: &'static str,
    /// The date that dante2sys wrote last, s since 1970.
    pub written_utc_s: Option<i64>,
}

/// danteshm.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Relay {
    #[serde(flatten)]
    pub life: Page,
    #[serde(flatten)]
    pub said: Option<Relaying>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Relaying {
    /// FEEDING: chrony is told.
    #[cfg_attr(test, schemars(extend("enum" = schema::relay_states())))]
    pub state: String,
    /// What is missing; `silence`: chrony is to begin anew; null while feeding.
    #[cfg_attr(test, schemars(extend("enum" = schema::waiting())))]
    pub waiting_for: Option<&'static str>,
    /// K by which a date was last told, in this run or before.
    pub epoch: Option<SplitOffset>,
    /// Where that K is from.
    #[cfg_attr(test, schemars(extend("enum" = schema::epoch_sources())))]
    pub epoch_source: Option<&'static str>,
    /// Where samples go.
    pub outputs: Vec<Output>,
}

/// One place where samples go.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Output {
    /// An NTP SHM segment, a SOCK socket of chrony's, a usrvclock.
    #[cfg_attr(test, schemars(extend("enum" = schema::words(&OutputKind::ALL))))]
    pub kind: &'static str,
    /// Of an SHM segment.
    pub unit: Option<u32>,
    /// Of a socket.
    pub path: Option<String>,
    /// What is sent there arrives, as far as can be told.
    pub ready: bool,
    /// Programs that read a usrvclock.
    pub clients: Option<u64>,
    /// Written or sent since the start.
    pub samples: u64,
    /// That could not be.
    pub lost: u64,
    /// Since the last one, s.
    pub last_sample_age_s: Option<f64>,
}

impl Status {
    pub fn of(pages: &Pages) -> Self {
        let now = pages.now;
        Self {
            schema: 1,
            verdict: verdict::of(pages).0,
            dante4l: Observer {
                life: life(&pages.dante4l),
                said: body(&pages.dante4l, |it| following(it, now)),
            },
            dante2sys: Steerer {
                life: life(&pages.dante2sys),
                said: body(&pages.dante2sys, |it| steering(it, now)),
            },
            danteshm: Relay {
                life: life(&pages.danteshm),
                said: body(&pages.danteshm, |it| relaying(it, now)),
            },
            findings: finding::of(pages),
        }
    }
}

fn life<B: Body>(read: &Read<B>) -> Page {
    let freshness = freshness(read);
    Page { running: freshness == Freshness::Fresh, page: freshness.name() }
}

fn body<B, T>(read: &Read<B>, say: impl FnOnce(&B) -> T) -> Option<T> {
    read.as_ref().ok().map(|view| say(&view.body))
}

fn following(body: &Dante4l, now: Timestamp<Raw>) -> Following {
    let port = body.selected();
    let sample = port.and_then(PortRecord::last_sample);
    let map = port.and_then(PortRecord::map);
    let sigma = map.map(|map| map.uncertainty_at(now));
    let leader = port.and_then(PortRecord::leader);
    Following {
        state: port.and_then(PortRecord::state).map_or(UNKNOWN.into(), |state| state.to_string()),
        selected: body.selected,
        timeline: port.map_or(0, |port| port.timeline),
        leader: leader.map(leader_of),
        offset: sample.map(|sample| {
            let (s, ns) = Offset::between(sample.arrived.real, sample.origin).split();
            SplitOffset { s, ns }
        }),
        residual_ns: sample.map(|sample| sample.residual.ns()),
        rate_ppb: map.map(|map| map.line.rate.ppb()),
        rate_uncertainty_ppb: sigma.map(|sigma| sigma.rate.ppb()),
        offset_uncertainty_ns: sigma.map(|sigma| sigma.offset.ns()),
        path_delay_ns: port.and_then(PortRecord::path_delay).map(|delay| delay.ns()),
        sync_interval_ms: leader.map(|leader| leader.sync_interval_ns / 1_000_000),
        last_sync_age_s: sample.map(|sample| (now - sample.arrived.raw).secs_f64()),
        ports: body.ports().iter().map(|port| port_of(port, now)).collect(),
    }
}

fn leader_of(leader: &LeaderRecord) -> Leader {
    Leader {
        uuid: Uuid(leader.uuid).to_string(),
        port_id: leader.port_id,
        address: leader.address().to_string(),
        stratum: leader.stratum,
        identifier: ClockIdentifier(leader.identifier).to_string(),
        variance: leader.variance,
        preferred: leader.preferred != 0,
        steps_removed: leader.steps_removed,
    }
}

fn heard_of(heard: &HeardRecord, now: Timestamp<Raw>) -> Heard {
    Heard {
        leader: leader_of(&heard.leader),
        qualified: heard.qualified != 0,
        last_sync_age_s: (now - Timestamp::from_ns(heard.last_sync_raw_ns)).secs_f64(),
    }
}

fn port_of(port: &PortRecord, now: Timestamp<Raw>) -> Port {
    Port {
        interface: port.interface.to_string(),
        subdomain: Subdomain(port.subdomain).to_string(),
        state: port.state().map_or(UNKNOWN.into(), |state| state.to_string()),
        timestamping: StampSource::from_number(port.stamp_source).map_or(UNKNOWN, StampSource::name),
        uuid: port.identity().map(|identity| identity.uuid.to_string()),
        leaders: port.heard().iter().map(|heard| heard_of(heard, now)).collect(),
        counters: port.counters(),
    }
}

fn steering(body: &Dante2sys, now: Timestamp<Raw>) -> Steering {
    let has_scale = body.epoch().is_some();
    Steering {
        state: body.state().map_or(UNKNOWN.into(), |state| state.to_string()),
        clock: SteeredClock::from_number(body.clock).map_or(UNKNOWN, SteeredClock::name),
        frequency_ppb: body.frequency * 1e9,
        rate_error_ppb: body.rate_error().map(|rate| rate.ppb()),
        phase_error_ns: body.phase_error().map(Offset::ns),
        phase_uncertainty_ns: has_scale.then_some(body.phase_sigma_ns),
        rate_uncertainty_ppb: has_scale.then_some(body.rate_sigma * 1e9),
        epoch: body.epoch().map(|epoch| {
            let (s, ns) = Offset::from_ns(epoch.ns()).split();
            SplitOffset { s, ns }
        }),
        corrections: body.corrections,
        interference: body.disturbances,
        utc: utc(body, now),
        rtc: Rtc {
            mode: RtcMode::from_number(body.rtc).map_or(UNKNOWN, RtcMode::name),
            written_utc_s: (body.rtc_written_ns != 0).then_some(body.rtc_written_ns / 1_000_000_000),
        },
    }
}

fn utc(body: &Dante2sys, now: Timestamp<Raw>) -> Utc {
    let date = body.date();
    Utc {
        source: UtcSource::from_number(body.utc_source).map_or(UNKNOWN, UtcSource::name),
        policy: body.policy().map_or(UNKNOWN.into(), |policy| policy.to_string()),
        good: body.flags & STEER_DATE_GOOD != 0,
        set_by_hand: body.flags & STEER_DATE_LEFT != 0,
        offset_ns: date.map(|date| date.error_ns),
        uncertainty_ns: date.map(|date| date.sigma_ns),
        bound_ns: date.map(|date| date.bound_ns),
        age_s: date.map(|date| (now - Timestamp::from_ns(date.measured_raw_ns)).secs_f64()),
        leader_rate_ppb: date.map(|date| date.leader_rate * 1e9),
        leader_rate_uncertainty_ppb: date.map(|date| date.leader_rate_sigma * 1e9),
        slew_ppb: body.slew * 1e9,
        drift_ppb: date.map(|date| (date.leader_rate + body.slew) * 1e9),
        steps: body.date_steps,
        servers_agreeing: body.agreeing,
        interval_s: Duration::from_ns(body.interval_ns).secs_f64(),
        leap: match body.leap {
            1 => "insert",
            2 => "delete",
            _ => "none",
        },
    }
}

fn waiting_for(waiting: Waiting) -> Option<&'static str> {
    (waiting != Waiting::Nothing).then_some(waiting.name())
}

fn relaying(body: &Danteshm, now: Timestamp<Raw>) -> Relaying {
    let told = body.told();
    Relaying {
        state: body.state().map_or(UNKNOWN.into(), |state| state.to_string()),
        waiting_for: body.waiting().map_or(Some(UNKNOWN), waiting_for),
        epoch: told.map(|told| {
            let (s, ns) = Offset::from_ns(told.epoch.ns()).split();
            SplitOffset { s, ns }
        }),
        epoch_source: told.map(|told| told.source.name()),
        outputs: body.outputs().iter().map(|record| output_of(record, now)).collect(),
    }
}

fn output_of(record: &OutputRecord, now: Timestamp<Raw>) -> Output {
    let kind = OutputKind::from_number(record.kind);
    let is_shm = kind == Some(OutputKind::Shm);
    let was_used = record.last_sample_raw_ns != 0;
    Output {
        kind: kind.map_or(UNKNOWN, OutputKind::name),
        unit: is_shm.then_some(record.unit),
        path: (!is_shm).then(|| record.path.to_string()),
        ready: record.ready != 0,
        clients: (kind == Some(OutputKind::Usrvclock)).then_some(record.clients),
        samples: record.samples,
        lost: record.lost,
        last_sample_age_s: was_used.then(|| (now - Timestamp::from_ns(record.last_sample_raw_ns)).secs_f64()),
    }
}

fn by_name<S: Serializer>(counters: &Counters, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counters.by_name())
}
