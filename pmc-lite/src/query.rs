//! `pmc-lite query`: asks the clocks on the network about themselves. The one command that sends anything.
//!
//! The questions go out from a port that the kernel chooses, as Dante devices send; answers are heard there and on the
//! general port, so that it does not matter whether a device answers to all, to the general port or to where it was
//! asked from. dante4l may have the general port at the same time: what is multicast reaches both.

mod report;

use crate::args::QueryArgs;
use crate::json;
use crate::outcome::{Ended, Outcome};
use dante_core::management_client::{Input, ManagementClient, ManagementClientConfig, Tally};
use dante_core::port::TimestampSource;
use dante_core::port::{Channel, follower_identity};
use dante_core::time::Duration;
use dante_core::wire::{PortIdentity, Uuid};
use dante_os::clock::raw_now;
use dante_os::daemon::{Exit, Failure, random};
use dante_os::net::Interface;
use dante_os::poll::Poll;
use dante_os::socket::{PtpSocket, SocketError};
use report::Clock;
use std::net::SocketAddrV4;
use std::os::fd::AsFd;

#[cfg(test)]
mod tests;

/// Packets fetched from one socket before the time is looked at.
const AT_ONCE: u32 = 64;

/// Asks and prints who answered what; remarks go to standard error. The answer is yes if a clock answered.
///
/// # Errors
/// If the network cannot be used, with the exit status of a daemon in the same situation.
pub fn query(args: &QueryArgs) -> Ended {
    let (client, dropped) = ask(args)?;
    let clocks: Vec<Clock> = client.clocks().map(Clock::of).collect();
    if args.json {
        crate::print(&json(&clocks));
    } else if !clocks.is_empty() {
        crate::print(&report::screen(&clocks));
    }
    for line in remarks(client.tally(), dropped, clocks.is_empty(), args) {
        crate::report(&line);
    }
    Ok(Outcome::of(!clocks.is_empty()))
}

/// Asks until all is answered or given up, or a signal comes. Tells too how many packets the kernel dropped.
fn ask(args: &QueryArgs) -> Result<(ManagementClient, u32), Failure> {
    let interface =
        Interface::find(&args.interface).map_err(|error| Failure::new(Exit::NoInterface, error))?;
    let mut poll = Poll::new()?;
    let group = args.subdomain.group();
    let (channel, stamps) = (Channel::General, TimestampSource::None);
    let mut general =
        PtpSocket::open(&interface, group, args.general_port, channel, stamps).map_err(Failure::of)?;
    let mut own = PtpSocket::sender(&interface, channel).map_err(Failure::of)?;
    let config = ManagementClientConfig {
        subdomain: args.subdomain,
        identity: identity(interface.mac, random()?),
        // Zeros are everybody, in the standard's own words.
        whom: args.clock.filter(|uuid| *uuid != Uuid([0; 6])),
        boundary_hops: args.boundary_hops,
        patience: Duration::from_secs_f64(args.patience),
        max_clocks: args.max_clocks.into(),
    };
    let mut client = ManagementClient::new(config, raw_now());
    client.handle(raw_now(), Input::Deadline);
    while let Some(due) = client.deadline() {
        while let Some(question) = client.poll() {
            own.send(&question, SocketAddrV4::new(group, args.general_port))?;
        }
        let wake = poll.wait(&[general.as_fd(), own.as_fd()], Some(due))?;
        if wake.signal.is_some() {
            break;
        }
        for socket in [&mut general, &mut own] {
            hear(socket, &mut client)?;
        }
        client.handle(raw_now(), Input::Deadline);
    }
    Ok((client, general.dropped().saturating_add(own.dropped())))
}

/// What waits in a socket, as far as a flood leaves time for anything else.
fn hear(socket: &mut PtpSocket, client: &mut ManagementClient) -> Result<(), SocketError> {
    let mut buffer = [0; 512];
    for _ in 0..AT_ONCE {
        let Some(received) = socket.receive(&mut buffer)? else { break };
        let (bytes, address) = (received.bytes, *received.source.ip());
        client.handle(raw_now(), Input::Packet { bytes, address });
    }
    Ok(())
}

/// The host's UUID with a port number drawn at random, as pmc takes its process id: neither dante4l, which is port 1, nor
/// another pmc-lite takes the answers for its own.
fn identity(mac: [u8; 6], random: u64) -> PortIdentity {
    let own = follower_identity(mac, random);
    let port_id = u16::try_from(random >> 48).unwrap_or(0).max(own.port_id + 1);
    PortIdentity { port_id, ..own }
}

/// What is worth a word besides the answers.
fn remarks(tally: &Tally, dropped: u32, nobody: bool, args: &QueryArgs) -> Vec<String> {
    let mut lines = Vec::new();
    if nobody {
        let whom = args.clock.map_or("nobody".into(), |clock| format!("{clock} has not"));
        let (interface, subdomain, asked) = (&args.interface, args.subdomain, tally.asked);
        lines.push(format!(
            "{whom} answered on {interface} in subdomain {subdomain} ({asked} questions): not every \
             device does, and those with a pull-up are in another (--subdomain _ALT1 to _ALT4); `pmc-lite get status` shows \
             the leaders that dante4l hears"
        ));
    }
    let heard = [
        (tally.other, "other PTPv1 messages of this subdomain"),
        (tally.other_subdomain, "PTPv1 messages of other subdomains (--subdomain)"),
        (tally.ptp_v2, "PTPv2 messages"),
    ];
    let unused = [
        (tally.unasked, "answers that nobody asked for"),
        (tally.repeated, "repeated answers"),
        (tally.second_address, "answers in the name of a clock with another address"),
        (tally.no_room, "answers of more clocks or ports than are shown (--max-clocks)"),
        (tally.unreadable, "unreadable packets"),
        (dropped.into(), "packets that this host dropped, since too many came at once"),
    ];
    let heard = heard.iter().filter(|_| nobody);
    let counted: Vec<String> = heard
        .chain(&unused)
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if !counted.is_empty() {
        lines.push(format!("heard and not used: {}", counted.join(", ")));
    }
    lines
}
