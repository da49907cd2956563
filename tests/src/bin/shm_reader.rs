//! Prints each sample of an NTP SHM segment as a line of JSON, with both clocks when it was read: `shm-reader UNIT`. It writes
//! nothing to the segment, and runs until it is killed.
#![forbid(unsafe_code)]

use dante_os::clock::read_realtime;
use dante_os::ntpshm::NtpShmReader;
use serde_json::json;
use std::io::Write;
use std::time::Duration;

fn main() {
    let unit = std::env::args().nth(1).and_then(|word| word.parse().ok()).expect("usage: shm-reader UNIT");
    let reader = NtpShmReader::attach(unit).expect("the segment");
    let mut last = None;
    loop {
        if let Some((sample, count)) = reader.read()
            && last.replace(count) != Some(count)
        {
            let now = read_realtime();
            let line = json!({
                "count": count,
                "reference_ns": sample.reference.ns(),
                "received_ns": sample.received.ns(),
                "raw_ns": now.raw.ns(),
                "real_ns": now.real.ns(),
            });
            writeln!(std::io::stdout().lock(), "{line}").expect("stdout");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
