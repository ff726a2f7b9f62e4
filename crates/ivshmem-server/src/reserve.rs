//! Memory that must be left before anything more is taken on. An allocation that fails ends the process on the spot, with its
//! socket left behind; so clients are refused before it comes to that.

/// Whether there is room for one more than `clients` clients, and for all that may be told to them and about them later.
pub(crate) fn is_there(clients: u32) -> bool {
    let mut memory = Vec::<u8>::new();
    let is_there = memory.try_reserve_exact(needed(clients)).is_ok();
    // An allocation that is never used need not be made.
    std::hint::black_box(&memory);
    is_there
}

/// Bytes. Each client has sets of the ids that it was told of, a bit each, which may double while it is told of all others; and
/// some lines in a status, in two forms.
pub(crate) fn needed(clients: u32) -> usize {
    let clients = usize::try_from(clients).unwrap_or(usize::MAX);
    clients.saturating_mul(1024 + clients / 2).saturating_add(BASE)
}

/// For everything that does not grow with the clients: threads, events, lines of the log.
const BASE: usize = 4 << 20;
