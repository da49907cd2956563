//! `pmc-lite query`: queries the clocks on the network. The only command that sends packets.
//!
//! The queries are sent from an ephemeral port, as Dante devices send. Responses are received on that port and on the general
//! port, as a device may respond by multicast, to the general port, or to the source of the query. dante4l may use the general port
//! at the same time: multicast packets reach both programs.

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

/// Maximum number of packets read from one socket at a time, so that a flood does not delay the deadline.
const MAX_BATCH: u32 = 64;

/// Queries the clocks and prints their responses; remarks go to standard error. The outcome is yes if a clock responded.
///
/// # Errors
/// The output is lost, or the network cannot be used; the exit status is that of a daemon in the same situation.
pub fn query(args: &QueryArgs) -> Ended {
    let (client, dropped) = run(args)?;
    let clocks: Vec<Clock> = client.clocks().map(Clock::of).collect();
    if args.json {
        crate::print(&json(&clocks))?;
    } else if !clocks.is_empty() {
        crate::print(&report::screen(&clocks))?;
    }
    for line in remarks(client.tally(), dropped, clocks.is_empty(), args) {
        crate::report(&line);
    }
    Ok(Outcome::of(!clocks.is_empty()))
}

/// Runs the management client to its end, or until a signal. Also returns the number of packets that the kernel dropped.
fn run(args: &QueryArgs) -> Result<(ManagementClient, u32), Failure> {
    let interface =
        Interface::find(&args.interface).map_err(|error| Failure::new(Exit::NoInterface, error))?;
    let mut poll = Poll::new()?;
    let group = args.subdomain.group();
    let (channel, timestamps) = (Channel::General, TimestampSource::None);
    let mut general =
        PtpSocket::open(&interface, group, args.general_port, channel, timestamps).map_err(Failure::of)?;
    let mut own = PtpSocket::sender(&interface, channel).map_err(Failure::of)?;
    let config = ManagementClientConfig {
        subdomain: args.subdomain,
        identity: identity(interface.mac, random()?),
        // In the standard, a UUID of zeros addresses all clocks.
        clock: args.clock.filter(|uuid| *uuid != Uuid([0; 6])),
        boundary_hops: args.boundary_hops,
        timeout: Duration::from_secs_f64(args.timeout),
        max_clocks: args.max_clocks.into(),
    };
    let mut client = ManagementClient::new(config, raw_now());
    client.handle(raw_now(), Input::Deadline);
    while let Some(due) = client.deadline() {
        while let Some(query) = client.poll() {
            own.send(&query, SocketAddrV4::new(group, args.general_port))?;
        }
        let wake = poll.wait(&[general.as_fd(), own.as_fd()], Some(due))?;
        if wake.signal.is_some() {
            break;
        }
        for socket in [&mut general, &mut own] {
            receive(socket, &mut client)?;
        }
        client.handle(raw_now(), Input::Deadline);
    }
    Ok((client, general.dropped().saturating_add(own.dropped())))
}

/// Passes the packets of a socket to the client, up to [`MAX_BATCH`].
fn receive(socket: &mut PtpSocket, client: &mut ManagementClient) -> Result<(), SocketError> {
    let mut buffer = [0; 512];
    for _ in 0..MAX_BATCH {
        let Some(received) = socket.receive(&mut buffer)? else { break };
        let (bytes, address) = (received.bytes, *received.source.ip());
        client.handle(raw_now(), Input::Packet { bytes, address });
    }
    Ok(())
}

/// Returns the UUID of this host with a random port number, as pmc uses its process id: neither dante4l, which is port 1, nor
/// another pmc-lite accepts the responses to this client.
fn identity(mac: [u8; 6], random: u64) -> PortIdentity {
    let own = follower_identity(mac, random);
    let port_id = u16::try_from(random >> 48).unwrap_or(0).max(own.port_id + 1);
    PortIdentity { port_id, ..own }
}

/// Returns the remarks on packets that were not used, and on missing responses. `is_empty`: no clock responded.
fn remarks(tally: &Tally, dropped: u32, is_empty: bool, args: &QueryArgs) -> Vec<String> {
    let mut lines = Vec::new();
    if is_empty {
        let missing =
            args.clock.map_or("no clock responded".into(), |clock| format!("{clock} did not respond"));
        let (interface, subdomain, queries) = (&args.interface, args.subdomain, tally.queries);
        lines.push(format!(
            "{missing} on {interface} in subdomain {subdomain} ({queries} queries sent): not every device responds, and devices \
             with a pull-up are in another subdomain (--subdomain _ALT1 to _ALT4); `pmc-lite get status` shows the leaders that \
             dante4l receives"
        ));
    }
    let others = [
        (tally.other, "other PTPv1 messages of this subdomain"),
        (tally.other_subdomain, "PTPv1 messages of other subdomains (--subdomain)"),
        (tally.ptp_v2, "PTPv2 messages"),
    ];
    let unused = [
        (tally.unsolicited, "unsolicited responses"),
        (tally.repeated, "repeated responses"),
        (tally.second_address, "responses with the UUID of a clock at another address"),
        (tally.no_room, "responses of more clocks or ports than are shown (--max-clocks)"),
        (tally.unreadable, "unreadable packets"),
        (dropped.into(), "packets dropped by this host, as too many arrived at once"),
    ];
    let others = others.iter().filter(|_| is_empty);
    let counted: Vec<String> = others
        .chain(&unused)
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if !counted.is_empty() {
        lines.push(format!("received and not used: {}", counted.join(", ")));
    }
    lines
}
