#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dante_tests::targets::page(bytes));
