//! Wire bytes in serialised seeds: each byte is one character (Latin-1), so that SIP text stays readable and no byte is lost.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serializer};

pub(crate) fn to_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn from_text<E: serde::de::Error>(text: &str) -> Result<Bytes, E> {
    text.chars()
        .map(|c| u8::try_from(c).map_err(|_| E::custom("a character above U+00FF in wire text")))
        .collect::<Result<Vec<u8>, E>>()
        .map(Bytes::from)
}

pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&to_text(bytes))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Bytes, D::Error> {
    from_text(&String::deserialize(input)?)
}

/// The same for `Option<Bytes>`.
pub(crate) mod option {
    use super::{Bytes, Deserialize, Deserializer, Serializer, from_text, to_text};

    pub(crate) fn serialize<S: Serializer>(
        bytes: &Option<Bytes>,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => out.serialize_some(&to_text(bytes)),
            None => out.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        input: D,
    ) -> Result<Option<Bytes>, D::Error> {
        Option::<String>::deserialize(input)?
            .map(|text| from_text(&text))
            .transpose()
    }
}

/// The same for `Vec<Bytes>`.
pub(crate) mod list {
    use super::{Bytes, Deserialize, Deserializer, Serializer, from_text, to_text};

    pub(crate) fn serialize<S: Serializer>(list: &[Bytes], out: S) -> Result<S::Ok, S::Error> {
        out.collect_seq(list.iter().map(|bytes| to_text(bytes)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<Bytes>, D::Error> {
        Vec::<String>::deserialize(input)?
            .iter()
            .map(|text| from_text(text))
            .collect()
    }
}
