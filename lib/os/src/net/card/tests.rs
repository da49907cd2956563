//! What can be decided without a card; a guest has one.

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
fn a_card_that_is_off_is_asked_for_the_narrowest_filter_first() {
    let order = ["ptpv1-l4-event", "ptpv1-l4-sync", "all"];
    assert_eq!(tried(Some(OFF), false), expect(0, &order), "nothing that leaves is stamped for nobody");
    assert_eq!(tried(Some(OFF), true), expect(1, &order));
}

#[test]
fn a_filter_that_has_syncs_in_it_stays() {
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
fn a_filter_of_another_program_is_never_narrowed() {
    for number in (2..16).chain([16, 99, -1]).filter(|number| ![3, 4].contains(number)) {
        for transmit in [1, 2, 3] {
            let found = Setting { transmit, filter: Filter(number) };
            assert_eq!(tried(Some(found), false), expect(transmit, &["all"]), "{found:?}");
            assert_eq!(tried(Some(found), true), expect(transmit, &["all"]), "{found:?}");
        }
    }
    // Somebody has what leaves stamped, and nothing that arrives.
    let found = Setting { transmit: 2, filter: Filter::NONE };
    assert_eq!(tried(Some(found), false), expect(2, &["ptpv1-l4-event", "ptpv1-l4-sync", "all"]));
    // The driver cannot be asked, so only what has everything in it takes nothing from anybody.
    assert_eq!(tried(None, false), expect(1, &["all"]));
}

#[test]
fn what_a_driver_offers_is_judged_by_all_that_is_needed() {
    // As `ethtool -T` shows them: an igb (82576) emulated by QEMU 10, and a veth.
    let igb = Abilities { so_timestamping: 0x5f, clock: Some(0), tx_types: 0b11, rx_filters: 0x1031 };
    assert!(igb.stamps_arrivals() && igb.stamps_departures());
    let veth = Abilities { so_timestamping: 0x1a, clock: None, tx_types: 0, rx_filters: 0 };
    assert!(!veth.stamps_arrivals() && !veth.stamps_departures());
    let silent = Abilities { tx_types: 1, ..igb };
    assert!(silent.stamps_arrivals() && !silent.stamps_departures());
    let without_raw = Abilities { so_timestamping: 0x1f, ..igb };
    assert!(!without_raw.stamps_arrivals());
}

#[test]
fn names_are_ethtools() {
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
fn an_interface_without_a_card_says_so() {
    let lo = Interface::find("lo").unwrap();
    let error = Card::prepare(&lo, false).unwrap_err();
    assert!(error.is_lacking() && error.denial().is_none(), "{error:?}");
    assert!(error.to_string().contains("ethtool -T lo"), "{error}");
}

#[test]
fn errors_say_what_to_do() {
    let interface = || "eth1".to_owned();
    let refusals = [(Filter::V1_EVENT, Errno::ERANGE), (Filter::ALL, Errno::EINVAL)];
    let said = CardError::Refused { interface: interface(), refusals: refusals.to_vec() };
    assert!(said.to_string().contains("ptpv1-l4-event (ERANGE: "), "{said}");
    assert!(said.to_string().contains(", all (EINVAL: "), "{said}");
    let said = CardError::Taken { interface: interface(), filter: V2_EVENT, cause: Errno::ERANGE };
    assert!(said.to_string().contains("stamp ptpv2-event, which leaves PTPv1 out"), "{said}");
    assert_eq!((said.denial(), said.is_lacking()), (Some(Denial::InUse), false));
    assert_eq!(CardError::NotPermitted { interface: interface() }.denial(), Some(Denial::NotPermitted));
}
