//! What danteshm tells: what it does, and where its samples go.

use super::secs;
use crate::metrics::sheet::{Labels, NUMBER, SECONDS, Sheet, each_of, gauges};
use crate::shown::Word;
use dante_core::page::{Danteshm, OutputRecord};
use dante_core::relay;
use dante_core::time::{Raw, Timestamp};

pub fn tell(sheet: &mut Sheet, body: &Danteshm, now: Timestamp<Raw>) {
    sheet.states(
        "dante_relay_state",
        "1 for the state that danteshm is in; FEEDING: chrony is told",
        &relay::State::ALL,
        [(Labels::new(), body.state())],
    );
    let outputs: Vec<(Labels, OutputRecord)> =
        body.outputs().iter().map(|output| (output_labels(output), *output)).collect();
    let each = |value: &dyn Fn(&OutputRecord) -> Option<f64>| each_of(&outputs, value);
    gauges! { sheet, each:
        "dante_output_ready", NUMBER, "1: what is sent there arrives, as far as can be told" =>
            &|output| Some(f64::from(output.ready != 0));
        "dante_output_clients", NUMBER, "Programs that read the output, where they are counted" =>
            &|output| output.clients().map(|clients| clients as f64);
        "dante_output_sample_age", SECONDS, "Time since the last sample that was written or sent" =>
            &|output| {
                let at = output.last_sample_raw_ns;
                (at != 0).then(|| secs(now - Timestamp::from_ns(at)))
            };
    }
    let count = |value: fn(&OutputRecord) -> u64| each_of(&outputs, |output| Some(value(output)));
    sheet.counter("dante_output_samples", "Samples written or sent", count(|output| output.samples));
    sheet.counter(
        "dante_output_lost",
        "Samples that could not be written or sent",
        count(|output| output.lost),
    );
}

/// Its kind, with the unit or the path if it has one.
fn output_labels(output: &OutputRecord) -> Labels {
    let kind = Some(("kind", Word(output.kind()).to_string()));
    let unit = output.unit().map(|unit| ("unit", unit.to_string()));
    let path = output.path().map(|path| ("path", path.to_string()));
    [kind, unit, path].into_iter().flatten().collect()
}
