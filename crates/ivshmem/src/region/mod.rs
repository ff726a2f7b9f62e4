//! The owner of a mapping, and the checked views through which every access to shared bytes goes.
//!
//! This is the only room where an address becomes an access. It does not know where a mapping came from, nor what is
//! stored in it. `raw` has the accesses themselves; `Memory` checks each of them once and keeps the pages alive.

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

/// How the processor caches the memory; it decides what publishing to the other side costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CacheMode {
    /// Ordinary memory: the host, and whatever maps files.
    Cached,
    /// Writes are gathered and reach the other side late and in any order, until a fence, an atomic
    /// read-modify-write or a store that is not relaxed. Reads are not cached and slow.
    WriteCombined,
    /// Every access goes to the bus, in order, one by one: slow in both directions. Linux makes a mapping
    /// write-combined in its place while somebody else has such a one, therefore publish here as there.
    Uncached,
}
