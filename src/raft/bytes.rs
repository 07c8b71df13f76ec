//! Bytes as serde sees them: in one piece, where it would write a `Vec<u8>` number by number.
//!
//! What they become is the format's affair. Read back, they may be bytes, text, or numbers.

use std::fmt;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::ser::Serializer;

pub(super) fn serialize<S: Serializer>(
    bytes: &impl AsRef<[u8]>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes.as_ref())
}

pub(super) fn deserialize<'de, D: Deserializer<'de>, B: From<Vec<u8>>>(
    deserializer: D,
) -> Result<B, D::Error> {
    deserializer.deserialize_byte_buf(Bytes).map(B::from)
}

struct Bytes;

impl<'de> Visitor<'de> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<u8>, E> {
        Ok(text.as_bytes().to_vec())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Vec<u8>, A::Error> {
        // How many are announced is not believed.
        let mut bytes = Vec::new();
        while let Some(byte) = numbers.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use serde::de::value::{BorrowedBytesDeserializer, Error, SeqDeserializer, StrDeserializer};

    #[test]
    fn bytes_are_read_whatever_the_format_makes_of_them() {
        let read = [
            super::deserialize(BorrowedBytesDeserializer::<Error>::new(b"ab")),
            super::deserialize(StrDeserializer::new("ab")),
            super::deserialize(SeqDeserializer::new(b"ab".iter().copied())),
        ];
        for bytes in read {
            let bytes: Result<Vec<u8>, Error> = bytes;
            assert_eq!(bytes.as_deref(), Ok(&b"ab"[..]));
        }
    }
}
