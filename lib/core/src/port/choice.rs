//! Which leader is followed, and what a change of it means.

use super::damping::Damping;
use super::leaders::Sender;
use super::{Discontinuity, Event, KnownRate, Output, Port, RECEIPT_TIMEOUT, Reason, Sample, best};
use crate::estimate::RateGuess;
use crate::time::{Duration, Ratio, Raw, Timestamp};

/// A rate is remembered once it is known to this: a fiftieth of what a leader may change by until it is met again.
const WELL_KNOWN: Ratio = Ratio::from_ppb(100.0);
/// And told again so often while it is followed.
const TOLD_AGAIN: Duration = Duration::from_secs(3600);
/// One that has said nothing for so many intervals beside a better one has given way to it.
const GIVEN_WAY: i64 = 4;

/// What the choice rests on besides the leaders that are heard.
#[derive(Debug, Default)]
pub(super) struct Choice {
    damping: Damping,
    /// Who is better than the one followed, and since when.
    challenger: Option<(Sender, Timestamp<Raw>)>,
    /// When the rate of the present leader was told last.
    told: Option<Timestamp<Raw>>,
}

impl Port {
    /// Best master: the best of the leaders that qualify. One that was chosen stays until it is silent or beaten.
    pub(super) fn choose(&mut self, now: Timestamp<Raw>) {
        let Some(best) = self.leaders.best(now, self.parent).copied() else {
            self.choice.challenger = None;
            return;
        };
        let sender = best.sender();
        let Some(present) = self.leader().copied() else {
            let is_first = self.estimated.is_none_or(|estimated| estimated == best.identity);
            if is_first || now - best.since >= self.choice.damping.wait(now) {
                self.follow(now, sender);
            } else if let Some(before) =
                self.estimated.and_then(|estimated| self.leaders.qualified(estimated)).map(|it| it.sender())
            {
                self.follow(now, before);
            }
            return;
        };
        if sender == present.sender() {
            self.choice.challenger = None;
            return;
        }
        let has_given_way = now - present.last_sync >= present.interval * GIVEN_WAY;
        if sender.identity == present.identity {
            // The same device, from where its packets come now.
            if has_given_way {
                self.follow(now, sender);
            }
            return;
        }
        if !best::takes_over(&best, &present) {
            self.choice.challenger = None;
            return;
        }
        let since = match self.choice.challenger {
            Some((challenger, since)) if challenger == sender => since,
            _ => now,
        };
        self.choice.challenger = Some((sender, since));
        let patience = match (has_given_way, self.followed) {
            (true, _) => self.choice.damping.wait(now),
            // Nobody rests on a leader that the port was never SLAVE of.
            (false, false) => Duration::ZERO,
            (false, true) => self.choice.damping.hold(now, present.interval),
        };
        if now - since >= patience {
            self.follow(now, sender);
        }
    }

    fn follow(&mut self, now: Timestamp<Raw>, sender: Sender) {
        let leader = sender.identity;
        self.remember_rate();
        self.parent = Some(sender);
        self.choice.challenger = None;
        self.choice.told = None;
        self.pairing.clear();
        self.measured = None;
        self.unpaired = 0;
        self.contradictions = 0;
        // The map goes on if this is the leader that made it: after a silence its time is most likely continuous, and
        // if it is not, the estimator sees a jump.
        if self.estimated != Some(leader) {
            let reason = match self.estimated {
                None => Discontinuity::First(leader),
                Some(_) => Discontinuity::AnotherLeader(leader),
            };
            if self.estimated.is_some() && self.followed {
                self.choice.damping.changed(now);
            }
            self.estimator.restart(self.rates.get(leader).map(RateGuess::same_leader));
            self.estimated = Some(leader);
            self.new_timeline(reason);
            self.delay.forget();
        }
        self.delay.begin();
        self.step(Event::LeaderChosen, Reason::Leader(leader));
    }

    /// Of a leader that is left for another.
    fn remember_rate(&mut self) {
        if let Some(known) = self.well_known_rate() {
            self.learn(known);
        }
    }

    /// Of a leader that is followed, once it is known well and then hourly.
    pub(super) fn tell_rate(&mut self, sample: &Sample) {
        let at = sample.arrived.raw;
        if self.choice.told.is_none_or(|told| at - told >= TOLD_AGAIN)
            && let Some(known) = self.well_known_rate()
        {
            self.choice.told = Some(at);
            self.learn(known);
        }
    }

    /// The rate of the leader that is or was followed, if it is known so well that it is worth remembering.
    pub fn well_known_rate(&self) -> Option<KnownRate> {
        let (leader, map) = (self.estimated?, self.estimator.map()?);
        let is_known = self.followed && map.sigma.rate.fraction() <= WELL_KNOWN.fraction();
        is_known.then_some(KnownRate { leader, rate: map.line.rate })
    }

    fn learn(&mut self, known: KnownRate) {
        self.rates.learn(known);
        self.tell(Output::Rate(known));
    }

    pub(super) fn expire(&mut self, now: Timestamp<Raw>) {
        // Syncs that cannot be measured are as good as none, though it is known whose they are.
        if let (Some(leader), Some(measured)) = (self.leader(), self.measured)
            && now - measured >= leader.interval * RECEIPT_TIMEOUT
        {
            self.step(Event::Diverged, Reason::Unmeasured(now - measured));
        }
        let silence = self.leader().map(|leader| (now - leader.last_sync, leader.interval * RECEIPT_TIMEOUT));
        self.leaders.expire(now, RECEIPT_TIMEOUT);
        if let Some((silent, allowed)) = silence
            && silent >= allowed
        {
            self.lose_leader(Event::Silence, Reason::Silence(silent));
            self.choose(now);
        }
    }

    pub(super) fn lose_leader(&mut self, event: Event, reason: Reason) {
        self.parent = None;
        self.choice.challenger = None;
        self.delay.stop();
        self.step(event, reason);
    }
}
