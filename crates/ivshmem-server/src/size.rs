//! Sizes of regions: their range, and the power of two that QEMU requires.

use ivshmem::size::{self, InvalidSize};

/// The smallest region, one page: 4 KiB.
pub const MIN_SIZE: u64 = 4 << 10;
/// The largest region: 1 TiB, the range of the 40 address bits of QEMU's default processor.
pub const MAX_SIZE: u64 = 1 << 40;

/// Parses a size as QEMU's server does: a decimal number of bytes, a whole or fractional number with a suffix `K`, `M`, `G`
/// or `T` (powers of 1024, either case), or a hexadecimal number; see [`ivshmem::size::parse`].
///
/// # Errors
/// When the text is not such a number, or the size is 0 or above [`MAX_SIZE`].
pub fn parse_size(text: &str) -> Result<u64, InvalidSize> {
    size::parse(text, 1..=MAX_SIZE).map_err(|error| match error {
        InvalidSize::Range { text, .. } => out_of_range(text),
        other => other,
    })
}

/// A server accepts less than [`MIN_SIZE`] and rounds it up, but no region is that small.
fn out_of_range(text: String) -> InvalidSize {
    InvalidSize::Range { text, least: MIN_SIZE, most: MAX_SIZE }
}

/// The smallest power of two within the range that is at least this size.
pub(crate) fn rounded_up(size: u64) -> Result<u64, InvalidSize> {
    if size == 0 || size > MAX_SIZE {
        return Err(out_of_range(size.to_string()));
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
            assert_eq!(parse_size(text), Err(out_of_range(text.to_owned())), "{text:?}");
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
