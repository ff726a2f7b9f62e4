//! Whether a machine's processor can address the region.

use std::fs;

use ivshmem::{shell_word, size};

use crate::finding::Finding;

/// The address of the device's memory is a multiple of its size, and RAM occupies the addresses from 0 on. So the size may
/// be at most half of the address space.
pub(super) fn examine(target: &str, size: u64, phys_bits: u32) -> Option<Finding> {
    let most = 1_u64 << (phys_bits - 1);
    if size <= most {
        return None;
    }
    let host = host_bits().map_or_else(String::new, |bits| format!("; this host's processor has {bits}"));
    let needed = host_bits().unwrap_or(52).max(u64::BITS - (size - 1).leading_zeros() + 1);
    Some(Finding::problem(
        "address-width",
        format!(
            "{} bytes ({}) cannot be addressed by a machine with {phys_bits} address bits, which is QEMU's default or \
             what --phys-bits says: at most {}{host}",
            size,
            size::format(size),
            size::format(most)
        ),
        format!(
            "make the region smaller, or give the machine more bits with KVM: -cpu host,host-phys-bits=on (in libvirt \
             <maxphysaddr mode='passthrough'/> inside <cpu>); then ask again, with its number: `ivshmem doctor {} \
             --phys-bits {needed}`",
            shell_word(target)
        ),
    ))
}

/// Parses /proc/cpuinfo: "address sizes : 46 bits physical, 48 bits virtual".
fn host_bits() -> Option<u32> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("address sizes"))?;
    line.split_once(':')?.1.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_what_the_bits_reach_fits() {
        assert!(examine("auto", 1 << 39, 40).is_none());
        assert!(examine("auto", (1 << 39) + 1, 40).is_some());
        assert!(examine("auto", 1 << 40, 46).is_none());
    }
}
