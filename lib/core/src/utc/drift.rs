//! How UTC runs against the suite's own time base, from what the servers say.
//!
//! The base is the leader's time where its map is settled: two good clocks, averaged over hours. How steady the leader's
//! crystal is differs from device to device and from day to day, so filters run side by side that believe in none, little,
//! some and much wander (a bank of Kalman filters, weighed by the likelihood of their innovations: D. T. Magill, 1965).
//! The steadiest speaks that predicts about as well as the best: it averages over the longest time.

use crate::estimate::kalman::{FrequencyNoise, PhaseRate};
use crate::time::{Duration, Ratio, Raw, Timestamp};

/// Random-walk frequency noise that the filters believe in, ppb over 1 s: a compensated crystal in a room of steady
/// temperature wanders by the first (1 ppb a day), a plain one there by the second, one beside a fan by the last.
const WALKS_PPB: [f64; 4] = [0.003, 0.03, 0.3, 3.0];
/// White frequency noise over 1 s, ppb.
const WHITE_PPB: f64 = 1.0;
/// What a leader's crystal may run off UTC by: real ones showed 6 to 66 ppm.
const RATE_SIGMA_PPM: f64 = 40.0;
/// Measurements over which the noise is learnt.
const NOISE_MEMORY: f64 = 64.0;
/// No noise below this is believed, ns.
const LEAST_NOISE_NS: f64 = 1_000.0;
/// A measurement further off than this many standard deviations is doubted.
const GATE: f64 = 6.0;
/// How fast the filters' past predictions are forgotten.
const SCORE_MEMORY: f64 = 0.99;
/// A filter is no worse than the best while that one is not likelier by this (natural logarithm): over the memory, luck
/// makes for 2.
const SCORE_LEAD: f64 = 4.0;
/// One that is so much worse follows something that is not there any more: it goes on from where the best one stands.
const SCORE_LOST: f64 = 8.0;
/// A server that suddenly tells another time is believed when it has told it for as long as it was right before, but no
/// longer than this, and at least so many times.
const TRUST: Duration = Duration::from_secs(1800);
const WITNESSES: u32 = 4;
/// The uncertainty is to be this small a part of the measurements' noise: what some 100 of them give, offset and rate together.
const WANTED_PART: f64 = 5.0;
/// And nothing below this is wanted, ns.
const LEAST_WANTED_NS: f64 = 10_000.0;

/// What became of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was taken in.
    In,
    /// It is doubted: so far from what was expected.
    Doubted(Duration),
    /// The same was told for so long that it is believed: everything before it is forgotten, but for the rate.
    Restart(Duration),
}

/// UTC minus the base at one instant, and how it changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ahead {
    /// UTC minus the base.
    pub offset: Duration,
    /// One standard deviation of it.
    pub sigma: Duration,
    /// The rate of UTC against the base.
    pub rate: Ratio,
    /// One standard deviation of it.
    pub rate_sigma: Ratio,
}

#[derive(Debug, Clone, Copy)]
struct Filter {
    noise: FrequencyNoise,
    state: PhaseRate,
    /// The logarithm of how likely its predictions were.
    score: f64,
}

/// Measurements that are doubted, and agree with each other.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    since: Timestamp<Raw>,
    last: Timestamp<Raw>,
    offset: Duration,
    witnesses: u32,
}

/// The filters.
#[derive(Debug, Clone)]
pub struct Drift {
    /// The instant of the filters' states.
    raw: Timestamp<Raw>,
    /// UTC minus the base is this plus a filter's phase: a float does not hold 10^18 ns.
    whole: Duration,
    filters: [Filter; WALKS_PPB.len()],
    speaker: usize,
    /// The measurements' standard deviation, ns, and from how many it was learnt.
    noise: f64,
    learnt: f64,
    /// The half round trip that is usual, ns.
    usual_margin: f64,
    trusted_since: Timestamp<Raw>,
    doubt: Option<Doubt>,
}

impl Drift {
    /// From the first measurement: at `raw`, UTC was `offset` ahead of the base, and wrong by half of `margin` or so.
    pub fn new(raw: Timestamp<Raw>, offset: Duration, margin: Duration) -> Self {
        let noise = (margin.ns_f64() / 2.0).max(LEAST_NOISE_NS);
        let state = PhaseRate::new((0.0, noise), (0.0, RATE_SIGMA_PPM * 1e3));
        let filters = WALKS_PPB.map(|walk_ppb| Filter {
            noise: FrequencyNoise { walk_ppb, white_ppb: WHITE_PPB },
            state,
            score: 0.0,
        });
        Self {
            raw,
            whole: offset,
            filters,
            speaker: 0,
            noise,
            learnt: 1.0,
            usual_margin: margin.ns_f64(),
            trusted_since: raw,
            doubt: None,
        }
    }

    /// Takes in a measurement, unless it is doubted.
    pub fn observe(&mut self, raw: Timestamp<Raw>, offset: Duration, margin: Duration) -> Taken {
        if raw <= self.raw {
            return Taken::In;
        }
        let dt = (raw - self.raw).secs_f64();
        let measured = (offset - self.whole).ns_f64();
        // A way longer than usual is a queue on one side of it, or on both: the error is anything up to the excess.
        let excess = (margin.ns_f64() - self.usual_margin).max(0.0) / 3.0_f64.sqrt();
        let sigma = self.noise.hypot(excess);
        let spoke = self.speaker().state.predicted(dt, self.speaker().noise);
        let off = measured - spoke.phase;
        if off.abs() > GATE * spoke.innovation_sigma(sigma) {
            return self.doubt(raw, offset, margin, Duration::from_ns_f64(off));
        }
        self.doubt = None;
        self.raw = raw;
        for filter in &mut self.filters {
            filter.state = filter.state.predicted(dt, filter.noise);
            let innovation = measured - filter.state.phase;
            let expected = filter.state.innovation_sigma(sigma);
            let surprise = (innovation / expected).powi(2).min(GATE * GATE);
            filter.score = filter.score * SCORE_MEMORY - surprise / 2.0 - expected.ln();
            filter.state = filter.state.absorbed(innovation, sigma);
        }
        self.choose();
        if excess == 0.0 {
            self.learn(off, spoke.innovation_sigma(sigma), sigma);
        }
        self.usual_margin +=
            (margin.ns_f64() - self.usual_margin) / if excess > 0.0 { NOISE_MEMORY } else { 4.0 };
        // What was used up of the phase goes to the whole.
        let whole = Duration::from_ns_f64(self.speaker().state.phase);
        self.whole = self.whole + whole;
        for filter in &mut self.filters {
            filter.state.phase -= whole.ns_f64();
        }
        Taken::In
    }

    /// Who speaks.
    fn choose(&mut self) {
        let Some(best) = self.filters.iter().max_by(|a, b| a.score.total_cmp(&b.score)).copied() else {
            return;
        };
        for filter in &mut self.filters {
            if filter.score < best.score - SCORE_LOST {
                *filter = Filter { state: best.state, score: best.score - SCORE_LOST, ..*filter };
            }
        }
        let steadiest = self.filters.iter().position(|filter| filter.score >= best.score - SCORE_LEAD);
        self.speaker = steadiest.unwrap_or(self.speaker);
    }

    /// The measurements' noise: an innovation times what is left of it after the measurement was taken in has the
    /// measurement's variance as its mean.
    fn learn(&mut self, innovation: f64, expected: f64, sigma: f64) {
        let limited = innovation.powi(2).min(9.0 * expected.powi(2));
        let variance = limited * (sigma / expected).powi(2);
        self.learnt = (self.learnt + 1.0).min(NOISE_MEMORY);
        let learnt = self.noise.powi(2) + (variance - self.noise.powi(2)) / self.learnt;
        self.noise = learnt.sqrt().max(LEAST_NOISE_NS);
    }

    fn doubt(&mut self, raw: Timestamp<Raw>, offset: Duration, margin: Duration, off: Duration) -> Taken {
        let fresh = Doubt { since: raw, last: raw, offset, witnesses: 1 };
        let tolerance = margin * 2 + Duration::from_ns_f64(GATE * self.noise);
        let doubt = match self.doubt {
            Some(doubt) => {
                // The base may run off by what is not known of its rate.
                let apart = (raw - doubt.last).abs() * Ratio::from_ppm(100.0);
                let agrees = (offset - doubt.offset).abs() <= tolerance + apart;
                if agrees {
                    Doubt { last: raw, offset, witnesses: doubt.witnesses + 1, ..doubt }
                } else {
                    fresh
                }
            }
            None => fresh,
        };
        self.doubt = Some(doubt);
        let trusted = (doubt.since - self.trusted_since).min(TRUST);
        if doubt.witnesses < WITNESSES || raw - doubt.since < trusted {
            return Taken::Doubted(off);
        }
        self.restart(raw, offset, margin);
        Taken::Restart(off)
    }

    /// Forgets the offset, and keeps what is known of the rate.
    fn restart(&mut self, raw: Timestamp<Raw>, offset: Duration, margin: Duration) {
        let dt = (raw - self.raw).secs_f64();
        let noise = self.noise.max(margin.ns_f64() / 2.0);
        for filter in &mut self.filters {
            let carried = filter.state.predicted(dt, filter.noise);
            filter.state = PhaseRate::new((0.0, noise), (carried.rate, carried.rate_sigma()));
            filter.score = 0.0;
        }
        self.raw = raw;
        self.whole = offset;
        self.trusted_since = raw;
        self.doubt = None;
    }

    /// The base was exchanged for another, which is `ahead` of the old one now and runs at `rate` against it, known to
    /// `rate_sigma`.
    pub fn rebase(&mut self, ahead: Duration, rate: Ratio, rate_sigma: Ratio, now: Timestamp<Raw>) {
        let since = (now - self.raw).secs_f64();
        // The state's own instant lies before now, where the new base was that much less ahead.
        self.whole = self.whole - ahead + Duration::from_ns_f64(rate.ppb() * since);
        self.doubt = None;
        for filter in &mut self.filters {
            filter.state.rate -= rate.ppb();
            filter.state.p.2 += rate_sigma.ppb().powi(2);
        }
    }

    /// UTC itself moved by whole seconds against the base: a leap second.
    pub fn leap(&mut self, by: Duration) {
        self.whole = self.whole + by;
        self.doubt = None;
    }

    /// UTC against the base at `raw`.
    pub fn at(&self, raw: Timestamp<Raw>) -> Ahead {
        let filter = self.speaker();
        let state = filter.state.predicted((raw - self.raw).secs_f64(), filter.noise);
        Ahead {
            offset: self.whole + Duration::from_ns_f64(state.phase),
            sigma: Duration::from_ns_f64(state.phase_sigma()),
            rate: Ratio::from_ppb(state.rate),
            rate_sigma: Ratio::from_ppb(state.rate_sigma()),
        }
    }

    /// How far apart the measurements are to be, if they are `now` apart by that much: twice as far where the uncertainty
    /// stays small nevertheless, half as far where it does not.
    pub fn interval(&self, now: Duration) -> Duration {
        let wanted = (self.noise / WANTED_PART).max(LEAST_WANTED_NS);
        let sigma_after = |span: Duration| self.at(self.raw + span).sigma.ns_f64();
        if sigma_after(now * 2) < wanted {
            now * 2
        } else if sigma_after(now) > 1.5 * wanted {
            now / 2
        } else {
            now
        }
    }

    /// When the last measurement was that was believed.
    pub fn measured_at(&self) -> Timestamp<Raw> {
        self.raw
    }

    fn speaker(&self) -> &Filter {
        // The index is one of the array's own.
        self.filters.get(self.speaker).unwrap_or(&self.filters[0])
    }
}

#[cfg(test)]
mod tests;
