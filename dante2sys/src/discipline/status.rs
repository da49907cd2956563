//! The status in one line.

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
                self.journal.write_loss(to)?;
            }
            State::Acquiring => write!(to, "{state}: measuring the rate of {}", self.leader())?,
            State::Locked => write!(to, "{state} on {}, frequency {frequency:+.2} ppm", self.leader())?,
            State::Holdover => {
                write!(to, "{state} for {}: ", Rounded(now.raw - self.journal.held_since))?;
                self.journal.write_loss(to)?;
                write!(to, ", frequency {frequency:+.2} ppm")?;
            }
            State::Refused => write!(to, "{state}: the clock cannot be corrected")?,
            State::Yielded => write!(to, "{state}: another program steers the clock")?,
        }
        if self.clock.kind() != SteeredClock::Realtime {
            write!(to, ", clock {}", self.clock.kind())?;
        }
        // A failure of the clock is shown only in the states that it causes: others may be over.
        let lacks_control = matches!(state, State::Refused | State::Yielded);
        if !lacks_control {
            self.write_utc(to)?;
        }
        let clock = self.journal.clock.last().filter(|_| lacks_control);
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

    fn write_utc(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        let utc = self.steerer.utc();
        let error = self.steerer.utc_error(&self.now.reading);
        match (utc.source(), error) {
            (UtcSource::None, _) => to.write_str(", no UTC source: rate only"),
            (UtcSource::Ntp, None) => to.write_str(", no UTC from an NTP server yet"),
            (UtcSource::Leader, None) => to.write_str(", no UTC from the leader yet"),
            (_, Some(_)) if utc.servo().is_set_by_hand() => {
                to.write_str(", UTC not corrected: clock was set by hand")
            }
            (_, Some(error)) if error.bound < utc.servo().rules().max_error => {
                write!(to, ", UTC error below {}", Rounded(error.bound))
            }
            (_, Some(error)) => write!(to, ", UTC not synchronised: error may be {}", Rounded(error.bound)),
        }
    }
}

/// A duration in a unit of suitable size, rounded up to two digits, so that a slowly growing value rarely changes the line.
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
    fn durations_have_two_digits_and_are_never_rounded_down() {
        let rounded = |ns: i64| Rounded(Duration::from_ns(ns)).to_string();
        assert_eq!([0, 1, 999, 1_000].map(rounded), ["0 us", "1 us", "1 us", "1 us"]);
        assert_eq!([2_000_001, 99_000_000, 123_000_000].map(rounded), ["3 ms", "99 ms", "130 ms"]);
        assert_eq!([-2_000_000, 16_000_000_000].map(rounded), ["2 ms", "16 s"]);
        assert_eq!(
            [59, 60, 61, 7_200].map(|s| rounded(s * 1_000_000_000)),
            ["59 s", "1 min", "2 min", "2 h"]
        );
        assert_eq!(rounded(i64::MIN), "2562050 h");
    }
}
