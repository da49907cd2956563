//! How the pages' structures are declared.
//!
//! Times are ns on the clock that the field names; ratios are fractions; what may be absent is told by flags. All fields
//! lie on their natural alignment without gaps, which the derives check. Every change of a structure raises the
//! `VERSION` of the body that it is part of; a test holds the bytes.

/// Structures of a page.
macro_rules! record {
    ($($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)* })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable)]
        #[repr(C)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }
    )+};
}

pub(super) use record;

/// Makes a structure the body of a program's page: its name, kind and layout version.
macro_rules! body {
    ($name:ident, $text:literal, $kind:literal, $version:literal) => {
        impl $crate::page::Body for $name {
            const NAME: &'static str = $text;
            const KIND: u32 = $kind;
            const VERSION: u32 = $version;
        }
        const _: () = assert!(size_of::<$name>() % 8 == 0, "a body is made of whole words");
        impl Default for $name {
            fn default() -> Self {
                zerocopy::FromZeros::new_zeroed()
            }
        }
    };
}
pub(super) use body;
