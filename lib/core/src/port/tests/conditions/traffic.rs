//! Traffic of others: the rows, and what they send.

use super::*;

pub fn traffic() -> Vec<Traffic> {
    let row = |name, send: Send, alone| Traffic {
        name,
        config: plain,
        send,
        alone,
        finding: "no_leader",
        then: LOCK,
        beside: LOCK,
        finding_beside: "ok",
        after_lock: "",
        without: "Silence",
    };
    // A leader that is followed if there is no other one.
    let leader = |name, send: Send, alone, finding| Traffic {
        finding,
        then: "AnotherLeader ForeignLeader Converged",
        beside: "First ForeignLeader AnotherLeader Converged",
        without: "",
        finding_beside: "several_leaders",
        ..row(name, send, alone)
    };
    // One of a higher rank than the healthy leader that cannot be measured.
    let defective = |name, send: Send, alone, without| Traffic {
        then: "AnotherLeader PassedOver Converged",
        beside: "First ForeignLeader AnotherLeader PassedOver Converged",
        finding_beside: "diagnostic",
        after_lock: "PassedOver",
        without,
        ..leader(name, send, alone, "diagnostic")
    };
    vec![
        row("nothing", |_, _| {}, ""),
        row("PTPv2", ptp_v2, "OnlyPtpV2"),
        row("another subdomain", other_subdomain, "OtherSubdomain"),
        row(
            "PTPv2 beside another subdomain",
            |stage, n| {
                ptp_v2(stage, n);
                other_subdomain(stage, n);
            },
            "OtherSubdomain",
        ),
        row("Follow_Ups without Syncs", |stage, n| stage.follow_up(7, n), "NoSync"),
        row(
            "Follow_Ups without Syncs beside PTPv2",
            |stage, n| {
                general_ptp_v2(stage);
                stage.follow_up(7, n);
            },
            "NoSync",
        ),
        row(
            "Follow_Ups without Syncs beside Delay_Reqs, so that the event port is open",
            |stage, n| {
                stage.follow_up(7, n);
                delay_req(stage, n);
            },
            "",
        ),
        row("Delay_Reqs of followers", delay_req, ""),
        row("packets of this host's own UUID", own, "OnlyOwn"),
        row(
            "packets of this host's own UUID beside PTPv2",
            |stage, n| {
                own(stage, n);
                ptp_v2(stage, n);
            },
            "OnlyPtpV2",
        ),
        row(
            "a leader on this host",
            |stage, n| stage.by(Route::OwnHost, |stage| stage.pair(7, n)),
            "OwnHost",
        ),
        row(
            "a leader on this host with its UUID",
            |stage, n| stage.by(Route::OwnHost, |stage| own(stage, n)),
            "OwnHost",
        ),
        row(
            "a leader on this host beside PTPv2",
            |stage, n| {
                ptp_v2(stage, n);
                stage.by(Route::OwnHost, |stage| stage.pair(7, n));
            },
            "OwnHost",
        ),
        row(
            "a leader on this host in another subdomain",
            |stage, n| stage.by(Route::OwnHost, |stage| other_subdomain(stage, n)),
            "OwnHost",
        ),
        row(
            "a leader on this host beside another subdomain",
            |stage, n| {
                other_subdomain(stage, n);
                stage.by(Route::OwnHost, |stage| stage.pair(8, n));
            },
            "OtherSubdomain OwnHost",
        ),
        Traffic {
            config: lists,
            ..row(
                "a leader on this host that is not on the list",
                |stage, n| stage.by(Route::OwnHost, |stage| stage.pair(7, n)),
                "OwnHost",
            )
        },
        Traffic {
            config: permits_subnet,
            ..row(
                "a leader on this host in the permitted subnet",
                |stage, n| stage.by(Route::OwnHost, |stage| stage.pair(7, n)),
                "OwnHost",
            )
        },
        Traffic {
            config: denies,
            ..row(
                "a denied leader on this host",
                |stage, n| stage.by(Route::OwnHost, |stage| stage.pair(7, n)),
                "NotPermitted",
            )
        },
        row(
            "Follow_Ups without Syncs of a leader on this host",
            |stage, n| stage.by(Route::OwnHost, |stage| stage.follow_up(7, n)),
            "OwnHost",
        ),
        row(
            "PTPv2 of a program on this host",
            |stage, n| stage.by(Route::OwnHost, |stage| ptp_v2(stage, n)),
            "",
        ),
        row(
            "short packets of a program on this host",
            |stage, n| stage.by(Route::OwnHost, |stage| short(stage, n)),
            "",
        ),
        row(
            "Delay_Reqs of a program on this host with its UUID",
            |stage, n| stage.by(Route::OwnHost, |stage| delay_req_of(stage, OURS, n)),
            "",
        ),
        row(
            "Delay_Reqs of a program on this host, so that only those show the event port to be open",
            |stage, n| {
                stage.by(Route::OwnHost, |stage| delay_req(stage, n));
                stage.follow_up(7, n);
            },
            "NoSync",
        ),
        Traffic {
            config: permits_subnet,
            ..row(
                "a leader in the permitted subnet that sends by unicast",
                |stage, n| stage.by(Route::Unicast, |stage| stage.pair(7, n)),
                "Unicast",
            )
        },
        Traffic {
            config: lists,
            ..row(
                "a leader that is not on the list and sends by unicast",
                |stage, n| stage.by(Route::Unicast, |stage| stage.pair(7, n)),
                "NotPermitted",
            )
        },
        row(
            "a leader that sends by unicast",
            |stage, n| stage.by(Route::Unicast, |stage| stage.pair(7, n)),
            "Unicast",
        ),
        Traffic {
            config: denies,
            ..row(
                "a denied leader that sends by unicast",
                |stage, n| stage.by(Route::Unicast, |stage| stage.pair(7, n)),
                "NotPermitted",
            )
        },
        row("short packets", short, "WrongLength"),
        row(
            "short packets beside PTPv2",
            |stage, n| {
                ptp_v2(stage, n);
                short(stage, n);
            },
            "WrongLength",
        ),
        row(
            "versionPTP 3",
            |stage, n| {
                let mut packet = stage.sync_of(identity(7), n);
                packet[1] = 3;
                stage.receive(Channel::Event, &packet);
            },
            "UnknownVersion",
        ),
        Traffic { config: denies, ..row("a denied leader", |stage, n| stage.pair(7, n), "NotPermitted") },
        Traffic {
            config: denies,
            ..row(
                "a denied leader beside PTPv2",
                |stage, n| {
                    ptp_v2(stage, n);
                    stage.pair(7, n);
                },
                "NotPermitted",
            )
        },
        Traffic {
            config: denies,
            ..row(
                "a denied leader beside another one's Follow_Ups",
                |stage, n| {
                    stage.sync(7, n);
                    stage.follow_up(8, n);
                },
                "NotPermitted",
            )
        },
        Traffic {
            finding_beside: "diagnostic",
            beside: "Dropped First ForeignLeader Converged",
            after_lock: "Dropped",
            ..row("dropped packets", |stage, _| stage.handle(Input::Dropped(3)), "Dropped")
        },
        Traffic {
            // Neither stays in the table for two Syncs.
            then: "",
            finding: "calibrating",
            beside: "TooManyLeaders",
            finding_beside: "calibrating",
            after_lock: "TooManyLeaders",
            ..row(
                "a flood of leaders",
                |stage, n| (20..40).for_each(|who| stage.sync(who, n)),
                "TooManyLeaders",
            )
        },
        Traffic {
            then: "AnotherLeader Converged",
            without: "Silence AnotherLeader ForeignLeader NoFollowUp",
            ..leader(
                "a worse leader without Follow_Ups",
                |stage, n| stage.sync(7, n),
                "First ForeignLeader NoFollowUp",
                "diagnostic",
            )
        },
        Traffic {
            config: e2e,
            then: "AnotherLeader Converged",
            without: "Silence AnotherLeader ForeignLeader NoTimestamps",
            ..leader(
                "a worse leader without timestamps, Delay_Reqs are sent",
                |stage, n| {
                    stage.arriving(|_| Err(NoTimestamp::Missing), |stage| stage.sync(7, n));
                    stage.follow_up(7, n);
                },
                "First ForeignLeader NoTimestamps",
                "diagnostic",
            )
        },
        Traffic {
            without: "Silence AnotherLeader ForeignLeader Interval Converged",
            ..leader(
                "a worse leader that advertises a wrong interval",
                |stage, n| {
                    stage.advertised = 1;
                    stage.pair(7, n);
                    stage.advertised = -2;
                },
                "First ForeignLeader Interval Converged",
                "diagnostic",
            )
        },
        defective(
            "a better leader without Follow_Ups",
            |stage, n| stage.sync(1, n),
            "First ForeignLeader NoFollowUp",
            "Silence AnotherLeader ForeignLeader NoFollowUp",
        ),
        defective(
            "a better leader with Follow_Ups of other Syncs",
            |stage, n| {
                stage.sync(1, n);
                stage.follow_up(1, n ^ 0x4000);
            },
            "First ForeignLeader Contradicting",
            "Silence AnotherLeader ForeignLeader Contradicting",
        ),
        defective(
            "a better leader without timestamps",
            |stage, n| {
                stage.arriving(|_| Err(NoTimestamp::Missing), |stage| stage.sync(1, n));
                stage.follow_up(1, n);
            },
            "First ForeignLeader NoTimestamps",
            "Silence AnotherLeader ForeignLeader NoTimestamps",
        ),
    ]
}

fn short(stage: &mut Stage, sequence: u16) {
    let packet = stage.sync_of(identity(7), sequence);
    stage.receive(Channel::Event, &packet[..60]);
}

fn general_ptp_v2(stage: &mut Stage) {
    let mut bytes = [0; 64];
    (bytes[0], bytes[1]) = (0x0b, 0x02);
    stage.receive(Channel::General, &bytes);
}

fn ptp_v2(stage: &mut Stage, _: u16) {
    general_ptp_v2(stage);
    let mut bytes = [0; 64];
    bytes[1] = 0x02;
    stage.receive(Channel::Event, &bytes);
}

fn other_subdomain(stage: &mut Stage, sequence: u16) {
    stage.in_subdomain(Subdomain::ALT1, |stage| stage.pair(7, sequence));
}

fn own(stage: &mut Stage, sequence: u16) {
    let packet = stage.sync_of(OURS, sequence);
    stage.receive(Channel::Event, &packet);
}

fn delay_req(stage: &mut Stage, sequence: u16) {
    delay_req_of(stage, identity(9), sequence);
}

fn delay_req_of(stage: &mut Stage, source: PortIdentity, sequence: u16) {
    let message = Message::DelayReq(SyncBody::dante(source));
    let packet = stage.packet(source, sequence, Flags::NONE, message);
    stage.receive(Channel::Event, &packet);
}
