// UNSAFETY: mapping and unmapping change what addresses mean.
#![expect(unsafe_code, reason = "mmap and its kin")]

use std::io;
use std::os::fd::AsFd;
use std::ptr::{NonNull, null_mut};

use rustix::mm::{Advice, MapFlags, MsyncFlags, ProtFlags, madvise, mmap, mmap_anonymous, msync, munmap};

/// An owned shared mapping, unmapped on drop.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
    read_only: bool,
}

// SAFETY: a mapping belongs to the process, not to a thread.
unsafe impl Send for Mapping {}
// SAFETY: as above; a shared Mapping only hands out its address.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps a part of a file. `offset` is a multiple of the file's page size; so is `len` for huge pages.
    pub fn new(fd: &impl AsFd, offset: u64, len: usize, read_only: bool) -> io::Result<Self> {
        let access = if read_only { ProtFlags::READ } else { ProtFlags::READ | ProtFlags::WRITE };
        // SAFETY: the kernel chooses the place, so no address in use changes its meaning.
        let start = unsafe { mmap(null_mut(), len, access, MapFlags::SHARED, fd, offset) }?;
        let start = NonNull::new(start.cast()).expect("mmap gives address 0 only to those who ask for it");
        Ok(Self { start, len, read_only })
    }

    /// The first byte.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Length in bytes.
    pub fn size(&self) -> usize {
        self.len
    }

    /// Whether the pages are mapped for reading only.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Makes every page present now, or tells why that cannot be.
    pub fn populate(&self) -> io::Result<()> {
        self.advise(if self.read_only { Advice::LinuxPopulateRead } else { Advice::LinuxPopulateWrite })
    }

    /// Asks for transparent huge pages.
    pub fn use_huge_pages(&self) -> io::Result<()> {
        self.advise(Advice::LinuxHugepage)
    }

    /// Writes the pages around these bytes to the file's storage and waits for it.
    pub fn sync(&self, offset: usize, len: usize) -> io::Result<()> {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len), "outside the mapping");
        let before = offset % rustix::param::page_size();
        // SAFETY: inside the mapping by the check above.
        let start = unsafe { self.start.add(offset - before) };
        // SAFETY: msync reads no memory of ours and changes none.
        Ok(unsafe { msync(start.as_ptr().cast(), len + before, MsyncFlags::SYNC) }?)
    }

    /// Replaces the pages where they are by private ones full of zeroes and gives the shared ones back.
    ///
    /// Addresses stay valid: an access that runs meanwhile meets the old page or the new one.
    pub fn detach(&self) -> io::Result<()> {
        let access = if self.read_only { ProtFlags::READ } else { ProtFlags::READ | ProtFlags::WRITE };
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        // SAFETY: the place is our own mapping, of which no reference exists, and it stays mapped with the same access.
        unsafe { mmap_anonymous(self.start.as_ptr().cast(), self.len, access, flags) }?;
        Ok(())
    }

    fn advise(&self, advice: Advice) -> io::Result<()> {
        // SAFETY: none of the advice given here changes what the bytes are.
        Ok(unsafe { madvise(self.start.as_ptr().cast(), self.len, advice) }?)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped in new() with this length; views keep the owner, so none is left.
        let result = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert!(result.is_ok(), "munmap of a mapping of our own: {result:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detached_mapping_reads_zeroes_and_writes_reach_nobody() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8192).unwrap();
        let (one, two) =
            (Mapping::new(&file, 0, 8192, false).unwrap(), Mapping::new(&file, 0, 8192, false).unwrap());
        let (here, there) = (one.start().as_ptr(), two.start().as_ptr());
        // SAFETY: inside a mapping that lives.
        unsafe { here.write_volatile(7) };
        // SAFETY: as above.
        assert_eq!(unsafe { there.read_volatile() }, 7);
        one.detach().unwrap();
        // The file has no byte left: the pages of a mapping of it would fault.
        file.set_len(0).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { here.read_volatile() }, 0);
        // SAFETY: as above.
        unsafe { here.write_volatile(9) };
        file.set_len(8192).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { there.read_volatile() }, 0);
        one.detach().unwrap();
    }
}
