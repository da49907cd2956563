//! Events of the world: planned acts, packets, answers and the work of the programs.

use super::network::{Faults, LeaderId, Led, Role};
use super::{Host, True, World};
use crate::leader::Leader;
use crate::oscillator::Path;
use dante_core::port::Channel;
use dante_core::time::{Duration, Ratio, Timestamp};
use dante_core::utc::Answer;
use dante_core::wire::Buffer;
use std::collections::BTreeMap;

/// A planned change of the world. A change of a host concerns all hosts.
#[derive(Debug)]
pub enum Act {
    /// Starts a leader.
    Lead(Box<Role>),
    /// Stops a leader.
    Stop(LeaderId),
    /// Lets a stopped leader send again. Its clock has continued; its sequence numbers have not.
    Resume(LeaderId),
    /// Disconnects a leader for this time.
    Silence(LeaderId, Duration),
    /// Reboots a leader, which is off for this time: its clock and its sequence numbers start from scratch.
    Reboot(LeaderId, Duration),
    /// Steps CLOCK_REALTIME forward by this, as another program would.
    Step(Duration),
    /// Slews CLOCK_REALTIME at this rate, added to its frequency, for this time, as adjtime(3) does.
    Slew(Ratio, Duration),
    /// A competing clock daemon sets the frequency once a second for this time.
    Compete(Ratio, Duration),
    /// The faults of a leader's Follow_Ups from now on.
    Fault(LeaderId, Faults),
    /// Replaces a leader's oscillator; its time continues.
    Drift(LeaderId, Box<Path>),
    /// Suspends the hosts for this time: CLOCK_REALTIME advances, CLOCK_MONOTONIC_RAW does not.
    Suspend(Duration),
    /// The kernel makes no timestamps for this time.
    NoTimestamps(Duration),
    /// No program of the hosts runs for this time; packets wait in the sockets.
    Stall(Duration),
    /// The kernel is delayed for this time, like that of a guest on a busy machine: it receives and timestamps each packet late, by
    /// a delay between the two other values.
    DelayKernel(Duration, [Duration; 2]),
    /// Changes the rate of CLOCK_MONOTONIC_RAW against true time by this, as the temperature of the hosts' oscillators does.
    DriftHost(Ratio),
    /// Restarts the hosts, which are off for this time; CLOCK_REALTIME is then wrong by the other value, as by an RTC that counts
    /// seconds.
    RestartHost(Duration, Duration),
    /// Restarts dante4l, which is absent for this time.
    RestartObserver(Duration),
    /// Restarts dante2sys, which is absent for this time.
    RestartSteerer(Duration),
    /// Restarts danteshm, which is absent for this time.
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
    /// The answer of an NTP server.
    Answer {
        host: usize,
        server: usize,
        answer: Answer,
    },
    /// dante4l wakes up to read its sockets.
    Wake {
        host: usize,
    },
    /// The periodic work of a host's programs, once a second.
    Tick {
        host: usize,
    },
    Act(Box<Act>),
}

/// The queue of events.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    /// Ordered by time, and within one time by the order in which they were added.
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
            Act::Fault(id, faults) => self.at(id, |led| led.faults = faults),
            Act::Reboot(id, off) => self.at(id, |led| {
                // A Dante device sends its first Sync some seconds after its clock started at zero.
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
            Act::Compete(rate, span) => {
                self.each_host(|host| host.clock.set_by_competitor(now, rate, span));
                let second = Duration::from_secs(1);
                if span > second {
                    self.plan(second, Act::Compete(rate, span - second));
                }
            }
            Act::Suspend(span) => {
                self.suspended = self.suspended + span;
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
                    packets.timestamps_from = now + span;
                }
            }),
            Act::Stall(span) => self.each_host(|host| host.stalled_until = now + span),
            Act::DelayKernel(span, delay) => self.late = Some((now + span, delay)),
            Act::DriftHost(by) => self.each_host(|host| host.clock.drift(now, by)),
            Act::RestartHost(absence, error) => {
                let real = self.utc() + absence + error;
                self.each_host(|host| host.restart(now, now + absence, real));
            }
            Act::RestartObserver(absence) => self.each_host(|host| host.restart_observer(now + absence)),
            Act::RestartSteerer(absence) => self.each_host(|host| host.restart_steerer(now, now + absence)),
            Act::RestartRelay(absence) => self.each_host(|host| host.restart_relay(now, now + absence)),
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
