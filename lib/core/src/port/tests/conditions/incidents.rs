//! What happens to the only leader, or to this host, after the lock.

use super::*;

/// Delays of a leader's packets, uniform up to this many us.
fn scatter(stage: &mut Stage, who: u8, syncs: u16, up_to_us: i64) {
    let mut random = 1_u32;
    stage.sends(syncs, |stage, n| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let late = Duration::from_us((i64::from(random >> 16) * up_to_us) >> 16);
        stage.shifted(-late, |stage| stage.pair(who, n));
    });
}

fn slow(stage: &mut Stage, syncs: u16) {
    stage.advertised = 1;
    for _ in 0..syncs {
        stage.pair(HEALTHY, stage.next);
        stage.next += 1;
        stage.wait(Duration::from_secs(2));
    }
}

pub fn incidents() -> Vec<Incident> {
    let row = |name, happens, log, finding| Incident { name, config: plain, happens, log, finding };
    let with_e2e = |name, happens, log, finding| Incident { config: e2e, ..row(name, happens, log, finding) };
    vec![
        row("nothing", |stage| stage.leads(40), "", "ok"),
        row(
            "silent for 2 s",
            |stage| {
                stage.wait(Duration::from_secs(2));
                stage.next += 8;
                stage.leads(40);
            },
            "",
            "ok",
        ),
        row("silent", |stage| stage.wait(Duration::from_secs(10)), "Silence", "no_leader"),
        row(
            "silent for a minute",
            |stage| {
                stage.wait(Duration::from_secs(60));
                stage.next += 240;
                stage.leads(40);
            },
            "Silence ForeignLeader Converged",
            "ok",
        ),
        row(
            "silent for a day",
            |stage| {
                stage.wait(Duration::from_secs(86_400));
                stage.next += 240;
                stage.leads(40);
            },
            "Silence ForeignLeader Absence Converged",
            "ok",
        ),
        row(
            "rebooted, silent for 20 s",
            |stage| {
                stage.wait(Duration::from_secs(20));
                stage.reboots();
                stage.leads(40);
            },
            "Silence ForeignLeader Reboot Converged",
            "ok",
        ),
        row(
            "rebooted, silent for 1 s",
            |stage| {
                stage.wait(Duration::from_secs(1));
                stage.reboots();
                stage.leads(40);
            },
            "Reboot Jumped Converged",
            "ok",
        ),
        row(
            "set forwards",
            |stage| {
                stage.line.at0 = stage.line.at0 + Duration::from_secs(10);
                stage.leads(40);
            },
            "Jump Jumped Converged",
            "ok",
        ),
        row(
            "set backwards",
            |stage| {
                stage.line.at0 = stage.line.at0 - Duration::from_secs(10);
                stage.leads(40);
            },
            "Jump Jumped Converged",
            "ok",
        ),
        row(
            "set backwards, silent for 20 s",
            |stage| {
                stage.wait(Duration::from_secs(20));
                stage.next += 80;
                stage.line.at0 = stage.line.at0 - Duration::from_secs(10);
                stage.leads(40);
            },
            "Silence ForeignLeader Reboot Converged",
            "ok",
        ),
        row(
            "Follow_Ups lost",
            |stage| stage.sends(40, |stage, n| stage.sync(HEALTHY, n)),
            "NoFollowUp Unmeasured",
            "diagnostic",
        ),
        row(
            "Follow_Ups lost for 10 s",
            |stage| {
                stage.sends(40, |stage, n| stage.sync(HEALTHY, n));
                stage.leads(400);
            },
            "NoFollowUp Unmeasured Converged",
            "ok",
        ),
        row(
            "Syncs lost",
            |stage| stage.sends(80, |stage, n| stage.follow_up(HEALTHY, n)),
            "Silence NoSync",
            "no_leader",
        ),
        row(
            "timestamps missing",
            |stage| {
                stage.arriving(|_| Err(NoTimestamp::Missing), |stage| stage.leads(40));
            },
            "NoTimestamps Unmeasured",
            "diagnostic",
        ),
        row(
            "system clock stepped each 250 ms",
            |stage| {
                stage.arriving(|_| Err(NoTimestamp::ClockStepped), |stage| stage.leads(40));
            },
            "ClockDisturbed Unmeasured",
            "diagnostic",
        ),
        row(
            "this process stopped for 2 s",
            |stage| {
                stage.stops(8);
                stage.leads(40);
            },
            "",
            "ok",
        ),
        row(
            "this process stopped for 10 s",
            |stage| {
                stage.stops(40);
                stage.leads(40);
            },
            "",
            "ok",
        ),
        row(
            "this process stopped for 10 s, no timestamp is usable",
            |stage| {
                stage.arriving(|_| Err(NoTimestamp::TooOld), |stage| stage.stops(40));
                stage.leads(40);
            },
            "Unmeasured Converged",
            "ok",
        ),
        row(
            "packets held back for 2 s, twice",
            |stage| {
                for _ in 0..2 {
                    let begin = stage.now;
                    let sent: Vec<_> = (0..8).map(|n| stage.line.at(begin + INTERVAL * n)).collect();
                    stage.wait(INTERVAL * 8);
                    for precise_origin in sent {
                        let n = stage.next;
                        stage.sync(HEALTHY, n);
                        stage.general(
                            identity(HEALTHY),
                            n,
                            Message::FollowUp(FollowUp { associated_sequence_id: n, precise_origin }),
                        );
                        stage.next += 1;
                        stage.wait(Duration::from_us(100));
                    }
                    stage.now = begin + INTERVAL * 9;
                    stage.leads(80);
                }
            },
            "",
            "ok",
        ),
        row(
            "interface failed",
            |stage| {
                stage.handle(Input::Failed);
                stage.leads(10);
            },
            "Failed",
            "interface_unusable",
        ),
        row(
            "interface failed for 10 s",
            |stage| {
                stage.handle(Input::Failed);
                stage.leads(40);
                stage.handle(Input::Opened(OURS));
                stage.leads(40);
            },
            "Failed Opened ForeignLeader Converged",
            "ok",
        ),
        row(
            "rebooted while the cable was unplugged",
            |stage| {
                stage.handle(Input::Failed);
                stage.wait(Duration::from_secs(20));
                stage.reboots();
                stage.handle(Input::Opened(OURS));
                stage.leads(40);
            },
            "Failed Opened ForeignLeader Reboot Converged",
            "ok",
        ),
        row(
            "replaced by a worse one after its end",
            |stage| stage.sends(80, |stage, n| stage.pair(7, n)),
            "Silence AnotherLeader ForeignLeader Converged",
            "ok",
        ),
        row(
            "replaced by a better one at once",
            |stage| stage.sends(80, |stage, n| stage.pair(1, n)),
            "AnotherLeader ForeignLeader Converged",
            "ok",
        ),
        row(
            "a better one sends, too",
            |stage| stage.leads_beside(80, |stage, n| stage.pair(1, n)),
            "AnotherLeader ForeignLeader Converged",
            "several_leaders",
        ),
        row(
            "its Follow_Ups lost, a worse one sends",
            |stage| {
                stage.leads_beside(20, |stage, n| stage.pair(7, n));
                stage.sends(40, |stage, n| {
                    stage.pair(7, n);
                    stage.sync(HEALTHY, n);
                });
            },
            "AnotherLeader ForeignLeader PassedOver Converged",
            "diagnostic",
        ),
        row(
            "a second sender of its identity",
            |stage| stage.leads_beside(80, |stage, n| stage.from(66, |stage| stage.pair(HEALTHY, n))),
            "SecondAddress",
            "diagnostic",
        ),
        row(
            "a second sender of its Follow_Ups",
            |stage| stage.leads_beside(80, |stage, n| stage.from(66, |stage| stage.follow_up(HEALTHY, n))),
            "SecondAddress",
            "diagnostic",
        ),
        row(
            "its address changed",
            |stage| {
                stage.host = 66;
                stage.leads(80);
            },
            "ForeignLeader Converged",
            "ok",
        ),
        row(
            "its address changed, a Follow_Up first",
            |stage| {
                stage.host = 66;
                let n = stage.next;
                stage.follow_up(HEALTHY, n);
                stage.next += 1;
                stage.leads(80);
            },
            "ForeignLeader Converged",
            "ok",
        ),
        row(
            "its address changed twice",
            |stage| {
                stage.host = 66;
                stage.leads(400);
                stage.host = 2;
                stage.leads(80);
            },
            "ForeignLeader Converged ForeignLeader Converged",
            "ok",
        ),
        row(
            "a second Follow_Up with another time",
            |stage| {
                stage.sends(20, |stage, n| {
                    stage.pair(HEALTHY, n);
                    stage.shifted(Duration::from_us(1), |stage| stage.follow_up(HEALTHY, n));
                })
            },
            "Contradicting",
            "diagnostic",
        ),
        row(
            "Follow_Ups of other Syncs",
            |stage| {
                stage.sends(40, |stage, n| {
                    stage.sync(HEALTHY, n);
                    stage.follow_up(HEALTHY, n ^ 0x4000);
                })
            },
            "Contradicting Unmeasured",
            "diagnostic",
        ),
        row(
            "its interval changed to 1 s and back",
            |stage| {
                stage.advertised = 0;
                for _ in 0..40 {
                    let n = stage.next;
                    stage.pair(HEALTHY, n);
                    stage.next += 1;
                    stage.wait(Duration::from_secs(1));
                }
                stage.advertised = -2;
                stage.leads(40);
            },
            "",
            "ok",
        ),
        row(
            "advertises another interval",
            |stage| {
                stage.advertised = 0;
                stage.leads(40);
            },
            "Interval",
            "diagnostic",
        ),
        row(
            "one Sync advertises another interval",
            |stage| {
                stage.advertised = 0;
                stage.leads(1);
                stage.advertised = -2;
                stage.leads(40);
            },
            "",
            "ok",
        ),
        row(
            "path longer by 0.4 ms",
            |stage| {
                stage.line.at0 = stage.line.at0 - Duration::from_us(400);
                stage.leads(80);
            },
            "",
            "ok",
        ),
        row(
            "its rate changed by 28 ppm",
            |stage| {
                stage.line =
                    Affine { raw0: stage.now, at0: stage.line.at(stage.now), rate: Ratio::from_ppm(40.0) };
                stage.leads(80);
            },
            "",
            "ok",
        ),
        row(
            "its rate changed by 300 ppm",
            |stage| {
                stage.line =
                    Affine { raw0: stage.now, at0: stage.line.at(stage.now), rate: Ratio::from_ppm(312.0) };
                stage.leads(80);
            },
            "Jump Jumped Converged",
            "ok",
        ),
        row(
            "this virtual machine stopped for a day",
            |stage| {
                stage.now = stage.now + Duration::from_secs(86_400);
                stage.leads(40);
            },
            "Absence Returned Converged",
            "ok",
        ),
        row(
            "its packets scatter by milliseconds",
            |stage| scatter(stage, HEALTHY, 400, 20_000),
            "Scattering Scattering",
            "diagnostic",
        ),
        row(
            "its packets scatter by milliseconds soon after the first one",
            |stage| {
                stage.wait(Duration::from_secs(3));
                stage.sends(8, |stage, n| stage.pair(7, n));
                scatter(stage, 7, 60, 3_000);
            },
            "Silence AnotherLeader ForeignLeader Converged Scattered",
            "calibrating",
        ),
        row(
            "replaced by a faster one whose packets scatter by milliseconds at first",
            |stage| {
                stage.wait(Duration::from_secs(3));
                stage.line =
                    Affine { raw0: stage.now, at0: stage.line.at(stage.now), rate: Ratio::from_ppm(112.0) };
                scatter(stage, 7, 64, 3_000);
                stage.sends(200, |stage, n| stage.pair(7, n));
            },
            "Silence AnotherLeader ForeignLeader Converged Refitted Converged",
            "ok",
        ),
        row("sends every 2 s", |stage| slow(stage, 40), "", "ok"),
        row(
            "sends every 2 s, and is rebooted",
            |stage| {
                slow(stage, 40);
                stage.reboots();
                slow(stage, 40);
            },
            "Reboot Jumped Converged",
            "ok",
        ),
        row(
            "sends every 2 s, rebooted, silent for a minute",
            |stage| {
                slow(stage, 40);
                stage.wait(Duration::from_secs(60));
                stage.reboots();
                slow(stage, 40);
            },
            "Silence ForeignLeader Reboot Converged",
            "ok",
        ),
        row(
            "rebooted after 3 hours",
            |stage| {
                stage.leads(40_000);
                stage.wait(Duration::from_secs(1));
                stage.reboots();
                stage.leads(40);
            },
            "Reboot Jumped Converged",
            "ok",
        ),
        row(
            "dropped packets",
            |stage| stage.leads_beside(20, |stage, _| stage.handle(Input::Dropped(1))),
            "Dropped",
            "diagnostic",
        ),
        with_e2e(
            "Delay_Reqs unanswered",
            |stage| {
                stage.requests = Requests::Unanswered;
                stage.leads(600);
            },
            "NoDelayResp NoDelayResp",
            "diagnostic",
        ),
        with_e2e(
            "Delay_Reqs without transmit timestamps",
            |stage| {
                stage.requests = Requests::Untimestamped;
                stage.leads(600);
            },
            "NoTransmitTimestamps",
            "diagnostic",
        ),
        with_e2e(
            "general packets lost, Delay_Reqs are sent",
            |stage| {
                stage.requests = Requests::Unanswered;
                stage.sends(600, |stage, n| stage.sync(HEALTHY, n));
            },
            "NoFollowUp Unmeasured NoFollowUp",
            "diagnostic",
        ),
        with_e2e(
            "timestamps missing, Delay_Reqs are sent",
            |stage| stage.arriving(|_| Err(NoTimestamp::Missing), |stage| stage.leads(600)),
            "NoTimestamps Unmeasured NoTimestamps",
            "diagnostic",
        ),
        with_e2e(
            "another leader answers no Delay_Req",
            |stage| {
                stage.requests = Requests::Unanswered;
                stage.leads(50);
                stage.wait(Duration::from_secs(4));
                stage.sends(60, |stage, n| stage.pair(7, n));
            },
            "Silence AnotherLeader ForeignLeader Converged",
            "ok",
        ),
        with_e2e(
            "path to it grows by 400 ns/s",
            |stage| {
                for _ in 0..800 {
                    stage.path_to_leader = stage.path_to_leader + Duration::from_ns(100);
                    stage.leads(1);
                }
            },
            "PathDrift",
            "diagnostic",
        ),
    ]
}
