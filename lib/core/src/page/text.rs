//! Short texts of a fixed size.

use std::fmt;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Up to `N` bytes of text, padded with NULs.
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub struct Bytes<const N: usize>([u8; N]);

/// Up to 16 bytes: the size of an interface's name (IFNAMSIZ).
pub type Text = Bytes<16>;

/// Up to 112 bytes: a whole number of words that holds the path of a Unix socket (108 bytes with its NUL, `unix(7)`).
pub type SocketPath = Bytes<112>;

impl<const N: usize> Bytes<N> {
    /// The first `N` bytes of `text`.
    pub fn new(text: &str) -> Self {
        let mut bytes = [0; N];
        for (to, from) in bytes.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        Self(bytes)
    }
}

impl<const N: usize> fmt::Display for Bytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.split(|byte| *byte == 0).next().unwrap_or_default();
        write!(f, "{}", text.escape_ascii())
    }
}

impl<const N: usize> fmt::Debug for Bytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
