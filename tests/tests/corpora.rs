//! The fuzz targets with the corpora of `make fuzz`, and with random changes of them, for a minute.

use dante_tests::package::sources;
use dante_tests::targets::{ALL, Target, frequencies_set};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Maximum length of an input, bytes.
const MAX_LENGTH: usize = 8192;

/// Prints the input on which a target panics.
struct Running<'a>(&'a str, &'a [u8]);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let hex: String = self.1.iter().map(|byte| format!("{byte:02x}")).collect();
            println!("{} fails with these {} bytes:\n{hex}", self.0, self.1.len());
        }
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = sources().join("fuzz/corpus").join(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a file")).collect()
}

/// Runs a target with each file of its corpus, then with random changes of them: `rounds` times SOAK of them, if that is set to a
/// number.
fn run(name: &str, rounds: u32) {
    let (_, target): (_, Target) = *ALL.iter().find(|(of, _)| *of == name).expect("a target");
    let inputs = corpus(name);
    assert!(inputs.len() >= 5, "a corpus of {} files", inputs.len());
    for input in &inputs {
        let _shown = Running(name, input);
        target(input);
    }
    let times = std::env::var("SOAK").ok().and_then(|soak| soak.parse().ok()).unwrap_or(1u32).max(1);
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1588);
    println!("{name}: {} files, then {rounds} * {times} changes of them, SEED={seed}", inputs.len());
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    for _ in 0..rounds * times {
        let mut input = inputs.choose(&mut rng).expect("a file").clone();
        for _ in 0..rng.random_range(1..6) {
            change(&mut input, inputs.choose(&mut rng).expect("a file"), &mut rng);
        }
        input.truncate(MAX_LENGTH);
        let _shown = Running(name, &input);
        target(&input);
    }
}

/// Changes an input in one of the ways of libFuzzer.
fn change(input: &mut Vec<u8>, other: &[u8], rng: &mut Pcg64Mcg) {
    let place = rng.random_range(0..=input.len());
    let extreme = [0u8, 1, 0x7f, 0x80, 0xff];
    match rng.random_range(0..8) {
        0 => input.insert(place, rng.random()),
        1 => input.truncate(place),
        2 => {
            let end = rng.random_range(place..=input.len());
            drop(input.drain(place..end));
        }
        3 => {
            let from = rng.random_range(0..=other.len());
            let to = rng.random_range(from..=other.len().min(from + 64));
            drop(input.splice(place..place, other[from..to].iter().copied()));
        }
        4 => {
            let from = place.min(other.len());
            input.truncate(from);
            input.extend_from_slice(&other[from..]);
        }
        kind => {
            if let Some(byte) = input.get_mut(place) {
                *byte = match kind {
                    5 => rng.random(),
                    6 => *byte ^ 1 << rng.random_range(0..8),
                    _ => *extreme.choose(rng).expect("a byte"),
                };
            }
        }
    }
}

#[test]
fn mutated_packets_break_no_rule() {
    run("packet", 6_000_000);
}

#[test]
fn mutated_engine_scripts_break_no_rule() {
    run("engine", 200_000);
}

#[test]
fn mutated_pages_break_no_rule() {
    run("page", 400_000);
    // The rule that bounds the frequency was tested.
    let set = frequencies_set();
    println!("page: frequencies set: {set}");
    assert!(set > 0, "no page made dante2sys set a frequency");
}

#[test]
fn mutated_configurations_break_no_rule() {
    run("config", 60_000);
}

#[test]
fn mutated_management_messages_break_no_rule() {
    run("management", 3_000_000);
}

#[test]
fn every_target_has_a_libfuzzer_program() {
    for (name, _) in ALL {
        let path = sources().join(format!("fuzz/targets/{name}.rs"));
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(text.contains(&format!("dante_tests::targets::{name}(")), "{}", path.display());
        let manifest = include_str!("../../fuzz/Cargo.toml");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in fuzz/Cargo.toml");
    }
}
