//! Restarts of the programs and of the host: the epoch offset (K) and UTC are kept where they are still right, so that a restart
//! costs no step.

use crate::utc::watched::Watched;
use crate::{FIRST, HOUR, MAP, SETTLING, host, now, s, us, world};
use dante_core::steer::{Output, State};
use dante_core::time::Duration;
use dante_core::utc::{Policy, SavedUtcUse};
use dante_sim::world::{Act, HostConfig, NtpServer, Observation};

const POLICIES: [Policy; 4] = [Policy::Step, Policy::Slew, Policy::Utc, Policy::Free];

const PACKETS: Observation = Observation::Packets { networks: 1 };

/// A host whose leader's rate is close to that of UTC, so that no policy has to step.
fn settled(policy: Policy) -> Watched {
    observed(policy, Observation::Given { error: MAP })
}

fn observed(policy: Policy, observation: Observation) -> Watched {
    let server = NtpServer::half_normal(us(100), us(100));
    let host = HostConfig { observation, ..host(policy, -20.0, Duration::from_ms(500)) };
    let mut world = world(1, 0.05, vec![server; 3], &[host]);
    world.run(SETTLING);
    world.restart_figures();
    world
}

fn saved_utc(world: &Watched) -> Vec<SavedUtcUse> {
    let outputs = world.world.host().records().steerer.iter();
    outputs
        .filter_map(|(_, output)| if let Output::SavedUtc(used) = output { Some(*used) } else { None })
        .collect()
}

#[test]
fn restart_of_dante2sys_or_dante4l_keeps_k_and_costs_no_step() {
    for policy in POLICIES {
        for act in [|| Act::RestartSteerer(s(30)), || Act::RestartObserver(s(30))] {
            let mut world = observed(policy, PACKETS);
            let before = *world.world.host().steerer().timescale().unwrap();
            now(&mut world, act());
            // dante4l needs some seconds to converge; dante2sys measures UTC from scratch after some seconds.
            world.run(if matches!(act(), Act::RestartObserver(_)) { s(40) } else { s(32) });
            let host = world.world.host();
            assert_eq!(host.steerer().state(), State::Locked);
            assert!(!host.records().steerer.iter().any(|(_, output)| matches!(output, Output::Epoch(_))));
            let after = *host.steerer().timescale().unwrap();
            let error = host.steerer().utc_error(&host.clock().reading(world.world.now()));
            let is_known = error.is_some_and(|error| error.leader_rate_sigma.ppb() < 50.0);
            let dante = world.world.true_time(FIRST).unwrap();
            let moved = after.utc_of(dante) - before.utc_of(dante);
            assert!(moved.abs() < us(5), "{policy} {:?}: K moved by {moved:?}", act());
            world.run(HOUR);
            let seen = world.figures(0);
            assert!(
                seen.steps.is_empty() && seen.worst < Duration::from_ms(2),
                "{policy} {:?}: {seen}",
                act()
            );
            // A restart of dante4l costs no knowledge of UTC either.
            if matches!(act(), Act::RestartObserver(_)) {
                assert!(is_known && seen.queries_per_hour() < 200.0, "{policy}: {seen}");
            }
        }
    }
}

#[test]
fn restarted_host_has_utc_before_a_server_replies() {
    for policy in POLICIES {
        let mut world = settled(policy);
        world.world.servers().iter_mut().for_each(|server| server.is_reachable = false);
        now(&mut world, Act::RestartHost(s(600), Duration::from_ms(-430)));
        world.run(s(660));
        assert!(
            matches!(saved_utc(&world)[..], [SavedUtcUse::Used { .. }]),
            "{policy}: {:?}",
            saved_utc(&world)
        );
        assert!(!world.world.host().steerer().is_utc_synchronised(), "no server has confirmed it");
        let steps = world.figures(0).steps;
        assert_eq!(steps.len(), 1, "{policy}: {steps:?}");
        world.restart_figures();
        world.run(HOUR);
        assert!(world.figures(0).worst < Duration::from_ms(2), "{policy}: {}", world.figures(0));
        world.world.servers().iter_mut().for_each(|server| server.is_reachable = true);
        world.run(HOUR);
        let seen = world.figures(0);
        assert!(seen.steps.is_empty() && seen.worst < Duration::from_ms(2), "{policy}: {seen}");
        assert!(world.world.host().steerer().is_utc_synchronised());
    }
}

#[test]
fn utc_of_the_last_run_is_not_resumed_if_the_leader_was_rebooted_too() {
    let mut world = settled(Policy::Slew);
    now(&mut world, Act::RestartHost(s(600), Duration::from_ms(-430)));
    now(&mut world, Act::Reboot(FIRST, s(300)));
    world.run(s(720));
    // A server replied before the clock map was settled, or the leader's time was found to be another.
    let used = saved_utc(&world);
    assert!(used.iter().all(|used| matches!(used, SavedUtcUse::NotContinued(_))), "{used:?}");
    assert_eq!(world.figures(0).steps.len(), 1);
    world.restart_figures();
    world.run(HOUR);
    assert!(
        world.figures(0).worst < Duration::from_ms(2) && world.figures(0).steps.is_empty(),
        "{}",
        world.figures(0)
    );
}
