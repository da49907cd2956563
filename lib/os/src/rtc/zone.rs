//! The system's time zone.

use dante_core::time::Civil;

/// By what local time is ahead of UTC then, s.
pub(super) fn local_offset(seconds: i64) -> Option<i64> {
    // localtime_r need not read the zone by itself (POSIX), and TZ may have changed since.
    read_zone();
    // SAFETY: tm is made of integers and a pointer, for which zero is a value.
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to variables that live through the call, which keeps neither.
    let done = unsafe { libc::localtime_r(&raw const seconds, &raw mut local) };
    (!done.is_null()).then_some(local.tm_gmtoff)
}

/// Seconds after 1970-01-01 UTC of a date in local time. Where the clocks go forward and it does not exist, an hour off;
/// where they go back and it is twice, one of the two.
pub(super) fn of_local(date: &Civil) -> Option<i64> {
    let shown = date.seconds()?;
    // The offset is that of the time looked for: near a change the first guess may be of the other side.
    let guess = shown - local_offset(shown)?;
    Some(shown - local_offset(guess)?)
}

fn read_zone() {
    unsafe extern "C" {
        fn tzset();
    }
    // SAFETY: tzset reads the environment, which nothing in the suite changes after its start.
    unsafe { tzset() };
}
