use super::*;
use crate::page::{Dante2sys, Freshness, STEER_HAS_PIECE, STEER_UTC_SYNCHRONISED, View};
use crate::relay::epoch::Steered;
use crate::relay::tests::{DATE, NOW, SYNC, SYNCHRONISED, SyntheticLeader};
use crate::time::{Affine, Epoch, Ratio};
use crate::timescale::Piece;
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

    /// What a run that ends now leaves to the next.
    fn published_epoch(&self) -> PublishedEpoch {
        PublishedEpoch {
            last: Timestamp::from_ns(self.leader.sent * SYNC),
            ..*self.refclock.published_epoch().unwrap()
        }
    }

    fn knows(&mut self, steered: Option<Steered>, kernel: Option<KernelSync>) {
        self.refclock.set_evidence(Evidence { steered, kernel });
        assert_eq!(self.poll(), []);
    }

    /// How many Syncs are followed by nothing, and what follows the next one.
    fn quiet(&mut self) -> (usize, Vec<Output>) {
        let mut said = Vec::new();
        let quiet = (0..1000).take_while(|_| {
            said = self.sync();
            said.is_empty()
        });
        (quiet.count(), said)
    }

    fn sync(&mut self) -> Vec<Output> {
        let sample = self.leader.sample(0);
        self.hear(sample)
    }

    fn hear(&mut self, sample: Sample) -> Vec<Output> {
        self.hear_after(Duration::ZERO, sample)
    }

    fn hear_after(&mut self, path_delay: Duration, sample: Sample) -> Vec<Output> {
        let SyntheticLeader { key, .. } = self.leader;
        self.refclock.sync(self.leader.now(), key, &self.leader.map(), &sample, path_delay);
        self.poll()
    }
}

/// The sample that is written, and nothing else is said.
#[track_caller]
fn only_write(said: &[Output]) -> RefclockSample {
    let [Output::Write(sample)] = said else { panic!("{said:?}") };
    *sample
}

/// K is fixed, and the first sample written.
#[track_caller]
fn fixed(said: &[Output]) -> (Fixed, RefclockSample) {
    let [Output::Fixed(fixed), Output::Feeding, Output::Write(sample)] = said else { panic!("{said:?}") };
    (*fixed, *sample)
}

#[test]
fn each_sync_gives_one_sample_whose_reference_is_a_date() {
    let mut bench = Bench::new();
    let (k, sample) = fixed(&bench.sync());
    assert_eq!(sample.reference, sample.received, "K is taken from the system clock at the first Sync");
    assert_eq!((k.source, k.moved, k.ahead), (EpochSource::Unsynchronised, None, Duration::ZERO));
    for n in 2..100 {
        let sample = only_write(&bench.sync());
        // The leader gains 12 ppm on the system clock: 3 us a Sync.
        assert_eq!(sample.ahead().ns(), (n - 1) * 3_000, "Sync {n}");
    }
    assert_eq!(bench.refclock.waiting(), Waiting::Nothing);
}

#[test]
fn samples_are_raw_and_carry_the_path_delay() {
    let mut bench = Bench::after(1);
    let sample = bench.leader.sample(700);
    let said = bench.hear_after(Duration::from_us(2), sample);
    assert_eq!(only_write(&said).ahead().ns(), 3_000 - 700 + 2_000);
}

#[test]
fn a_sample_is_never_written_twice_nor_late_nor_one_that_was_not_believed() {
    let mut bench = Bench::after(1);
    let sample = bench.leader.sample(0);
    assert_eq!(bench.hear(sample).len(), 1);
    assert_eq!(bench.hear(sample), []);
    let mut outlier = bench.leader.sample(0);
    outlier.accepted = false;
    assert_eq!(bench.hear(outlier), []);
    let mut of_the_last_timeline = bench.leader.sample(0);
    of_the_last_timeline.timeline = 0;
    assert_eq!(bench.hear(of_the_last_timeline), []);
    // A program that was stopped for 1.5 s finds six in the ring.
    let waiting: Vec<Sample> = (0..6).map(|_| bench.leader.sample(0)).collect();
    let published = waiting.into_iter().filter(|sample| !bench.hear(*sample).is_empty());
    assert_eq!(
        published.map(|sample| sample.number).collect::<Vec<_>>(),
        [7, 8, 9, 10],
        "those of the last second"
    );
}

#[test]
fn when_the_leader_is_gone_the_last_sample_is_withdrawn_once() {
    let mut bench = Bench::new();
    assert_eq!(bench.lose(Loss::Stale), [], "nothing to withdraw yet");
    bench.sync();
    let gone = bench.lose(Loss::NoLeader);
    assert_eq!(gone, [Output::Stopped(Loss::NoLeader), Output::Withdraw]);
    assert_eq!(bench.lose(Loss::NoLeader), []);
    let epoch = bench.published_epoch().epoch;
    assert!(matches!(bench.sync()[..], [Output::Feeding, Output::Write(_)]), "K is kept");
    assert_eq!(bench.published_epoch().epoch, epoch);
}

#[test]
fn a_step_of_the_system_clock_or_a_suspend_is_answered_by_silence_and_a_new_k() {
    let mut bench = Bench::after(20);
    let ten = Duration::from_secs(10);
    bench.leader.stepped = ten;
    let said = bench.sync();
    let [Output::Paused(Break::Stepped(by)), Output::Withdraw] = said[..] else { panic!("{said:?}") };
    assert_eq!((by, bench.refclock.waiting()), (ten, Waiting::Pause));
    let (quiet, said) = bench.quiet();
    assert_eq!(quiet, 15, "four seconds");
    let (k, sample) = fixed(&said);
    assert_eq!(sample.reference, sample.received);
    let moved = k.moved.unwrap();
    // Ten seconds, less what the leader gained on the clock in 36 Syncs.
    assert_eq!((moved - ten).ns(), -36 * 3_000, "what K changed by is published");
}

#[test]
fn a_clock_that_goes_on_moving_is_waited_for() {
    let mut bench = Bench::after(20);
    // chrony slews by up to 8.3 %: 400 ms in 5 s.
    let mut said = Vec::new();
    for _ in 0..20 {
        bench.leader.stepped = bench.leader.stepped + Duration::from_ms(20);
        said.extend(bench.sync());
    }
    assert!(matches!(said[..], [Output::Paused(_), Output::Withdraw]), "said once: {said:?}");
    let (quiet, said) = bench.quiet();
    assert_eq!(quiet, 15, "four seconds after the last that moved");
    assert_eq!(fixed(&said).1.ahead(), Duration::ZERO);
}

#[test]
fn a_clock_that_moves_before_k_is_fixed_is_no_date() {
    let mut bench = Bench::with(SYNCHRONISED, None);
    bench.sync();
    bench.leader.stepped = Duration::from_secs(-3);
    assert!(matches!(bench.sync()[..], [Output::Paused(_)]));
    bench.knows(None, Some(KernelSync::Synchronised(Duration::from_ms(5))));
    assert_eq!(bench.quiet().0, 15);
}

#[test]
fn k_waits_until_the_kernel_calls_the_clock_synchronised() {
    let mut bench = Bench::with(SYNCHRONISED, None);
    assert_eq!(bench.sync(), [Output::NoUtc(None)], "dante4l could not ask");
    bench.knows(None, Some(KernelSync::Unsynchronised));
    assert_eq!(bench.sync(), [], "said once");
    assert_eq!(bench.refclock.waiting(), Waiting::Utc);
    bench.knows(None, Some(KernelSync::Synchronised(Duration::from_ms(5))));
    assert_eq!(fixed(&bench.sync()).0.source, EpochSource::Clock);
    // Fixed is fixed.
    bench.knows(None, Some(KernelSync::Unsynchronised));
    only_write(&bench.sync());
    // But not what comes after a step.
    bench.leader.stepped = Duration::from_secs(1);
    bench.sync();
    assert_eq!(bench.quiet(), (15, vec![Output::NoUtc(Some(KernelSync::Unsynchronised))]));
}

#[test]
fn k_is_that_of_dante2sys_where_its_date_is_good() {
    let (dante0, utc0) = (Timestamp::from_ns(699_000_000_000), Timestamp::from_ns(DATE + 7_000_000));
    let piece = Piece { origin: 9, serial: 1, dante0, utc0, slope: 0 };
    let steered = |key: TimelineKey, is_good| {
        let flags = STEER_HAS_PIECE | if is_good { STEER_UTC_SYNCHRONISED } else { 0 };
        let (key_instance, key_number, piece) = (key.instance, key.number, piece.into());
        let body = Dante2sys { flags, key_instance, key_number, piece, ..Dante2sys::default() };
        Steered::of(&View { freshness: Freshness::Fresh, pid: 1, instance: 9, body })
    };
    for (is_good, number, source) in [
        (true, 1, EpochSource::Dante2sys),
        (false, 1, EpochSource::Clock),
        // Of another timeline it says nothing about this one.
        (true, 2, EpochSource::Clock),
    ] {
        let mut bench = Bench::with(SYNCHRONISED, None);
        let key = TimelineKey { number, ..bench.leader.key };
        let kernel = Some(KernelSync::Synchronised(Duration::from_ms(5)));
        bench.knows(steered(key, is_good), kernel);
        let (k, sample) = fixed(&bench.sync());
        assert_eq!(k.source, source);
        let ahead = if source == EpochSource::Dante2sys { 7_003_000 } else { 0 };
        assert_eq!(sample.ahead().ns(), ahead, "the date is that of the one, not of the other");
    }
    let mut bench = Bench::new();
    let key = bench.leader.key;
    bench.knows(steered(key, false), None);
    assert_eq!(fixed(&bench.sync()).0.source, EpochSource::Dante2sys, "--epoch now asks for no more");
}

#[test]
fn a_restarted_relay_goes_on_with_the_k_that_it_told_before() {
    let before = Bench::after(40);
    let published = before.published_epoch();
    let restarted = |config, published: PublishedEpoch| {
        let mut bench = Bench::with(config, Some(published));
        bench.leader.sent = 44;
        bench
    };
    let (k, sample) = fixed(&restarted(NOW, published).sync());
    assert_eq!((k.epoch, sample.ahead().ns()), (published.epoch, 44 * 3_000), "as if nothing had been");
    assert!(k.is_resumed && k.to_string().contains("no jump"), "{k}");

    // K is lost, and chrony must not see the jump: silent for 4 s from the last that was published.
    let other = PublishedEpoch { key: TimelineKey { instance: 5, number: 1 }, ..published };
    let mut bench = restarted(NOW, other);
    assert_eq!(bench.sync(), [Output::Paused(Break::Forgotten)]);
    assert_eq!(bench.quiet().0, 10);
    // It was silent for long enough.
    let long_ago = PublishedEpoch { last: Timestamp::ZERO, ..other };
    assert_eq!(fixed(&restarted(NOW, long_ago).sync()).1.ahead(), Duration::ZERO);
    // The system clock was stepped meanwhile.
    let stepped = PublishedEpoch { epoch: Epoch::from_ns(published.epoch.ns() + 3_000_000_000), ..published };
    assert_eq!(restarted(NOW, stepped).sync(), [Output::Paused(Break::Forgotten)]);
    // It was fixed when nobody vouched for the clock, and now somebody has to.
    assert_eq!(restarted(SYNCHRONISED, published).sync(), [Output::Paused(Break::Forgotten)]);
    let vouched = PublishedEpoch { source: EpochSource::Clock, ..published };
    assert_eq!(fixed(&restarted(SYNCHRONISED, vouched).sync()).0.epoch, published.epoch);
}

#[test]
fn another_leader_does_not_make_the_reference_jump() {
    let mut bench = Bench::after(40);
    bench.leader.key.number = 2;
    bench.leader.line = Affine { at0: Timestamp::from_ns(3), ..bench.leader.line };
    let said = bench.sync();
    let [Output::Epoch(change), Output::Write(sample)] = said[..] else { panic!("{said:?}") };
    assert_eq!(change.to.ns() - change.from.ns(), 699_000_000_000 - 3);
    assert_eq!(sample.ahead().ns(), 40 * 3_000, "goes on where it was");
}

#[test]
fn another_leader_after_too_long_begins_anew() {
    let mut bench = Bench::new();
    bench.leader.rate_sigma = Ratio::from_ppm(1.0);
    (0..40).for_each(|_| _ = bench.sync());
    bench.lose(Loss::NoLeader);
    bench.leader.sent += 4 * 1200;
    bench.leader.key.number = 2;
    bench.leader.line = Affine { at0: Timestamp::from_ns(3), ..bench.leader.line };
    let said = bench.sync();
    assert!(matches!(said[..], [Output::Paused(Break::Uncertain(sigma))] if sigma > JOINABLE), "{said:?}");
    let (quiet, said) = bench.quiet();
    assert_eq!(quiet, 15);
    assert_eq!(fixed(&said).1.ahead(), Duration::ZERO);
}

#[test]
fn a_mean_is_that_of_its_stretch_and_lies_on_the_line() {
    let every = Some(Duration::from_secs(1));
    let mut bench = Bench::with(Config { every, ..NOW }, None);
    let noise = [0, 900, -900, 300, -300, 1_200, 400, -1_600];
    let mut means = Vec::new();
    for n in 0..40 {
        let sample = bench.leader.sample(noise[n % 8]);
        means.extend(bench.hear(sample).into_iter().filter_map(|said| match said {
            Output::Write(sample) => Some(sample),
            _ => None,
        }));
    }
    assert_eq!(means.len(), 9, "one a second");
    for mean in &means[1..] {
        // The line: 12 ppm of the time since the first Sync. Four in a row err by less than 500 ns on average.
        let elapsed = (mean.received.ns() - DATE - SYNC) as f64;
        let off = mean.ahead().ns() as f64 - elapsed * 12e-6;
        assert!(off.abs() < 500.0, "{off} ns off the line: {mean:?}");
    }
    let spacing: Vec<i64> = means.windows(2).map(|pair| (pair[1].received - pair[0].received).ms()).collect();
    assert!(spacing[1..].iter().all(|ms| (999..=1000).contains(ms)), "{spacing:?}");
    // A Sync that was not believed delays one mean, and no more.
    let mut times = Vec::new();
    for n in 0..24 {
        let mut sample = bench.leader.sample(0);
        sample.accepted = n != 8;
        let is_written = !bench.hear(sample).is_empty();
        times.extend(is_written.then_some(n));
    }
    assert_eq!(times, [0, 4, 9, 12, 16, 20]);
    // What was gathered before a loss does not count after it.
    bench.lose(Loss::NoLeader);
    let begun = bench.leader.sent;
    let after: Vec<Output> = (0..5).flat_map(|_| bench.sync()).collect();
    let [Output::Feeding, Output::Write(mean)] = after[..] else { panic!("{after:?}") };
    assert_eq!((mean.received.ns() - DATE) / SYNC, begun + 3, "the middle of five");
}
