//! The PTPv1 fields of tshark, and the value of each for a packet.

use dante_core::time::{Dante, Timestamp};
use dante_core::wire::{
    ClockIdentity, CurrentDataSet, DefaultDataSet, DelayResp, FollowUp, GlobalTimeDataSet, Management,
    Message, Packet, ParentDataSet, Payload, PortDataSet, SyncBody,
};

/// The name of a field, and its value as tshark prints it, if the packet has the field.
pub type Field = (&'static str, fn(&Packet) -> Option<String>);

fn packet(packet: &Packet) -> Option<&Packet> {
    Some(packet)
}

fn sync(packet: &Packet) -> Option<&SyncBody> {
    match &packet.message {
        Message::Sync(body) | Message::DelayReq(body) => Some(body),
        _ => None,
    }
}

fn follow_up(packet: &Packet) -> Option<&FollowUp> {
    if let Message::FollowUp(body) = &packet.message { Some(body) } else { None }
}

fn delay_resp(packet: &Packet) -> Option<&DelayResp> {
    if let Message::DelayResp(body) = &packet.message { Some(body) } else { None }
}

fn management(packet: &Packet) -> Option<&Management> {
    if let Message::Management(body) = &packet.message { Some(body) } else { None }
}

macro_rules! payloads {
    ($($name:ident: $variant:ident,)*) => {
        $(fn $name(packet: &Packet) -> Option<&$variant> {
            if let Payload::$variant(data) = &management(packet)?.payload { Some(data) } else { None }
        })*
    };
}

payloads! {
    identity: ClockIdentity,
    default: DefaultDataSet,
    current: CurrentDataSet,
    parent: ParentDataSet,
    port: PortDataSet,
    global_time: GlobalTimeDataSet,
}

fn message_type(packet: &Packet) -> u8 {
    if sync(packet).is_some() { 1 } else { 2 }
}

fn control(packet: &Packet) -> u8 {
    match packet.message {
        Message::Sync(_) => 0,
        Message::DelayReq(_) => 1,
        Message::FollowUp(_) => 2,
        Message::DelayResp(_) => 3,
        Message::Management(_) => 4,
    }
}

fn parameter_length(management: &Management) -> u16 {
    match management.payload {
        Payload::ClockIdentity(_) => 64,
        Payload::DefaultDataSet(_) => 76,
        Payload::CurrentDataSet(_) => 20,
        Payload::ParentDataSet(_) => 90,
        Payload::PortDataSet(_) => 52,
        Payload::GlobalTimeDataSet(_) => 24,
        _ => 0,
    }
}

/// 1 if this bit of the header's flags is set, otherwise 0.
fn flag(packet: &Packet, bit: u16) -> u8 {
    u8::from(packet.header.flags.0 & bit != 0)
}

fn whole(time: Timestamp<Dante>) -> String {
    let (seconds, nanoseconds) = time.split();
    format!("{seconds}.{nanoseconds:09}")
}

fn time(ns: i64) -> Timestamp<Dante> {
    Timestamp::from_ns(ns)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

macro_rules! fields {
    ($($of:ident { $($name:literal => |$it:ident| $value:expr,)* })*) => {
        &[$($(($name, |packet| $of(packet).map(|$it| $value.to_string())),)*)*]
    };
}

/// All fields of Wireshark for the decoded messages except ptp.mm.default.data.set.clockfollowupcapable: Wireshark reads it from
/// byte 89, but ptpd writes it to byte 91, at the end of its word as every other boolean.
pub const FIELDS: &[Field] = fields! {
    packet {
        "ptp.versionptp" => |_p| 1,
        "ptp.versionnetwork" => |p| p.header.version_network,
        "ptp.subdomain" => |p| p.header.subdomain,
        "ptp.messagetype" => |p| message_type(p),
        "ptp.sourcecommunicationtechnology" => |p| p.header.source.technology,
        "ptp.sourceuuid" => |p| p.header.source.uuid,
        "ptp.sourceportid" => |p| p.header.source.port_id,
        "ptp.sequenceid" => |p| p.header.sequence_id,
        "ptp.controlfield" => |p| control(p),
        "ptp.flags" => |p| format!("{:#06x}", p.header.flags.0),
        "ptp.flags.li61" => |p| flag(p, 0x01),
        "ptp.flags.li59" => |p| flag(p, 0x02),
        "ptp.flags.boundary_clock" => |p| flag(p, 0x04),
        "ptp.flags.assist" => |p| flag(p, 0x08),
        "ptp.flags.ext_sync" => |p| flag(p, 0x10),
        "ptp.flags.parent_stats" => |p| flag(p, 0x20),
        "ptp.flags.sync_burst" => |p| flag(p, 0x40),
    }
    sync {
        "ptp.sdr.origintimestamp" => |b| whole(b.origin),
        "ptp.sdr.origintimestamp_seconds" => |b| b.origin.split().0,
        "ptp.sdr.origintimestamp_nanoseconds" => |b| b.origin.split().1,
        "ptp.sdr.epochnumber" => |b| b.epoch_number,
        "ptp.sdr.currentutcoffset" => |b| b.current_utc_offset,
        "ptp.sdr.grandmastercommunicationtechnology" => |b| b.grandmaster.port.technology,
        "ptp.sdr.grandmasterclockuuid" => |b| b.grandmaster.port.uuid,
        "ptp.sdr.grandmasterportid" => |b| b.grandmaster.port.port_id,
        "ptp.sdr.grandmastersequenceid" => |b| b.grandmaster.sequence_id,
        "ptp.sdr.grandmasterclockstratum" => |b| b.grandmaster.stratum,
        "ptp.sdr.grandmasterclockidentifier" => |b| b.grandmaster.identifier,
        "ptp.sdr.grandmasterclockvariance" => |b| b.grandmaster.variance,
        "ptp.sdr.grandmasterpreferred" => |b| u8::from(b.grandmaster.preferred),
        "ptp.sdr.grandmasterisboundaryclock" => |b| u8::from(b.grandmaster.is_boundary_clock),
        "ptp.sdr.syncinterval" => |b| b.sync_interval,
        "ptp.sdr.localclockvariance" => |b| b.local.variance,
        "ptp.sdr.localstepsremoved" => |b| b.local.steps_removed,
        "ptp.sdr.localclockstratum" => |b| b.local.stratum,
        "ptp.sdr.localclockidentifier" => |b| b.local.identifier,
        "ptp.sdr.parentcommunicationtechnology" => |b| b.parent.technology,
        "ptp.sdr.parentuuid" => |b| b.parent.uuid,
        "ptp.sdr.parentportfield" => |b| b.parent.port_id,
        "ptp.sdr.estimatedmastervariance" => |b| b.estimated_master_variance,
        "ptp.sdr.estimatedmasterdrift" => |b| b.estimated_master_drift,
        "ptp.sdr.utcreasonable" => |b| u8::from(b.utc_reasonable),
    }
    follow_up {
        "ptp.fu.associatedsequenceid" => |b| b.associated_sequence_id,
        "ptp.fu.preciseorigintimestamp" => |b| whole(b.precise_origin),
        "ptp.fu.preciseorigintimestamp_seconds" => |b| b.precise_origin.split().0,
        "ptp.fu.preciseorigintimestamp_nanoseconds" => |b| b.precise_origin.split().1,
    }
    delay_resp {
        "ptp.dr.delayreceipttimestamp" => |b| whole(b.received),
        "ptp.dr.delayreceipttimestamp_seconds" => |b| b.received.split().0,
        "ptp.dr.delayreceipttimestamp_nanoseconds" => |b| b.received.split().1,
        "ptp.dr.requestingsourcecommunicationtechnology" => |b| b.requesting.technology,
        "ptp.dr.requestingsourceuuid" => |b| b.requesting.uuid,
        "ptp.dr.requestingsourceportid" => |b| b.requesting.port_id,
        "ptp.dr.requestingsourcesequenceid" => |b| b.requesting_sequence_id,
    }
    management {
        "ptp.mm.targetcommunicationtechnology" => |b| b.target.technology,
        "ptp.mm.targetuuid" => |b| b.target.uuid,
        "ptp.mm.targetportid" => |b| b.target.port_id,
        "ptp.mm.startingboundaryhops" => |b| b.starting_boundary_hops,
        "ptp.mm.boundaryhops" => |b| b.boundary_hops,
        "ptp.mm.managementmessagekey" => |b| b.payload.key(),
        "ptp.mm.parameterlength" => |b| parameter_length(b),
    }
    identity {
        "ptp.mm.clock.identity.clockcommunicationtechnology" => |d| d.port.technology,
        "ptp.mm.clock.identity.clockuuidfield" => |d| d.port.uuid,
        "ptp.mm.clock.identity.clockportfield" => |d| d.port.port_id,
        "ptp.mm.clock.identity.manufactureridentity" => |d| hex(&d.manufacturer),
    }
    default {
        "ptp.mm.default.data.set.clockcommunicationtechnology" => |d| d.port.technology,
        "ptp.mm.default.data.set.clockuuidfield" => |d| d.port.uuid,
        "ptp.mm.default.data.set.clockportfield" => |d| d.port.port_id,
        "ptp.mm.default.data.set.clockstratum" => |d| d.stratum,
        "ptp.mm.default.data.set.clockidentifier" => |d| hex(&d.identifier.0),
        "ptp.mm.default.data.set.clockvariance" => |d| d.variance.cast_unsigned(),
        "ptp.mm.default.data.set.preferred" => |d| u8::from(d.preferred),
        "ptp.mm.default.data.set.initializable" => |d| u8::from(d.initializable),
        "ptp.mm.default.data.set.externaltiming" => |d| u8::from(d.external_timing),
        "ptp.mm.default.data.set.isboundaryclock" => |d| u8::from(d.is_boundary_clock),
        "ptp.mm.default.data.set.syncinterval" => |d| d.sync_interval,
        "ptp.mm.default.data.set.subdomainname" => |d| d.subdomain,
        "ptp.mm.default.data.set.numberports" => |d| d.number_ports,
        "ptp.mm.default.data.set.numberforeignrecords" => |d| d.number_foreign_records,
    }
    current {
        "ptp.mm.current.data.set.stepsremoved" => |d| d.steps_removed,
        "ptp.mm.current.data.set.offsetfrommaster" => |d| whole(time(d.offset_from_master.ns())),
        "ptp.mm.current.data.set.offsetfrommasterseconds" => |d| d.offset_from_master.split().0,
        "ptp.mm.current.data.set.offsetfrommasternanoseconds" => |d| d.offset_from_master.split().1,
        "ptp.mm.current.data.set.onewaydelay" => |d| whole(time(d.one_way_delay.ns())),
        "ptp.mm.current.data.set.onewaydelayseconds" => |d| time(d.one_way_delay.ns()).split().0,
        "ptp.mm.current.data.set.onewaydelaynanoseconds" => |d| time(d.one_way_delay.ns()).split().1,
    }
    parent {
        "ptp.mm.parent.data.set.parentcommunicationtechnology" => |d| d.parent.technology,
        "ptp.mm.parent.data.set.parentuuid" => |d| d.parent.uuid,
        "ptp.mm.parent.data.set.parentportid" => |d| d.parent.port_id,
        "ptp.mm.parent.data.set.parentlastsyncsequencenumber" => |d| d.last_sync_sequence,
        "ptp.mm.parent.data.set.parentfollowupcapable" => |d| u8::from(d.followup_capable),
        "ptp.mm.parent.data.set.parentexternaltiming" => |d| u8::from(d.external_timing),
        "ptp.mm.parent.data.set.parentvariance" => |d| d.variance.cast_unsigned(),
        "ptp.mm.parent.data.set.parentstats" => |d| u8::from(d.stats),
        "ptp.mm.parent.data.set.observedvariance" => |d| d.observed_variance,
        "ptp.mm.parent.data.set.observeddrift" => |d| d.observed_drift,
        "ptp.mm.parent.data.set.utcreasonable" => |d| u8::from(d.utc_reasonable),
        "ptp.mm.parent.data.set.grandmastercommunicationtechnology" => |d| d.grandmaster.port.technology,
        "ptp.mm.parent.data.set.grandmasteruuidfield" => |d| d.grandmaster.port.uuid,
        "ptp.mm.parent.data.set.grandmasterportidfield" => |d| d.grandmaster.port.port_id,
        "ptp.mm.parent.data.set.grandmasterstratum" => |d| d.grandmaster.stratum,
        "ptp.mm.parent.data.set.grandmasteridentifier" => |d| hex(&d.grandmaster.identifier.0),
        "ptp.mm.parent.data.set.grandmastervariance" => |d| d.grandmaster.variance,
        "ptp.mm.parent.data.set.grandmasterpreferred" => |d| u8::from(d.grandmaster.preferred),
        "ptp.mm.parent.data.set.grandmasterisboundaryclock" => |d| u8::from(d.grandmaster.is_boundary_clock),
        "ptp.mm.parent.data.set.grandmastersequencenumber" => |d| d.grandmaster.sequence_id,
    }
    port {
        "ptp.mm.port.data.set.returnedportnumber" => |d| d.returned_port_number,
        "ptp.mm.port.data.set.portstate" => |d| d.state.0,
        "ptp.mm.port.data.set.lastsynceventsequencenumber" => |d| d.last_sync_sequence,
        "ptp.mm.port.data.set.lastgeneraleventsequencenumber" => |d| d.last_general_sequence,
        "ptp.mm.port.data.set.portcommunicationtechnology" => |d| d.port.technology,
        "ptp.mm.port.data.set.portuuidfield" => |d| d.port.uuid,
        "ptp.mm.port.data.set.portidfield" => |d| d.port.port_id,
        "ptp.mm.port.data.set.burstenabled" => |d| u8::from(d.burst_enabled),
        "ptp.mm.port.data.set.subdomainaddressoctets" => |_d| 4,
        "ptp.mm.port.data.set.eventportaddressoctets" => |_d| 2,
        "ptp.mm.port.data.set.generalportaddressoctets" => |_d| 2,
        "ptp.mm.port.data.set.subdomainaddress" => |d| hex(&d.group.octets()),
        "ptp.mm.port.data.set.eventportaddress" => |d| hex(&d.event_port.to_be_bytes()),
        "ptp.mm.port.data.set.generalportaddress" => |d| hex(&d.general_port.to_be_bytes()),
    }
    global_time {
        "ptp.mm.global.time.data.set.localtime" => |d| whole(d.local_time),
        "ptp.mm.global.time.data.set.localtimeseconds" => |d| d.local_time.split().0,
        "ptp.mm.global.time.data.set.localtimenanoseconds" => |d| d.local_time.split().1,
        "ptp.mm.global.time.data.set.currentutcoffset" => |d| d.current_utc_offset,
        "ptp.mm.global.time.data.set.leap59" => |d| u8::from(d.leap_59),
        "ptp.mm.global.time.data.set.leap61" => |d| u8::from(d.leap_61),
        "ptp.mm.global.time.data.set.epochnumber" => |d| d.epoch_number,
    }
};
