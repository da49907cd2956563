//! Detection of jumps of the clock that the steerer did not ask for, and of their cause.

use super::drive::ClockState;
use crate::time::{Duration, Offset, Ratio, Raw, Reading, SleepDetector, Timestamp};
use crate::timescale::was_stepped;

/// A cause and its jump are seen within this of one another.
const SOON: Duration = Duration::from_secs(10);

/// Why the clock jumped although the steerer did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jump {
    /// The host was suspended: CLOCK_MONOTONIC_RAW stood still.
    Slept,
    /// The kernel inserted or left out a leap second.
    Leap,
    /// Another program or the administrator set the clock.
    Set,
}

/// A jump that was taken for [`Jump::Set`], and may yet prove to be something else.
#[derive(Debug, Clone, Copy)]
struct Unexplained {
    at: Timestamp<Raw>,
    by: Offset,
    /// UTC was left as it was set by hand before that, too.
    was_left: bool,
}

/// What one look found.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Found {
    /// The clock jumped by this much.
    pub jump: Option<(Offset, Jump)>,
    /// The host was suspended for this long.
    pub slept: Option<Duration>,
    /// The kernel begins to pass a leap second.
    pub leap: bool,
    /// A jump that was taken for [`Jump::Set`] was a leap second; whether UTC was left as set by hand before it.
    pub was_leap: Option<(Offset, bool)>,
}

/// The detector.
#[derive(Debug)]
pub(super) struct JumpDetector {
    /// The last reading: what moved since then further than any frequency moves it, jumped.
    last: Reading,
    sleep: SleepDetector,
    leap_passes: bool,
    /// A cause whose jump was not seen yet, and since when it is known.
    cause: Option<(Timestamp<Raw>, Jump)>,
    unexplained: Option<Unexplained>,
}

impl JumpDetector {
    pub fn new(now: &ClockState) -> Self {
        Self {
            last: now.reading,
            sleep: SleepDetector::new(now.suspended),
            leap_passes: passes_leap(now),
            cause: None,
            unexplained: None,
        }
    }

    /// The next look at the clock, which runs at `frequency`. `is_left`: UTC is left as it was set by hand.
    pub fn look(&mut self, now: &ClockState, frequency: Ratio, is_left: bool) -> Found {
        let at = now.reading.raw;
        let slept = self.sleep.look(now.suspended);
        let passed = std::mem::replace(&mut self.leap_passes, passes_leap(now));
        let leap = self.leap_passes && !passed;
        let new_cause = if slept.is_some() { Some(Jump::Slept) } else { leap.then_some(Jump::Leap) };
        if let Some(cause) = new_cause {
            self.cause = Some((at, cause));
        }
        let jump = self.jump(&now.reading, frequency);
        if let Some((by, kind)) = jump {
            let unexplained = Unexplained { at, by, was_left: is_left };
            self.unexplained = (kind == Jump::Set).then_some(unexplained);
        }
        let was_leap = new_cause.and_then(|cause| self.explained(at, cause));
        Found { jump, slept, leap, was_leap }
    }

    fn jump(&mut self, now: &Reading, frequency: Ratio) -> Option<(Offset, Jump)> {
        let before = std::mem::replace(&mut self.last, *now);
        let elapsed = now.raw - before.raw;
        let moved = (now.real - before.real) - elapsed;
        // A program that was held up amid a reading, under a tracer say, read the two clocks at different times.
        let certain = (moved.abs() - (before.width + now.width) / 2).max(Duration::ZERO);
        if !was_stepped(certain, elapsed) {
            return None;
        }
        let by = Offset::from_ns((moved - elapsed * frequency).ns());
        let cause = self.cause.take().filter(|(since, _)| now.raw - *since <= SOON);
        let jump = cause.map_or(Jump::Set, |(_, cause)| cause);
        Some((by, if jump == Jump::Leap && !is_a_second(by) { Jump::Set } else { jump }))
    }

    /// A cause that becomes known after its jump was seen.
    fn explained(&mut self, now: Timestamp<Raw>, cause: Jump) -> Option<(Offset, bool)> {
        let seen = self.unexplained.take().filter(|seen| self.cause.is_some() && now - seen.at <= SOON)?;
        self.cause = None;
        (cause == Jump::Leap && is_a_second(seen.by)).then_some((seen.by, seen.was_left))
    }

    /// The steerer itself stepped the clock, which shows `now` since then.
    pub fn stepped(&mut self, now: Reading) {
        self.last = now;
    }

    /// Another program steers the clock: a jump just before was that program's. Whether UTC was left as set by hand
    /// before that jump, if there was one.
    pub fn was_anothers(&mut self, now: Timestamp<Raw>) -> Option<bool> {
        let seen = self.unexplained.take().filter(|seen| now - seen.at <= SOON)?;
        Some(seen.was_left)
    }
}

fn passes_leap(now: &ClockState) -> bool {
    now.kernel.is_some_and(|kernel| kernel.leap.passes())
}

/// As a leap second makes a clock jump.
fn is_a_second(by: Offset) -> bool {
    (by.span().abs() - Duration::from_secs(1)).abs() < Duration::from_ms(50)
}
