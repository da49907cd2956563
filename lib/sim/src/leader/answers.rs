//! What the leader answers when it is asked about itself, as ptpd 1 does. No capture of a Dante device's answer is at hand.
//!
//! Only questions are answered. Whatever else is said to it by a management message changes nothing: the keys that change a
//! device are not decoded.

use super::{Leader, Output};
use dante_core::time::{Duration, Offset, Raw, Timestamp};
use dante_core::wire::{
    ClockIdentifier, ClockIdentity, CurrentDataSet, DefaultDataSet, Flags, ForeignDataSet, GlobalTimeDataSet,
    Management, ParentDataSet, Payload, PortDataSet, PortIdentity, PortState, Uuid,
};

/// Communication technology of a target that is every clock, whatever it speaks (PTP_DEFAULT).
const ANY_TECHNOLOGY: u8 = 255;
/// manufacturerIdentity.
const MANUFACTURER: &[u8] = b"dantesim;leader;rehearsal";

impl Leader {
    /// Answers a question that is for this clock or for all.
    pub(super) fn answer(&mut self, now: Timestamp<Raw>, asker: PortIdentity, question: &Management) {
        if !self.is_meant(question.target) {
            return;
        }
        let Some(payload) = self.answer_to(now, &question.payload) else { return };
        // As far as the question has come, and one more, so that it finds its way back.
        let hops = question.starting_boundary_hops.saturating_sub(question.boundary_hops).saturating_add(1);
        let body = Management { target: asker, starting_boundary_hops: hops, boundary_hops: hops, payload };
        self.answers = self.answers.wrapping_add(1);
        if let Ok(packet) = self.header(Flags::NONE, self.answers).management(&body) {
            self.tell(Output::General { packet });
        }
    }

    /// UUID zero is every clock, port 0 every port of it.
    fn is_meant(&self, target: PortIdentity) -> bool {
        let own = self.config.identity;
        let to_all =
            target.uuid == Uuid([0; 6]) && [own.technology, ANY_TECHNOLOGY].contains(&target.technology);
        let to_us = target.uuid == own.uuid && target.technology == own.technology;
        (to_us || to_all) && [0, own.port_id].contains(&target.port_id)
    }

    fn answer_to(&mut self, now: Timestamp<Raw>, question: &Payload) -> Option<Payload> {
        Some(match question {
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
            // It follows nobody and remembers nobody.
            Payload::GetForeignDataSet(_) => Payload::ForeignDataSet(ForeignDataSet {
                returned_port_number: self.config.identity.port_id,
                returned_record_number: 0,
                foreign_master: PortIdentity { technology: 0, uuid: Uuid([0; 6]), port_id: 0 },
                foreign_master_syncs: 0,
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
