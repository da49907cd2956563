use super::*;
use crate::page::{Dante2sys, Freshness, STEER_HAS_PIECE, STEER_UTC_SYNCHRONISED, View};
use crate::relay::epoch::Steered;
use crate::relay::tests::{NOW, REAL0_NS, SYNC, SYNCHRONISED, SyntheticLeader};
use crate::time::{Affine, Epoch, Ratio};
use crate::timescale::{Piece, Replaced};
use crate::track::KernelSync;

struct Bench {
    refclock: Refclock,
    leader: SyntheticLeader,
}

impl Bench {
    fn new() -> Self {
        Self::with(NOW, None)
    }

    fn after(syncs: usize) -> Self {
        let mut bench = Self::new();
        (0..syncs).for_each(|_| _ = bench.sync());
        bench
    }

    fn with(config: Config, published: Option<PublishedEpoch>) -> Self {
        Self { refclock: Refclock::new(config, published), leader: SyntheticLeader::new() }
    }

    fn poll(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.refclock.poll()).collect()
    }

    fn lose(&mut self, loss: Loss) -> Vec<Output> {
        self.refclock.lost(loss);
        self.poll()
    }

    /// What a run that ends now leaves to the next run.
    fn published_epoch(&self) -> PublishedEpoch {
        PublishedEpoch {
            last: Timestamp::from_ns(self.leader.sent * SYNC),
            ..*self.refclock.published_epoch().unwrap()
        }
    }

    fn set_evidence(&mut self, steered: Option<Steered>, kernel: Option<KernelSync>) {
        self.refclock.set_evidence(Evidence { steered, kernel });
        assert_eq!(self.poll(), []);
    }

    /// Returns the number of Syncs without an output, and the outputs of the next Sync.
    fn quiet(&mut self) -> (usize, Vec<Output>) {
        let mut outputs = Vec::new();
        let quiet = (0..1000).take_while(|_| {
            outputs = self.sync();
            outputs.is_empty()
        });
        (quiet.count(), outputs)
    }

    fn sync(&mut self) -> Vec<Output> {
        let sample = self.leader.sample(0);
        self.sync_sample(sample)
    }

    fn sync_sample(&mut self, sample: Sample) -> Vec<Output> {
        self.sync_with_path_delay(Duration::ZERO, sample)
    }

    fn sync_with_path_delay(&mut self, path_delay: Duration, sample: Sample) -> Vec<Output> {
        let SyntheticLeader { key, .. } = self.leader;
        self.refclock.sync(self.leader.now(), key, &self.leader.map(), &sample, path_delay);
        self.poll()
    }
}

/// The sample of outputs that are nothing but one sample.
#[track_caller]
fn only_sample(outputs: &[Output]) -> RefclockSample {
    let [Output::Write(sample)] = outputs else { panic!("{outputs:?}") };
    *sample
}

/// K that is set, and the first sample.
#[track_caller]
fn fixed_and_sample(outputs: &[Output]) -> (Fixed, RefclockSample) {
    let [Output::Fixed(fixed), Output::Feeding, Output::Write(sample)] = outputs else {
        panic!("{outputs:?}")
    };
    (*fixed, *sample)
}

#[test]
fn each_sync_gives_one_sample_whose_reference_is_utc() {
    let mut bench = Bench::new();
    let (k, sample) = fixed_and_sample(&bench.sync());
    assert_eq!(sample.reference, sample.received, "K is set from the system clock at the first Sync");
    assert_eq!((k.source, k.moved, k.ahead), (EpochSource::Unsynchronised, None, Duration::ZERO));
    for n in 2..100 {
        let sample = only_sample(&bench.sync());
        // The leader gains 12 ppm on the system clock: 3 us a Sync.
        assert_eq!(sample.ahead().ns(), (n - 1) * 3_000, "Sync {n}");
    }
    assert_eq!(bench.refclock.waiting(), Waiting::Nothing);
}

#[test]
fn samples_are_unfiltered_and_include_the_path_delay() {
    let mut bench = Bench::after(1);
    let sample = bench.leader.sample(700);
    let outputs = bench.sync_with_path_delay(Duration::from_us(2), sample);
    assert_eq!(only_sample(&outputs).ahead().ns(), 3_000 - 700 + 2_000);
}

#[test]
fn repeated_rejected_and_late_samples_are_not_written() {
    let mut bench = Bench::after(1);
    let sample = bench.leader.sample(0);
    assert_eq!(bench.sync_sample(sample).len(), 1);
    assert_eq!(bench.sync_sample(sample), []);
    let mut outlier = bench.leader.sample(0);
    outlier.accepted = false;
    assert_eq!(bench.sync_sample(outlier), []);
    let mut of_the_last_timeline = bench.leader.sample(0);
    of_the_last_timeline.timeline = 0;
    assert_eq!(bench.sync_sample(of_the_last_timeline), []);
    // After a delay of 1.5 s the ring has six new samples.
    let waiting: Vec<Sample> = (0..6).map(|_| bench.leader.sample(0)).collect();
    let published = waiting.into_iter().filter(|sample| !bench.sync_sample(*sample).is_empty());
    assert_eq!(
        published.map(|sample| sample.number).collect::<Vec<_>>(),
        [7, 8, 9, 10],
        "only the samples of the last second"
    );
}

#[test]
fn last_sample_is_withdrawn_once_when_the_leader_is_lost() {
    let mut bench = Bench::new();
    assert_eq!(bench.lose(Loss::Stale), [], "nothing to withdraw yet");
    bench.sync();
    let outputs = bench.lose(Loss::NoLeader);
    assert_eq!(outputs, [Output::Stopped(Loss::NoLeader), Output::Withdraw]);
    assert_eq!(bench.lose(Loss::NoLeader), []);
    let epoch = bench.published_epoch().epoch;
    assert!(matches!(bench.sync()[..], [Output::Feeding, Output::Write(_)]), "K is kept");
    assert_eq!(bench.published_epoch().epoch, epoch);
}

#[test]
fn step_of_the_system_clock_pauses_the_output_and_sets_k_again() {
    let mut bench = Bench::after(20);
    let ten = Duration::from_secs(10);
    bench.leader.stepped = ten;
    let outputs = bench.sync();
    let [Output::Paused(PauseReason::Stepped(by)), Output::Withdraw] = outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!((by, bench.refclock.waiting()), (ten, Waiting::Pause));
    let (quiet, outputs) = bench.quiet();
    assert_eq!(quiet, 15, "the pause lasts four seconds");
    let (k, sample) = fixed_and_sample(&outputs);
    assert_eq!(sample.reference, sample.received);
    let moved = k.moved.unwrap();
    // Ten seconds, minus the gain of the leader on the system clock in 36 Syncs.
    assert_eq!((moved - ten).ns(), -36 * 3_000, "the change of the reference is reported");
}

#[test]
fn pause_lasts_until_the_system_clock_stops_moving() {
    let mut bench = Bench::after(20);
    // chrony slews by up to 8.3 %: 400 ms in 5 s.
    let mut outputs = Vec::new();
    for _ in 0..20 {
        bench.leader.stepped = bench.leader.stepped + Duration::from_ms(20);
        outputs.extend(bench.sync());
    }
    assert!(
        matches!(outputs[..], [Output::Paused(_), Output::Withdraw]),
        "the pause is reported once: {outputs:?}"
    );
    let (quiet, outputs) = bench.quiet();
    assert_eq!(quiet, 15, "the pause lasts four seconds after the last movement");
    assert_eq!(fixed_and_sample(&outputs).1.ahead(), Duration::ZERO);
}

#[test]
fn k_is_not_set_from_a_system_clock_that_moves() {
    let mut bench = Bench::with(SYNCHRONISED, None);
    bench.sync();
    bench.leader.stepped = Duration::from_secs(-3);
    assert!(matches!(bench.sync()[..], [Output::Paused(_)]));
    bench.set_evidence(None, Some(KernelSync::Synchronised(Duration::from_ms(5))));
    assert_eq!(bench.quiet().0, 15);
}

#[test]
fn k_is_not_set_before_the_kernel_reports_the_clock_as_synchronised() {
    let mut bench = Bench::with(SYNCHRONISED, None);
    assert_eq!(bench.sync(), [Output::NoUtc(None)], "dante4l could not ask the kernel");
    bench.set_evidence(None, Some(KernelSync::Unsynchronised));
    assert_eq!(bench.sync(), [], "NoUtc is sent once");
    assert_eq!(bench.refclock.waiting(), Waiting::Utc);
    bench.set_evidence(None, Some(KernelSync::Synchronised(Duration::from_ms(5))));
    assert_eq!(fixed_and_sample(&bench.sync()).0.source, EpochSource::Clock);
    // K stays when the kernel reports the clock as unsynchronised later.
    bench.set_evidence(None, Some(KernelSync::Unsynchronised));
    only_sample(&bench.sync());
    // After a step K is not set again.
    bench.leader.stepped = Duration::from_secs(1);
    bench.sync();
    assert_eq!(bench.quiet(), (15, vec![Output::NoUtc(Some(KernelSync::Unsynchronised))]));
}

#[test]
fn k_is_set_from_dante2sys_where_its_utc_is_synchronised() {
    let (dante0, utc0) = (Timestamp::from_ns(699_000_000_000), Timestamp::from_ns(REAL0_NS + 7_000_000));
    let piece = Piece { origin: 9, serial: 1, dante0, utc0, slope: 0 };
    let steered = |key: TimelineKey, is_synchronised| {
        let flags = STEER_HAS_PIECE | if is_synchronised { STEER_UTC_SYNCHRONISED } else { 0 };
        let (key_instance, key_number, piece) = (key.instance, key.number, piece.into());
        let body = Dante2sys { flags, key_instance, key_number, piece, ..Dante2sys::default() };
        Steered::of(&View { freshness: Freshness::Fresh, pid: 1, instance: 9, body })
    };
    for (is_synchronised, number, source) in [
        (true, 1, EpochSource::Dante2sys),
        (false, 1, EpochSource::Clock),
        // A K of another timeline is of no use for this one.
        (true, 2, EpochSource::Clock),
    ] {
        let mut bench = Bench::with(SYNCHRONISED, None);
        let key = TimelineKey { number, ..bench.leader.key };
        let kernel = Some(KernelSync::Synchronised(Duration::from_ms(5)));
        bench.set_evidence(steered(key, is_synchronised), kernel);
        let (k, sample) = fixed_and_sample(&bench.sync());
        assert_eq!(k.source, source);
        let ahead = if source == EpochSource::Dante2sys { 7_003_000 } else { 0 };
        assert_eq!(sample.ahead().ns(), ahead, "UTC is that of {source}");
    }
    let mut bench = Bench::new();
    let key = bench.leader.key;
    bench.set_evidence(steered(key, false), None);
    assert_eq!(
        fixed_and_sample(&bench.sync()).0.source,
        EpochSource::Dante2sys,
        "--epoch now does not require synchronised UTC"
    );
}

#[test]
fn restarted_relay_resumes_k_or_pauses() {
    let before = Bench::after(40);
    let published = before.published_epoch();
    let restarted = |config, published: PublishedEpoch| {
        let mut bench = Bench::with(config, Some(published));
        bench.leader.sent = 44;
        bench
    };
    let (k, sample) = fixed_and_sample(&restarted(NOW, published).sync());
    assert_eq!((k.epoch, sample.ahead().ns()), (published.epoch, 44 * 3_000), "the reference does not jump");
    assert!(k.is_resumed && k.to_string().contains("no jump"), "{k}");

    // dante4l was restarted too, and the leader is the same.
    let same = PublishedEpoch { key: TimelineKey { instance: 5, number: 1 }, ..published };
    assert_eq!(fixed_and_sample(&restarted(NOW, same).sync()).0.epoch, published.epoch);
    // K belongs to another leader, and chrony must not see the jump: a pause until 4 s after the last sample.
    let other = PublishedEpoch { epoch: Epoch::from_ns(published.epoch.ns() + 1_000_000), ..same };
    let mut bench = restarted(NOW, other);
    assert_eq!(bench.sync(), [Output::Paused(PauseReason::Forgotten)]);
    assert_eq!(bench.quiet().0, 10);
    // The last sample is old enough: no pause is needed.
    let long_ago = PublishedEpoch { last: Timestamp::ZERO, ..other };
    assert_eq!(fixed_and_sample(&restarted(NOW, long_ago).sync()).1.ahead(), Duration::ZERO);
    // The system clock was stepped between the runs.
    let stepped = PublishedEpoch { epoch: Epoch::from_ns(published.epoch.ns() + 3_000_000_000), ..published };
    assert_eq!(restarted(NOW, stepped).sync(), [Output::Paused(PauseReason::Forgotten)]);
    // K comes from an unsynchronised clock, and the rule now requires a synchronised one.
    assert_eq!(restarted(SYNCHRONISED, published).sync(), [Output::Paused(PauseReason::Forgotten)]);
    let synchronised = PublishedEpoch { source: EpochSource::Clock, ..published };
    assert_eq!(fixed_and_sample(&restarted(SYNCHRONISED, synchronised).sync()).0.epoch, published.epoch);
}

#[test]
fn reference_does_not_jump_at_a_leader_change() {
    let mut bench = Bench::after(40);
    bench.leader.key.number = 2;
    bench.leader.line = Affine { at0: Timestamp::from_ns(3), ..bench.leader.line };
    let outputs = bench.sync();
    let [Output::Epoch(change), Output::Write(sample)] = outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(change.to.ns() - change.from.ns(), 699_000_000_000 - 3);
    assert_eq!(sample.ahead().ns(), 40 * 3_000, "the reference is continuous");
}

/// Moves the leader's time by this against its clock map.
fn moved(leader: &mut SyntheticLeader, by: Duration) {
    leader.line = Affine { at0: leader.line.at0 + by, ..leader.line };
}

/// A leader that ran at another rate while it was away.
#[test]
fn reference_does_not_jump_at_a_return_with_another_time() {
    let mut bench = Bench::after(40);
    let before = only_sample(&bench.sync()).ahead();
    bench.lose(Loss::NoLeader);
    moved(&mut bench.leader, Duration::from_us(700));
    let outputs = bench.sync();
    let [Output::Epoch(change), Output::Feeding, Output::Write(sample)] = outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(change.replaced, Replaced::Map(Duration::from_us(700)));
    assert_eq!((sample.ahead() - before).ns(), 3_000, "the reference is continuous");
}

#[test]
fn another_time_after_a_long_gap_sets_k_again() {
    let changes: [fn(&mut SyntheticLeader); 2] = [
        |leader| {
            leader.key.number = 2;
            leader.line = Affine { at0: Timestamp::from_ns(3), ..leader.line };
        },
        |leader| moved(leader, Duration::from_ms(21)),
    ];
    for change in changes {
        let mut bench = Bench::new();
        bench.leader.rate_sigma = Ratio::from_ppm(1.0);
        (0..40).for_each(|_| _ = bench.sync());
        bench.lose(Loss::NoLeader);
        bench.leader.sent += 4 * 1200;
        change(&mut bench.leader);
        let outputs = bench.sync();
        let [Output::Paused(PauseReason::Uncertain(sigma))] = outputs[..] else { panic!("{outputs:?}") };
        assert!(sigma > MAX_CARRIED_UNCERTAINTY, "{sigma:?}");
        let (quiet, outputs) = bench.quiet();
        assert_eq!(quiet, 15);
        assert_eq!(fixed_and_sample(&outputs).1.ahead(), Duration::ZERO);
    }
}

#[test]
fn means_have_a_fixed_interval_and_no_bias() {
    let every = Some(Duration::from_secs(1));
    let mut bench = Bench::with(Config { every, ..NOW }, None);
    let noise = [0, 900, -900, 300, -300, 1_200, 400, -1_600];
    let mut means = Vec::new();
    for n in 0..40 {
        let sample = bench.leader.sample(noise[n % 8]);
        means.extend(bench.sync_sample(sample).into_iter().filter_map(|output| match output {
            Output::Write(sample) => Some(sample),
            _ => None,
        }));
    }
    assert_eq!(means.len(), 9, "one mean per second");
    for mean in &means[1..] {
        // The true offset is 12 ppm of the time since the first Sync. The mean noise of four Syncs in a row is below 500 ns.
        let elapsed = (mean.received.ns() - REAL0_NS - SYNC) as f64;
        let off = mean.ahead().ns() as f64 - elapsed * 12e-6;
        assert!(off.abs() < 500.0, "{off} ns off the true offset: {mean:?}");
    }
    let spacing: Vec<i64> = means.windows(2).map(|pair| (pair[1].received - pair[0].received).ms()).collect();
    assert!(spacing[1..].iter().all(|ms| (999..=1000).contains(ms)), "{spacing:?}");
    // A rejected Sync delays one mean only.
    let mut times = Vec::new();
    for n in 0..24 {
        let mut sample = bench.leader.sample(0);
        sample.accepted = n != 8;
        let is_written = !bench.sync_sample(sample).is_empty();
        times.extend(is_written.then_some(n));
    }
    assert_eq!(times, [0, 4, 9, 12, 16, 20]);
    // Samples from before a loss of the leader are not part of a mean after it.
    bench.lose(Loss::NoLeader);
    let sent_before = bench.leader.sent;
    let after: Vec<Output> = (0..5).flat_map(|_| bench.sync()).collect();
    let [Output::Feeding, Output::Write(mean)] = after[..] else { panic!("{after:?}") };
    assert_eq!((mean.received.ns() - REAL0_NS) / SYNC, sent_before + 3, "the mean time of five Syncs");
}
