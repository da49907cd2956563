//! The programs' glue around the engines as they are now. Each item here stands in for one of dante_core of the same
//! name.

use arrayvec::ArrayVec;
use dante_core::date::servers::{self, Servers};
use dante_core::date::{Answer, DateRules};
use dante_core::page::{
    Dante2sys, Dante4l, Danteshm, Freshness, PortRecord, STEER_DATE_GOOD, SampleRecord, StampSource, View,
};
use dante_core::port::{self, NoStamp, Port, PortConfig, Sample, Stamp};
use dante_core::redundancy::{Change, NETWORKS, Network, Redundancy};
use dante_core::steer::{self, Correction, Jump, Limits};
use dante_core::time::{Bridge, Duration, Offset, Ratio, Raw, Reading, Real, SleepDetector, Timestamp};
use dante_core::track::{KernelWord, Loss, TimelineKey, Track};
use std::collections::VecDeque;

/// A reading of both clocks serves all packets of one burst (dante_os::stamps does the same).
const FRESH: Duration = Duration::from_ms(1);

/// dante_core::time::StampTranslator.
#[derive(Debug, Default)]
pub(super) struct StampTranslator(Bridge);

impl StampTranslator {
    pub(super) fn note(&mut self, reading: Reading) {
        self.0.note(reading);
    }

    pub(super) fn translate(
        &mut self,
        now: Timestamp<Raw>,
        stamp: Option<Timestamp<Real>>,
        read: impl FnOnce() -> Option<Reading>,
    ) -> Result<Stamp, NoStamp> {
        let real = stamp.ok_or(NoStamp::Missing)?;
        if self.0.latest().is_none_or(|latest| latest.real <= real || now - latest.raw > FRESH)
            && let Some(reading) = read()
        {
            self.0.note(reading);
        }
        let raw = self.0.to_raw(real).map_err(|_| NoStamp::ClockStepped)?;
        Ok(Stamp { raw, real })
    }
}

/// dante_core::observe.
pub mod observe {
    use super::*;

    /// What the observer reports of a network.
    #[derive(Debug, PartialEq)]
    pub enum Output {
        /// Of its port.
        Port(port::Output),
        /// Of the choice between networks.
        Network(Change),
    }

    /// Ports, the choice between them, and the page.
    pub struct Observer {
        ports: Vec<Port>,
        redundancy: Redundancy,
        page: Box<Dante4l>,
        outputs: VecDeque<(usize, Output)>,
    }

    impl Observer {
        pub(in super::super) fn new<'a>(networks: impl IntoIterator<Item = (&'a str, PortConfig)>) -> Self {
            Self {
                ports: networks.into_iter().map(|(_, config)| Port::new(config)).collect(),
                redundancy: Redundancy::default(),
                page: Box::default(),
                outputs: VecDeque::new(),
            }
        }

        pub(in super::super) fn handle(
            &mut self,
            now: Timestamp<Raw>,
            network: usize,
            input: port::Input<'_>,
        ) {
            let Some(port) = self.ports.get_mut(network) else { return };
            port.handle(now, input);
            while let Some(output) = self.ports.get_mut(network).and_then(Port::poll) {
                self.consider(now);
                if let port::Output::Sample(sample) = &output
                    && network == self.selected()
                {
                    let record = self.record(sample, network);
                    self.page.push(record);
                }
                self.outputs.push_back((network, Output::Port(output)));
            }
            self.consider(now);
        }

        fn consider(&mut self, now: Timestamp<Raw>) {
            let networks: ArrayVec<Network, NETWORKS> = self.ports.iter().map(Network::from).collect();
            for change in self.redundancy.consider(now, &networks) {
                self.outputs.push_back((self.redundancy.selected(), Output::Network(change)));
            }
        }

        fn record(&self, sample: &Sample, network: usize) -> SampleRecord {
            let own = self.ports.get(network).is_some_and(|port| port.timeline() == sample.timeline);
            let timeline = if own { self.redundancy.timeline(network) } else { 0 };
            SampleRecord::of(&Sample { timeline, ..*sample }, 0)
        }

        pub(in super::super) fn poll(&mut self) -> Option<(usize, Output)> {
            self.outputs.pop_front()
        }

        pub(in super::super) fn deadline(&self) -> Option<Timestamp<Raw>> {
            self.ports.iter().filter_map(Port::deadline).min()
        }

        /// The port on a network.
        pub fn port(&self, network: usize) -> Option<&Port> {
            self.ports.get(network)
        }

        /// The network that is used.
        pub fn selected(&self) -> usize {
            self.redundancy.selected()
        }

        /// The choice between them.
        pub fn redundancy(&self) -> &Redundancy {
            &self.redundancy
        }

        pub(in super::super) fn page(&mut self, kernel: Option<KernelWord>) -> &Dante4l {
            self.page.selected = u32::try_from(self.selected()).unwrap_or(0);
            self.page.port_count = u32::try_from(self.ports.len()).unwrap_or(0);
            for (place, (to, port)) in self.page.ports.iter_mut().zip(&self.ports).enumerate() {
                *to = PortRecord::of(port, "", StampSource::Software);
                to.timeline = self.redundancy.timeline(place);
            }
            self.page.set_kernel_word(kernel);
            &self.page
        }
    }
}

/// dante_core::steer::ClockState.
pub(super) struct ClockState {
    pub reading: Reading,
    pub suspended: Duration,
    pub frequency: Ratio,
}

/// dante_core::steer::Clock.
pub(super) trait Clock {
    fn read(&mut self) -> ClockState;
    fn set(&mut self, frequency: Ratio) -> Ratio;
    fn step(&mut self, by: Duration);
}

/// dante_core::steer::Input.
pub(super) enum Input<'a> {
    Page(Option<&'a View<Dante4l>>),
    Answer { server: usize, answer: Answer },
    Deadline,
    End,
}

/// dante_core::steer::Report.
pub(super) enum Report {
    Output(steer::Output),
    Ask(usize),
    Frequency(Ratio),
    Step(Offset),
}

/// dante_core::steer::Steerer, with its servers and its detection of a suspend.
#[derive(Debug)]
pub struct Steerer {
    law: steer::Steerer,
    servers: Option<Servers>,
    sleep: SleepDetector,
}

impl std::ops::Deref for Steerer {
    type Target = steer::Steerer;
    fn deref(&self) -> &steer::Steerer {
        &self.law
    }
}

impl Steerer {
    pub(super) fn new(rules: DateRules, servers: usize, state: &ClockState) -> Self {
        Self {
            law: steer::Steerer::new(Limits::default(), rules, state.frequency),
            servers: (servers > 0).then(|| Servers::new(servers, state.reading.raw)),
            sleep: SleepDetector::new(state.suspended),
        }
    }

    pub(super) fn deadline(&self) -> Option<Timestamp<Raw>> {
        [self.law.deadline(), self.servers_deadline()].into_iter().flatten().min()
    }

    fn servers_deadline(&self) -> Option<Timestamp<Raw>> {
        self.servers.as_ref().and_then(Servers::deadline)
    }

    /// How far apart the servers are asked now.
    pub fn interval(&self) -> Duration {
        self.servers.as_ref().map_or(Duration::ZERO, Servers::interval)
    }

    pub(super) fn page(&self) -> Dante2sys {
        let mut page = Dante2sys { state: self.law.state() as u8, ..Dante2sys::default() };
        if let Some(scale) = self.law.timescale() {
            page.set_timescale(scale);
        }
        page
    }

    fn law(&mut self, clock: &mut impl Clock, input: steer::Input, report: &mut impl FnMut(Report)) {
        self.law.handle(clock.read().reading, input);
        while let Some(output) = self.law.poll() {
            match output {
                steer::Output::Correct(Correction::Slew(frequency)) => {
                    let set = clock.set(frequency);
                    report(Report::Frequency(set));
                    self.law.handle(clock.read().reading, steer::Input::Applied(set));
                }
                steer::Output::Correct(Correction::Step(off)) => {
                    clock.step(-off.span());
                    report(Report::Step(off));
                    self.law.handle(clock.read().reading, steer::Input::Stepped(off));
                }
                output => report(Report::Output(output)),
            }
        }
    }

    fn serve(&mut self, clock: &mut impl Clock, input: servers::Input, report: &mut impl FnMut(Report)) {
        let Some(servers) = &mut self.servers else { return };
        servers.handle(clock.read().reading.raw, input);
        while let Some(output) = self.servers.as_mut().and_then(Servers::poll) {
            match output {
                servers::Output::Ask(server) => report(Report::Ask(server)),
                servers::Output::Round(Ok(verdict)) => {
                    self.law(clock, steer::Input::Date(verdict), report);
                    let interval = self.law.date().interval(self.interval());
                    if let Some(servers) = &mut self.servers {
                        servers.set_interval(interval);
                    }
                }
                servers::Output::Round(Err(_)) => {}
            }
        }
    }
}

/// dante_core::steer::drive.
pub(super) fn drive(
    steerer: &mut Steerer,
    clock: &mut impl Clock,
    input: Input<'_>,
    mut report: impl FnMut(Report),
) {
    let state = clock.read();
    if steerer.sleep.look(state.suspended).is_some() {
        steerer.law(clock, steer::Input::Jumped(Jump::Slept), &mut report);
        steerer.serve(clock, servers::Input::Anew, &mut report);
    }
    match input {
        Input::Page(view) => {
            let input = match Track::of(view) {
                Ok(track) if track.live_map().is_some() => steer::Input::Leader(track),
                Ok(_) => steer::Input::Lost(Loss::NoLeader),
                Err(loss) => steer::Input::Lost(loss),
            };
            steerer.law(clock, input, &mut report);
        }
        Input::Answer { server, answer } => {
            steerer.serve(clock, servers::Input::Answer { server, answer }, &mut report);
        }
        Input::Deadline => {
            let is_due = |due: Option<Timestamp<Raw>>| due.is_some_and(|due| due <= state.reading.raw);
            if is_due(steerer.servers_deadline()) {
                steerer.serve(clock, servers::Input::Deadline, &mut report);
            }
            if is_due(steerer.law.deadline()) {
                steerer.law(clock, steer::Input::Deadline, &mut report);
            }
        }
        Input::End => steerer.law(clock, steer::Input::Lost(Loss::Ending), &mut report),
    }
}

/// dante_core::relay.
pub(super) mod relay {
    use super::*;
    use dante_core::relay::{self, Evidence, Steered};
    pub use dante_core::relay::{Config, Output, Told};

    pub enum Input<'a> {
        Page { dante4l: Option<&'a View<Dante4l>>, dante2sys: Option<&'a View<Dante2sys>> },
        End,
    }

    #[derive(Debug)]
    pub struct Relay {
        refclock: relay::Relay,
        seen: Option<(u64, u64)>,
        told: Option<Told>,
        outputs: VecDeque<Output>,
    }

    impl Relay {
        pub fn new(config: Config, told: Option<Told>) -> Self {
            let refclock = relay::Relay::new(config, told);
            Self { refclock, seen: None, told, outputs: VecDeque::new() }
        }

        pub fn handle(&mut self, now: Timestamp<Raw>, input: Input<'_>) {
            match input {
                Input::Page { dante4l, dante2sys } => {
                    if let Err(loss) = self.take(now, dante4l, dante2sys) {
                        self.refclock(now, relay::Input::Lost(loss));
                    }
                }
                Input::End => self.refclock(now, relay::Input::Lost(Loss::Ending)),
            }
        }

        fn take(
            &mut self,
            now: Timestamp<Raw>,
            dante4l: Option<&View<Dante4l>>,
            dante2sys: Option<&View<Dante2sys>>,
        ) -> Result<(), Loss> {
            let track = Track::of(dante4l)?;
            let view = dante4l.ok_or(Loss::NoPage)?;
            let seen = match self.seen.replace((view.instance, view.body.samples)) {
                Some((instance, seen)) if instance == view.instance => seen,
                Some(_) => 0,
                None => view.body.samples,
            };
            track.live_map().ok_or(Loss::NoLeader)?;
            if self.needs_epoch() {
                let steered = dante2sys.filter(|view| view.freshness == Freshness::Fresh);
                let steered = steered.and_then(|view| {
                    let key = TimelineKey { instance: view.body.key_instance, number: view.body.key_number };
                    let is_good = view.body.flags & STEER_DATE_GOOD != 0;
                    view.body.epoch().map(|epoch| Steered { key, epoch, is_good })
                });
                let kernel = view.body.kernel_word();
                self.refclock(now, relay::Input::Date(Evidence { steered, kernel }));
            }
            let path_delay = view.body.selected().and_then(PortRecord::path_delay).unwrap_or_default();
            for record in view.body.samples_after(seen) {
                self.refclock(now, relay::Input::Sync { track, sample: (*record).into(), path_delay });
            }
            Ok(())
        }

        fn refclock(&mut self, now: Timestamp<Raw>, input: relay::Input) {
            self.refclock.handle(now, input);
            while let Some(output) = self.refclock.poll() {
                if let (Output::Write(_), Some((scale, source))) = (&output, self.refclock.timescale()) {
                    self.told = Some(Told { key: scale.key(), epoch: scale.epoch(), source, last: now });
                }
                self.outputs.push_back(output);
            }
        }

        pub fn needs_epoch(&self) -> bool {
            self.refclock.timescale().is_none()
        }

        pub fn poll(&mut self) -> Option<Output> {
            self.outputs.pop_front()
        }

        pub fn page(&self) -> Danteshm {
            let mut page = Danteshm { state: self.refclock.state() as u8, ..Danteshm::default() };
            if let Some(told) = &self.told {
                page.set_told(told);
            }
            page
        }
    }
}
