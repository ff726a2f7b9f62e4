//! Memory that must be available before the server accepts more. A failed allocation ends the process at once and leaves
//! its socket behind, so clients are refused before that.

/// Whether there is memory for one more than `clients` clients, and for all messages to them and about them.
pub(crate) fn is_there(clients: u32) -> bool {
    let mut memory = Vec::<u8>::new();
    let is_there = memory.try_reserve_exact(needed(clients)).is_ok();
    // Keeps the compiler from removing an allocation that is never used.
    std::hint::black_box(&memory);
    is_there
}

/// Required memory in bytes. Each client has sets of the ids that were announced to it, one bit per id, which may double
/// while all other clients are announced to it; and some lines in a status, in two forms.
pub(crate) fn needed(clients: u32) -> usize {
    let clients = usize::try_from(clients).unwrap_or(usize::MAX);
    clients.saturating_mul(1024 + clients / 2).saturating_add(BASE)
}

/// For everything that does not grow with the clients: threads, events, log lines.
const BASE: usize = 4 << 20;
