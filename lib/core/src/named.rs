//! Enumerations whose cases have a displayed name and, for some, a number on a page.

/// Declares an enumeration with the displayed names of its cases.
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
            /// All cases, in the order of their declaration.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$case),+];

            /// Returns the displayed name.
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

/// Declares enumerations like [`named!`], with the numbers of their cases on a page.
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
            /// Returns the case of a number on a page, or `None` if the number is unknown.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$case),)+ _ => None }
            }
        }
    )+};
}
