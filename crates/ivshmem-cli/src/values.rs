//! Parsing and formatting of numbers: bytes with a unit, seconds with a fraction.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ivshmem::size::{self, InvalidSize};

/// Parses a whole number of bytes: decimal or 0x..., with an optional K, M, G or T.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    if text.contains('.') {
        return Err(format!("{text:?} is no whole number of bytes, such as 4096, 0x1000 or 4K"));
    }
    size::parse(text, 0..=u64::MAX).map_err(|error| match error {
        InvalidSize::Range { .. } => format!("{text} does not fit in 64 bits"),
        other => other.to_string(),
    })
}

/// Parses the value of one byte, decimal or 0x...
pub(crate) fn byte(text: &str) -> Result<u8, String> {
    let value = bytes(text).ok().and_then(|value| u8::try_from(value).ok());
    value.ok_or_else(|| "not the value of a byte, 0 to 255 or 0x00 to 0xff".to_owned())
}

/// Parses a time of 0 seconds or more.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number of seconds, such as 5 or 0.5".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|_| "not a time: it must be 0 or more and finite".to_owned())
}

/// Formats a time in the syntax of RFC 3339, with microseconds.
pub(crate) fn utc(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Years begin in March, so that a leap day is the last day: 146,097 days are 400 years.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", since.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_in_every_form() {
        let good = [
            ("0", 0),
            ("4096", 4096),
            ("0x1000", 4096),
            ("4K", 4096),
            ("4k", 4096),
            ("0x10M", 16 << 20),
            ("1G", 1 << 30),
            ("2T", 2 << 40),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, value) in good {
            assert_eq!(bytes(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_number_of_bytes_is_refused() {
        for text in [
            "",
            "K",
            "0x",
            "-1",
            "+1",
            "0x+1",
            "1KK",
            "1KM",
            "1.5K",
            "1Z",
            "4 K",
            "16777216T",
            "18446744073709551616",
        ] {
            assert!(bytes(text).is_err(), "{text:?} gave {:?}", bytes(text));
        }
    }

    #[test]
    fn a_byte_has_eight_bits() {
        assert_eq!((byte("0"), byte("255"), byte("0xA5")), (Ok(0), Ok(255), Ok(0xa5)));
        for text in ["256", "-1", "", "a5", "0x100"] {
            assert!(byte(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn seconds_are_finite_and_not_negative() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["", "x", "-1", "nan", "inf", "1e300"] {
            assert!(seconds(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_time_is_written_as_others_write_it() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399_999_999, "2000-02-28T23:59:59.999999Z"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
            (1_709_251_199_000_000, "2024-02-29T23:59:59.000000Z"),
            (1_709_251_200_000_000, "2024-03-01T00:00:00.000000Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
            (1_798_761_599_500_000, "2026-12-31T23:59:59.500000Z"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_micros(micros)), text);
        }
    }
}
