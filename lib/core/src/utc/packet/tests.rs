use super::*;
use proptest::prelude::*;

const RANDOM: u64 = 0x0123_4567_89ab_cdef;
const REQUEST: Request = Request::new(RANDOM);
/// 2026-11-30 10:00:00 UTC in s since 1900, and since 1970.
const NOW_S: u64 = 4_005_021_600;
const NOW_NS: i64 = 1_796_032_800 * 1_000_000_000;
const SENT: Timestamp<Raw> = Timestamp::from_ns(5_000_000_000);

/// A reply of a server of stratum 2, byte by byte as in figure 8 of RFC 5905. It processed the request for 250 ms.
fn golden() -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    // Leap indicator 1, version 4, mode 4; stratum 2; poll 6; precision 2^-20 s.
    bytes[..4].copy_from_slice(&[0b01_100_100, 2, 6, 0xec]);
    // Root delay 1/64 s, root dispersion 1/32 s.
    bytes[4..12].copy_from_slice(&[0, 0, 0x04, 0, 0, 0, 0x08, 0]);
    bytes[12..16].copy_from_slice(&[192, 0, 2, 7]);
    bytes[16..24].copy_from_slice(&((NOW_S - 100) << 32).to_be_bytes());
    bytes[24..32].copy_from_slice(&[0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
    bytes[32..40].copy_from_slice(&(NOW_S << 32).to_be_bytes());
    bytes[40..48].copy_from_slice(&(NOW_S << 32 | 0x4000_0000).to_be_bytes());
    bytes
}

fn with(change: impl FnOnce(&mut [u8; LENGTH])) -> Result<Exchange, Refusal> {
    let mut bytes = golden();
    change(&mut bytes);
    let reply = REQUEST.reply(&bytes).unwrap();
    reply.exchange(SENT, SENT + Duration::from_ms(270))
}

fn put(bytes: &mut [u8; LENGTH], at: usize, timestamp: u64) {
    bytes[at..at + 8].copy_from_slice(&timestamp.to_be_bytes());
}

#[test]
fn request_contains_only_version_mode_and_random_timestamp() {
    let mut expected = [0; 48];
    expected[0] = 0x23;
    expected[40..].copy_from_slice(&[0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
    assert_eq!(REQUEST.bytes(), expected);
}

#[test]
fn reply_is_decoded_and_measured() {
    let reply = REQUEST.reply(&golden()).unwrap();
    assert_eq!((reply.server.stratum, reply.leap_indicator, reply.reference_id), (2, 1, [192, 0, 2, 7]));
    assert_eq!(reply.server.root_delay, Duration::from_ns(15_625_000));
    assert_eq!(reply.server.root_dispersion, Duration::from_ns(31_250_000));
    assert_eq!(reply.server.precision, Duration::from_ns(953));
    let exchange = reply.exchange(SENT, SENT + Duration::from_ms(270)).unwrap();
    assert_eq!(exchange.raw, SENT + Duration::from_ms(135), "the middle on CLOCK_MONOTONIC_RAW");
    assert_eq!(exchange.utc.ns(), NOW_NS + 125_000_000, "the middle of the server's timestamps");
    assert_eq!(exchange.round_trip, Duration::from_ms(20), "without the processing time");
    assert_eq!(exchange.leap, Leap::Insert);
    assert_eq!(exchange.root_distance(), Duration::from_ns(10_000_000 + 7_812_500 + 31_250_000 + 953));
    let padded = [&golden()[..], &[0xff; 20]].concat();
    assert_eq!(REQUEST.reply(&padded), Ok(reply), "a MAC and extension fields are not read");
}

#[test]
fn datagram_that_is_no_reply_to_the_request_is_ignored() {
    for length in 0..LENGTH {
        assert_eq!(REQUEST.reply(&golden()[..length]), Err(Ignored::NoReply), "{length}");
    }
    for first in 0..=u8::MAX {
        let mut bytes = golden();
        bytes[0] = first;
        let is_reply = first & 7 == 4 && [3, 4].contains(&(first >> 3 & 7));
        assert_eq!(REQUEST.reply(&bytes).is_ok(), is_reply, "{first:#010b}");
    }
    for bit in 0..64 {
        let mut bytes = golden();
        bytes[24 + bit / 8] ^= 0x80 >> (bit % 8);
        assert_eq!(REQUEST.reply(&bytes), Err(Ignored::NoMatch), "bit {bit} of the originate timestamp");
    }
}

#[test]
fn kiss_code_counts_only_in_a_reply_to_the_request() {
    let kiss = |code: &[u8; 4]| {
        let refusal = with(|bytes| {
            bytes[..2].copy_from_slice(&[0b11_100_100, 0]);
            bytes[12..16].copy_from_slice(code);
        })
        .unwrap_err();
        (refusal.answer(), refusal.to_string())
    };
    use crate::utc::Answer;
    assert_eq!(kiss(b"RATE"), (Answer::SlowDown, "demands fewer queries (kiss code RATE)".into()));
    assert_eq!(kiss(b"DENY"), (Answer::Denied, "denies access (kiss code DENY)".into()));
    assert_eq!(kiss(b"RSTR").0, Answer::Denied);
    for code in [b"INIT", b"STEP", b"\x1b[2J", b"\0\0\0\0"] {
        let (answer, text) = kiss(code);
        assert_eq!(answer, Answer::Nothing);
        assert!(text.starts_with("sends no time: kiss code ") && !text.contains(char::is_control), "{text}");
    }
    let mut foreign = golden();
    foreign[1] = 0;
    foreign[12..16].copy_from_slice(b"DENY");
    foreign[31] ^= 1;
    assert_eq!(REQUEST.reply(&foreign), Err(Ignored::NoMatch));
}

#[test]
fn unusable_reply_is_refused_with_its_reason() {
    assert_eq!(with(|bytes| bytes[0] |= 0xc0), Err(Refusal::NotSynchronised));
    assert_eq!(with(|bytes| bytes[1] = 16), Err(Refusal::NotSynchronised));
    assert_eq!(with(|bytes| put(bytes, 32, 0)), Err(Refusal::NoTimestamps));
    assert_eq!(with(|bytes| put(bytes, 40, 0)), Err(Refusal::NoTimestamps));
    let late = with(|bytes| put(bytes, 40, NOW_S << 32 | 0x8000_0000));
    assert!(matches!(late, Err(Refusal::RoundTrip { .. })), "processing longer than the exchange: {late:?}");
    let early = with(|bytes| put(bytes, 40, (NOW_S - 1) << 32));
    assert!(matches!(early, Err(Refusal::RoundTrip { .. })), "left before it arrived: {early:?}");
    let ahead = with(|bytes| put(bytes, 16, (NOW_S + 9) << 32));
    assert_eq!(ahead, Err(Refusal::ReferenceAhead(Duration::from_ms(8_750))));
    let old = with(|bytes| put(bytes, 16, (NOW_S - 86_401) << 32));
    assert!(matches!(old, Err(Refusal::ReferenceOld(_))), "{old:?}");
    assert!(with(|bytes| put(bytes, 16, (NOW_S - 86_399) << 32)).is_ok());
    assert!(with(|bytes| put(bytes, 16, 0)).is_ok(), "an SNTP server that leaves it zero");
    // 10.7 s: 0x000a_b333.
    let distant = with(|bytes| bytes[8..12].copy_from_slice(&[0, 0x0a, 0xb3, 0x33]));
    assert!(matches!(distant, Err(Refusal::Distance(_))), "{distant:?}");
    let text = distant.unwrap_err().to_string();
    assert!(text.starts_with("declares that its time may be off by 10.7"), "{text}");
    // A negative root delay of NTPv3, or a field of ones.
    assert!(matches!(with(|bytes| bytes[4..8].fill(0xff)), Err(Refusal::Distance(_))));
    assert!(matches!(with(|bytes| bytes[3] = 127), Err(Refusal::Distance(_))), "a precision of 2^127 s");
}

#[test]
fn server_with_a_coarse_clock_is_accepted_within_its_precision() {
    let coarse = |precision: u8| {
        with(|bytes| {
            bytes[3] = precision;
            // 10 ms more processing time than the exchange took.
            put(bytes, 40, NOW_S << 32 | 0x47ae_147a);
        })
    };
    assert!(matches!(coarse(0xec), Err(Refusal::RoundTrip { .. })));
    assert_eq!(coarse(0xfa).unwrap().round_trip, Duration::ZERO, "2^-6 s, as Windows declares");
    let silent = with(|bytes| bytes[3..12].fill(0)).unwrap();
    assert_eq!(silent.server.error(), Duration::from_ms(5), "a server that leaves its fields zero");
}

#[test]
fn smoothed_time_is_recognised_by_its_reference_identifier() {
    assert!(!with(|_| ()).unwrap().server.is_smoothed);
    assert!(with(|bytes| bytes[12..16].copy_from_slice(&[127, 127, 1, 255])).unwrap().server.is_smoothed);
}

/// 2036-02-07 06:28:16 UTC.
const ERA_1_NS: i64 = 2_085_978_496 * 1_000_000_000;

#[test]
fn timestamps_continue_in_era_1() {
    assert_eq!(NtpTimestamp(u64::from(UNIX_EPOCH) << 32).utc().ns(), 0);
    assert_eq!(NtpTimestamp(0xffff_ffff_8000_0000).utc().ns(), ERA_1_NS - 500_000_000);
    assert_eq!(NtpTimestamp(0x8000_0000).utc().ns(), ERA_1_NS + 500_000_000);
    assert_eq!(NtpTimestamp(0x8000_0000) - NtpTimestamp(0xffff_ffff_8000_0000), Duration::from_secs(1));
    // The last second of the range: 2106-02-07.
    assert_eq!(NtpTimestamp(u64::from(UNIX_EPOCH - 1) << 32).utc().ns(), 0xffff_ffff * 1_000_000_000);
    let over = with(|bytes| {
        put(bytes, 16, 0xffff_ff00 << 32);
        put(bytes, 32, 0xffff_ffff_e000_0000);
        put(bytes, 40, 0x2000_0000);
    });
    assert_eq!(over.unwrap().utc.ns(), ERA_1_NS, "the request arrived in era 0, the reply left in era 1");
}

#[test]
fn time_before_2020_is_refused() {
    for seconds in [UNIX_EPOCH, UNIX_EPOCH + 946_684_800, UNIX_EPOCH + 1_577_836_799] {
        let refused = with(|bytes| {
            put(bytes, 16, 0);
            put(bytes, 32, u64::from(seconds) << 32);
            put(bytes, 40, u64::from(seconds) << 32 | 1);
        });
        assert_eq!(refused, Err(Refusal::Early), "{seconds}");
    }
}

proptest! {
    #[test]
    fn datagram_of_any_bytes_gives_no_panic_and_no_time_without_the_timestamp(
        mut bytes in prop::collection::vec(any::<u8>(), 0..80),
        matches in any::<bool>(),
        elapsed_ns in 0_i64..2_000_000_000,
    ) {
        if let (true, Some(first)) = (matches, bytes.first_mut()) {
            *first = *first & 0xc0 | 0x24;
        }
        prop_assert!(REQUEST.reply(&bytes).is_err());
        if let (true, Some(originate)) = (matches, bytes.get_mut(24..32)) {
            originate.copy_from_slice(&RANDOM.to_be_bytes());
        }
        if let Ok(reply) = REQUEST.reply(&bytes) {
            match reply.exchange(SENT, SENT + Duration::from_ns(elapsed_ns)) {
                Ok(exchange) => {
                    prop_assert!(exchange.utc >= EARLIEST && exchange.round_trip >= Duration::ZERO);
                    prop_assert!(exchange.root_distance() <= Duration::from_secs(3));
                }
                Err(refusal) => prop_assert!(!refusal.to_string().is_empty()),
            }
        }
    }
}
