//! The command `ivshmem`.

fn main() {}
