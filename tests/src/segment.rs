//! The NTP SHM segment, read in two ways: by the suite's own reader in another program, and byte by byte from danteshm's
//! memory, in the layout of `struct shmTime` in refclock_shm.c of ntpd and chrony.

use crate::program::Program;
use dante_core::time::{Raw, Real, Timestamp};
use serde_json::Value;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Fields of the segment in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields {
    /// 1: a reader compares `count` before and after.
    pub mode: i32,
    /// Rises by two with each sample.
    pub count: i32,
    /// Time of the reference: s, us, ns.
    pub clock: (i64, i32, u32),
    /// Time of the system clock: s, us, ns.
    pub receive: (i64, i32, u32),
    /// 0: no leap second.
    pub leap: i32,
    /// Log2 of seconds.
    pub precision: i32,
    /// 1: there is a sample.
    pub valid: i32,
}

impl Fields {
    /// Reads them from the memory of a process that has the segment of `unit` attached.
    ///
    /// # Panics
    /// If it has not.
    pub fn of_process(pid: u32, unit: u32) -> Self {
        let start = address(pid, unit).expect("the segment in its memory");
        let memory = File::open(format!("/proc/{pid}/mem")).expect("the memory of a process");
        // Two equal reads with an even count: the segment was not being written.
        let read = || {
            let mut bytes = [0; 96];
            memory.read_exact_at(&mut bytes, start).expect("96 bytes");
            Self::of_bytes(&bytes)
        };
        crate::wait_for("two equal reads of the segment", crate::EVENT_TIMEOUT, || {
            let first = read();
            (first == read() && first.count % 2 == 0).then_some(first)
        })
    }

    fn of_bytes(bytes: &[u8; 96]) -> Self {
        let four = |at: usize| -> [u8; 4] { bytes[at..at + 4].try_into().expect("4 bytes") };
        let eight = |at: usize| i64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let int = |at| i32::from_ne_bytes(four(at));
        let unsigned = |at| u32::from_ne_bytes(four(at));
        Self {
            mode: int(0),
            count: int(4),
            clock: (eight(8), int(16), unsigned(52)),
            receive: (eight(24), int(32), unsigned(56)),
            leap: int(36),
            precision: int(40),
            valid: int(48),
        }
    }
}

/// Address of the segment of `unit` in a process that has it attached, in whatever IPC namespace it is.
pub fn address(pid: u32, unit: u32) -> Option<u64> {
    /// "NTP0"
    const KEY: u32 = 0x4e54_5030;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let name = format!("/SYSV{:08x}", KEY + unit);
    let line = maps.lines().find(|line| line.contains(&name))?;
    u64::from_str_radix(line.split('-').next()?, 16).ok()
}

/// One sample, read by `shm-reader`, and both clocks when it was read.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// The segment's count.
    pub count: i64,
    /// Time of the reference.
    pub reference: Timestamp<Real>,
    /// CLOCK_REALTIME of the same instant.
    pub received: Timestamp<Real>,
    /// CLOCK_MONOTONIC_RAW of the same instant.
    pub raw: Timestamp<Raw>,
}

/// Returns the samples that `shm-reader` has printed.
///
/// # Panics
/// If a line is no JSON.
pub fn seen(reader: &Program) -> Vec<Seen> {
    let output = reader.output();
    // The last line may be incomplete.
    let whole = output.rfind('\n').map_or("", |end| &output[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .map(of_json)
        .collect()
}

fn of_json(line: Value) -> Seen {
    let ns = |key: &str| line[key].as_i64().unwrap_or_else(|| panic!("no {key} in {line}"));
    let received = Timestamp::from_ns(ns("received_ns"));
    // Over the few ms since then the two clocks diverge by 0.1 ns per 100 us and ppm.
    let since = Timestamp::<Real>::from_ns(ns("real_ns")) - received;
    Seen {
        count: ns("count"),
        reference: Timestamp::from_ns(ns("reference_ns")),
        received,
        raw: Timestamp::from_ns(ns("raw_ns")) - since,
    }
}
