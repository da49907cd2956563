//! The field bench for a minute: two followers through a Linux bridge beside processes that thrash the caches. A target of its own:
//! no other test of this package runs beside it. The share of errors within two sigma is printed only: 40 s hold a few independent
//! errors. `make bench` runs for ten minutes.

use dante_core::port::State;
use dante_tests::field::{Figures, HEADLINE, bridge};
use std::time::Duration;

/// Duration, and the time after the first Sync from which on errors count.
const SPAN: Duration = Duration::from_secs(60);
const AFTER: Duration = Duration::from_secs(20);
/// Largest rms error of the rate, ppb: several times that of a machine with other work.
const MAX_RATE_RMS_PPB: f64 = 300.0;

#[test]
fn followers_through_a_loaded_bridge_know_the_rate() {
    let Some(recordings) = bridge(SPAN, 1) else { return };
    println!("{HEADLINE}");
    let figures: Vec<_> = recordings.iter().map(|recording| Figures::of(recording, AFTER)).collect();
    for (number, figures) in (1..).zip(&figures) {
        println!("{}", figures.line(&format!("bridge, follower {number}")));
    }
    println!("{}", Figures::pooled(&figures).line("bridge, pooled"));
    for (recording, figures) in recordings.iter().zip(&figures) {
        assert_eq!(recording.end_state(), Some(State::Slave));
        assert_eq!(figures.timeline_changes(), 0);
        let rms = figures.rate_rms_ppb();
        assert!(rms < MAX_RATE_RMS_PPB, "rate error {rms} ppb rms");
    }
}
