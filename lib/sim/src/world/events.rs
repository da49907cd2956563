//! What can happen in the world, by accident or by plan.

use super::{Led, World};
use crate::leader::{Leader, LeaderConfig};
use crate::link::Profile;
use crate::oscillator::Path;
use dante_core::port::Channel;
use dante_core::time::{Duration, Ratio, Timestamp};
use dante_core::wire::Buffer;
use rand::RngExt;
use rand_pcg::Pcg64Mcg;

/// One of the world's leaders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaderId(pub(super) usize);

impl LeaderId {
    /// The leader that began as the `nth`, from 0.
    pub const fn nth(nth: usize) -> Self {
        Self(nth)
    }
}

/// What a leader does wrong with its Follow_Ups: shares of them, 0..1.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Comes 0 to 0.5 s later than it should.
    pub late: f64,
    /// Never comes.
    pub lost: f64,
    /// Carries the time of the one before.
    pub mispaired: f64,
}

/// A leader.
#[derive(Debug, Clone)]
pub struct Role {
    /// What it says of itself.
    pub config: LeaderConfig,
    /// Its oscillator.
    pub path: Path,
    /// Its way to the host.
    pub link: Profile,
    /// Which of the host's networks it is on, from 0.
    pub network: usize,
    /// What it does wrong.
    pub faults: Faults,
    /// The number before that of its first Sync.
    pub sequence: u16,
}

/// What happens by plan.
#[derive(Debug)]
pub enum Act {
    /// A leader begins.
    Lead(Box<Role>),
    /// A leader is gone.
    Stop(LeaderId),
    /// A leader leads again: its clock and its sequence numbers went on meanwhile, or stood still.
    Resume(LeaderId),
    /// A leader's cable is out for so long.
    Silence(LeaderId, Duration),
    /// A leader is off for so long and comes back as itself, its clock and its sequence numbers starting anew.
    Reboot(LeaderId, Duration),
    /// Somebody sets CLOCK_REALTIME forwards by so much.
    Step(Duration),
    /// Somebody slews CLOCK_REALTIME by this beside the frequency that is set, as adjtime(3) does, for so long.
    Slew(Ratio, Duration),
    /// Somebody sets the clock's frequency once a second for so long.
    Fight(Ratio, Duration),
    /// The host sleeps for so long: CLOCK_MONOTONIC_RAW stands still, CLOCK_REALTIME goes on.
    Suspend(Duration),
    /// The kernel stamps nothing for so long.
    NoStamps(Duration),
    /// No program runs for so long; packets wait in the sockets.
    Stall(Duration),
    /// The kernel itself is held up for so long, as a guest of a busy host is: it takes each packet in, and stamps it,
    /// between the two other spans too late.
    Late(Duration, [Duration; 2]),
    /// The observer is started anew; it was gone for so long.
    RestartObserver(Duration),
    /// The steerer is started anew; it was gone for so long.
    RestartSteerer(Duration),
}

#[derive(Debug)]
pub(super) enum Event {
    ToHost {
        from: LeaderId,
        channel: Channel,
        bytes: Buffer,
    },
    ToLeader {
        to: LeaderId,
        bytes: Buffer,
    },
    /// The host's programs wake up.
    Wake,
    /// Once a second the programs look around.
    Tick,
    Act(Box<Act>),
}

impl World {
    pub(super) fn act(&mut self, act: Act) {
        let now = self.now;
        match act {
            Act::Lead(role) => _ = self.lead(*role),
            Act::Stop(id) => self.turn(id, true),
            Act::Resume(id) => self.turn(id, false),
            Act::Silence(LeaderId(id), span) => {
                if let Some(led) = self.leaders.get_mut(id) {
                    led.silent_until = now + span;
                }
            }
            Act::Reboot(LeaderId(id), off) => {
                if let Some(led) = self.leaders.get_mut(id) {
                    // A Dante device leads some seconds after its clock has begun at zero.
                    let mut path = led.leader.oscillator().clone();
                    path.show(now + off, Timestamp::ZERO + Duration::from_secs(3));
                    led.leader = Leader::new(led.config, path, now + off);
                }
            }
            Act::Step(by) => self.host.is_stepped(by),
            Act::Slew(rate, span) => {
                self.host.is_slewed(now, rate);
                if span > Duration::ZERO {
                    self.plan(span, Act::Slew(Ratio::ZERO, Duration::ZERO));
                }
            }
            Act::Fight(rate, span) => {
                self.host.is_set(now, rate);
                let second = Duration::from_secs(1);
                if span > second {
                    self.plan(second, Act::Fight(rate, span - second));
                }
            }
            Act::Suspend(span) => {
                self.host.is_stepped(span);
                for led in &mut self.leaders {
                    let path = led.leader.oscillator();
                    let then = path.at(now) + span;
                    path.show(now, then);
                }
            }
            Act::NoStamps(span) => self.host.stamps_from = now + span,
            Act::Stall(span) => self.host.awake_from = now + span,
            Act::Late(span, late) => self.late = Some((now + span, late)),
            Act::RestartObserver(gone) => self.host.restart_observer(now + gone),
            Act::RestartSteerer(gone) => self.host.restart_steerer(now, now + gone),
        }
    }

    fn turn(&mut self, LeaderId(id): LeaderId, is_off: bool) {
        if let Some(led) = self.leaders.get_mut(id) {
            led.is_off = is_off;
        }
    }
}

impl Led {
    /// A general packet as its faults leave it, and how much later it leaves.
    pub(super) fn spoil(
        &mut self,
        rng: &mut Pcg64Mcg,
        mut packet: Buffer,
        is_follow_up: bool,
    ) -> Option<(Buffer, Duration)> {
        if !is_follow_up {
            return Some((packet, Duration::ZERO));
        }
        let before = self.last_follow_up.replace(packet.clone());
        if rng.random_bool(self.faults.lost) {
            return None;
        }
        if let Some(before) = before
            && rng.random_bool(self.faults.mispaired)
            && let (Some(to), Some(from)) = (packet.get_mut(44..52), before.get(44..52))
        {
            to.copy_from_slice(from);
        }
        let is_late = rng.random_bool(self.faults.late);
        let late = if is_late { rng.random_range(0..500_000_000) } else { 0 };
        Some((packet, Duration::from_ns(late)))
    }
}
