//! Sizes of regions: their syntax, their range, and the power of two that QEMU requires.

/// The smallest region, one page: 4 KiB.
pub const MIN_SIZE: u64 = 4 << 10;
/// The largest region: 1 TiB, the range of the 40 address bits of QEMU's default processor.
pub const MAX_SIZE: u64 = 1 << 40;

/// A text that is not a size, or a size outside the range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSize {
    /// Not a number with a suffix.
    #[error("size {0:?}: write a number of bytes, or one with a suffix of K, M, G or T, like 4M or 1.5G")]
    Syntax(String),
    /// Outside the range.
    #[error("size {0}: a region has 4K to 1T bytes")]
    Range(String),
}

/// Parses a size as QEMU's server does: a decimal number of bytes, a whole or fractional number with a suffix `K`, `M`, `G`
/// or `T` (powers of 1024, either case), or a hexadecimal number of bytes.
///
/// # Errors
/// When the text is not such a number, or the size is 0 or above [`MAX_SIZE`].
pub fn parse_size(text: &str) -> Result<u64, InvalidSize> {
    match parse(text) {
        Some(bytes) if (1..=u128::from(MAX_SIZE)).contains(&bytes) => {
            Ok(u64::try_from(bytes).expect("in the range"))
        }
        Some(_) => Err(InvalidSize::Range(text.to_owned())),
        None => Err(InvalidSize::Syntax(text.to_owned())),
    }
}

/// The number of bytes, saturated at the largest value of the type.
fn parse(text: &str) -> Option<u128> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return number(digits, 16);
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
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
        return Some(number(&text[..end], 10)?.saturating_mul(1 << shift));
    };
    if shift == 0 {
        return None; // a byte has no fractions
    }
    // Further digits are less than a byte of the largest region.
    let digits = fraction.len().min(12);
    let part = (number(fraction, 10).is_some()).then(|| number(&fraction[..digits], 10))??;
    let ten = 10_u128.pow(u32::try_from(digits).expect("at most 12"));
    Some(number(whole, 10)?.saturating_mul(1 << shift).saturating_add(part * (1 << shift) / ten))
}

/// Parses digits without a sign or spaces.
fn number(digits: &str, radix: u32) -> Option<u128> {
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    Some(u128::from_str_radix(digits, radix).unwrap_or(u128::MAX))
}

/// The smallest power of two within the range that is at least this size.
pub(crate) fn rounded_up(size: u64) -> Result<u64, InvalidSize> {
    if size == 0 || size > MAX_SIZE {
        return Err(InvalidSize::Range(size.to_string()));
    }
    Ok(size.next_power_of_two().max(MIN_SIZE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_64_bits() {
        for (text, bytes) in [
            ("4096", 4096),
            ("4096B", 4096),
            ("4K", 4 << 10),
            ("3m", 3 << 20),
            ("4G", 4 << 30),
            ("5g", 5 << 30),
            ("64G", 64 << 30),
            ("1T", 1 << 40),
            ("1.5G", 3 << 29),
            ("0.25M", 1 << 18),
            ("0x1000", 4096),
            ("0.001T", (1 << 40) / 1000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_and_never_cut_to_fit() {
        for text in
            ["", "-1", "+1", "x", "4X", "4KB", "1.2.3K", ".5G", "1.G", "1.5", " 4K", "4 K", "0x", "0x+1", "K"]
        {
            assert_eq!(parse_size(text), Err(InvalidSize::Syntax(text.to_owned())), "{text:?}");
        }
        for text in [
            "0",
            "0K",
            "0.0K",
            "1025G",
            "1.1T",
            "1E",
            "16E",
            "1Z",
            "18446744073709551615",
            "18446744073709551616",
            "99999999999999999999999K",
            "0x10000000000000000",
        ] {
            assert_eq!(parse_size(text), Err(InvalidSize::Range(text.to_owned())), "{text:?}");
        }
    }

    #[test]
    fn sizes_round_up_to_a_power_of_two_within_the_range() {
        assert_eq!(rounded_up(1), Ok(MIN_SIZE));
        assert_eq!(rounded_up(4097), Ok(8192));
        assert_eq!(rounded_up(5 << 30), Ok(8 << 30));
        assert_eq!(rounded_up(MAX_SIZE), Ok(MAX_SIZE));
        assert!(rounded_up(0).is_err() && rounded_up(MAX_SIZE + 1).is_err() && rounded_up(u64::MAX).is_err());
    }
}
