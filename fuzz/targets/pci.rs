//! Data of a device and of the kernel: configuration space of any length and content, and lines of the attribute
//! `resource`.
//!
//! The first byte plus 1 is the length of the configuration space; the text follows the configuration space.
#![no_main]

use ivshmem::decoders;
use ivshmem::wire::MAX_VECTORS;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&length, rest)) = input.split_first() else { return };
    let (configuration, text) = rest.split_at((usize::from(length) + 1).min(rest.len()));

    let vectors = decoders::vectors(configuration);
    assert!(vectors.is_none_or(|vectors| vectors <= MAX_VECTORS));
    // A shorter prefix never has a different result, except none.
    for seen in [64, configuration.len() / 2] {
        let part = decoders::vectors(&configuration[..seen.min(configuration.len())]);
        assert!(part.is_none() || part == vectors, "{part:?} of {seen} bytes, {vectors:?} of all");
    }
    for bar in 0..6 {
        let lost = decoders::lost_its_address(configuration, bar);
        assert!(!lost || configuration.len() >= 0x14 + 4 * bar, "lost, and nobody has seen it");
    }

    for line in String::from_utf8_lossy(text).lines() {
        let Some((start, len)) = decoders::bar(line) else { continue };
        let again = format!("{start:#018x} {:#018x} 0x0", start + (len - 1));
        assert!(decoders::bar(&again) == Some((start, len)), "{line:?}");
    }
});
