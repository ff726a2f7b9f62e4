//! What is wrong with a command line, told to its writer.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

use tempfile::TempDir;

use crate::{bad, region, run};

#[test]
fn wrong_arguments_end_with_2_and_a_word_why() {
    let (_dir, target, _path) = region(4096);
    let cases: &[(&[&str], &str)] = &[
        (&[], "Usage"),
        (&["fly"], "fly"),
        (&["read"], "TARGET"),
        (&["read", &target, "x"], "4096, 0x1000 or 4K"),
        (&["read", &target, "-1"], "-1"),
        (&["read", &target, "1Z"], "1Z"),
        (&["ring", &target, "65536", "0"], "65536"),
        (&["listen", &target, "--timeout", "never"], "never"),
        (&["listen", &target, "--count", "0"], "0"),
        (&["serve", "x.sock", "--vectors", "257"], "256"),
    ];
    for (args, word) in cases {
        let text = bad(&run(args), 2);
        assert!(text.contains(word), "{args:?}: {text}");
    }
}

#[test]
fn a_target_that_cannot_be_opened_is_explained() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, [0; 4096]).unwrap();
    let socket = dir.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let path = |p: &Path| p.display().to_string();

    assert!(bad(&run(&["info", &path(&file)]), 1).contains(&format!("plain:{}", file.display())));
    assert!(bad(&run(&["info", &path(&socket)]), 1).contains(&format!("doorbell:{}", socket.display())));
    let missing = path(&dir.path().join("missing"));
    assert!(bad(&run(&["info", &format!("plain:{missing}")]), 1).contains(&missing));
    assert!(bad(&run(&["info", &format!("doorbell:{missing}")]), 1).contains(&missing));
    for wrong in [missing.as_str(), "", "plain:", "nonsense:/x", "plain:/dev/null", "plain:/tmp"] {
        bad(&run(&["info", wrong]), 1);
    }
}
