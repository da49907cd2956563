//! Clock control: detects what other programs and the kernel do to the steered clock, and decides how long the steerer yields
//! to another program that steers it.

use super::drive::ClockState;
use super::hold::Hold;
use super::jump::{Jump, JumpDetector};
use super::utc::UtcKeeper;
use super::{Output, State};
use crate::outputs::Outputs;
use crate::time::{Duration, Ratio, Raw, Reading, Timestamp};

/// First and longest time for which the steerer yields the clock to another program; each time is twice the one before.
const YIELD_TIMES: (Duration, Duration) = (Duration::from_secs(16), Duration::from_secs(1024));
/// A disturbance later than this after control was taken again counts as the first one.
const UNDISTURBED_TIME: Duration = Duration::from_secs(600);

/// The control of one clock.
#[derive(Debug)]
pub(super) struct Control {
    jumps: JumpDetector,
    /// How long the steerer yields the next time.
    next_yield: Duration,
    /// When control of the clock was last taken again.
    taken_at: Option<Timestamp<Raw>>,
    disturbances: u64,
}

impl Control {
    pub const FIRST_YIELD: Duration = YIELD_TIMES.0;

    pub fn new(now: &ClockState) -> Self {
        Self { jumps: JumpDetector::new(now), next_yield: YIELD_TIMES.0, taken_at: None, disturbances: 0 }
    }

    /// Checks what happened to the clock, which runs at `frequency`, since the last check. After a jump the clock stays where it
    /// is, and the epoch offset (K) is moved instead. Returns whether another program steers the clock and did not before.
    pub fn check<const N: usize>(
        &mut self,
        now: &ClockState,
        (state, frequency): (State, Ratio),
        hold: &mut Option<Hold>,
        utc: &mut UtcKeeper,
        outputs: &mut Outputs<Output, N>,
    ) -> bool {
        let reading = &now.reading;
        let found = self.jumps.check(now, frequency, utc.servo().is_set_by_hand());
        outputs.extend(found.slept.map(Output::Slept));
        outputs.extend(found.leap.then_some(Output::LeapSecond));
        if let Some((by, jump)) = found.jump {
            hold.iter_mut().for_each(|hold| hold.scale.refix(reading.raw, reading.real));
            outputs.push(Output::Adopted(by, jump));
            // While the steerer yields, the other program may set the clock: that is no further disturbance.
            self.disturbances += u64::from(jump == Jump::Set && state != State::Yielded);
            if jump == Jump::Leap {
                hold.iter_mut().for_each(|hold| hold.scale.count_leap(reading.raw, by.span()));
            }
            utc.clock_jumped(by.span(), jump, state);
        }
        if found.slept.is_some() {
            utc.slept(reading.raw);
            hold.iter_mut().for_each(Hold::unsettle);
        }
        if let Some((by, was_set_by_hand)) = found.was_leap {
            self.disturbances = self.disturbances.saturating_sub(1);
            hold.iter_mut().for_each(|hold| hold.scale.count_leap(reading.raw, by.span()));
            utc.was_leap(by.span(), was_set_by_hand);
        }
        let disturbance = now.kernel.and_then(|kernel| kernel.disturbance(frequency));
        let disturbance = disturbance.filter(|_| state != State::Yielded);
        outputs.extend(disturbance.map(Output::Disturbed));
        disturbance.is_some()
    }

    /// Another program steers the clock. Returns until when the steerer, now in `state`, leaves the clock to it.
    pub fn yielded(&mut self, now: Timestamp<Raw>, state: State, utc: &mut UtcKeeper) -> Timestamp<Raw> {
        self.disturbances += u64::from(state != State::Yielded);
        if self.taken_at.take().is_some_and(|at| now - at > UNDISTURBED_TIME) {
            self.next_yield = YIELD_TIMES.0;
        }
        utc.yielded(self.jumps.set_by_other_program(now));
        let until = now + self.next_yield;
        self.next_yield = (self.next_yield * 2).min(YIELD_TIMES.1);
        until
    }

    pub fn taken(&mut self, now: Timestamp<Raw>) {
        self.taken_at = Some(now);
    }

    /// The steerer itself stepped the clock, which has shown `now` since.
    pub fn stepped(&mut self, now: Reading) {
        self.jumps.stepped(now);
    }

    /// How often another program was found to steer or set the clock.
    pub fn disturbances(&self) -> u64 {
        self.disturbances
    }
}
