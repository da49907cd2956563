//! Axes with round numbers, and histograms.

#[cfg(test)]
mod tests;

/// An axis whose bounds are multiples of its step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    pub low: f64,
    pub high: f64,
    pub step: f64,
}

/// Greatest magnitude that is drawn, in the unit of the axis: beyond it, a page or a log is damaged, and a double does not
/// distinguish the ticks any more.
const GREATEST: f64 = 1e15;
/// Least width of an axis or a bin as a part of the greatest value on it: a double has 15 digits.
const FINEST: f64 = 1e-9;
/// Greatest number of ticks of an axis; about 8 are wanted.
const MAX_TICKS: u32 = 64;

impl Scale {
    /// Makes an axis that contains `values`, is at least `least` wide, and has about `steps` steps.
    pub fn around(values: impl Iterator<Item = f64>, least: f64, steps: f64) -> Self {
        let (low, high) = bounds(values).unwrap_or((0.0, 0.0));
        let least = finest(low, high).max(least);
        let spare = ((least - (high - low)) / 2.0).max(0.0);
        let (low, high) = (low - spare, high + spare);
        let step = round_up((high - low) / steps);
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        // An even number of steps, so that the middle is on a step too.
        let parity = (last - first) % 2.0;
        Self { low: first * step, high: (last + parity) * step, step }
    }

    /// Makes an axis that contains `values` and is symmetric about zero.
    pub fn about_zero(values: impl Iterator<Item = f64>, least: f64, steps: f64) -> Self {
        let far = values.map(f64::abs).filter(|value| *value <= GREATEST).fold(least / 2.0, f64::max);
        let step = round_up(2.0 * far / steps);
        let high = (far / step).ceil() * step;
        Self { low: -high, high, step }
    }

    /// Returns the values of the ticks, at most [`MAX_TICKS`].
    pub fn ticks(&self) -> Vec<f64> {
        let steps = (0..MAX_TICKS).map(|count: u32| self.low + f64::from(count) * self.step);
        steps.take_while(|tick| *tick <= self.high + self.step / 2.0).collect()
    }

    /// Formats the number at a tick.
    pub fn text(&self, value: f64) -> String {
        signed(value, decimals(self.step))
    }
}

/// Formats with a sign, zero without one.
pub fn signed(value: f64, decimals: usize) -> String {
    let text = plus(value, decimals);
    if text.bytes().any(|byte| byte.is_ascii_digit() && byte != b'0') {
        text
    } else {
        text.trim_start_matches(['+', '-']).to_owned()
    }
}

/// Formats with a sign. The width is bounded, see [`fixed`].
pub fn plus(value: f64, decimals: usize) -> String {
    if value.abs() > GREATEST { format!("{value:+.3e}") } else { format!("{value:+.decimals$}") }
}

/// Formats with a fixed number of decimals, and with an exponent beyond 10^15, where the page or the log that the number comes from is
/// damaged: the greatest double has 309 digits.
pub fn fixed(value: f64, decimals: usize) -> String {
    if value.abs() > GREATEST { format!("{value:.3e}") } else { format!("{value:.decimals$}") }
}

/// Returns the number of decimals that multiples of a step need.
pub fn decimals(step: f64) -> usize {
    let is_whole = |digits: &i32| {
        let scaled = step * 10f64.powi(*digits);
        (scaled - scaled.round()).abs() < 1e-6 && scaled.round() != 0.0
    };
    (0..9).position(|digits| is_whole(&digits)).unwrap_or(9)
}

/// Returns the least number of 1, 2 or 5 times a power of ten that is not less than `width`.
pub fn round_up(width: f64) -> f64 {
    let power = 10f64.powf(width.max(1e-12).log10().floor());
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|m| m * power)
        .find(|step| *step >= width * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

fn bounds(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|value| value.abs() <= GREATEST).fold(None, |found: Option<(f64, f64)>, value| {
        Some(found.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
    })
}

/// Returns the least width of an axis for values between these.
fn finest(low: f64, high: f64) -> f64 {
    low.abs().max(high.abs()) * FINEST
}

/// Returns the unit for times of this size, and its length in ns.
pub fn unit_of(ns: f64) -> (&'static str, f64) {
    match ns {
        ns if ns < 10e3 => ("ns", 1.0),
        ns if ns < 10e6 => ("µs", 1e3),
        ns if ns < 10e9 => ("ms", 1e6),
        _ => ("s", 1e9),
    }
}

/// Converts for drawing.
#[expect(clippy::cast_precision_loss, reason = "the error is invisible")]
pub const fn as_f64(ns: i64) -> f64 {
    ns as f64
}

/// A histogram.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Lower edge of the first bin.
    pub low: f64,
    /// Width of each bin.
    pub width: f64,
    pub counts: Vec<u64>,
    pub mean: f64,
    /// Standard deviation.
    pub deviation: f64,
    pub samples: usize,
}

impl Histogram {
    /// Makes a histogram of `bins` bins of a round width of at least `least`, with the values in the middle. Values about zero
    /// need two bins, as zero is an edge: there are at least two.
    #[expect(clippy::cast_precision_loss, reason = "counts of samples")]
    pub fn of(values: &[f64], bins: usize, least: f64) -> Option<Self> {
        let values: Vec<f64> = values.iter().copied().filter(|value| value.abs() <= GREATEST).collect();
        let (low, high) = bounds(values.iter().copied())?;
        let bins = bins.max(2);
        let mut width = round_up(((high - low) / bins as f64).max(least).max(finest(low, high)));
        let mut first = (low / width).floor();
        // At most three times: each makes the bins wider by half or more.
        while (high / width).floor() - first + 1.0 > bins as f64 {
            width = round_up(width * 1.5);
            first = (low / width).floor();
        }
        let used = (high / width).floor() - first + 1.0;
        first -= ((bins as f64 - used) / 2.0).floor();
        let mut counts = vec![0; bins];
        for value in &values {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the bins")]
            let place = ((value / width).floor() - first) as usize;
            if let Some(count) = counts.get_mut(place) {
                *count += 1;
            }
        }
        let samples = values.len();
        let mean = values.iter().sum::<f64>() / samples as f64;
        let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / samples as f64;
        Some(Self { low: first * width, width, counts, mean, deviation: square.sqrt(), samples })
    }

    /// Returns the edges of bins that are multiples of `every` widths.
    pub fn ticks(&self, every: u32) -> Vec<f64> {
        let step = self.width * f64::from(every);
        let low = (self.low / step - 1e-6).ceil() * step;
        let scale = Scale { low, high: self.edge(self.counts.len()), step };
        scale.ticks().into_iter().filter(|tick| *tick <= scale.high + self.width / 2.0).collect()
    }

    /// Returns the lower edge of bin `place`.
    #[expect(clippy::cast_precision_loss, reason = "a few bins")]
    pub fn edge(&self, place: usize) -> f64 {
        self.low + place as f64 * self.width
    }
}

/// Returns rates with their standard deviations, without those whose deviation is more than ten times the smallest: the
/// first estimates would compress the scale.
pub fn precise_rates(known: impl Iterator<Item = (f64, f64)> + Clone) -> Vec<(f64, f64)> {
    let best = known.clone().map(|(_, sigma)| sigma).fold(f64::INFINITY, f64::min);
    known.filter(|(rate, sigma)| rate.abs() <= GREATEST && *sigma <= 10.0 * best).collect()
}

/// Returns the root mean square; `None` without values.
#[expect(clippy::cast_precision_loss, reason = "counts of samples")]
pub fn rms(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0u64, 0.0), |(count, sum), value| (count + 1, sum + value * value));
    (count > 0).then(|| (sum / count as f64).sqrt())
}
