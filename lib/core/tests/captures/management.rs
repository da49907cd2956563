//! One Management message of each key that is decoded; no two fields of a message have the same value.

use dante_core::time::{Duration, Offset, Timestamp};
use dante_core::wire::{
    ClockIdentifier, ClockIdentity, CurrentDataSet, DefaultDataSet, EVENT_PORT, Flags, GENERAL_PORT,
    GlobalTimeDataSet, Grandmaster, Header, Management, Message, Packet, ParentDataSet, Payload, PortDataSet,
    PortIdentity, PortState, Subdomain, Uuid,
};

fn port(last: u8, port_id: u16) -> PortIdentity {
    PortIdentity { technology: last, uuid: Uuid([0x00, 0x1d, 0xc1, 0xa1, 0x72, last]), port_id }
}

pub fn packets() -> Vec<Packet> {
    let payloads = [
        Payload::Null,
        Payload::ObtainIdentity,
        Payload::ClockIdentity(ClockIdentity {
            port: port(6, 7),
            manufacturer: *b"0123456789 a manufacturer of clocks, model X; v1",
        }),
        Payload::GetDefaultDataSet,
        Payload::DefaultDataSet(DefaultDataSet {
            port: port(6, 0x0708),
            stratum: 0x99,
            identifier: ClockIdentifier::GPS,
            variance: -4000,
            followup_capable: true,
            preferred: false,
            initializable: true,
            external_timing: false,
            is_boundary_clock: true,
            sync_interval: -2,
            subdomain: Subdomain::ALT2,
            number_ports: 0x0a0b,
            number_foreign_records: 0x0c0d,
        }),
        Payload::GetCurrentDataSet,
        Payload::CurrentDataSet(CurrentDataSet {
            steps_removed: 0x0102,
            offset_from_master: Offset::from_ns(3_000_000_004),
            one_way_delay: Duration::from_ns(5_000_000_006),
        }),
        Payload::GetParentDataSet,
        Payload::ParentDataSet(ParentDataSet {
            parent: port(6, 0x0708),
            last_sync_sequence: 0x090a,
            followup_capable: true,
            external_timing: false,
            variance: 0x7060,
            stats: true,
            observed_variance: -3,
            observed_drift: -65_539,
            utc_reasonable: false,
            grandmaster: Grandmaster {
                port: port(7, 0x0b0c),
                sequence_id: 0x0d0e,
                stratum: 0x79,
                identifier: ClockIdentifier::ATOM,
                variance: -4000,
                preferred: true,
                is_boundary_clock: false,
            },
        }),
        Payload::GetPortDataSet,
        Payload::PortDataSet(PortDataSet {
            returned_port_number: 0x0102,
            state: PortState(8),
            last_sync_sequence: 0x0304,
            last_general_sequence: 0x0506,
            port: port(7, 0x0809),
            burst_enabled: true,
            group: Subdomain::ALT3.group(),
            event_port: EVENT_PORT,
            general_port: GENERAL_PORT,
        }),
        Payload::GetGlobalTimeDataSet,
        Payload::GlobalTimeDataSet(GlobalTimeDataSet {
            local_time: Timestamp::from_ns(541_867_000_000_009),
            current_utc_offset: -37,
            leap_59: true,
            leap_61: false,
            epoch_number: 0x0304,
        }),
    ];
    let packet = |(sequence_id, payload)| Packet {
        header: Header {
            version_network: 1,
            subdomain: Subdomain::DFLT,
            source: port(1, 2),
            sequence_id,
            // PTP_LI_59, PTP_EXT_SYNC and PTP_SYNC_BURST.
            flags: Flags(0x02 | 0x10 | 0x40),
        },
        message: Message::Management(Management {
            target: port(3, 4),
            starting_boundary_hops: -2,
            boundary_hops: 1,
            payload,
        }),
    };
    (0x0506..).zip(payloads).map(packet).collect()
}
