//! The engine of dante4l: a port on each network, the selection between the networks, and the published pages.
//!
//! ```text
//! input -> port of the network -> redundancy -> ring of samples, outputs -> pages
//! ```

use crate::outputs::Outputs;
use crate::page::{Dante4l, Dante4lStatus, PortRecord, SampleRecord};
use crate::port::{self, InterfaceFault, Port, PortConfig, Sample, TimestampSource};
use crate::redundancy::{NETWORKS, Network, NetworkChange, Redundancy};
use crate::time::{Raw, Timestamp};
use crate::track::KernelSync;
use arrayvec::ArrayVec;

/// Largest number of outputs between two drains. An input causes at most eight outputs of a port, one of the other port, and two of the
/// selection between the networks. A driver may pass several inputs before it drains, as when an interface fails and is opened again.
const QUEUE: usize = 36;

/// An action or an event on one network.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// An output of its port. [`port::Output::Sample`] comes only from the selected network. It and [`port::Output::Timeline`]
    /// have the number of the published timeline, or 0 if the network is not on it.
    Port(port::Output),
    /// A change of the selection between the networks, on the network that it concerns.
    Network(NetworkChange),
}

/// One network. Networks are numbered from 0.
#[derive(Debug)]
struct Interface {
    name: String,
    port: Port,
    timestamp_source: TimestampSource,
    fault: InterfaceFault,
}

/// The ports, the selected one among them, and the pages of dante4l.
#[derive(Debug)]
pub struct Observer {
    interfaces: Vec<Interface>,
    redundancy: Redundancy,
    page: Box<Dante4l>,
    status: Box<Dante4lStatus>,
    is_changed: bool,
    outputs: Outputs<(usize, Output), QUEUE>,
}

impl Observer {
    /// Makes a port for each network, with the name of its interface. Networks beyond [`NETWORKS`] are ignored. Allocates all
    /// memory that the engine needs.
    pub fn new<'a>(networks: impl IntoIterator<Item = (&'a str, PortConfig)>) -> Self {
        let interface = |(name, config): (&str, _)| Interface {
            name: name.to_owned(),
            port: Port::new(config),
            timestamp_source: TimestampSource::None,
            fault: InterfaceFault::None,
        };
        Self {
            interfaces: networks.into_iter().take(NETWORKS).map(interface).collect(),
            redundancy: Redundancy::default(),
            page: Box::default(),
            status: Box::default(),
            is_changed: true,
            outputs: Outputs::default(),
        }
    }

    /// Processes an input of a network. `now` must not go back. [`port::Input::Deadline`] is due for each network whose port has
    /// reached its deadline.
    pub fn handle(&mut self, now: Timestamp<Raw>, network: usize, input: port::Input<'_>) {
        let Some(interface) = self.interfaces.get_mut(network) else { return };
        self.is_changed |=
            matches!(input, port::Input::Opened(_) | port::Input::Failed | port::Input::Rejoined);
        interface.port.handle(now, input);
        while let Some(output) = self.interfaces.get_mut(network).and_then(|it| it.port.poll()) {
            self.is_changed = true;
            self.pass_on(now, network, output);
        }
        self.consider(now);
    }

    /// Returns the next output with the number of its network; call until it returns `None`.
    pub fn poll(&mut self) -> Option<(usize, Output)> {
        self.outputs.pop()
    }

    /// Returns the earliest deadline of the ports.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        self.interfaces.iter().filter_map(|it| it.port.deadline()).min()
    }

    /// Returns the port on a network.
    pub fn port(&self, network: usize) -> Option<&Port> {
        self.interfaces.get(network).map(|it| &it.port)
    }

    /// Returns the number of the selected network.
    pub fn selected(&self) -> usize {
        self.redundancy.selected()
    }

    /// Sets the name of the interface of a network: the kernel's one, where it was named in another way.
    pub fn set_name(&mut self, network: usize, name: &str) {
        if let Some(interface) = self.interfaces.get_mut(network).filter(|it| it.name != name) {
            name.clone_into(&mut interface.name);
            self.is_changed = true;
        }
    }

    /// Sets the source of the timestamps of a network.
    pub fn set_timestamp_source(&mut self, network: usize, source: TimestampSource) {
        if let Some(interface) = self.interfaces.get_mut(network) {
            self.is_changed |= interface.timestamp_source != source;
            interface.timestamp_source = source;
        }
    }

    /// Sets why a network cannot be used.
    pub fn set_fault(&mut self, network: usize, fault: InterfaceFault) {
        if let Some(interface) = self.interfaces.get_mut(network) {
            self.is_changed |= interface.fault != fault;
            interface.fault = fault;
        }
    }

    /// Whether there is something new to publish since the last call of [`pages`](Self::pages), other than counters.
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Returns the clock page and the status page. `kernel` is the state of CLOCK_REALTIME by adjtimex, `None` if it could not be
    /// read.
    pub fn pages(&mut self, kernel: Option<KernelSync>) -> (&Dante4l, &Dante4lStatus) {
        let Self { interfaces, redundancy, page, status, .. } = self;
        if let Some(it) = interfaces.get(redundancy.selected()) {
            page.set_port(&it.port, it.timestamp_source, redundancy.timeline(redundancy.selected()));
        }
        page.set_kernel_sync(kernel);
        status.selected = index(redundancy.selected());
        status.port_count = index(interfaces.len());
        for (place, (to, it)) in status.ports.iter_mut().zip(interfaces).enumerate() {
            let timeline = redundancy.timeline(place);
            let last = it.port.last_sample().map(|sample| published(sample, &it.port, timeline));
            let last = last.map(|sample| SampleRecord::of(&sample, index(place)));
            let record = PortRecord::of(&it.port, &it.name, it.timestamp_source, timeline, last);
            *to = PortRecord { fault: it.fault as u8, ..record };
        }
        status.set_kernel_sync(kernel);
        self.is_changed = false;
        (&self.page, &self.status)
    }

    fn pass_on(&mut self, now: Timestamp<Raw>, network: usize, mut output: port::Output) {
        match &mut output {
            port::Output::Timeline { number, .. } => {
                self.consider(now);
                *number = if network == self.selected() { self.redundancy.timeline(network) } else { 0 };
            }
            port::Output::Sample(sample) => {
                self.consider(now);
                self.compare(now, network, sample);
                let port = self.port(network);
                let Some(port) = port.filter(|_| network == self.selected()) else { return };
                *sample = published(sample, port, self.redundancy.timeline(network));
                self.page.push(SampleRecord::of(sample, index(network)));
            }
            _ => {}
        }
        self.outputs.push((network, Output::Port(output)));
    }

    /// Compares a Sync of one network with the clock map of the other one, if both are of one clock.
    fn compare(&mut self, now: Timestamp<Raw>, network: usize, sample: &Sample) {
        let is_slave = self.port(network).is_some_and(|port| port.state() == port::State::Slave);
        if !self.redundancy.is_one_clock() || !is_slave || !sample.accepted {
            return;
        }
        for (place, other) in self.interfaces.iter_mut().enumerate().filter(|(place, _)| *place != network) {
            other.port.compare_other_network(now, sample);
            // A diagnostic, if any.
            let found = std::iter::from_fn(|| other.port.poll());
            found.for_each(|output| self.outputs.push((place, Output::Port(output))));
        }
    }

    /// Selects between the networks by the present state of their ports.
    fn consider(&mut self, now: Timestamp<Raw>) {
        let networks: ArrayVec<Network, NETWORKS> =
            self.interfaces.iter().map(|it| Network::from(&it.port)).collect();
        for change in self.redundancy.consider(now, &networks) {
            let network = match change {
                NetworkChange::Selected { to, .. } => to,
                NetworkChange::TwoClocks(_) | NetworkChange::OneClock => 1 - self.selected().min(1),
            };
            self.is_changed = true;
            self.outputs.push((network, Output::Network(change)));
        }
    }
}

/// Returns a sample as it is published. `timeline` is the published number of the port's present timeline.
fn published(sample: &Sample, port: &Port, timeline: u64) -> Sample {
    let is_current = sample.timeline == port.timeline();
    Sample { timeline: if is_current { timeline } else { 0 }, ..*sample }
}

fn index(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(0)
}

#[cfg(test)]
mod tests;
