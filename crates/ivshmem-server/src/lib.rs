//! A server for QEMU's ivshmem-doorbell devices.
