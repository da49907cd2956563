//! Prints the management messages of the capture in `tests/fixtures` in the format of text2pcap.

#[path = "../tests/captures/management.rs"]
mod management;

fn main() {
    for bytes in management::packets().iter().filter_map(|packet| packet.build().ok()) {
        println!("000000 {}", bytes.iter().map(|byte| format!("{byte:02x} ")).collect::<String>());
    }
}
