//! The owner of a mapping, and the checked views through which every access to shared bytes goes.
//!
//! Only this module accesses shared bytes by address. It does not depend on the source of a mapping or on its contents.
//! `raw` implements the accesses; `Memory` checks each of them once and keeps the pages mapped.

mod atomic;
mod error;
mod heap;
mod memory;
mod pages;
mod raw;
mod spin;
mod word;

pub use atomic::AtomicWord;
#[doc(hidden)]
pub use atomic::{compare_exchange_at, fetch_add_at, swap_at};
pub use error::MemoryError;
pub use memory::Memory;
pub use spin::Spin;
pub use word::Word;

pub(crate) use pages::Region;

/// How the processor caches the memory. The mode determines the cost of publishing data to the peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CacheMode {
    /// Ordinary memory: all memory on the host, every file in a guest, and by default a device's memory in a Windows guest.
    Cached,
    /// The processor buffers writes. They may reach the peers late and in any order, until a fence, an atomic
    /// read-modify-write or a store that is not relaxed. Reads are uncached and slow.
    WriteCombined,
    /// Every access goes to the bus separately and in order. Reads and writes are slow. If a write-combined mapping of the
    /// same memory exists, Linux makes this mapping write-combined, too; therefore publish data as for `WriteCombined`.
    Uncached,
}
