//! Clock control: what happens to the clock by nothing that the steerer did, and how long the clock is left to another
//! program that steers it.

use super::drive::ClockState;
use super::hold::Hold;
use super::jump::{Jump, JumpDetector};
use super::utc::UtcKeeper;
use super::{Output, State};
use crate::outputs::Outputs;
use crate::time::{Duration, Ratio, Raw, Reading, Timestamp};

/// The clock is left to another program for so long at first, and at most; twice as long each time.
const YIELDS: (Duration, Duration) = (Duration::from_secs(16), Duration::from_secs(1024));
/// After this long without a disturbance the next one counts as the first.
const UNDISTURBED: Duration = Duration::from_secs(600);

/// The control of one clock.
#[derive(Debug)]
pub(super) struct Control {
    jumps: JumpDetector,
    /// How long the clock is left to another program the next time.
    next_yield: Duration,
    /// When the clock was last taken from it.
    taken_at: Option<Timestamp<Raw>>,
    disturbances: u64,
}

impl Control {
    pub const FIRST_YIELD: Duration = YIELDS.0;

    pub fn new(now: &ClockState) -> Self {
        Self { jumps: JumpDetector::new(now), next_yield: YIELDS.0, taken_at: None, disturbances: 0 }
    }

    /// Looks what became of the clock, which runs at `frequency`, since the last look. After a jump it stays where it is,
    /// and K is fixed to that. Whether another program steers it now, and did not before.
    pub fn look<const N: usize>(
        &mut self,
        now: &ClockState,
        (state, frequency): (State, Ratio),
        hold: &mut Option<Hold>,
        utc: &mut UtcKeeper,
        outputs: &mut Outputs<Output, N>,
    ) -> bool {
        let reading = &now.reading;
        let found = self.jumps.look(now, frequency, utc.keeper().is_left());
        outputs.extend(found.slept.map(Output::Slept));
        outputs.extend(found.leap.then_some(Output::LeapSecond));
        if let Some((by, jump)) = found.jump {
            hold.iter_mut().for_each(|hold| hold.scale.refix(reading.raw, reading.real));
            outputs.push(Output::Adopted(by, jump));
            // While the clock is left to another program, that one sets it as it likes.
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
        if let Some((by, was_left)) = found.was_leap {
            self.disturbances = self.disturbances.saturating_sub(1);
            hold.iter_mut().for_each(|hold| hold.scale.count_leap(reading.raw, by.span()));
            utc.was_leap(by.span(), was_left);
        }
        let disturbance = now.kernel.and_then(|kernel| kernel.disturbance(frequency));
        let disturbance = disturbance.filter(|_| state != State::Yielded);
        outputs.extend(disturbance.map(Output::Disturbed));
        disturbance.is_some()
    }

    /// Another program has the clock, in this state of the steerer's: until when it is left to it.
    pub fn yielded(&mut self, now: Timestamp<Raw>, state: State, utc: &mut UtcKeeper) -> Timestamp<Raw> {
        self.disturbances += u64::from(state != State::Yielded);
        if self.taken_at.take().is_some_and(|at| now - at > UNDISTURBED) {
            self.next_yield = YIELDS.0;
        }
        utc.yielded(self.jumps.was_anothers(now));
        let until = now + self.next_yield;
        self.next_yield = (self.next_yield * 2).min(YIELDS.1);
        until
    }

    pub fn taken(&mut self, now: Timestamp<Raw>) {
        self.taken_at = Some(now);
    }

    /// The steerer itself stepped the clock, which shows `now` since then.
    pub fn stepped(&mut self, now: Reading) {
        self.jumps.stepped(now);
    }

    /// How often another program was seen to steer the clock, or set it.
    pub fn disturbances(&self) -> u64 {
        self.disturbances
    }
}
