//! Target strings, as in command lines and configuration files. They are parsed, but nothing is opened.
//!
//! A string may be refused, with one line that is always the same; an accepted string must mean the same when it is written
//! differently.
#![no_main]

use ivshmem::decoders;
use ivshmem::pci::PciAddress;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    for kind in ["", "plain:", "doorbell:", "pci:", "windows:"] {
        let target = format!("{kind}{text}");
        let read = decoders::target(&target);
        assert_eq!(read, decoders::target(&target));
        if let Err(why) = read {
            assert!(!why.is_empty(), "{target:?} is refused without a reason");
        }
    }
    size(&text);
    if let Some(address) = PciAddress::parse(&text) {
        assert_eq!(PciAddress::parse(&address.to_string()), Some(address), "{text:?}");
    }
});

/// A parsed size must parse again as a decimal and as a hexadecimal number.
fn size(text: &str) {
    let Ok(bytes) = decoders::size(text) else { return };
    assert_ne!(bytes, 0, "{text:?}");
    assert_eq!(decoders::size(&bytes.to_string()), Ok(bytes), "{text:?}");
    assert_eq!(decoders::size(&format!("{bytes:#x}")), Ok(bytes), "{text:?}");
    assert!(decoders::target(&format!("plain:/x?size={text}")).is_ok(), "{text:?}");
}
