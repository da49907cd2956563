//! The engine of dante4l: a port on each network, the selection between the networks, and the published pages.
//!
//! ```text
//! input -> port of the network -> redundancy -> ring of samples, outputs -> pages
//! ```

use crate::candidates::{Candidates, Change, Evidence, MAX_CANDIDATES, PassedOver};
use crate::outputs::Outputs;
use crate::page::{CandidateRecord, Dante4l, Dante4lStatus, PortRecord, SampleRecord};
use crate::port::{self, InterfaceFault, Port, PortConfig, Sample, State, TimestampSource};
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
    /// A change of the selection between the networks, on the interface that it concerns.
    Network(NetworkChange),
    /// A change of which interfaces are the networks.
    Choice(Change),
}

/// Which interfaces are the networks.
#[derive(Debug)]
enum Choice {
    /// All, the primary network first.
    Given,
    /// Those that receive a leader.
    Auto(Box<Candidates>),
}

/// An interface with its port. Interfaces are numbered from 0.
#[derive(Debug)]
struct Interface {
    name: String,
    port: Port,
    timestamp_source: TimestampSource,
    fault: InterfaceFault,
}

impl Interface {
    fn new(name: &str, config: PortConfig) -> Self {
        Self {
            name: name.to_owned(),
            port: Port::new(config),
            timestamp_source: TimestampSource::None,
            fault: InterfaceFault::None,
        }
    }
}

/// The ports, the selected one among them, and the pages of dante4l.
#[derive(Debug)]
pub struct Observer {
    interfaces: Vec<Interface>,
    choice: Choice,
    /// The interfaces that cannot be on a Dante network, with the reason.
    passed_over: Vec<(String, PassedOver)>,
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
        let interfaces = networks.into_iter().take(NETWORKS);
        let interfaces = interfaces.map(|(name, config)| Interface::new(name, config)).collect();
        Self { interfaces, ..Self::with(Choice::Given) }
    }

    /// The networks are chosen among interfaces that are [added](Self::add) later.
    pub fn auto() -> Self {
        Self::with(Choice::Auto(Box::default()))
    }

    fn with(choice: Choice) -> Self {
        Self {
            interfaces: Vec::new(),
            choice,
            passed_over: Vec::new(),
            redundancy: Redundancy::default(),
            page: Box::default(),
            status: Box::default(),
            is_changed: true,
            outputs: Outputs::default(),
        }
    }

    /// Adds a candidate and returns its number; `None`: there are [`MAX_CANDIDATES`] already.
    pub fn add(&mut self, name: &str, config: PortConfig) -> Option<usize> {
        let number = self.interfaces.len();
        (number < MAX_CANDIDATES).then(|| {
            let mut interface = Interface::new(name, config);
            interface.port.hold_requests(true);
            self.interfaces.push(interface);
            self.is_changed = true;
            number
        })
    }

    /// Sets the interfaces that cannot be on a Dante network, for the status page. Returns whether they are others than before.
    pub fn set_passed_over(&mut self, interfaces: &[(String, PassedOver)]) -> bool {
        let is_other = self.passed_over != interfaces;
        if is_other {
            interfaces.clone_into(&mut self.passed_over);
            self.is_changed = true;
        }
        is_other
    }

    /// The interfaces that are the networks: the primary, then the secondary one.
    pub fn networks(&self) -> ArrayVec<usize, NETWORKS> {
        match &self.choice {
            Choice::Given => (0..self.interfaces.len()).take(NETWORKS).collect(),
            Choice::Auto(candidates) => candidates.used().iter().copied().collect(),
        }
    }

    /// The choice among candidates; `None` if the networks were given.
    pub fn candidates(&self) -> Option<&Candidates> {
        match &self.choice {
            Choice::Given => None,
            Choice::Auto(candidates) => Some(candidates),
        }
    }

    /// Chooses among the candidates. Call it after candidates were added.
    pub fn search(&mut self, now: Timestamp<Raw>) {
        self.consider(now);
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

    /// The interface of the selected network; `None` while none is chosen.
    pub fn selected(&self) -> Option<usize> {
        self.networks().get(self.redundancy.selected()).copied()
    }

    /// The number of the published timeline, on an interface; 0 if its time is not that of the selected network.
    fn timeline(&self, number: usize) -> u64 {
        let slot = self.networks().iter().position(|network| *network == number);
        slot.map_or(0, |slot| self.redundancy.timeline(slot))
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
    pub fn pages(&mut self, now: Timestamp<Raw>, kernel: Option<KernelSync>) -> (&Dante4l, &Dante4lStatus) {
        let networks = self.networks();
        let Self { interfaces, redundancy, page, status, .. } = self;
        if let Some(it) = networks.get(redundancy.selected()).and_then(|network| interfaces.get(*network)) {
            page.set_port(&it.port, it.timestamp_source, redundancy.timeline(redundancy.selected()));
        }
        page.set_kernel_sync(kernel);
        status.selected = index(redundancy.selected());
        status.port_count = index(networks.len());
        let shown = networks.iter().filter_map(|network| interfaces.get(*network));
        for (slot, (to, it)) in status.ports.iter_mut().zip(shown).enumerate() {
            let timeline = redundancy.timeline(slot);
            let last = it.port.last_sample().map(|sample| published(sample, &it.port, timeline));
            let last = last.map(|sample| SampleRecord::of(&sample, index(slot)));
            let record = PortRecord::of(&it.port, &it.name, it.timestamp_source, timeline, last);
            *to = PortRecord { fault: it.fault as u8, ..record };
        }
        status.set_kernel_sync(kernel);
        self.show_candidates(now);
        self.is_changed = false;
        (&self.page, &self.status)
    }

    /// Puts the interfaces among which the networks are chosen on the status page.
    fn show_candidates(&mut self, now: Timestamp<Raw>) {
        let Self { interfaces, choice: Choice::Auto(candidates), passed_over, page, status, .. } = self
        else {
            return;
        };
        let evidence = evidence(interfaces);
        let is_shown =
            |(place, it): &(usize, &Interface)| !it.fault.is_gone() || candidates.used().contains(place);
        let shown = interfaces.iter().enumerate().filter(is_shown).map(|(place, it)| {
            let role = candidates.role(now, place, &evidence);
            let difference = candidates.difference(now, place);
            CandidateRecord::of(now, &it.name, &it.port, it.fault, role, difference)
        });
        let others = passed_over.iter().map(|(name, why)| CandidateRecord::of_passed_over(name, *why));
        status.is_auto = 1;
        status.candidate_count = 0;
        for (to, record) in status.candidates.iter_mut().zip(shown.chain(others)) {
            *to = record;
            status.candidate_count += 1;
        }
        if candidates.used().is_empty() {
            // What all of them wait for.
            let states = interfaces.iter().map(|it| it.port.state());
            page.set_state(if states.clone().any(State::is_open) { State::Listening } else { State::Faulty });
        }
    }

    fn pass_on(&mut self, now: Timestamp<Raw>, interface: usize, mut output: port::Output) {
        match &mut output {
            port::Output::Timeline { number, .. } => {
                self.consider(now);
                *number = if self.selected() == Some(interface) { self.timeline(interface) } else { 0 };
            }
            port::Output::Sample(sample) => {
                self.consider(now);
                self.compare(now, interface, sample);
                let port = self.port(interface).filter(|_| self.selected() == Some(interface));
                let Some(port) = port else { return };
                *sample = published(sample, port, self.timeline(interface));
                self.page.push(SampleRecord::of(sample, index(self.redundancy.selected())));
            }
            _ => {}
        }
        self.outputs.push((interface, Output::Port(output)));
    }

    /// Compares a Sync of one network with the clock map of the other one, if both are of one clock.
    fn compare(&mut self, now: Timestamp<Raw>, network: usize, sample: &Sample) {
        let is_slave = self.port(network).is_some_and(|port| port.state() == State::Slave);
        let networks = self.networks();
        if !self.redundancy.is_one_clock() || !is_slave || !sample.accepted || !networks.contains(&network) {
            return;
        }
        let is_one_network = self.is_one_network();
        let secondary = networks.get(1).copied();
        for place in networks.into_iter().filter(|place| *place != network) {
            let Some(other) = self.interfaces.get_mut(place) else { continue };
            if Some(place) == secondary && is_one_network {
                other.port.report_one_network(now);
            }
            other.port.compare_other_network(now, sample);
            // A diagnostic, if any.
            let found = std::iter::from_fn(|| other.port.poll());
            found.for_each(|output| self.outputs.push((place, Output::Port(output))));
        }
    }

    /// Whether both networks receive the same leader from the same address, so that they are one network.
    fn is_one_network(&self) -> bool {
        let mut senders = self.networks().into_iter().map(|place| self.port(place).and_then(Port::sender));
        senders.next().flatten().is_some_and(|sender| senders.next().flatten() == Some(sender))
    }

    /// Chooses the networks, and selects between them, by the present state of their ports.
    fn consider(&mut self, now: Timestamp<Raw>) {
        self.choose(now);
        let networks = self.networks();
        let states: ArrayVec<Network, NETWORKS> =
            networks.iter().filter_map(|network| Some(Network::from(self.port(*network)?))).collect();
        for change in self.redundancy.consider(now, &states) {
            self.is_changed = true;
            // A diagnostic says more.
            if change == NetworkChange::OneClock && self.is_one_network() {
                continue;
            }
            let slot = match change {
                NetworkChange::Selected { to, .. } => to,
                NetworkChange::TwoClocks(_) | NetworkChange::OneClock => {
                    1 - self.redundancy.selected().min(1)
                }
            };
            if let Some(network) = networks.get(slot) {
                self.outputs.push((*network, Output::Network(change)));
            }
        }
    }

    /// Chooses the networks among the candidates.
    fn choose(&mut self, now: Timestamp<Raw>) {
        let selected = self.selected();
        let Choice::Auto(candidates) = &mut self.choice else { return };
        let Some(change) = candidates.consider(now, &evidence(&self.interfaces)) else { return };
        self.is_changed = true;
        let about = match change {
            Change::Use { primary, .. } | Change::Only(primary) => {
                let networks = self.networks();
                for (place, interface) in self.interfaces.iter_mut().enumerate() {
                    interface.port.hold_requests(!networks.contains(&place));
                }
                let slot = networks.iter().position(|network| Some(*network) == selected);
                let to = networks.get(slot.unwrap_or(0)).and_then(|network| self.port(*network));
                if let Some(to) = to.map(Network::from) {
                    self.redundancy.reassign(now, slot, &to);
                }
                primary
            }
            Change::Conflict(_, about, _) | Change::OtherClock(about, _) => about,
        };
        self.outputs.push((about, Output::Choice(change)));
    }
}

/// What the candidates receive.
fn evidence(interfaces: &[Interface]) -> ArrayVec<Evidence, MAX_CANDIDATES> {
    interfaces.iter().take(MAX_CANDIDATES).map(|it| Evidence::from(&it.port)).collect()
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
