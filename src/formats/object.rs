//! Structs from JSON objects.

/// `Deserialize` for a struct from an object: fields that must be there, then those that may be left out. What serde
/// derives takes arrays as well, and is twice the code in a browser. `others` says whether more fields are passed over.
macro_rules! from_object {
    ($name:ident, others = $others:literal, [$($field:ident)*] [$($optional:ident)*]) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                struct Form;
                impl<'de> serde::de::Visitor<'de> for Form {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                        f.write_str("an object")
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> std::result::Result<$name, A::Error> {
                        use serde::de::Error;
                        $(let mut $field = None;)*
                        $(let mut $optional = None;)*
                        while let Some(key) = map.next_key::<String>()? {
                            let again = match key.as_str() {
                                $(stringify!($field) => $field.replace(map.next_value()?).is_some(),)*
                                $(stringify!($optional) => $optional.replace(map.next_value()?).is_some(),)*
                                _ if $others => {
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                    false
                                }
                                _ => return Err(A::Error::custom(format_args!("unknown field `{key}`"))),
                            };
                            if again {
                                return Err(A::Error::custom(format_args!("`{key}` occurs twice")));
                            }
                        }
                        Ok($name {
                            $($field: $field.ok_or_else(|| A::Error::missing_field(stringify!($field)))?,)*
                            $($optional: $optional.unwrap_or_default(),)*
                        })
                    }
                }
                deserializer.deserialize_map(Form)
            }
        }
    };
}
pub(super) use from_object;
