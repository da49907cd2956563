//! What is put on the page.

use crate::date::DateSource;
use crate::hands::Hands;
use crate::rtc::RtcKeeper;
use dante_core::page::{
    Dante2sys, STEER_DATE_GOOD, STEER_DATE_LEFT, STEER_HAS_DATE, STEER_HAS_LINE, STEER_HAS_PHASE,
};
use dante_core::steer::{State, Steerer};
use dante_core::time::Reading;

pub fn body(
    steerer: &Steerer,
    hands: &Hands,
    source: &DateSource,
    rtc: &RtcKeeper,
    now: &Reading,
) -> Dante2sys {
    let date = steerer.date();
    let mut body = Dante2sys {
        state: steerer.state() as u8,
        clock: hands.kind() as u8,
        utc_source: source.kind() as u8,
        policy: date.rules().policy as u8,
        rtc: rtc.mode() as u8,
        leap: date.leap() as u8,
        agreeing: source.agreeing(),
        frequency: steerer.frequency().fraction(),
        corrections: steerer.corrections(),
        slew: date.slew().fraction(),
        interval_ns: source.interval().ns(),
        date_steps: steerer.date_steps(),
        disturbances: steerer.disturbances(),
        rtc_written_ns: rtc.written().map_or(0, |written| written.ns()),
        ..Dante2sys::default()
    };
    if let Some(scale) = steerer.timescale() {
        let sigma = scale.map().uncertainty_at(now.raw);
        body.set_timescale(scale);
        body.rate_error = steerer.rate_error().unwrap_or_default().fraction();
        body.phase_sigma_ns = sigma.offset.ns();
        body.rate_sigma = sigma.rate.fraction();
    }
    if let Some(error) = steerer.phase_error() {
        body.flags |= STEER_HAS_PHASE;
        body.phase_error_ns = error.ns();
    }
    if let Some(line) = hands.clock().line() {
        body.flags |= STEER_HAS_LINE;
        body.line = line.into();
    }
    if let Some(error) = steerer.date_error(now) {
        body.flags |= STEER_HAS_DATE;
        body.date = error.into();
    }
    if hands.is_good() && !matches!(steerer.state(), State::Yielded | State::Refused) {
        body.flags |= STEER_DATE_GOOD;
    }
    if date.is_left() {
        body.flags |= STEER_DATE_LEFT;
    }
    body
}
