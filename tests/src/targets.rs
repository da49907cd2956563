//! What is fuzzed: each target takes any bytes and panics if something is not as it must be.
//!
//! `make fuzz` drives them with libFuzzer, by coverage; `tests/corpora.rs` with what libFuzzer has found before, and
//! with random changes to that.

mod config;
mod engine;
mod management;
mod packet;
mod page;

pub use config::config;
pub use engine::engine;
pub use management::management;
pub use packet::packet;
pub use page::page;

/// A target.
pub type Target = fn(&[u8]);

/// All of them, by the names of their corpora.
pub const ALL: [(&str, Target); 5] =
    [("config", config), ("engine", engine), ("management", management), ("packet", packet), ("page", page)];
