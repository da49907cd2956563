use super::answers::{
    ClockIdentity, DataSet, answers, clock_accuracy, clock_class, domain_number, log2_s,
    offset_scaled_log_variance,
};
use super::{CommandError, joined, parse};
use crate::scenes;
use dante_core::wire::{Subdomain, Uuid};

#[test]
fn prints_every_data_set_in_every_scene() {
    for (name, text) in scenes::distinct(|pages| Some(answers(&DataSet::ALL, pages))) {
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn parses_commands_as_pmc_does() {
    for set in DataSet::ALL {
        assert_eq!(parse(&format!("GET {}", set.name())), Ok(set));
        assert_eq!(parse(&format!(" get  {}", set.name().to_lowercase())), Ok(set));
    }
    for wrong in ["", "GET", "GET NOTHING", "GET CURRENT_DATA_SET 1", "CURRENT_DATA_SET", "nonsense"] {
        assert_eq!(parse(wrong), Err(CommandError::Unknown(wrong.into())));
    }
    for (typed, meant) in [
        ("status", "get status"),
        ("GET status", "get status"),
        ("staus", "get status"),
        ("leader", "get leader"),
        ("samples", "get samples"),
        ("docter", "doctor"),
        ("chek", "check"),
    ] {
        let meant = CommandError::Meant { typed: typed.into(), meant: meant.into() };
        assert_eq!(parse(typed), Err(meant));
    }
    for change in ["SET PRIORITY1 1", "set domain 3", "COMMAND ENABLE_PORT", "CMD INITIALIZE"] {
        assert_eq!(parse(change), Err(CommandError::Changes(change.into())));
    }
}

#[test]
fn joins_a_command_split_into_two_words() {
    let words = |words: &[&str]| joined(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    assert_eq!(words(&["GET A", "GET B"]), ["GET A", "GET B"]);
    assert_eq!(words(&["GET", "A", "GET", "B"]), ["GET A", "GET B"]);
    assert_eq!(words(&["GET"]), ["GET"]);
}

#[test]
fn maps_ptpv1_values_by_the_tables_of_ieee_1588_2008() {
    assert_eq!([0, 1, 2, 3, 4, 0x99, 255].map(clock_class), [6, 9, 10, 248, 251, 248, 255]);
    let named = [b"ATOM", b"GPS\0", b"NTP\0", b"HAND", b"INIT", b"DFLT", b"\xff\0\0\0"];
    assert_eq!(named.map(|name| clock_accuracy(*name)), [0x22, 0x22, 0x2f, 0x30, 0xfd, 0xfe, 0xfe]);
    assert_eq!(offset_scaled_log_variance(0x7060), 0xf060);
    assert_eq!(offset_scaled_log_variance(-4000), 0x8000 - 4000);
    assert_eq!(domain_number(Subdomain::ALT2), 2);
    assert_eq!(domain_number(Subdomain([b'x'; 16])), 255);
    assert_eq!(ClockIdentity(Uuid([0, 0x1d, 0xc1, 0xa1, 0x72, 0x3c])).to_string(), "001dc1.fffe.a1723c");
    assert_eq!([250_000_000, 1_000_000_000, 2_000_000_000, 7_812_500].map(log2_s), [-2, 0, 1, -7]);
}
