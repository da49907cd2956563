//! Macros that declare the structures of pages, and texts of a fixed size.
//!
//! Times are ns on the clock that the field names; ratios are fractions; flags state which fields are valid. All fields are
//! naturally aligned without gaps, which the derives check. A test checks the layout byte by byte.

use std::fmt;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Declares structures of a page.
macro_rules! record {
    ($($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)* })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable)]
        #[repr(C)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl $name {
            /// The fields in order: name, offset in the structure and size, bytes.
            pub const FIELDS: &'static [(&'static str, usize, usize)] =
                &[$((stringify!($field), std::mem::offset_of!($name, $field), size_of::<$type>()),)*];
        }
    )+};
}
pub(super) use record;

/// Makes a structure the body of a page: the program that writes it, its kind, form and version.
macro_rules! body {
    ($name:ident, $program:literal, $kind:literal, $form:ident $version:literal $({ $($item:item)+ })?) => {
        impl $crate::page::Body for $name {
            const PROGRAM: &'static str = $program;
            const KIND: u32 = $kind;
            const FORM: $crate::page::Form = $crate::page::Form::$form;
            const VERSION: u32 = $version;
            $($($item)+)?
        }
        const _: () = assert!(size_of::<$name>() % 8 == 0, "the size of a body is a multiple of 8");
        impl Default for $name {
            fn default() -> Self {
                zerocopy::FromZeros::new_zeroed()
            }
        }
    };
}
pub(super) use body;

/// Up to `N` bytes of text, padded with NULs.
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub struct Bytes<const N: usize>([u8; N]);

/// Up to 128 bytes: the size of an alternative name of an interface (ALTIFNAMSIZ), by which a missing one may be named.
pub type Text = Bytes<128>;

/// Up to 112 bytes: a whole number of words that holds the path of a Unix socket (108 bytes with its NUL, `unix(7)`).
pub type SocketPath = Bytes<112>;

impl<const N: usize> Bytes<N> {
    /// Converts the first `N` bytes of `text`.
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
