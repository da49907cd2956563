//! What can happen in the world, by accident or by plan.

use super::network::{LeaderId, Led, Role};
use super::{Host, True, World};
use crate::leader::Leader;
use crate::oscillator::Path;
use dante_core::port::Channel;
use dante_core::time::{Duration, Ratio, Timestamp};
use dante_core::utc::Answer;
use dante_core::wire::Buffer;
use std::collections::BTreeMap;

/// What happens by plan. What happens to a host happens to all of them.
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
    /// A leader's oscillator goes on as another, from the time that it shows.
    Drift(LeaderId, Box<Path>),
    /// The hosts sleep for so long: their CLOCK_MONOTONIC_RAW stands still, CLOCK_REALTIME goes on.
    Suspend(Duration),
    /// The kernel stamps nothing for so long.
    NoTimestamps(Duration),
    /// No program runs for so long; packets wait in the sockets.
    Stall(Duration),
    /// The kernel itself is held up for so long, as a guest of a busy host is: it takes each packet in, and stamps it,
    /// between the two other spans too late.
    Late(Duration, [Duration; 2]),
    /// dante4l is restarted; it was gone for so long.
    RestartObserver(Duration),
    /// dante2sys is restarted; it was gone for so long.
    RestartSteerer(Duration),
    /// danteshm is restarted; it was gone for so long.
    RestartRelay(Duration),
}

#[derive(Debug)]
pub(super) enum Event {
    ToHost {
        host: usize,
        from: LeaderId,
        channel: Channel,
        bytes: Buffer,
    },
    ToLeader {
        to: LeaderId,
        bytes: Buffer,
    },
    /// The answer of a time server.
    Answer {
        host: usize,
        server: usize,
        answer: Answer,
    },
    /// A host's programs wake up.
    Wake {
        host: usize,
    },
    /// Once a second the programs look around.
    Tick {
        host: usize,
    },
    Act(Box<Act>),
}

/// What is to happen.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    /// By time, and among those of one time by the order in which they were added.
    events: BTreeMap<(True, u64), Event>,
    added: u64,
}

impl Agenda {
    pub fn add(&mut self, at: True, event: Event) {
        self.added += 1;
        self.events.insert((at, self.added), event);
    }

    pub fn next(&self) -> Option<True> {
        self.events.keys().next().map(|(at, _)| *at)
    }

    pub fn due(&mut self, now: True) -> Option<Event> {
        let next = self.events.first_entry().filter(|next| next.key().0 <= now);
        next.map(|next| next.remove())
    }
}

impl World {
    pub(super) fn act(&mut self, act: Act) {
        let now = self.now;
        match act {
            Act::Lead(role) => _ = self.lead(*role),
            Act::Stop(id) => self.at(id, |led| led.is_off = true),
            Act::Resume(id) => self.at(id, |led| led.is_off = false),
            Act::Silence(id, span) => self.at(id, |led| led.silent_until = now + span),
            Act::Reboot(id, off) => self.at(id, |led| {
                // A Dante device leads some seconds after its clock has begun at zero.
                let mut path = led.leader.oscillator().clone();
                path.show(now + off, Timestamp::ZERO + Duration::from_secs(3));
                led.leader = Leader::new(led.config, path, now + off);
                led.jumps += 1;
            }),
            Act::Drift(id, mut path) => self.at(id, |led| {
                let before = led.leader.oscillator();
                path.show(now, before.at(now));
                *before = *path;
            }),
            Act::Step(by) => self.each_host(|host| host.clock.step(by)),
            Act::Slew(rate, span) => {
                self.each_host(|host| host.clock.set_slew(now, rate));
                if span > Duration::ZERO {
                    self.plan(span, Act::Slew(Ratio::ZERO, Duration::ZERO));
                }
            }
            Act::Fight(rate, span) => {
                self.each_host(|host| host.clock.is_fought(now, rate, span));
                let second = Duration::from_secs(1);
                if span > second {
                    self.plan(second, Act::Fight(rate, span - second));
                }
            }
            Act::Suspend(span) => {
                self.slept = self.slept + span;
                self.each_host(|host| host.clock.suspend(span));
                for led in &mut self.leaders {
                    let path = led.leader.oscillator();
                    let then = path.at(now) + span;
                    path.show(now, then);
                    led.jumps += 1;
                }
            }
            Act::NoTimestamps(span) => self.each_host(|host| {
                if let Some(packets) = host.packets() {
                    packets.stamps_from = now + span;
                }
            }),
            Act::Stall(span) => self.each_host(|host| host.awake_from = now + span),
            Act::Late(span, late) => self.late = Some((now + span, late)),
            Act::RestartObserver(gone) => self.each_host(|host| host.restart_observer(now + gone)),
            Act::RestartSteerer(gone) => self.each_host(|host| host.restart_steerer(now, now + gone)),
            Act::RestartRelay(gone) => self.each_host(|host| host.restart_relay(now, now + gone)),
        }
    }

    fn at(&mut self, LeaderId(id): LeaderId, act: impl FnOnce(&mut Led)) {
        if let Some(led) = self.leaders.get_mut(id) {
            act(led);
        }
    }

    fn each_host(&mut self, act: impl FnMut(&mut Host)) {
        self.hosts.iter_mut().for_each(act);
    }
}
