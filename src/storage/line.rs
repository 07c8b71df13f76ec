//! Lines that guard themselves: fields joined by tabs, and at the end the CRC-32C of what is before.
//!
//! ```text
//! field TAB field TAB ... TAB crc NEWLINE
//! ```
//!
//! Everything that the store writes is such a line. No field holds a tab, a line break or a zero
//! byte, so that a place that was never written (zeros) is no line, and the end of a line is the
//! end of a record even where the beginning is damaged.

use std::borrow::Cow;

use crc::{CRC_32_ISCSI, Crc, Table};

use crate::command::printable;

/// CRC-32C is the Castagnoli polynomial, by its name in the catalogue of CRCs.
static CRC_32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// Ends a line that began at `start` and whose last field has been written.
pub(super) fn seal(out: &mut Vec<u8>, start: usize) {
    out.push(b'\t');
    let crc = CRC_32C.checksum(&out[start..]);
    out.extend_from_slice(hex::<8>(u64::from(crc)).as_slice());
    out.push(b'\n');
}

/// What is before the CRC of a line without its line break, if the CRC is right.
pub(super) fn unseal(line: &[u8]) -> Option<&str> {
    let (body, crc) = line.split_at_checked(line.len().checked_sub(8)?)?;
    if u64::from(CRC_32C.checksum(body)) != unhex(crc)? {
        return None;
    }
    str::from_utf8(body.strip_suffix(b"\t")?).ok()
}

/// A number in decimal digits, written as we write it.
pub(super) fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    (digits && canonical).then(|| text.parse().ok()).flatten()
}

/// The last `N` hexadecimal digits.
pub(super) fn hex<const N: usize>(value: u64) -> [u8; N] {
    let digit =
        |position: usize| b"0123456789abcdef"[(value >> (4 * (N - 1 - position)) & 15) as usize];
    std::array::from_fn(digit)
}

/// The number that these digits are, if [`hex`] wrote them.
pub(super) fn unhex(digits: &[u8]) -> Option<u64> {
    let mut value = 0;
    for &digit in digits {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        value = value << 4 | u64::from(digit);
    }
    (digits.len() <= 16).then_some(value)
}

/// The text of which [`printable`] made this.
pub(super) fn original(text: &str) -> Option<Cow<'_, str>> {
    let original = unescaped(text)?;
    // What does not print is escaped, and nothing else is.
    (printable(&original) == text).then_some(original)
}

fn unescaped(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('\\') {
        return Some(Cow::Borrowed(text));
    }
    let mut original = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find('\\') {
        original.push_str(&rest[..position]);
        rest = &rest[position + 1..];
        let (escaped, length) = match rest.as_bytes().first()? {
            b'\\' => ('\\', 1),
            b'n' => ('\n', 1),
            b'r' => ('\r', 1),
            b't' => ('\t', 1),
            b'u' => {
                let digits = rest.strip_prefix("u{")?.split_once('}')?.0;
                let value = unhex(digits.as_bytes()).filter(|_| !digits.is_empty())?;
                (
                    char::from_u32(u32::try_from(value).ok()?)?,
                    digits.len() + 3,
                )
            }
            _ => return None,
        };
        original.push(escaped);
        rest = &rest[length..];
    }
    original.push_str(rest);
    Some(Cow::Owned(original))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_castagnolis() {
        // The check value of the catalogue.
        assert_eq!(CRC_32C.checksum(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn what_was_made_printable_can_be_read_back() {
        for text in [
            "",
            "attack 3",
            "a\\n\n\t\r\u{0}\u{1b}\u{2028}",
            "Grüße\\",
            "\\u{41}",
        ] {
            assert_eq!(original(&printable(text)).as_deref(), Some(text));
        }
        for text in [
            "\\",
            "\\x",
            "\\u",
            "\\u{",
            "\\u{}",
            "\\u{110000}",
            "\\u{d800}",
            "\\uü",
            "\\u{41}",
            "\\u{0a}",
            "\\u{00}",
            "a\u{0}b",
            "a\tb",
        ] {
            assert_eq!(original(text), None, "{text}");
        }
    }

    #[test]
    fn a_line_is_sealed_and_one_changed_bit_breaks_the_seal() {
        let mut line = b"one\ttwo".to_vec();
        seal(&mut line, 0);
        let line = line.strip_suffix(b"\n").unwrap();
        assert_eq!(unseal(line), Some("one\ttwo"));
        for bit in 0..line.len() * 8 {
            let mut changed = line.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal(&changed), None);
        }
    }

    #[test]
    fn numbers_are_written_in_one_way_only() {
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("18446744073709551615"), Some(u64::MAX));
        for text in ["", "00", "01", "+1", "-1", "1 ", "18446744073709551616"] {
            assert_eq!(number(text), None, "{text:?}");
        }
    }
}
