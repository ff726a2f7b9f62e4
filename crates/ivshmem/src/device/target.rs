use std::path::Path;

use super::pci::{Pci, PciAddress, pci};
use super::windows::{Windows, windows};
use super::{Device, OpenError, doorbell, plain};
use crate::region::CacheMode;
use crate::size;

/// Opens a target; see [`open`](crate::open()).
pub(crate) fn open(target: &str) -> Result<Device, OpenError> {
    match Target::read(target)? {
        Target::Plain(plain) => plain.open(),
        Target::Doorbell(doorbell) => doorbell.connect(),
        Target::Pci(device) => device.open(),
        Target::Windows(device) => device.open(),
    }
}

/// Opens a target for reading only; see [`open_read_only`](crate::open_read_only()).
pub(crate) fn open_read_only(target: &str) -> Result<Device, OpenError> {
    match Target::read(target)? {
        Target::Plain(plain) => plain.for_looking().open(),
        Target::Doorbell(doorbell) => doorbell.read_only().connect(),
        Target::Pci(device) => device.open(),
        Target::Windows(device) => device.open(),
    }
}

/// A parsed target with its options. Parsing opens nothing.
pub(crate) enum Target {
    Plain(plain::Plain),
    Doorbell(doorbell::Doorbell),
    Pci(Pci),
    Windows(Windows),
}

impl Target {
    pub(crate) fn read(target: &str) -> Result<Self, OpenError> {
        // For a target of another system, "unsupported" takes precedence over other errors in it.
        Self::parse(target).map_err(|error| foreign(target).unwrap_or(error))
    }

    fn parse(target: &str) -> Result<Self, OpenError> {
        let bad = |problem: String| OpenError::BadTarget { target: target.to_string(), problem };
        Ok(match target.split_once(':') {
            Some(("plain", rest)) => Self::Plain(read_plain(rest).map_err(bad)?),
            Some(("doorbell", "")) => return Err(bad("the path is missing".to_string())),
            Some(("doorbell", path)) => Self::Doorbell(doorbell::doorbell(Path::new(path))),
            Some(("pci", rest)) => Self::Pci(read_pci(rest).map_err(bad)?),
            Some(("windows", rest)) => Self::Windows(read_windows(rest).map_err(bad)?),
            _ if target == "auto" && cfg!(windows) => Self::Windows(windows("")),
            _ if target == "auto" => Self::Pci(pci("")),
            _ => return Err(bad(advice(target))),
        })
    }
}

fn read_plain(rest: &str) -> Result<plain::Plain, String> {
    let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
    if path.is_empty() {
        return Err("the path is missing".to_string());
    }
    let mut plain = plain::plain(Path::new(path));
    for option in options.split('&').filter(|o| !o.is_empty()) {
        plain = match option.split_once('=') {
            Some(("size", value)) => plain.size(size(value)?),
            _ if option == "readonly" => plain.read_only(),
            _ if option == "prefault" => plain.prefault(),
            _ => {
                return Err(format!(
                    "there is no option {option:?}; there are size=BYTES, readonly and prefault"
                ));
            }
        };
    }
    Ok(plain)
}

fn read_pci(rest: &str) -> Result<Pci, String> {
    let (selector, options) = rest.split_once('?').unwrap_or((rest, ""));
    let mut device = pci(selector);
    for option in options.split('&').filter(|o| !o.is_empty()) {
        device = match option {
            "cache=wc" => device.cache(CacheMode::WriteCombined),
            "cache=uncached" => device.cache(CacheMode::Uncached),
            "memory-only" => device.memory_only(),
            _ => {
                return Err(format!(
                    "there is no option {option:?}; there are cache=wc, cache=uncached and memory-only"
                ));
            }
        };
    }
    Ok(device)
}

fn read_windows(rest: &str) -> Result<Windows, String> {
    // The path of a device contains a question mark itself, with a backslash after it.
    let (selector, options) = match rest.rsplit_once('?') {
        Some((selector, options)) if !options.starts_with('\\') => (selector, options),
        _ => (rest, ""),
    };
    let mut device = windows(selector);
    for option in options.split('&').filter(|o| !o.is_empty()) {
        device = device.cache(match option {
            "cache=cached" => CacheMode::Cached,
            "cache=wc" => CacheMode::WriteCombined,
            "cache=uncached" => CacheMode::Uncached,
            _ => {
                return Err(format!(
                    "there is no option {option:?}; there are cache=cached, cache=wc and cache=uncached"
                ));
            }
        });
    }
    Ok(device)
}

/// The error for a target of another system; `None` for a target of this one.
fn foreign(target: &str) -> Option<OpenError> {
    const WINDOWS: &str = "a device of a Windows guest";
    let others: &[(&str, &str)] = if cfg!(windows) {
        &[
            ("plain:", "memory in a file"),
            ("doorbell:", "a connection to an ivshmem server"),
            ("pci:", "a device of a Linux guest"),
        ]
    } else {
        &[("windows:", WINDOWS), (WINDOWS_PATH, WINDOWS)]
    };
    let (_, what) = others.iter().find(|(beginning, _)| target.starts_with(beginning))?;
    Some(OpenError::Unsupported { what })
}

/// The start of the path of a Windows device.
const WINDOWS_PATH: &str = r"\\?\pci#";

/// Parses the size of memory. No system has files or devices of more than 2^62 bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    size::parse(text, 1..=1 << 62).map_err(|error| error.to_string())
}

/// The probable mistake in an invalid target, with its remedy.
fn advice(target: &str) -> String {
    if target.is_empty() {
        return "it is empty".to_string();
    }
    if PciAddress::parse(target).is_some() {
        let kind = if cfg!(windows) { "windows" } else { "pci" };
        return format!("it is the address of a PCI device; write {kind}:{target}");
    }
    if target.starts_with(WINDOWS_PATH) {
        return format!("it is the path of a Windows device; write windows:{target}");
    }
    let Ok(facts) = Path::new(target).metadata() else {
        return "it begins with none of the forms below".to_string();
    };
    if facts.is_dir() {
        return "it is a directory".to_string();
    }
    if facts.is_file() && cfg!(windows) {
        return "it is a file, which is no memory on this system".to_string();
    }
    if facts.is_file() {
        return format!("it is a path; write plain:{target}");
    }
    if is_socket(&facts) {
        return format!("it is a path; write doorbell:{target}");
    }
    "it is neither memory nor a server's socket".to_string()
}

#[cfg(unix)]
fn is_socket(facts: &std::fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_socket(&facts.file_type())
}

#[cfg(not(unix))]
fn is_socket(_: &std::fs::Metadata) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::super::error::TARGETS;
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
            ("/dev/null".into(), "neither memory nor".into()),
            ("0000:00:05.0".into(), "write pci:0000:00:05.0".into()),
            ("00:05.0".into(), "write pci:00:05.0".into()),
            ("pci:0?cache=cached".into(), "cache=wc".into()),
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
    }

    #[test]
    fn a_target_of_another_system_is_told_what_there_is_on_this_one() {
        for target in ["windows:0", "windows:", "windows:0?cache=fast", r"\\?\pci#1"] {
            let error = open(target).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            let text = error.to_string();
            let (what, targets) = text.split_once("not supported on this system; targets are ").expect(&text);
            assert!(what.contains("a device of a Windows guest"), "{text}");
            assert_eq!(targets, TARGETS);
            assert!(!text.contains("windows:") && !text.contains("cache=cached"), "{text}");
        }
    }

    #[test]
    fn where_there_is_no_device_the_error_says_how_to_have_one() {
        if !crate::device::pci::devices().unwrap().is_empty() {
            return;
        }
        for target in ["pci:0000:00:0e.0", "pci:", "pci:0", "pci:size=64M?cache=uncached&memory-only", "auto"]
        {
            let error = open(target).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            assert!(error.to_string().contains("-device ivshmem-doorbell"), "{error}");
        }
    }

    #[test]
    fn a_windows_target_may_have_a_path_with_a_question_mark() {
        let path = r"\\?\pci#ven_1af4&dev_1110#3&11583659&0&28#{df576976-569d-4672-95a0-f57e4ea0b210}";
        let text = |device: Windows| format!("{device:?}");
        for (rest, expected) in [
            (path.to_string(), windows(path)),
            (format!("{path}?cache=wc"), windows(path).cache(CacheMode::WriteCombined)),
            ("1?cache=uncached".to_string(), windows("1").cache(CacheMode::Uncached)),
            ("?cache=cached".to_string(), windows("")),
        ] {
            assert_eq!(text(read_windows(&rest).unwrap()), text(expected), "{rest}");
        }
    }

    #[test]
    fn a_pci_target_has_a_selector_and_options() {
        for bad in ["pci:x", "pci:?window=1", "pci:0?cache", "pci:00:40.0"] {
            assert_eq!(open(bad).unwrap_err().kind(), ErrorKind::InvalidArgument, "{bad}");
        }
    }
}
