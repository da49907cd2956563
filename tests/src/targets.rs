//! Fuzz targets: each takes any bytes, and panics if a program would break one of its rules.
//!
//! `make fuzz` runs them with libFuzzer, guided by coverage. `tests/corpora.rs` runs them with what libFuzzer found before, and
//! with random changes of that.

mod config;
mod engine;
mod management;
mod packet;
mod page;

pub use config::config;
pub use engine::engine;
pub use management::management;
pub use packet::packet;
pub use page::{frequencies_set, page};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// All targets, with the names of their corpora.
pub const ALL: [(&str, Target); 5] =
    [("config", config), ("engine", engine), ("management", management), ("packet", packet), ("page", page)];
