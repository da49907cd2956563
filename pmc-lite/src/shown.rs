//! How the parts of what is printed as JSON are declared.

/// Structures that are printed: their keys, and what each is made of. The function `of` makes one.
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
