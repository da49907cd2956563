//! Enumerations whose cases have a word outside, and perhaps a number on a page: one table each.

/// Declares an enumeration with the words that its cases are displayed by.
#[macro_export]
macro_rules! named {
    ($(#[$doc:meta])* $vis:vis enum $name:ident {
        $($(#[$case_doc:meta])* $case:ident $(= $number:literal)? $text:literal,)+
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $vis enum $name { $($(#[$case_doc])* $case $(= $number)?,)+ }

        #[allow(dead_code, reason = "not every enumeration is listed")]
        impl $name {
            /// All of them, in the order of their declaration.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$case),+];

            /// As it is called outside.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$case => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

/// Declares enumerations as [`named!`] does, with the numbers that stand for their cases on a page.
#[macro_export]
macro_rules! numbered {
    ($($(#[$doc:meta])* $vis:vis enum $name:ident {
        $($(#[$case_doc:meta])* $case:ident = $number:literal $text:literal,)+
    })+) => {$(
        $crate::named! {
            $(#[$doc])*
            #[repr(u8)]
            $vis enum $name { $($(#[$case_doc])* $case = $number $text,)+ }
        }

        impl $name {
            /// From the number on a page, if it is one that is known.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$case),)+ _ => None }
            }
        }
    )+};
}
