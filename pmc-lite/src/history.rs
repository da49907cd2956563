//! The samples of dante4l in order, each once, with the state on the pages. Used by `log`, `plot` and `watch`.

use crate::pages::{Pages, Readers};
use crate::scale::{Histogram, Scale, precise_rates};
use anyhow::Result;
use dante_core::page::{Dante2sysStatus, Dante4l, Dante4lStatus, PortRecord, SampleRecord};
use dante_core::port::Sample;
use dante_core::time::{Civil, Duration, Raw, Real, Timestamp};
use dante_os::clock::raw_now;
use dante_os::page::{Instance, PageFollower, PageName};
use dante_os::poll::Poll;
use serde::{Deserialize, Serialize};
use std::os::fd::BorrowedFd;

#[cfg(test)]
mod tests;

/// One sample: a line of the log, whose columns have the names of the fields (docs/pmc-lite.md).
///
/// Only the newest sample has the state on the pages (`state` and the fields after it): the state at an older sample is not known.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Entry {
    /// Arrival by the system clock, UTC, RFC 3339.
    pub time: String,
    /// Random number that dante4l draws at each start, hexadecimal.
    pub instance: String,
    /// Number of the sample since that start, from 1.
    pub sequence: u64,
    /// Number of samples directly before this one that were overwritten before they were read.
    pub missed: u64,
    pub timeline: u64,
    pub interface: String,
    pub raw_ns: i64,
    pub real_ns: i64,
    pub origin_ns: i64,
    pub residual_ns: i64,
    pub accepted: bool,
    pub state: Option<String>,
    pub leader: Option<String>,
    pub rate_ppb: Option<f64>,
    pub rate_uncertainty_ppb: Option<f64>,
    pub path_delay_ns: Option<i64>,
    pub dante2sys_state: Option<String>,
    pub frequency_ppb: Option<f64>,
    pub phase_error_ns: Option<i64>,
    pub phase_uncertainty_ns: Option<i64>,
}

/// Which samples have been read.
#[derive(Debug, Default)]
pub struct History {
    /// Instance of dante4l, and its sample count when it was last read.
    seen: Option<(u64, u64)>,
    /// Skip the samples that are in the ring at the first read.
    skip_ring: bool,
}

impl History {
    /// Starts with the oldest sample in the ring.
    pub fn from_oldest() -> Self {
        Self::default()
    }

    /// Starts with the next new sample.
    pub fn from_now() -> Self {
        Self { skip_ring: true, ..Self::default() }
    }

    /// Returns the samples since the last call, oldest first, also from the page of a writer that has ended.
    pub fn take(&mut self, pages: &Pages) -> Vec<Entry> {
        let first = std::mem::take(&mut self.skip_ring);
        let Ok(view) = &pages.clock else { return Vec::new() };
        let seen = match self.seen {
            Some((instance, seen)) if instance == view.instance => seen,
            None if first => view.body.samples,
            _ => 0,
        };
        self.seen = Some((view.instance, view.body.samples));
        let status = pages.dante4l.as_ref().ok().map(|view| &view.body);
        let samples: Vec<SampleRecord> = view.body.samples_after(seen).copied().collect();
        let available = samples.len() as u64;
        let mut entries: Vec<Entry> = samples
            .into_iter()
            .zip(0..)
            .map(|(record, place)| {
                let sequence =
                    (view.body.samples.saturating_sub(available)).saturating_add(1).saturating_add(place);
                let port = status.and_then(|body| body.ports().get(record.port as usize));
                Entry::of(view.instance, port, record, sequence)
            })
            .collect();
        if let Some(first) = entries.first_mut() {
            first.missed = first.sequence.saturating_sub(seen.saturating_add(1));
        }
        if let Some(last) = entries.last_mut() {
            last.set_dante4l(status.and_then(Dante4lStatus::selected));
            last.set_dante2sys(pages.dante2sys.as_ref().ok().map(|view| &view.body));
        }
        entries
    }
}

impl Entry {
    /// Makes an entry with the values of the sample itself.
    fn of(instance: u64, port: Option<&PortRecord>, record: SampleRecord, sequence: u64) -> Self {
        let sample = Sample::from(record);
        Self {
            time: rfc3339(sample.arrived.real),
            instance: format!("{instance:016x}"),
            sequence,
            timeline: sample.timeline,
            interface: port.map_or(String::new(), |port| port.interface.to_string()),
            raw_ns: sample.arrived.raw.ns(),
            real_ns: sample.arrived.real.ns(),
            origin_ns: sample.origin.ns(),
            residual_ns: sample.residual.ns(),
            accepted: sample.accepted,
            ..Self::default()
        }
    }

    /// The leader's rate and its standard deviation, ppm.
    pub fn rate_ppm(&self) -> Option<(f64, f64)> {
        Some((self.rate_ppb? / 1e3, self.rate_uncertainty_ppb? / 1e3))
    }

    fn set_dante4l(&mut self, port: Option<&PortRecord>) {
        let Some(port) = port else { return };
        self.state = port.state().map(|state| state.to_string());
        self.leader = port.leader().map(|leader| leader.identity().uuid.to_string());
        self.path_delay_ns = port.path_delay().map(|delay| delay.ns());
        if let Some(map) = port.map() {
            self.rate_ppb = Some(map.line.rate.ppb());
            let sigma = map.uncertainty_at(Timestamp::from_ns(self.raw_ns));
            self.rate_uncertainty_ppb = Some(sigma.rate.ppb());
        }
    }

    fn set_dante2sys(&mut self, body: Option<&Dante2sysStatus>) {
        let Some(body) = body else { return };
        self.dante2sys_state = body.state().map(|state| state.to_string());
        self.frequency_ppb = Some(body.frequency * 1e9);
        self.phase_error_ns = body.phase_error().map(|error| error.ns());
        self.phase_uncertainty_ns = self.phase_error_ns.map(|_| body.phase_sigma_ns);
    }
}

/// Returns the rates in state SLAVE with their standard deviations, ppm, without imprecise ones.
fn settled_rates<'a>(entries: impl Iterator<Item = &'a Entry> + Clone) -> Vec<(f64, f64)> {
    let slave = entries.filter(|entry| entry.state.as_deref() == Some("SLAVE"));
    precise_rates(slave.filter_map(Entry::rate_ppm))
}

/// Returns an axis for the rates in state SLAVE, or for all rates if there are none.
pub fn rate_scale<'a>(entries: impl Iterator<Item = &'a Entry> + Clone) -> Scale {
    let mut rates = settled_rates(entries.clone());
    if rates.is_empty() {
        rates = precise_rates(entries.filter_map(Entry::rate_ppm));
    }
    Scale::around(rates.into_iter().flat_map(|(rate, sigma)| [rate - sigma, rate + sigma]), 0.01, 4.0)
}

/// Returns the histogram of the rates in state SLAVE. Bins are at least 0.001 ppm wide, the precision of the estimates.
pub fn rate_histogram<'a>(
    entries: impl Iterator<Item = &'a Entry> + Clone,
    bins: usize,
) -> Option<Histogram> {
    let rates: Vec<f64> = settled_rates(entries).into_iter().map(|(rate, _)| rate).collect();
    Histogram::of(&rates, bins, 0.001)
}

/// Formats by RFC 3339, to the nanosecond.
pub fn rfc3339(time: Timestamp<Real>) -> String {
    let (s, ns) = time.split();
    format!("{}.{ns:09}Z", Civil::at(s)).replace(' ', "T")
}

/// Longest time between two reads: a page that does not exist yet has no doorbell.
const READ_INTERVAL: Duration = Duration::from_secs(1);

/// Reads the pages at each doorbell of dante4l.
pub struct Follower {
    dante4l: PageFollower<Dante4l>,
    others: Readers,
}

impl Follower {
    pub fn new(instance: Option<&Instance>) -> Self {
        Self { dante4l: PageFollower::new(PageName::new(instance)), others: Readers::new(instance) }
    }

    pub fn read(&mut self) -> Pages {
        let now = raw_now();
        let dante4l = self.dante4l.read(now);
        self.others.read_with_clock(now, dante4l)
    }

    /// Passes new samples to `take` until `end` or a signal, and once more then.
    pub fn follow(
        mut self,
        mut poll: Poll,
        end: Option<Timestamp<Raw>>,
        mut take: impl FnMut(&Pages, Vec<Entry>) -> Result<()>,
    ) -> Result<()> {
        let mut history = History::from_now();
        let mut ended = false;
        loop {
            let pages = self.read();
            take(&pages, history.take(&pages))?;
            if ended || end.is_some_and(|end| pages.now >= end) {
                return Ok(());
            }
            let next = self.deadline().into_iter().fold(pages.now + READ_INTERVAL, Timestamp::min);
            let wake = poll.wait(self.fd().as_slice(), Some(end.map_or(next, |end| end.min(next))))?;
            ended = wake.signal.is_some();
        }
    }

    /// The descriptor to wait for; `None` if the kernel refused it.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.dante4l.fd()
    }

    /// When to read next, if before READ_INTERVAL is over.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        self.dante4l.deadline()
    }
}
