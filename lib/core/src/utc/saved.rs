//! UTC over Dante time, saved for the next run. While the leader's clock runs on, it shows UTC after a restart of the host, whose
//! real-time clock (RTC) shows it to half a second only, before an NTP server replies.

use crate::time::{Civil, Dante, Duration, Offset, Ratio, Reading, Real, Timestamp};
use std::fmt;

/// Largest difference between UTC by the leader and the system clock: the RTC counts seconds, and drifts while the host is off.
const MAX_RTC_ERROR: Duration = Duration::from_secs(2);
const MAX_RTC_DRIFT: Ratio = Ratio::from_ppm(100.0);
/// Largest change of a leader's rate against CLOCK_MONOTONIC_RAW: both crystals drift by some ppm with temperature and age.
const MAX_RATE_CHANGE: Ratio = Ratio::from_ppm(15.0);

/// Largest error (three standard deviations) with which UTC is resumed: a good RTC, read at boot to the second, is as wrong.
const MAX_ERROR: Duration = Duration::from_ms(250);

/// Random walk of a leader's rate against UTC: its standard deviation after 1 s. A plain crystal beside a fan has this.
const WALK: Ratio = Ratio::from_ppb(3.0);

/// Returns the half-year, at whose end a leap second is possible.
fn half_year(utc: Timestamp<Real>) -> (i64, bool) {
    let civil = Civil::at(utc.ns().div_euclid(1_000_000_000));
    (civil.year, civil.month > 6)
}

/// The clock whose time Dante time is: clockIdentity and port of the grandmaster, as on dante4l's clock page.
pub type ClockIdentity = ([u8; 8], u16);

/// UTC at one instant of Dante time, and its rate.
///
/// Text form: one line with the leader's clock identity, its port, its rate against CLOCK_MONOTONIC_RAW in ppm, Dante time in ns, UTC
/// in ns since 1970, the rate of UTC against Dante time with its standard deviation, both in ppm, and the largest error of UTC in ns:
/// `001dc1a1723c0000/1 -33.712345 699123456789 1795018007251020510 12.004321 0.011000 1250000`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SavedUtc {
    /// The leader.
    pub leader: ClockIdentity,
    /// Its rate against CLOCK_MONOTONIC_RAW of this host.
    pub leader_rate: Ratio,
    /// Dante time.
    pub dante: Timestamp<Dante>,
    /// UTC at that instant.
    pub utc: Timestamp<Real>,
    /// The rate of UTC against Dante time.
    pub rate: Ratio,
    /// One standard deviation of it.
    pub rate_sigma: Ratio,
    /// Largest error of `utc`.
    pub bound: Duration,
}

/// What became of a saved UTC.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SavedUtcUse {
    /// The leader's time has continued.
    Used {
        /// For this long.
        age: Duration,
        /// The clock minus UTC.
        off: Offset,
        /// Largest error of `off` if the random walk of the leader's rate is at most 3 ppb per root second.
        bound: Duration,
    },
    /// Another leader is followed.
    OtherLeader,
    /// The leader's time has not continued, or the system clock is wrong: they differ by this.
    NotContinued(Duration),
    /// The leader's rate has changed by this.
    OtherRate(Ratio),
    /// UTC may be off by this by now, since its rate was not known better or has changed.
    Uncertain(Duration),
    /// A leap second may have been inserted or deleted meanwhile.
    LeapPossible,
}

impl fmt::Display for SavedUtcUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Used { age, off, bound } => write!(
                f,
                "UTC of the last run resumed: the leader's time has continued for {:.0} s, and the clock is off by {:+.6} +/- {:.6} s",
                age.secs_f64(),
                off.span().secs_f64(),
                bound.secs_f64()
            ),
            Self::OtherLeader => {
                f.write_str("UTC of the last run not resumed: it belongs to another leader; waiting for NTP")
            }
            Self::NotContinued(by) => write!(
                f,
                "UTC of the last run not resumed: by the leader's time it differs from the system clock by {:+.1} s, so the leader was rebooted or the RTC is wrong; waiting for NTP",
                by.secs_f64()
            ),
            Self::OtherRate(by) => write!(
                f,
                "UTC of the last run not resumed: the leader's rate has changed by {:+.1} ppm; waiting for NTP",
                by.ppm()
            ),
            Self::Uncertain(bound) => write!(
                f,
                "UTC of the last run not resumed: it may be off by {:.3} s by now; waiting for NTP",
                bound.secs_f64()
            ),
            Self::LeapPossible => f.write_str(
                "UTC of the last run not resumed: there may have been a leap second meanwhile; waiting for NTP",
            ),
        }
    }
}

impl SavedUtc {
    /// Returns what it shows for a clock at `now`, when the leader's time is `dante` and its rate `leader_rate`.
    pub fn compare(
        &self,
        now: &Reading,
        leader: ClockIdentity,
        (dante, leader_rate): (Timestamp<Dante>, Ratio),
    ) -> SavedUtcUse {
        if leader != self.leader {
            return SavedUtcUse::OtherLeader;
        }
        let age = dante - self.dante;
        let utc = self.utc + age + age * self.rate;
        let off = Offset::between(now.real, utc);
        // After a reboot of the leader the difference is at least its uptime when this was saved.
        let uptime = self.dante - Timestamp::ZERO;
        let allowed = (MAX_RTC_ERROR + age * MAX_RTC_DRIFT).min(uptime / 2);
        if age < Duration::ZERO || off.span().abs() > allowed {
            return SavedUtcUse::NotContinued(utc - now.real);
        }
        let change = leader_rate - self.leader_rate;
        if change.abs() > MAX_RATE_CHANGE {
            return SavedUtcUse::OtherRate(change);
        }
        if half_year(self.utc) != half_year(utc) {
            return SavedUtcUse::LeapPossible;
        }
        let s = age.secs_f64();
        let walk = WALK.fraction() * s * (s / 3.0).sqrt();
        let bound = self.bound + Duration::from_secs_f64(3.0 * walk.hypot(s * self.rate_sigma.fraction()));
        if bound > MAX_ERROR {
            return SavedUtcUse::Uncertain(bound);
        }
        SavedUtcUse::Used { age, off, bound }
    }

    /// Whether the rate is known well enough to be used before UTC is measured.
    pub fn is_rate_known(&self) -> bool {
        self.rate_sigma < Ratio::from_ppm(1.0)
    }

    /// Parses the text form.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (identity, port) = words.next()?.split_once('/')?;
        let bytes = u64::from_str_radix(identity, 16).ok().filter(|_| identity.len() == 16)?;
        let ppm = |words: &mut std::str::SplitAsciiWhitespace<'_>| {
            words.next()?.parse::<f64>().ok().filter(|ppm| ppm.abs() <= 500.0).map(Ratio::from_ppm)
        };
        let saved = Self {
            leader: (bytes.to_be_bytes(), port.parse().ok()?),
            leader_rate: ppm(&mut words)?,
            dante: Timestamp::from_ns(words.next()?.parse().ok()?),
            utc: Timestamp::from_ns(words.next()?.parse().ok()?),
            rate: ppm(&mut words)?,
            rate_sigma: ppm(&mut words).filter(|sigma| *sigma >= Ratio::ZERO)?,
            bound: Duration::from_ns(words.next()?.parse().ok().filter(|ns| *ns >= 0)?),
        };
        words.next().is_none().then_some(saved)
    }
}

impl fmt::Display for SavedUtc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { leader: (identity, port), leader_rate, dante, utc, rate, rate_sigma, bound } = self;
        write!(f, "{:016x}/{port} {:.6} ", u64::from_be_bytes(*identity), leader_rate.ppm())?;
        writeln!(f, "{} {} {:.6} {:.6} {}", dante.ns(), utc.ns(), rate.ppm(), rate_sigma.ppm(), bound.ns())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::TEST_UTC_NS;

    const LEADER: ClockIdentity = ([0, 0x1d, 0xc1, 0xa1, 0x72, 0x3c, 0, 0], 1);
    const HOUR: Duration = Duration::from_secs(3600);

    fn saved() -> SavedUtc {
        SavedUtc {
            leader: LEADER,
            leader_rate: Ratio::from_ppm(-33.712_345),
            dante: Timestamp::ZERO + HOUR * 5,
            utc: Timestamp::from_ns(TEST_UTC_NS),
            rate: Ratio::from_ppm(12.0),
            rate_sigma: Ratio::from_ppm(0.25),
            bound: Duration::from_ms(5),
        }
    }

    /// The use of it after `age`, when the RTC is off by `rtc`.
    fn used(age: Duration, rtc: Duration) -> SavedUtcUse {
        let saved = saved();
        let real = saved.utc + age + age * saved.rate + rtc;
        let now = Reading { raw: Timestamp::ZERO, real, width: Duration::ZERO };
        saved.compare(&now, LEADER, (saved.dante + age, saved.leader_rate))
    }

    #[test]
    fn shows_utc_as_long_as_the_leaders_time_continues() {
        for rtc in [-900, -20, 0, 500] {
            let SavedUtcUse::Used { age, off, bound } = used(HOUR * 10, Duration::from_ms(rtc)) else {
                panic!("{rtc}")
            };
            assert_eq!((age, off), (HOUR * 10, Offset::from_ns(rtc * 1_000_000)));
            // 5 ms when it was saved, 27 ms by the rate, 35.5 ms by its random walk.
            assert!((bound - Duration::from_us(49_600)).abs() < Duration::from_us(100), "{bound:?}");
        }
    }

    #[test]
    fn rebooted_leader_another_leader_and_a_wrong_rtc_are_not_used() {
        // Rebooted a minute later, and compared when its time is beyond the saved one again, or not yet.
        let saved = saved();
        for uptime in [HOUR * 6, Duration::from_secs(30)] {
            let real = saved.utc + Duration::from_secs(60) + uptime;
            let now = Reading { raw: Timestamp::ZERO, real, width: Duration::ZERO };
            let rebooted = saved.compare(&now, LEADER, (Timestamp::ZERO + uptime, saved.leader_rate));
            assert!(matches!(rebooted, SavedUtcUse::NotContinued(_)), "{rebooted:?}");
        }
        assert!(matches!(used(HOUR, Duration::from_secs(60)), SavedUtcUse::NotContinued(_)));
        let now = Reading { raw: Timestamp::ZERO, real: saved.utc, width: Duration::ZERO };
        let other = (LEADER.0, 2);
        let same_time = (saved.dante, saved.leader_rate);
        assert_eq!(saved.compare(&now, other, same_time), SavedUtcUse::OtherLeader);
        // Four days.
        assert!(matches!(used(HOUR * 24 * 4, Duration::ZERO), SavedUtcUse::Uncertain(_)));
        let other_rate = (saved.dante, saved.leader_rate + Ratio::from_ppm(40.0));
        assert!(matches!(saved.compare(&now, LEADER, other_rate), SavedUtcUse::OtherRate(_)));
    }

    #[test]
    fn leap_second_meanwhile_is_not_ignored() {
        let new_year =
            Timestamp::from_ns(Civil { year: 2027, ..Civil::at(0) }.seconds().unwrap() * 1_000_000_000);
        for (before, is_used) in [(HOUR * 3, true), (HOUR, false)] {
            let saved = SavedUtc { utc: new_year - before, ..saved() };
            let age = HOUR * 2;
            let real = saved.utc + age;
            let now = Reading { raw: Timestamp::ZERO, real, width: Duration::ZERO };
            let seen = saved.compare(&now, LEADER, (saved.dante + age, saved.leader_rate));
            assert_eq!(matches!(seen, SavedUtcUse::Used { .. }), is_used, "{seen:?}");
        }
    }

    #[test]
    fn young_leader_is_not_taken_for_one_that_was_rebooted() {
        // Its uptime was a minute. After a year off, the RTC may be off by more than that.
        let young = SavedUtc { dante: Timestamp::ZERO + Duration::from_secs(60), ..saved() };
        let year = Duration::from_secs(365 * 86_400);
        let real = young.utc + year + Duration::from_secs(60);
        let now = Reading { raw: Timestamp::ZERO, real, width: Duration::ZERO };
        let seen = young.compare(&now, LEADER, (Timestamp::ZERO + year, young.leader_rate));
        assert!(matches!(seen, SavedUtcUse::NotContinued(_)), "{seen:?}");
    }

    #[test]
    fn text_form_is_read_back_and_damaged_text_is_rejected() {
        let text = saved().to_string();
        assert_eq!(SavedUtc::parse(&text), Some(saved()));
        assert_eq!(
            text,
            format!(
                "001dc1a1723c0000/1 -33.712345 18000000000000 {TEST_UTC_NS} 12.000000 0.250000 5000000\n"
            )
        );
        for damaged in [
            "",
            "x",
            &text[1..],
            &format!("{text} 1"),
            &text.replace("12.", "NaN"),
            &text.replace("-33", "-3333"),
        ] {
            assert_eq!(SavedUtc::parse(damaged), None, "{damaged:?}");
        }
    }
}
