//! Which accesses are allowed.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use ivshmem::ErrorKind;
use ivshmem::region::{AtomicWord, Memory, MemoryError, Spin, Word};

use super::{Fixture, bytes, pattern};

pub(super) fn inside(fixture: &dyn Fixture) {
    let memory = fixture.open();
    for access in accesses() {
        let last = memory.len() - access.len;
        for offset in [0, last] {
            for i in 0..16 {
                let offset = if offset == 0 { i } else { offset - i };
                match (access.act)(&memory, offset) {
                    Ok(()) => {}
                    Err(e) if access.atomic && e.kind() == ErrorKind::Misaligned => {
                        let aligned = (memory.as_ptr().addr() as u64 + offset).is_multiple_of(access.len);
                        assert!(!aligned, "{} at {offset}: {e}", access.name);
                        let text = e.to_string();
                        assert!(
                            text.contains(&format!("{offset} must be aligned to {}", access.len)),
                            "{text}"
                        );
                    }
                    Err(e) if access.name == "compare_exchange_128" && e.kind() == ErrorKind::Unsupported => {
                    }
                    Err(e) => panic!("{} at {offset}: {e}", access.name),
                }
            }
        }
    }
    // An empty access is inside up to and including the end.
    for offset in [0, 1, memory.len()] {
        memory.read(offset, &mut []).unwrap();
        memory.write(offset, &[]).unwrap();
        memory.fill(offset, 1, 0).unwrap();
        memory.copy_to(offset, &memory, memory.len() - offset, 0).unwrap();
        assert!(memory.view(offset, 0).unwrap().is_empty());
    }
}

pub(super) fn outside(fixture: &dyn Fixture) {
    let memory = fixture.open();
    let size = memory.len();
    let edge = pattern(64);
    for access in accesses().into_iter().chain(empty_accesses()) {
        memory.write(0, &edge).unwrap();
        memory.write(size - 64, &edge).unwrap();
        let partly = (size + 1).saturating_sub(access.len)..=size.saturating_sub(1);
        let far = [size, size + 1, 1 << 31, 1 << 32, (1 << 32) + 8, 1 << 63, u64::MAX - access.len, u64::MAX];
        let far = far.into_iter().filter(|&offset| offset > size || offset == size && access.len > 0);
        for offset in partly.filter(|_| access.len > 1).chain(far) {
            let error = (access.act)(&memory, offset).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::OutOfBounds, "{} at {offset}: {error}", access.name);
            let text = error.to_string();
            let numbers = format!("{} bytes at offset {offset} ", access.len);
            assert!(
                text.starts_with(&numbers) && text.contains(&size.to_string()),
                "{}: {text}",
                access.name
            );
        }
        assert_eq!(bytes(&memory, 0, 64), edge, "{} wrote something", access.name);
        assert_eq!(bytes(&memory, size - 64, 64), edge, "{} wrote something", access.name);
    }
    for (offset, len) in
        [(0, size + 1), (1, size), (size, 1), (1, u64::MAX), (u64::MAX, u64::MAX), (size + 1, 0)]
    {
        let results = [
            memory.view(offset, len).map(drop),
            memory.fill(offset, 1, len),
            memory.copy_to(offset, &memory, 0, len),
            memory.copy_to(0, &memory, offset, len),
            memory.index_of(offset, len, b"x").map(drop),
            memory.sync(offset, len),
        ];
        for result in results {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::OutOfBounds, "{len} bytes at {offset}");
        }
    }
    assert_eq!(bytes(&memory, 0, 64), edge);
}

pub(super) fn closed(fixture: &dyn Fixture) {
    let memory = fixture.open();
    let (clone, view) = (memory.clone(), memory.view(8, 64).unwrap());
    let size = memory.len();
    assert!(!memory.is_closed());
    memory.close();
    memory.close();
    for memory in [&memory, &clone, &view] {
        assert!(memory.is_closed());
        for access in accesses().into_iter().chain(empty_accesses()) {
            for offset in [0, 1, memory.len(), u64::MAX] {
                let error = (access.act)(memory, offset).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Closed, "{} at {offset}: {error}", access.name);
            }
        }
        assert_eq!(memory.view(0, 1).unwrap_err().kind(), ErrorKind::Closed);
    }
    assert_eq!(memory.len(), size);
    assert!(format!("{memory:?}").contains("closed: true"));
}

pub(super) fn read_only(fixture: &dyn Fixture) {
    let writable = fixture.open();
    let edge = pattern(4096);
    writable.write(0, &edge).unwrap();
    assert!(!writable.is_read_only());
    let Some(memory) = fixture.open_read_only(&writable) else { return };
    assert!(memory.is_read_only());
    let view = memory.view(64, 1024).unwrap();
    assert!(view.is_read_only());
    for memory in [&memory, &view] {
        for access in accesses() {
            let result = (access.act)(memory, 32);
            if access.writes {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::ReadOnly, "{}", access.name);
            } else {
                result.unwrap();
            }
            // An access outside is refused as such in read-only memory too.
            let kind = (access.act)(memory, u64::MAX).unwrap_err().kind();
            assert_eq!(kind, ErrorKind::OutOfBounds, "{}", access.name);
        }
    }
    assert_eq!(memory.copy_to(0, &memory, 64, 8).unwrap_err().kind(), ErrorKind::ReadOnly);
    memory.copy_to(0, &writable, 64, 8).unwrap();
    // An atomic load that is not atomic for every observer would have to write.
    for offset in 0..64 {
        match memory.load::<u64>(offset, SeqCst) {
            Ok(_) => assert_eq!(offset % 8, 0),
            Err(e) => assert!(e.kind() == ErrorKind::Misaligned && offset % 8 != 0, "{offset}: {e}"),
        }
    }
    memory.sync(0, memory.len()).unwrap();
    assert_eq!(bytes(&memory, 0, 64), edge[..64]);
    memory.close();
    assert_eq!(memory.write(0, &[1]).unwrap_err().kind(), ErrorKind::Closed);
    writable.write(0, &[1]).unwrap();
}

pub(super) fn views(fixture: &dyn Fixture) {
    let memory = fixture.open();
    let all = pattern(4096);
    memory.write(0, &all).unwrap();
    let view = memory.view(100, 1000).unwrap();
    assert_eq!((view.len(), view.cache_mode()), (1000, memory.cache_mode()));
    assert_eq!(view.as_ptr().addr(), memory.as_ptr().addr() + 100);
    assert_eq!(bytes(&view, 0, 1000), all[100..1100]);
    assert_eq!(view.read(0, &mut [0; 1001]).unwrap_err().kind(), ErrorKind::OutOfBounds);
    assert_eq!(view.view(1, 1000).unwrap_err().kind(), ErrorKind::OutOfBounds);
    let inner = view.view(1, 999).unwrap();
    inner.write_word(0, 77_u8).unwrap();
    assert_eq!(memory.read_word::<u8>(101).unwrap(), 77);
    assert_eq!(view.index_of(0, 1000, &all[110..120]).unwrap(), Some(10));
    // A view keeps the pages mapped after its memory is dropped.
    drop((memory, view));
    assert_eq!(inner.read_word::<u8>(0).unwrap(), 77);
    let last = inner.clone();
    inner.close();
    assert!(last.is_closed());
}

/// One method with one size.
struct Access {
    name: String,
    len: u64,
    writes: bool,
    atomic: bool,
    act: Box<Act>,
}

type Act = dyn Fn(&Memory, u64) -> Result<(), MemoryError>;

fn accesses() -> Vec<Access> {
    let mut all = vec![
        bulk("read", 24, false, |m, at| m.read(at, &mut [0; 24])),
        bulk("write", 24, true, |m, at| m.write(at, &[1; 24])),
        bulk("write", 300, true, |m, at| m.write(at, &[1; 300])),
        bulk("fill", 33, true, |m, at| m.fill(at, 1, 33)),
        bulk("copy_to, the target", 40, true, |m, at| Memory::heap(40)?.copy_to(0, m, at, 40)),
        bulk("copy_to, the source", 40, false, |m, at| m.copy_to(at, &Memory::heap(40)?, 0, 40)),
        bulk("index_of", 40, false, |m, at| m.index_of(at, 40, b"x").map(drop)),
        bulk("sync", 40, false, |m, at| m.sync(at, 40)),
        bulk("view", 40, false, |m, at| m.view(at, 40).map(drop)),
        Access {
            atomic: true,
            ..bulk("compare_exchange_128", 16, true, |m, at| m.compare_exchange_128(at, 1, 2).map(drop))
        },
    ];
    plain::<u8>(&mut all);
    plain::<u16>(&mut all);
    plain::<u32>(&mut all);
    plain::<u64>(&mut all);
    plain::<i8>(&mut all);
    plain::<i16>(&mut all);
    plain::<i32>(&mut all);
    plain::<i64>(&mut all);
    plain::<f32>(&mut all);
    plain::<f64>(&mut all);
    atomic::<u8>(&mut all);
    atomic::<u16>(&mut all);
    atomic::<u32>(&mut all);
    atomic::<u64>(&mut all);
    atomic::<i8>(&mut all);
    atomic::<i16>(&mut all);
    atomic::<i32>(&mut all);
    atomic::<i64>(&mut all);
    all
}

fn empty_accesses() -> Vec<Access> {
    vec![
        bulk("read of nothing", 0, false, |m, at| m.read(at, &mut [])),
        bulk("write of nothing", 0, true, |m, at| m.write(at, &[])),
        bulk("fill of nothing", 0, true, |m, at| m.fill(at, 1, 0)),
        bulk("view of nothing", 0, false, |m, at| m.view(at, 0).map(drop)),
        bulk("index_of in nothing", 0, false, |m, at| m.index_of(at, 0, b"").map(drop)),
        bulk("sync of nothing", 0, false, |m, at| m.sync(at, 0)),
    ]
}

fn bulk(
    name: &str,
    len: u64,
    writes: bool,
    act: impl Fn(&Memory, u64) -> Result<(), MemoryError> + 'static,
) -> Access {
    Access { name: name.to_owned(), len, writes, atomic: false, act: Box::new(act) }
}

fn plain<T: Word + Default + 'static>(all: &mut Vec<Access>) {
    let len = size_of::<T>() as u64;
    let kind = std::any::type_name::<T>();
    let mut add = |name: &str, writes, act: fn(&Memory, u64) -> Result<(), MemoryError>| {
        let name = format!("{name}::<{kind}>");
        all.push(Access { name, len, writes, atomic: false, act: Box::new(act) });
    };
    add("read_word", false, |m, at| m.read_word::<T>(at).map(drop));
    add("read_word_le", false, |m, at| m.read_word_le::<T>(at).map(drop));
    add("read_word_be", false, |m, at| m.read_word_be::<T>(at).map(drop));
    add("write_word", true, |m, at| m.write_word(at, T::default()));
    add("write_word_le", true, |m, at| m.write_word_le(at, T::default()));
    add("write_word_be", true, |m, at| m.write_word_be(at, T::default()));
}

fn atomic<T: AtomicWord + Default + 'static>(all: &mut Vec<Access>) {
    const SOON: Spin = Spin { sleep: None, timeout: Some(Duration::ZERO) };
    let len = size_of::<T>() as u64;
    let kind = std::any::type_name::<T>();
    let mut add = |name: &str, writes, act: fn(&Memory, u64) -> Result<(), MemoryError>| {
        let name = format!("{name}::<{kind}>");
        all.push(Access { name, len, writes, atomic: true, act: Box::new(act) });
    };
    add("load", false, |m, at| m.load::<T>(at, SeqCst).map(drop));
    add("spin", false, |m, at| m.spin(at, T::default(), SOON).map(drop));
    add("store", true, |m, at| m.store(at, T::default(), Relaxed));
    add("store, sequentially consistent", true, |m, at| m.store(at, T::default(), SeqCst));
    add("swap", true, |m, at| m.swap(at, T::default(), SeqCst).map(drop));
    add("compare_exchange", true, |m, at| {
        m.compare_exchange(at, T::default(), T::default(), SeqCst, SeqCst).map(drop)
    });
    add("fetch_add", true, |m, at| m.fetch_add(at, T::default(), SeqCst).map(drop));
    add("fetch_sub", true, |m, at| m.fetch_sub(at, T::default(), SeqCst).map(drop));
    add("fetch_and", true, |m, at| m.fetch_and(at, T::default(), SeqCst).map(drop));
    add("fetch_nand", true, |m, at| m.fetch_nand(at, T::default(), SeqCst).map(drop));
    add("fetch_or", true, |m, at| m.fetch_or(at, T::default(), SeqCst).map(drop));
    add("fetch_xor", true, |m, at| m.fetch_xor(at, T::default(), SeqCst).map(drop));
    add("fetch_max", true, |m, at| m.fetch_max(at, T::default(), SeqCst).map(drop));
    add("fetch_min", true, |m, at| m.fetch_min(at, T::default(), SeqCst).map(drop));
    add("fetch_update", true, |m, at| m.fetch_update(at, SeqCst, SeqCst, |v: T| Some(v)).map(drop));
    add("spin_and_set", true, |m, at| m.spin_and_set(at, T::default(), T::default(), SOON).map(drop));
}
