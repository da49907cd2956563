//! Settings that another program left in a clock, and disturbances by another program.

use super::*;

/// Bits that are no disturbance: STA_UNSYNC, STA_INS, STA_DEL, STA_NANO, STA_CLOCKERR.
const HARMLESS: i32 = 0x3070;
const SET_FREQUENCY: Ratio = Ratio::from_ppm(12.0);

fn found(change: fn(&mut Kernel)) -> Option<Disturbance> {
    let mut kernel = Kernel { status: HARMLESS, ..Kernel::plain(SET_FREQUENCY) };
    change(&mut kernel);
    kernel.disturbance(SET_FREQUENCY)
}

#[test]
fn disturbance_by_another_program_is_found() {
    assert_eq!(found(|_| ()), None);
    assert_eq!(found(|kernel| kernel.tick = 9_999), Some(Disturbance::Tick(9_999)));
    assert_eq!(found(|kernel| kernel.status |= 0x0008), Some(Disturbance::SelfSteering(0x0008)));
    assert_eq!(found(|kernel| kernel.slew = S), Some(Disturbance::Slew(S)));
    let all = |kernel: &mut Kernel| (kernel.tick, kernel.status, kernel.slew) = (1, 0x0001, S);
    assert_eq!(found(all), Some(Disturbance::SelfSteering(0x0001)), "self-steering first");
    // One unit of timex.freq, 0.015 ppb, is enough.
    let frequency = found(|kernel| kernel.frequency = Ratio::from_ppm(786_433.0 / 65_536.0)).unwrap();
    assert_eq!(
        frequency.to_string(),
        "another program set the clock frequency to +12000.015 ppb; this program had set +12000.000 ppb"
    );
    let slew = Disturbance::Slew(Duration::from_ms(2)).to_string();
    assert_eq!(slew, "another program slews the clock: +2000 us remaining");
}

#[test]
fn leftovers_are_logged_as_text() {
    let plain = Kernel::plain(SET_FREQUENCY);
    assert_eq!(Kernel { status: HARMLESS, ..plain }.leftovers().count(), 0);
    let kernel = Kernel { tick: 10_001, status: 0x0051, slew: Duration::from_us(-750), ..plain };
    let texts: Vec<String> = kernel.leftovers().map(|found| found.to_string()).collect();
    assert_eq!(
        texts,
        [
            "kernel tick was 10001 us, set by another program: reset to 10000 us",
            "kernel PLL was on (status 0x0001), set by another program: turned off",
            "kernel was still slewing the clock by -750 us, started by another program: cancelled",
        ]
    );
}

#[test]
fn changed_tick_is_found_although_frequency_is_ours() {
    let mut bench = Bench::after(4);
    bench.clock.tick = 10_100;
    bench.sync();
    assert_eq!(bench.steerer.state(), State::Yielded);
    assert!(bench.outputs.contains(&Output::Disturbed(Disturbance::Tick(10_100))));
}

#[test]
fn leftovers_are_removed_and_reported_when_control_is_taken_again() {
    let mut bench = Bench::after(4);
    bench.clock.tick = 10_100;
    bench.sync();
    bench.clock.exact.now = bench.steerer.deadline().unwrap();
    let (mut found, Bench { steerer, clock, .. }) = (Vec::new(), &mut bench);
    drive(steerer, clock, Input::Page(None), |report| {
        found.extend(if let Report::Leftover(leftover) = report { Some(leftover) } else { None });
    });
    assert_eq!((found, bench.clock.tick), (vec![Leftover::Tick(10_100)], NOMINAL_TICK));
    bench.syncs(4);
    assert_eq!(bench.steerer.state(), State::Locked);
}
