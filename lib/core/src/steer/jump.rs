//! Detection of clock jumps that the steerer did not request, and of their cause.

use super::drive::ClockState;
use crate::time::{Duration, Offset, Ratio, Raw, Reading, SleepDetector, Timestamp};
use crate::timescale::was_stepped;

/// A cause and its jump are detected within this time of one another.
const CAUSE_WINDOW: Duration = Duration::from_secs(10);

/// Why the clock jumped without a request of the steerer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jump {
    /// The host was suspended: CLOCK_MONOTONIC_RAW stood still.
    Slept,
    /// The kernel inserted or deleted a leap second.
    Leap,
    /// Another program or the administrator set the clock.
    Set,
}

/// A jump classified as [`Jump::Set`] whose real cause may be detected later.
#[derive(Debug, Clone, Copy)]
struct Unexplained {
    at: Timestamp<Raw>,
    by: Offset,
    /// The clock counted as set by hand already before this jump.
    was_set_by_hand: bool,
}

/// The result of one check.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Found {
    /// The clock jumped by this much.
    pub jump: Option<(Offset, Jump)>,
    /// The host was suspended for this long.
    pub slept: Option<Duration>,
    /// The kernel starts to apply a leap second.
    pub leap: bool,
    /// A jump classified as [`Jump::Set`] was a leap second; and whether the clock counted as set by hand before it.
    pub was_leap: Option<(Offset, bool)>,
}

/// The detector.
#[derive(Debug)]
pub(super) struct JumpDetector {
    /// The last reading. A clock that moved further since than any frequency can move it has jumped.
    last: Reading,
    sleep: SleepDetector,
    leap_passes: bool,
    /// A cause whose jump was not detected yet, and when the cause was detected.
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

    /// Checks the clock, which runs at `frequency`. `is_set_by_hand`: the clock counts as set by hand.
    pub fn check(&mut self, now: &ClockState, frequency: Ratio, is_set_by_hand: bool) -> Found {
        let at = now.reading.raw;
        let slept = self.sleep.update(now.suspended);
        let passed = std::mem::replace(&mut self.leap_passes, passes_leap(now));
        let leap = self.leap_passes && !passed;
        let new_cause = if slept.is_some() { Some(Jump::Slept) } else { leap.then_some(Jump::Leap) };
        if let Some(cause) = new_cause {
            self.cause = Some((at, cause));
        }
        let jump = self.jump(&now.reading, frequency);
        if let Some((by, kind)) = jump {
            let unexplained = Unexplained { at, by, was_set_by_hand: is_set_by_hand };
            self.unexplained = (kind == Jump::Set).then_some(unexplained);
        }
        let was_leap = new_cause.and_then(|cause| self.explained(at, cause));
        Found { jump, slept, leap, was_leap }
    }

    fn jump(&mut self, now: &Reading, frequency: Ratio) -> Option<(Offset, Jump)> {
        let before = std::mem::replace(&mut self.last, *now);
        let elapsed = now.raw - before.raw;
        let moved = (now.real - before.real) - elapsed;
        // A program that is interrupted during a reading (by a tracer, for example) reads the two clocks at different times.
        let certain = (moved.abs() - (before.width + now.width) / 2).max(Duration::ZERO);
        if !was_stepped(certain, elapsed) {
            return None;
        }
        let by = Offset::from_ns((moved - elapsed * frequency).ns());
        let cause = self.cause.take().filter(|(since, _)| now.raw - *since <= CAUSE_WINDOW);
        let jump = cause.map_or(Jump::Set, |(_, cause)| cause);
        Some((by, if jump == Jump::Leap && !is_a_second(by) { Jump::Set } else { jump }))
    }

    /// Handles a cause that is detected after its jump.
    fn explained(&mut self, now: Timestamp<Raw>, cause: Jump) -> Option<(Offset, bool)> {
        let seen =
            self.unexplained.take().filter(|seen| self.cause.is_some() && now - seen.at <= CAUSE_WINDOW)?;
        self.cause = None;
        (cause == Jump::Leap && is_a_second(seen.by)).then_some((seen.by, seen.was_set_by_hand))
    }

    /// The steerer itself stepped the clock, which has shown `now` since.
    pub fn stepped(&mut self, now: Reading) {
        self.last = now;
    }

    /// Another program steers the clock: a jump shortly before was made by that program. Returns whether the clock counted as set
    /// by hand before that jump, if there was one.
    pub fn set_by_other_program(&mut self, now: Timestamp<Raw>) -> Option<bool> {
        let seen = self.unexplained.take().filter(|seen| now - seen.at <= CAUSE_WINDOW)?;
        Some(seen.was_set_by_hand)
    }
}

fn passes_leap(now: &ClockState) -> bool {
    now.kernel.is_some_and(|kernel| kernel.leap.passes())
}

/// Whether a jump has the size of a leap second.
fn is_a_second(by: Offset) -> bool {
    (by.span().abs() - Duration::from_secs(1)).abs() < Duration::from_ms(50)
}
