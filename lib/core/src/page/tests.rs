use super::*;
use crate::port::{MAX_LEADERS, Notice};
use crate::time::{Affine, ClockMap, Correlation, Ratio, Uncertainty, Wander};
use crate::track::KernelWord;
use crate::wire::{PortIdentity, Subdomain, Uuid};
use std::net::Ipv4Addr;
use zerocopy::FromZeros;

/// A hash that tells any change of any byte (FNV-1a, 64 bits).
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

fn port() -> PortRecord {
    PortRecord {
        interface: Text::new("eth1"),
        subdomain: *b"_DFLT\0\0\0\0\0\0\0\0\0\0\0",
        state: 8,
        stamp_source: 1,
        flags: 0x0f,
        leader: LeaderRecord {
            uuid: [0, 0x1d, 0xc1, 1, 2, 3],
            port_id: 0x0102,
            address: [169, 254, 61, 114],
            identifier: *b"DFLT",
            variance: 0x7060,
            steps_removed: 0x0304,
            stratum: 0x99,
            preferred: 1,
            utc_offset_s: 37,
            grandmaster: [0, 0x1d, 0xc1, 4, 5, 6],
            grandmaster_port: 0x0506,
            boundary_clock: 1,
            reserved: [0; 7],
            sync_interval_ns: 250_000_000,
        },
        timeline: 5,
        map: map().into(),
        path_delay_ns: 1235,
        ..PortRecord::new_zeroed()
    }
}

/// The layout is a contract between programs of different builds. If this test fails, a layout has changed: raise the
/// body's VERSION, then put the new figures here.
#[test]
fn layouts_are_held_byte_for_byte() {
    let mut observer = Dante4l { selected: 0, port_count: 1, ..Dante4l::default() };
    observer.set_kernel_word(Some(KernelWord::Synchronised(Duration::from_ns(10))));
    observer.ports[0] = port();
    observer.ports[0].uuid = [2, 0, 0, 7, 8, 9];
    observer.ports[0].port_id = 1;
    observer.ports[0].heard[7] = HeardRecord {
        leader: port().leader,
        since_raw_ns: 11,
        last_sync_raw_ns: 12,
        qualified: 1,
        reserved: 0,
    };
    observer.ports[0].notices[15] = NoticeRecord { seen_raw_ns: 13, what: [14; 16] };
    observer.push(SampleRecord {
        number: 1,
        timeline: 5,
        arrived_raw_ns: 6,
        arrived_real_ns: 7,
        origin_ns: 8,
        residual_ns: -9,
        accepted: 1,
        port: 0,
    });
    let steerer = Dante2sys {
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
        date: DateRecord {
            error_ns: -14,
            sigma_ns: 15,
            bound_ns: 16,
            measured_raw_ns: 17,
            leader_rate: 18e-6,
            leader_rate_sigma: 19e-9,
        },
        interval_ns: 20,
        date_steps: 21,
        disturbances: 22,
        rtc_written_ns: 23,
    };
    let mut relay = Danteshm {
        state: 1,
        epoch_source: 2,
        waiting: 3,
        output_count: 4,
        epoch_ns: 5,
        key_instance: 6,
        key_number: 7,
        last_told_raw_ns: 8,
        ..Danteshm::default()
    };
    relay.outputs[0] = OutputRecord {
        kind: 2,
        ready: 1,
        reserved: 0,
        unit: 2,
        clients: 3,
        samples: 4,
        lost: 5,
        last_sample_raw_ns: 6,
        path: SocketPath::new("/run/chrony.dante.sock"),
    };
    let figures = [
        (Dante4l::VERSION, Dante4l::SIZE, hash(observer.as_bytes())),
        (Dante2sys::VERSION, Dante2sys::SIZE, hash(steerer.as_bytes())),
        (Danteshm::VERSION, Danteshm::SIZE, hash(relay.as_bytes())),
    ];
    let held =
        [(4, 6560, 0x4fc2_b6dd_8de1_c8af), (2, 256, 0x0e46_aeac_d78b_adc1), (2, 1320, 0x0632_119f_5eb1_5b6c)];
    assert_eq!(figures, held);
    assert_eq!((MAGIC.to_ne_bytes(), HEAD_WORDS), (*b"D4L_PAGE", 8));
    assert_eq!(
        [layout_word::<Dante4l>(), layout_word::<Dante2sys>(), layout_word::<Danteshm>()],
        [1 << 32 | 4, 2 << 32 | 2, 3 << 32 | 2]
    );
}

#[test]
fn what_is_put_on_a_page_is_read_from_it() {
    let record = port();
    assert_eq!(record.map(), Some(map()));
    assert_eq!(record.state(), Some(crate::port::State::Slave));
    assert_eq!(record.path_delay(), Some(Duration::from_ns(1235)));
    let mut page = Dante4l::default();
    assert_eq!(page.kernel_word(), None);
    for word in [KernelWord::Unsynchronised, KernelWord::Synchronised(Duration::from_us(7))] {
        page.set_kernel_word(Some(word));
        assert_eq!(page.kernel_word(), Some(word));
    }
    let without = PortRecord { flags: 0, ..record };
    assert_eq!((without.map(), without.path_delay(), without.last_sample()), (None, None, None));
    assert!(without.leader().is_none());
}

#[test]
fn every_notice_is_read_as_it_was_put() {
    let leader = PortIdentity { technology: 1, uuid: Uuid([0, 0x1d, 0xc1, 7, 8, 9]), port_id: 0x0203 };
    let address = Ipv4Addr::new(169, 254, 1, 2);
    let all = [
        Notice::OnlyPtpV2,
        Notice::OtherSubdomain(Subdomain(*b"_ALT4\0\0\0\0\0\0\0\0\0\0\x01")),
        Notice::NoFollowUp,
        Notice::NoSync,
        Notice::NoStamps,
        Notice::ClockDisturbed,
        Notice::OnlyOwn,
        Notice::WrongLength,
        Notice::UnknownVersion(0x0405),
        Notice::NotPermitted(leader, address),
        Notice::NoTransmitStamps,
        Notice::NoDelayResp,
        Notice::Dropped,
        Notice::SecondAddress(leader, address),
        Notice::Contradicting(leader),
        Notice::TooManyLeaders,
    ];
    assert_eq!(all.map(Notice::kind), std::array::from_fn::<_, { Notice::KINDS }, _>(|kind| kind));
    let mut record = port();
    for (notice, n) in all.into_iter().zip(1..) {
        record.notices[notice.kind()] = NoticeRecord::of(notice, Timestamp::from_ns(n));
    }
    let read: Vec<(Notice, i64)> = record.notices().map(|(notice, at)| (notice, at.ns())).collect();
    assert_eq!(read, all.into_iter().zip(1..).collect::<Vec<_>>());
    assert_eq!(port().notices().count(), 0, "what never was is not read");
}

#[test]
fn leaders_that_are_heard_are_read_as_far_as_they_are_counted() {
    let mut record = port();
    assert_eq!(record.heard().len(), 0);
    record.heard_count = 2;
    assert_eq!(record.heard().len(), 2);
    record.heard_count = u32::MAX;
    assert_eq!(record.heard().len(), MAX_LEADERS);
    assert_eq!(record.identity(), None, "a port without sockets is nobody yet");
}

#[test]
fn numbers_that_are_none_make_no_map_and_indices_beyond_the_page_no_panic() {
    let mut record = port();
    for spoil in [f64::NAN, f64::INFINITY] {
        record.map.rate = spoil;
        assert_eq!(record.map(), None);
    }
    let body = Dante4l { selected: 99, port_count: u32::MAX, ..Dante4l::default() };
    assert_eq!((body.ports().len(), body.track(1)), (MAX_PORTS, None));
    let relay = Danteshm { output_count: u32::MAX, ..Danteshm::default() };
    assert_eq!(relay.outputs().len(), MAX_OUTPUTS);
    let beyond = Dante4l { samples: u64::MAX, ..Dante4l::default() };
    assert_eq!(beyond.samples_after(0).count(), RING);
}

#[test]
fn the_ring_keeps_the_last_samples_and_gives_each_once() {
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
        "what the ring no longer holds is lost, and no more"
    );
}

#[test]
fn freshness_is_judged_by_life_and_heartbeat() {
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
fn text_is_cut_at_sixteen_bytes_and_shown_without_control_characters() {
    assert_eq!(Text::new("eth0").to_string(), "eth0");
    assert_eq!(Text::new("0123456789abcdefg").to_string(), "0123456789abcdef");
    assert_eq!(Text::new("a\x1bb").to_string(), "a\\x1bb");
}

mod seqlock {
    use super::super::seqlock::Word;
    use super::super::{Torn, Words};
    use loom::sync::{Arc, atomic as model};
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn a_writer_that_died_in_the_middle_is_told_and_made_good_by_the_next() {
        let sequence = AtomicU64::new(0);
        let words = [const { AtomicU64::new(0) }; 4];
        let page = Words::new(&sequence, &words);
        page.store(&[7; 32]);
        sequence.fetch_add(1, Ordering::Relaxed);
        let mut read = [0; 32];
        assert_eq!(page.load(&mut read), Err(Torn));
        page.store(&[9; 32]);
        assert_eq!((page.load(&mut read), read), (Ok(()), [9; 32]));
        assert_eq!(sequence.load(Ordering::Relaxed) % 2, 0);
    }

    #[test]
    fn a_reader_beside_a_busy_writer_never_sees_a_torn_body() {
        let sequence = AtomicU64::new(0);
        let words = [const { AtomicU64::new(0) }; 16];
        let page = Words::new(&sequence, &words);
        std::thread::scope(|scope| {
            scope.spawn(|| (0..200_000u32).for_each(|n| page.store(&[n.to_le_bytes()[0]; 128])));
            for _ in 0..20_000 {
                let mut read = [0; 128];
                if page.load(&mut read).is_ok() {
                    assert!(read.iter().all(|byte| *byte == read[0]), "{read:?}");
                }
            }
        });
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

    /// Every interleaving that the memory model allows.
    #[test]
    fn no_interleaving_gives_a_torn_body() {
        loom::model(|| {
            let word = || model::AtomicU64::new(0);
            let memory = Arc::new((word(), [word(), word()]));
            let writers = Arc::clone(&memory);
            let writer = loom::thread::spawn(move || {
                let page = Words::new(&writers.0, &writers.1);
                page.store(&[1; 16]);
                page.store(&[2; 16]);
            });
            let page = Words::new(&memory.0, &memory.1);
            let mut read = [0; 16];
            if page.try_load(&mut read) {
                assert!(read == [0; 16] || read == [1; 16] || read == [2; 16], "{read:?}");
            }
            writer.join().unwrap();
        });
    }
}
