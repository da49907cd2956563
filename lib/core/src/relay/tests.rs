use super::*;
use crate::port::{Stamp, State as PortState};
use crate::time::{Affine, ClockMap, Dante, Epoch, Ratio, Uncertainty};

const SYNC: i64 = 250_000_000;
const DATE: i64 = 1_795_000_000_000_000_000;

/// A leader at +12 ppm and a system clock that runs free.
struct Bench {
    relay: Relay,
    key: TimelineKey,
    line: Affine<Dante>,
    sent: i64,
    said: Vec<Output>,
}

impl Bench {
    fn new() -> Self {
        let line = Affine {
            raw0: Timestamp::ZERO,
            at0: Timestamp::from_ns(699_000_000_000),
            rate: Ratio::from_ppm(12.0),
        };
        let key = TimelineKey { instance: 1, number: 1 };
        Self { relay: Relay::new(None), key, line, sent: 0, said: Vec::new() }
    }

    fn handle(&mut self, input: Input) -> Vec<Output> {
        self.relay.handle(input);
        let said: Vec<Output> = std::iter::from_fn(|| self.relay.poll()).collect();
        self.said.extend(&said);
        said
    }

    fn track(&self, state: PortState) -> Track {
        let sigma = Uncertainty { offset: Duration::from_ns(100), rate: Ratio::from_ppb(10.0) };
        let map = ClockMap { line: self.line, sigma, correlation: Ratio::ZERO, wander: Ratio::ZERO };
        Track { key: self.key, state, map: Some(map) }
    }

    fn sample(&mut self, noise_ns: i64) -> Sample {
        self.sent += 1;
        let raw = Timestamp::from_ns(self.sent * SYNC + noise_ns);
        Sample {
            number: self.sent.cast_unsigned(),
            timeline: self.key.number,
            arrived: Stamp { raw, real: Timestamp::from_ns(raw.ns() + DATE) },
            origin: self.line.at(Timestamp::from_ns(self.sent * SYNC)),
            residual: Duration::ZERO,
            accepted: true,
        }
    }

    fn sync(&mut self) -> Vec<Output> {
        let sample = self.sample(0);
        self.hear(PortState::Slave, sample)
    }

    fn hear(&mut self, state: PortState, sample: Sample) -> Vec<Output> {
        let track = self.track(state);
        self.handle(Input::Sync { track, sample, path_delay: Duration::ZERO })
    }
}

#[test]
fn each_sync_gives_one_sample_whose_reference_is_a_date() {
    let mut bench = Bench::new();
    let first = bench.sync();
    assert_eq!(first[0], Output::Feeding);
    let Output::Write(sample) = first[1] else { panic!("{first:?}") };
    assert_eq!(sample.reference, sample.received, "K is taken from the system clock at the first Sync");
    for n in 2..100 {
        let said = bench.sync();
        let [Output::Write(sample)] = said[..] else { panic!("{said:?}") };
        // The leader gains 12 ppm on the system clock: 3 us a Sync.
        assert_eq!((sample.reference - sample.received).ns(), (n - 1) * 3_000, "Sync {n}");
    }
}

#[test]
fn samples_are_raw_and_carry_the_path_delay() {
    let mut bench = Bench::new();
    bench.sync();
    let sample = bench.sample(700);
    let track = bench.track(PortState::Slave);
    let said = bench.handle(Input::Sync { track, sample, path_delay: Duration::from_us(2) });
    let [Output::Write(written)] = said[..] else { panic!("{said:?}") };
    assert_eq!((written.reference - written.received).ns(), 3_000 - 700 + 2_000);
}

#[test]
fn a_sample_is_never_written_twice_nor_one_that_was_not_believed() {
    let mut bench = Bench::new();
    bench.sync();
    let sample = bench.sample(0);
    assert_eq!(bench.hear(PortState::Slave, sample).len(), 1);
    assert_eq!(bench.hear(PortState::Slave, sample), []);
    let mut outlier = bench.sample(0);
    outlier.accepted = false;
    assert_eq!(bench.hear(PortState::Slave, outlier), []);
    let mut of_the_last_timeline = bench.sample(0);
    of_the_last_timeline.timeline = 0;
    assert_eq!(bench.hear(PortState::Slave, of_the_last_timeline), []);
}

#[test]
fn nothing_is_written_while_dante4l_acquires_or_listens() {
    let mut bench = Bench::new();
    for state in [PortState::Uncalibrated, PortState::Listening, PortState::Faulty] {
        let sample = bench.sample(0);
        assert_eq!(bench.hear(state, sample), [], "{state}");
    }
    assert_eq!((bench.relay.state(), bench.relay.timescale().is_none()), (State::Waiting, true));
}

#[test]
fn when_the_leader_is_gone_the_last_sample_is_withdrawn_once() {
    let mut bench = Bench::new();
    assert_eq!(bench.handle(Input::Lost(Loss::Stale)), [], "nothing to withdraw yet");
    bench.sync();
    let gone = bench.handle(Input::Lost(Loss::NoLeader));
    assert_eq!(gone, [Output::Stopped(Loss::NoLeader), Output::Withdraw]);
    assert_eq!(bench.handle(Input::Lost(Loss::NoLeader)), []);
    let epoch = bench.relay.timescale().unwrap().epoch();
    assert_eq!(bench.sync()[0], Output::Feeding);
    assert_eq!(bench.relay.timescale().unwrap().epoch(), epoch, "K is kept");
}

#[test]
fn a_step_of_the_system_clock_or_a_suspend_is_answered_by_silence_and_a_new_k() {
    let mut bench = Bench::new();
    (0..20).for_each(|_| _ = bench.sync());
    let mut stepped = bench.sample(0);
    stepped.arrived.real = stepped.arrived.real + Duration::from_secs(10);
    let said = bench.hear(PortState::Slave, stepped);
    let [Output::Hushed(jump), Output::Withdraw] = said[..] else { panic!("{said:?}") };
    assert_eq!((jump + Duration::from_secs(10)).ms(), 0);
    let mut quiet = 0;
    let first = loop {
        let mut sample = bench.sample(0);
        sample.arrived.real = sample.arrived.real + Duration::from_secs(10);
        match bench.hear(PortState::Slave, sample)[..] {
            [] => quiet += 1,
            [Output::Feeding, Output::Write(first)] => break first,
            ref other => panic!("{other:?}"),
        }
    };
    assert_eq!(quiet, 15, "four seconds");
    assert_eq!(first.reference, first.received);
}

#[test]
fn a_restarted_relay_goes_on_with_the_k_that_it_told_before() {
    let mut before = Bench::new();
    (0..40).for_each(|_| _ = before.sync());
    let told = Told { key: before.key, epoch: before.relay.timescale().unwrap().epoch() };
    let mut bench = Bench { relay: Relay::new(Some(told)), sent: 48, ..Bench::new() };
    let said = bench.sync();
    let [Output::Feeding, Output::Write(sample)] = said[..] else { panic!("{said:?}") };
    assert_eq!((sample.reference - sample.received).ns(), 48 * 3_000, "as if nothing had been");
    let other = Told { key: TimelineKey { instance: 5, number: 1 }, ..told };
    let mut bench = Bench { relay: Relay::new(Some(other)), ..Bench::new() };
    assert_eq!(bench.sync(), [Output::Hushed(Duration::ZERO)], "K is lost: chrony must not see the jump");
    let quiet = (0..100).take_while(|_| bench.sync().is_empty()).count();
    assert_eq!(quiet, 15);
    let stepped = Told { epoch: Epoch::from_ns(told.epoch.ns() + 3_000_000_000), ..told };
    let mut bench = Bench { relay: Relay::new(Some(stepped)), ..Bench::new() };
    assert!(matches!(bench.sync()[..], [Output::Hushed(_)]), "the system clock was stepped meanwhile");
}

#[test]
fn another_leader_does_not_make_the_reference_jump() {
    let mut bench = Bench::new();
    (0..40).for_each(|_| _ = bench.sync());
    bench.key.number = 2;
    bench.line = Affine { at0: Timestamp::from_ns(3), ..bench.line };
    let said = bench.sync();
    let [Output::Epoch(change), Output::Write(sample)] = said[..] else { panic!("{said:?}") };
    assert_eq!(change.to.ns() - change.from.ns(), 699_000_000_000 - 3);
    assert_eq!((sample.reference - sample.received).ns(), 40 * 3_000, "goes on where it was");
}
