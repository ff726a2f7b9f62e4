//! Errors in a command line, as their author reads them.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

use ivshmem_conformance::checkout;
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

/// The system's error text alone is not enough: each error names its object and a remedy.
#[test]
fn no_error_ends_with_the_words_of_the_system() {
    let dir = TempDir::new().unwrap();
    let place = dir.path().display().to_string();
    fs::write(dir.path().join("file"), [0; 4096]).unwrap();
    let cases = [
        "info plain:DIR/file/x",
        "info doorbell:DIR/file/x",
        "create plain:DIR/file/x 4K",
        "serve /nonexistent/x",
        "serve DIR/file/x",
        "serve DIR/s -m /nonexistent",
        "serve DIR/s -m DIR/file",
        "serve DIR/s --status /nonexistent/x",
        "status DIR/none",
        "status DIR/file",
        "dump plain:DIR/file -o DIR",
        "dump plain:DIR/file -o /nonexistent/x",
        "manual /nonexistent/x",
    ];
    for case in cases {
        let words: Vec<String> = case.split(' ').map(|word| word.replace("DIR", &place)).collect();
        let text = bad(&run(&words.iter().map(String::as_str).collect::<Vec<_>>()), 1);
        let names_it = words.iter().skip(1).any(|word| text.contains(word.rsplit(':').next().unwrap()));
        assert!(names_it && !text.trim_end().ends_with(')'), "{case}: {text}");
    }
    let few = format!("ulimit -n 4; exec \"$0\" info plain:{place}/file");
    let output =
        std::process::Command::new("sh").args(["-c", &few, checkout::built("ivshmem")]).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("raise its limit (ulimit -n)"));
}

/// Each interface has its own words.
#[test]
fn no_error_speaks_of_what_the_command_does_not_have() {
    let (dir, target, path) = region(4096);
    fs::write(dir.path().join("empty"), []).unwrap();
    let empty = format!("plain:{}/empty", dir.path().display());
    let missing = format!("plain:{}/a b", dir.path().display());
    let socket = format!("doorbell:{}/none", dir.path().display());
    let file = format!("doorbell:{}", path.display());
    for (words, remedy) in [
        (&["info", &missing][..], format!("`ivshmem create '{missing}' 64M`")),
        (&["info", &empty], format!("`ivshmem create --grow {empty} 64M`")),
        (&["create", &target, "4K"], "--grow accepts it".to_owned()),
        (&["info", &socket], format!("`ivshmem serve {}/none`", dir.path().display())),
        (&["info", &file], target.clone()),
        (&["ring", &target, "0", "0"], "doorbell:SOCKET".to_owned()),
        (&["info", ""], "it is empty; targets are plain:PATH".to_owned()),
    ] {
        let text = bad(&run(words), 1);
        assert!(text.contains(&remedy), "{words:?}: {text}");
        for foreign in ["()", "create_new", "windows:NUMBER", "\"\":", "size()"] {
            assert!(
                !text.contains(foreign) || words[1].is_empty() && foreign == "\"\":",
                "{words:?}: {text}"
            );
        }
    }
    let text = bad(&run(&["info", "auto"]), 1);
    assert!(!text.contains("\"\""), "{text}");
}
