//! The engine of dante4l: a port on each network, the choice between the networks, and the pages that are published.
//!
//! ```text
//! input -> port of the network -> redundancy -> ring of samples, outputs -> pages
//! ```

use crate::outputs::Outputs;
use crate::page::{Dante4l, Dante4lStatus, PortRecord, SampleRecord};
use crate::port::{self, Port, PortConfig, Sample, TimestampSource};
use crate::redundancy::{NETWORKS, Network, NetworkChange, Redundancy};
use crate::time::{Raw, Timestamp};
use crate::track::KernelSync;
use arrayvec::ArrayVec;

/// Outputs between two drains: an input causes at most six of a port and, with the choice between networks, two more.
/// A driver may hand in several inputs before it drains, as when an interface fails and is opened again.
const QUEUE: usize = 24;

/// What the program has to do, log or remember, for one network.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// An output of its port. [`port::Output::Sample`] is of the selected network alone; it and
    /// [`port::Output::Timeline`] carry the number of the published timeline, 0 where the network is on none.
    Port(port::Output),
    /// The choice between the networks, reported on the network that it concerns.
    Network(NetworkChange),
}

/// One network, named by its place, from 0.
#[derive(Debug)]
struct Interface {
    name: String,
    port: Port,
    timestamp_source: TimestampSource,
}

/// The ports, which of them is selected, and the pages of dante4l.
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
    /// A port for each network, under the name of its interface; networks beyond [`NETWORKS`] are ignored. Nothing is
    /// allocated after this.
    pub fn new<'a>(networks: impl IntoIterator<Item = (&'a str, PortConfig)>) -> Self {
        let interface = |(name, config): (&str, _)| Interface {
            name: name.to_owned(),
            port: Port::new(config),
            timestamp_source: TimestampSource::None,
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

    /// Takes in what happened on a network. `now` never goes back. [`port::Input::Deadline`] is for each network whose
    /// port's deadline has come.
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

    /// The next output, with the place of its network; call until it is `None`.
    pub fn poll(&mut self) -> Option<(usize, Output)> {
        self.outputs.pop()
    }

    /// When the first of the ports has a deadline.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        self.interfaces.iter().filter_map(|it| it.port.deadline()).min()
    }

    /// The port on a network.
    pub fn port(&self, network: usize) -> Option<&Port> {
        self.interfaces.get(network).map(|it| &it.port)
    }

    /// The place of the network that the suite follows.
    pub fn selected(&self) -> usize {
        self.redundancy.selected()
    }

    /// The choice between the networks.
    pub fn redundancy(&self) -> &Redundancy {
        &self.redundancy
    }

    /// Where the timestamps of a network come from now.
    pub fn set_timestamp_source(&mut self, network: usize, source: TimestampSource) {
        if let Some(interface) = self.interfaces.get_mut(network) {
            self.is_changed |= interface.timestamp_source != source;
            interface.timestamp_source = source;
        }
    }

    /// Whether there is anything to publish since [`pages`](Self::pages) were taken, other than counters.
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// The clock page and the status page as they are published. `kernel` is CLOCK_REALTIME as the kernel publishes it, if it
    /// could be asked.
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
            *to = PortRecord::of(&it.port, &it.name, it.timestamp_source, timeline, last);
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
                let port = self.interfaces.get(network).map(|it| &it.port);
                let Some(port) = port.filter(|_| network == self.selected()) else { return };
                *sample = published(sample, port, self.redundancy.timeline(network));
                self.page.push(SampleRecord::of(sample, index(network)));
            }
            _ => {}
        }
        self.outputs.push((network, Output::Port(output)));
    }

    /// Chooses between the networks by what their ports know now.
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

/// A sample as the page has it: `timeline` is the published number of its port's present timeline.
fn published(sample: &Sample, port: &Port, timeline: u64) -> Sample {
    let is_current = sample.timeline == port.timeline();
    Sample { timeline: if is_current { timeline } else { 0 }, ..*sample }
}

fn index(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(0)
}

#[cfg(test)]
mod tests;
