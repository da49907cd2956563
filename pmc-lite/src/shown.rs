//! Declaration of the JSON output: objects by their keys, enumerations by their names.

use dante_core::announcement::PtpVersion;
use dante_core::page::Freshness;
use dante_core::port::TimestampSource;
use dante_core::relay::{Delivery, OutputKind};
use dante_core::relay::{EpochSource, Waiting};
use dante_core::steer::{RtcMode, SteeredClock, UtcSource};
use dante_core::utc::{Leap, Policy};
use dante_core::{port, relay, steer};
use serde::{Serialize, Serializer};
use std::fmt;

/// Declares structures for output: their keys and the value of each. The function `of` makes one.
macro_rules! shown {
    ($(
        $(#[$doc:meta])*
        $name:ident of ($($given:ident: $given_type:ty),+) $(let ($($local:ident = $local_value:expr),+ $(,)?))? {
            $($(#[$key_doc:meta])* $key:ident: $type:ty = $value:expr,)+
        }
    )+) => {$(
        $(#[$doc])*
        #[derive(Debug, PartialEq, serde::Serialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        pub struct $name { $($(#[$key_doc])* pub $key: $type,)+ }

        impl $name {
            pub fn of($($given: $given_type),+) -> Self {
                $($(let $local = $local_value;)+)?
                Self { $($key: $value,)+ }
            }
        }
    )+};
}
pub(crate) use shown;

/// An enumeration of `dante_core` whose cases have names.
pub trait Words: Copy + PartialEq + 'static {
    /// All cases in the output, for the schema.
    #[cfg(test)]
    const ALL: &'static [Self];

    /// Returns the name of this case.
    fn word(self) -> &'static str;
}

macro_rules! words {
    ($($name:ty),+ $(,)?) => {$(
        impl Words for $name {
            #[cfg(test)]
            const ALL: &'static [Self] = &<$name>::ALL;

            fn word(self) -> &'static str {
                self.name()
            }
        }
    )+};
}

words! {
    Delivery, EpochSource, Freshness, Leap, OutputKind, Policy, PtpVersion, RtcMode, TimestampSource, SteeredClock, UtcSource, port::State, relay::State, steer::State,
}

impl Words for Waiting {
    #[cfg(test)]
    const ALL: &'static [Self] = match &Self::ALL {
        // Printed as null.
        [Self::Nothing, printed @ ..] => printed,
        all => all,
    };

    fn word(self) -> &'static str {
        self.name()
    }
}

/// A case of an enumeration, printed as its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<T>(pub T);

/// A case of an enumeration whose name is for users, printed in JSON as that name in lower case with underscores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<T>(pub T);

impl<T: fmt::Display> Serialize for Key<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_string().to_lowercase().replace([' ', '-'], "_"))
    }
}

/// A number on a page, printed as the name of its case. `None`, printed as [`UNKNOWN`]: this version does not know the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word<T>(pub Option<T>);

/// Printed for a number that this version does not know. The layout version of the page should prevent that.
const UNKNOWN: &str = "unknown";

impl<T: Words> Word<T> {
    /// Whether this is the given case.
    pub fn is(self, case: T) -> bool {
        self.0 == Some(case)
    }

    fn word(self) -> &'static str {
        self.0.map_or(UNKNOWN, T::word)
    }
}

impl<T: Words> fmt::Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl<T: Words> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<T: Words> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.word())
    }
}

#[cfg(test)]
mod schema {
    use super::{Named, UNKNOWN, Word, Words};
    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
    use std::borrow::Cow;

    macro_rules! listed {
        ($name:ident, $($more:expr)?) => {
            impl<T: Words> JsonSchema for $name<T> {
                fn inline_schema() -> bool {
                    true
                }

                fn schema_name() -> Cow<'static, str> {
                    std::any::type_name::<Self>().into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    let words: Vec<&str> = T::ALL.iter().map(|case| case.word()).chain([$($more)?]).collect();
                    json_schema!({"type": "string", "enum": words})
                }
            }
        };
    }

    listed!(Named,);
    listed!(Word, UNKNOWN);
}
