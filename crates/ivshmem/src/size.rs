//! Numbers of bytes, as people write them.

use std::ops::RangeInclusive;

/// Why a text is not a number of bytes within the limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSize {
    /// Not a number, or not one with a suffix.
    #[error("{0:?} is no number of bytes, such as 4096, 0x1000 or 4K; K, M, G and T are powers of 1024")]
    Syntax(String),
    /// Outside the limits.
    #[error("size {text}: no size but {} to {} is possible", format(*.least), format(*.most))]
    Range {
        /// The text, or the number.
        text: String,
        /// The least possible number of bytes.
        least: u64,
        /// The greatest possible number of bytes.
        most: u64,
    },
}

/// Parses a number of bytes: a decimal or hexadecimal (`0x...`) number, optionally with a suffix `K`, `M`, `G` or `T` (powers
/// of 1024, either case). A decimal number with a suffix may have a fraction, as in `1.5G`, of whose digits the first 12 count;
/// the result is rounded down to whole bytes. As for QEMU's server, `B` (bytes), `P`, `E`, `Z` and `Y` are suffixes, too; in a
/// hexadecimal number, `B` and `E` are digits.
///
/// # Errors
/// When the text is not such a number, or the number is outside the limits.
///
/// # Examples
/// ```
/// assert_eq!(ivshmem::size::parse("1.5G", 1..=1 << 40)?, 3 << 29);
/// let error = ivshmem::size::parse("2T", 1..=1 << 40).unwrap_err();
/// assert_eq!(error.to_string(), "size 2T: no size but 1 to 1T is possible");
/// # Ok::<(), ivshmem::size::InvalidSize>(())
/// ```
pub fn parse(text: &str, limits: RangeInclusive<u64>) -> Result<u64, InvalidSize> {
    let bytes = bytes(text).ok_or_else(|| InvalidSize::Syntax(text.to_owned()))?;
    u64::try_from(bytes).ok().filter(|bytes| limits.contains(bytes)).ok_or_else(|| InvalidSize::Range {
        text: text.to_owned(),
        least: *limits.start(),
        most: *limits.end(),
    })
}

/// Formats a number of bytes with the largest suffix of which it is a whole multiple. [`parse`] accepts the result.
pub fn format(bytes: u64) -> String {
    let (mut number, mut unit) = (bytes, 0);
    while number > 0 && number % 1024 == 0 && unit < 4 {
        number /= 1024;
        unit += 1;
    }
    format!("{number}{}", ["", "K", "M", "G", "T"][unit])
}

/// The number of bytes, saturated at the largest value of the type.
fn bytes(text: &str) -> Option<u128> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (text, radix) = hexadecimal.map_or((text, 10), |digits| (digits, 16));
    let end = text.find(|c: char| !c.is_digit(radix) && (c != '.' || radix == 16)).unwrap_or(text.len());
    let shift = match &text[end..] {
        "" | "B" | "b" => 0,
        "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        "T" | "t" => 40,
        "P" | "p" => 50,
        "E" | "e" => 60,
        "Z" | "z" => 70,
        "Y" | "y" => 80,
        _ => return None,
    };
    let Some((whole, fraction)) = text[..end].split_once('.') else {
        return Some(number(&text[..end], radix)?.saturating_mul(1 << shift));
    };
    if shift == 0 {
        return None; // a byte has no fractions
    }
    number(fraction, 10)?;
    // Further digits of a terabyte are less than two bytes, and they could overflow.
    let digits = fraction.len().min(12);
    let ten = 10_u128.pow(u32::try_from(digits).expect("at most 12"));
    let part = number(&fraction[..digits], 10)? * (1 << shift) / ten;
    Some(number(whole, 10)?.saturating_mul(1 << shift).saturating_add(part))
}

/// Parses digits without a sign or spaces.
fn number(digits: &str, radix: u32) -> Option<u128> {
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    Some(u128::from_str_radix(digits, radix).unwrap_or(u128::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_are_accepted_within_the_limits() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("4096B", 4096),
            ("0x1000", 4096),
            ("0X10k", 16 << 10),
            ("0x10B", 0x10b),
            ("1.5G", 3 << 29),
            ("0.001T", (1 << 40) / 1000),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse(text, 0..=u64::MAX), Ok(bytes), "{text}");
        }
        for text in ["3", "5", "1Y", "18446744073709551616", "99999999999999999999999999999999999999999"] {
            let outside = InvalidSize::Range { text: text.to_owned(), least: 4, most: 4 };
            assert_eq!(parse(text, 4..=4), Err(outside), "{text}");
        }
    }

    #[test]
    fn no_other_text_is_a_number_of_bytes() {
        for text in ["", "K", "-1", "+1", "0x", "0x+1", "0x1.5K", "1KK", "1.5", ".5K", "1.K", "1.2.3K", "1 K"]
        {
            assert_eq!(parse(text, 0..=u64::MAX), Err(InvalidSize::Syntax(text.to_owned())), "{text:?}");
        }
    }

    #[test]
    fn a_size_is_shown_as_a_person_would_type_it() {
        for (size, text) in [
            (0, "0"),
            (64, "64"),
            (4096, "4K"),
            (1 << 30, "1G"),
            (1 << 52, "4096T"),
            ((1 << 20) + 1, "1048577"),
        ] {
            assert_eq!(format(size), text);
            assert_eq!(parse(text, 0..=u64::MAX), Ok(size));
        }
    }
}
