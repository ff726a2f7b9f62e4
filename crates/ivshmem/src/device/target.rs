use std::path::{Path, PathBuf};

use super::address::PciAddress;
use super::pci::pci;
use super::windows::windows;
use super::{Device, OpenError, doorbell, plain};
use crate::region::CacheMode;
use crate::size;

/// Opens a target; see [`open`](crate::open()).
pub(crate) fn open(target: &str) -> Result<Device, OpenError> {
    Target::parse(target)?.open()
}

/// Opens a target for reading only; see [`open_read_only`](crate::open_read_only()).
pub(crate) fn open_read_only(target: &str) -> Result<Device, OpenError> {
    Target::parse(target)?.for_reading().open()
}

/// A parsed target string; see [`open`](crate::open()).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// A file.
    Plain {
        /// Its path.
        path: PathBuf,
        /// Its least size in bytes.
        size: Option<u64>,
        /// Whether it is opened for reading only.
        read_only: bool,
        /// Whether all its pages are made present.
        prefault: bool,
    },
    /// The memory of a server, and interrupts.
    Doorbell {
        /// The path of the server's socket.
        path: PathBuf,
        /// Whether the memory is mapped for reading only.
        read_only: bool,
        /// Whether the device reconnects after it has lost the server.
        reconnect: bool,
    },
    /// A device of this Linux guest.
    Pci {
        /// The selector of the device.
        selector: String,
        /// How the processor caches the memory.
        cache: Option<CacheMode>,
        /// Whether it leaves the interrupts to other processes.
        memory_only: bool,
    },
    /// A device of this Windows guest.
    Windows {
        /// The selector of the device.
        selector: String,
        /// How the processor caches the memory.
        cache: Option<CacheMode>,
    },
}

impl Target {
    /// Parses a target string. This opens nothing, and looks at a file only to explain why a path alone is no target.
    ///
    /// # Errors
    /// [`OpenError::BadTarget`], or [`OpenError::Unsupported`] for a target of another system.
    pub fn parse(target: &str) -> Result<Self, OpenError> {
        // For a target of another system, "unsupported" takes precedence over other errors in it.
        Self::read(target).map_err(|problem| {
            foreign(target).unwrap_or_else(|| OpenError::BadTarget { target: target.to_string(), problem })
        })
    }

    fn read(target: &str) -> Result<Self, String> {
        match target.split_once(':') {
            Some(("plain", rest)) => read_plain(rest),
            Some(("doorbell", rest)) => read_doorbell(rest),
            Some(("pci", rest)) => read_pci(rest),
            Some(("windows", rest)) => read_windows(rest),
            _ if target == "auto" && cfg!(windows) => read_windows(""),
            _ if target == "auto" => read_pci(""),
            _ => Err(advice(target)),
        }
    }

    /// The same target for a program that only reads, and leaves holes as they are.
    fn for_reading(mut self) -> Self {
        match &mut self {
            Self::Plain { read_only, prefault, .. } => (*read_only, *prefault) = (true, false),
            Self::Doorbell { read_only, .. } => *read_only = true,
            // A guest's device has no holes.
            Self::Pci { .. } | Self::Windows { .. } => {}
        }
        self
    }

    /// Opens the device.
    ///
    /// # Errors
    /// As of the kind's own options.
    pub fn open(self) -> Result<Device, OpenError> {
        match self {
            Self::Plain { path, size, read_only, prefault } => {
                let mut plain = plain::plain(&path);
                if let Some(bytes) = size {
                    plain = plain.size(bytes);
                }
                if read_only {
                    plain = plain.read_only();
                }
                if prefault {
                    plain = plain.prefault();
                }
                plain.open()
            }
            Self::Doorbell { path, read_only, reconnect } => {
                let doorbell = doorbell::doorbell(&path).reconnect(reconnect);
                if read_only { doorbell.read_only().connect() } else { doorbell.connect() }
            }
            Self::Pci { selector, cache, memory_only } => {
                let device = cache.into_iter().fold(pci(&selector), super::Pci::cache);
                if memory_only { device.memory_only().open() } else { device.open() }
            }
            Self::Windows { selector, cache } => {
                cache.into_iter().fold(windows(&selector), super::Windows::cache).open()
            }
        }
    }
}

fn read_plain(rest: &str) -> Result<Target, String> {
    let (path, options) = path_and_options(rest)?;
    let (mut wanted, mut read_only, mut prefault) = (None, false, false);
    for option in options {
        match option {
            ("size", Some(value)) => wanted = Some(size(value)?),
            ("readonly", None) => read_only = true,
            ("prefault", None) => prefault = true,
            _ => return Err(no_option(option, "size=BYTES, readonly and prefault")),
        }
    }
    Ok(Target::Plain { path, size: wanted, read_only, prefault })
}

fn read_doorbell(rest: &str) -> Result<Target, String> {
    let (path, options) = path_and_options(rest)?;
    let (mut read_only, mut reconnect) = (false, false);
    for option in options {
        match option {
            ("readonly", None) => read_only = true,
            ("reconnect", None) => reconnect = true,
            _ => return Err(no_option(option, "readonly and reconnect")),
        }
    }
    Ok(Target::Doorbell { path, read_only, reconnect })
}

fn read_pci(rest: &str) -> Result<Target, String> {
    let (selector, options) = rest.split_once('?').unwrap_or((rest, ""));
    let (mut cache, mut memory_only) = (None, false);
    for option in split(options)? {
        match option {
            ("cache", Some("wc")) => cache = Some(CacheMode::WriteCombined),
            ("cache", Some("uncached")) => cache = Some(CacheMode::Uncached),
            ("memory-only", None) => memory_only = true,
            _ => return Err(no_option(option, "cache=wc, cache=uncached and memory-only")),
        }
    }
    Ok(Target::Pci { selector: selector.to_string(), cache, memory_only })
}

fn read_windows(rest: &str) -> Result<Target, String> {
    // The path of a device contains a question mark itself, with a backslash after it.
    let (selector, options) = match rest.rsplit_once('?') {
        Some((selector, options)) if !options.starts_with('\\') => (selector, options),
        _ => (rest, ""),
    };
    let mut cache = None;
    for option in split(options)? {
        cache = Some(match option {
            ("cache", Some("cached")) => CacheMode::Cached,
            ("cache", Some("wc")) => CacheMode::WriteCombined,
            ("cache", Some("uncached")) => CacheMode::Uncached,
            _ => return Err(no_option(option, "cache=cached, cache=wc and cache=uncached")),
        });
    }
    Ok(Target::Windows { selector: selector.to_string(), cache })
}

/// The name of an option, and the value after its equals sign.
type TargetOption<'a> = (&'a str, Option<&'a str>);

fn path_and_options(rest: &str) -> Result<(PathBuf, Vec<TargetOption<'_>>), String> {
    let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
    if path.is_empty() {
        return Err("the path is missing".to_string());
    }
    Ok((path.into(), split(options)?))
}

/// Splits the options after the question mark. An option may be there only once, so no two can contradict each other.
fn split(text: &str) -> Result<Vec<TargetOption<'_>>, String> {
    let mut options: Vec<TargetOption> = Vec::new();
    for option in text.split('&').filter(|option| !option.is_empty()) {
        let (name, value) =
            option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        if options.iter().any(|(known, _)| *known == name) {
            return Err(format!("it has the option {name:?} twice; leave one of them out"));
        }
        options.push((name, value));
    }
    Ok(options)
}

fn no_option((name, value): TargetOption, known: &str) -> String {
    let option = value.map_or(name.to_string(), |value| format!("{name}={value}"));
    format!("there is no option {option:?}; there are {known}")
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
    let kind = if facts.is_file() {
        "plain"
    } else if is_socket(&facts) {
        "doorbell"
    } else {
        return "it is neither memory nor a server's socket".to_string();
    };
    if target.contains('?') {
        return format!("it is a path with a question mark, after which {kind}:PATH has options; rename it");
    }
    format!("it is a path; write {kind}:{target}")
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
    fn a_doorbell_target_has_a_path_and_options() {
        for (target, path, read_only, reconnect) in [
            ("doorbell:/run/s", "/run/s", false, false),
            ("doorbell:/run/s?", "/run/s", false, false),
            ("doorbell:s?readonly", "s", true, false),
            ("doorbell:a b&c?reconnect", "a b&c", false, true),
            ("doorbell:/run/s?reconnect&readonly", "/run/s", true, true),
        ] {
            let expected = Target::Doorbell { path: path.into(), read_only, reconnect };
            assert_eq!(Target::parse(target).unwrap(), expected, "{target}");
        }
        for (options, text) in [
            ("colour=red", "there is no option \"colour=red\"; there are readonly and reconnect"),
            ("memory-only", "there is no option \"memory-only\"; there are readonly and reconnect"),
            ("readonly=yes", "there is no option \"readonly=yes\""),
            ("size=4K", "there is no option \"size=4K\""),
            ("readonly&reconnect&readonly", "it has the option \"readonly\" twice"),
            ("reconnect?readonly", "there is no option \"reconnect?readonly\""),
        ] {
            let target = format!("doorbell:/run/s?{options}");
            let error = Target::parse(&target).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
            let error = error.to_string();
            assert!(error.contains(&target) && error.contains(text), "{error} has no {text:?}");
        }
    }

    #[test]
    fn an_option_of_any_target_is_there_once() {
        for target in [
            "plain:/x?size=4K&size=8K",
            "plain:/x?readonly&readonly",
            "pci:0?cache=wc&cache=uncached",
            "pci:0?memory-only&memory-only",
        ] {
            let error = Target::parse(target).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
            assert!(error.to_string().contains("twice; leave one of them out"), "{error}");
        }
        assert!(read_windows("0?cache=wc&cache=cached").is_err());
    }

    #[test]
    fn a_bad_target_is_told_what_to_write() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("m");
        std::fs::write(&file, [0; 16]).unwrap();
        let socket = directory.path().join("s");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let odd = directory.path().join("m?");
        std::fs::write(&odd, [0; 16]).unwrap();
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
            (odd.display().to_string(), "rename it".into()),
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
        for (rest, selector, cache) in [
            (path.to_string(), path, None),
            (format!("{path}?cache=wc"), path, Some(CacheMode::WriteCombined)),
            ("1?cache=uncached".to_string(), "1", Some(CacheMode::Uncached)),
            ("?cache=cached".to_string(), "", Some(CacheMode::Cached)),
        ] {
            let expected = Target::Windows { selector: selector.to_string(), cache };
            assert_eq!(read_windows(&rest), Ok(expected), "{rest}");
        }
    }

    #[test]
    fn a_pci_target_has_a_selector_and_options() {
        for bad in ["pci:x", "pci:?window=1", "pci:0?cache", "pci:00:40.0"] {
            assert_eq!(open(bad).unwrap_err().kind(), ErrorKind::InvalidArgument, "{bad}");
        }
    }
}
