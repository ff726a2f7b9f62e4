use std::path::Path;

use super::{Device, OpenError, doorbell, plain};

/// Opens what one string names; see [`open`](crate::open()).
pub(crate) fn open(target: &str) -> Result<Device, OpenError> {
    let bad = |problem: String| OpenError::BadTarget { target: target.to_string(), problem };
    match target.split_once(':') {
        Some(("plain", rest)) => open_plain(rest).map_err(bad)?.open(),
        Some(("doorbell", "")) => Err(bad("the path is missing".to_string())),
        Some(("doorbell", path)) => doorbell::doorbell(Path::new(path)).connect(),
        Some(("pci" | "windows", _)) => Err(OpenError::Unsupported { what: "opening a device of a guest" }),
        _ if target == "auto" => Err(OpenError::Unsupported { what: "finding devices of a guest" }),
        _ => Err(bad(advice(target))),
    }
}

fn open_plain(rest: &str) -> Result<plain::Plain, String> {
    let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
    if path.is_empty() {
        return Err("the path is missing".to_string());
    }
    let mut plain = plain::plain(Path::new(path));
    for option in options.split('&').filter(|o| !o.is_empty()) {
        plain = match option.split_once('=') {
            Some(("size", value)) => plain.size(size(value)?),
            _ if option == "readonly" => plain.read_only(),
            _ => return Err(format!("there is no option {option:?}; there are size=BYTES and readonly")),
        };
    }
    Ok(plain)
}

/// Bytes, decimal or hexadecimal, with a power of 1024 behind.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(['k', 'K', 'm', 'M', 'g', 'G', 't', 'T']);
    let shift = match &text[digits.len()..] {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        "t" | "T" => 40,
        _ => return Err(format!("{text:?} is no size; write a number, or one with K, M, G or T behind")),
    };
    let (digits, radix) = digits.strip_prefix("0x").map_or((digits, 10), |digits| (digits, 16));
    // The standard library would take a sign.
    let only_digits = digits.chars().all(|c| c.is_digit(radix));
    let bytes = if only_digits { u64::from_str_radix(digits, radix).ok() } else { None };
    match bytes.and_then(|bytes| bytes.checked_mul(1 << shift)) {
        Some(0) | None => {
            Err(format!("{text:?} is no size; write 1 to 2^63, or a number with K, M, G or T behind"))
        }
        Some(bytes) => Ok(bytes),
    }
}

/// What somebody who wrote this probably meant.
fn advice(target: &str) -> String {
    let Ok(facts) = Path::new(target).metadata() else {
        return "it begins with none of the forms below".to_string();
    };
    if facts.is_dir() {
        return "it is a directory".to_string();
    }
    let scheme = if facts.is_file() { "plain" } else { "doorbell" };
    format!("it is a path; write {scheme}:{target}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn sizes_have_suffixes_and_limits() {
        let good = [
            ("1", 1),
            ("64", 64),
            ("4k", 4096),
            ("3M", 3 << 20),
            ("2G", 2 << 30),
            ("1T", 1 << 40),
            ("0x1000", 4096),
            ("0x10K", 16 << 10),
        ];
        for (text, bytes) in good {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in
            ["", "0", "0K", "-1", "+1", "1Z", "1KK", "K", "0x", "0x+1", "0xg", "1 M", "18446744073709551615G"]
        {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_plain_target_opens_memory_of_its_size() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m");
        let device = open(&format!("plain:{}?size=8K", path.display())).unwrap();
        assert_eq!(device.memory().len(), 8192);
        let again = open(&format!("plain:{}?readonly", path.display())).unwrap();
        assert!(again.memory().is_read_only());
    }

    #[test]
    fn a_bad_target_is_told_what_to_write() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("m");
        std::fs::write(&file, [0; 16]).unwrap();
        let socket = directory.path().join("s");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let cases = [
            (file.display().to_string(), format!("write plain:{}", file.display())),
            (socket.display().to_string(), format!("write doorbell:{}", socket.display())),
            ("plain:".into(), "the path is missing".into()),
            ("doorbell:".into(), "the path is missing".into()),
            ("plain:/x?size=1Z".into(), "no size".into()),
            ("plain:/x?colour=red".into(), "no option".into()),
            (directory.path().display().to_string(), "it is a directory".into()),
            ("nonsense".into(), "plain:PATH".into()),
            ("".into(), "doorbell:PATH".into()),
        ];
        for (target, text) in cases {
            let error = open(&target).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
            assert!(error.to_string().contains(&text), "{error} has no {text:?}");
        }
        for target in ["pci:0000:00:0e.0", "windows:0", "auto"] {
            assert_eq!(open(target).unwrap_err().kind(), ErrorKind::Unsupported);
        }
    }
}
