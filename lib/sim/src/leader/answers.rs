//! The leader's answers to management queries, as ptpd 1 gives them. There is no capture of a Dante device's answer.
//!
//! Only queries are answered. Management messages that change a device have no effect: their keys are not decoded.

use super::{Leader, Output};
use dante_core::time::{Duration, Offset, Raw, Timestamp};
use dante_core::wire::{
    ClockIdentifier, ClockIdentity, CurrentDataSet, DefaultDataSet, Flags, GlobalTimeDataSet, Management,
    ParentDataSet, Payload, PortDataSet, PortIdentity, PortState, Uuid,
};

/// Communication technology of a target that means the clocks of all technologies (PTP_DEFAULT).
const ANY_TECHNOLOGY: u8 = 255;
/// manufacturerIdentity.
const MANUFACTURER: &[u8] = b"dantesim;leader;rehearsal";

impl Leader {
    /// Answers a query to this clock or to all clocks.
    pub(super) fn answer(&mut self, now: Timestamp<Raw>, requester: PortIdentity, query: &Management) {
        if !self.is_addressed(query.target) {
            return;
        }
        let Some(payload) = self.answer_to(now, &query.payload) else { return };
        // The answer has to pass as many boundary clocks as the query did; one more is allowed.
        let hops = query.starting_boundary_hops.saturating_sub(query.boundary_hops).saturating_add(1);
        let body =
            Management { target: requester, starting_boundary_hops: hops, boundary_hops: hops, payload };
        self.answers = self.answers.wrapping_add(1);
        if let Ok(packet) = self.header(Flags::NONE, self.answers).management(&body) {
            self.emit(Output::General { packet });
        }
    }

    /// A UUID of zeros addresses all clocks, port 0 all ports of a clock.
    fn is_addressed(&self, target: PortIdentity) -> bool {
        let own = self.config.identity;
        let to_all =
            target.uuid == Uuid([0; 6]) && [own.technology, ANY_TECHNOLOGY].contains(&target.technology);
        let to_us = target.uuid == own.uuid && target.technology == own.technology;
        (to_us || to_all) && [0, own.port_id].contains(&target.port_id)
    }

    fn answer_to(&mut self, now: Timestamp<Raw>, query: &Payload) -> Option<Payload> {
        Some(match query {
            Payload::ObtainIdentity => Payload::ClockIdentity(self.clock_identity()),
            Payload::GetDefaultDataSet => Payload::DefaultDataSet(self.default_data_set()),
            Payload::GetCurrentDataSet => Payload::CurrentDataSet(CurrentDataSet {
                steps_removed: 0,
                offset_from_master: Offset::from_ns(0),
                one_way_delay: Duration::ZERO,
            }),
            Payload::GetParentDataSet => Payload::ParentDataSet(self.parent_data_set()),
            Payload::GetPortDataSet => Payload::PortDataSet(self.port_data_set()),
            Payload::GetGlobalTimeDataSet => Payload::GlobalTimeDataSet(GlobalTimeDataSet {
                local_time: self.time_at(now),
                current_utc_offset: 0,
                leap_59: false,
                leap_61: false,
                epoch_number: self.epoch_number(now),
            }),
            _ => return None,
        })
    }

    fn clock_identity(&self) -> ClockIdentity {
        let mut manufacturer = [0; 48];
        manufacturer.iter_mut().zip(MANUFACTURER).for_each(|(to, from)| *to = *from);
        ClockIdentity { port: self.config.identity, manufacturer }
    }

    fn default_data_set(&self) -> DefaultDataSet {
        let config = &self.config;
        DefaultDataSet {
            port: config.identity,
            stratum: config.stratum,
            identifier: ClockIdentifier::DFLT,
            variance: config.variance,
            followup_capable: true,
            preferred: config.preferred,
            initializable: false,
            external_timing: false,
            is_boundary_clock: true,
            sync_interval: config.sync_interval,
            subdomain: config.subdomain,
            number_ports: 1,
            number_foreign_records: 0,
        }
    }

    /// It is its own parent.
    fn parent_data_set(&self) -> ParentDataSet {
        let grandmaster = self.grandmaster();
        ParentDataSet {
            parent: grandmaster.port,
            last_sync_sequence: self.sequence,
            followup_capable: true,
            external_timing: false,
            variance: self.config.variance,
            stats: false,
            observed_variance: 0,
            observed_drift: 0,
            utc_reasonable: false,
            grandmaster,
        }
    }

    fn port_data_set(&self) -> PortDataSet {
        let config = &self.config;
        PortDataSet {
            returned_port_number: config.identity.port_id,
            state: if self.leads { PortState::MASTER } else { PortState::LISTENING },
            last_sync_sequence: self.sequence,
            last_general_sequence: self.answers,
            port: config.identity,
            burst_enabled: false,
            group: config.subdomain.group(),
            event_port: config.event_port,
            general_port: config.general_port,
        }
    }
}

#[cfg(test)]
mod tests;
