//! The samples of dante4l, one after the other, each once, with what the pages say beside it. `log`, `plot` and `watch` live on
//! them.

use crate::pages::{Pages, Readers};
use crate::scale::{Histogram, Scale, good_rates};
use anyhow::{Result, anyhow};
use dante_core::page::{Dante2sysStatus, Dante4l, Dante4lStatus, PortRecord, SampleRecord};
use dante_core::port::Sample;
use dante_core::time::{Civil, Duration, Raw, Real, Timestamp};
use dante_os::clock::raw_now;
use dante_os::page::{Instance, PageFollower, PageName};
use dante_os::poll::Poll;
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, BorrowedFd};

#[cfg(test)]
mod tests;

/// One sample: a line of the log, whose columns are called as the fields are (docs/pmc-lite.md).
///
/// What the pages say of the present is given with the newest sample alone: what it was when an older one came is not known.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Entry {
    /// Arrival, UTC as the system clock had it, RFC 3339.
    pub time: String,
    /// dante4l's random number, drawn at each start, hexadecimal.
    pub instance: String,
    /// Counts the samples of that start from 1.
    pub sequence: u64,
    /// So many samples before this one came too early to be read.
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

/// What was read so far.
#[derive(Debug, Default)]
pub struct History {
    /// dante4l's instance, and how many of its samples were there.
    seen: Option<(u64, u64)>,
    /// What the ring holds at the first look is passed over.
    skip_ring: bool,
}

impl History {
    /// Begins with what the page still holds.
    pub fn with_the_past() -> Self {
        Self::default()
    }

    /// Begins with what comes from now on.
    pub fn from_now() -> Self {
        Self { skip_ring: true, ..Self::default() }
    }

    /// What came since the last time, oldest first. Also from a page whose writer has ended since.
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
        let held = samples.len() as u64;
        let mut entries: Vec<Entry> = samples
            .into_iter()
            .zip(view.body.samples.saturating_sub(held) + 1..)
            .map(|(record, sequence)| {
                let port = status.and_then(|body| body.ports().get(record.port as usize));
                Entry::of(view.instance, port, record, sequence)
            })
            .collect();
        if let Some(first) = entries.first_mut() {
            first.missed = first.sequence.saturating_sub(seen + 1);
        }
        if let Some(last) = entries.last_mut() {
            last.observed(status.and_then(Dante4lStatus::selected));
            last.steered(pages.dante2sys.as_ref().ok().map(|view| &view.body));
        }
        entries
    }
}

impl Entry {
    /// The numbers of the sample itself.
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

    /// The rate and its standard deviation.
    pub fn rate_ppm(&self) -> Option<(f64, f64)> {
        Some((self.rate_ppb? / 1e3, self.rate_uncertainty_ppb? / 1e3))
    }

    fn observed(&mut self, port: Option<&PortRecord>) {
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

    fn steered(&mut self, body: Option<&Dante2sysStatus>) {
        let Some(body) = body else { return };
        self.dante2sys_state = body.state().map(|state| state.to_string());
        self.frequency_ppb = Some(body.frequency * 1e9);
        self.phase_error_ns = body.phase_error().map(|error| error.ns());
        self.phase_uncertainty_ns = self.phase_error_ns.map(|_| body.phase_sigma_ns);
    }
}

/// The rates that count, with their standard deviations, ppm: those of a leader that dante4l knew well.
fn good<'a>(entries: impl Iterator<Item = &'a Entry> + Clone) -> Vec<(f64, f64)> {
    let settled = entries.filter(|entry| entry.state.as_deref() == Some("SLAVE"));
    good_rates(settled.filter_map(Entry::rate_ppm))
}

/// An axis for the rates that count, or for all where none does.
pub fn rate_scale<'a>(entries: impl Iterator<Item = &'a Entry> + Clone) -> Scale {
    let mut judged = good(entries.clone());
    if judged.is_empty() {
        judged = good_rates(entries.filter_map(Entry::rate_ppm));
    }
    Scale::around(judged.into_iter().flat_map(|(rate, sigma)| [rate - sigma, rate + sigma]), 0.01, 4.0)
}

/// How often the rate was where. The bins are not narrower than the estimates are good to.
pub fn rate_histogram<'a>(
    entries: impl Iterator<Item = &'a Entry> + Clone,
    bins: usize,
) -> Option<Histogram> {
    let rates: Vec<f64> = good(entries).into_iter().map(|(rate, _)| rate).collect();
    Histogram::of(&rates, bins, 0.001)
}

/// To the nanosecond.
pub fn rfc3339(time: Timestamp<Real>) -> String {
    let (s, ns) = time.split();
    format!("{}.{ns:09}Z", Civil::at(s)).replace(' ', "T")
}

/// A page that is not there yet rings no bell.
const LOOK: Duration = Duration::from_secs(1);

/// The pages, with dante4l's doorbell to be waited for.
pub struct Follower {
    dante4l: PageFollower<Dante4l>,
    others: Readers,
}

impl Follower {
    pub fn new(instance: Option<&Instance>) -> Result<Self> {
        let dante4l = PageFollower::new(PageName::new(instance)).map_err(|errno| {
            anyhow!("dante4l's page cannot be watched: {}; raise fs.inotify.max_user_instances", errno.desc())
        })?;
        Ok(Self { dante4l, others: Readers::new(instance) })
    }

    pub fn read(&mut self) -> Pages {
        let now = raw_now();
        let dante4l = self.dante4l.read(now);
        self.others.read_beside(now, dante4l)
    }

    /// Hands over the samples that come until `end` or a signal: what is there by then is the last.
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
            let look = pages.now + LOOK;
            let wake = poll.wait(&[self.as_fd()], Some(end.map_or(look, |end| end.min(look))))?;
            ended = wake.signal.is_some();
        }
    }
}

impl AsFd for Follower {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dante4l.as_fd()
    }
}
