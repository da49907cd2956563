//! Tests without a card; the guest tests use an emulated one.

use super::*;

const OFF: Setting = Setting { transmit: 0, filter: Filter::NONE };
const V2_EVENT: Filter = Filter(12);

fn tried(found: Option<Setting>, transmit: bool) -> Vec<(i32, String)> {
    plan(found, transmit).iter().map(|to| (to.transmit, to.filter.to_string())).collect()
}

fn expect(transmit: i32, filters: &[&str]) -> Vec<(i32, String)> {
    filters.iter().map(|filter| (transmit, (*filter).to_owned())).collect()
}

#[test]
fn requests_the_narrowest_filter_first_if_timestamps_are_off() {
    let order = ["ptpv1-l4-event", "ptpv1-l4-sync", "all"];
    assert_eq!(tried(Some(OFF), false), expect(0, &order), "enabled unneeded transmit timestamps");
    assert_eq!(tried(Some(OFF), true), expect(1, &order));
}

#[test]
fn keeps_filter_that_includes_syncs() {
    for filter in [Filter::ALL, Filter::V1_EVENT, Filter::V1_SYNC] {
        for transmit in [0, 1, 2] {
            let found = Setting { transmit, filter };
            assert_eq!(tried(Some(found), false), [], "{found:?}");
            let wanted = if transmit == 0 { expect(1, &[&filter.to_string()]) } else { Vec::new() };
            assert_eq!(tried(Some(found), true), wanted, "{found:?}");
        }
    }
}

#[test]
fn never_narrows_filter_of_another_program() {
    for number in (2..16).chain([16, 99, -1]).filter(|number| ![3, 4].contains(number)) {
        for transmit in [1, 2, 3] {
            let found = Setting { transmit, filter: Filter(number) };
            assert_eq!(tried(Some(found), false), expect(transmit, &["all"]), "{found:?}");
            assert_eq!(tried(Some(found), true), expect(transmit, &["all"]), "{found:?}");
        }
    }
    // Another program uses transmit timestamps only.
    let found = Setting { transmit: 2, filter: Filter::NONE };
    assert_eq!(tried(Some(found), false), expect(2, &["ptpv1-l4-event", "ptpv1-l4-sync", "all"]));
    // The driver cannot report its setting, so only all packets includes what another program may need.
    assert_eq!(tried(None, false), expect(1, &["all"]));
}

#[test]
fn hardware_timestamps_need_all_flags_of_the_driver() {
    // Values of `ethtool -T`: an igb (82576) emulated by QEMU 10, and a veth.
    let igb = Capabilities { so_timestamping: 0x5f, clock: Some(0), tx_types: 0b11, rx_filters: 0x1031 };
    assert!(igb.has_hardware_rx() && igb.has_hardware_tx());
    let veth = Capabilities { so_timestamping: 0x1a, clock: None, tx_types: 0, rx_filters: 0 };
    assert!(!veth.has_hardware_rx() && !veth.has_hardware_tx());
    let without_tx = Capabilities { tx_types: 1, ..igb };
    assert!(without_tx.has_hardware_rx() && !without_tx.has_hardware_tx());
    let without_raw = Capabilities { so_timestamping: 0x1f, ..igb };
    assert!(!without_raw.has_hardware_rx());
}

#[test]
fn filter_names_are_those_of_ethtool() {
    let names = [0, 1, 3, 4, 12, 15, 16, -3].map(|number| Filter(number).to_string());
    let expected = [
        "none",
        "all",
        "ptpv1-l4-event",
        "ptpv1-l4-sync",
        "ptpv2-event",
        "ntp-all",
        "number 16",
        "number -3",
    ];
    assert_eq!(names, expected);
}

#[test]
fn interface_without_hardware_timestamps_is_reported_as_unsupported() {
    let lo = Interface::find(&"lo".into()).unwrap();
    let error = Card::prepare(&lo, false).unwrap_err();
    assert!(error.is_unsupported() && error.denial().is_none(), "{error:?}");
    assert!(error.to_string().contains("ethtool -T lo"), "{error}");
}

#[test]
fn errors_name_the_refused_and_the_present_filters() {
    let interface = || "eth1".to_owned();
    let refusals = [(Filter::V1_EVENT, Errno::ERANGE), (Filter::ALL, Errno::EINVAL)];
    let error = CardError::Refused { interface: interface(), refusals: refusals.to_vec() };
    assert!(error.to_string().contains("ptpv1-l4-event (ERANGE: "), "{error}");
    assert!(error.to_string().contains(", all (EINVAL: "), "{error}");
    let error = CardError::Taken { interface: interface(), filter: V2_EVENT, cause: Errno::ERANGE };
    assert!(error.to_string().contains("filter of eth1 to ptpv2-event, without PTPv1"), "{error}");
    assert_eq!((error.denial(), error.is_unsupported()), (Some(Denial::InUse), false));
    assert_eq!(CardError::NotPermitted { interface: interface() }.denial(), Some(Denial::NotPermitted));
}
