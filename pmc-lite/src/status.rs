//! The state of the whole chain, as `get status --json` prints it: schema 1, documented in docs/status.md.

use crate::finding::{self, Finding};
use crate::pages::{Pages, Read, freshness};
use dante_core::page::{
    Body, Dante2sys, Dante4l, Danteshm, Freshness, HeardRecord, LeaderRecord, OutputKind, OutputRecord,
    PortRecord, RtcMode, STEER_DATE_GOOD, STEER_DATE_LEFT, StampSource, SteeredClock, UtcSource,
};
use dante_core::port::Counters;
use dante_core::relay::Waiting;
use dante_core::time::{Duration, Offset, Raw, Timestamp};
use dante_core::wire::{ClockIdentifier, Subdomain, Uuid};
use serde::{Serialize, Serializer};

/// A number on a page that this program has no word for; its layout version should have told.
#[cfg(test)]
mod tests;

const UNKNOWN: &str = "unknown";

#[derive(Debug, Serialize)]
pub struct Status {
    pub schema: u32,
    pub dante4l: Observer,
    pub dante2sys: Steerer,
    pub danteshm: Relay,
    pub findings: Vec<Finding>,
}

/// What every program's part begins with.
#[derive(Debug, Serialize)]
pub struct Page {
    pub running: bool,
    pub page: &'static str,
}

#[derive(Debug, Serialize)]
pub struct Observer {
    #[serde(flatten)]
    pub life: Page,
    #[serde(flatten)]
    pub said: Option<Following>,
}

#[derive(Debug, Serialize)]
pub struct Following {
    pub state: String,
    pub selected: u32,
    pub timeline: u64,
    pub leader: Option<Leader>,
    pub offset: Option<SplitOffset>,
    pub residual_ns: Option<i64>,
    pub rate_ppb: Option<f64>,
    pub rate_uncertainty_ppb: Option<f64>,
    pub offset_uncertainty_ns: Option<i64>,
    pub path_delay_ns: Option<i64>,
    pub sync_interval_ms: Option<i64>,
    pub last_sync_age_s: Option<f64>,
    pub ports: Vec<Port>,
}

#[derive(Debug, Serialize)]
pub struct Leader {
    pub uuid: String,
    pub port_id: u16,
    pub address: String,
    pub stratum: u8,
    pub identifier: String,
    pub variance: i16,
    pub preferred: bool,
    pub steps_removed: u16,
}

#[derive(Debug, Serialize)]
pub struct SplitOffset {
    pub s: i64,
    pub ns: i64,
}

#[derive(Debug, Serialize)]
pub struct Port {
    pub interface: String,
    pub subdomain: String,
    pub state: String,
    pub timestamping: &'static str,
    pub uuid: Option<String>,
    pub leaders: Vec<Heard>,
    #[serde(serialize_with = "by_name")]
    pub counters: Counters,
}

/// A leader that is heard, followed or not.
#[derive(Debug, Serialize)]
pub struct Heard {
    #[serde(flatten)]
    pub leader: Leader,
    pub qualified: bool,
    pub last_sync_age_s: f64,
}

#[derive(Debug, Serialize)]
pub struct Steerer {
    #[serde(flatten)]
    pub life: Page,
    #[serde(flatten)]
    pub said: Option<Steering>,
}

#[derive(Debug, Serialize)]
pub struct Steering {
    pub state: String,
    pub clock: &'static str,
    pub frequency_ppb: f64,
    pub rate_error_ppb: Option<f64>,
    pub phase_error_ns: Option<i64>,
    pub phase_uncertainty_ns: Option<i64>,
    pub rate_uncertainty_ppb: Option<f64>,
    pub epoch: Option<SplitOffset>,
    pub corrections: u64,
    pub interference: u64,
    pub utc: Utc,
    pub rtc: Rtc,
}

#[derive(Debug, Serialize)]
pub struct Utc {
    pub source: &'static str,
    pub policy: String,
    pub good: bool,
    pub set_by_hand: bool,
    pub offset_ns: Option<i64>,
    pub uncertainty_ns: Option<i64>,
    pub bound_ns: Option<i64>,
    pub age_s: Option<f64>,
    pub leader_rate_ppb: Option<f64>,
    pub leader_rate_uncertainty_ppb: Option<f64>,
    pub slew_ppb: f64,
    pub drift_ppb: Option<f64>,
    pub steps: u64,
    pub servers_agreeing: u8,
    pub interval_s: f64,
    pub leap: &'static str,
}

#[derive(Debug, Serialize)]
pub struct Rtc {
    pub mode: &'static str,
    pub written_utc_s: Option<i64>,
}

#[derive(Debug, Serialize)]
pub struct Relay {
    #[serde(flatten)]
    pub life: Page,
    #[serde(flatten)]
    pub said: Option<Relaying>,
}

#[derive(Debug, Serialize)]
pub struct Relaying {
    pub state: String,
    pub waiting_for: Option<&'static str>,
    pub epoch: Option<SplitOffset>,
    pub epoch_source: Option<&'static str>,
    pub outputs: Vec<Output>,
}

#[derive(Debug, Serialize)]
pub struct Output {
    pub kind: &'static str,
    pub unit: Option<u32>,
    pub path: Option<String>,
    pub ready: bool,
    pub clients: Option<u64>,
    pub samples: u64,
    pub lost: u64,
    pub last_sample_age_s: Option<f64>,
}

impl Status {
    pub fn of(pages: &Pages) -> Self {
        let now = pages.now;
        Self {
            schema: 1,
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

fn relaying(body: &Danteshm, now: Timestamp<Raw>) -> Relaying {
    let told = body.told();
    Relaying {
        state: body.state().map_or(UNKNOWN.into(), |state| state.to_string()),
        waiting_for: body.waiting().map_or(Some(UNKNOWN), Waiting::name),
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
