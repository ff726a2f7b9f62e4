//! Plain memory: which files can be opened, what becomes of them, and what an error says.
#![cfg(target_os = "linux")]

use ivshmem::ErrorKind;

#[test]
fn two_programs_that_open_one_file_see_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("memory");
    let one = ivshmem::plain(&path).size(100).open().unwrap();
    let two = ivshmem::plain(&path).open().unwrap();
    assert_eq!((one.memory().len(), two.memory().len()), (100, 100));
    one.memory().write_word_be(92, 0x0102_0304_0506_0708_u64).unwrap();
    let mut bytes = [0; 8];
    two.memory().read(92, &mut bytes).unwrap();
    assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 7, 8]);
    one.close();
    assert_eq!(one.memory().read(0, &mut bytes).unwrap_err().kind(), ErrorKind::Closed);
    two.memory().read(0, &mut bytes).unwrap();
}
