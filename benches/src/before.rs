//! Figures of the previous estimator on the long runs, for comparison: a two-state filter with a noise estimate and a break test for
//! white noise. They were measured on the same seeds with the estimator of 2026-11-30, before delays that change slowly were
//! covered.

/// Figures on one network.
#[derive(Debug)]
pub struct Before {
    /// Name of the network.
    pub name: &'static str,
    /// Clock map: rate error, rms, ppb.
    pub rate_ppb: f64,
    /// Clock map: worst rate error, ppb.
    pub worst_ppb: f64,
    /// Clock map: phase error, rms, ns.
    pub phase_ns: f64,
    /// Steered clock: rate over 1 s, ppb.
    pub clock_ppb: f64,
    /// Steered clock: phase, ns.
    pub clock_ns: f64,
    /// Within two sigma: rate and phase, %.
    pub within: (f64, f64),
    /// Time until a step of 1 ppm is followed, 95 %, s; 240 or nearly so: never.
    pub followed_s: f64,
    /// False breaks in 10 h.
    pub alarms: f64,
}

const fn before(
    name: &'static str,
    rate_ppb: (f64, f64),
    phase_ns: f64,
    clock: (f64, f64),
    within: (f64, f64),
    followed_s: f64,
    alarms: f64,
) -> Before {
    Before {
        name,
        rate_ppb: rate_ppb.0,
        worst_ppb: rate_ppb.1,
        phase_ns,
        clock_ppb: clock.0,
        clock_ns: clock.1,
        within,
        followed_s,
        alarms,
    }
}

/// The figures.
pub const BEFORE: [Before; 8] = [
    before("veth", (4.72, 20.0), 76.0, (6.5, 95.0), (95.1, 93.4), 7.5, 0.0),
    before("dante", (9.11, 35.0), 557.0, (12.7, 683.0), (95.0, 92.3), 25.0, 0.0),
    before("busy", (9.38, 38.0), 597.0, (12.0, 797.0), (95.9, 95.9), 67.0, 0.0),
    before("ar1", (160.0, 4_920.0), 1_241.0, (262.0, 1_362.0), (46.9, 32.5), 236.0, 766.0),
    before("ar5", (337.0, 3_737.0), 2_552.0, (562.0, 2_958.0), (19.3, 15.5), 240.0, 1_656.0),
    before("ar20", (203.0, 2_432.0), 2_700.0, (336.0, 3_059.0), (15.8, 12.2), 240.0, 1_055.0),
    before("bridge", (93.2, 3_395.0), 1_161.0, (150.0, 1_271.0), (52.0, 33.5), 240.0, 358.0),
    before("trace", (14.45, 1_957.0), 684.0, (26.0, 659.0), (68.1, 48.7), 8.0, 196.0),
];
