//! The status in one line, for people.

use super::Discipline;
use dante_core::steer::{State, SteeredClock, UtcSource};
use dante_core::time::Duration;
use std::fmt;

impl Discipline {
    pub(super) fn write_status(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        let now = self.now.reading;
        let state = self.steerer.state();
        let frequency = self.steerer.frequency().ppm();
        match state {
            State::Waiting => {
                write!(to, "{state}: ")?;
                self.write_loss(to)?;
            }
            State::Acquiring => {
                write!(to, "{state}: the rate of {} is not known well enough yet", self.leader())?
            }
            State::Locked => write!(to, "{state} on {}, frequency {frequency:+.2} ppm", self.leader())?,
            State::Holdover => {
                write!(to, "{state} for {}: ", Rounded(now.raw - self.journal.held_since))?;
                self.write_loss(to)?;
                write!(to, ", frequency {frequency:+.2} ppm")?;
            }
            State::Refused => write!(to, "{state}: the clock cannot be corrected")?,
            State::Yielded => write!(to, "{state}: another program steers the clock")?,
        }
        if self.clock.kind() != SteeredClock::Realtime {
            write!(to, ", clock {}", self.clock.kind())?;
        }
        // What went wrong with the clock is written only where it is out of hand: some of it mends by itself.
        let out_of_hand = matches!(state, State::Refused | State::Yielded);
        if !out_of_hand {
            self.write_utc(to)?;
        }
        let clock = self.journal.clock.last().filter(|_| out_of_hand);
        let troubles =
            [clock, self.journal.utc.last(), self.drift_file.trouble(), self.rtc.trouble.as_deref()];
        troubles.into_iter().flatten().try_for_each(|trouble| write!(to, "; {trouble}"))
    }

    fn leader(&self) -> &dyn fmt::Display {
        match &self.journal.followed {
            Some(identity) => identity,
            None => &"the leader",
        }
    }

    /// Why the leader is not followed.
    fn write_loss(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        match (&self.journal.page_trouble, self.journal.reason, self.journal.port) {
            (Some(trouble), ..) => to.write_str(trouble),
            (None, Some(reason), Some(port)) => write!(to, "{reason} (dante4l is {port})"),
            (None, None, Some(port)) => write!(to, "dante4l has no leader yet (it is {port})"),
            (None, _, None) => to.write_str("dante4l has no port yet"),
        }
    }

    fn write_utc(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        let utc = self.steerer.utc();
        let error = self.steerer.utc_error(&self.now.reading);
        match (utc.source(), error) {
            (UtcSource::None, _) => to.write_str(", no source of the date: rate only"),
            (UtcSource::Ntp, None) => to.write_str(", no time server has told the date yet"),
            (UtcSource::Leader, None) => to.write_str(", the leader has told no date yet"),
            (_, Some(_)) if utc.keeper().is_left() => to.write_str(", date left as it was set by hand"),
            (_, Some(error)) if error.bound < utc.keeper().rules().max_error => {
                write!(to, ", date good to {}", Rounded(error.bound))
            }
            (_, Some(error)) => write!(to, ", date not good: it may be off by {}", Rounded(error.bound)),
        }
    }
}

/// A span in the unit that fits it, rounded up to two digits: what grows slowly is not to change with every look.
struct Rounded(Duration);

const UNITS: [(i64, &str); 5] = [
    (3_600_000_000_000, "h"),
    (60_000_000_000, "min"),
    (1_000_000_000, "s"),
    (1_000_000, "ms"),
    (1_000, "us"),
];

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.abs().ns();
        let (unit, name) = UNITS.into_iter().find(|(unit, _)| ns >= *unit).unwrap_or((1_000, "us"));
        let digit = if ns >= 100 * unit { 10 * unit } else { unit };
        let rounded = (ns / digit + i64::from(ns % digit > 0)) * (digit / unit);
        write!(f, "{rounded} {name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_digits_and_are_never_told_too_small() {
        let told = |ns: i64| Rounded(Duration::from_ns(ns)).to_string();
        assert_eq!([0, 1, 999, 1_000].map(told), ["0 us", "1 us", "1 us", "1 us"]);
        assert_eq!([2_000_001, 99_000_000, 123_000_000].map(told), ["3 ms", "99 ms", "130 ms"]);
        assert_eq!([-2_000_000, 16_000_000_000].map(told), ["2 ms", "16 s"]);
        assert_eq!([59, 60, 61, 7_200].map(|s| told(s * 1_000_000_000)), ["59 s", "1 min", "2 min", "2 h"]);
        assert_eq!(told(i64::MIN), "2562050 h");
    }
}
