use super::*;
use crate::port::{Defect, Diagnostic, MAX_LEADERS, State, SyncInterval};
use crate::time::{Affine, ClockMap, Correlation, Duration, Ratio, Timestamp, Uncertainty, Wander};
use crate::track::KernelSync;
use crate::wire::{PortIdentity, Subdomain, Uuid};
use std::mem::offset_of;
use std::net::Ipv4Addr;
use zerocopy::FromZeros;

/// A hash that shows any change of any byte (FNV-1a, 64 bits).
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn map() -> ClockMap {
    ClockMap {
        line: Affine {
            raw0: Timestamp::from_ns(0x0102_0304_0506_0708),
            at0: Timestamp::from_ns(0x1112_1314_1516_1718),
            rate: Ratio::new(12e-6),
        },
        sigma: Uncertainty { offset: Duration::from_ns(0x21), rate: Ratio::new(1e-9) },
        correlation: Correlation::new(0.5),
        wander: Wander::new(2e-9),
    }
}

fn sample(number: u64) -> SampleRecord {
    SampleRecord {
        number,
        timeline: 5,
        arrived_raw_ns: 6,
        arrived_real_ns: 7,
        origin_ns: 8,
        residual_ns: -9,
        accepted: 1,
        port: 0,
    }
}

fn clock() -> Dante4l {
    let mut body = Dante4l {
        protocol: 1,
        state: 8,
        timestamp_source: 1,
        flags: 0x0f,
        timescale: 0x3f,
        utc_offset_s: 37,
        domain: 3,
        sender: [0, 0x1d, 0xc1, 1, 2, 3, 0, 0],
        grandmaster: [0, 0x1d, 0xc1, 4, 5, 6, 0, 0],
        sender_port: 0x0102,
        grandmaster_port: 0x0506,
        subdomain: *b"_DFLT\0\0\0\0\0\0\0\0\0\0\0",
        timeline: 5,
        map: map().into(),
        path_delay_ns: 1235,
        ..Dante4l::default()
    };
    body.set_kernel_sync(Some(KernelSync::Synchronised(Duration::from_ns(10))));
    body.push(sample(1));
    body
}

fn port() -> PortRecord {
    PortRecord {
        interface: Text::new("eth1"),
        subdomain: *b"_DFLT\0\0\0\0\0\0\0\0\0\0\0",
        state: 8,
        timestamp_source: 1,
        flags: 0x0f,
        fault: 5,
        leader: LeaderRecord {
            protocol: 1,
            class: 0x99,
            accuracy: 2,
            priority1: 3,
            priority2: 4,
            domain: 5,
            preferred: 1,
            boundary_clock: 1,
            id: [0, 0x1d, 0xc1, 1, 2, 3, 0, 0],
            grandmaster: [0, 0x1d, 0xc1, 4, 5, 6, 0, 0],
            address: [169, 254, 61, 114],
            identifier: *b"DFLT",
            port_id: 0x0102,
            grandmaster_port: 0x0506,
            variance: 0x7060,
            steps_removed: 0x0304,
            utc_offset_s: 37,
            advertised_interval_log2: -3,
            reserved: [0; 5],
            sync_interval_ns: 250_000_000,
        },
        timeline: 5,
        map: map().into(),
        path_delay_ns: 1235,
        ..PortRecord::new_zeroed()
    }
}

/// docs/pages.md and files/include/dante_pages.h state these offsets, and other programs are built with them. No offset changes
/// within a major version: fields are only appended.
#[test]
fn offsets_of_the_clock_pages_are_the_documented_ones() {
    fn offsets(fields: &[(&'static str, usize, usize)]) -> Vec<(&'static str, usize)> {
        let is_named = |name: &str| !name.starts_with("reserved");
        let named = fields.iter().filter(|(name, ..)| is_named(name));
        named.map(|(name, offset, _)| (*name, HEAD_SIZE + offset)).collect()
    }
    macro_rules! at {
        ($body:ident: $($field:ident $offset:literal,)+) => {
            assert_eq!(offsets($body::FIELDS), [$((stringify!($field), $offset),)+], stringify!($body));
        };
    }
    at!(Dante4l: protocol 128, state 129, kernel_clock 130, timestamp_source 131, flags 132, timescale 136, utc_offset_s 138,
        domain 140, sender 144, grandmaster 152, sender_port 160, grandmaster_port 162, subdomain 168, timeline 184,
        map 192, path_delay_ns 248, kernel_max_error_ns 256, samples 264, ring 384,);
    at!(Dante2sys: state 128, clock 129, utc_source 130, leap 131, flags 132, frequency 136, key_instance 144,
        key_number 152, piece 160, next 200, next_from_dante_ns 240, leap_seconds 248, utc_bound_ns 256,);
    at!(Danteshm: state 128, epoch_source 129, waiting 130, epoch_ns 136, key_instance 144, key_number 152,
        last_sample_raw_ns 160,);
    assert_eq!((Dante4l::SIZE, Dante2sys::SIZE, Danteshm::SIZE), (3976, 272, 176));
    assert_eq!(Dante4l::ARRAY, Some(Array { offset: 384, stride: 56, entries: 64 }));
    let heads = [Head::Magic, Head::Life, Head::Sequence, Head::Array, Head::Entries];
    assert_eq!(heads.map(Head::offset), [0, 24, 56, 64, 72]);
}

/// If this test fails, a layout has changed. For a status page: raise its VERSION, then put the new numbers here. For a clock page:
/// only appended fields are allowed, and the hash is then that of a longer page.
#[test]
fn layouts_do_not_change_by_a_byte() {
    let mut observer = Dante4lStatus { selected: 0, port_count: 1, ..Dante4lStatus::default() };
    observer.set_kernel_sync(Some(KernelSync::Synchronised(Duration::from_ns(10))));
    observer.ports[0] = port();
    observer.ports[0].uuid = [2, 0, 0, 7, 8, 9];
    observer.ports[0].port_id = 1;
    observer.ports[0].foreign_leaders[7] =
        ForeignLeaderRecord { leader: port().leader, last_sync_raw_ns: 12, qualified: 1, defect: 3 };
    observer.ports[0].diagnostics[22] = DiagnosticRecord { seen_raw_ns: 13, what: [14; 16] };
    (observer.is_auto, observer.candidate_count) = (1, 16);
    observer.candidates[15] = CandidateRecord {
        interface: Text::new("eth1"),
        role: 2,
        passed_over: 3,
        fault: 4,
        state: 5,
        kind: 6,
        leader: port().leader,
        difference_ns: 7,
        rate_difference: 8e-9,
        diagnostic: DiagnosticRecord { seen_raw_ns: 9, what: [10; 16] },
    };
    let piece = |origin| PieceRecord { origin, serial: 8, dante0_ns: 9, utc0_ns: 10, slope: -11 };
    let steered = Dante2sys {
        state: 2,
        clock: 1,
        utc_source: 1,
        leap: 1,
        flags: 0x0f,
        frequency: 1e-6,
        key_instance: 5,
        key_number: 6,
        piece: piece(7),
        next: piece(12),
        next_from_dante_ns: 13,
        leap_seconds: -14,
        reserved: 0,
        utc_bound_ns: 15,
    };
    let steerer = Dante2sysStatus {
        state: 2,
        clock: 1,
        utc_source: 1,
        flags: 0x3f,
        policy: 1,
        rtc: 1,
        leap: 1,
        agreeing: 3,
        frequency: 1e-6,
        rate_error: 2e-9,
        phase_error_ns: -3,
        epoch_ns: 4,
        key_instance: 5,
        key_number: 6,
        line: LineRecord { raw0_ns: 7, real0_ns: 8, rate: 9e-6 },
        corrections: 10,
        phase_sigma_ns: 11,
        rate_sigma: 12e-9,
        slew: 13e-6,
        utc: UtcRecord {
            error_ns: -14,
            sigma_ns: 15,
            bound_ns: 16,
            measured_raw_ns: 17,
            leader_rate: 18e-6,
            leader_rate_sigma: 19e-9,
        },
        interval_ns: 20,
        utc_steps: 21,
        disturbances: 22,
        rtc_written_ns: 23,
    };
    let relayed = Danteshm {
        state: 1,
        epoch_source: 2,
        waiting: 3,
        reserved: [0; 5],
        epoch_ns: 5,
        key_instance: 6,
        key_number: 7,
        last_sample_raw_ns: 8,
    };
    let mut relay = DanteshmStatus {
        state: 1,
        epoch_source: 2,
        waiting: 3,
        output_count: 4,
        epoch_ns: 5,
        key_instance: 6,
        key_number: 7,
        last_sample_raw_ns: 8,
        ..DanteshmStatus::default()
    };
    relay.outputs[0] = OutputRecord {
        kind: 2,
        ready: 1,
        delivery: 2,
        reserved: 0,
        unit: 2,
        clients: 3,
        samples: 4,
        lost: 5,
        last_sample_raw_ns: 6,
        last_read_raw_ns: 7,
        recreated: 8,
        rejected: 9,
        path: SocketPath::new("/run/chrony.dante.sock"),
    };
    fn fingerprint<B: Body>(body: &B) -> (u32, u32, usize, u64) {
        (B::KIND, B::VERSION, B::SIZE, hash(body.as_bytes()))
    }
    let clocks = [fingerprint(&clock()), fingerprint(&steered), fingerprint(&relayed)];
    assert_eq!(
        clocks,
        [
            (1, 1, 3976, 0xdec7_fba4_0eae_7401),
            (2, 1, 272, 0x491c_edad_1a8c_ddee),
            (3, 1, 176, 0x987b_aec9_618f_262d)
        ]
    );
    let statuses = [fingerprint(&observer), fingerprint(&steerer), fingerprint(&relay)];
    assert_eq!(
        statuses,
        [
            (17, 10, 7344, 0x1951_6f41_de7e_69eb),
            (18, 3, 328, 0x0e46_aeac_d78b_adc1),
            (19, 4, 1584, 0x8d28_d44a_eab6_fa60)
        ]
    );
    let kinds: std::collections::BTreeSet<u32> = clocks.iter().chain(&statuses).map(|it| it.0).collect();
    assert_eq!(kinds.len(), 6, "no two pages have the same kind");
    assert_eq!((MAGIC.to_ne_bytes(), HEAD_WORDS), (*b"D4L_PAGE", 16));
    assert_eq!(layout_word::<Dante2sysStatus>(), 18 << 32 | 3);
}

/// The page of a version with `more` bytes of fields before the ring, a ring of `entries` entries, and entries that are `wider`
/// bytes longer.
fn of_another_version(body: &Dante4l, more: isize, entries: usize, wider: usize) -> (Vec<u8>, Shape) {
    let own = body.as_bytes();
    let fields = offset_of!(Dante4l, ring);
    let offset = fields.checked_add_signed(more).unwrap();
    let stride = size_of::<SampleRecord>() + wider;
    let mut bytes = vec![0xee; offset + entries * stride];
    bytes[..fields.min(offset)].copy_from_slice(&own[..fields.min(offset)]);
    for record in body.samples_after(0) {
        let at = offset + (usize::try_from(record.number).unwrap() - 1) % entries * stride;
        bytes[at..at + size_of::<SampleRecord>()].copy_from_slice(record.as_bytes());
    }
    let array = Array { offset: HEAD_SIZE + offset, stride, entries };
    let size = HEAD_SIZE + bytes.len() + TAIL_SIZE;
    (bytes, Shape { size, array: Some(array) })
}

#[test]
fn known_fields_of_a_longer_clock_page_are_read() {
    let mut body = clock();
    (2..=100).for_each(|number| body.push(sample(number)));
    for (more, entries, wider) in [(0, RING, 0), (8, RING, 0), (80, RING, 16), (0, 128, 8), (24, 16, 8)] {
        let (bytes, shape) = of_another_version(&body, more, entries, wider);
        assert_eq!(Shape::of_words(shape.words()), Some(shape));
        let read = Dante4l::of_shape(&bytes, shape);
        let numbers = |body: &Dante4l| body.samples_after(0).map(|it| it.number).collect::<Vec<_>>();
        let held = entries.min(RING);
        assert_eq!(numbers(&read), numbers(&body)[RING - held..], "{more} {entries} {wider}");
        let (ring, samples) = (body.ring, body.samples);
        assert_eq!(Dante4l { ring, samples, ..read }, body, "{more} {entries} {wider}");
    }
}

#[test]
fn fields_that_a_shorter_clock_page_lacks_are_zero() {
    let body = clock();
    // A version without path delay, kernel clock and count of samples.
    let (bytes, shape) = of_another_version(&body, -24 - 112, RING, 0);
    let read = Dante4l::of_shape(&bytes, shape);
    assert_eq!((read.map(), read.timeline, read.samples, read.path_delay_ns), (body.map(), 5, 0, 0));
    let steered = Dante2sys { leap_seconds: 7, utc_bound_ns: 5, ..Dante2sys::default() };
    let size = HEAD_SIZE + offset_of!(Dante2sys, utc_bound_ns) + TAIL_SIZE;
    let read = Dante2sys::of_shape(steered.as_bytes(), Shape { size, array: None });
    assert_eq!((read.leap_seconds, read.utc_bound_ns), (7, 0));
}

#[test]
fn inconsistent_sizes_are_rejected() {
    let word = |offset: u64, stride: u64| stride << 32 | offset;
    for (words, is_accepted) in [
        ([4376, word(272, 64), 64], true),
        ([264, 0, 0], true),
        ([265, 0, 0], false),
        ([128, 0, 0], false),
        ([MAX_SIZE as u64 + 8, 0, 0], false),
        ([4368, word(272, 64), 64], false),
        ([4376, word(64, 64), 4], false),
        ([4376, word(272, 0), 64], false),
        ([4376, word(272, 64), u64::MAX], false),
        ([u64::MAX, word(u32::MAX.into(), u32::MAX.into()), 3], false),
    ] {
        assert_eq!(Shape::of_words(words).is_some(), is_accepted, "{words:?}");
    }
    // A ring without entries has no samples, whatever count the page states.
    let shape = Shape::of_words([4376, word(272, 64), 0]).unwrap();
    let read = Dante4l::of_shape(clock().as_bytes(), shape);
    assert_eq!(read.ring, Dante4l::default().ring);
}

#[test]
fn values_written_to_a_page_are_read_back() {
    let record = port();
    assert_eq!(record.map(), Some(map()));
    assert_eq!(record.state(), Some(State::Slave));
    assert_eq!(record.path_delay(), Some(Duration::from_ns(1235)));
    let body = clock();
    assert_eq!((body.map(), body.path_delay()), (Some(map()), Some(Duration::from_ns(1235))));
    assert_eq!((body.sender(), body.subdomain()), (Some(port().leader.identity()), Subdomain::DFLT));
    let without = Dante4l { flags: 0, ..body };
    assert_eq!((without.map(), without.path_delay(), without.sender()), (None, None, None));
    let mut page = Dante4l::default();
    assert_eq!(page.kernel_sync(), None);
    for kernel_sync in [KernelSync::Unsynchronised, KernelSync::Synchronised(Duration::from_us(7))] {
        page.set_kernel_sync(Some(kernel_sync));
        assert_eq!(page.kernel_sync(), Some(kernel_sync));
    }
    let without = PortRecord { flags: 0, ..record };
    assert_eq!((without.map(), without.path_delay(), without.last_sample()), (None, None, None));
    assert!(without.leader().is_none());
}

#[test]
fn diagnostics_of_all_kinds_are_read_back() {
    let leader = PortIdentity { technology: 1, uuid: Uuid([0, 0x1d, 0xc1, 7, 8, 9]), port_id: 0x0203 };
    let address = Ipv4Addr::new(169, 254, 1, 2);
    let all = [
        Diagnostic::OnlyPtpV2,
        Diagnostic::OtherSubdomain(Subdomain(*b"_ALT4\0\0\0\0\0\0\0\0\0\0\x01")),
        Diagnostic::NoFollowUp,
        Diagnostic::NoSync,
        Diagnostic::NoTimestamps,
        Diagnostic::ClockDisturbed,
        Diagnostic::OnlyOwn,
        Diagnostic::WrongLength,
        Diagnostic::UnknownVersion(0x0405),
        Diagnostic::NotPermitted(leader, address),
        Diagnostic::NoTransmitTimestamps,
        Diagnostic::NoDelayResp,
        Diagnostic::Dropped,
        Diagnostic::SecondAddress(leader, address),
        Diagnostic::Contradicting(leader),
        Diagnostic::TooManyLeaders,
        Diagnostic::Scattering(58),
        Diagnostic::PathDrift(0x0607),
        Diagnostic::PassedOver(leader, address, Defect::Absurd),
        Diagnostic::Interval(leader, address, SyncInterval::from_log2(-2), SyncInterval::from_log2(1)),
        Diagnostic::OwnHost(leader, address),
        Diagnostic::Unicast(leader, address),
        Diagnostic::OneNetwork(leader, address),
    ];
    assert_eq!(all.map(Diagnostic::kind), std::array::from_fn::<_, { Diagnostic::KINDS }, _>(|kind| kind));
    let mut record = port();
    for (diagnostic, n) in all.into_iter().zip(1..) {
        record.diagnostics[diagnostic.kind()] = DiagnosticRecord::of(diagnostic, Timestamp::from_ns(n));
    }
    let read: Vec<(Diagnostic, i64)> =
        record.diagnostics().map(|(diagnostic, at)| (diagnostic, at.ns())).collect();
    assert_eq!(read, all.into_iter().zip(1..).collect::<Vec<_>>());
    assert_eq!(port().diagnostics().count(), 0, "a condition that was never true is not read");
}

#[test]
fn count_of_foreign_leaders_is_limited_to_the_array() {
    let mut record = port();
    assert_eq!(record.foreign_leaders().len(), 0);
    record.foreign_leader_count = 2;
    assert_eq!(record.foreign_leaders().len(), 2);
    record.foreign_leader_count = u32::MAX;
    assert_eq!(record.foreign_leaders().len(), MAX_LEADERS);
    let defects = [0, 1, 2, 3, 4, 256 + 1]
        .map(|defect| ForeignLeaderRecord { defect, ..record.foreign_leaders[0] }.defect());
    let known = [Defect::NoFollowUp, Defect::NoTimestamp, Defect::Absurd].map(Some);
    assert_eq!(defects, [None, known[0], known[1], known[2], None, None]);
    assert_eq!(record.identity(), None, "a port without sockets has no identity");
}

#[test]
fn rejects_map_that_is_not_finite_and_limits_indices_to_the_page() {
    let mut record = port();
    for rate in [f64::NAN, f64::INFINITY] {
        record.map.rate = rate;
        assert_eq!(record.map(), None);
    }
    let body = Dante4lStatus { selected: 99, port_count: u32::MAX, ..Dante4lStatus::default() };
    assert_eq!((body.ports().len(), body.selected().is_none()), (MAX_PORTS, true));
    // With a state that this version does not know, CLOCK_LOCKED decides.
    let later = Dante4l { state: 99, flags: CLOCK_LOCKED | CLOCK_HAS_MAP, ..clock() };
    assert_eq!((State::from_number(later.state), later.track(1).live_map().copied()), (None, Some(map())));
    let relay = DanteshmStatus { output_count: u32::MAX, ..DanteshmStatus::default() };
    assert_eq!(relay.outputs().len(), MAX_OUTPUTS);
    let beyond = Dante4l { samples: u64::MAX, ring: [sample(1); RING], ..Dante4l::default() };
    assert_eq!(beyond.samples_after(0).count(), RING);
}

#[test]
fn ring_keeps_the_last_samples_and_returns_each_once() {
    let mut body = Dante4l::default();
    let numbers =
        |body: &Dante4l, seen| body.samples_after(seen).map(|record| record.number).collect::<Vec<_>>();
    for number in 1..=3 {
        body.push(SampleRecord { number, ..SampleRecord::new_zeroed() });
    }
    assert_eq!((numbers(&body, 0), numbers(&body, 2), numbers(&body, 3)), (vec![1, 2, 3], vec![3], vec![]));
    for number in 4..=100 {
        body.push(SampleRecord { number, ..SampleRecord::new_zeroed() });
    }
    assert_eq!(
        numbers(&body, 3),
        (37..=100).collect::<Vec<_>>(),
        "only samples that the ring does not hold any more are lost"
    );
}

#[test]
fn freshness_follows_from_life_and_heartbeat() {
    let at = Timestamp::from_ns;
    assert_eq!(Freshness::judge(Life::Live, at(5), at(5)), Freshness::Fresh);
    assert_eq!(Freshness::judge(Life::Live, at(5), at(6)), Freshness::Stale);
    assert_eq!(Freshness::judge(Life::Stopped, at(5), at(1)), Freshness::Stopped);
    assert_eq!(Freshness::judge(Life::Replaced, at(5), at(1)), Freshness::Absent);
    for life in [Life::BeingMade, Life::Live, Life::Stopped, Life::Replaced] {
        assert_eq!(Life::of_word(life.word(77)), life);
    }
}

#[test]
fn text_is_cut_at_sixteen_bytes_and_control_characters_are_escaped() {
    assert_eq!(Text::new("eth0").to_string(), "eth0");
    assert_eq!(Text::new(&"0123456789abcdef".repeat(9)).to_string(), "0123456789abcdef".repeat(8));
    assert_eq!(Text::new("a\x1bb").to_string(), "a\\x1bb");
}

mod seqlock {
    use super::super::seqlock::Word;
    use super::super::{Torn, Words};
    use loom::sync::{Arc, atomic as model};
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::Instant;

    #[test]
    fn body_of_a_writer_that_died_while_writing_is_torn_until_the_next_write() {
        let sequence = AtomicU64::new(0);
        let words = [const { AtomicU64::new(0) }; 4];
        let tail = AtomicU64::new(0);
        let page = Words::new(&sequence, &words, &tail, 5);
        page.store(page.sequence(), &[7; 32]);
        sequence.fetch_add(1, Ordering::Relaxed);
        let mut read = [0; 32];
        assert_eq!(page.load(&mut read), Err(Torn));
        page.store(page.sequence(), &[9; 32]);
        assert_eq!((page.load(&mut read), read), (Ok(page.sequence()), [9; 32]));
        assert_eq!(sequence.load(Ordering::Relaxed) % 2, 0);
    }

    /// Simulates a file that is truncated and extended again between two publications.
    #[test]
    fn body_with_zeros_from_some_word_to_the_end_is_torn() {
        for place in 0..=20 {
            let sequence = AtomicU64::new(0);
            let words = [const { AtomicU64::new(0) }; 20];
            let tail = AtomicU64::new(0);
            let page = Words::new(&sequence, &words, &tail, 5);
            let number = page.store(page.sequence(), &[7; 160]);
            // No memory order holds between the zeros and concurrent writes: a reader may see only a part of the zeros.
            words.iter().skip(place).take(3).for_each(|word| word.store(0, Ordering::Relaxed));
            assert_eq!(page.load(&mut [0; 160]).is_ok(), place == 20, "words {place} to {}", place + 2);
            words.iter().skip(place).chain([&tail]).for_each(|word| word.store(0, Ordering::Relaxed));
            assert_eq!(page.load(&mut [0; 160]), Err(Torn), "from word {place} on");
            sequence.store(0, Ordering::Relaxed);
            assert_eq!(page.load(&mut [0; 160]), Err(Torn), "from word {place} on, and the sequence");
            page.store(number, &[8; 160]);
            assert!(page.load(&mut [0; 160]).is_ok());
        }
    }

    #[test]
    fn reader_of_a_busy_writer_never_gets_a_torn_body() {
        let sequence = AtomicU64::new(0);
        let words = [const { AtomicU64::new(0) }; 16];
        let tail = AtomicU64::new(0);
        let page = Words::new(&sequence, &words, &tail, 5);
        let done = AtomicBool::new(false);
        let (mut loads, mut values, mut torn) = (0, BTreeSet::new(), None);
        let limit = Instant::now() + std::time::Duration::from_secs(20);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let numbers = (0..=u8::MAX).cycle().take_while(|_| !done.load(Ordering::Relaxed));
                numbers.fold(0, |sequence, number| page.store(sequence, &[number; 128]))
            });
            while torn.is_none() && (loads < 20_000 || values.len() < 10) && Instant::now() < limit {
                let mut read = [0; 128];
                if page.load(&mut read).is_ok() {
                    loads += 1;
                    values.insert(read[0]);
                    torn = read.iter().any(|byte| *byte != read[0]).then_some(read);
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(torn, None);
        assert!(loads >= 20_000 && values.len() >= 10, "{loads} loads of {} values", values.len());
    }

    impl Word for model::AtomicU64 {
        fn load(&self) -> u64 {
            self.load(Ordering::Relaxed)
        }

        fn store(&self, value: u64, ordering: Ordering) {
            self.store(value, ordering);
        }

        fn fence(ordering: Ordering) {
            model::fence(ordering);
        }

        fn pause() {
            loom::thread::yield_now();
        }
    }

    /// Tries every interleaving that the memory model allows.
    #[test]
    fn no_interleaving_gives_a_torn_body() {
        /// Whether some interleaving gave nothing, the first body, the second body.
        static SEEN: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];
        loom::model(|| {
            let word = || model::AtomicU64::new(0);
            let memory = Arc::new((word(), [word(), word()], word()));
            let writers = Arc::clone(&memory);
            let writer = loom::thread::spawn(move || {
                let page = Words::new(&writers.0, &writers.1, &writers.2, 5);
                let sequence = page.store(0, &[1; 16]);
                page.store(sequence, &[2; 16]);
            });
            let page = Words::new(&memory.0, &memory.1, &memory.2, 5);
            let mut read = [0; 16];
            let result = match page.try_load(&mut read) {
                None => 0,
                Some(_) if read == [1; 16] => 1,
                Some(_) if read == [2; 16] => 2,
                Some(_) => panic!("torn: {read:?}"),
            };
            SEEN[result].store(true, Ordering::Relaxed);
            writer.join().unwrap();
        });
        assert!(SEEN.iter().all(|seen| seen.load(Ordering::Relaxed)), "{SEEN:?}");
    }
}
